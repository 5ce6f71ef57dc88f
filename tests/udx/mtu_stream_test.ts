import assert from "node:assert/strict";
import fc from "fast-check";
import { DATA, decodePacket } from "../../lib/udx/packet.ts";
import { Pair, pattern } from "./pair.ts";
import { IP_OVERHEAD_BYTES } from "./simulated_link.ts";

/** Runs until b has `bytes` in all, or nothing more happens. */
function runUntilReceived(pair: Pair, bytes: number): void {
  pair.run(() => pair.b.receivedBytes >= bytes || pair.a.machine.closed);
  assert.equal(pair.b.receivedBytes, bytes);
}

/** Notes the size of every IP packet that a sends with data. */
function dataSizes(pair: Pair): number[] {
  const sizes: number[] = [];
  pair.intercept = (from, bytes) => {
    if (from === pair.a && (bytes[2]! & DATA) !== 0) sizes.push(bytes.length + IP_OVERHEAD_BYTES);
    return false;
  };
  return sizes;
}

/** A path with a small MTU, on which the sender's system splits what is longer than its own link's MTU. */
function losesWhatIsNotSplit(bytes: Uint8Array, mtuBytes: number): boolean {
  const ipBytes = bytes.length + IP_OVERHEAD_BYTES;
  return ipBytes > mtuBytes && ipBytes <= 1500;
}

Deno.test("StreamMachine fills 1500 bytes once a probe of that size arrived, without repeating anything", () => {
  const pair = new Pair();
  const bytes = pattern(400_000);
  const sizes = dataSizes(pair);
  pair.a.machine.write(bytes);
  runUntilReceived(pair, bytes.length);
  assert.ok(pair.b.received.equals(bytes));
  assert.equal(sizes[0], 1200);
  assert.equal(pair.a.machine.mtuBytes, 1500);
  assert.equal(Math.max(...sizes), 1500);
  assert.equal(pair.a.machine.retransmits, 0);
});

Deno.test("StreamMachine finds a smaller MTU; lost probes are no congestion", () => {
  const pair = new Pair({ mtuBytes: 1400 });
  for (let round = 1; round <= 20; round++) {
    pair.a.machine.write(pattern(20_000));
    runUntilReceived(pair, 20_000 * round);
  }
  assert.equal(pair.a.machine.mtuBytes, 1392);
  assert.equal(pair.a.machine.retransmits, 6);
  assert.equal(pair.a.machine.fastRecoveries, 0);
  assert.equal(pair.a.machine.timeouts, 0);
});

Deno.test("StreamMachine leaves room for IPv6's longer header", () => {
  const pair = new Pair();
  pair.a.machine.changeRemote({ remoteId: 2, ipv6: true, address: "b" });
  const sizes = dataSizes(pair);
  pair.a.machine.write(pattern(400_000));
  runUntilReceived(pair, 400_000);
  assert.equal(pair.a.machine.mtuBytes, 1500);
  assert.equal(sizes[0], 1200 - 20);
  assert.equal(Math.max(...sizes), 1500 - 20);
});

Deno.test("StreamMachine sends no probe along with little data", () => {
  const pair = new Pair();
  const sizes = dataSizes(pair);
  for (let i = 0; i < 50; i++) {
    pair.a.machine.write(pattern(300));
    runUntilReceived(pair, 300 * (i + 1));
  }
  assert.equal(Math.max(...sizes), 300 + 20 + IP_OVERHEAD_BYTES);
  assert.equal(pair.a.machine.mtuBytes, 1200);
});

Deno.test("StreamMachine starts at 1200 again on a new path", () => {
  const pair = new Pair();
  pair.a.machine.write(pattern(300_000));
  runUntilReceived(pair, 300_000);
  assert.equal(pair.a.machine.mtuBytes, 1500);
  pair.run(undefined, pair.nowMs + 1000);
  pair.a.machine.changeRemote({ remoteId: 2, ipv6: false, address: "b" });
  assert.equal(pair.a.machine.mtuBytes, 1200);
  pair.a.machine.write(pattern(1_200_000));
  runUntilReceived(pair, 1_500_000);
  assert.equal(pair.a.machine.mtuBytes, 1500);
});

Deno.test("StreamMachine loses nothing to a path that shrank while the stream was idle", () => {
  const pair = new Pair({ bytesPerMs: 2500 });
  pair.a.machine.write(pattern(300_000));
  runUntilReceived(pair, 300_000);
  pair.run(undefined, pair.nowMs + 11_000);
  for (const link of [...pair.there, ...pair.back]) link.change({ mtuBytes: 1300 });
  pair.a.machine.write(pattern(1_500_000));
  runUntilReceived(pair, 1_800_000);
  assert.equal(pair.a.machine.mtuBytes, 1296);
  assert.equal(pair.a.machine.timeouts, 0);
  assert.equal(pair.a.machine.fastRecoveries, 0);
});

