import type { BalanceSettings } from "../config/config.ts";
import { minSat, type Sat, sat, subSat } from "../domain/amounts.ts";
import type { ChannelSnapshot } from "../domain/channel.ts";
import type { LeaveReason } from "../domain/reasons.ts";
import { askingSat, shareToSatFloor, totalSat } from "./share.ts";
import { receivableSat } from "./spendable.ts";

/** Whether to ask the other side of a channel for a payment. */
export type RebalanceDecision =
  | { readonly kind: "ask"; readonly amountSat: Sat }
  | { readonly kind: "leave"; readonly reason: LeaveReason };

export interface RebalanceQuestion {
  readonly channel: ChannelSnapshot;
  readonly settings: BalanceSettings;
  /** The most that the payer said it would pay, while the balances are still those it spoke of. */
  readonly maxTokensSat: Sat | undefined;
}

/**
 * The payee's rule: below `balancePoint - deadzone` it asks for what brings it to `balancePoint`, capped by
 * `maxTransactionSize`, by what the payer can send and by what it last said it would pay; never for less than
 * `minTransactionSize`. Looks at the channel alone; whether the time is right is for the caller.
 */
export function decideRebalance({ channel, settings, maxTokensSat }: RebalanceQuestion): RebalanceDecision {
  if (!settings.enabled) return leave("disabled");
  if (channel.customData) return leave("custom-channel");
  const total = totalSat(channel);
  const oursSat = askingSat(channel);
  const targetSat = shareToSatFloor(settings.balancePoint, total);
  if (oursSat >= shareToSatFloor(settings.balancePoint - settings.deadzone, total)) {
    const highSat = shareToSatFloor(settings.balancePoint + settings.deadzone, total);
    return leave(oursSat > highSat ? "other-side" : "balanced");
  }
  if (!channel.active) return leave("inactive");
  const missingSat = subSat(targetSat, oursSat);
  if (missingSat < settings.minTransactionSizeSat) return leave("too-small");
  const sendableSat = receivableSat(channel);
  if (sendableSat < leastSat(channel, settings)) return leave("no-room");
  if (maxTokensSat !== undefined && maxTokensSat < leastSat(channel, settings)) return leave("peer-limit");
  const amountSat = minSat(missingSat, settings.maxTransactionSizeSat, sendableSat, maxTokensSat ?? missingSat);
  return amountSat < leastSat(channel, settings) ? leave("too-small") : { kind: "ask", amountSat };
}

/** The least amount worth a payment: the operator's, and always above dust (an HTLC below it is no output of its own). */
export function leastSat(channel: ChannelSnapshot, settings: BalanceSettings): Sat {
  const aboveDustSat = sat(channel.dustLimitSat + 1n);
  return settings.minTransactionSizeSat > aboveDustSat ? settings.minTransactionSizeSat : aboveDustSat;
}

function leave(reason: LeaveReason): RebalanceDecision {
  return { kind: "leave", reason };
}
