import { isAbsolute, join } from "node:path";
import { invariant } from "../domain/errors.ts";
import type { BalanceSettings, Config, CredentialSource, LndNodeConfig } from "./config.ts";
import { closestKey } from "./closest_key.ts";
import { type CheckSecret, crossCheck } from "./cross_checks.ts";
import type { ConfigProblem, ConfiguredFile } from "./problem.ts";
import { configSchema, defaultSettings, knownKeys, type WrittenConfig, type WrittenSettings } from "./schema.ts";
import type { ParsedConfig } from "./parsed_config.ts";
import {
  formatPath,
  keyPositionAt,
  nodeAt,
  type Path,
  type Position,
  positionAt,
  type SourceNode,
  toPlain,
} from "./source_tree.ts";
import { readYaml } from "./yaml_source.ts";

export type { CheckSecret } from "./cross_checks.ts";
export type { ParsedConfig } from "./parsed_config.ts";

export interface ParseOptions {
  /** As the operator named it; stands in every message. */
  readonly fileName: string;
  /** Absolute: what relative paths in the file are relative to. */
  readonly directory: string;
  readonly checkSecret: CheckSecret;
}

/**
 * Reads a whole configuration (YAML; JSON is YAML too) and finds everything that is wrong with it, in the order of the text.
 * @returns the configuration with defaults applied and paths made absolute, or all problems. No message holds a secret,
 * a macaroon or a certificate.
 */
export function parseConfig(text: string, options: ParseOptions): ParsedConfig {
  invariant(isAbsolute(options.directory), "the directory of a configuration is an absolute path");
  const problems: ConfigProblem[] = [];
  const report = (position: Position, message: string): void => {
    problems.push({ file: options.fileName, line: position.line, column: position.column, message });
  };
  const source = readYaml(text);
  for (const problem of source.problems) report(problem.position, problem.message);
  const root = source.root;
  if (root === undefined) return { ok: false, problems };
  if (root.kind !== "map") {
    report(root.position, "the file must consist of settings, each a key, a colon, a blank and a value");
    return { ok: false, problems };
  }

  const parsed = configSchema.safeParse(toPlain(root));
  for (const issue of parsed.error?.issues ?? []) {
    const path = issue.path.filter((step) => typeof step !== "symbol");
    if (issue.code === "unrecognized_keys") {
      for (const key of issue.keys) report(keyPositionAt(root, path, key), unknownKey(path, key));
    } else if (!isMissing(issue) || !isMisspelt(root, path)) {
      report(positionAt(root, path), sentence(path, issue.message));
    }
  }
  for (const problem of emptyUnknownKeys(root, [])) report(problem.position, problem.message);

  const warnings: string[] = [];
  for (const finding of crossCheck(root, options.checkSecret)) {
    if (finding.severity === "problem") report(positionAt(root, finding.path), sentence(finding.path, finding.message));
    else warnings.push(sentence(finding.path, finding.message));
  }
  if (!parsed.success || problems.length > 0) return { ok: false, problems: inOrder(problems) };
  return { ok: true, ...assemble(parsed.data, root, options.directory, warnings) };
}

const isMissing = (issue: { readonly message: string }) => issue.message === "is missing";

/** Whether a missing key stands there under a name that is reported as unknown: one mistake, one line. */
function isMisspelt(root: SourceNode, path: Path): boolean {
  const [parent, key] = [path.slice(0, -1), path.at(-1)];
  const group = nodeAt(root, parent);
  return group?.kind === "map" && group.entries.some((entry) => meantBy(parent, entry.key) === key);
}

/** The known key that an unknown one in this group was meant for. */
function meantBy(parent: Path, key: string): string | undefined {
  const known = knownKeys[groupOf(parent)] ?? [];
  return known.includes(key) ? undefined : closestKey(key, known);
}

const sentence = (path: Path, message: string) => path.length === 0 ? message : `${formatPath(path)} ${message}`;

function inOrder(problems: readonly ConfigProblem[]): ConfigProblem[] {
  return [...problems].sort((a, b) => a.line - b.line || a.column - b.column);
}

/** The group of keys that stands at a path: `lightningNodes[0]` -> `lightningNodes[]`. */
const groupOf = (path: Path) => formatPath(path).replace(/\[\d+\]/g, "[]");

