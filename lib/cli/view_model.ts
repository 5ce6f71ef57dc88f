import type { Msat, Sat } from "../domain/amounts.ts";

/** Everything that the demo's live view shows at one moment. All times count from the demo's start. */
export interface ViewModel {
  readonly elapsedMs: number;
  /** Undefined: until interrupted. */
  readonly totalMs: number | undefined;
  /** The story, in order; the last one whose time has come is being told. */
  readonly acts: readonly { readonly atMs: number; readonly title: string }[];
  readonly operators: readonly ViewOperator[];
  readonly channels: readonly ViewChannel[];
  /** Newest last. */
  readonly messages: readonly ViewMessage[];
  /** Rebalances, newest last. */
  readonly payments: readonly ViewPayment[];
  readonly totals: ViewTotals;
}

/** One owner with one instance. */
export interface ViewOperator {
  readonly name: string;
  /** Names of the nodes that the instance manages. */
  readonly nodes: readonly string[];
  readonly state: "starting" | "running" | "restarting" | "stopped";
  /** Other instances that proved to know the secret. */
  readonly peerCount: number;
}

export interface ViewChannel {
  readonly name: string;
  /** Names of the two nodes; the first one's share is drawn from the left. */
  readonly first: string;
  readonly second: string;
  readonly firstSat: Sat;
  readonly secondSat: Sat;
  /** In HTLCs under way. */
  readonly unsettledSat: Sat;
  /** The share that the first side wants to hold, and the width of the zone on either side of it. */
  readonly balancePoint: number;
  readonly deadzone: number;
  readonly rebalanceCount: number;
  readonly state: ViewChannelState;
}

export type ViewChannelState =
  /** No instance watches it, since its nodes aren't in one cluster. */
  | { readonly kind: "alone"; readonly reason: string }
  | { readonly kind: "balanced" }
  /** Outside its deadzone, and nothing is under way yet. */
  | { readonly kind: "off" }
  | { readonly kind: "asking"; readonly by: string; readonly amountSat: Sat }
  | { readonly kind: "paying"; readonly by: string; readonly amountSat: Sat }
  | { readonly kind: "resting"; readonly reason: string };

/** A message of the protocol between two nodes. */
export interface ViewMessage {
  readonly atMs: number;
  /** A node's name. */
  readonly from: string;
  /** A node's name; of a hello, which goes to a whole instance, its operator's. */
  readonly to: string;
  readonly type: "hello" | "bye" | "payInvoice" | "paymentResult";
  /** Few words: an amount, a reason. */
  readonly detail: string;
}

export interface ViewPayment {
  readonly atMs: number;
  readonly channel: string;
  readonly payer: string;
  readonly payee: string;
  readonly amountSat: Sat;
  readonly state: "settled" | "failed" | "unknown";
  /** From the payee's decision to ask to the settled payment; undefined when it didn't come to that. */
  readonly tookMs: number | undefined;
}

export interface ViewTotals {
  readonly rebalanceCount: number;
  readonly rebalancedSat: Sat;
  readonly feesMsat: Msat;
  readonly failureCount: number;
  /** Half of the rebalances took no longer; undefined before the first. */
  readonly medianMs: number | undefined;
  /** Simulated traffic that passed the channels. */
  readonly trafficCount: number;
  readonly trafficSat: Sat;
  /** Whether every satoshi is where it should be. */
  readonly conserved: boolean;
}

/** The share of the channel that its first side holds; HTLCs under way belong to nobody yet. */
export function firstShare(channel: ViewChannel): number {
  const total = channel.firstSat + channel.secondSat + channel.unsettledSat;
  return total === 0n ? 0 : Number(channel.firstSat) / Number(total);
}

/** Whether neither side would ask. */
export function isInsideDeadzone(channel: ViewChannel): boolean {
  // Shares are quotients of integers: a hair's breadth of rounding isn't a drift.
  return Math.abs(firstShare(channel) - channel.balancePoint) <= channel.deadzone + 1e-9;
}

/** Whether some instance keeps it in balance. */
export function isWatched(channel: ViewChannel): boolean {
  return channel.state.kind !== "alone";
}

/** Whether the demo kept its promise: every watched channel (there is one) inside its deadzone, no satoshi lost or made. */
export function hasPassed(model: ViewModel): boolean {
  const watched = model.channels.filter(isWatched);
  return model.totals.conserved && watched.length > 0 && watched.every(isInsideDeadzone);
}
