import type { Msat, Sat } from "../../domain/amounts.ts";
import type { ChannelPoint, NodePubkey, PaymentHash, ShortChannelId } from "../../domain/ids.ts";
import type { Network } from "../../domain/network.ts";
import type { Now } from "../../env/clock.ts";
import type { Random } from "../../env/random.ts";
import type { Bolt11Decoding } from "../bolt11.ts";

/**
 * What the simulated network tells about itself, in LND's own model (lnrpc, routerrpc, invoicesrpc), so that a server can
 * answer with it and a test can read it. Every object is a snapshot: it never changes after it was handed out.
 *
 * Hashes, preimages, keys and transaction ids are lower-case hex (transaction ids in the order people write them), times
 * are milliseconds since 1970, ids of channels are decimal uint64. Enum values are LND's names without their prefix.
 */

/** How long things take, in milliseconds; all may be 0. Defaults are what was measured on real LND 0.17 to 0.19. */
export interface SimTiming {
  /** From the call to SUCCEEDED over one direct channel (125). The steps between keep their measured proportions. */
  readonly paymentMs: number;
  /** From the receiver's SETTLED invoice until its own ListChannels shows it: drawn from [least, most] (29 to 46). */
  readonly receiverLagMs: readonly [number, number];
  /** From a peer's end until its neighbours see their channels inactive (120). */
  readonly offlineNoticeMs: number;
  /** From a peer's return until the channel is active again (8). */
  readonly onlineNoticeMs: number;
  /** From openChannel() to OPEN_CHANNEL; ACTIVE_CHANNEL follows `onlineNoticeMs` later (3,000: the blocks of regtest). */
  readonly channelOpenMs: number;
  /** From closeChannel() to CLOSED_CHANNEL (800). */
  readonly channelCloseMs: number;
  /** From an invoice's expiry to CANCELED (100). */
  readonly invoiceSweepMs: number;
  /** Between two blocks; 0 stops the chain (0). */
  readonly blockMs: number;
}

export interface SimNetworkOptions {
  readonly random: Random;
  readonly start: Now;
  /** Default regtest. */
  readonly network?: Network;
  readonly timing?: Partial<SimTiming>;
  /** Default 472. */
  readonly startHeight?: number;
}

export interface SimNodeSpec {
  readonly alias: string;
  /** As GetInfo reports it; its minor number decides how the node behaves. Default `0.18.5-beta`. */
  readonly version?: string;
  /** 64 hex digits; default: drawn. */
  readonly secretKey?: string;
  /** Default `#3399ff`. */
  readonly color?: string;
}

/** lnrpc.GetInfoResponse. */
export interface SimNodeInfo {
  readonly pubkey: NodePubkey;
  readonly alias: string;
  readonly color: string;
  readonly version: string;
  readonly network: Network;
  readonly blockHeight: number;
  readonly blockHash: string;
  readonly bestHeaderAtWallMs: number;
  readonly activeChannels: number;
  readonly inactiveChannels: number;
  readonly pendingChannels: number;
  readonly peers: readonly NodePubkey[];
  /** False while the chain backend is gone: GetInfo then hangs. */
  readonly chainUp: boolean;
  readonly running: boolean;
  readonly frozen: boolean;
}

/** lnrpc.HTLC. */
export interface SimPendingHtlc {
  readonly incoming: boolean;
  readonly amountSat: Sat;
  readonly amountMsat: Msat;
  readonly paymentHash: PaymentHash;
  readonly expirationHeight: number;
  readonly htlcIndex: bigint;
}

/** lnrpc.ChannelConstraints. */
export interface SimConstraints {
  readonly csvDelayBlocks: number;
  readonly reserveSat: Sat;
  readonly dustLimitSat: Sat;
  readonly maxPendingMsat: Msat;
  readonly minHtlcMsat: Msat;
  readonly maxAcceptedHtlcs: number;
}

/** lnrpc.Channel, seen from one of its two nodes (that node's own commitment). */
export interface SimChannel {
  readonly channelPoint: ChannelPoint;
  readonly chanId: ShortChannelId;
  readonly aliasScids: readonly ShortChannelId[];
  /** The other side's alias for the channel; "0" without one. */
  readonly peerScidAlias: ShortChannelId;
  readonly zeroConf: boolean;
  readonly zeroConfConfirmedScid: ShortChannelId;
  readonly remotePubkey: NodePubkey;
  readonly peerAlias: string;
  readonly active: boolean;
  readonly private: boolean;
  readonly initiator: boolean;
  readonly capacitySat: Sat;
  readonly localSat: Sat;
  readonly remoteSat: Sat;
  readonly commitFeeSat: Sat;
  readonly commitWeight: number;
  readonly feePerKwSat: Sat;
  readonly unsettledSat: Sat;
  readonly totalSentSat: Sat;
  readonly totalReceivedSat: Sat;
  readonly numUpdates: bigint;
  readonly pushSat: Sat;
  readonly pendingHtlcs: readonly SimPendingHtlc[];
  readonly localConstraints: SimConstraints;
  readonly remoteConstraints: SimConstraints;
  readonly openedAtWallMs: number;
  readonly memo: string;
  /** Hex; "" on an ordinary channel. */
  readonly customChannelData: string;
}

