import assert from "node:assert/strict";
import { Rack, RttEstimator, sentAfter } from "../../lib/udx/recovery.ts";

Deno.test("RttEstimator follows RFC 6298 with libudx's floor of one second", () => {
  const rtt = new RttEstimator();
  assert.deepEqual([rtt.hasSample, rtt.rtoMs, rtt.minRttMs], [false, 1000, Infinity]);
  rtt.sample(800, 0);
  assert.deepEqual([rtt.srttMs, rtt.rttvarMs, rtt.rtoMs], [800, 400, 2400]);
  rtt.sample(400, 1);
  assert.deepEqual([rtt.srttMs, rtt.rttvarMs, rtt.rtoMs], [750, 400, 2350]);
  for (let i = 0; i < 100; i++) rtt.sample(10, i);
  assert.equal(rtt.rtoMs, 1000);
});

Deno.test("RttEstimator caps the timeout at 30 s", () => {
  const rtt = new RttEstimator();
  rtt.sample(20_000, 0);
  assert.equal(rtt.rtoMs, 30_000);
});

Deno.test("RttEstimator clamps what a suspended machine measured", () => {
  const rtt = new RttEstimator();
  assert.equal(rtt.clamp(60_000), 30_000);
  rtt.sample(100, 0);
  assert.equal(rtt.clamp(4000), 4000, "slow, but possible");
  assert.equal(rtt.clamp(3_600_000), 100 + 5 * 50);
});

Deno.test("RttEstimator forgets a minimum after five minutes at the latest", () => {
  const rtt = new RttEstimator();
  rtt.sample(10, 0);
  rtt.sample(50, 100_000);
  assert.equal(rtt.minRttMs, 10);
  rtt.sample(40, 151_000);
  assert.equal(rtt.minRttMs, 10);
  rtt.sample(60, 302_000);
  assert.equal(rtt.minRttMs, 40);
});

Deno.test("RttEstimator.probeTimeoutMs() waits two round trips, and longer for a single packet", () => {
  const rtt = new RttEstimator();
  assert.equal(rtt.probeTimeoutMs(3), 1000);
  rtt.sample(50, 0);
  assert.equal(rtt.probeTimeoutMs(3), 100);
  assert.equal(rtt.probeTimeoutMs(1), 102);
  const near = new RttEstimator();
  near.sample(0.1, 0);
  assert.equal(near.probeTimeoutMs(3), 10, "no race with the other side's event loop");
});

Deno.test("sentAfter() breaks ties by sequence number", () => {
  assert.equal(sentAfter(2, 1, 1, 9), true);
  assert.equal(sentAfter(1, 9, 2, 1), false);
  assert.equal(sentAfter(1, 2, 1, 1), true);
  assert.equal(sentAfter(1, 1, 1, 1), false);
  assert.equal(sentAfter(1, 0, 1, 0xffffffff), true);
});

/** A packet sent once, or first and again. */
function packet(seq: number, firstSentMs: number, sentMs = firstSentMs) {
  return { seq, firstSentMs, sentMs, retransmitted: sentMs !== firstSentMs };
}

Deno.test("Rack sees reordering only in packets sent once", () => {
  const rack = new Rack(0);
  rack.delivered(packet(5, 10), 50, 40, 40);
  assert.equal(rack.reorderingSeen, false);
  rack.delivered(packet(3, 1, 12), 52, 40, 40);
  assert.equal(rack.reorderingSeen, false, "a repetition comes late by nature");
  rack.delivered(packet(4, 10), 53, 43, 40);
  assert.equal(rack.reorderingSeen, true);
});

Deno.test("Rack takes an answer that comes too early for the last copy as the first one's", () => {
  const rack = new Rack(0);
  rack.delivered(packet(0, 10), 50, 40, 40);
  assert.equal(rack.delivered(packet(1, 20, 60), 65, 5, 40), true);
  assert.deepEqual([rack.sentMs, rack.endSeq, rack.rttMs], [20, 2, 45]);
  assert.equal(rack.delivered(packet(2, 21, 60), 100, 40, 40), false);
  assert.deepEqual([rack.sentMs, rack.endSeq, rack.rttMs], [60, 3, 40]);
  assert.equal(rack.delivered(packet(3, 22, 90), 95, 5, Infinity), false, "what is too early isn't known yet");
});

Deno.test("Rack waits longer after repetitions in vain, once per round trip, and forgets that after 16 recoveries", () => {
  const rtt = new RttEstimator();
  rtt.sample(40, 0);
  const rack = new Rack(0);
  rack.widen(0, 10);
  rack.widen(5, 12);
  assert.equal(rack.reorderWindowMs(rtt, true, 3), 20);
  rack.widen(10, 20);
  assert.equal(rack.reorderWindowMs(rtt, true, 3), 30);
  for (let at = 20; at < 100; at += 10) rack.widen(at, at + 10);
  assert.equal(rack.reorderWindowMs(rtt, true, 3), 40, "no longer than a round trip");
  for (let i = 0; i < 15; i++) rack.recovered();
  assert.equal(rack.reorderWindowMs(rtt, true, 3), 40);
  rack.recovered();
  assert.equal(rack.reorderWindowMs(rtt, true, 3), 10);
});

Deno.test("Rack waits a quarter of the shortest round trip, unless loss is proven", () => {
  const rtt = new RttEstimator();
  rtt.sample(40, 0);
  const rack = new Rack(0);
  assert.equal(rack.reorderWindowMs(rtt, false, 0), 10);
  assert.equal(rack.reorderWindowMs(rtt, false, 3), 0, "three packets have overtaken");
  assert.equal(rack.reorderWindowMs(rtt, true, 0), 0, "in recovery anyway");
  rack.reorderingSeen = true;
  assert.equal(rack.reorderWindowMs(rtt, true, 3), 10, "but not on a path that reorders");
});
