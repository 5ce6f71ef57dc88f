import assert from "node:assert/strict";
import fc from "fast-check";
import { DATA, decodePacket, DESTROY, encodePacket, END, HEARTBEAT, MESSAGE, SACK } from "../../lib/udx/packet.ts";
import { Pair, pattern } from "./pair.ts";

fc.configureGlobal({ seed: 0x5eed });

/** Sends `bytes` from a to b and back, ends both, and runs until both are closed. */
function exchange(pair: Pair, bytes: Uint8Array): void {
  for (const { machine } of [pair.a, pair.b]) {
    machine.write(bytes);
    machine.end();
  }
  assert.ok(pair.run(() => pair.a.machine.closed && pair.b.machine.closed), "both close");
  for (const endpoint of [pair.a, pair.b]) {
    assert.equal(endpoint.failure, null);
    assert.ok(endpoint.received.equals(bytes), "everything arrived in order");
    assert.ok(endpoint.ended);
  }
}

Deno.test("StreamMachine carries bytes both ways and closes when both ends have finished", () => {
  exchange(new Pair(), pattern(100_000));
});

Deno.test("StreamMachine keeps order and loses nothing, whatever the network does", () => {
  const path = fc.record({
    seed: fc.integer(),
    latencyMs: fc.double({ min: 0, max: 100, noNaN: true }),
    jitterMs: fc.double({ min: 0, max: 30, noNaN: true }),
    loss: fc.double({ min: 0, max: 0.2, noNaN: true }),
    duplicate: fc.double({ min: 0, max: 0.2, noNaN: true }),
    seq: fc.constantFrom(0, 0xffffffff - 5),
  });
  fc.assert(fc.property(path, (path) => exchange(new Pair(path), pattern(40_000, path.seed))), { numRuns: 150 });
});

Deno.test("StreamMachine gets through 5, 10 and 20 % loss", () => {
  for (const loss of [0.05, 0.1, 0.2]) {
    const pair = new Pair({ loss, duplicate: loss, jitterMs: 5, seed: 0x5eed });
    exchange(pair, pattern(300_000));
    assert.ok(pair.a.machine.retransmits > 0);
  }
});

Deno.test("StreamMachine repeats a lost packet after one round trip, not after a timeout", () => {
  const pair = new Pair({ latencyMs: 10 });
  let first = true;
  pair.intercept = (from, bytes) => {
    const loses = from === pair.a && first && (bytes[2]! & DATA) !== 0;
    first &&= !loses;
    return loses;
  };
  pair.a.machine.write(pattern(8_000));
  pair.run(() => pair.b.receivedBytes === 8_000);
  assert.equal(pair.a.machine.retransmits, 1);
  assert.equal(pair.a.machine.timeouts, 0);
  // One way, its acknowledgement (with a reordering window of a quarter of it), and the second copy's way.
  assert.ok(pair.nowMs < 40, `${pair.nowMs} ms`);
});

Deno.test("StreamMachine probes for a lost tail before its timeout", () => {
  const pair = new Pair({ latencyMs: 10 });
  pair.a.machine.write(pattern(1000));
  pair.run(() => pair.b.receivedBytes === 1000, 500);
  pair.run(undefined, 500);
  let lost = 0;
  pair.intercept = (from, bytes) => from === pair.a && (bytes[2]! & DATA) !== 0 && lost++ === 0;
  pair.a.machine.write(pattern(10));
  pair.run(() => pair.b.receivedBytes === 1010);
  assert.equal(pair.a.machine.timeouts, 0);
  assert.ok(pair.nowMs < 600, `${pair.nowMs} ms`);
});

Deno.test("StreamMachine gives up after libudx's number of timeouts", () => {
  const pair = new Pair();
  pair.dead.add("b");
  pair.a.machine.write(pattern(10));
  assert.ok(pair.run(() => pair.a.machine.closed));
  assert.equal(pair.a.failure, "timed-out");
  assert.equal(pair.a.machine.timeouts, 7);
  assert.equal(pair.nowMs, 1000 + 6 * 2000);
});

