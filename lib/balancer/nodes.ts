import type { BalanceSettings, SettingsTarget } from "../config/config.ts";
import { nodeSettingsFor, settingsFor } from "../config/settings.ts";
import { channelIds, type ChannelSnapshot } from "../domain/channel.ts";
import type { NodePubkey, RequestId, ShortChannelId } from "../domain/ids.ts";
import type { NodeEvent, NodeReply } from "../lightning/node.ts";
import { channelName, nameOf } from "./names.ts";
import { type BalancerState, createHistory, createSide, type NodeState, sessionFor, type Side } from "./state.ts";
import { call, countUntold, type Step, tell, tellOfChannel } from "./step.ts";

/** Polls after a hint, in ms: a receiver's ListChannels lags 20 to 45 ms behind the event. */
const followUpMs = [20, 40, 80, 160, 320] as const;
/** Hints closer together than this share a poll; a node that is slow to answer is asked less often. */
const hintSpacingMs = 10;
const pollLoad = 4;

export interface NodeHandlers {
  /** The node answers (again). */
  readonly cameUp: (step: Step, node: NodeState) => void;
  /** Its channels are freshly listed. */
  readonly listed: (step: Step, node: NodeState) => void;
  /** An HTLC was settled or failed over one of these channels. */
  readonly htlc: (step: Step, node: NodeState, channelIds: readonly ShortChannelId[]) => void;
}

export function onNodeEvent(step: Step, node: NodeState, event: NodeEvent, handlers: NodeHandlers): void {
  switch (event.kind) {
    case "up":
      return comeUp(step, node, event, handlers);
    case "down": {
      node.up = false;
      node.listed = false;
      node.pollFailed = false;
      node.pollAtMs = undefined;
      tell(step, {
        kind: "node-down",
        level: "warn",
        message: `${nodeName(step.state, node)} is not reachable: ${event.message}. ${event.remedy}`,
        ...(node.info ? { node: node.info.pubkey } : {}),
      });
      for (const side of node.sides.values()) Object.assign(side, { told: "node-down", untold: false });
      return;
    }
    case "warning":
      return tell(step, {
        kind: "warning",
        level: "warn",
        message: `${nodeName(step.state, node)}: ${event.message}. ${event.remedy}`,
        ...(node.info ? { node: node.info.pubkey } : {}),
      });
    case "channel":
      return hint(step, node);
    case "htlc": {
      const touches = [...node.sides.values()].some((side) =>
        (side.shared || side.ask !== undefined) && channelIds(side.channel).some((id) => event.channelIds.includes(id))
      );
      if (!touches) return;
      handlers.htlc(step, node, event.channelIds);
      return hint(step, node);
    }
  }
}

function comeUp(
  step: Step,
  node: NodeState,
  { info }: Extract<NodeEvent, { kind: "up" }>,
  handlers: NodeHandlers,
): void {
  const { state } = step;
  const twin = state.nodes.find((other) => other !== node && other.info?.pubkey === info.pubkey);
  node.leftOut = twin !== undefined;
  if (twin) {
    return tell(step, {
      kind: "warning",
      level: "error",
      message: `${nameOf(state, info.pubkey)} is configured twice (lightningNodes ${twin.ref + 1} and ${
        node.ref + 1
      }): the second is left out`,
      node: info.pubkey,
    });
  }
  if (node.info !== undefined && node.info.pubkey !== info.pubkey) {
    // Another node answers behind the same socket: nothing that we knew is true of it.
    node.sides.clear();
    node.cloned = false;
    node.history = createHistory();
  }
  if (node.info !== undefined && (node.info.pubkey !== info.pubkey || node.info.alias !== info.alias)) {
    state.unmatchedTold = false;
  }
  node.info = info;
  node.up = true;
  tell(step, {
    kind: "node-up",
    level: "info",
    message: `${nameOf(state, info.pubkey)} is up: LND ${info.version} on ${info.network}`,
    node: info.pubkey,
  });
  poll(step, node);
  handlers.cameUp(step, node);
}

/** Something moved: look at once, and again shortly after, since the node's own numbers lag. */
export function hint(step: Step, node: NodeState): void {
  node.followUps = 0;
  pollSoon(step, node, 0);
}

