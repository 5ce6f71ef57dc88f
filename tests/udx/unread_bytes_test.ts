import assert from "node:assert/strict";
import fc from "fast-check";
import { UnreadBytes } from "../../lib/udx/unread_bytes.ts";

fc.configureGlobal({ seed: 0x5eed });

Deno.test("UnreadBytes gives back what was added, in order", () => {
  const step = fc.option(fc.integer({ min: 0, max: 40_000 }), { nil: null });
  fc.assert(fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
    const unread = new UnreadBytes();
    let added = 0;
    let taken = 0;
    const check = (bytes: Uint8Array | null) => {
      for (const byte of bytes ?? []) assert.equal(byte, taken++ % 251);
    };
    for (const step of steps) {
      if (step === null) check(unread.take());
      else unread.add(Uint8Array.from({ length: step }, () => added++ % 251));
      assert.equal(unread.empty, added === taken);
    }
    while (!unread.empty) check(unread.take());
    assert.equal(taken, added);
    assert.equal(unread.take(), null);
  }));
});

Deno.test("UnreadBytes keeps none of the memory it was given", () => {
  const unread = new UnreadBytes();
  const given = Uint8Array.of(1, 2);
  unread.add(given);
  given[0] = 9;
  assert.deepEqual([...unread.take()!], [1, 2]);
});
