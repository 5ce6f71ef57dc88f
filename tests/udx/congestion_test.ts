import assert from "node:assert/strict";
import { INITIAL_WINDOW_PACKETS } from "../../lib/udx/bbr.ts";
import { Congestion } from "../../lib/udx/congestion.ts";
import type { RateSnapshot } from "../../lib/udx/delivery_rate.ts";
import { seededRandom } from "./lossy.ts";

const RTT_MS = 50;
/** Nearly 20 Mbit/s in packets of 1,200 bytes. */
const RATE_PER_MS = 2;
const BDP = RTT_MS * RATE_PER_MS;

interface OnTheWay extends RateSnapshot {
  readonly ackMs: number;
  readonly lost: boolean;
}

/** A path of a fixed rate with a queue, and a sender that does what Congestion says: packet by packet, nothing else. */
class Path {
  readonly congestion: Congestion;
  nowMs = 0;
  seq = 0;
  sent = 0;
  lost = 0;
  loses: () => boolean = () => false;
  queuePackets = Infinity;
  rttMs = RTT_MS;
  ratePerMs = RATE_PER_MS;
  /** What there is to send. */
  waiting = Infinity;
  /** Called after each acknowledgement. */
  watch: () => void = () => {};
  inFlight: OnTheWay[] = [];
  #freeAtMs = 0;
  #recoverUntil = -1;

  constructor(random: () => number = () => 0.5) {
    this.congestion = new Congestion(random);
  }

  run(untilMs: number): void {
    while (this.nowMs < untilMs) {
      this.#send();
      const paced = this.waiting > 0 && this.inFlight.length < this.congestion.windowPackets;
      const pacedMs = paced ? this.congestion.nextPacedAtMs() : Infinity;
      this.nowMs = Math.min(this.inFlight[0]?.ackMs ?? Infinity, pacedMs, untilMs);
      while (this.inFlight[0] !== undefined && this.inFlight[0].ackMs <= this.nowMs) {
        this.#acknowledge(this.inFlight.shift()!);
      }
    }
  }

  #send(): void {
    const { congestion } = this;
    while (this.waiting > 0 && this.inFlight.length < congestion.windowPackets && congestion.mayPace(this.nowMs)) {
      const queueMs = Math.max(this.#freeAtMs - this.nowMs, 0);
      const lost = queueMs * this.ratePerMs > this.queuePackets || this.loses();
      if (!lost) this.#freeAtMs = this.nowMs + queueMs + 1 / this.ratePerMs;
      const packet = {
        seq: this.seq++,
        sentMs: this.nowMs,
        ackMs: this.nowMs + queueMs + 1 / this.ratePerMs + this.rttMs,
        lost,
        deliveredBefore: 0,
        deliveredBeforeMs: 0,
        flightStartMs: 0,
        appLimited: false,
      };
      congestion.onSent(packet, this.nowMs, this.inFlight.length === 0);
      this.inFlight.push(packet);
      this.waiting--;
      this.sent++;
    }
    if (this.waiting === 0 && this.inFlight.length < congestion.windowPackets) {
      congestion.onAppLimited(this.inFlight.length);
    }
  }

  #acknowledge(packet: OnTheWay): void {
    const { congestion } = this;
    if (this.#recoverUntil >= 0 && packet.seq >= this.#recoverUntil) {
      this.#recoverUntil = -1;
      congestion.onRecovered();
    }
    if (packet.lost) {
      this.lost++;
      congestion.onLost(1);
      if (this.#recoverUntil < 0) {
        this.#recoverUntil = this.seq;
        congestion.onRecovery(this.inFlight.length);
      }
    } else congestion.onDelivered(packet);
    congestion.onAck(this.inFlight.length, packet.lost ? NaN : this.nowMs - packet.sentMs, this.nowMs);
    this.watch();
  }
}

function near(actual: number, expected: number, share: number, what: string): void {
  assert.ok(Math.abs(actual - expected) <= expected * share, `${what}: ${actual}, expected about ${expected}`);
}

