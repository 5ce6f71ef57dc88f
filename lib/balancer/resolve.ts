import { sayLnd, tellLnd } from "../audit/by_hand.ts";
import { resolutionOf } from "../audit/resolution.ts";
import { unreachable } from "../domain/errors.ts";
import type { PaymentHash } from "../domain/ids.ts";
import type { NodeReply } from "../lightning/node.ts";
import { type LndView, type ResolveAs, whyNotResolve } from "../policy/resolve.ts";
import { nameOf, sats } from "./names.ts";
import { endByHand, isOfAnother, settle, wasMade } from "./payments.ts";
import { nodeByPubkey } from "./state.ts";
import { call, type Step, tell } from "./step.ts";

/** `tightrope resolve`: the operator says how an open payment ended. The paying node is asked first, if it answers. */
export function onResolve(step: Step, paymentHash: PaymentHash, as: ResolveAs): void {
  const { state } = step;
  const why = whyNotNow(step, paymentHash);
  if (why !== undefined) return refuse(step, paymentHash, as, why);
  const node = nodeByPubkey(state, state.payments.get(paymentHash)!.node);
  if (!node?.up) return decide(step, paymentHash, as, { kind: "unreachable", why: "it is down" });
  call(step, node.ref, { method: "trackPayment", args: [paymentHash] }, { kind: "resolve", paymentHash, as });
}

export function onResolveTracked(step: Step, paymentHash: PaymentHash, as: ResolveAs, reply: NodeReply): void {
  const why = whyNotNow(step, paymentHash);
  if (why !== undefined) return refuse(step, paymentHash, as, why);
  if (reply.ok && reply.method === "trackPayment") return decide(step, paymentHash, as, reply.value);
  decide(step, paymentHash, as, { kind: "unreachable", why: reply.ok ? "no answer" : reply.message });
}

function whyNotNow({ state }: Step, paymentHash: PaymentHash): string | undefined {
  const payment = state.payments.get(paymentHash);
  if (payment === undefined) return "it isn't open";
  if (state.draining) return "Tightrope is stopping";
  switch (payment.phase) {
    case "recording":
    case "paying":
      return "it is being paid just now";
    case "ending":
      return "it is ending just now";
    case "tracking":
      return undefined;
    default:
      return unreachable(payment.phase);
  }
}

function decide(step: Step, paymentHash: PaymentHash, as: ResolveAs, view: LndView): void {
  const { state, now } = step;
  const payment = state.payments.get(paymentHash)!;
  const entry = state.ledger.payments.get(paymentHash)!;
  const isPayment = view.kind !== "unreachable" && view.kind !== "not-found";
  const why = isPayment && isOfAnother(payment, entry, view)
    ? "LND has made another payment of its hash since, so that this one has failed: it ends by itself"
    : whyNotResolve({
      ...{ as, view, wasMade: wasMade(payment) },
      ...{ wallMs: now.wallMs, expiresAtWallMs: entry.expiresAtWallMs },
    });
  if (why !== undefined) return refuse(step, paymentHash, as, why);
  const says = sayLnd(view);
  tell(step, {
    kind: "resolved",
    level: "warn",
    message: `Resolved by the operator's hand: the payment of ${sats(entry.amountSat)} to ${
      nameOf(state, entry.peer)
    } counts as ${as}; ${tellLnd(view)}`,
    role: "payer",
    ...{ node: entry.node, peer: entry.peer, paymentHash, amountSat: entry.amountSat },
    ...(entry.channelPoint === undefined ? {} : { channelPoint: entry.channelPoint }),
    ...(entry.channelId === undefined ? {} : { channelId: entry.channelId }),
    reason: as,
  });
  // What LND itself says is looked at as it always is: the fee, the hops, the channel.
  if (view.kind === "settled") return settle(step, payment, view);
  endByHand(step, payment, resolutionOf(entry, as, says, now.wallMs));
}

function refuse(step: Step, paymentHash: PaymentHash, as: ResolveAs, why: string): void {
  tell(step, {
    kind: "resolve-refused",
    level: "warn",
    message: `The payment ${paymentHash} was not resolved as ${as}: ${why}`,
    paymentHash,
    reason: why,
  });
}
