import type { Sat } from "../../domain/amounts.ts";
import { sat } from "../../domain/amounts.ts";

/** Where the recorded versions of LND differ. */
export interface LndBehaviour {
  /**
   * What the initiator of a channel keeps back when it sends: the fee of one more HTLC, or (0.18 and later) twice the fee
   * of a commitment with two more.
   */
  readonly feeBuffer: "additional-htlc" | "fee-buffer";
  /** The gRPC status of a second payment with one hash: UNKNOWN or (0.18 and later) ALREADY_EXISTS. */
  readonly duplicatePaymentCode: 2 | 6;
  /** Between creation and the first attempt, a second submit hears "payment already exists" (0.18 and later). */
  readonly knowsInitiated: boolean;
  /** A failed payment shows its failure_reason one update before its status FAILED (0.18 and later). */
  readonly reasonBeforeStatus: boolean;
  /** timeout_seconds 0 means 60 s (0.19 and later); before, it is refused. */
  readonly defaultTimeoutSec: number | undefined;
  /** Whether a look-up of a failed payment still shows its attempts (not since 0.18). */
  readonly keepsFailedAttempts: boolean;
  /** Feature bits in the node's invoices. */
  readonly invoiceFeatures: readonly number[];
  /** Whether a channel's HTLCs say that they are locked in (0.19 and later). */
  readonly showsLockedIn: boolean;
  /** What AddInvoice says to a negative amount. */
  readonly negativeAmountText: (amountMsat: bigint) => string;
  /** What such a node offered on regtest. */
  readonly feePerKwSat: Sat;
}

/** @param version as GetInfo reports it, `0.18.5-beta commit=v0.18.5-beta` */
export function lndBehaviour(version: string): LndBehaviour {
  const match = /^(\d+)\.(\d+)/.exec(version);
  // A version that isn't LND's scheme is newer than all we know.
  const minor = match === null || match[1] !== "0" ? Infinity : Number(match[2]);
  return {
    feeBuffer: minor >= 18 ? "fee-buffer" : "additional-htlc",
    duplicatePaymentCode: minor >= 18 ? 6 : 2,
    knowsInitiated: minor >= 18,
    reasonBeforeStatus: minor >= 18,
    defaultTimeoutSec: minor >= 19 ? 60 : undefined,
    keepsFailedAttempts: minor < 18,
    // TLV onion, payment secret, multi-path, route blinding.
    invoiceFeatures: minor >= 18 ? [8, 14, 17, 25] : [9, 14, 17],
    showsLockedIn: minor >= 19,
    negativeAmountText: minor >= 19
      ? () => "amount cannot be negative"
      : (amountMsat) => `payments of negative value are not allowed, value is ${amountMsat}`,
    feePerKwSat: sat(minor >= 19 ? 1_250 : 2_500),
  };
}
