import type { Msat, Sat } from "../domain/amounts.ts";
import type { ChannelSnapshot } from "../domain/channel.ts";
import { TightropeError } from "../domain/errors.ts";
import type { ChannelPoint, NodePubkey, PaymentHash, ShortChannelId } from "../domain/ids.ts";
import type { DecodedInvoice, InvoiceStatus } from "../domain/invoice.ts";
import type { Network } from "../domain/network.ts";
import type { PaymentOutcome, PaymentStatus, PaymentSummary } from "../domain/payment.ts";

/** Who a node says it is (lnrpc.GetInfoResponse). */
export interface NodeInfo {
  readonly pubkey: NodePubkey;
  /** As the node reports it; may be empty, and is any text. */
  readonly alias: string;
  readonly network: Network;
  readonly version: string;
}

/** What SendPaymentV2 is asked for. Everything else is fixed: one part, no fee, no AMP, no payment to oneself. */
export interface PaymentRequest {
  readonly invoice: string;
  /** Known from the decoded invoice; names the payment in look-ups. */
  readonly paymentHash: PaymentHash;
  /** The one channel that may be used. */
  readonly outgoingChannelId: ShortChannelId;
  /** How long LND may start attempts; one in flight may outlive it without limit. */
  readonly timeoutSec: number;
  readonly cltvLimitBlocks: number;
}

export interface InvoiceRequest {
  readonly amountSat: Sat;
  readonly memo: string;
  readonly expirySec: number;
}

export interface NewInvoice {
  readonly paymentHash: PaymentHash;
  readonly invoice: string;
}

/**
 * What a node reports by itself.
 * `up` comes first and again after every loss (with what GetInfo says then); `down` once per loss, with the reason and
 * the remedy for the operator. `channel` and `htlc` are hints: something moved; the reader looks for itself.
 */
export type NodeEvent =
  | { readonly kind: "up"; readonly info: NodeInfo }
  | { readonly kind: "down"; readonly message: string; readonly remedy: string }
  /** Not a loss, but the operator should know (a certificate about to expire, say). */
  | { readonly kind: "warning"; readonly message: string; readonly remedy: string }
  /** A channel opened, closed, went active or inactive; without a channel point: look at all. */
  | { readonly kind: "channel"; readonly channelPoint?: ChannelPoint }
  /** An HTLC was forwarded, settled or failed over these channels. */
  | { readonly kind: "htlc"; readonly channelIds: readonly ShortChannelId[] };

/**
 * One Lightning node under this operator's control.
 *
 * Contract, held by `tests/lightning/node_contract.ts` against every implementation:
 * - Every method rejects with a {@link LightningError} and nothing else, and within a deadline of its own.
 * - `pay` never rejects: an answer that got lost is the outcome `unknown`. It resolves when the payment has ended, however
 *   long that takes, or when the stream of its updates is lost. Abandoning it doesn't stop the payment.
 * - `pay` with a hash that is in flight or settled is `rejected` and sends nothing.
 * - `trackPayment` tells the state of now and doesn't wait for the end.
 * - `cancelInvoice` resolves for an invoice already cancelled and rejects ("failed") for one settled or unknown.
 * - `lookupInvoice` tells `undefined` for a hash that the node doesn't know.
 * - `decodeInvoice` rejects with `invalid-invoice` for text that is no invoice of the node's network.
 * - After `close`, every pending call rejects (a pending `pay` is `unknown`), and `watch` ends.
 */
export interface LightningNode {
  /** Connects, and goes on connecting; calls `onEvent` in order. Call it once; resolves when the node was closed. */
  watch(onEvent: (event: NodeEvent) => void): Promise<void>;
  getInfo(): Promise<NodeInfo>;
  listChannels(): Promise<readonly ChannelSnapshot[]>;
  /** The payments after `afterIndex`, oldest first, at most `limit`; pending and failed ones too. */
  listPayments(afterIndex: bigint, limit: number): Promise<readonly PaymentSummary[]>;
  addInvoice(request: InvoiceRequest): Promise<NewInvoice>;
  lookupInvoice(paymentHash: PaymentHash): Promise<InvoiceStatus | undefined>;
  cancelInvoice(paymentHash: PaymentHash): Promise<void>;
  decodeInvoice(invoice: string): Promise<DecodedInvoice>;
  /** The node's own signature over `text` in LND's form (z-base-32 of a recoverable ECDSA signature). */
  signMessage(text: string): Promise<string>;
  pay(request: PaymentRequest): Promise<PaymentOutcome>;
  trackPayment(paymentHash: PaymentHash): Promise<PaymentStatus>;
  close(): Promise<void>;
}

/**
 * Why a call failed.
 * `unavailable`: not reachable, locked, starting or too slow; try again. `permission`: the macaroon lacks a right or is not
 * this node's. `invalid-invoice`: the text is no invoice for this node. `failed`: the node refused; its words are the message.
 */
export type LightningErrorKind = "unavailable" | "permission" | "invalid-invoice" | "failed";

export class LightningError extends TightropeError {
  readonly kind: LightningErrorKind;

  constructor(kind: LightningErrorKind, message: string, remedy: string, options?: { cause?: unknown }) {
    super(kind === "permission" ? "permission" : "unavailable", message, remedy, options);
    this.kind = kind;
  }
}

/** The methods that ask something and get one answer, by name: arguments and result. The worker port and the balancer's effects speak this. */
export interface NodeCalls {
  getInfo: { args: readonly []; result: NodeInfo };
  listChannels: { args: readonly []; result: readonly ChannelSnapshot[] };
  listPayments: { args: readonly [afterIndex: bigint, limit: number]; result: readonly PaymentSummary[] };
  addInvoice: { args: readonly [InvoiceRequest]; result: NewInvoice };
  lookupInvoice: { args: readonly [PaymentHash]; result: InvoiceStatus | undefined };
  cancelInvoice: { args: readonly [PaymentHash]; result: void };
  decodeInvoice: { args: readonly [string]; result: DecodedInvoice };
  signMessage: { args: readonly [string]; result: string };
  pay: { args: readonly [PaymentRequest]; result: PaymentOutcome };
  trackPayment: { args: readonly [PaymentHash]; result: PaymentStatus };
}

export type NodeMethod = keyof NodeCalls;

/** One call as data. */
export type NodeCall = { [M in NodeMethod]: { readonly method: M; readonly args: NodeCalls[M]["args"] } }[NodeMethod];

/** The answer to a call as data; `error.kind` is that of {@link LightningError}. */
export type NodeReply =
  | { [M in NodeMethod]: { readonly ok: true; readonly method: M; readonly value: NodeCalls[M]["result"] } }[NodeMethod]
  | {
    readonly ok: false;
    readonly method: NodeMethod;
    readonly kind: LightningErrorKind;
    readonly message: string;
    readonly remedy: string;
  };

/** Makes one call given as data. Never rejects, except with a broken invariant. */
export async function callNode(node: LightningNode, call: NodeCall): Promise<NodeReply> {
  try {
    // The union of calls is correlated (method with its args), which TypeScript can't follow through an index.
    const method = node[call.method] as (...args: readonly unknown[]) => Promise<never>;
    return { ok: true, method: call.method, value: await method.apply(node, [...call.args]) };
  } catch (error) {
    if (!(error instanceof LightningError)) throw error;
    return { ok: false, method: call.method, kind: error.kind, message: error.message, remedy: error.remedy };
  }
}

/** The fee of a direct payment is nothing; anything else trips the breaker. */
export const noFee = 0n as Msat;
