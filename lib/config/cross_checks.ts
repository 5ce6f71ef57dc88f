import { formatSat, type Sat } from "../domain/amounts.ts";
import type { SettingsId } from "./config.ts";
import { closestKey } from "./closest_key.ts";
import { defaultSettings, fields, knownKeys, readField, settingFields } from "./schema.ts";
import { settingsIdKey } from "./settings_id.ts";
import { nodeAt, type Path, positionAt, type SourceNode, textAt } from "./source_tree.ts";

/** Says whether a secret was generated; lib/protocol/secret.ts has the one the program uses. Never repeats the secret. */
export type CheckSecret = (text: string) =>
  | { readonly kind: "generated" }
  | { readonly kind: "typo"; readonly message: string }
  | { readonly kind: "foreign"; readonly strengthHint: string };

/** Something about values together. `message` continues a sentence that begins with the path. */
export interface Finding {
  readonly severity: "problem" | "warning";
  readonly path: Path;
  readonly message: string;
}

/** Everything that only shows when values are seen together. Values that are wrong by themselves are left out here. */
export function crossCheck(root: SourceNode, checkSecret: CheckSecret): Finding[] {
  return [
    ...checkSecrets(root, checkSecret),
    ...checkNodes(root),
    ...checkLogNames(root),
    ...checkPeers(root),
    ...checkSettingsIds(root),
    ...checkSettings(root),
  ];
}

const problem = (path: Path, message: string): Finding => ({ severity: "problem", path, message });
const warning = (path: Path, message: string): Finding => ({ severity: "warning", path, message });

function checkSecrets(root: SourceNode, checkSecret: CheckSecret): Finding[] {
  const found: Finding[] = [];
  const weakAllowed = readField(fields.boolean, textAt(root, ["allowWeakSecret"])) ?? false;
  for (const key of ["secret", "previousSecret"]) {
    const text = textAt(root, [key]);
    if (text === undefined || text.trim() === "") continue;
    const verdict = checkSecret(text);
    if (verdict.kind === "typo") found.push(problem([key], `is mistyped: ${verdict.message}`));
    else if (verdict.kind === "foreign") {
      const what = `wasn't generated (${verdict.strengthHint})`;
      found.push(
        weakAllowed
          ? warning([key], `${what}: whoever guesses it joins the cluster; \`tightrope secret\` prints a strong one`)
          : problem([key], `${what}; use one that \`tightrope secret\` prints, or set allowWeakSecret: true`),
      );
    }
  }
  const [secret, previous] = [textAt(root, ["secret"]), textAt(root, ["previousSecret"])];
  if (secret !== undefined && previous !== undefined && secret.normalize("NFKC") === previous.normalize("NFKC")) {
    found.push(problem(["previousSecret"], "is the same as secret; remove it, or put the new secret in its place"));
  }
  return found;
}

function checkNodes(root: SourceNode): Finding[] {
  const found: Finding[] = [];
  const nodes = nodeAt(root, ["lightningNodes"]);
  if (nodes?.kind !== "list") return found;
  const sockets = new Map<string, number>();
  nodes.items.forEach((node, index) => {
    if (node.kind !== "map") return;
    const at: Path = ["lightningNodes", index];
    const has = (key: string) => (nodeAt(node, [key])?.kind ?? "empty") !== "empty";
    const known = knownKeys["lightningNodes[]"] ?? [];
    const misspelt = node.entries.filter((entry) => !known.includes(entry.key))
      .map((entry) => closestKey(entry.key, known));
    for (const [key, what] of [["cert", "TLS certificate"], ["macaroon", "macaroon"]] as const) {
      if (has(key) && has(`${key}Path`)) {
        found.push(problem([...at, `${key}Path`], `stands beside ${key}: give the ${what} once`));
      } else if (!has(key) && !has(`${key}Path`) && !misspelt.some((name) => name === key || name === `${key}Path`)) {
        found.push(problem([...at], `has no ${what}: give ${key}Path (a file) or ${key} (its content)`));
      }
    }
    const socket = readField(fields.hostPort, textAt(node, ["socket"]));
    if (socket === undefined) return;
    const first = sockets.get(socket);
    if (first === undefined) sockets.set(socket, index);
    else found.push(problem([...at, "socket"], `is the same node as lightningNodes[${first}]: ${socket}`));
  });
  return found;
}

