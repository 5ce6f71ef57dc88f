import type { SettingsId } from "../config/config.ts";
import { channelIds } from "../domain/channel.ts";
import { formatShortChannelId } from "../domain/ids.ts";
import { allListed } from "./nodes.ts";
import { tellIfUnmatched } from "./pause_commands.ts";
import type { BalancerState } from "./state.ts";
import { type Step, tell } from "./step.ts";

/**
 * Warns of settings and pauses that are for no node or channel of ours, and of two groups that are for one channel: once, as
 * soon as every node has told its channels, and again when a node comes up under another name or is another one, or a pause
 * came while a node was down.
 */
export function tellUnmatchedSettings(step: Step): void {
  const { state } = step;
  if (state.unmatchedTold || !allListed(state)) return;
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
  for (const pair of pairsForOneChannel(state)) {
    tell(step, {
      kind: "warning",
      level: "warn",
      message: `The settings for ${pair.map(describe).join(" and ")} in limits.idSettings are for the same channel: ` +
        "where both give a value the later one holds. Join the two groups",
    });
  }
}

/** Equally specific groups whose ids are two of one channel's. */
function pairsForOneChannel({ nodes, config }: BalancerState): Iterable<readonly [SettingsId, SettingsId]> {
  const pairs = new Map<string, readonly [SettingsId, SettingsId]>();
  for (const { info, sides } of nodes) {
    for (const { channel } of sides.values()) {
      const before = new Map<string, SettingsId>();
      for (const { id } of config.limits.idSettings) {
        if (id.kind === "alias" || !channelIds(channel).includes(id.channelId)) continue;
        if (id.kind === "alias-channel" && id.alias !== info?.alias) continue;
        const other = before.get(id.kind);
        before.set(id.kind, id);
        if (other) pairs.set(`${describe(other)} ${describe(id)}`, [other, id]);
      }
    }
  }
  return pairs.values();
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
