import assert from "node:assert/strict";
import { DeliveryRate, type RateSnapshot } from "../../lib/udx/delivery_rate.ts";
import { Pacer } from "../../lib/udx/pacer.ts";

function send(rate: DeliveryRate, seq: number, sentMs: number, first = false): RateSnapshot {
  const packet = { seq, sentMs, deliveredBefore: 0, deliveredBeforeMs: 0, flightStartMs: 0, appLimited: false };
  rate.onSent(packet, sentMs, first);
  return packet;
}

Deno.test("DeliveryRate tells how many packets were delivered between a packet's sending and its acknowledgement", () => {
  const rate = new DeliveryRate();
  const packets = [0, 1, 2, 3].map((seq) => send(rate, seq, seq * 10, seq === 0));
  for (const packet of packets.slice(0, 3)) rate.onDelivered(packet);
  // Sent over 20 ms, acknowledged after 70.
  assert.equal(rate.finish(70, 50, 40).ratePerMs, 3 / 70);
  const later = send(rate, 4, 75);
  rate.onDelivered(packets[3]!);
  rate.onDelivered(later);
  const sample = rate.finish(120, 45, 40);
  assert.deepEqual([sample.ratePerMs, sample.priorDelivered, sample.newlyDelivered], [2 / 55, 3, 2]);
});

Deno.test("DeliveryRate doesn't take acknowledgements that come together for a fast path", () => {
  const rate = new DeliveryRate();
  const packets = Array.from({ length: 10 }, (_, seq) => send(rate, seq, seq * 10, seq === 0));
  rate.onDelivered(packets[0]!);
  rate.finish(95, 95, 40);
  for (const packet of packets.slice(1)) rate.onDelivered(packet);
  // 9 packets in 5 ms, but it took 90 to send them.
  assert.equal(rate.finish(100, 10, 5).ratePerMs, 10 / 100);
});

Deno.test("DeliveryRate rejects samples shorter than the path's round trip", () => {
  const rate = new DeliveryRate();
  rate.onDelivered(send(rate, 0, 0, true));
  const sample = rate.finish(5, NaN, 40);
  assert.ok(Number.isNaN(sample.ratePerMs));
  assert.equal(rate.delivered, 1);
});

Deno.test("DeliveryRate marks samples until what was sent while there was too little has been delivered", () => {
  const rate = new DeliveryRate();
  const [a, b] = [send(rate, 0, 0, true), send(rate, 1, 0)];
  rate.markAppLimited(2);
  const c = send(rate, 2, 10);
  rate.onDelivered(a);
  rate.onDelivered(b);
  assert.equal(rate.finish(50, 50, 40).appLimited, false);
  assert.equal(rate.appLimited, true);
  const d = send(rate, 3, 50);
  rate.onDelivered(c);
  assert.equal(rate.finish(60, 50, 40).appLimited, true);
  assert.equal(rate.appLimited, false);
  const e = send(rate, 4, 60);
  rate.onDelivered(d);
  assert.equal(rate.finish(100, 50, 40).appLimited, true);
  rate.onDelivered(e);
  assert.equal(rate.finish(110, 50, 40).appLimited, false);
});

Deno.test("DeliveryRate begins anew after a pause: waiting to be sent isn't a slow path", () => {
  const rate = new DeliveryRate();
  rate.onDelivered(send(rate, 0, 0, true));
  rate.finish(50, 50, 40);
  rate.onDelivered(send(rate, 1, 10_000, true));
  assert.equal(rate.finish(10_050, 50, 40).ratePerMs, 1 / 50);
});

Deno.test("DeliveryRate counts losses once, with the next acknowledgement", () => {
  const rate = new DeliveryRate();
  const packet = send(rate, 0, 0, true);
  rate.onLost(2);
  rate.onDelivered(packet);
  assert.equal(rate.finish(50, 50, 40).newlyLost, 2);
  assert.equal(rate.finish(60, NaN, 40).newlyLost, 0);
});

Deno.test("Pacer lets a burst go, then packets at its rate", () => {
  const pacer = new Pacer();
  pacer.ratePerMs = 0.4;
  let burst = 0;
  while (pacer.mayPace(1000)) {
    pacer.onSent();
    burst++;
  }
  assert.equal(burst, 16);
  const nextMs = pacer.nextAtMs();
  assert.ok(Math.abs(nextMs - 1002.5) < 0.01, `${nextMs} ms`);
  assert.equal(pacer.mayPace(nextMs - 0.1), false);
  assert.equal(pacer.mayPace(nextMs), true);
});
