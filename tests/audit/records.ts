import { msat, sat } from "../../lib/domain/amounts.ts";
import {
  type ChannelPoint,
  type NodePubkey,
  parseChannelPoint,
  parseNodePubkey,
  parsePaymentHash,
  parseRequestId,
  parseShortChannelId,
  type PaymentHash,
} from "../../lib/domain/ids.ts";
import type { TransactionRecord } from "../../lib/audit/record.ts";

/** Records for tests, with names that read: `hash(1)`, `channel(2)`, node `A`. */

export function hash(n: number): PaymentHash {
  return parsePaymentHash(n.toString(16).padStart(64, "0"))!;
}

export function channel(n: number): ChannelPoint {
  return parseChannelPoint(`${n.toString(16).padStart(64, "c")}:0`)!;
}

export function node(name: "A" | "B" | "C" | "D"): NodePubkey {
  return parseNodePubkey(`02${name.toLowerCase().repeat(64)}`)!;
}

export const startWallMs = Date.UTC(2026, 0, 1);

export interface RecordOptions {
  readonly atWallMs?: number;
  readonly amountSat?: number;
  readonly peer?: NodePubkey;
  readonly ownPeer?: boolean;
  readonly channel?: number;
  readonly feeMsat?: number;
  readonly pending?: boolean;
}

/** One record of `kind` about hash `n`; A is our node, B the peer. */
export function record(kind: TransactionRecord["kind"], n: number, options: RecordOptions = {}): TransactionRecord {
  const base = {
    atWallMs: options.atWallMs ?? startWallMs,
    node: node("A"),
    peer: options.peer ?? node("B"),
    ownPeer: options.ownPeer ?? false,
    channelPoint: channel(options.channel ?? 1),
    channelId: parseShortChannelId(`800000x${options.channel ?? 1}x0`)!,
    paymentHash: hash(n),
    amountSat: sat(options.amountSat ?? 1000),
  };
  const request = {
    requestId: parseRequestId(n.toString(16).padStart(32, "0"))!,
    expiresAtWallMs: startWallMs + 3_600_000,
  };
  switch (kind) {
    case "intent":
      return { ...base, ...request, kind, role: "payer" };
    case "settled":
      return { ...base, ...request, kind, role: "payer", feeMsat: msat(options.feeMsat ?? 0) };
    case "failed":
    case "unknown":
      return { ...base, ...request, kind, role: "payer", reason: "no-route" };
    case "invoiced":
    case "received":
      return { ...base, ...request, kind, role: "payee" };
    case "cancelled":
      return { ...base, ...request, kind, role: "payee", reason: "expired" };
    case "foreign":
      return { ...base, kind, role: "payer", pending: options.pending ?? false };
  }
}
