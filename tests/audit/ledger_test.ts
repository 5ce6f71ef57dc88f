import assert from "node:assert/strict";
import fc from "fast-check";
import { InvariantError } from "../../lib/domain/errors.ts";
import { Ledger } from "../../lib/audit/ledger.ts";
import type { TransactionRecord } from "../../lib/audit/record.ts";
import { channel, hash, node, record, startWallMs } from "./records.ts";

const now = { atMs: 50_000, wallMs: startWallMs };

interface Row {
  readonly name: string;
  readonly given: readonly TransactionRecord[];
  /** Hashes by state, and what B owes us. */
  readonly want: { readonly open?: number[]; readonly counted?: number[]; readonly invoices?: number[]; net: bigint };
}

const table: readonly Row[] = [
  { name: "nothing", given: [], want: { net: 0n } },
  { name: "an intent counts as spent", given: [record("intent", 1)], want: { open: [1], counted: [1], net: 1000n } },
  {
    name: "an unknown payment stays open and counts",
    given: [record("intent", 1), record("unknown", 1)],
    want: { open: [1], counted: [1], net: 1000n },
  },
  {
    name: "a settled payment counts and is closed",
    given: [record("intent", 1), record("settled", 1)],
    want: { counted: [1], net: 1000n },
  },
  {
    name: "an unknown payment can settle",
    given: [record("intent", 1), record("unknown", 1), record("settled", 1)],
    want: { counted: [1], net: 1000n },
  },
  {
    name: "a failed payment gives everything back",
    given: [record("intent", 1), record("unknown", 1), record("failed", 1)],
    want: { net: 0n },
  },
  {
    name: "the same end twice is the same end",
    given: [
      record("intent", 1),
      record("settled", 1),
      record("settled", 1),
      record("intent", 2),
      record("failed", 2),
      record("failed", 2),
    ],
    want: { counted: [1], net: 1000n },
  },
  { name: "an invoice alone moves nothing", given: [record("invoiced", 1)], want: { invoices: [1], net: 0n } },
  { name: "what is received is owed", given: [record("invoiced", 1), record("received", 1)], want: { net: -1000n } },
  {
    name: "a cancelled invoice moves nothing",
    given: [record("invoiced", 1), record("cancelled", 1)],
    want: { net: 0n },
  },
  {
    name: "payments and receipts cancel out",
    given: [
      record("intent", 1),
      record("settled", 1),
      record("invoiced", 2, { amountSat: 300 }),
      record("received", 2, { amountSat: 300 }),
    ],
    want: { counted: [1], net: 700n },
  },
  { name: "a foreign payment counts as spent", given: [record("foreign", 1)], want: { counted: [1], net: 1000n } },
  {
    name: "a foreign payment in flight can settle",
    given: [record("foreign", 1, { pending: true }), record("foreign", 1)],
    want: { counted: [1], net: 1000n },
  },
  {
    name: "a foreign payment in flight can fail",
    given: [record("foreign", 1, { pending: true }), record("failed", 1)],
    want: { net: 0n },
  },
  {
    name: "both sides of one hash, between nodes of one instance",
    given: [
      record("invoiced", 1, { ownPeer: true }),
      record("intent", 1, { ownPeer: true }),
      record("settled", 1, { ownPeer: true }),
      record("received", 1, { ownPeer: true }),
    ],
    want: { counted: [1], net: 0n },
  },
];

for (const { name, given, want } of table) {
  Deno.test(`Ledger: ${name}`, () => {
    const ledger = Ledger.fold(given, now);
    assert.deepEqual(ledger.openPayments.map((p) => p.paymentHash), (want.open ?? []).map(hash));
    assert.deepEqual(ledger.countedPayments.map((p) => p.paymentHash), (want.counted ?? []).map(hash));
    assert.deepEqual(ledger.openInvoices.map((i) => i.paymentHash), (want.invoices ?? []).map(hash));
    assert.equal(ledger.netPositionSat(node("B")), want.net);
    assert.equal(ledger.totalNetOutflowSat, want.net > 0n ? want.net : 0n);
  });
}

const impossible: readonly (readonly [string, readonly TransactionRecord[]])[] = [
  ["settled but never begun", [record("settled", 1)]],
  ["failed but never begun", [record("failed", 1)]],
  ["unknown but never begun", [record("unknown", 1)]],
  ["the same hash paid twice", [record("intent", 1), record("intent", 1)]],
  ["a failed hash begun again", [record("intent", 1), record("failed", 1), record("intent", 1)]],
  ["settled after failed", [record("intent", 1), record("failed", 1), record("settled", 1)]],
  ["failed after settled", [record("intent", 1), record("settled", 1), record("failed", 1)]],
  ["unknown after settled", [record("intent", 1), record("settled", 1), record("unknown", 1)]],
  ["another amount settled", [record("intent", 1), record("settled", 1, { amountSat: 999 })]],
  ["foreign though begun here", [record("intent", 1), record("foreign", 1)]],
  ["begun though foreign", [record("foreign", 1), record("intent", 1)]],
  ["received but never invoiced", [record("received", 1)]],
  ["received though only the payer's side is known", [record("intent", 1), record("received", 1)]],
  ["invoiced twice", [record("invoiced", 1), record("invoiced", 1)]],
  ["received after cancelled", [record("invoiced", 1), record("cancelled", 1), record("received", 1)]],
  ["another amount received", [record("invoiced", 1), record("received", 1, { amountSat: 1 })]],
];