function checkLogNames(root: SourceNode): Finding[] {
  const name = (key: string, byDefault: string) =>
    nodeAt(root, ["audit", key])?.kind === "scalar"
      ? readField(fields.logName, textAt(root, ["audit", key]))
      : byDefault;
  const [events, transactions] = [name("eventLog", "event-log"), name("transactionHistory", "transaction-log")];
  if (events === undefined || transactions === undefined) return [];
  // Some file systems don't tell upper from lower case. `log.mark` and what a repair makes lie beside `log`.
  const [one, other] = [`${events}.`.toLowerCase(), `${transactions}.`.toLowerCase()];
  if (!one.startsWith(other) && !other.startsWith(one)) return [];
  const message =
    "must be another name than eventLog, nor one of them the other with an ending: each log has its own " +
    "directory, and files of ours beside it";
  return [problem(["audit", "transactionHistory"], message)];
}

function checkPeers(root: SourceNode): Finding[] {
  const peers = nodeAt(root, ["peers"]);
  if (peers?.kind !== "list") return [];
  if (peers.items.length === 0) return [warning(["peers"], "is empty: no node of another instance is ever paid")];
  const seen = new Set<string>();
  return peers.items.flatMap((_, index) => {
    const pubkey = readField(fields.nodePubkey, textAt(root, ["peers", index]));
    if (pubkey === undefined) return [];
    if (seen.has(pubkey)) return [problem(["peers", index], "stands in the list twice")];
    seen.add(pubkey);
    return [];
  });
}

interface Entry {
  readonly path: Path;
  readonly id: SettingsId;
}

/** The entries of idSettings whose ids can be read. */
function idEntries(root: SourceNode): Entry[] {
  const list = nodeAt(root, ["limits", "idSettings"]);
  if (list?.kind !== "list") return [];
  return list.items.flatMap((_, index) => {
    const path: Path = ["limits", "idSettings", index];
    const id = readField(fields.settingsId, textAt(root, [...path, "id"]));
    return id === undefined ? [] : [{ path, id }];
  });
}

function checkSettingsIds(root: SourceNode): Finding[] {
  const found: Finding[] = [];
  const seen = new Map<string, Position>();
  type Position = ReturnType<typeof positionAt>;
  for (const { path, id } of idEntries(root)) {
    const at: Path = [...path, "id"];
    const key = settingsIdKey(id);
    const first = seen.get(key);
    if (first === undefined) seen.set(key, positionAt(root, at));
    else found.push(problem(at, `is the same id as on line ${first.line} (${key}): join the two groups`));
    const node = nodeAt(root, path);
    if (node?.kind === "map" && node.entries.length === 1) found.push(warning(path, "replaces no setting"));
  }
  return found;
}

/** One setting as some channel would see it: its value and where that was written (undefined: the default). */
interface Effective<T> {
  readonly value: T;
  readonly path: Path | undefined;
  /** How specific: 0 = base. */
  readonly rank: number;
}

/**
 * Looks at every combination that the cascade base < alias < channel < alias:channel can make.
 * A pair of values that contradict each other is reported once, at the more specific one.
 */
