import assert from "node:assert/strict";
import type { ScopedLimits } from "../../lib/config/config.ts";
import { sat } from "../../lib/domain/amounts.ts";
import { checkBudget, remainingSat, type SpentPayment } from "../../lib/policy/budget.ts";
import { alice, carol, otherPoint, point } from "./fixtures.ts";

const hourMs = 3_600_000;
/** The even wall clock at the question: a quarter past some hour, UTC. */
const epochMs = Date.UTC(2026, 0, 1, 7, 15);

function paid(amountSat: number, settledAtMs: number | undefined, over: Partial<SpentPayment> = {}): SpentPayment {
  const state = settledAtMs === undefined ? "reserved" : "settled";
  return { state, node: alice, channelPoint: point, amountSat: sat(amountSat), settledAtMs, ...over };
}

function limited(over: Partial<ScopedLimits>): ScopedLimits {
  return { counts: [], amounts: [], netOutflows: [], netOutflowTotalSat: sat(0), ...over };
}
const threeAnHour = limited({ counts: [{ scope: "node", max: 3, periodMs: hourMs, periodKind: "rolling" }] });
const thousandAnHour = limited({
  amounts: [{ scope: "node", maxSat: sat(1_000), periodMs: hourMs, periodKind: "rolling" }],
});
const hundredOverThis = limited({
  amounts: [{ scope: "channel", maxSat: sat(100), periodMs: hourMs, periodKind: "rolling" }],
});

const fixed = limited({ counts: [{ scope: "node", max: 3, periodMs: hourMs, periodKind: "fixed" }] });

