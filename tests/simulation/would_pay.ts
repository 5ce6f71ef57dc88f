import { channelPositionSat, sideKey, totalOutflowSat } from "../../lib/audit/ledger.ts";
import { evenWallMsOf } from "../../lib/balancer/clocks.ts";
import { settingsOf, targetOf } from "../../lib/balancer/nodes.ts";
import { isOwn, type NodeState, type Side } from "../../lib/balancer/state.ts";
import { limitsFor } from "../../lib/config/settings.ts";
import { type Sat, sat, satToMsat } from "../../lib/domain/amounts.ts";
import type { NodePubkey } from "../../lib/domain/ids.ts";
import type { LeaveReason, RefuseReason } from "../../lib/domain/reasons.ts";
import { decidePayment, type PaymentDecision } from "../../lib/policy/payment.ts";
import { decideRebalance, leastSat } from "../../lib/policy/rebalance.ts";
import type { SimInstance } from "./instance.ts";
import type { World, WorldChannel } from "./world.ts";

/** One side of a channel, as its operator's machine knows it. */
interface Known {
  readonly instance: SimInstance;
  readonly node: NodeState;
  readonly side: Side;
}

/** Why nothing is paid to a side that lacks something, be the two in touch as they may. */
export type Obstacle =
  | { readonly by: "payee"; readonly reason: LeaveReason }
  /** Of one request after the other, each for what the refusal before says would be paid at most. */
  | { readonly by: "payer"; readonly reasons: readonly [RefuseReason, ...RefuseReason[]] };

/**
 * What stands now, by the rules of the two operators, between a side and what it lacks. Undefined: it would be asked for and
 * paid.
 */
export function obstacleOf(world: World, payee: NodePubkey, channel: WorldChannel): Obstacle | undefined {
  const [asking, paying] = [payee, channel.nodes.find((one) => one !== payee)!].map((node) =>
    knownAt(world, node, channel)
  );
  if (asking === undefined || paying === undefined) return undefined;
  const now = asking.instance.now();
  const settings = settingsOf(asking.instance.state!, asking.node, asking.side.channel);
  const wish = decideRebalance({ channel: asking.side.channel, settings, maxTokensSat: undefined });
  if (wish.kind === "leave") return { by: "payee", reason: wish.reason };
  const { receivedAtMs } = asking.side;
  if (receivedAtMs !== undefined && now.atMs - receivedAtMs < settings.minTimeBetweenPaymentsMs) {
    return { by: "payee", reason: "too-soon" };
  }
  const state = paying.instance.state!;
  const peer = paying.side.channel.remotePubkey;
  const trouble = state.troubles.get(peer);
  if (trouble !== undefined && trouble.failures >= 3 && paying.instance.now().atMs < trouble.untilMs) {
    return { by: "payer", reasons: ["peer-failing"] };
  }
  const reasons: RefuseReason[] = [];
  for (let amountSat = wish.amountSat;;) {
    const decision = decide(paying, amountSat);
    if (decision.kind === "pay") return undefined;
    reasons.push(decision.reason);
    const { maxTokensSat = amountSat } = decision;
    if (maxTokensSat >= amountSat || maxTokensSat < leastSat(asking.side.channel, settings)) break;
    amountSat = maxTokensSat;
  }
  return { by: "payer", reasons: reasons as [RefuseReason] };
}

function knownAt(world: World, pubkey: NodePubkey, { point }: WorldChannel): Known | undefined {
  const instance = world.instanceOf(pubkey);
  const node = instance?.state?.nodes.find(({ info }) => info?.pubkey === pubkey);
  const side = node?.sides.get(point);
  return instance && node && side && { instance, node, side };
}

function decide({ instance, node, side: { channel } }: Known, tokensSat: Sat): PaymentDecision {
  const state = instance.state!;
  const { ledger } = state;
  const { atMs, wallMs } = instance.now();
  const own = node.info!.pubkey;
  const peer = channel.remotePubkey;
  return decidePayment({
    tokensSat,
    invoice: {
      destination: peer,
      paymentHash: "" as never,
      amountMsat: satToMsat(tokensSat),
      memo: "",
      createdAtWallMs: wallMs,
      expiresAtWallMs: wallMs + 600_000,
      finalCltvBlocks: 80,
      routeHintCount: 0,
      blindedPathCount: 0,
      amp: false,
    },
    ...{ memoTag: "", expectedTag: "", peerProven: true, peerListed: true, hashKnown: false },
    ...{ requestOpen: false, paymentOpen: false },
    channel,
    node: own,
    settings: settingsOf(state, node, channel),
    limits: limitsFor(state.config.limits, targetOf(node, channel)),
    ownPeer: isOwn(state, peer),
    payments: ledger.payments.values(),
    lastAttemptAtMs: ledger.lastAttemptAtMs.get(sideKey(own, channel.channelPoint)),
    positionSat: ledger.positions.get(peer) ?? sat(0),
    channelPositionSat: channelPositionSat(ledger, own, peer, channel.channelPoint),
    totalOutflowSat: totalOutflowSat(ledger, (pubkey) => isOwn(state, pubkey)),
    ...{ atMs, wallMs, evenWallMs: evenWallMsOf(state, atMs) },
  });
}