/** lnrpc.ChannelCloseSummary. */
export interface SimClosedChannel {
  readonly channelPoint: ChannelPoint;
  readonly chanId: ShortChannelId;
  readonly closingTxHash: string;
  readonly remotePubkey: NodePubkey;
  readonly capacitySat: Sat;
  readonly closeHeight: number;
  readonly settledSat: Sat;
  readonly timeLockedSat: Sat;
  readonly closeType: "COOPERATIVE_CLOSE" | "LOCAL_FORCE_CLOSE" | "REMOTE_FORCE_CLOSE";
  readonly openInitiator: "INITIATOR_LOCAL" | "INITIATOR_REMOTE";
  readonly closeInitiator: "INITIATOR_LOCAL" | "INITIATOR_REMOTE";
}

export type SimInvoiceState = "OPEN" | "ACCEPTED" | "SETTLED" | "CANCELED";

/** lnrpc.InvoiceHTLC. */
export interface SimInvoiceHtlc {
  readonly chanId: ShortChannelId;
  readonly htlcIndex: bigint;
  readonly amountMsat: Msat;
  readonly acceptHeight: number;
  readonly acceptedAtWallMs: number;
  /** 0 until resolved. */
  readonly resolvedAtWallMs: number;
  readonly expiryHeight: number;
  readonly state: "ACCEPTED" | "SETTLED" | "CANCELED";
}

/** lnrpc.Invoice. */
export interface SimInvoice {
  readonly paymentHash: PaymentHash;
  /** Known to the node; "" for a hold invoice that isn't settled. Never to be shown while the invoice is a hold one. */
  readonly preimage: string;
  readonly hold: boolean;
  readonly memo: string;
  readonly valueMsat: Msat;
  readonly paymentRequest: string;
  readonly paymentAddr: string;
  readonly createdAtWallMs: number;
  /** 0 until settled. */
  readonly settledAtWallMs: number;
  readonly expirySec: number;
  readonly cltvExpiryBlocks: number;
  readonly private: boolean;
  readonly addIndex: bigint;
  /** 0 until settled. */
  readonly settleIndex: bigint;
  readonly amountPaidMsat: Msat;
  readonly state: SimInvoiceState;
  readonly htlcs: readonly SimInvoiceHtlc[];
}

export type SimPaymentFailureReason =
  | "NONE"
  | "TIMEOUT"
  | "NO_ROUTE"
  | "ERROR"
  | "INCORRECT_PAYMENT_DETAILS"
  | "INSUFFICIENT_BALANCE"
  | "CANCELED";

/** lnrpc.Failure. */
export interface SimHtlcFailure {
  readonly code: "INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS" | "TEMPORARY_CHANNEL_FAILURE";
  /** Which node of the route failed it: 0 is the sender, 1 the first hop. */
  readonly failureSourceIndex: number;
  readonly height: number;
}

/** lnrpc.Hop. */
export interface SimHop {
  readonly chanId: ShortChannelId;
  readonly chanCapacitySat: Sat;
  readonly amountToForwardMsat: Msat;
  readonly feeMsat: Msat;
  readonly expiryHeight: number;
  readonly pubkey: NodePubkey;
  /** Of the last hop only: its mpp_record. */
  readonly mpp: { readonly totalMsat: Msat; readonly paymentAddr: string } | undefined;
}

/** lnrpc.HTLCAttempt with its route. */
export interface SimHtlcAttempt {
  readonly attemptId: bigint;
  readonly status: "IN_FLIGHT" | "SUCCEEDED" | "FAILED";
  readonly attemptedAtWallMs: number;
  /** 0 until resolved. */
  readonly resolvedAtWallMs: number;
  readonly hops: readonly SimHop[];
  readonly totalTimeLock: number;
  readonly totalMsat: Msat;
  readonly totalFeesMsat: Msat;
  readonly failure: SimHtlcFailure | undefined;
  /** "" unless it succeeded. */
  readonly preimage: string;
}