interface Case {
  name: string;
  limits: ScopedLimits;
  payments: SpentPayment[];
  amountSat?: number;
  want: "within" | { reason: string; retryAfterMs: number | undefined };
}
/** The question is asked at 2 h. */
const cases: Case[] = [
  {
    name: "lets the last one pass",
    limits: threeAnHour,
    payments: [paid(1, 2 * hourMs), paid(1, 2 * hourMs)],
    want: "within",
  },
  {
    name: "counts to the limit and says when the oldest ages out",
    limits: threeAnHour,
    payments: [paid(1, 2 * hourMs - 10), paid(1, 2 * hourMs - 30), paid(1, 2 * hourMs - 20)],
    want: { reason: "too-many", retryAfterMs: hourMs - 30 },
  },
  {
    name: "promises nothing where no payment is allowed",
    limits: limited({ counts: [{ scope: "node", max: 0, periodMs: hourMs, periodKind: "rolling" }] }),
    payments: [paid(1, 2 * hourMs)],
    want: { reason: "too-many", retryAfterMs: undefined },
  },
  {
    name: "forgets what is a whole period old",
    limits: threeAnHour,
    payments: [paid(1, hourMs), paid(1, hourMs + 1), paid(1, hourMs + 1)],
    want: "within",
  },
  {
    name: "never forgets what is reserved or unknown",
    limits: threeAnHour,
    payments: [paid(1, undefined), paid(1, undefined, { state: "unknown" }), paid(1, undefined)],
    want: { reason: "too-many", retryAfterMs: undefined },
  },
  {
    name: "doesn't count another node's payments",
    limits: threeAnHour,
    payments: [1, 2, 3].map(() => paid(1, 2 * hourMs, { node: carol })),
    want: "within",
  },
  {
    name: "adds up to the limit",
    limits: thousandAnHour,
    payments: [paid(900, 2 * hourMs)],
    amountSat: 100,
    want: "within",
  },
  {
    name: "stops one satoshi above it, until enough has aged out",
    limits: thousandAnHour,
    payments: [paid(500, 2 * hourMs - 5), paid(1, 2 * hourMs - 9), paid(400, undefined)],
    amountSat: 101,
    want: { reason: "too-much", retryAfterMs: hourMs - 5 },
  },
  {
    name: "waits for as many of the oldest as leave enough, and for no more",
    limits: thousandAnHour,
    payments: [paid(400, 2 * hourMs - 5), paid(300, 2 * hourMs - 9), paid(250, 2 * hourMs - 1)],
    amountSat: 350,
    want: { reason: "too-much", retryAfterMs: hourMs - 9 },
  },
  {
    name: "promises nothing when what is pending alone is too much",
    limits: thousandAnHour,
    payments: [paid(500, 2 * hourMs - 5), paid(950, undefined)],
    amountSat: 101,
    want: { reason: "too-much", retryAfterMs: undefined },
  },
  {
    name: "promises nothing for an amount that never fits",
    limits: thousandAnHour,
    payments: [],
    amountSat: 1_001,
    want: { reason: "too-much", retryAfterMs: undefined },
  },
  {
    name: "counts a channel's limit over that channel alone",
    limits: hundredOverThis,
    payments: [paid(1_000, 2 * hourMs, { channelPoint: otherPoint })],
    amountSat: 100,
    want: "within",
  },
  {
    name: "counts a payment over a channel nobody can name against each",
    limits: hundredOverThis,
    payments: [paid(1_000, 2 * hourMs, { channelPoint: undefined })],
    amountSat: 100,
    want: { reason: "too-much", retryAfterMs: hourMs },
  },
  {
    name: "lets a fixed period begin with nothing spent",
    limits: fixed,
    payments: [paid(1, 2 * hourMs - 900_001), paid(1, 2 * hourMs - 900_002), paid(1, 2 * hourMs - 900_003)],
    want: "within",
  },
  {
    name: "counts a fixed period from its boundary, and says when the next begins",
    limits: fixed,
    payments: [paid(1, 2 * hourMs - 900_000), paid(1, 2 * hourMs - 5), paid(1, 2 * hourMs)],
    want: { reason: "too-many", retryAfterMs: 2_700_000 },
  },
  {
    name: "counts what is pending in the fixed period that is now",
    limits: fixed,
    payments: [1, 2, 3].map(() => paid(1, undefined)),
    want: { reason: "too-many", retryAfterMs: undefined },
  },
  {
    name: "promises the next fixed period for an amount that fits it",
    limits: limited({ amounts: [{ scope: "node", maxSat: sat(100), periodMs: hourMs, periodKind: "fixed" }] }),
    payments: [paid(60, 2 * hourMs - 1), paid(30, undefined)],
    amountSat: 20,
    want: { reason: "too-much", retryAfterMs: 2_700_000 },
  },
  {
    name: "needs every limit to hold",
    limits: { ...thousandAnHour, amounts: [...thousandAnHour.amounts, ...hundredOverThis.amounts] },
    payments: [],
    amountSat: 101,
    want: { reason: "too-much", retryAfterMs: undefined },
  },
];
for (const { name, limits, payments, amountSat = 1, want } of cases) {
  Deno.test(`checkBudget() ${name}`, () => {
    const verdict = checkBudget({
      ...{ node: alice, channelPoint: point, limits, payments },
      amountSat: sat(amountSat),
      atMs: 2 * hourMs,
      evenWallMs: epochMs,
    });
    assert.deepEqual(verdict, want === "within" ? { kind: "within" } : { kind: "exceeded", ...want });
  });
}

Deno.test("remainingSat() is what the narrowest limit leaves", () => {
  const limits = { ...thousandAnHour, amounts: [...thousandAnHour.amounts, ...hundredOverThis.amounts] };
  const question = { node: alice, channelPoint: point, limits, atMs: 2 * hourMs, evenWallMs: epochMs };
  assert.equal(remainingSat({ ...question, payments: [paid(30, undefined)] }), 70n);
  assert.equal(remainingSat({ ...question, payments: [paid(950, 2 * hourMs, { channelPoint: otherPoint })] }), 50n);
  assert.equal(remainingSat({ ...question, payments: [paid(2_000, 2 * hourMs)] }), 0n);
});
