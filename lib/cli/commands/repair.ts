import { systemRandom } from "../../env/system.ts";
import { repairLogsInWorker } from "../../workers/audit_remote.ts";
import type { Command } from "../args.ts";
import { exitCodes } from "../exit_codes.ts";
import { formatRepair } from "../repair_output.ts";
import { loadConfig } from "./load_config.ts";
import { print } from "./screen.ts";

/** `tightrope repair`. @returns the exit code */
export async function repair(command: Extract<Command, { kind: "repair" }>): Promise<number> {
  const config = await loadConfig(command.configPath, { credentials: false });
  const found = await repairLogsInWorker(config.audit, !command.dryRun, systemRandom);
  print(formatRepair(found, command.dryRun));
  const isDamaged = found.some(({ problem }) => problem !== undefined);
  return isDamaged && command.dryRun ? exitCodes.config : exitCodes.ok;
}
