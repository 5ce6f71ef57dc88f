import assert from "node:assert/strict";
import fc from "fast-check";
import { SendQueue } from "../../lib/udx/send_queue.ts";

fc.configureGlobal({ seed: 0x5eed });

Deno.test("SendQueue gives back the bytes in order, however they are cut", () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 200 });
  fc.assert(fc.property(chunks, fc.integer({ min: 1, max: 50 }), (chunks, step) => {
    const queue = new SendQueue();
    const want: number[] = [];
    const got: number[] = [];
    for (const chunk of chunks) {
      queue.push(chunk);
      want.push(...chunk);
      if (queue.bytes >= step) {
        const into = new Uint8Array(step + 3);
        queue.take(step, into, 3);
        got.push(...into.subarray(3));
      }
    }
    const rest = new Uint8Array(queue.bytes);
    queue.take(queue.bytes, rest, 0);
    assert.deepEqual([...got, ...rest], want);
    assert.equal(queue.bytes, 0);
  }));
});
