import type { LimitScope, ScopedLimits } from "../config/config.ts";
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
}

/** `retryAfterMs`: when enough has aged out, if only settled payments are in the way. */
export type BudgetVerdict =
  | { readonly kind: "within" }
  | { readonly kind: "exceeded"; readonly reason: "too-many" | "too-much"; readonly retryAfterMs: number | undefined };

/**
 * Whether one more payment stays within every count and amount per rolling period. What is reserved or unknown counts as
 * spent and never ages; what is settled ages from its settlement.
 */
export function checkBudget(question: BudgetQuestion): BudgetVerdict {
  const payments = [...question.payments];
  for (const { scope, max, periodMs } of question.limits.counts) {
    const counted = countedIn(payments, scope, question, periodMs, question.atMs);
    if (counted.length + 1 > max) {
      const freed = max < 1 ? undefined : nthOldest(counted, counted.length - max);
      return exceeded("too-many", freed, periodMs, question.atMs);
    }
  }
  for (const { scope, maxSat, periodMs } of question.limits.amounts) {
    const counted = countedIn(payments, scope, question, periodMs, question.atMs);
    let overSat = sumSat(counted) + question.amountSat - maxSat;
    if (overSat <= 0n) continue;
    let freed: SpentPayment | undefined;
    for (const payment of byAge(counted)) {
      overSat -= payment.amountSat;
      freed = payment;
      if (overSat <= 0n) break;
    }
    return exceeded("too-much", overSat <= 0n ? freed : undefined, periodMs, question.atMs);
  }
  return { kind: "within" };
}

/** What is left of the narrowest amount limit of this side; for people and metrics. */
export function remainingSat({ limits, payments, atMs, ...spender }: Omit<BudgetQuestion, "amountSat">): Sat {
  const all = [...payments];
  return limits.amounts.reduce((least, { scope, maxSat, periodMs }) => {
    const left = maxSat - sumSat(countedIn(all, scope, spender, periodMs, atMs));
    return sat(left < least ? (left > 0n ? left : 0n) : least);
  }, limits.amounts[0]?.maxSat ?? sat(0));
}

function countedIn(
  payments: readonly SpentPayment[],
  scope: LimitScope,
  spender: Spender,
  periodMs: number,
  atMs: number,
): SpentPayment[] {
  return payments.filter((payment) =>
    payment.node === spender.node &&
    // A foreign payment over a channel that we can't name could have been over any.
    (scope === "node" || payment.channelPoint === undefined || payment.channelPoint === spender.channelPoint) &&
    (payment.settledAtMs === undefined || atMs - payment.settledAtMs < periodMs)
  );
}

/** Only settled payments ever leave a window; those that don't age are left out. */
function byAge(payments: readonly SpentPayment[]): SpentPayment[] {
  return payments.filter((payment) => payment.settledAtMs !== undefined)
    .sort((a, b) => a.settledAtMs! - b.settledAtMs!);
}

function nthOldest(payments: readonly SpentPayment[], index: number): SpentPayment | undefined {
  return byAge(payments)[index];
}

function exceeded(
  reason: "too-many" | "too-much",
  freedBy: SpentPayment | undefined,
  periodMs: number,
  atMs: number,
): BudgetVerdict {
  const retryAfterMs = freedBy?.settledAtMs === undefined ? undefined : freedBy.settledAtMs + periodMs - atMs;
  return { kind: "exceeded", reason, retryAfterMs };
}

function sumSat(payments: readonly SpentPayment[]): Sat {
  return addSat(sat(0), ...payments.map((payment) => payment.amountSat));
}
