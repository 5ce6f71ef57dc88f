import assert from "node:assert/strict";
import { PacketRing } from "../../lib/udx/packet_list.ts";
import { seqAdd } from "../../lib/udx/packet.ts";

/** As much of a packet as the ring looks at. */
const numbered = (seq: number) => ({ seq }) as Parameters<PacketRing<unknown>["set"]>[0];

Deno.test("PacketRing finds packets by number, around the circle, and gives back the memory of a long flight", () => {
  const ring = new PacketRing<unknown>();
  const first = 2 ** 32 - 600;
  for (const count of [1000, 10]) {
    const seqs = Array.from({ length: count }, (_, i) => seqAdd(first, i));
    seqs.forEach((seq, i) => ring.set(numbered(seq), i + 1));
    assert.deepEqual(seqs.map((seq) => ring.get(seq)?.seq), seqs);
    assert.equal(ring.get(seqAdd(first, count)), undefined);
    assert.equal(ring.capacity, count === 1000 ? 1024 : 16);
    for (const seq of seqs) ring.delete(seq);
    assert.equal(ring.get(first), undefined);
    ring.emptied();
    assert.equal(ring.capacity, 16);
  }
});
