import type { Msat } from "./amounts.ts";
import type { NodePubkey, PaymentHash, ShortChannelId } from "./ids.ts";

/** One hop of the route that a payment took. */
export interface Hop {
  readonly channelId: ShortChannelId;
  readonly pubkey: NodePubkey;
}

/** LND's failure_reason of a payment that ended FAILED. The hash may be tried again. */
export type PaymentFailure =
  | "no-route"
  | "insufficient-balance"
  | "incorrect-details"
  | "timeout"
  | "canceled"
  | "error";

/** The same for people. */
export const failureSentences: Readonly<Record<PaymentFailure, string>> = {
  "no-route": "LND found no way over that channel without a fee",
  "insufficient-balance": "LND can't send so much over that channel now, or its peer is offline",
  "incorrect-details": "the other node refused it (its invoice was cancelled, perhaps)",
  timeout: "it came back, and the time for it was over",
  canceled: "it was cancelled in LND",
  error: "LND had an error, which its own log tells",
};

/**
 * What a node knows of one of its own outgoing payments (lnrpc.Payment).
 * `index`: LND's payment_index. A hash that failed may be paid again; that is another payment, with another index, and the
 * only one that the node tells of from then on.
 */
export type PaymentStatus =
  /** Ended. `routes`: the hops of every HTLC that succeeded. */
  | {
    readonly kind: "settled";
    readonly index: bigint;
    readonly amountMsat: Msat;
    readonly feeMsat: Msat;
    readonly routes: readonly (readonly Hop[])[];
  }
  /** Ended; nothing was paid. */
  | { readonly kind: "failed"; readonly index: bigint; readonly failure: PaymentFailure }
  /** Under way. Also every status that we don't know. `routes`: the hops of every HTLC that is out; none before the first. */
  | { readonly kind: "in-flight"; readonly index: bigint; readonly routes: readonly (readonly Hop[])[] }
  /** The node knows no such payment. No proof yet that it never will: it may still be working through a lost request. */
  | { readonly kind: "not-found" };

/**
 * The end of one attempt to pay.
 * `rejected`: LND refused the request before making a payment of it; nothing was or will be sent for this call.
 * `unknown`: the answer got lost; only the node's own look-up can say.
 */
export type PaymentOutcome =
  | Extract<PaymentStatus, { kind: "settled" | "failed" }>
  | { readonly kind: "rejected"; readonly detail: string }
  | { readonly kind: "unknown"; readonly detail: string };

/** One line of a node's payment history. */
export interface PaymentSummary {
  /** LND's payment_index: grows by one with each payment, and pages the history. */
  readonly index: bigint;
  readonly paymentHash: PaymentHash;
  readonly status: PaymentStatus;
  readonly amountMsat: Msat;
  readonly createdAtWallMs: number;
  /** When the last of the HTLCs that paid it was settled, by the node's clock; absent if none was, or it names no time. */
  readonly resolvedAtWallMs?: number;
  /** From the invoice, where there was one. */
  readonly destination: NodePubkey | undefined;
  readonly memo: string;
}

/** Whether a settled payment can have been a rebalance: without a fee, and in one hop as far as the node names any. */
export function isDirect({ feeMsat, routes }: Extract<PaymentStatus, { kind: "settled" }>): boolean {
  return feeMsat === 0n && routes.every(({ length }) => length === 1);
}