for (const [name, records] of impossible) {
  Deno.test(`Ledger refuses a log with ${name}`, () => {
    const ledger = Ledger.fold(records.slice(0, -1), now);
    assert.throws(() => ledger.apply(records.at(-1)!, 0), InvariantError);
  });
}

Deno.test("Ledger keeps positions per remote node, over all its channels", () => {
  const ledger = Ledger.fold([
    record("intent", 1, { channel: 1 }),
    record("settled", 1, { channel: 1 }),
    record("intent", 2, { channel: 2, amountSat: 500 }),
    record("intent", 3, { channel: 3, peer: node("C"), amountSat: 40 }),
    record("invoiced", 4, { channel: 4, peer: node("D") }),
    record("received", 4, { channel: 4, peer: node("D") }),
  ], now);
  assert.deepEqual(ledger.netPositions, [
    { peer: node("B"), netSat: 1500n },
    { peer: node("C"), netSat: 40n },
    { peer: node("D"), netSat: -1000n },
  ]);
  assert.equal(ledger.totalNetOutflowSat, 1540n);
});

Deno.test("Ledger knows when a channel was last tried and last paid over", () => {
  const ledger = new Ledger();
  assert.equal(ledger.lastAttemptAtMs(channel(1)), undefined);
  ledger.apply(record("intent", 1), 100);
  assert.equal(ledger.openPaymentOn(channel(1))?.paymentHash, hash(1));
  assert.equal(ledger.openPaymentOn(channel(2)), undefined);
  ledger.apply(record("settled", 1), 250);
  ledger.apply(record("intent", 2), 300);
  ledger.apply(record("failed", 2), 350);
  assert.equal(ledger.lastAttemptAtMs(channel(1)), 300);
  assert.equal(ledger.lastSettledAtMs(channel(1)), 250);
  assert.equal(ledger.openPaymentOn(channel(1)), undefined);
});

Deno.test("Ledger.fold() ages records by the wall clock, but never backwards", () => {
  const records = [
    record("intent", 1, { atWallMs: startWallMs - 10_000 }),
    // The clock was set back an hour: the record is no older than the one before it.
    record("intent", 2, { atWallMs: startWallMs - 3_600_000 }),
    // Written by a clock ahead of ours: it counts as written just now.
    record("intent", 3, { atWallMs: startWallMs + 3_600_000 }),
    record("intent", 4, { atWallMs: startWallMs - 5_000 }),
  ];
  const ledger = Ledger.fold(records, now);
  assert.deepEqual(ledger.countedPayments.map((payment) => payment.startedAtMs), [40_000, 40_000, 50_000, 50_000]);
});

Deno.test("Ledger.forgetSettledBefore() never forgets what is open, nor a hash or a position", () => {
  const ledger = new Ledger();
  ledger.apply(record("intent", 1), 10);
  ledger.apply(record("settled", 1), 20);
  ledger.apply(record("intent", 2), 30);
  ledger.apply(record("intent", 3), 40);
  ledger.apply(record("unknown", 3), 45);
  ledger.apply(record("intent", 4), 1000);
  ledger.apply(record("settled", 4), 1001);
  ledger.forgetSettledBefore(1000);
  assert.deepEqual(ledger.countedPayments.map((payment) => payment.paymentHash), [hash(2), hash(3), hash(4)]);
  assert.equal(ledger.netPositionSat(node("B")), 4000n);
  assert.throws(() => ledger.apply(record("intent", 1), 2000), InvariantError);
});

Deno.test("Ledger: positions and counted amounts agree, whatever happens in whatever order", () => {
  const step = fc.record({
    n: fc.integer({ min: 1, max: 5 }),
    kind: fc.constantFrom(
      ...(["intent", "settled", "failed", "unknown", "foreign", "invoiced", "received", "cancelled"] as const),
    ),
  });
  fc.assert(fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
    const ledger = new Ledger();
    let received = 0n;
    const accepted: TransactionRecord[] = [];
    steps.forEach(({ n, kind }, i) => {
      const next = record(kind, n, { amountSat: n * 100 });
      const before = ledger.netPositionSat(node("B"));
      try {
        ledger.apply(next, i);
      } catch (error) {
        assert.ok(error instanceof InvariantError);
        assert.equal(ledger.netPositionSat(node("B")), before, "a refused record changes nothing");
        return;
      }
      accepted.push(next);
      const fresh = kind === "received" && ledger.netPositionSat(node("B")) !== before;
      if (fresh) received += next.amountSat;
    });
    const counted = ledger.countedPayments.reduce((sum, payment) => sum + payment.amountSat, 0n);
    assert.equal(ledger.netPositionSat(node("B")), counted - received);
    for (const payment of ledger.openPayments) assert.ok(ledger.countedPayments.includes(payment));
    // The log that was accepted folds to the same money again.
    assert.deepEqual(Ledger.fold(accepted, now).netPositions, ledger.netPositions);
  }));
});
