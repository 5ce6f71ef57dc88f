import assert from "node:assert/strict";
import { bugNamed, bugs } from "./bugs.ts";
import { drawPlan, type Plan } from "./plan.ts";
import { regressions } from "./regressions.ts";
import { runPlan } from "./run.ts";
import { shrinkPlan } from "./shrink.ts";

/** Some that never broke a rule. Fresh ones: `deno task simulate`. */
const seeds = Array.from({ length: 16 }, (_, index) => index * 1_000_003 + 1);

Deno.test("worlds full of faults break no rule", () => {
  for (const seed of seeds) {
    const { failure } = runPlan(drawPlan(seed));
    assert.equal(failure, undefined, `deno task simulate --seed ${seed}: ${failure?.message}`);
  }
});

for (const { what, plan } of regressions) {
  Deno.test(`once broken: ${what}`, () => assert.equal(runPlan(plan).failure, undefined));
}

Deno.test("the same seed gives the same run, to the last line", () => {
  const [first, second] = [1, 2].map(() => runPlan(drawPlan(77), { trace: true }));
  assert.ok(first!.trace.length > 50);
  assert.deepEqual(first, second);
});

Deno.test("what is left out of a plan changes nothing of the rest", () => {
  const whole = drawPlan(5);
  const without = drawPlan(5, { without: ["crash", "lists-lag"] });
  assert.deepEqual(without.steps, whole.steps.filter(({ kind }) => kind !== "crash" && kind !== "lists-lag"));
  assert.deepEqual({ ...without, steps: [] }, { ...whole, steps: [] });
});

Deno.test("traffic of single satoshis provokes no flood of payments, whatever the two sides want", () => {
  for (let seed = 1; seed <= 6; seed++) {
    const drawn = drawPlan(seed, { only: [] });
    const [first, second] = drawn.instances;
    const plain = { byNode: {}, byChannel: {}, maxNetOutflowTotalSat: 100_000_000 };
    const free = {
      ...{ maxTransactionSize: 100_000_000, minTimeBetweenPaymentsMs: 0, maxTransactionsPerPeriod: 1_000 },
      ...{ maxAmountPerPeriod: 1e9, maxNetOutflow: 1e9, refreshRateMs: 10_000 },
    };
    const instances = [first!, second!].map((one) => ({ ...one, ...plain, base: { ...one.base, ...free } }));
    const steps = Array.from({ length: 200 }, (_, index) => ({
      ...{ kind: "traffic", way: "unseen", channel: 0, fraction: 0, atMs: 600_000 + index * 30_000 } as const,
      fromOpener: index % 100 < 50,
    }));
    const nodes = drawn.nodes.slice(0, 2).map((node, instance) => ({ ...node, instance }));
    const plan = { seed, nodes, instances, channels: [{ ...drawn.channels[0]!, from: 0, to: 1 }], steps };
    const before = runPlan({ ...plan, steps: [] });
    const after = runPlan(plan);
    assert.equal(after.failure, undefined, `seed ${seed}: ${after.failure?.message}`);
    const count = ({ stats }: typeof after) => stats.counted.get("payments-settled") ?? 0;
    assert.ok(count(after) <= count(before) + 2, `seed ${seed}: ${count(after)} payments instead of ${count(before)}`);
  }
});

for (const { name, what, faults, seed } of bugs) {
  Deno.test(`the rules notice a program that ${what} (${name})`, () => {
    // The seed caught it when it was written; what happens around it may change with the program.
    const caught = Array.from({ length: 60 }, (_, index) => seed + index).find((seed) =>
      runPlan(drawPlan(seed, { only: faults }), bugNamed(name)).failure !== undefined
    );
    assert.notEqual(caught, undefined);
  });
}

Deno.test("a failing plan shrinks to the few steps that matter", () => {
  const bug = bugNamed("ignore-pause");
  const rule = (plan: Plan) => runPlan(plan, bug).failure?.rule;
  const plans = Array.from({ length: 40 }, (_, seed) => drawPlan(seed, { only: ["paused", "lnd-slow", "crash"] }));
  const plan = plans.find((plan) => plan.steps.length > 4 && rule(plan) !== undefined);
  assert.ok(plan);
  const small = shrinkPlan(plan, rule, 150).plan;
  assert.equal(rule(small), rule(plan));
  assert.ok(small.steps.length <= 3, JSON.stringify(small.steps));
  assert.ok(small.steps.some(({ kind }) => kind === "paused"));
});
