import { dropRights, Instance } from "../../app.ts";
import { messageOf } from "../../domain/errors.ts";
import type { Command } from "../args.ts";
import { exitCodeOf, exitCodes } from "../exit_codes.ts";
import { version } from "../version.ts";
import { loadConfig } from "./load_config.ts";
import { ScreenLogger } from "./screen.ts";
import { StopSignals } from "./stop_signals.ts";

type RunCommand = Extract<Command, { kind: "run" }>;

/**
 * `tightrope [run]`: balances until a signal. @returns the exit code
 * @throws TightropeError when it can't start and logs are text; otherwise that is a line of JSON, too
 */
export async function run(command: RunCommand): Promise<number> {
  try {
    return await runDaemon(command);
  } catch (error) {
    if (command.logFormat === "text") throw error;
    new ScreenLogger(command, false).failure(error);
    return exitCodeOf(error);
  }
}

async function runDaemon(command: RunCommand): Promise<number> {
  const config = await loadConfig(command.configPath, { credentials: true });
  const screen = new ScreenLogger(command, config.audit.verboseScreenLogging);
  screen.log("info", `Tightrope ${version}, data in ${config.audit.storagePath}`);
  for (const warning of config.warnings) screen.log("warn", warning);
  using signals = new StopSignals();
  const instance = await Instance.start(config, {
    dryRun: command.dryRun,
    onRecord: (record) => screen.record(record),
  });
  // From here on only the workers can reach anything.
  dropRights();

  const ended = await Promise.race([
    signals.first.then((signal) => ({ kind: "signal", signal }) as const),
    instance.failed.catch((error: unknown) => ({ kind: "failed", error }) as const),
    signals.debuggerOpened.then((signal) => ({ kind: "debugger", signal }) as const),
  ]);
  if (ended.kind === "debugger") {
    screen.log(
      "error",
      `${ended.signal} opens the runtime to debuggers: ending at once. Send no such signal (to rotate logs, say); ` +
        "what is under way is looked up at the next start",
    );
    return exitCodes.temporary;
  }
  if (ended.kind === "failed") screen.failure(ended.error);
  else screen.log("info", `${ended.signal}: starting nothing new, waiting for what runs`);

  const stopped = instance.stop().then(
    (drained) => drained ? "stopped" as const : "interrupted" as const,
    (error: unknown) => {
      screen.log("error", `Stopping failed: ${messageOf(error)}`);
      return "failed" as const;
    },
  );
  const outcome = await Promise.race([stopped, signals.second]);
  if (outcome !== "stopped" && outcome !== "interrupted" && outcome !== "failed") {
    screen.log("warn", `${outcome} again: ending at once; what is under way is looked up at the next start`);
    return exitCodes.temporary;
  }
  if (ended.kind === "failed") return exitCodeOf(ended.error);
  if (outcome === "failed") return exitCodes.temporary;
  if (outcome === "stopped") screen.log("info", "Stopped");
  else screen.log("warn", "Stopped, though LND still has something under way: it is looked up at the next start");
  return exitCodes.ok;
}
