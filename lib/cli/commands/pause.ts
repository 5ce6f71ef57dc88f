import { type Pause, type PauseScope, scopeName } from "../../audit/pause.ts";
import { addPause, removePause } from "../../audit/pause_file.ts";
import type { Config } from "../../config/config.ts";
import { dataPaths } from "../../config/data_paths.ts";
import { channelIds, type ChannelSnapshot } from "../../domain/channel.ts";
import { TightropeError } from "../../domain/errors.ts";
import { systemClock, systemRandom } from "../../env/system.ts";
import type { NodeInfo } from "../../lightning/node.ts";
import { LightningWorker } from "../../workers/lightning_remote.ts";
import { capitalised, type Command } from "../args.ts";
import { exitCodes } from "../exit_codes.ts";
import { loadConfig } from "./load_config.ts";
import { reachNodes, tried } from "./read_ledger.ts";
import { print } from "./screen.ts";

/** `tightrope pause`: leaves word for the daemon. @returns the exit code */
export async function pause(command: Extract<Command, { kind: "pause" }>): Promise<number> {
  const { scope } = command;
  const config = await loadConfig(command.configPath, { credentials: false });
  const paths = dataPaths(config.audit);
  const { wallMs } = systemClock.now();
  const { changed, pauses } = addPause(paths, { scope, by: "operator", reason: "", sinceWallMs: wallMs });
  const unreadable = pauses.find(({ by }) => by === "unreadable");
  if (!changed && unreadable !== undefined) print(`Everything is paused already, since ${unreadable.reason}\n`);
  else if (!changed) print(`${capitalised(subject(scope))} was paused already\n`);
  else if (scope.kind === "all") print("Paused: nothing is asked or paid until resume\n");
  else print(`Paused ${scopeName(scope)}: nothing is asked or paid over it until resume\n`);
  // It stands already, whatever LND takes to answer.
  if (scope.kind === "all" || await isKnown(config, scope)) return exitCodes.ok;
  throw new TightropeError(
    "usage",
    `But no node or open channel of this configuration is called so: the pause of ${
      scopeName(scope)
    } stops nothing now`,
    `Look at the name: ${nameRules[scope.kind]}. \`tightrope resume\` with the same option takes the pause back`,
  );
}

const nameRules: Readonly<Record<Exclude<PauseScope["kind"], "all">, string>> = {
  alias: "an alias is one of your own nodes'; another operator's node is named by its whole public key",
  node: "it has no channel with a node of yours",
  "channel-id": "`tightrope log events` has the channels that are watched",
  "channel-point": "`tightrope log events` has the channels that are watched",
};

/** Whether a node of ours or a channel goes by that name; so it may, as long as one of our nodes doesn't answer. */
async function isKnown(config: Config, scope: PauseScope): Promise<boolean> {
  const worker = new LightningWorker(config.lightningNodes, systemRandom);
  try {
    for (const { node, info } of await reachNodes(config, worker.nodes)) {
      if (info === undefined) return true;
      const channels = await tried(() => node.listChannels());
      if (typeof channels === "string" || isNamed(scope, info, channels)) return true;
    }
    return false;
  } finally {
    await worker.close();
  }
}

function isNamed(scope: PauseScope, { pubkey, alias }: NodeInfo, channels: readonly ChannelSnapshot[]): boolean {
  switch (scope.kind) {
    case "all":
      return true;
    case "alias":
      return scope.alias === alias;
    case "node":
      return scope.pubkey === pubkey || channels.some(({ remotePubkey }) => remotePubkey === scope.pubkey);
    case "channel-id":
      return channels.some((channel) => channelIds(channel).includes(scope.channelId));
    case "channel-point":
      return channels.some(({ channelPoint }) => channelPoint === scope.channelPoint);
  }
}

/** `tightrope resume`. @returns the exit code */
export async function resume(command: Extract<Command, { kind: "resume" }>): Promise<number> {
  const { scope } = command;
  const paths = dataPaths((await loadConfig(command.configPath, { credentials: false })).audit);
  const { changed, pauses } = removePause(paths, scope);
  // Only a running Tightrope knows of clones.
  const unset = "No pause was set. A node that was stopped because of another instance goes on\n";
  if (scope.kind === "all") print(changed ? "Resumed\n" : unset);
  else if (changed) print(`Resumed ${scopeName(scope)}\n`);
  else print(`${capitalised(subject(scope))} wasn't paused by that name\n`);
  for (const pause of pauses) print(`Still paused: ${stillPaused(pause)}\n`);
  return exitCodes.ok;
}

const subject = (scope: PauseScope) => scope.kind === "all" ? "it" : scopeName(scope);

function stillPaused({ scope, by, reason }: Pause): string {
  return by === "operator"
    ? scopeName(scope)
    : `${scopeName(scope)}, since ${reason}; \`tightrope resume\` without a name ends that`;
}
