import { runCourse } from "./seeded_course.ts";

/** Seeds that once failed, each a different defect; more are tried with `deno task udx:seeds`. */
const REGRESSIONS: readonly number[] = [
  // A dead path with a full window was given up after hours.
  16_296,
  4027,
  // A closed window was probed for ever after its owner was gone.
  2034,
];

const SEEDS = 400;

/** @throws Error that says how to run the seed again */
function run(seed: number): void {
  try {
    runCourse(seed);
  } catch (cause) {
    throw new Error(`seed ${seed} fails; again with: deno task udx:seeds --runs 1 --seed ${seed}`, { cause });
  }
}

Deno.test("StreamMachine keeps what it promises in the courses that once showed a defect", () => {
  for (const seed of REGRESSIONS) run(seed);
});

Deno.test("StreamMachine keeps what it promises, whatever network and applications a seed makes", () => {
  for (let seed = 1; seed <= SEEDS; seed++) run(seed);
});