/** lnrpc.Payment. */
export interface SimPayment {
  readonly paymentHash: PaymentHash;
  readonly status: "IN_FLIGHT" | "SUCCEEDED" | "FAILED";
  /** May be set while the status is still IN_FLIGHT (LND 0.18 and later). */
  readonly failureReason: SimPaymentFailureReason;
  readonly valueMsat: Msat;
  readonly feeMsat: Msat;
  /** 64 zeros unless it succeeded. */
  readonly preimage: string;
  /** "" for a payment to a bare hash. */
  readonly paymentRequest: string;
  readonly createdAtWallMs: number;
  readonly paymentIndex: bigint;
  readonly htlcs: readonly SimHtlcAttempt[];
}

/**
 * A call that LND answers with an error instead of a result. `text` is LND's own, `code` the gRPC status of the node's
 * version (2 UNKNOWN, 5 NOT_FOUND, 6 ALREADY_EXISTS).
 */
export interface SimRefusal {
  readonly kind: "refused";
  readonly reason:
    | "already-paid"
    | "in-transition"
    | "already-exists"
    | "expired"
    | "self-payment"
    | "no-timeout"
    | "amount-given"
    | "amount-missing"
    | "bad-invoice"
    | "bad-request"
    | "unknown-invoice"
    | "invoice-settled"
    | "invoice-exists"
    | "unknown-payment"
    | "unknown-channel"
    | "no-balance"
    | "channel-inactive"
    | "htlcs-pending";
  readonly code: 2 | 5 | 6;
  readonly text: string;
}

/** lnrpc.Invoice as AddInvoice takes it, or invoicesrpc.AddHoldInvoiceRequest when `hash` is given. */
export interface SimInvoiceRequest {
  /** 0 leaves the amount open. */
  readonly valueMsat: Msat;
  readonly memo?: string;
  /** 0 or absent: 86,400. Negative ones are taken, as LND does. */
  readonly expirySec?: number;
  /** 0 or absent: 80. */
  readonly cltvExpiryBlocks?: number;
  readonly private?: boolean;
  /** 64 hex digits; default: drawn. Not together with `hash`. */
  readonly preimage?: string;
  /** 64 hex digits: makes a hold invoice. */
  readonly hash?: string;
}

/** routerrpc.SendPaymentRequest. */
export interface SimPaymentRequest {
  readonly paymentRequest?: string;
  /** Without `paymentRequest`: the payee, the hash, the amount and the payment address. */
  readonly destination?: NodePubkey;
  readonly paymentHash?: PaymentHash;
  readonly paymentAddr?: string;
  readonly finalCltvDelta?: number;
  /** 0 or absent: the invoice's. */
  readonly amountMsat?: Msat;
  readonly timeoutSec: number;
  /** Absent or 0: only routes without a fee. */
  readonly feeLimitMsat?: Msat;
  /** Empty or absent: any. */
  readonly outgoingChanIds?: readonly ShortChannelId[];
  readonly cltvLimitBlocks?: number;
  readonly allowSelfPayment?: boolean;
}

/** routerrpc.HtlcEvent. Ids are "0" or 0 where LND leaves them empty. */
export interface SimHtlcEvent {
  readonly eventType: "UNKNOWN" | "SEND" | "RECEIVE" | "FORWARD";
  readonly incomingChannelId: ShortChannelId;
  readonly outgoingChannelId: ShortChannelId;
  readonly incomingHtlcId: bigint;
  readonly outgoingHtlcId: bigint;
  readonly atWallMs: number;
  readonly event:
    | { readonly kind: "forward"; readonly info: SimHtlcInfo }
    | { readonly kind: "forward-fail" }
    | { readonly kind: "settle"; readonly preimage: string }
    | {
      readonly kind: "link-fail";
      readonly info: SimHtlcInfo;
      readonly wireFailure: SimHtlcFailure["code"];
      readonly failureDetail: SimFailureDetail;
      readonly failureString: string;
    }
    | { readonly kind: "final"; readonly settled: boolean; readonly offchain: boolean };
}

/** routerrpc.FailureDetail, as far as a payee's own node meets it. */
export type SimFailureDetail =
  | "INVOICE_NOT_OPEN"
  | "INVOICE_CANCELED"
  | "INVOICE_UNDERPAID"
  | "UNKNOWN_INVOICE"
  | "ADDRESS_MISMATCH"
  | "INSUFFICIENT_BALANCE";

export interface SimHtlcInfo {
  readonly incomingTimelock: number;
  readonly outgoingTimelock: number;
  readonly incomingMsat: Msat;
  readonly outgoingMsat: Msat;
}

