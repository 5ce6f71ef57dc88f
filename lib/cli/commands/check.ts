import { systemRandom } from "../../env/system.ts";
import type { CheckReport, CheckResult } from "../../lightning/lnd/check_report.ts";
import { LightningWorker } from "../../workers/lightning_remote.ts";
import type { Command } from "../args.ts";
import { exitCodes } from "../exit_codes.ts";
import { loadConfig } from "./load_config.ts";
import { print, printError } from "./screen.ts";

/** The worst finding decides. */
const codes = [
  ["config", exitCodes.config],
  ["permission", exitCodes.permission],
  ["unavailable", exitCodes.unavailable],
] as const;

/**
 * `tightrope --check`: validates the configuration, connects to every node and tries every call that Tightrope makes, none
 * of which changes anything. @returns the exit code
 */
export async function check(command: Extract<Command, { kind: "run" }>): Promise<number> {
  const config = await loadConfig(command.configPath, { credentials: true });
  for (const warning of config.warnings) printError(`Warning: ${warning}\n`);
  const lightning = new LightningWorker(config.lightningNodes, systemRandom);
  const reports: CheckReport[] = [];
  try {
    for (const node of config.lightningNodes) reports.push(await lightning.check(node));
  } finally {
    await lightning.close();
  }
  const twins = sameNodes(reports);
  for (const report of reports) print(formatReport(report));
  for (const twin of twins) print(`${twin}\n`);
  const failures = reports.flatMap((report) => report.results).filter((result) => result.kind !== "ok");
  if (failures.length === 0 && twins.length === 0) {
    const count = reports.length;
    print(`${command.configPath}: ${count} ${count === 1 ? "node" : "nodes"}, everything is in order\n`);
    return exitCodes.ok;
  }
  if (twins.length > 0) return exitCodes.config;
  return codes.find(([kind]) => failures.some((result) => result.kind === kind))![1];
}

function formatReport({ socket, info, results }: CheckReport): string {
  const who = info === undefined
    ? socket
    : `${socket}: ${info.alias || "(no alias)"} ${info.pubkey}, ${info.network}, LND ${info.version}`;
  const failures = results.filter((result): result is Exclude<CheckResult, { kind: "ok" }> => result.kind !== "ok");
  const lines = failures.length === 0
    ? ["  every call is allowed"]
    : failures.flatMap((failure) => [`  ${failure.message}`, `    ${failure.remedy}`]);
  return `${[who, ...lines].join("\n")}\n`;
}

/** One node configured twice would have two balancers. */
function sameNodes(reports: readonly CheckReport[]): string[] {
  const seen = new Map<string, string>();
  const found: string[] = [];
  for (const { socket, info } of reports) {
    if (info === undefined) continue;
    const other = seen.get(info.pubkey);
    if (other !== undefined) found.push(`${socket} and ${other} are the same node ${info.pubkey}: remove one of them`);
    seen.set(info.pubkey, socket);
  }
  return found;
}
