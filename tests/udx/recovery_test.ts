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

Deno.test("Rack sees reordering only in packets sent once", () => {
  const rack = new Rack(0);
  rack.delivered(5, 10, 1, false, true);
  assert.equal(rack.reorderingSeen, false);
  rack.delivered(3, 12, 1, true, true);
  assert.equal(rack.reorderingSeen, false, "a repetition comes late by nature");
  rack.delivered(4, 10, 1, false, true);
  assert.equal(rack.reorderingSeen, true);
});

Deno.test("Rack learns nothing from a repetition that wasn't what was answered", () => {
  const rack = new Rack(0);
  rack.delivered(0, 10, 20, false, true);
  rack.delivered(1, 50, 1, true, false);
  assert.deepEqual([rack.sentMs, rack.rttMs], [10, 20]);
  rack.delivered(2, 50, 20, true, true);
  assert.deepEqual([rack.sentMs, rack.endSeq], [50, 3]);
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

Deno.test("RttEstimator.answersLatestCopy() believes an answer that is possible", () => {
  const rtt = new RttEstimator();
  rtt.sample(40, 0);
  assert.equal(rtt.answersLatestCopy(40, 50), true);
  assert.equal(rtt.answersLatestCopy(5, 50), false, "the first copy was only late");
  assert.equal(rtt.answersLatestCopy(5, 500), true, "the first copy is long gone");
});
