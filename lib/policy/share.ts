import { type Sat, sat } from "../domain/amounts.ts";
import type { ChannelSnapshot } from "../domain/channel.ts";

/** What a channel's shares are shares of: both balances and everything unsettled. */
export function totalSat(channel: ChannelSnapshot): Sat {
  return sat(channel.localSat + channel.remoteSat + channel.unsettledSat);
}

/** Our part when asking: all that is unsettled counts as ours, so that parked HTLCs can't make us ask. */
export function askingSat(channel: ChannelSnapshot): Sat {
  return sat(channel.localSat + channel.unsettledSat);
}

/** A share of the total in satoshis, rounded down. Amounts of bitcoin are exact in a double. */
export function shareToSatFloor(share: number, total: Sat): Sat {
  return sat(BigInt(Math.floor(Math.max(0, share) * Number(total))));
}

/** The same, rounded up. */
export function shareToSatCeil(share: number, total: Sat): Sat {
  return sat(BigInt(Math.ceil(Math.max(0, share) * Number(total))));
}

/** `0.4567` -> `45.7 %` */
export function formatShare(share: number): string {
  return `${(share * 100).toFixed(1).replace(/\.0$/, "")} %`;
}

/** The share of an amount in a channel, for people; an empty channel has none. */
export function shareOf(part: Sat, total: Sat): number {
  return total > 0n ? Number(part) / Number(total) : 0;
}
