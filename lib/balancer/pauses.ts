import { type Pause } from "../audit/pause.ts";
import { channelIds, type ChannelSnapshot } from "../domain/channel.ts";
import type { ChannelPoint, NodePubkey } from "../domain/ids.ts";
import { maxPausedChannels } from "../protocol/messages.ts";
import { type BalancerState, isOwn, type NodeState, type PeerSession, sessionFor, type Side } from "./state.ts";

/** Why nothing is asked or paid over a channel of ours: the widest pause that it is in. */
const pauseReasons = ["breaker", "paused", "node-paused", "channel-paused"] as const;

export type PausedBy = (typeof pauseReasons)[number];

/** Whether a refusal comes of a pause. */
export function isPause(reason: string): boolean {
  return pauseReasons.some((known) => known === reason);
}

/** What is paused over one side of a channel, if anything is. */
export function pausedBy(state: BalancerState, node: NodeState, channel: ChannelSnapshot): PausedBy | undefined {
  const everything = wholePause(state);
  if (everything !== undefined || state.pauses.length === 0) return everything;
  if (isNodePaused(state, node.info?.pubkey) || isNodePaused(state, channel.remotePubkey)) return "node-paused";
  return state.pauses.some(({ scope }) =>
      (scope.kind === "channel-id" && channelIds(channel).includes(scope.channelId)) ||
      (scope.kind === "channel-point" && scope.channelPoint === channel.channelPoint)
    )
    ? "channel-paused"
    : undefined;
}

/** Whether and why nothing at all is asked or paid. */
export function wholePause({ breaker, pauses }: BalancerState): "breaker" | "paused" | undefined {
  if (breaker !== undefined) return "breaker";
  return pauses.some(({ scope }) => scope.kind === "all") ? "paused" : undefined;
}

/** An alias names our own nodes only: another's is anybody's word. */
function isNodePaused({ pauses, nodes }: BalancerState, pubkey: NodePubkey | undefined): boolean {
  if (pubkey === undefined) return false;
  const alias = nodes.find(({ info }) => info?.pubkey === pubkey)?.info?.alias;
  return pauses.some(({ scope }) =>
    (scope.kind === "node" && scope.pubkey === pubkey) || (scope.kind === "alias" && scope.alias === alias)
  );
}

/** Whether the other side has said that it paused the channel. Between our own nodes we know it ourselves. */
export function isPausedByPeer(state: BalancerState, { remotePubkey, channelPoint }: ChannelSnapshot): boolean {
  if (isOwn(state, remotePubkey)) return false;
  const said = sessionFor(state, remotePubkey)?.nodes.get(remotePubkey);
  return said !== undefined && (said.paused || said.pausedChannels.includes(channelPoint));
}

/** What a session is told of a node's pauses: of its channels only those with nodes that the session speaks for. */
export function pausesToSay(
  state: BalancerState,
  peer: PeerSession,
  node: NodeState,
): { readonly paused?: true; readonly pausedChannels?: readonly ChannelPoint[] } {
  if (wholePause(state) !== undefined || isNodePaused(state, node.info?.pubkey)) return { paused: true };
  if (state.pauses.length === 0) return {};
  const paused: ChannelPoint[] = [];
  for (const { channel } of node.sides.values()) {
    if (paused.length === maxPausedChannels) break;
    if (peer.nodes.has(channel.remotePubkey) && pausedBy(state, node, channel)) paused.push(channel.channelPoint);
  }
  return paused.length === 0 ? {} : { pausedChannels: paused };
}

/** Whether something of ours or of a node that we meet is known by the pause's name; of a node that is down it can't be told. */
export function isMatched(state: BalancerState, { scope }: Pause): boolean {
  const sides: Side[] = state.nodes.flatMap((node) => [...node.sides.values()]);
  switch (scope.kind) {
    case "all":
      return true;
    case "alias":
      return state.nodes.some(({ info }) => info?.alias === scope.alias);
    case "node":
      return isOwn(state, scope.pubkey) || sides.some(({ channel }) => channel.remotePubkey === scope.pubkey);
    case "channel-id":
      return sides.some(({ channel }) => channelIds(channel).includes(scope.channelId));
    case "channel-point":
      return sides.some(({ channel }) => channel.channelPoint === scope.channelPoint);
  }
}