/** lnrpc.ChannelEventUpdate. */
export type SimChannelEvent =
  | { readonly kind: "pending-open"; readonly channelPoint: ChannelPoint }
  | { readonly kind: "open"; readonly channelPoint: ChannelPoint; readonly channel: SimChannel }
  | { readonly kind: "active"; readonly channelPoint: ChannelPoint }
  | { readonly kind: "inactive"; readonly channelPoint: ChannelPoint }
  | { readonly kind: "closed"; readonly channelPoint: ChannelPoint; readonly summary: SimClosedChannel }
  | { readonly kind: "fully-resolved"; readonly channelPoint: ChannelPoint };

/** Everything that one node reports, in order. LND's streams are filters over it. */
export type SimEvent =
  /** An update of SendPaymentV2 and TrackPaymentV2: every change of a payment, the first (no HTLC yet) included. */
  | { readonly kind: "payment"; readonly payment: SimPayment }
  /** Every change of an invoice, with the state after it. SubscribeInvoices shows only OPEN and SETTLED. */
  | { readonly kind: "invoice"; readonly invoice: SimInvoice }
  | { readonly kind: "htlc"; readonly htlc: SimHtlcEvent }
  | { readonly kind: "channel"; readonly channel: SimChannelEvent }
  | { readonly kind: "peer"; readonly pubkey: NodePubkey; readonly online: boolean }
  /** The node itself stopped or started (startNode, stopNode). */
  | { readonly kind: "running"; readonly running: boolean }
  /** The node froze or thawed. */
  | { readonly kind: "frozen"; readonly frozen: boolean };

export interface SimOpenChannel {
  /** The initiator, which pays the commitment fee and the anchors. */
  readonly from: NodePubkey;
  readonly to: NodePubkey;
  readonly capacitySat: Sat;
  /** What the other side starts with. Default 0. */
  readonly pushSat?: Sat;
  /** Default 2,500 below version 0.19 of the initiator, 1,250 from it on, as recorded. */
  readonly feePerKwSat?: Sat;
  readonly private?: boolean;
  readonly memo?: string;
  /** Each side names the channel by an alias of its own; `chan_id` is then that alias. */
  readonly aliases?: boolean;
  /** Hex; makes it a custom channel. */
  readonly customChannelData?: string;
  /** Default 483. */
  readonly maxAcceptedHtlcs?: number;
  /** True: open and active at once, without events (a network that already stands). Default false. */
  readonly instant?: boolean;
}

/** An HTLC that passes a channel as a part of somebody's longer route. */
export interface SimForward {
  readonly channelPoint: ChannelPoint;
  /** The node that sends it over this channel. */
  readonly from: NodePubkey;
  readonly amountMsat: Msat;
  /** How long it is in flight. Default: `paymentMs`. */
  readonly durationMs?: number;
  /** It comes back unpaid. Default false. */
  readonly fails?: boolean;
}

export interface SimListPayments {
  /** Payments after this index (before it, if `reversed`); 0: from the start (the end). */
  readonly indexOffset: bigint;
  readonly maxPayments: number;
  readonly reversed?: boolean;
  /** Default true: failed and pending ones too. */
  readonly includeIncomplete?: boolean;
}

/** A simulated network of Lightning nodes, in virtual time. Everything happens in `advance`, in order, from one seed. */
export interface SimNetworkModel {
  readonly bitcoinNetwork: Network;
  readonly timing: SimTiming;
  now(): Now;
  /** When something is to happen next (the `atMs` of its clock); undefined: nothing will by itself. */
  nextTimeoutMs(): number | undefined;
  /** Goes to `atMs`, and does everything that is due until then, step by step. Never goes backwards. */
  advance(atMs: number): void;
  /** Calls back `delayMs` from now, in the network's time. @returns the way to take it back */
  schedule(delayMs: number, action: () => void): () => void;
  /** Changes how long things take, from the next step on. */
  setTiming(timing: Partial<SimTiming>): void;

  addNode(spec: SimNodeSpec): NodePubkey;
  nodes(): readonly NodePubkey[];
  nodeInfo(node: NodePubkey): SimNodeInfo;
  /**
   * Events of one node from now on, called after each step, when the network is consistent again. A listener may call any
   * method; what it causes comes after. @returns the way to stop.
   */
  subscribe(node: NodePubkey, listener: (event: SimEvent) => void): () => void;

