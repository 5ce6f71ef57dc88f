import assert from "node:assert/strict";
import process from "node:process";
import * as fc from "fast-check";
import { Deadline, Deadlines } from "../../lib/udx/deadlines.ts";
import { DeadlineTimer, monotonicMs, TimedDeadlines } from "../../lib/udx/timed_deadlines.ts";

const noone = { handleDeadline: () => {} };

Deno.test("Deadlines gives out what is due, and never what moved back or was cleared", () => {
  const deadlines = new Deadlines();
  const [early, late, moved, cleared] = [1, 2, 3, 4].map(() => new Deadline(noone)) as [
    Deadline,
    Deadline,
    Deadline,
    Deadline,
  ];
  deadlines.set(late, 20);
  deadlines.set(early, 10);
  deadlines.set(moved, 5);
  deadlines.set(moved, 30);
  deadlines.set(cleared, 7);
  deadlines.clear(cleared);
  assert.ok(deadlines.nextMs <= 10);
  assert.deepEqual(deadlines.takeDue(9), []);
  assert.equal(deadlines.nextMs, 10);
  assert.deepEqual(deadlines.takeDue(10), [early]);
  deadlines.set(moved, 15);
  assert.deepEqual(deadlines.takeDue(100), [moved, late]);
  assert.equal(deadlines.nextMs, Infinity);
});

Deno.test("Deadlines agrees with a sorted list", () => {
  const step = fc.record({ index: fc.nat(19), inMs: fc.oneof(fc.nat(50), fc.constant(Infinity)), passMs: fc.nat(5) });
  fc.assert(fc.property(fc.array(step, { maxLength: 200 }), (steps) => {
    const deadlines = new Deadlines();
    const all = Array.from({ length: 20 }, () => new Deadline(noone));
    const model = new Map<Deadline, number>();
    let nowMs = 0;
    for (const { index, inMs, passMs } of steps) {
      const deadline = all[index]!;
      if (inMs === 0) deadlines.clear(deadline);
      else deadlines.set(deadline, nowMs + inMs);
      if (inMs === 0 || inMs === Infinity) model.delete(deadline);
      else model.set(deadline, nowMs + inMs);
      nowMs += passMs;
      const due = [...model].filter(([, atMs]) => atMs <= nowMs);
      const taken = deadlines.takeDue(nowMs);
      assert.deepEqual(new Set(taken), new Set(due.map(([deadline]) => deadline)));
      for (const [deadline] of due) model.delete(deadline);
      assert.ok(deadlines.nextMs > nowMs && deadlines.nextMs <= Math.min(...model.values()));
    }
  }));
});

Deno.test("TimedDeadlines calls everybody whose deadline has come, also after one that throws", async () => {
  const uncaught: string[] = [];
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    uncaught.push(event.error.message);
  };
  addEventListener("error", onError);
  const deadlines = new TimedDeadlines();
  const calls: string[] = [];
  const atMs = monotonicMs() + 2;
  await new Promise<void>((resolve) => {
    const waiter = (name: string, act: () => void) =>
      new Deadline({
        handleDeadline: () => {
          calls.push(name);
          act();
        },
      });
    const fail = () => {
      throw new Error("a bug of its own");
    };
    for (const name of ["a", "b", "c"]) deadlines.set(waiter(name, fail), atMs);
    deadlines.set(waiter("last", resolve), atMs + 1);
  });
  removeEventListener("error", onError);
  assert.deepEqual(calls.sort(), ["a", "b", "c", "last"]);
  assert.deepEqual(uncaught, Array(3).fill("a bug of its own"));
});

Deno.test("TimedDeadlines leaves no timer behind when the last deadline is cleared, however late it is", async () => {
  const deadlines = new TimedDeadlines();
  const deadline = new Deadline({ handleDeadline: () => assert.fail("it was cleared") });
  // As late as if the process had stood still: what has arrived is to be read first.
  deadlines.set(deadline, monotonicMs() - 100);
  await new Promise((resolve) => setTimeout(resolve, 0));
  deadlines.clear(deadline);
});

Deno.test("DeadlineTimer waits for what lies further ahead than the system's timers reach", async () => {
  const warnings: string[] = [];
  const onWarning = (warning: Error) => warnings.push(warning.name);
  process.on("warning", onWarning);
  const timer = new DeadlineTimer(() => {});
  timer.set(monotonicMs() + 2 ** 32);
  await new Promise((resolve) => setTimeout(resolve, 10));
  timer.clear();
  process.off("warning", onWarning);
  assert.deepEqual(warnings, []);
});
