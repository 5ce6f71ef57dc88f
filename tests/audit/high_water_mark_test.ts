import assert from "node:assert/strict";
import { decodeMarks, encodeMark, slotBytes } from "../../lib/audit/high_water_mark.ts";

const head = (length: number, treeHash = "ab".repeat(32)) => ({ length, treeHash });
const file = (...slots: Uint8Array[]) => Uint8Array.from(slots.flatMap((slot) => [...slot]));
const text = (value: unknown) => new TextEncoder().encode(JSON.stringify(value).padEnd(slotBytes - 1) + "\n");
const written = (length: number) => JSON.parse(new TextDecoder().decode(encodeMark(head(length))));

Deno.test("decodeMarks() takes the furthest mark that is whole", () => {
  const [first, second] = [encodeMark(head(7)), encodeMark(head(8))];
  assert.equal(first.length, 256);
  assert.deepEqual(decodeMarks(file(first, second)), head(8));
  assert.deepEqual(decodeMarks(file(second, first)), head(8));
  assert.deepEqual(decodeMarks(first), head(7));
  assert.deepEqual(decodeMarks(file(encodeMark(head(0, "")))), head(0, ""));
  const { length } = new TextDecoder().decode(second).trim();
  for (let cut = 0; cut <= slotBytes; cut++) {
    assert.deepEqual(decodeMarks(file(first, second.subarray(0, cut))), head(cut < length ? 7 : 8), `torn at ${cut}`);
  }
});

const damaged: Record<string, Uint8Array> = {
  "nothing": new Uint8Array(),
  "another length under the checksum": text({ ...written(7), length: 9 }),
  "another hash under the checksum": text({ ...written(7), treeHash: "cd".repeat(32) }),
  "a length that is none": text({ ...written(7), length: "7" }),
  "a hash that is none": text({ ...written(7), treeHash: 5 }),
  "zeros": new Uint8Array(slotBytes),
};
for (const [name, slot] of Object.entries(damaged)) {
  Deno.test(`decodeMarks() takes ${name} for no mark`, () => {
    assert.equal(decodeMarks(slot), undefined);
    assert.deepEqual(decodeMarks(file(encodeMark(head(3)), slot)), head(3));
  });
}
