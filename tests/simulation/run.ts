import { messageOf } from "../../lib/domain/errors.ts";
import { Adversary } from "./adversary.ts";
import { Faults } from "./faults.ts";
import { runToEnd } from "./end.ts";
import type { Plan } from "./plan.ts";
import { Violation } from "./watch.ts";
import { type Stats, World, type WorldOptions } from "./world.ts";

export interface Outcome {
  /** The rule that was broken, and how; undefined if none was. */
  readonly failure: { readonly rule: string; readonly message: string } | undefined;
  readonly stats: Stats;
  /** In the world's own time. */
  readonly simulatedMs: number;
  readonly trace: readonly string[];
}

/** Runs one plan from its beginning to the rest after its faults. The same plan and options give the same outcome. */
export function runPlan(plan: Plan, options: WorldOptions = {}): Outcome {
  const world = new World(plan, withAdversary(plan, options));
  const faults = new Faults(world);
  let failure: Outcome["failure"];
  try {
    world.run(Math.max(plan.steps.at(-1)?.atMs ?? 0, plan.adversary?.attacks.at(-1)?.atMs ?? 0) + 5_000);
    faults.heal();
    runToEnd(world);
  } catch (error) {
    // Whatever is thrown is a finding: a rule of ours, one of the network's (sats conserved), or one of the balancer's own.
    const rule = error instanceof Violation ? error.rule : error instanceof Error ? error.name : "thrown";
    const where = error instanceof Violation || !(error instanceof Error) ? "" : `\n${error.stack}`;
    failure = { rule, message: messageOf(error) + where };
    world.tell("watch", () => messageOf(error));
  }
  return { failure, stats: world.stats, simulatedMs: world.atMs, trace: world.trace ?? [] };
}

function withAdversary({ adversary }: Plan, options: WorldOptions): WorldOptions {
  if (adversary === undefined) return options;
  return { ...options, participants: [...options.participants ?? [], new Adversary(adversary)] };
}
