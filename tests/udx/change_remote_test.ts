import assert from "node:assert/strict";
import fc from "fast-check";
import { DATA } from "../../lib/udx/packet.ts";
import { Pair, pattern } from "./pair.ts";

const BYTES = 200_000;

Deno.test("StreamMachine moves as often as it is told, over lossy paths, to either family, and loses nothing", () => {
  const move = fc.record({
    afterBytes: fc.integer({ min: 1, max: 60_000 }),
    ipv6: fc.boolean(),
    oldDies: fc.boolean(),
    atOnceAgain: fc.boolean(),
  });
  const path = fc.record({
    seed: fc.integer(),
    loss: fc.double({ min: 0, max: 0.1, noNaN: true }),
    jitterMs: fc.double({ min: 0, max: 20, noNaN: true }),
    bytesPerMs: fc.constantFrom(500, 2500, Infinity),
    mtuBytes: fc.constantFrom(1240, 1400, 1500),
  });
  fc.assert(
    fc.property(path, fc.array(move, { minLength: 1, maxLength: 5 }), (path, moves) => {
      const pair = new Pair({ queuePackets: 100, ...path });
      const bytes = pattern(BYTES, path.seed);
      pair.a.machine.write(bytes);
      let address = "b";
      for (const [i, { afterBytes, ipv6, oldDies, atOnceAgain }] of moves.entries()) {
        const untilBytes = Math.min(pair.b.receivedBytes + afterBytes, BYTES);
        assert.ok(pair.run(() => pair.b.receivedBytes >= untilBytes));
        if (oldDies) pair.dead.add(address);
        if (atOnceAgain) pair.a.machine.changeRemote({ remoteId: 2, ipv6: !ipv6, address: `never${i}` });
        address = `b${i}`;
        pair.a.machine.changeRemote({ remoteId: 2, ipv6, address });
      }
      assert.ok(pair.run(() => pair.b.receivedBytes === BYTES && pair.a.machine.inFlightPackets === 0));
      assert.ok(pair.b.received.equals(bytes));
      assert.equal(pair.a.failure, null);
      assert.equal(pair.a.machine.remoteChanging, false);
      assert.equal(pair.a.events.at(-1) === "closed", false);
      assert.ok(pair.a.events.filter((kind) => kind === "remote-changed").length >= 1);
      for (const to of pair.a.sentTo.keys()) assert.ok(!to.startsWith("never"), "it was there for no time at all");
    }),
    { seed: 0x5eed, numRuns: 60 },
  );
});

Deno.test("StreamMachine repeats to the old address what was sent there, until that proves dead", () => {
  const pair = new Pair();
  pair.a.machine.write(pattern(10_000));
  pair.run(() => pair.a.machine.inFlightPackets === 9, 0);
  let repeatedToOld = 0;
  let repeatedToNew = 0;
  const seen = new Set<string>();
  pair.dead.add("b");
  pair.a.machine.changeRemote({ remoteId: 2, ipv6: false, address: "b2" });
  const before = pair.a.sentTo.get("b")!;
  pair.intercept = (from, bytes) => {
    if (from === pair.a && (bytes[2]! & DATA) !== 0) seen.add(String(bytes.subarray(12, 16)));
    return false;
  };
  assert.ok(pair.run(() => pair.b.receivedBytes === 10_000));
  repeatedToOld = pair.a.sentTo.get("b")! - before;
  repeatedToNew = pair.a.sentTo.get("b2")!;
  assert.equal(seen.size, 9);
  assert.ok(repeatedToOld >= 1 && repeatedToNew >= 9, `${repeatedToOld} and ${repeatedToNew}`);
  assert.ok(pair.nowMs < 15_000, "long before the end of its patience");
  assert.deepEqual(pair.a.events, []);
  pair.run(() => !pair.a.machine.remoteChanging);
  assert.deepEqual(pair.a.events, ["remote-changed"]);
});

Deno.test("StreamMachine that both sides move at once goes on", () => {
  for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
    const pair = new Pair({ loss: 0.05, jitterMs: 5, seed });
    const bytes = pattern(100_000, seed);
    for (const { machine } of [pair.a, pair.b]) machine.write(bytes);
    pair.run(() => pair.b.receivedBytes > 20_000);
    pair.a.machine.changeRemote({ remoteId: 2, ipv6: false, address: "b2" });
    pair.b.machine.changeRemote({ remoteId: 1, ipv6: false, address: "a2" });
    for (const { machine } of [pair.a, pair.b]) machine.end();
    assert.ok(pair.run(() => pair.a.machine.closed && pair.b.machine.closed));
    for (const end of [pair.a, pair.b]) {
      assert.equal(end.failure, null);
      assert.ok(end.received.equals(bytes));
      assert.equal(end.events.filter((kind) => kind === "remote-changed").length, 1);
    }
  }
});
