import type { Sat } from "../domain/amounts.ts";
import type { ChannelPoint, NodePubkey, RequestId, ShortChannelId } from "../domain/ids.ts";
import type { SignedStatement } from "../domain/statement.ts";

/** The version this program speaks. */
export const protocolVersion = "tightrope/2";

/** Introduces one Lightning node of the sender; sent for each on connect and again when one changes. */
export interface Hello {
  readonly type: "hello";
  readonly publicKey: NodePubkey;
  readonly alias: string;
  readonly network: string;
  /** LND's signature over `nodeProofText`. */
  readonly proof: string;
  readonly version: string;
  readonly logHead: { readonly length: number; readonly treeHash: string };
  /** The operator has paused this node: it asks for nothing and pays nothing. */
  readonly paused?: true;
  /** The channels of this node with nodes of the receiver that the operator has paused. */
  readonly pausedChannels?: readonly ChannelPoint[];
}

/** The most channels that one hello names as paused; what is above is refused request by request. */
export const maxPausedChannels = 256;

/** Withdraws a node that the session introduced. */
export interface Bye {
  readonly type: "bye";
  readonly publicKey: NodePubkey;
}

/** The payee asks the payer to pay this invoice over this channel. */
export interface PayInvoice {
  readonly type: "payInvoice";
  readonly requestId: RequestId;
  readonly channelPoint: ChannelPoint;
  /** As the payee knows it; the payer may know the channel by another id. */
  readonly channelId: ShortChannelId;
  readonly invoice: string;
  readonly tokens: Sat;
}

/** Why a request wasn't paid, as far as the payee may know. */
export const resultReasons = ["invalid", "not-shared", "busy", "limit", "balance", "failed", "unknown"] as const;

export type ResultReason = (typeof resultReasons)[number];

/** The payer's one answer to a request; a hint that lets the payee look at its own node at once. */
export interface PaymentResult {
  readonly type: "paymentResult";
  readonly requestId: RequestId;
  readonly channelPoint: ChannelPoint;
  readonly channelId: ShortChannelId;
  /** The payment hash, or empty when nothing was tried. */
  readonly paymentId: string;
  readonly confirmed: boolean;
  readonly confirmedAtWallMs: number;
  readonly reason?: ResultReason;
  /** Not paid since the payer's operator has paused the channel or more. */
  readonly paused?: true;
  readonly retryAfterMs?: number;
  readonly maxTokens?: Sat;
}

/**
 * How the sender's account with one node of the receiver stands, signed by the sender's Lightning node (`accountText`), so that
 * it is evidence beyond this session. Said when it has changed; believed about nothing.
 */
export interface AccountMessage extends SignedStatement {
  readonly type: "account";
}

export type Message = Hello | Bye | PayInvoice | PaymentResult | AccountMessage;
