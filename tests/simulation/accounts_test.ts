import assert from "node:assert/strict";
import { drawPlan } from "./plan.ts";
import { runPlan } from "./run.ts";

/** What makes the logs of two honest operators differ for good: receipts that one of them has lost. */
const losses = ["backup-restored", "log-repaired"] as const;
const isWarning = (line: string) => line.includes("isn't the same on both sides");

Deno.test("whatever else fails, honest operators are never told that their accounts differ", () => {
  let settled = 0;
  for (let seed = 1; seed <= 24; seed++) {
    const { trace, failure } = runPlan(drawPlan(seed, { without: losses, adversary: 0 }), { trace: true });
    assert.equal(failure, undefined);
    assert.deepEqual(trace.filter(isWarning), [], `seed ${seed}`);
    settled += trace.filter((line) => line.includes("on disk: statement")).length;
  }
  assert.ok(settled > 24, `${settled} statements`);
});

Deno.test("operators one of whom has lost a part of the log are told", () => {
  const told = Array.from({ length: 60 }, (_, index) => index + 1).find((seed) =>
    runPlan(drawPlan(seed, { only: losses }), { trace: true }).trace.some(isWarning)
  );
  assert.notEqual(told, undefined);
});
