import { type Pause, type PauseScope, scopeName } from "../../audit/pause.ts";
import { addPause, removePause } from "../../audit/pause_file.ts";
import { dataPaths } from "../../config/data_paths.ts";
import { systemClock } from "../../env/system.ts";
import { capitalised, type Command } from "../args.ts";
import { exitCodes } from "../exit_codes.ts";
import { loadConfig } from "./load_config.ts";
import { print } from "./screen.ts";

/** `tightrope pause`: leaves word for the daemon. @returns the exit code */
export async function pause(command: Extract<Command, { kind: "pause" }>): Promise<number> {
  const { scope } = command;
  const paths = dataPaths((await loadConfig(command.configPath, { credentials: false })).audit);
  const { wallMs } = systemClock.now();
  const { changed, pauses } = addPause(paths, { scope, by: "operator", reason: "", sinceWallMs: wallMs });
  const unreadable = pauses.find(({ by }) => by === "unreadable");
  if (!changed && unreadable !== undefined) print(`${capitalised(unreadable.reason)} already\n`);
  else if (!changed) print(`${capitalised(subject(scope))} was paused already\n`);
  else if (scope.kind === "all") print("Paused: nothing is asked or paid until resume\n");
  else print(`Paused ${scopeName(scope)}: nothing is asked or paid over it until resume\n`);
  return exitCodes.ok;
}

/** `tightrope resume`. @returns the exit code */
export async function resume(command: Extract<Command, { kind: "resume" }>): Promise<number> {
  const { scope } = command;
  const paths = dataPaths((await loadConfig(command.configPath, { credentials: false })).audit);
  const { changed, pauses } = removePause(paths, scope);
  if (scope.kind === "all") print(changed ? "Resumed\n" : "It wasn't paused\n");
  else {print(
      `${changed ? `Resumed ${scopeName(scope)}` : `${capitalised(subject(scope))} wasn't paused by that name`}\n`,
    );}
  for (const pause of pauses) print(`Still paused: ${stillPaused(pause)}\n`);
  return exitCodes.ok;
}

const subject = (scope: PauseScope) => scope.kind === "all" ? "it" : scopeName(scope);

function stillPaused({ scope, by, reason }: Pause): string {
  return by === "operator"
    ? scopeName(scope)
    : `${scopeName(scope)}, since ${reason}; \`tightrope resume\` without a name ends that`;
}
