import assert from "node:assert/strict";
import { DATA, decodePacket, encodePacket } from "../../lib/udx/packet.ts";
import { type Route, StreamMachine } from "../../lib/udx/stream.ts";
import { Pair, pattern } from "./pair.ts";

Deno.test("StreamMachine gives up a dead path after the first packet's seventh timeout, however much is in flight", () => {
  const pair = new Pair();
  pair.a.machine.write(pattern(300_000));
  pair.run(() => pair.b.receivedBytes > 100_000);
  const diedAtMs = pair.nowMs;
  for (const link of pair.there) link.change({ cut: true });
  assert.ok(pair.run(() => pair.a.machine.closed, 600_000));
  assert.equal(pair.a.failure, "timed-out");
  assert.ok(pair.nowMs - diedAtMs < 16_000, `after ${pair.nowMs - diedAtMs} ms`);
});

Deno.test("StreamMachine gives up on a closed window that nobody answers for", () => {
  const pair = new Pair({ receiveWindowBytes: 20_000 });
  pair.b.paused = true;
  pair.a.machine.write(pattern(50_000));
  pair.run(undefined, 300_000);
  assert.equal(pair.a.machine.closed, false, "five minutes of answers that it is closed");
  for (const link of pair.back) link.change({ cut: true });
  assert.ok(pair.run(() => pair.a.machine.closed, 330_000));
  assert.equal(pair.a.failure, "timed-out");
});

Deno.test("StreamMachine forgets early packets that were numbered from a guess when it learns the first number", () => {
  const machine = new StreamMachine<Route>({ id: 1 });
  const send = (seq: number) => {
    const header = { type: DATA, streamId: 1, receiveWindow: 4096, seq, ack: 0 };
    machine.handlePacket(decodePacket(encodePacket(header, Uint8Array.of(seq)))!, 0);
  };
  for (const seq of [5, 6]) send(seq);
  machine.connect({ remoteId: 2, ipv6: false }, 0, 5);
  assert.equal(machine.earlyPackets, 0);
  for (const seq of [5, 6, 7]) send(seq);
  assert.equal(machine.ack, 8);
});