Deno.test("Congestion doubles per round trip, fills the path, drains the queue that made and then keeps near it", () => {
  const path = new Path();
  const modes: string[] = [];
  path.watch = () => {
    if (modes.at(-1) !== path.congestion.mode) modes.push(path.congestion.mode);
  };
  assert.equal(path.congestion.windowPackets, INITIAL_WINDOW_PACKETS);
  path.run(RTT_MS * 2.5);
  assert.ok(path.sent >= 2 * INITIAL_WINDOW_PACKETS, `${path.sent} packets in two rounds`);
  path.run(1000);
  assert.deepEqual(modes, ["startup", "drain", "probe-bandwidth"]);
  near(path.congestion.bandwidthPerMs, RATE_PER_MS, 0.05, "bandwidth");
  near(path.congestion.minRttMs, RTT_MS, 0.02, "round trip");
  const before = path.sent;
  path.run(5000);
  near(path.sent - before, 4000 * RATE_PER_MS, 0.03, "packets in four seconds");
  assert.ok(path.inFlight.length < 1.3 * BDP, `${path.inFlight.length} in flight`);
});

Deno.test("Congestion probes for bandwidth once in eight rounds, and clears the queue that makes", () => {
  const path = new Path();
  path.run(2000);
  const gains: number[] = [];
  path.watch = () => {
    const gain = Math.round((100 * path.congestion.pacingRatePerMs) / path.congestion.bandwidthPerMs / 0.99);
    if (gains.at(-1) !== gain) gains.push(gain);
  };
  path.run(4000);
  const start = gains.indexOf(125);
  assert.deepEqual(gains.slice(start, start + 6), [125, 75, 100, 125, 75, 100]);
});

Deno.test("Congestion finds bandwidth that becomes free, and notices when it has gone", () => {
  const path = new Path();
  path.run(2000);
  path.ratePerMs = 2 * RATE_PER_MS;
  path.run(6000);
  near(path.congestion.bandwidthPerMs, 2 * RATE_PER_MS, 0.05, "bandwidth");
  path.ratePerMs = RATE_PER_MS;
  path.run(9000);
  near(path.congestion.bandwidthPerMs, RATE_PER_MS, 0.05, "bandwidth");
});

Deno.test("Congestion looks for a shorter round trip every ten seconds, with four packets for a fifth of one", () => {
  const path = new Path();
  let lowMs = 0;
  let lastMs = 0;
  path.watch = () => {
    if (path.congestion.mode === "probe-rtt") {
      assert.ok(path.congestion.windowPackets <= 4);
      if (lastMs > 0) lowMs += path.nowMs - lastMs;
      lastMs = path.nowMs;
    } else lastMs = 0;
  };
  path.run(1500);
  // The path has become longer, which looks like a queue.
  path.rttMs = 80;
  path.run(10_000);
  assert.equal(lowMs, 0);
  path.run(13_000);
  assert.ok(lowMs >= 200 && lowMs < 450, `${lowMs} ms`);
  near(path.congestion.minRttMs, 80, 0.02, "round trip");
  assert.equal(path.congestion.mode, "probe-bandwidth");
});

Deno.test("Congestion learns nothing about a path from a trickle", () => {
  const path = new Path();
  path.run(2000);
  const { bandwidthPerMs } = path.congestion;
  for (let ms = 2000; ms < 6000; ms += 100) {
    path.waiting = 2;
    path.run(ms);
  }
  assert.equal(path.congestion.bandwidthPerMs, bandwidthPerMs);
  const young = new Path();
  for (let ms = 0; ms < 3000; ms += 100) {
    young.waiting = 2;
    young.run(ms);
  }
  assert.equal(young.congestion.mode, "startup", "what wasn't tried isn't known to be full");
});

Deno.test("Congestion isn't slowed down by random loss", () => {
  for (const loss of [0.01, 0.03]) {
    const path = new Path();
    const random = seededRandom(7);
    path.loses = () => random() < loss;
    path.run(2000);
    const before = path.sent;
    path.run(12_000);
    const delivered = (path.sent - before) * (1 - loss);
    assert.ok(delivered > 0.8 * 10_000 * RATE_PER_MS, `${delivered} packets with ${loss} lost`);
  }
});

Deno.test("Congestion doesn't keep a small buffer overflowing", () => {
  const path = new Path();
  path.queuePackets = 10;
  path.run(2000);
  const before = { sent: path.sent, lost: path.lost };
  path.run(10_000);
  near(path.sent - before.sent, 8000 * RATE_PER_MS, 0.05, "packets");
  const share = (path.lost - before.lost) / (path.sent - before.sent);
  assert.ok(share < 0.03, `${share} lost`);
});

