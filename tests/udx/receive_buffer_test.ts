import assert from "node:assert/strict";
import fc from "fast-check";
import { DATA, END, type Packet, seqAdd } from "../../lib/udx/packet.ts";
import { ReceiveBuffer } from "../../lib/udx/receive_buffer.ts";

fc.configureGlobal({ seed: 0x5eed });

function packet(seq: number, payload: Uint8Array, type = DATA): Packet {
  return { type, streamId: 1, receiveWindow: 0, seq, ack: 0, sacks: [], payload, bytes: payload.length + 20 };
}

const ignore = () => {};

Deno.test("ReceiveBuffer delivers in order whatever order packets come in, doubles included", () => {
  const first = fc.constantFrom(0, 0xfffffff8);
  const order = fc.integer({ min: 1, max: 20 }).chain((count) => {
    const seqs = Array.from({ length: count }, (_, i) => i);
    return fc.tuple(fc.constant(count), fc.shuffledSubarray([...seqs, ...seqs], { minLength: 2 * count }));
  });
  fc.assert(fc.property(first, order, (first, [count, arrivals]) => {
    const buffer = new ReceiveBuffer(first, 1000);
    const delivered: number[] = [];
    for (const i of arrivals) {
      const seq = seqAdd(first, i);
      // The stream drops what lies behind before it asks.
      if (((seq - buffer.next) | 0) < 0) continue;
      buffer.accept(packet(seq, Uint8Array.of(i)), (payload) => delivered.push(payload[0]!));
    }
    assert.deepEqual(delivered, Array.from({ length: count }, (_, i) => i));
    assert.equal(buffer.next, seqAdd(first, count));
    assert.equal(buffer.hasGaps, false);
  }));
});

Deno.test("ReceiveBuffer describes what came early in SACK blocks", () => {
  fc.assert(fc.property(fc.uniqueArray(fc.integer({ min: 1, max: 60 }), { minLength: 1 }), (early) => {
    const buffer = new ReceiveBuffer(0, 1000);
    for (const seq of early) assert.equal(buffer.accept(packet(seq, Uint8Array.of(1)), ignore), "early");
    const blocks = buffer.sackBlocks();
    const named: number[] = [];
    for (let i = 0; i < blocks.length; i += 2) {
      assert.ok(i === 0 || blocks[i]! > blocks[i - 1]!, "blocks are in order and don't touch");
      for (let seq = blocks[i]!; seq < blocks[i + 1]!; seq++) named.push(seq);
    }
    assert.deepEqual(named, early.toSorted((a, b) => a - b));
  }));
});

Deno.test("ReceiveBuffer names the lowest and the highest of more than 50 SACK blocks", () => {
  const buffer = new ReceiveBuffer(0, 1000);
  for (let seq = 2; seq <= 400; seq += 2) buffer.accept(packet(seq, Uint8Array.of(1)), ignore);
  const blocks = buffer.sackBlocks();
  assert.equal(blocks.length, 100);
  assert.deepEqual(blocks.slice(0, 2), [2, 3]);
  assert.deepEqual(blocks.slice(-2), [400, 401]);
});

Deno.test("ReceiveBuffer refuses early packets beyond its window, but takes the one that closes the gap", () => {
  const buffer = new ReceiveBuffer(0, 100);
  assert.equal(buffer.accept(packet(1, new Uint8Array(60)), ignore), "early");
  assert.equal(buffer.accept(packet(2, new Uint8Array(60)), ignore), "no-room");
  assert.equal(buffer.freeBytes, 40);
  assert.equal(buffer.accept(packet(0, new Uint8Array(60)), ignore), "in-order");
  assert.equal(buffer.next, 2);
  assert.equal(buffer.accept(packet(2, new Uint8Array(60)), ignore), "no-room");
  buffer.consumed(120);
  assert.equal(buffer.accept(packet(2, new Uint8Array(60)), ignore), "in-order");
});

Deno.test("ReceiveBuffer refuses packets absurdly far ahead", () => {
  const buffer = new ReceiveBuffer(0, 1000);
  assert.equal(buffer.accept(packet(65_536, Uint8Array.of(1)), ignore), "no-room");
  assert.equal(buffer.accept(packet(65_535, Uint8Array.of(1)), ignore), "early");
});

Deno.test("ReceiveBuffer ends at END and takes nothing after it", () => {
  const buffer = new ReceiveBuffer(0, 1000);
  const delivered: number[] = [];
  const deliver = (payload: Uint8Array) => delivered.push(...payload);
  buffer.accept(packet(1, Uint8Array.of(2), DATA | END), deliver);
  buffer.accept(packet(2, Uint8Array.of(3)), deliver);
  assert.equal(buffer.ended, false);
  buffer.accept(packet(0, Uint8Array.of(1)), deliver);
  assert.equal(buffer.ended, true);
  assert.deepEqual(delivered, [1, 2]);
  assert.equal(buffer.accept(packet(2, Uint8Array.of(3)), deliver), "duplicate");
});