Deno.test("StreamMachine stops at a closed window and goes on when the reader does", () => {
  const pair = new Pair({ receiveWindowBytes: 20_000 });
  const bytes = pattern(200_000);
  pair.b.paused = true;
  pair.a.machine.write(bytes);
  pair.a.machine.end();
  pair.run(undefined, 60_000);
  assert.equal(pair.a.machine.sendWindow, 0);
  assert.ok(pair.b.receivedBytes <= 20_000 + 1200, `${pair.b.receivedBytes} bytes taken`);
  assert.equal(pair.a.machine.closed, false, "probing a closed window is no reason to give up");
  pair.b.resume();
  assert.ok(pair.run(() => pair.b.ended));
  assert.ok(pair.b.received.equals(bytes));
});

Deno.test("StreamMachine finds an opened window even if the news of it is lost", () => {
  const pair = new Pair({ receiveWindowBytes: 20_000 });
  pair.b.paused = true;
  pair.a.machine.write(pattern(50_000));
  pair.run(undefined, 60_000);
  pair.intercept = (from) => from === pair.b;
  pair.b.resume();
  pair.run(undefined, 60_500);
  pair.intercept = () => false;
  assert.ok(pair.run(() => pair.b.receivedBytes === 50_000));
});

Deno.test("StreamMachine asks the writer to wait, and tells when to go on", () => {
  const pair = new Pair();
  assert.equal(pair.a.machine.write(pattern(100_000)), true);
  assert.equal(pair.a.machine.write(pattern(400_000)), false);
  pair.run(() => pair.a.events.includes("drain"));
  assert.ok(pair.a.machine.pendingBytes < 400_000);
});

Deno.test("StreamMachine lets one direction end while the other goes on", () => {
  const pair = new Pair();
  pair.a.machine.end();
  assert.ok(pair.run(() => pair.b.ended));
  pair.run(undefined, 5000);
  pair.b.machine.write(pattern(5000));
  pair.b.machine.end();
  assert.ok(pair.run(() => pair.a.machine.closed && pair.b.machine.closed));
  assert.equal(pair.a.receivedBytes, 5000);
  assert.deepEqual([pair.a.failure, pair.b.failure], [null, null]);
});

Deno.test("StreamMachine resets the other side when destroyed", () => {
  const pair = new Pair();
  pair.a.machine.write(pattern(100_000));
  pair.run(() => pair.b.receivedBytes > 0);
  pair.a.machine.destroy();
  pair.run();
  assert.deepEqual([pair.a.failure, pair.b.failure], [null, "reset"]);
  assert.equal(pair.a.machine.pollTimeout(), Infinity);
  assert.equal(pair.b.machine.pollTimeout(), Infinity);
});

Deno.test("StreamMachine destroyed silently tells nobody", () => {
  const pair = new Pair();
  pair.a.machine.destroy(true);
  pair.run();
  assert.equal(pair.b.machine.closed, false);
  assert.equal(pair.a.machine.farewell(), null);
});

Deno.test("StreamMachine answers late packets after a clean end with an acknowledgement, else with DESTROY", () => {
  const clean = new Pair();
  exchange(clean, pattern(10));
  assert.equal(decodePacket(clean.a.machine.farewell()!.bytes)!.type, 0);
  const reset = new Pair();
  reset.a.machine.destroy();
  assert.equal(decodePacket(reset.a.machine.farewell()!.bytes)!.type, DESTROY);
});

Deno.test("StreamMachine sends messages beside the stream, whole and at once", () => {
  const pair = new Pair();
  pair.a.machine.write(pattern(5000));
  assert.ok(pair.a.machine.sendMessage(Uint8Array.of(1, 2, 3)));
  assert.ok(pair.a.machine.sendMessage(new Uint8Array(0)));
  pair.run(() => pair.b.receivedBytes === 5000 && pair.b.messages.length === 2);
  assert.deepEqual(pair.b.messages.map((message) => [...message]), [[1, 2, 3], []]);
});

