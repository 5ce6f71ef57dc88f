import fc from "fast-check";
import { properties } from "./fuzz_properties.ts";

/** More with `deno task udx:fuzz`. */
const RUNS = new Map([["decode", 2000], ["stream", 150], ["damaged", 150], ["udx", 100]]);

for (const [name, property] of properties) {
  Deno.test(`any packets, timers and commands leave a stream in order (${name})`, async () => {
    await fc.assert(property(), { numRuns: RUNS.get(name) ?? 100, seed: 0x5eed });
  });
}