  /**
   * The node's process ends. Neighbours notice after `offlineNoticeMs`; HTLCs sent to it until they do stay in flight.
   * Its state is kept; nothing of it moves until startNode().
   */
  stopNode(node: NodePubkey): void;
  /** It goes on where it stood; channels become active `onlineNoticeMs` later. */
  startNode(node: NodePubkey): void;
  /** SIGSTOP: it answers nobody, and its neighbours notice nothing. */
  freezeNode(node: NodePubkey): void;
  thawNode(node: NodePubkey): void;
  /** While the chain backend is gone, payments begin and wait before their first attempt. */
  setChainUp(node: NodePubkey, up: boolean): void;
  /** The connection between two running nodes: their channels go inactive or active at once. */
  setConnected(a: NodePubkey, b: NodePubkey, connected: boolean): void;

  /** One channel goes inactive, or active again, on both sides at once; others between the same nodes stay as they are. */
  setChannelUp(channelPoint: ChannelPoint, up: boolean): void;
  openChannel(request: SimOpenChannel): ChannelPoint | SimRefusal;
  /** Cooperative unless `force`. */
  closeChannel(node: NodePubkey, channelPoint: ChannelPoint, force?: boolean): SimRefusal | undefined;
  listChannels(node: NodePubkey): readonly SimChannel[];
  channel(node: NodePubkey, channelPoint: ChannelPoint): SimChannel | undefined;
  closedChannels(node: NodePubkey): readonly SimClosedChannel[];
  /** Channel points that are not open yet, for PendingChannels. */
  pendingChannels(node: NodePubkey): readonly ChannelPoint[];
  /** The largest amount that the node could send over the channel now, in its version's way; 0 when inactive. */
  spendableMsat(node: NodePubkey, channelPoint: ChannelPoint): Msat;

  addInvoice(node: NodePubkey, request: SimInvoiceRequest): SimInvoice | SimRefusal;
  invoice(node: NodePubkey, hash: PaymentHash): SimInvoice | undefined;
  /** All of the node's invoices by add_index. */
  invoices(node: NodePubkey): readonly SimInvoice[];
  settleInvoice(node: NodePubkey, preimage: string): SimRefusal | undefined;
  cancelInvoice(node: NodePubkey, hash: PaymentHash): SimRefusal | undefined;

  sendPayment(node: NodePubkey, request: SimPaymentRequest): SimPayment | SimRefusal;
  payment(node: NodePubkey, hash: PaymentHash): SimPayment | undefined;
  /** Oldest first, also if `reversed`. */
  listPayments(node: NodePubkey, query: SimListPayments): readonly SimPayment[];

  /** As DecodePayReq of any node of the network; kept, since recovering a key is slow. */
  decodeInvoice(text: string): Bolt11Decoding;

  /** z-base-32 of the recoverable signature over LND's message form. */
  signMessage(node: NodePubkey, message: Uint8Array): string;
  /** `valid` only when the recovered key is a node of this network. */
  verifyMessage(message: Uint8Array, signature: string): { valid: boolean; pubkey: string } | SimRefusal;

  /** Traffic: moves sats over a channel by an HTLC, as somebody's routed payment does. */
  forward(request: SimForward): SimRefusal | undefined;
  /** Traffic: the same, over at once and without events. */
  shift(channelPoint: ChannelPoint, from: NodePubkey, amountMsat: Msat): SimRefusal | undefined;
  /** The node's next `count` attempts come back with TEMPORARY_CHANNEL_FAILURE (retriable) after `afterMs` at the payee's side (0). */
  failNextAttempts(node: NodePubkey, count: number, afterMs?: number): void;

  /** @throws InvariantError unless every channel holds exactly its capacity, whichever side is asked. Runs after every change. */
  assertConserved(): void;
}

/** Default timing: LND on one machine, as recorded. */
export const recordedTiming: SimTiming = {
  paymentMs: 125,
  receiverLagMs: [29, 46],
  offlineNoticeMs: 120,
  onlineNoticeMs: 8,
  channelOpenMs: 3_000,
  channelCloseMs: 800,
  invoiceSweepMs: 100,
  blockMs: 0,
};

/** Everything at once: for tests of logic in which time plays no part. */
export const instantTiming: SimTiming = {
  paymentMs: 0,
  receiverLagMs: [0, 0],
  offlineNoticeMs: 0,
  onlineNoticeMs: 0,
  channelOpenMs: 0,
  channelCloseMs: 0,
  invoiceSweepMs: 0,
  blockMs: 0,
};

export function isRefusal(value: unknown): value is SimRefusal {
  return typeof value === "object" && value !== null && (value as { kind?: unknown }).kind === "refused";
}

/** What runs a network: tests run it in virtual time, the program on the real clock. */
export interface SimHost {
  readonly network: SimNetworkModel;
  /** Brings the network to now, runs the command, and does what is due at once. Commands to a network go through this. */
  run<T>(command: (network: SimNetworkModel) => T): T;
}
