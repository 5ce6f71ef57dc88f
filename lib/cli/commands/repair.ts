import type { LogRepair } from "../../audit/log_repair.ts";
import { systemRandom } from "../../env/system.ts";
import { repairLogsInWorker } from "../../workers/audit_remote.ts";
import type { Command } from "../args.ts";
import { exitCodes } from "../exit_codes.ts";
import { loadConfig } from "./load_config.ts";
import { print } from "./screen.ts";

/** `tightrope repair`. @returns the exit code */
export async function repair(command: Extract<Command, { kind: "repair" }>): Promise<number> {
  const config = await loadConfig(command.configPath, { credentials: false });
  const found = await repairLogsInWorker(config.audit, !command.dryRun, systemRandom);
  for (const log of found) print(describe(log, command.dryRun));
  const isDamaged = found.some(({ problem }) => problem !== undefined);
  const isChanged = !command.dryRun && found.some(({ problem, ended }) => problem !== undefined || ended);
  if (isChanged) print("Now start Tightrope as usual\n");
  else if (!isDamaged) print("There is nothing to repair\n");
  else print("Nothing was changed. Without --dry-run it is repaired\n");
  return isDamaged && command.dryRun ? exitCodes.config : exitCodes.ok;
}

function describe({ log, problem, records, setAside, ended }: LogRepair, dryRun: boolean): string {
  const name = log === "transactions" ? "transaction log" : "event log";
  if (problem === undefined) {
    return `The ${name} is whole: ${records} records${ended ? ". A repair of it that was cut short is ended" : ""}\n`;
  }
  const lines = [`The ${name} can't be used. ${problem}`];
  if (log === "transactions") {
    lines.push(
      `  ${records} of its records can be read${dryRun ? "" : " and are kept"}. What is missing is read from your ` +
        "Lightning nodes at the next start: all",
      "  that they have paid to rebalance counts as spent before anything is paid. What you received meanwhile can't be",
      "  seen there, so that others may seem to owe you more than they do.",
    );
  }
  if (!dryRun) {
    lines.push(
      setAside === undefined
        ? "  It was begun anew."
        : `  It was begun anew. The damaged one lies beside it as ${setAside}; nothing was deleted.`,
    );
  }
  return `${lines.join("\n")}\n`;
}
