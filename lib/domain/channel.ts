import type { Sat } from "./amounts.ts";
import type { ChannelPoint, NodePubkey, PaymentHash, ShortChannelId } from "./ids.ts";

/** One HTLC that both sides of a channel have committed to and neither has resolved. */
export interface PendingHtlc {
  readonly incoming: boolean;
  readonly amountSat: Sat;
  readonly paymentHash: PaymentHash;
}

/** One channel as one of its two nodes reports it (LND lnrpc.Channel); amounts are of that node's own commitment. */
export interface ChannelSnapshot {
  readonly channelPoint: ChannelPoint;
  readonly shortChannelId: ShortChannelId;
  /** Every alias id of the channel, and the confirmed id of a zero-conf one: "that channel" is any of them. */
  readonly aliasIds: readonly ShortChannelId[];
  readonly remotePubkey: NodePubkey;
  readonly active: boolean;
  /** Whether this node opened the channel, and so pays the commitment fee. */
  readonly initiator: boolean;
  readonly capacitySat: Sat;
  readonly localSat: Sat;
  readonly remoteSat: Sat;
  readonly unsettledSat: Sat;
  readonly commitFeeSat: Sat;
  readonly feePerKwSat: Sat;
  /** What this node must keep, and what the other must keep. */
  readonly localReserveSat: Sat;
  readonly remoteReserveSat: Sat;
  readonly dustLimitSat: Sat;
  /** The most that may be in flight from this node, and in how many HTLCs (the other side's limits). */
  readonly maxInFlightSat: Sat;
  readonly maxHtlcs: number;
  readonly pendingHtlcs: readonly PendingHtlc[];
  /** Custom channels (Taproot Assets and the like) are left alone. */
  readonly customData: boolean;
}

/** Every id under which HTLC events and invoices may name this channel. */
export function channelIds(channel: ChannelSnapshot): readonly ShortChannelId[] {
  return [channel.shortChannelId, ...channel.aliasIds.filter((id) => id !== channel.shortChannelId)];
}
