import assert from "node:assert/strict";
import { weaknesses } from "./adversary_bugs.ts";
import { drawPlan } from "./plan.ts";
import { runPlan } from "./run.ts";
import { shrinkPlan } from "./shrink.ts";

/** Seeds that once broke a rule, each with what was wrong, and some that never did. Fresh ones: `deno task simulate`. */
const seeds = [
  // Hellos that waited for their turn were due, and not yet, by a rounding: a timer without end.
  40_251,
  // A proof that is no text, in a world that judged by it.
  40_429,
  ...Array.from({ length: 10 }, (_, index) => index * 999_983 + 7),
];

Deno.test("an adversary gets no more than the limits, whatever it does amid faults", () => {
  for (const seed of seeds) {
    const { failure } = runPlan(drawPlan(seed, { adversary: 100 }));
    assert.equal(failure, undefined, `deno task simulate --adversary 100 --seed ${seed}: ${failure?.message}`);
  }
});

Deno.test("an adversary does the same again from the same seed", () => {
  const [first, second] = [1, 2].map(() => runPlan(drawPlan(77, { adversary: 100 }), { trace: true }));
  assert.ok(first!.trace.some((line) => line.includes("mallory: attacks")));
  assert.deepEqual(first, second);
});

for (const { name, what, bug, seed } of weaknesses) {
  Deno.test(`an adversary finds a program that ${what} (${name})`, () => {
    // The seed caught it when it was written; what happens around it may change with the program.
    const caught = Array.from({ length: 100 }, (_, index) => seed + index).find((seed) =>
      runPlan(drawPlan(seed, { only: [], adversary: 100 }), { bug: bug() }).failure !== undefined
    );
    assert.notEqual(caught, undefined);
  });
}

Deno.test("what an adversary did shrinks to the few attacks that matter", () => {
  const { bug, seed } = weaknesses.find(({ name }) => name === "no-tag-check")!;
  const rule = (plan: Parameters<typeof runPlan>[0]) => runPlan(plan, { bug: bug() }).failure?.rule;
  const plan = drawPlan(seed, { only: [], adversary: 100 });
  const small = shrinkPlan(plan, rule, 100).plan;
  assert.equal(rule(small), rule(plan));
  assert.ok(small.adversary!.attacks.length < plan.adversary!.attacks.length / 2);
});