Deno.test("StreamMachine gets through a black hole that opens under large packets", () => {
  const bytes = pattern(2_000_000);
  for (const openAfterBytes of [200_000, 400_000, 800_000]) {
    const pair = new Pair({ bytesPerMs: 2500, queuePackets: 200 });
    const sizesAfter: number[] = [];
    let holeOpen = false;
    pair.intercept = (from, datagram) => {
      if (!holeOpen || from !== pair.a) return false;
      if (!losesWhatIsNotSplit(datagram, 1300)) sizesAfter.push(datagram.length + IP_OVERHEAD_BYTES);
      return losesWhatIsNotSplit(datagram, 1300);
    };
    pair.a.machine.write(bytes);
    pair.run(() => pair.b.receivedBytes >= openAfterBytes);
    assert.equal(pair.a.machine.mtuBytes, 1500);
    holeOpen = true;
    runUntilReceived(pair, bytes.length);
    assert.ok(pair.b.received.equals(bytes));
    assert.equal(pair.a.machine.mtuBytes, 1200);
    assert.ok(sizesAfter.includes(1200), "what is new goes out in small packets");
    assert.ok(sizesAfter.includes(1500 + 255), "what was sent in large ones is sent so large that it is split");
  }
});

Deno.test("StreamMachine gives up as libudx does where large packets don't even get through in fragments", () => {
  const pair = new Pair();
  pair.a.machine.write(pattern(900_000));
  pair.run(() => pair.b.receivedBytes >= 300_000);
  for (const link of pair.there) link.change({ mtuBytes: 1300 });
  pair.run(() => pair.a.machine.closed);
  assert.equal(pair.a.failure, "timed-out");
});

Deno.test("StreamMachine uses large packets again when a black hole was none", () => {
  const pair = new Pair();
  let outage = false;
  pair.intercept = () => outage;
  pair.a.machine.write(pattern(300_000));
  pair.run(() => pair.b.receivedBytes >= 250_000);
  assert.equal(pair.a.machine.mtuBytes, 1500);
  outage = true;
  pair.run(undefined, pair.nowMs + 4000);
  assert.equal(pair.a.machine.mtuBytes, 1200);
  outage = false;
  runUntilReceived(pair, 300_000);
  pair.run(undefined, pair.nowMs + 20_000);
  pair.a.machine.write(pattern(1_200_000));
  runUntilReceived(pair, 1_500_000);
  assert.equal(pair.a.machine.mtuBytes, 1500);
});

Deno.test("StreamMachine delivers everything over paths of any MTU, lossy ones too", () => {
  const path = fc.record({
    seed: fc.integer(),
    mtuBytes: fc.integer({ min: 1200, max: 1500 }),
    loss: fc.double({ min: 0, max: 0.1, noNaN: true }),
    jitterMs: fc.double({ min: 0, max: 10, noNaN: true }),
  });
  fc.assert(
    fc.property(path, (path) => {
      const pair = new Pair(path);
      const bytes = pattern(200_000, path.seed);
      pair.a.machine.write(bytes);
      runUntilReceived(pair, bytes.length);
      assert.ok(pair.b.received.equals(bytes));
      assert.ok(pair.a.machine.mtuBytes <= Math.max(path.mtuBytes, 1200));
    }),
    { seed: 0x5eed, numRuns: 60 },
  );
});

Deno.test("StreamMachine hides the padding of a probe from the other side's reader", () => {
  const pair = new Pair();
  const probes: number[] = [];
  pair.intercept = (_from, datagram) => {
    if (datagram[3]! > 0) {
      const packet = decodePacket(datagram)!;
      probes.push(datagram.length - packet.payload.length - 20);
      assert.ok(datagram.subarray(20, 20 + datagram[3]!).every((byte) => byte === 0), "zeros, no memory of ours");
    }
    return false;
  };
  const bytes = pattern(300_000);
  pair.a.machine.write(bytes);
  runUntilReceived(pair, bytes.length);
  assert.ok(pair.b.received.equals(bytes));
  assert.deepEqual(probes, [255, 45]);
});

Deno.test("StreamMachine's tail loss probes with new data are small", () => {
  const pair = new Pair();
  pair.a.machine.write(pattern(300_000));
  runUntilReceived(pair, 300_000);
  pair.run(undefined, pair.nowMs + 1000);
  assert.equal(pair.a.machine.mtuBytes, 1500);
  // Nothing comes back from now on, so the whole window goes out, and then a probe.
  const sizes: number[] = [];
  const atMs: number[] = [];
  pair.intercept = (from, bytes) => {
    if (from === pair.a) {
      sizes.push(bytes.length + IP_OVERHEAD_BYTES);
      atMs.push(pair.nowMs);
    }
    return true;
  };
  pair.a.machine.write(pattern(3_000_000));
  const startMs = pair.nowMs;
  pair.run(() => atMs.at(-1)! > startMs + 20, startMs + 500);
  assert.equal(sizes[0], 1500);
  assert.equal(sizes.at(-1), 1200);
});

Deno.test("StreamMachine takes no loss for a black hole, be it random, in bursts or by a full queue", () => {
  const bursts = { enter: 0.005, leave: 0.1 };
  for (const [i, link] of [{ loss: 0.1 }, { bursts }, { queuePackets: 10 }, { queueBytes: 15_000 }].entries()) {
    const pair = new Pair({ latencyMs: 25, bytesPerMs: 2500, queuePackets: 200, seed: i + 1, ...link });
    const sizes = dataSizes(pair);
    pair.a.machine.write(pattern(3_000_000));
    // Not to the end: of a burst that takes the last packets but one nobody could say what it was.
    pair.run(() => pair.b.receivedBytes >= 2_800_000);
    assert.ok(pair.a.machine.retransmits > 20);
    const first = sizes.indexOf(1500);
    const smallLater = sizes.slice(first).filter((size) => size === 1200).length;
    // Only tail loss probes are small any more.
    assert.ok(first > 0 && smallLater < 10, `${smallLater} of ${sizes.length - first}`);
    assert.equal(pair.a.machine.mtuBytes, 1500);
  }
});
