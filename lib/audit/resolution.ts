import type { Msat } from "../domain/amounts.ts";
import { msat, sat } from "../domain/amounts.ts";
import { invariant } from "../domain/errors.ts";
import { reasonByHand } from "./by_hand.ts";
import type { LedgerPayment } from "./ledger.ts";
import type { TransactionRecord } from "./record.ts";

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
  const reason = reasonByHand(lndSays);
  const base = { atWallMs, role: "payer", node, peer, ownPeer, paymentHash } as const;
  if (entry.foreign) {
    const countedSat = as === "settled" ? amountSat : sat(0);
    return { kind: "foreign", ...base, channelPoint, channelId, amountSat: countedSat, pending: false, reason };
  }
  invariant(channelPoint && channelId && requestId, `payment ${paymentHash} lacks its channel`);
  const request = { ...base, channelPoint, channelId, amountSat, requestId, expiresAtWallMs };
  return as === "settled" ? { kind: "settled", ...request, feeMsat, reason } : { kind: "failed", ...request, reason };
}
