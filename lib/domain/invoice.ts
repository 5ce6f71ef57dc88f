import type { Msat } from "./amounts.ts";
import type { NodePubkey, PaymentHash, ShortChannelId } from "./ids.ts";

/** A BOLT 11 invoice as the paying node's own LND decoded it (lnrpc.PayReq). */
export interface DecodedInvoice {
  readonly destination: NodePubkey;
  readonly paymentHash: PaymentHash;
  /** 0 when the invoice leaves the amount open. */
  readonly amountMsat: Msat;
  readonly memo: string;
  readonly createdAtWallMs: number;
  readonly expiresAtWallMs: number;
  readonly finalCltvBlocks: number;
  readonly routeHintCount: number;
  readonly blindedPathCount: number;
  readonly amp: boolean;
}

/** The state of an invoice at the node that made it. An expired one is `cancelled` (LND has no state of its own for it). */
export type InvoiceState = "open" | "accepted" | "settled" | "cancelled";

/** An invoice as its own node sees it (lnrpc.Invoice). */
export interface InvoiceStatus {
  readonly paymentHash: PaymentHash;
  readonly state: InvoiceState;
  /** What was received; 0 unless accepted or settled. */
  readonly amountPaidMsat: Msat;
  /** The channels that brought it. */
  readonly paidOver: readonly ShortChannelId[];
}
