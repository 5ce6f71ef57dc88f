/** What is claimed of congestion control, on a link of 20 Mbit/s and 50 ms in virtual time. */
import assert from "node:assert/strict";
import { SharedLink } from "./link.ts";
import { alone, type Outcome, retransmitted, smallerShare, together, utilisation } from "./link_report.ts";

const ALONE_MS = 10_000;
const TOGETHER_MS = 15_000;
/** A share of 60:40. */
const FAIR = 0.4;

function describe(outcome: Outcome): string {
  return JSON.stringify({ ...outcome, utilisation: utilisation(outcome), retransmitted: retransmitted(outcome) });
}

function assertFair(outcome: Outcome): void {
  assert.ok(smallerShare(outcome) >= FAIR, describe(outcome));
  assert.ok(utilisation(outcome) >= 0.95, describe(outcome));
}

Deno.test("a stream fills the link from its first packet on, and repeats little", () => {
  const outcome = alone({}, ALONE_MS);
  assert.ok(utilisation(outcome) >= 0.95, describe(outcome));
  assert.ok(retransmitted(outcome) < 0.01, describe(outcome));
  assert.ok(outcome.queueP95Ms < 20, describe(outcome));
});

Deno.test("a stream survives random loss", () => {
  for (const [loss, least] of [[0.01, 0.9], [0.03, 0.8]] as const) {
    for (const seed of [1, 2]) {
      const outcome = alone({ loss, seed }, ALONE_MS);
      assert.ok(utilisation(outcome) >= least, describe(outcome));
      assert.ok(retransmitted(outcome) < 1.5 * loss, describe(outcome));
      assert.equal(outcome.timeouts, 0);
    }
  }
});

Deno.test("a stream isn't misled by a path that reorders", () => {
  for (const reorderMs of [5, 20]) {
    const outcome = alone({ reorder: 0.02, reorderMs }, ALONE_MS);
    assert.ok(utilisation(outcome) >= 0.95, describe(outcome));
    assert.ok(outcome.spurious < 0.002, describe(outcome));
  }
});

Deno.test("two streams share the link, whether its queue is short or long", () => {
  for (const queueBdp of [0.25, 1, 4]) {
    const outcome = together({ queueBdp }, { forMs: TOGETHER_MS });
    assertFair(outcome);
    assert.ok(retransmitted(outcome) < 0.05, describe(outcome));
    assert.ok(outcome.queueMs <= 50, describe(outcome));
  }
});

Deno.test("a stream that comes late gets its share within ten seconds", () => {
  assertFair(together({ seed: 2 }, { lateMs: 5000, forMs: TOGETHER_MS }));
});

Deno.test("two streams share the link when it loses packets", () => {
  assertFair(together({ loss: 0.01 }, { forMs: TOGETHER_MS }));
});

Deno.test("a stream with a short round trip isn't crowded out by one with a long one", () => {
  const outcome = together({}, { rttsMs: [20, 80], forMs: TOGETHER_MS });
  assert.ok(smallerShare(outcome) >= 0.25, describe(outcome));
  assert.ok(retransmitted(outcome) < 0.01, describe(outcome));
});

Deno.test("a stream takes what another one leaves", () => {
  const link = new SharedLink();
  const [first, second] = [link.add(), link.add()];
  first.start();
  second.start();
  link.run(5000);
  first.stop();
  link.run(5000);
  const [, left] = link.measure(5000);
  assert.ok(left!.utilisation >= 0.9, JSON.stringify(left));
});