function unknownKey(path: Path, key: string): string {
  const where = path.length === 0 ? "" : ` in ${formatPath(path)}`;
  const glued = /^([A-Za-z]+):/.exec(key)?.[1];
  if (glued !== undefined) return `a blank is missing after "${glued}:"${where}`;
  const shown = JSON.stringify(key.length > 40 ? `${key.slice(0, 40)}…` : key);
  const here = groupOf(path);
  for (const [group, keys] of Object.entries(knownKeys)) {
    if (group !== here && keys.includes(key)) {
      return `unknown key ${shown}${where}; it belongs ${group === "" ? "to the top level" : `under ${group}`}`;
    }
  }
  const meant = meantBy(path, key);
  return `unknown key ${shown}${where}${meant === undefined ? "" : `; did you mean "${meant}"?`}`;
}

/** Keys without a value never reach the schema; a misspelt one of them is a mistake all the same. */
function* emptyUnknownKeys(node: SourceNode, path: Path): Generator<{ position: Position; message: string }> {
  if (node.kind === "list") {
    for (const [index, item] of node.items.entries()) yield* emptyUnknownKeys(item, [...path, index]);
  }
  if (node.kind !== "map") return;
  const known = knownKeys[groupOf(path)];
  if (known === undefined) return;
  for (const { key, keyPosition, value } of node.entries) {
    if (value.kind !== "empty") yield* emptyUnknownKeys(value, [...path, key]);
    else if (!known.includes(key)) yield { position: keyPosition, message: unknownKey(path, key) };
  }
}

function assemble(
  written: WrittenConfig,
  root: SourceNode,
  directory: string,
  warnings: readonly string[],
): { config: Config; files: ConfiguredFile[] } {
  const absolute = (path: string) => isAbsolute(path) ? path : join(directory, path);
  const files: ConfiguredFile[] = [];

  const credential = (
    index: number,
    purpose: ConfiguredFile["purpose"],
    inline: string | undefined,
    path: string | undefined,
  ): CredentialSource => {
    if (inline !== undefined) return { kind: "inline", value: inline };
    invariant(path !== undefined, "a credential is given inline or as a path");
    const at: Path = ["lightningNodes", index, purpose === "certificate" ? "certPath" : "macaroonPath"];
    files.push({ purpose, path: absolute(path), setting: formatPath(at), ...positionAt(root, at) });
    return { kind: "file", path: absolute(path) };
  };

  const lightningNodes = written.lightningNodes.map((node, index): LndNodeConfig => ({
    type: node.type,
    socket: node.socket,
    tlsServerName: node.tlsServerName,
    cert: credential(index, "certificate", node.cert, node.certPath),
    macaroon: credential(index, "macaroon", node.macaroon, node.macaroonPath),
  }));

  const config: Config = {
    secret: written.secret,
    previousSecret: written.previousSecret,
    requireNodeProof: written.requireNodeProof,
    peers: written.peers,
    lightningNodes,
    swarm: { bootstrap: written.swarm.bootstrap, port: written.swarm.port },
    audit: {
      storagePath: absolute(written.audit.storage.path),
      eventLog: written.audit.eventLog,
      transactionHistory: written.audit.transactionHistory,
      verboseScreenLogging: written.audit.verboseScreenLogging,
      shouldMask: written.audit.shouldMask,
    },
    limits: {
      baseSettings: { ...defaultSettings, ...settingsOf(written.limits.baseSettings) },
      idSettings: written.limits.idSettings.map((entry) => ({ id: entry.id, settings: settingsOf(entry) })),
      maxNetOutflowTotalSat: written.limits.maxNetOutflowTotal,
    },
    warnings,
  };
  return { config, files };
}

/** From the operator's names to ours, which end in units. What isn't written stays away, so that a spread keeps the default. */
function settingsOf(written: WrittenSettings): Partial<BalanceSettings> {
  const named: { readonly [Key in keyof BalanceSettings]: BalanceSettings[Key] | undefined } = {
    enabled: written.enabled,
    minTransactionSizeSat: written.minTransactionSize,
    maxTransactionSizeSat: written.maxTransactionSize,
    minTimeBetweenPaymentsMs: written.minTimeBetweenPayments,
    maxTransactionsPerPeriod: written.maxTransactionsPerPeriod,
    maxTransactionsPeriodMs: written.maxTransactionsPeriod,
    maxAmountPerPeriodSat: written.maxAmountPerPeriod,
    maxAmountPeriodMs: written.maxAmountPeriod,
    periodKind: written.periodKind,
    balancePoint: written.balancePoint,
    deadzone: written.deadzone,
    refreshRateMs: written.refreshRate,
    maxNetOutflowSat: written.maxNetOutflow,
  };
  return Object.fromEntries(Object.entries(named).filter(([, value]) => value !== undefined));
}