Deno.test("StreamMachine moves to another address and says when the old one is done with", () => {
  const pair = new Pair({ loss: 0.05, seed: 3 });
  pair.a.machine.write(pattern(50_000));
  pair.run(() => pair.b.receivedBytes > 5000);
  pair.a.machine.changeRemote({ remoteId: 2, ipv6: false, address: "b2" });
  pair.a.machine.write(pattern(50_000));
  assert.ok(pair.a.machine.remoteChanging);
  assert.ok(pair.run(() => pair.b.receivedBytes === 100_000));
  assert.equal(pair.a.events.filter((kind) => kind === "remote-changed").length, 1);
  assert.ok(pair.a.sentTo.get("b2")! > 40);
});

Deno.test("StreamMachine moves at once when nothing is in flight", () => {
  const pair = new Pair();
  pair.a.machine.changeRemote({ remoteId: 2, ipv6: false, address: "b2" });
  assert.equal(pair.a.machine.remoteChanging, false);
  pair.run(undefined, 100);
  assert.deepEqual(pair.a.events, ["remote-changed"]);
});

Deno.test("StreamMachine takes packets along when the old address has died", () => {
  const pair = new Pair();
  pair.a.machine.write(pattern(50_000));
  pair.run(() => pair.b.receivedBytes > 5000);
  pair.dead.add("b");
  pair.a.machine.changeRemote({ remoteId: 2, ipv6: false, address: "b2" });
  assert.ok(pair.run(() => pair.b.receivedBytes === 50_000));
});

Deno.test("StreamMachine keeps an idle stream alive with heartbeats, which are answered", () => {
  const pair = new Pair();
  const types: number[] = [];
  pair.intercept = (_from, bytes) => {
    types.push(bytes[2]!);
    return false;
  };
  pair.a.machine.setKeepalive(1000, 0);
  pair.run(undefined, 3500);
  assert.deepEqual(types, [HEARTBEAT, 0, HEARTBEAT, 0, HEARTBEAT, 0]);
});

Deno.test("StreamMachine acknowledges on its answer instead of with a packet of its own", () => {
  const pair = new Pair();
  pair.a.machine.write(pattern(10));
  pair.run(() => pair.b.receivedBytes === 10);
  const before = pair.b.machine.packetsTransmitted;
  // The batch isn't over: the application answers first.
  const late = new Pair();
  late.a.machine.write(pattern(10));
  const sent = late.a.machine.pollTransmit(0)!;
  late.b.machine.handlePacket(decodePacket(sent.bytes)!, 1);
  late.b.machine.write(pattern(10));
  assert.equal(decodePacket(late.b.machine.pollTransmit(1)!.bytes)!.ack, 1);
  assert.equal(late.b.machine.pollAck(), null);
  assert.equal(before, 1);
});

Deno.test("StreamMachine ignores acknowledgements of what it never sent", () => {
  const pair = new Pair();
  pair.a.machine.write(pattern(5000));
  pair.run(undefined, 5);
  const lie = { type: SACK, streamId: 1, receiveWindow: 0, seq: 0, ack: 900 };
  pair.inject(pair.a, encodePacket(lie, undefined, [0, 500]));
  pair.inject(pair.a, encodePacket({ ...lie, ack: 0, receiveWindow: 4096 }, undefined, [3, 2, 2, 4000, 0xfffffff0, 2]));
  pair.run(() => pair.b.receivedBytes === 5000);
  assert.equal(pair.a.machine.invalidSacks, 3);
  assert.equal(pair.b.receivedBytes, 5000);
});