/** Whatever wants a look, a list that takes long is asked for only so often: a node has other work. */
function earliestPollMs(node: NodeState): number {
  return node.polledAtMs + Math.max(hintSpacingMs, node.pollTookMs * pollLoad);
}

export function pollSoon(step: Step, node: NodeState, inMs: number): void {
  if (!node.up) return;
  const atMs = Math.max(step.now.atMs + inMs, earliestPollMs(node));
  if (atMs <= step.now.atMs) return poll(step, node);
  node.pollAtMs = Math.min(node.pollAtMs ?? Infinity, atMs);
}

/** One ListChannels at a time per node. */
function poll(step: Step, node: NodeState): void {
  if (node.polling) {
    node.pollAgain = true;
    node.pollAtMs = undefined;
    return;
  }
  node.polling = true;
  node.pollAgain = false;
  node.pollAtMs = undefined;
  node.polledAtMs = step.now.atMs;
  const list = ++node.lists.asked;
  call(step, node.ref, { method: "listChannels", args: [] }, { kind: "poll", node: node.ref, list });
}

export function onPolled(step: Step, node: NodeState, list: number, reply: NodeReply, handlers: NodeHandlers): void {
  node.polling = false;
  node.pollTookMs = step.now.atMs - node.polledAtMs;
  if (!node.up) return;
  if (reply.ok && reply.method === "listChannels") {
    if (node.pollFailed) tellListsAgain(step, node);
    node.pollFailed = false;
    applyChannels(step, node, list, reply.value);
    handlers.listed(step, node);
  } else if (!reply.ok && !node.pollFailed) {
    node.pollFailed = true;
    tell(step, {
      kind: "warning",
      level: "warn",
      message: `${nodeName(step.state, node)} did not list its channels: ${reply.message}. ${reply.remedy}`,
      ...(node.info ? { node: node.info.pubkey } : {}),
    });
  }
  // The operator's refreshRate holds however slow the node is; what comes before it has to wait its turn.
  node.pollAtMs = Math.min(node.pollAtMs ?? Infinity, step.now.atMs + refreshMs(step.state, node));
  if (node.pollAgain) return pollSoon(step, node, hintSpacingMs);
  const followUp = unsettledAnywhere(node) ? followUpMs[node.followUps++] : undefined;
  pollSoon(step, node, Math.min(followUp ?? Infinity, untilRetryMs(step, node)));
}

function tellListsAgain(step: Step, node: NodeState): void {
  tell(step, {
    kind: "warning",
    level: "info",
    message: `${nodeName(step.state, node)} lists its channels again`,
    ...(node.info ? { node: node.info.pubkey } : {}),
  });
}

/** When the first wait after a failed request ends: the channel is looked at then, not at the poll after it. */
function untilRetryMs({ now }: Step, node: NodeState): number {
  let firstMs = Infinity;
  for (const { shared, notBeforeMs, maxTokens } of node.sides.values()) {
    if (!shared) continue;
    for (const atMs of [notBeforeMs, maxTokens?.untilMs ?? -Infinity]) {
      if (atMs > now.atMs && atMs < firstMs) firstMs = atMs;
    }
  }
  return firstMs - now.atMs;
}

/** Whether the numbers of a shared channel may be about to move by themselves. */
function unsettledAnywhere(node: NodeState): boolean {
  for (const side of node.sides.values()) {
    if (side.rest !== undefined || (side.shared && side.channel.unsettledSat > 0n)) return true;
  }
  // The first look after a hint may have come too early to show it.
  return node.followUps < 2;
}

/** Takes a list as the truth about the node's channels, unless a newer one has come. A failed list never gets here. */
export function applyChannels(step: Step, node: NodeState, list: number, channels: readonly ChannelSnapshot[]): void {
  node.listed = true;
  if (list < node.lists.taken) return;
  node.lists.taken = list;
  const points = new Set(channels.map((channel) => channel.channelPoint));
  for (const [point, side] of node.sides) {
    if (points.has(point)) continue;
    if (side.shared) tellShared(step, node, side, false, "the channel was closed");
    node.sides.delete(point);
  }
  for (const channel of channels) {
    const side = node.sides.get(channel.channelPoint);
    if (side) side.channel = channel;
    else node.sides.set(channel.channelPoint, { ...createSide(channel), ask: openAsk(step.state, node, channel) });
  }
  refreshShared(step, node);
}

