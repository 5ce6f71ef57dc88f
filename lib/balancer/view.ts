import type { Pause } from "../audit/pause.ts";
import { limitsFor } from "../config/settings.ts";
import type { Sat } from "../domain/amounts.ts";
import type { ChannelPoint, NodePubkey, RequestId, ShortChannelId, SwarmKey } from "../domain/ids.ts";
import { remainingSat } from "../policy/budget.ts";
import { askingSat, shareOf, totalSat } from "../policy/share.ts";
import { evenWallMsOf } from "./clocks.ts";
import { isHistoryKnown } from "./history.ts";
import { aliasOf } from "./names.ts";
import { settingsOf, targetOf } from "./nodes.ts";
import { wholePause } from "./pauses.ts";
import { type BalancerState, isOwn, type NodeState, type Side } from "./state.ts";

/** What the balancer knows and thinks now, for screens, status and metrics. Plain data. */
export interface BalancerView {
  /** Whether everything is paused, and all that is. */
  readonly paused: boolean;
  readonly pauses: readonly Pause[];
  readonly draining: boolean;
  readonly dryRun: boolean;
  /** Why all paying is stopped, if it is. */
  readonly breaker: string | undefined;
  readonly nodes: readonly NodeView[];
  /** The other instances that we are connected to and that know the secret. */
  readonly peers: readonly PeerView[];
  readonly channels: readonly ChannelView[];
  readonly requests: readonly RequestView[];
  /** Net outflow per node of other instances; negative: we owe. */
  readonly positions: readonly { readonly peer: NodePubkey; readonly alias: string; readonly positionSat: Sat }[];
}

export interface NodeView {
  readonly pubkey: NodePubkey | undefined;
  readonly alias: string;
  readonly up: boolean;
  /** Its channels are known, and its payment history was read: it may pay. */
  readonly ready: boolean;
  readonly cloned: boolean;
}

export interface PeerView {
  readonly swarmKey: SwarmKey;
  readonly nodes: readonly { readonly pubkey: NodePubkey; readonly alias: string; readonly proven: boolean }[];
}

/** Our side of a channel. */
export interface ChannelView {
  readonly node: NodePubkey;
  readonly alias: string;
  readonly peer: NodePubkey;
  readonly peerAlias: string;
  readonly ownPeer: boolean;
  readonly channelPoint: ChannelPoint;
  readonly channelId: ShortChannelId;
  readonly watched: boolean;
  readonly active: boolean;
  readonly capacitySat: Sat;
  readonly localSat: Sat;
  readonly remoteSat: Sat;
  readonly unsettledSat: Sat;
  /** Our share as it counts for asking, 0 to 1; what the settings want; and whether it is far enough from it to act. */
  readonly share: number;
  readonly balancePoint: number;
  readonly deadzone: number;
  readonly insideDeadzone: boolean;
  /** The reason last told: a LeaveReason, or `asking`. */
  readonly reason: string | undefined;
  /** What the narrowest amount limit leaves for paying. */
  readonly budgetRemainingSat: Sat;
}

/** One request or payment under way. */
export interface RequestView {
  readonly role: "payer" | "payee";
  readonly node: NodePubkey;
  readonly peer: NodePubkey;
  readonly channelPoint: ChannelPoint | undefined;
  readonly amountSat: Sat;
  readonly requestId: RequestId | undefined;
  readonly phase: string;
  readonly startedAtMs: number;
}

/** @param atMs monotonic; without it budgets are as of the last settled payment, that is never too large */
export function viewBalancer(state: BalancerState, atMs?: number): BalancerView {
  return {
    paused: wholePause(state) !== undefined,
    pauses: state.pauses,
    draining: state.draining,
    dryRun: state.config.dryRun,
    breaker: state.breaker,
    nodes: state.nodes.map((node) => ({
      pubkey: node.info?.pubkey,
      alias: node.info?.alias ?? "",
      up: node.up,
      ready: node.up && node.listed && isHistoryKnown(state, node),
      cloned: node.cloned,
    })),
    peers: [...state.peers.values()].filter((peer) => peer.via === "swarm" && peer.sessionId !== undefined)
      .map((peer) => ({
        swarmKey: peer.session.remoteKey,
        nodes: [...peer.nodes.values()].map(({ pubkey, alias, proven }) => ({ pubkey, alias, proven })),
      })),
    channels: state.nodes.flatMap((node) => [...node.sides.values()].map((side) => viewSide(state, node, side, atMs))),
    requests: [...viewRequests(state)],
    positions: [...state.ledger.positions].filter(([peer]) => !isOwn(state, peer))
      .map(([peer, positionSat]) => ({ peer, alias: aliasOf(state, peer), positionSat })),
  };
}

function viewSide(state: BalancerState, node: NodeState, side: Side, atMs: number | undefined): ChannelView {
  const { channel } = side;
  const { balancePoint, deadzone } = settingsOf(state, node, channel);
  const share = shareOf(askingSat(channel), totalSat(channel));
  const own = node.info!.pubkey;
  return {
    node: own,
    alias: node.info!.alias,
    peer: channel.remotePubkey,
    peerAlias: aliasOf(state, channel.remotePubkey),
    ownPeer: isOwn(state, channel.remotePubkey),
    channelPoint: channel.channelPoint,
    channelId: channel.shortChannelId,
    watched: side.shared,
    active: channel.active,
    capacitySat: channel.capacitySat,
    localSat: channel.localSat,
    remoteSat: channel.remoteSat,
    unsettledSat: channel.unsettledSat,
    share,
    balancePoint,
    deadzone,
    insideDeadzone: Math.abs(share - balancePoint) <= deadzone + 1e-9,
    reason: side.told,
    budgetRemainingSat: remainingSat({
      node: own,
      channelPoint: channel.channelPoint,
      limits: limitsFor(state.config.limits, targetOf(node, channel)),
      payments: state.ledger.payments.values(),
      atMs: atMs ?? -Infinity,
      evenWallMs: evenWallMsOf(state, atMs ?? state.clock.atMs),
    }),
  };
}

function* viewRequests(state: BalancerState): Generator<RequestView> {
  for (const ask of state.asks.values()) {
    const { node, peer, channelPoint, amountSat, requestId, phase, startedAtMs } = ask;
    yield { role: "payee", node, peer, channelPoint, amountSat, requestId, phase, startedAtMs };
  }
  for (const { paymentHash, phase, startedAtMs } of state.payments.values()) {
    const entry = state.ledger.payments.get(paymentHash);
    if (entry === undefined) continue;
    const { node, peer, channelPoint, amountSat, requestId } = entry;
    yield { role: "payer", node, peer, channelPoint, amountSat, requestId, phase, startedAtMs };
  }
}
