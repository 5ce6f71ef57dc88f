import assert from "node:assert/strict";
import fc from "fast-check";
import {
  DATA,
  decodePacket,
  encodePacket,
  END,
  HEADER_BYTES,
  MAX_SACK_BLOCKS,
  SACK,
  seqAdd,
  seqDiff,
} from "../../lib/udx/packet.ts";

fc.configureGlobal({ seed: 0x5eed });

const u32 = fc.integer({ min: 0, max: 2 ** 32 - 1 });
const header = fc.record({
  type: fc.integer({ min: 0, max: 63 }).map((type) => type & ~SACK),
  streamId: u32,
  receiveWindow: u32,
  seq: u32,
  ack: u32,
});

Deno.test("encodePacket() writes libudx's layout", () => {
  const header = { type: DATA | END, streamId: 0x04030201, receiveWindow: 0x400000, seq: 5, ack: 0xfffffffe };
  assert.deepEqual(
    [...encodePacket(header, Uint8Array.of(9))],
    [0xff, 1, 3, 0, 1, 2, 3, 4, 0, 0, 0x40, 0, 5, 0, 0, 0, 0xfe, 0xff, 0xff, 0xff, 9],
  );
});

Deno.test("decodePacket() reads what encodePacket() wrote", () => {
  fc.assert(fc.property(header, fc.uint8Array({ maxLength: 1400 }), (header, payload) => {
    const datagram = encodePacket(header, payload);
    assert.deepEqual(decodePacket(datagram), { ...header, sacks: [], payload, bytes: datagram.length });
  }));
});

Deno.test("decodePacket() reads SACK blocks, alone or in front of a payload", () => {
  const blocks = fc.array(u32, { maxLength: 30 }).map((list) => list.slice(0, list.length & ~1));
  fc.assert(fc.property(header, blocks, fc.uint8Array({ maxLength: 100 }), (header, sacks, payload) => {
    const type = header.type | SACK;
    const packet = decodePacket(encodePacket({ ...header, type }, payload, sacks))!;
    if (sacks.length > 0) assert.deepEqual(packet.sacks, sacks);
    if (sacks.length > 0 && payload.length > 0) assert.deepEqual(packet.payload, payload);
  }));
});

Deno.test("decodePacket() skips the padding of an MTU probe", () => {
  const datagram = new Uint8Array(HEADER_BYTES + 7 + 2);
  datagram.set([0xff, 1, DATA, 7]);
  datagram.set([8, 9], HEADER_BYTES + 7);
  assert.deepEqual([...decodePacket(datagram)!.payload], [8, 9]);
});

Deno.test("decodePacket() reads no more SACK blocks than libudx sends", () => {
  const sacks = Array.from({ length: 200 }, (_, i) => i);
  const packet = decodePacket(
    encodePacket({ type: SACK, streamId: 1, receiveWindow: 0, seq: 0, ack: 0 }, undefined, sacks),
  );
  assert.equal(packet!.sacks.length, MAX_SACK_BLOCKS * 2);
});

Deno.test("decodePacket() gives null for what is no UDX packet", () => {
  const good = encodePacket({ type: DATA, streamId: 1, receiveWindow: 0, seq: 0, ack: 0 }, Uint8Array.of(1));
  const table = [
    { name: "empty", given: new Uint8Array(0) },
    { name: "cut short", given: good.subarray(0, HEADER_BYTES - 1) },
    { name: "other magic", given: good.with(0, 0xfe) },
    { name: "other version", given: good.with(1, 2) },
    { name: "data offset beyond the end", given: good.with(3, 2) },
  ];
  for (const { name, given } of table) assert.equal(decodePacket(given), null, name);
  assert.notEqual(decodePacket(good), null);
});

Deno.test("decodePacket() never throws, whatever arrives", () => {
  const framed = fc.uint8Array({ minLength: 2, maxLength: 300 }).map((bytes) => {
    bytes.set([0xff, 1]);
    return bytes;
  });
  fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 300 }), framed), (bytes) => {
    const packet = decodePacket(bytes);
    assert.ok(packet === null || packet.payload.length <= bytes.length - HEADER_BYTES);
  }));
});

Deno.test("seqDiff() and seqAdd() go round the circle", () => {
  assert.equal(seqAdd(0xffffffff, 1), 0);
  assert.equal(seqDiff(0, 0xffffffff), 1);
  assert.equal(seqDiff(0xffffffff, 0), -1);
  fc.assert(fc.property(u32, fc.integer({ min: -(2 ** 30), max: 2 ** 30 }), (seq, step) => {
    assert.equal(seqDiff(seqAdd(seq, step), seq), step);
  }));
});
