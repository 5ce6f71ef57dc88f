import { systemRandom } from "../../env/system.ts";
import { readLogInWorker } from "../../workers/log_remote.ts";
import type { Command } from "../args.ts";
import { exitCodes } from "../exit_codes.ts";
import { formatRecordJson, formatRecordText } from "../output.ts";
import { fromStored } from "../stored_record.ts";
import { loadConfig } from "./load_config.ts";
import { print, wantsColour } from "./screen.ts";
import { StopSignals } from "./stop_signals.ts";

/** `tightrope log`: prints a log, and goes on with `--follow` until a signal. @returns the exit code */
export async function log(command: Extract<Command, { kind: "log" }>): Promise<number> {
  const config = await loadConfig(command.configPath, { credentials: false });
  const colour = wantsColour(Deno.stdout);
  using signals = new StopSignals();
  const records = readLogInWorker(config.audit, command.which, command.follow, systemRandom);
  const stopped = signals.first.then(() => ({ done: true, value: undefined }) as const);
  while (true) {
    const next = await Promise.race([records.next(), stopped]);
    if (next.done) break;
    const record = fromStored(next.value);
    print(`${command.json ? formatRecordJson(record) : formatRecordText(record, { colour })}\n`);
  }
  return exitCodes.ok;
}
