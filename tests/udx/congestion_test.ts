import assert from "node:assert/strict";
import { Congestion, INITIAL_WINDOW_PACKETS } from "../../lib/udx/congestion.ts";

/** One round trip in which the whole window is delivered. */
function round(congestion: Congestion, nowMs: number, rttMs: number): void {
  const packets = congestion.windowPackets;
  for (let i = 0; i < packets; i++) {
    congestion.onRoundTrip(rttMs, 1);
    congestion.onDelivered(1, nowMs, rttMs, true);
  }
  congestion.onRoundEnd();
}

Deno.test("Congestion doubles per round trip in slow start", () => {
  const congestion = new Congestion();
  for (let i = 1; i <= 5; i++) {
    round(congestion, i * 50, 50);
    assert.equal(congestion.windowPackets, INITIAL_WINDOW_PACKETS * 2 ** i);
  }
});

Deno.test("Congestion doesn't grow a window that wasn't used", () => {
  const congestion = new Congestion();
  congestion.onDelivered(100, 50, 50, false);
  assert.equal(congestion.windowPackets, INITIAL_WINDOW_PACKETS);
});

Deno.test("Congestion leaves slow start when round trips grow, before anything is lost", () => {
  const congestion = new Congestion();
  let rttMs = 50;
  let rounds = 0;
  for (; congestion.inSlowStart && rounds < 30; rounds++) {
    round(congestion, rounds * 50, rttMs);
    if (congestion.windowPackets > 80) rttMs += 10;
  }
  assert.equal(congestion.inSlowStart, false);
  assert.ok(congestion.windowPackets < 80 * 8, `${congestion.windowPackets} packets after ${rounds} rounds`);
});

Deno.test("Congestion goes back to full slow start when the delay was a passing one", () => {
  const congestion = new Congestion();
  round(congestion, 0, 50);
  round(congestion, 50, 70);
  const slowed = congestion.windowPackets;
  round(congestion, 100, 50);
  round(congestion, 150, 50);
  assert.ok(congestion.inSlowStart);
  assert.ok(congestion.windowPackets > slowed * 2);
});

Deno.test("Congestion cuts to 0.7 on loss and grows back towards the old window, slowly near it", () => {
  const congestion = new Congestion();
  for (let i = 1; i <= 4; i++) round(congestion, i * 100, 100);
  const before = congestion.windowPackets;
  congestion.onLoss();
  assert.equal(congestion.windowPackets, Math.floor(before * 0.7));
  assert.equal(congestion.inSlowStart, false);
  // RFC 9438 §4.2: after K seconds the window is back where it was.
  const kMs = 1000 * Math.cbrt((before - congestion.windowPackets) / 0.4);
  let nowMs = 500;
  for (; nowMs < 500 + kMs; nowMs += 100) round(congestion, nowMs, 100);
  assert.ok(Math.abs(congestion.windowPackets - before) <= before * 0.1, `${congestion.windowPackets} of ${before}`);
});

Deno.test("Congestion starts over after a timeout", () => {
  const congestion = new Congestion();
  for (let i = 1; i <= 4; i++) round(congestion, i * 50, 50);
  congestion.onTimeout(false);
  assert.equal(congestion.windowPackets, 1);
  round(congestion, 250, 50);
  assert.equal(congestion.windowPackets, 2);
  congestion.onTimeout(true);
  assert.equal(congestion.windowPackets, 1);
  for (let i = 0; i < 6; i++) round(congestion, 300 + i * 50, 50);
  assert.equal(congestion.windowPackets, 64, "the threshold still is 0.7 of the window before the first timeout");
});

Deno.test("Congestion never falls below four packets", () => {
  const congestion = new Congestion();
  for (let i = 0; i < 50; i++) congestion.onLoss();
  assert.equal(congestion.windowPackets, 4);
});

Deno.test("Congestion paces: a burst, then packets at the rate of the window", () => {
  const congestion = new Congestion();
  congestion.onDelivered(10, 1000, 100, true);
  let burst = 0;
  while (congestion.mayPace(1000)) {
    congestion.onSent();
    burst++;
  }
  assert.equal(burst, 16);
  const nextMs = congestion.nextPacedAtMs();
  // Twice the window of 20 packets per 100 ms.
  assert.ok(Math.abs(nextMs - 1002.5) < 0.01, `${nextMs} ms`);
  assert.equal(congestion.mayPace(nextMs - 0.1), false);
  assert.equal(congestion.mayPace(nextMs), true);
});