Deno.test("Congestion stays above the bandwidth-delay product, however much is lost", () => {
  const path = new Path();
  path.run(2000);
  let turn = 0;
  path.loses = () => turn++ % 10 === 0;
  let least = Infinity;
  path.run(2500);
  path.watch = () => least = Math.min(least, path.congestion.windowPackets);
  path.run(4000);
  const bdp = path.congestion.bandwidthPerMs * path.congestion.minRttMs;
  assert.ok(least > 0.9 * bdp, `${least} of ${bdp}`);
  assert.ok(path.congestion.windowPackets < 1.5 * BDP, "but it has become narrower");
});

Deno.test("Congestion starts again after a pause as fast as before, without a burst", () => {
  const path = new Path();
  path.run(2000);
  const { bandwidthPerMs } = path.congestion;
  path.waiting = 0;
  path.run(5000);
  assert.equal(path.inFlight.length, 0);
  path.waiting = Infinity;
  const before = path.sent;
  path.run(5000 + RTT_MS);
  near(path.sent - before, RTT_MS * bandwidthPerMs, 0.25, "packets in the first round");
  path.run(5010);
  assert.notEqual(path.congestion.mode, "probe-rtt", "nothing was in the way of a short round trip");
});

Deno.test("Congestion measures the round trip anew after a long pause without stopping for it", () => {
  const path = new Path();
  path.run(2000);
  path.waiting = 0;
  path.run(20_000);
  path.rttMs = 70;
  path.waiting = Infinity;
  let stopped = false;
  path.watch = () => stopped ||= path.congestion.mode === "probe-rtt";
  path.run(21_000);
  near(path.congestion.minRttMs, 70, 0.02, "round trip");
  assert.equal(stopped, false);
});

Deno.test("Congestion sends one packet after a timeout, and is back where it was when that has been repaired", () => {
  const path = new Path();
  path.run(2000);
  const before = path.congestion.windowPackets;
  path.congestion.onTimeout(0);
  assert.equal(path.congestion.windowPackets, 1);
  path.congestion.onTimeout(0);
  path.congestion.onRecovered();
  assert.equal(path.congestion.windowPackets, before);
});

Deno.test("Congestion learns a new path from the beginning, instead of looking for it bit by bit", () => {
  const path = new Path();
  path.run(2000);
  path.congestion.onPathChanged();
  assert.equal(path.congestion.windowPackets, INITIAL_WINDOW_PACKETS);
  path.ratePerMs = 4 * RATE_PER_MS;
  path.rttMs = 2 * RTT_MS;
  path.inFlight = [];
  path.run(3500);
  near(path.congestion.bandwidthPerMs, 4 * RATE_PER_MS, 0.05, "bandwidth");
  near(path.congestion.minRttMs, 2 * RTT_MS, 0.02, "round trip");
});

Deno.test("Congestion sends no more than arrives in the first round of a recovery", () => {
  const path = new Path();
  path.run(2000);
  path.congestion.onRecovery(20);
  assert.equal(path.congestion.windowPackets, 20);
});

Deno.test("Congestion lets streams that start together probe at different times", () => {
  const times = [0, 0.3, 0.6, 0.9].map((chance) => {
    const path = new Path(() => chance);
    let firstMs = 0;
    path.watch = () => {
      const { mode, pacingRatePerMs, bandwidthPerMs } = path.congestion;
      if (firstMs === 0 && mode === "probe-bandwidth" && pacingRatePerMs > 1.1 * bandwidthPerMs) firstMs = path.nowMs;
    };
    path.run(3000);
    return Math.round(firstMs / RTT_MS);
  });
  assert.equal(new Set(times).size, 4, times.join());
});

Deno.test("Congestion paces long paths, not those that are shorter than timers are fine", () => {
  const far = new Path();
  far.run(1000);
  assert.ok(far.congestion.pacingRatePerMs < 2 * RATE_PER_MS);
  const close = new Path();
  close.rttMs = 0.1;
  close.run(500);
  assert.equal(close.congestion.pacingRatePerMs, Infinity);
});