Deno.test("StreamMachine survives any packets a stranger may send", () => {
  const packet = fc.record({
    type: fc.integer({ min: 0, max: 63 }).map((type) => type & ~DESTROY & ~END & ~DATA),
    streamId: fc.constant(1),
    receiveWindow: fc.integer({ min: 0, max: 2 ** 32 - 1 }),
    seq: fc.integer({ min: 0, max: 40 }),
    ack: fc.integer({ min: 0, max: 80 }),
    sacks: fc.array(fc.integer({ min: 0, max: 80 }), { maxLength: 20 }).map((list) => list.slice(0, list.length & ~1)),
  });
  const when = fc.integer({ min: 0, max: 200 });
  fc.assert(
    fc.property(fc.array(fc.tuple(when, packet), { maxLength: 40 }), (arrivals) => {
      const pair = new Pair({ loss: 0.05 });
      pair.a.machine.write(pattern(60_000));
      for (const [atMs, { sacks, ...header }] of arrivals.toSorted(([a], [b]) => a - b)) {
        pair.run(undefined, atMs);
        pair.inject(pair.a, encodePacket(header, undefined, sacks));
      }
      pair.run(undefined, 120_000);
      // Lies about what arrived can make the stream fail, but never deliver anything but a prefix of what was sent.
      const got = pair.b.received;
      assert.ok(got.equals(pattern(60_000).subarray(0, got.length)));
    }),
    { numRuns: 100 },
  );
});

Deno.test("StreamMachine drops messages above its bound instead of hoarding them", () => {
  const pair = new Pair();
  let taken = 0;
  while (taken < 1000 && pair.a.machine.sendMessage(Uint8Array.of(1))) taken++;
  assert.equal(taken, 256);
  assert.equal(decodePacket(pair.a.machine.pollTransmit(0)!.bytes)!.type, MESSAGE);
});

Deno.test("StreamMachine uses most of a 20 Mbit/s link with a round trip of 50 ms", () => {
  const bytesPerMs = 2500;
  const pair = new Pair({ latencyMs: 25, bytesPerMs, queuePackets: 104 });
  const bytes = 5_000_000;
  pair.a.machine.write(new Uint8Array(bytes));
  pair.run(() => pair.b.receivedBytes === bytes);
  const share = bytes / (pair.nowMs * bytesPerMs);
  assert.ok(share > 0.75, `${Math.round(share * 100)} % from the first packet to the last`);
  assert.equal(pair.a.machine.timeouts, 0);
});

Deno.test("StreamMachine isn't misled about the round trip by acknowledgements that got lost", () => {
  const pair = new Pair({ latencyMs: 5 });
  pair.intercept = (from) => from === pair.b;
  pair.a.machine.write(pattern(5000));
  pair.run(undefined, 500);
  assert.equal(pair.b.receivedBytes, 5000);
  pair.intercept = () => false;
  pair.run(() => pair.a.machine.acknowledgedBytes === 5000);
  assert.ok(pair.nowMs > 1000, "a timeout brought the acknowledgement");
  assert.equal(pair.a.machine.rtt.hasSample, false);
  pair.a.machine.write(pattern(10));
  pair.run(() => pair.a.machine.acknowledgedBytes === 5010);
  assert.equal(Math.round(pair.a.machine.rtt.srttMs), 10);
});

Deno.test("StreamMachine goes on probing when repetitions get lost as well", () => {
  const pair = new Pair({ latencyMs: 5 });
  pair.a.machine.write(pattern(5000));
  pair.run(() => pair.a.machine.acknowledgedBytes === 5000);
  const startedMs = pair.nowMs;
  let copies = 0;
  pair.intercept = (from, bytes) => from === pair.a && (bytes[2]! & DATA) !== 0 && ++copies <= 4;
  pair.a.machine.write(pattern(10));
  pair.run(() => pair.b.receivedBytes === 5010);
  assert.equal(copies, 5);
  assert.equal(pair.a.machine.timeouts, 0);
  assert.ok(pair.nowMs - startedMs < 1000, `${pair.nowMs - startedMs} ms`);
});

Deno.test("StreamMachine that is told of a paced packet's time, but not asked for it, doesn't name that time again", () => {
  const pair = new Pair({ latencyMs: 20 });
  const { machine } = pair.a;
  machine.write(pattern(2_000_000));
  assert.ok(pair.run(() => machine.congestion.pacingRatePerMs < Infinity && machine.pollTimeout() < pair.nowMs + 5));
  const dueAtMs = machine.pollTimeout();
  machine.handleTimeout(dueAtMs);
  assert.ok(machine.pollTimeout() > dueAtMs);
});
