import type { BalanceSettings, LimitsConfig } from "../../lib/config/config.ts";
import { sat } from "../../lib/domain/amounts.ts";
import type { ChannelSnapshot } from "../../lib/domain/channel.ts";
import { parseChannelPoint, parseNodePubkey, parsePaymentHash, parseShortChannelId } from "../../lib/domain/ids.ts";

export const alice = parseNodePubkey("02" + "a1".repeat(32))!;
export const bob = parseNodePubkey("03" + "b0".repeat(32))!;
export const carol = parseNodePubkey("03" + "ca".repeat(32))!;
export const point = parseChannelPoint("c1".repeat(32) + ":0")!;
export const otherPoint = parseChannelPoint("c2".repeat(32) + ":0")!;
export const channelId = parseShortChannelId("800x1x0")!;
export const hash = (digits: string) => parsePaymentHash(digits.repeat(32))!;

/** The defaults of the configuration. */
export const settings: BalanceSettings = {
  enabled: true,
  minTransactionSizeSat: sat(10_000),
  maxTransactionSizeSat: sat(1_000_000),
  minTimeBetweenPaymentsMs: 60_000,
  maxTransactionsPerPeriod: 20,
  maxTransactionsPeriodMs: 14_400_000,
  maxAmountPerPeriodSat: sat(100_000_000),
  maxAmountPeriodMs: 14_400_000,
  periodKind: "rolling",
  balancePoint: 0.5,
  deadzone: 0.1,
  refreshRateMs: 10_000,
  maxNetOutflowSat: sat(10_000_000),
};

export const limits: LimitsConfig = {
  baseSettings: settings,
  idSettings: [],
  maxNetOutflowTotalSat: sat(10_000_000),
};

/** Alice's side of her channel with Bob, opened by him: 900,000 of 1,000,000 sat are hers. */
export const channel: ChannelSnapshot = {
  channelPoint: point,
  shortChannelId: channelId,
  aliasIds: [],
  remotePubkey: bob,
  active: true,
  initiator: false,
  capacitySat: sat(1_003_470),
  localSat: sat(900_000),
  remoteSat: sat(100_000),
  unsettledSat: sat(0),
  commitFeeSat: sat(2_810),
  feePerKwSat: sat(2_500),
  localReserveSat: sat(10_000),
  remoteReserveSat: sat(10_000),
  dustLimitSat: sat(354),
  maxInFlightSat: sat(990_000),
  maxHtlcs: 483,
  pendingHtlcs: [],
  customData: false,
};

export function split(localSat: number, remoteSat: number, over: Partial<ChannelSnapshot> = {}): ChannelSnapshot {
  return { ...channel, localSat: sat(localSat), remoteSat: sat(remoteSat), ...over };
}