/** A request of an earlier run, or of before the node left the channel out of a list: there is never a second beside it. */
function openAsk({ asks }: BalancerState, node: NodeState, { channelPoint }: ChannelSnapshot): RequestId | undefined {
  for (const ask of asks.values()) {
    if (ask.channelPoint === channelPoint && ask.node === node.info?.pubkey) return ask.requestId;
  }
  return undefined;
}

/**
 * Watches the channels with nodes of the cluster, and no others. Returns whether there is a new one.
 * @param remote whose channels may have changed; every node's if absent
 */
export function refreshShared(step: Step, node: NodeState, remote?: NodePubkey): boolean {
  let found = false;
  for (const side of node.sides.values()) {
    if (remote !== undefined && side.channel.remotePubkey !== remote) continue;
    const peer = sessionFor(step.state, side.channel.remotePubkey);
    const introduced = peer?.nodes.get(side.channel.remotePubkey);
    if (introduced) step.state.aliases.set(introduced.pubkey, introduced.alias);
    const shared = introduced !== undefined && introduced.network === node.info?.network;
    if (shared === side.shared) continue;
    side.shared = shared;
    side.told = undefined;
    side.untold = false;
    if (shared) found = true;
    tellShared(step, node, side, shared, "its node left the cluster");
  }
  return found;
}

function tellShared(step: Step, node: NodeState, side: Side, shared: boolean, why: string): void {
  const { channel } = side;
  const between = `${nodeName(step.state, node)} and ${nameOf(step.state, channel.remotePubkey)}`;
  const isTold = tellOfChannel(step, side, {
    kind: shared ? "channel-watched" : "channel-unwatched",
    level: "info",
    message: shared
      ? `Watching channel ${channelName(channel)} between ${between}`
      : `No longer watching channel ${channelName(channel)} between ${between}: ${why}`,
    ...facts(node, side),
  });
  if (!isTold) countUntold(step);
}

/** Whether the channels of every node of ours are known now; one that is left out has none of its own. */
export function allListed({ nodes }: BalancerState): boolean {
  return nodes.every(({ listed, leftOut }) => listed || leftOut);
}

/** What an event about one side of a channel names. */
export function facts(node: NodeState, { channel }: Side) {
  return {
    ...(node.info ? { node: node.info.pubkey } : {}),
    peer: channel.remotePubkey,
    channelPoint: channel.channelPoint,
    channelId: channel.shortChannelId,
  };
}

export function targetOf(node: NodeState, channel: ChannelSnapshot): SettingsTarget {
  return {
    alias: node.info?.alias ?? "",
    channelPoint: channel.channelPoint,
    channelIds: channelIds(channel),
  };
}

export function settingsOf(state: BalancerState, node: NodeState, channel: ChannelSnapshot): BalanceSettings {
  return settingsFor(state.config.limits, targetOf(node, channel));
}

/** The shortest refreshRate of the node's shared channels; the node's own while it has none. */
function refreshMs(state: BalancerState, node: NodeState): number {
  const rates = [...node.sides.values()].filter((side) => side.shared)
    .map((side) => settingsOf(state, node, side.channel).refreshRateMs);
  return rates.length > 0
    ? Math.min(...rates)
    : nodeSettingsFor(state.config.limits, node.info?.alias ?? "").refreshRateMs;
}

export function nodeName(state: BalancerState, node: NodeState): string {
  return node.info ? nameOf(state, node.info.pubkey) : `Node ${node.ref + 1} of lightningNodes`;
}

export function nodeTimers(step: Step): void {
  for (const node of step.state.nodes) {
    if (node.up && node.pollAtMs !== undefined && step.now.atMs >= node.pollAtMs) poll(step, node);
  }
}

export function* nodeDeadlines(state: BalancerState): Generator<number | undefined> {
  for (const node of state.nodes) if (node.up) yield node.pollAtMs;
}
