/**
 * Runs the courses of many seeds: `deno task udx:seeds --runs 100000 --seed 1`. Stops at the first that fails, with the
 * command that runs it again.
 */
import { parseArgs } from "node:util";
import { planCourse, runCourse } from "./seeded_course.ts";

if (import.meta.main) {
  const { values } = parseArgs({ options: { runs: { type: "string" }, seed: { type: "string" } } });
  const runs = Number(values.runs ?? 10_000);
  const first = Number(values.seed ?? 1);
  const endings = { "finished": 0, "destroyed": 0, "timed-out": 0 };
  let packets = 0;
  let bytes = 0;
  let virtualMs = 0;
  const startedMs = performance.now();
  for (let seed = first; seed < first + runs; seed++) {
    try {
      const result = runCourse(seed);
      endings[result.ending]++;
      packets += result.packets;
      bytes += result.bytes;
      virtualMs += result.virtualMs;
    } catch (error) {
      console.error(`Seed ${seed} fails; again with: deno task udx:seeds --runs 1 --seed ${seed}`);
      console.error(planCourse(seed));
      throw error;
    }
  }
  const seconds = (performance.now() - startedMs) / 1000;
  console.log(`${runs} seeds from ${first} in ${seconds.toFixed(1)} s: ${JSON.stringify(endings)}`);
  console.log(
    `${packets} packets, ${(bytes / 1e6).toFixed(0)} MB delivered, ${
      (virtualMs / 3_600_000).toFixed(1)
    } simulated hours`,
  );
}
