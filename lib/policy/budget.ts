import type { LimitScope, Period, ScopedLimits } from "../config/config.ts";
import { addSat, type Sat, sat } from "../domain/amounts.ts";
import type { ChannelPoint, NodePubkey } from "../domain/ids.ts";

/** A payment that counts against a limit. Times are monotonic. */
export interface SpentPayment {
  readonly state: "reserved" | "unknown" | "settled";
  readonly node: NodePubkey;
  readonly channelPoint: ChannelPoint | undefined;
  readonly amountSat: Sat;
  /** When its settlement was recorded; only then does it begin to age. */
  readonly settledAtMs: number | undefined;
}

/** Who wants to spend, and over which channel. */
export interface Spender {
  readonly node: NodePubkey;
  readonly channelPoint: ChannelPoint;
}

export interface BudgetQuestion extends Spender {
  readonly amountSat: Sat;
  readonly limits: ScopedLimits;
  readonly payments: Iterable<SpentPayment>;
  readonly atMs: number;
  /** The wall clock as limits know it: evenly going on with `atMs`, whatever the clock is set to meanwhile. */
  readonly evenWallMs: number;
}

/** `retryAfterMs`: when enough has aged out, if only settled payments are in the way. */
export type BudgetVerdict =
  | { readonly kind: "within" }
  | { readonly kind: "exceeded"; readonly reason: "too-many" | "too-much"; readonly retryAfterMs: number | undefined };

/**
 * Whether one more payment stays within every count and amount per period. What is reserved or unknown counts as spent in
 * whatever period it is now; what is settled counts in the period of its settlement: for a rolling period's length after
 * it, or to the end of the fixed period that it fell in.
 */
export function checkBudget(question: BudgetQuestion): BudgetVerdict {
  const payments = [...question.payments];
  for (const { scope, max, ...period } of question.limits.counts) {
    const counted = countedIn(payments, scope, question, period);
    if (counted.length + 1 > max) {
      return exceeded("too-many", byAge(counted)[counted.length - max], period, question);
    }
  }
  for (const { scope, maxSat, ...period } of question.limits.amounts) {
    const counted = countedIn(payments, scope, question, period);
    let overSat = sumSat(counted) + question.amountSat - maxSat;
    if (overSat <= 0n) continue;
    let freed: SpentPayment | undefined;
    for (const payment of byAge(counted)) {
      overSat -= payment.amountSat;
      freed = payment;
      if (overSat <= 0n) break;
    }
    return exceeded("too-much", overSat <= 0n ? freed : undefined, period, question);
  }
  return { kind: "within" };
}

/** What is left of the narrowest amount limit of this side; for people and metrics. */
export function remainingSat({ limits, payments, ...when }: Omit<BudgetQuestion, "amountSat">): Sat {
  const all = [...payments];
  return limits.amounts.reduce((least, { scope, maxSat, ...period }) => {
    const left = maxSat - sumSat(countedIn(all, scope, when, period));
    return sat(left < least ? (left > 0n ? left : 0n) : least);
  }, limits.amounts[0]?.maxSat ?? sat(0));
}

type When = Pick<BudgetQuestion, "atMs" | "evenWallMs">;

function countedIn(
  payments: readonly SpentPayment[],
  scope: LimitScope,
  { node, channelPoint, ...when }: Spender & When,
  period: Period,
): SpentPayment[] {
  return payments.filter((payment) =>
    payment.node === node &&
    // A foreign payment over a channel that we can't name could have been over any.
    (scope === "node" || payment.channelPoint === undefined || payment.channelPoint === channelPoint) &&
    (payment.settledAtMs === undefined || isWithin(payment.settledAtMs, period, when))
  );
}

/** Whether what was settled then still counts. */
function isWithin(settledAtMs: number, period: Period, when: When): boolean {
  // What is a whole rolling period old has left the window.
  return period.periodKind === "fixed"
    ? settledAtMs >= fixedPeriodBeganAtMs(period, when)
    : when.atMs - settledAtMs < period.periodMs;
}

function fixedPeriodBeganAtMs({ periodMs }: Period, { atMs, evenWallMs }: When): number {
  return atMs - (evenWallMs - Math.floor(evenWallMs / periodMs) * periodMs);
}

/** Only settled payments ever leave a window; those that don't age are left out. */
function byAge(payments: readonly SpentPayment[]): SpentPayment[] {
  return payments.filter((payment) => payment.settledAtMs !== undefined)
    .sort((a, b) => a.settledAtMs! - b.settledAtMs!);
}

function exceeded(
  reason: "too-many" | "too-much",
  freedBy: SpentPayment | undefined,
  period: Period,
  when: When,
): BudgetVerdict {
  // Of a fixed period all that was settled goes at once.
  const beganAtMs = period.periodKind === "fixed" ? fixedPeriodBeganAtMs(period, when) : freedBy?.settledAtMs;
  const retryAfterMs = freedBy === undefined || beganAtMs === undefined
    ? undefined
    : beganAtMs + period.periodMs - when.atMs;
  return { kind: "exceeded", reason, retryAfterMs };
}

function sumSat(payments: readonly SpentPayment[]): Sat {
  return addSat(sat(0), ...payments.map((payment) => payment.amountSat));
}
