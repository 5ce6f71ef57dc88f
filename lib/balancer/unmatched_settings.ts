import type { SettingsId } from "../config/config.ts";
import { channelIds } from "../domain/channel.ts";
import { formatShortChannelId } from "../domain/ids.ts";
import { tellIfUnmatched } from "./pause_commands.ts";
import type { BalancerState } from "./state.ts";
import { type Step, tell } from "./step.ts";

/** Warns once of settings and pauses that are for no node or channel of ours, as soon as every node has told its channels. */
export function tellUnmatchedSettings(step: Step): void {
  const { state } = step;
  if (state.unmatchedTold || state.nodes.some((node) => !node.listed)) return;
  state.unmatchedTold = true;
  for (const pause of state.pauses) tellIfUnmatched(step, pause);
  for (const { id } of state.config.limits.idSettings) {
    if (matches(state, id)) continue;
    tell(step, {
      kind: "warning",
      level: "warn",
      message: `The settings for ${describe(id)} in limits.idSettings are for no node or channel that is open now`,
    });
  }
}

function matches(state: BalancerState, id: SettingsId): boolean {
  return state.nodes.some((node) =>
    (id.kind === "channel" || id.alias === node.info?.alias) &&
    (id.kind === "alias" ||
      [...node.sides.values()].some(({ channel }) => channelIds(channel).includes(id.channelId)))
  );
}

function describe(id: SettingsId): string {
  switch (id.kind) {
    case "alias":
      return `"${id.alias}"`;
    case "channel":
      return formatShortChannelId(id.channelId);
    case "alias-channel":
      return `"${id.alias}:${formatShortChannelId(id.channelId)}"`;
  }
}
