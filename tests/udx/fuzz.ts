/**
 * Feeds packets, timers and commands that chance makes: `deno task udx:fuzz --runs 100000`, each property that often.
 * `--property`, `--seed` and `--path` run a failure again that it printed.
 */
import { parseArgs } from "node:util";
import fc from "fast-check";
import { properties, tried } from "./fuzz_properties.ts";

if (import.meta.main) {
  const text = { type: "string" } as const;
  const { values } = parseArgs({ options: { runs: text, seed: text, path: text, property: text } });
  const numRuns = Number(values.runs ?? 10_000);
  const seed = Number(values.seed ?? 0x5eed);
  for (const [name, property] of properties) {
    if (values.property !== undefined && values.property !== name) continue;
    const startedMs = performance.now();
    tried.inputs = 0;
    try {
      await fc.assert(property(), { numRuns, seed, ...(values.path === undefined ? {} : { path: values.path }) });
    } catch (error) {
      console.error(`Again with: deno task udx:fuzz --property ${name} --seed S --path P, as named below`);
      throw error;
    }
    const seconds = (performance.now() - startedMs) / 1000;
    console.log(`${name}: ${numRuns} runs from seed ${seed}, ${tried.inputs} inputs in ${seconds.toFixed(0)} s`);
  }
}