function checkSettings(root: SourceNode): Finding[] {
  const found = new Map<string, Finding>();
  const base: Path = ["limits", "baseSettings"];
  const totalPath: Path = ["limits", "maxNetOutflowTotal"];
  const totalSat = readField<Sat>(settingFields.maxNetOutflow, textAt(root, totalPath));
  const total: readonly [string, Effective<Sat>][] = totalSat === undefined
    ? []
    : [["maxNetOutflowTotal", { value: totalSat, path: totalPath, rank: 0 }]];
  for (const chain of chains(idEntries(root))) {
    const groups = [base, ...chain.map((entry) => entry.path)];
    const effective = <T>(name: string, field: Parameters<typeof readField<T>>[0], byDefault: T): Effective<T> => {
      let result: Effective<T> = { value: byDefault, path: undefined, rank: -1 };
      groups.forEach((group, rank) => {
        const value = readField(field, textAt(root, [...group, name]));
        if (value !== undefined) result = { value, path: [...group, name], rank };
      });
      return result;
    };
    const report = (
      severity: Finding["severity"],
      a: Effective<unknown>,
      b: Effective<unknown>,
      message: string,
    ): void => {
      const path = a.rank >= b.rank ? a.path : b.path;
      // Two defaults never contradict each other.
      if (path === undefined) return;
      const key = `${JSON.stringify([a.path, b.path])} ${message}`;
      if (!found.has(key)) found.set(key, { severity, path, message });
    };

    const { minTransactionSize, maxTransactionSize, maxAmountPerPeriod, maxNetOutflow } = settingFields;
    const min = effective<Sat>("minTransactionSize", minTransactionSize, defaultSettings.minTransactionSizeSat);
    const max = effective<Sat>("maxTransactionSize", maxTransactionSize, defaultSettings.maxTransactionSizeSat);
    if (min.value > max.value) {
      const sizes = `minTransactionSize ${formatSat(min.value)}${origin(min)} is more than ` +
        `maxTransactionSize ${formatSat(max.value)}${origin(max)}`;
      report("problem", min, max, `leaves no size that a payment could have: ${sizes}`);
    }
    const limits: readonly [string, Effective<Sat>][] = [
      [
        "maxAmountPerPeriod",
        effective("maxAmountPerPeriod", maxAmountPerPeriod, defaultSettings.maxAmountPerPeriodSat),
      ],
      ["maxNetOutflow", effective("maxNetOutflow", maxNetOutflow, defaultSettings.maxNetOutflowSat)],
      ...total,
    ];
    for (const [name, limit] of limits) {
      if (limit.value > 0n && limit.value < min.value) {
        const amounts = `${name} ${formatSat(limit.value)} is less than minTransactionSize ${formatSat(min.value)}`;
        report("warning", limit, min, `lets nothing be paid: ${amounts}`);
      }
    }
    const balancePoint = effective("balancePoint", settingFields.balancePoint, defaultSettings.balancePoint);
    const deadzone = effective("deadzone", settingFields.deadzone, defaultSettings.deadzone);
    if (deadzone.value >= balancePoint.value) {
      const values = `balancePoint ${balancePoint.value} minus deadzone ${deadzone.value} isn't above 0`;
      report("warning", balancePoint, deadzone, `means that this side never asks: ${values}`);
    }
  }
  return [...found.values()];
}

const origin = (effective: Effective<unknown>) => effective.path === undefined ? " (the default)" : "";

/** Every set of entries that may apply to one channel at once, the least specific first. */
function* chains(entries: readonly Entry[]): Generator<readonly Entry[]> {
  const of = (kind: SettingsId["kind"]) => entries.filter((entry) => entry.id.kind === kind);
  yield [];
  for (const alias of of("alias")) yield [alias];
  for (const channel of of("channel")) yield [channel];
  for (const alias of of("alias")) {
    for (const channel of of("channel")) yield [alias, channel];
  }
  for (const both of of("alias-channel")) {
    const { id } = both;
    if (id.kind !== "alias-channel") continue;
    const aliases = entries.filter((entry) => entry.id.kind === "alias" && entry.id.alias === id.alias);
    const channels = entries.filter((entry) => entry.id.kind === "channel" && entry.id.channelId === id.channelId);
    yield [...aliases.slice(0, 1), ...channels.slice(0, 1), both];
  }
}
