import type { Msat } from "../domain/amounts.ts";
import { msat, sat } from "../domain/amounts.ts";
import { invariant } from "../domain/errors.ts";
import type { LedgerPayment } from "./ledger.ts";
import type { TransactionRecord } from "./record.ts";

/** What the payments record says of an end that the operator wrote. */
const byHand = "by hand: tightrope resolve";
const unasked = "unreachable";

/** What the paying node said, in the words of the record. */
export function sayLnd(view: { readonly kind: string; readonly why?: string }): string {
  return view.kind === unasked ? `${unasked} (${view.why})` : view.kind;
}

/** Whether a payment was ended by hand while its node couldn't be asked: what that node says one day may be otherwise. */
export function isBlind(reason: string): boolean {
  return reason.startsWith(`${byHand}; LND: ${unasked}`);
}

/**
 * The record that ends an open payment because its operator says so.
 * @param feeMsat as far as LND knows it
 * @param lndSays a few words, for whoever reads the record later
 */
export function resolutionOf(
  entry: LedgerPayment,
  as: "settled" | "failed",
  lndSays: string,
  atWallMs: number,
  feeMsat: Msat = msat(0),
): TransactionRecord {
  const { node, peer, ownPeer, channelPoint, channelId, paymentHash, amountSat, requestId, expiresAtWallMs } = entry;
  invariant(entry.state !== "settled", `payment ${paymentHash} has ended`);
  const reason = `${byHand}; LND: ${lndSays}`;
  const base = { atWallMs, role: "payer", node, peer, ownPeer, paymentHash } as const;
  if (entry.foreign) {
    const countedSat = as === "settled" ? amountSat : sat(0);
    return { kind: "foreign", ...base, channelPoint, channelId, amountSat: countedSat, pending: false, reason };
  }
  invariant(channelPoint && channelId && requestId, `payment ${paymentHash} lacks its channel`);
  const request = { ...base, channelPoint, channelId, amountSat, requestId, expiresAtWallMs };
  return as === "settled" ? { kind: "settled", ...request, feeMsat, reason } : { kind: "failed", ...request, reason };
}
