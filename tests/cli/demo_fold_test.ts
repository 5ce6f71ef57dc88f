import assert from "node:assert/strict";
import type { EventRecord } from "../../lib/audit/record.ts";
import { DemoFold } from "../../lib/cli/demo_fold.ts";
import { formatDemoAct, formatDemoRecord, formatDemoSummary } from "../../lib/cli/demo_json.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import { parseChannelPoint, parseNodePubkey } from "../../lib/domain/ids.ts";

const [a, c] = ["a1", "c3"].map((byte) => parseNodePubkey(`02${byte.repeat(32)}`)!);
const channelPoint = parseChannelPoint(`${"d4".repeat(32)}:0`)!;

function event(kind: EventRecord["kind"], rest: Partial<EventRecord> = {}): EventRecord {
  return { atWallMs: 1_000, kind, level: "info", message: "…", channelPoint, ...rest };
}

function twoOwners() {
  const fold = new DemoFold({
    totalMs: 60_000,
    acts: [{ atMs: 0, title: "begin" }],
    operators: [{ name: "Alice", nodes: ["A", "B"] }, { name: "Bob", nodes: ["C"] }],
    balancePoint: 0.5,
    deadzone: 0.1,
  });
  fold.nameNode(a!, "A");
  fold.nameNode(c!, "C");
  fold.setOperator("Alice", "running");
  fold.setOperator("Bob", "running");
  const balances = (first: number) =>
    fold.setChannels([{
      ...{ name: "A-C", channelPoint, first: "A", second: "C", unsettledSat: sat(0) },
      ...{ firstSat: sat(first), secondSat: sat(1_000_000 - first) },
    }]);
  return { fold, balances, state: () => fold.model(0).channels[0]!.state };
}

Deno.test("DemoFold follows a channel from two secrets to a settled payment", () => {
  const { fold, balances, state } = twoOwners();
  balances(900_000);
  assert.deepEqual(state(), { kind: "alone", reason: "two secrets" });

  fold.record("Alice", event("peer-authenticated"), 1);
  fold.record("Alice", event("node-joined", { peer: c! }), 2);
  fold.record("Alice", event("channel-watched", { node: a!, peer: c! }), 3);
  assert.deepEqual(state(), { kind: "off" });

  const asked = { node: c!, peer: a!, amountSat: sat(400_000), role: "payee" } as const;
  fold.record("Bob", event("decision", { ...asked, reason: "asking" }), 4);
  assert.deepEqual(state(), { kind: "asking", by: "C", amountSat: 400_000n });
  fold.record("Bob", event("message-sent", { ...asked, details: { message: "payInvoice" } }), 5);
  const paid = { node: a!, peer: c!, amountSat: sat(400_000), feeMsat: msat(0), role: "payer" } as const;
  fold.record("Alice", event("payment-started", paid), 6);
  assert.deepEqual(state(), { kind: "paying", by: "A", amountSat: 400_000n });
  fold.record("Alice", event("payment-settled", { ...paid, details: { tookMs: 5 } }), 7);
  fold.record("Alice", event("message-sent", { ...paid, details: { message: "paymentResult" } }), 8);
  fold.record("Bob", event("payment-received", { ...asked, details: { tookMs: 12 } }), 9);
  balances(500_000);
  assert.deepEqual(state(), { kind: "balanced" });

  const model = fold.model(10);
  assert.deepEqual(model.messages.map(({ from, to, type, detail }) => `${from} ${to} ${type} ${detail}`), [
    "C Alice hello proven",
    "C A payInvoice 400,000 sat",
    "A C paymentResult paid",
  ]);
  assert.deepEqual(model.payments, [{
    ...{ atMs: 9, channel: "A-C", payer: "A", payee: "C", amountSat: 400_000n, state: "settled", tookMs: 12 },
  }]);
  assert.deepEqual(model.operators.map((operator) => operator.peerCount), [1, 0]);
  assert.deepEqual(
    [model.totals.rebalanceCount, model.totals.rebalancedSat, model.totals.feesMsat, model.totals.medianMs],
    [1, 400_000n, 0n, 12],
  );
  assert.equal(model.channels[0]!.rebalanceCount, 1);
});

Deno.test("DemoFold shows failures, reasons, and what a restart ends", () => {
  const { fold, balances, state } = twoOwners();
  balances(100_000);
  fold.record("Bob", event("channel-watched", { node: c!, peer: a! }), 1);
  fold.record("Alice", event("decision", { node: a!, reason: "backing-off" }), 2);
  fold.record("Bob", event("decision", { node: c!, reason: "other-side" }), 2);
  assert.deepEqual(state(), { kind: "resting", reason: "backing-off" }, "the poorer side's reason counts");

  fold.record("Bob", event("payment-started", { node: c!, peer: a!, amountSat: sat(1) }), 3);
  fold.record("Bob", event("payment-failed", { node: c!, peer: a!, amountSat: sat(1), reason: "no-route" }), 4);
  assert.equal(fold.model(5).totals.failureCount, 1);
  assert.equal(fold.model(5).payments[0]?.state, "failed");
  assert.deepEqual(state(), { kind: "resting", reason: "backing-off" });

  fold.record("Bob", event("payment-started", { node: c!, peer: a!, amountSat: sat(1) }), 6);
  fold.setOperator("Bob", "restarting");
  assert.deepEqual(state(), { kind: "alone", reason: "an owner is away" });
  fold.setConserved(false);
  fold.setConserved(true);
  assert.equal(fold.model(7).totals.conserved, false, "a lost satoshi isn't forgotten");
});

Deno.test("the demo's JSON lines hold times, owners and a summary that says ok", () => {
  const { fold, balances } = twoOwners();
  balances(450_000);
  fold.record("Alice", event("channel-watched", { node: a!, peer: c! }), 3);
  fold.setTraffic(7, sat(70));
  assert.deepEqual(JSON.parse(formatDemoAct(1.6, "begin")), { atMs: 2, kind: "act", title: "begin" });
  const line = formatDemoRecord(3.2, "Alice", event("payment-settled", { amountSat: sat(5) }));
  assert.deepEqual(JSON.parse(line), {
    ...{ atMs: 3, operator: "Alice", at: "1970-01-01T00:00:01.000Z", kind: "payment-settled" },
    ...{ channelPoint, amountSat: 5, level: "info", message: "…" },
  });
  assert.deepEqual(JSON.parse(formatDemoSummary(fold.model(20_000))), {
    ...{ atMs: 20_000, kind: "summary", ok: true, conserved: true, rebalances: 0, rebalancedSat: 0, feesMsat: 0 },
    ...{ failures: 0, trafficPayments: 7, trafficSat: 70 },
    channels: [{
      ...{ name: "A-C", watched: true, insideDeadzone: true, firstShare: 0.45, firstSat: 450_000, secondSat: 550_000 },
      ...{ unsettledSat: 0, rebalances: 0 },
    }],
  });
});
