import { bugNamed } from "./bugs.ts";
import { drawPlan, type PlanOptions } from "./plan.ts";
import { runPlan } from "./run.ts";

/** Seeds to run one after the other. */
export interface Batch {
  readonly seeds: readonly number[];
  readonly options: PlanOptions;
  /** A mistake to switch in, by its name. */
  readonly bug: string | undefined;
}

export interface BatchResult {
  readonly seeds: number;
  readonly failures: readonly { readonly seed: number; readonly rule: string; readonly message: string }[];
  readonly counted: ReadonlyMap<string, number>;
  readonly events: number;
  readonly simulatedMs: number;
}

export function runBatch({ seeds, options, bug }: Batch): BatchResult {
  const failures: BatchResult["failures"][number][] = [];
  const counted = new Map<string, number>();
  let events = 0;
  let simulatedMs = 0;
  for (const seed of seeds) {
    const outcome = runPlan(drawPlan(seed, options), bugNamed(bug));
    events += outcome.stats.events;
    simulatedMs += outcome.simulatedMs;
    addCounts(counted, outcome.stats.counted);
    if (outcome.failure !== undefined) failures.push({ seed, ...outcome.failure });
  }
  return { seeds: seeds.length, failures, counted, events, simulatedMs };
}

export function addCounts(sum: Map<string, number>, more: ReadonlyMap<string, number>): void {
  for (const [what, count] of more) {
    const before = sum.get(what) ?? 0;
    sum.set(what, what.startsWith("most: ") ? Math.max(before, count) : before + count);
  }
}
