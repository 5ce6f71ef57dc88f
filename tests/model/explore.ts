import { messageOf } from "../../lib/domain/errors.ts";
import { type Action, actionsOf, after, calmOf, type Fault, faults, stepCalmly } from "./actions.ts";
import { digest, fingerprint } from "./fingerprint.ts";
import type { Flaw } from "./flaws.ts";
import { checkEnd, checkState } from "./rules.ts";
import { BrokenRule, createWorld, observed, type Observer, type World } from "./world.ts";

/** What the tests explore, and the README's diagrams are drawn from: any one fault, and what ends without money and is struck then. */
export const courses: readonly Bounds["faults"][] = [[faults], [["failed HTLC"], ["crash"]]];

const maxCalmSteps = 5_000;

export interface Exploration {
  readonly states: number;
  readonly transitions: number;
  /** The longest shortest way to a state. */
  readonly depth: number;
  /** Every state within the bounds was reached. */
  readonly complete: boolean;
  /** The first rule that broke, and what happened until then. */
  readonly broken: { readonly message: string; readonly trace: readonly string[] } | undefined;
}

export interface Bounds {
  /** The faults that one course may have, in this order: for each, the kinds that it may be of. */
  readonly faults: readonly (readonly Fault[])[];
  readonly flaw?: Flaw;
  readonly maxStates?: number;
  readonly observer?: Observer;
  /** Also tries what can follow on each world that is taken for one that was met before: it must be the same. */
  readonly proveMerging?: boolean;
  /** What tells states apart, instead of the usual. */
  readonly tell?: (world: World) => string;
  readonly onProgress?: (states: number, waiting: number, depth: number) => void;
}

interface Visited {
  readonly world: World;
  readonly trail: Trail | undefined;
}

interface Trail {
  readonly name: string;
  readonly before: Trail | undefined;
}

/**
 * Breadth first through everything that can happen within the bounds; two worlds that differ in names and in the past
 * alone are one state. In each state the rules must hold, and from each the calm that follows must bring everything to
 * its end.
 */
export function explore(bounds: Bounds): Exploration {
  const exploration = new Explorer(bounds);
  if (bounds.observer) observed(bounds.observer, () => exploration.run());
  else exploration.run();
  return exploration;
}

class Explorer implements Exploration {
  transitions = 0;
  depth = 0;
  broken: Exploration["broken"];
  complete = false;
  readonly #bounds: Bounds;
  readonly #seen = new Set<string>();
  readonly #calmed = new Set<string>();
  /** What can follow on each state, where that is to be proven. */
  readonly #following = new Map<string, string>();

  readonly #tell: (world: World) => string;

  constructor(bounds: Bounds) {
    this.#bounds = bounds;
    this.#tell = bounds.tell ?? fingerprint;
  }

  get states(): number {
    return this.#seen.size;
  }

  run(): void {
    const first = createWorld(this.#bounds.faults.length, this.#bounds.flaw);
    this.#seen.add(this.#tell(first));
    for (let waiting: Visited[] = [{ world: first, trail: undefined }]; waiting.length > 0;) {
      const following = this.#next(waiting);
      if (following === undefined) return;
      if (following.length > 0) this.depth++;
      waiting = following;
      this.#bounds.onProgress?.(this.states, waiting.length, this.depth);
    }
    this.complete = true;
  }

  /** What is new one action after these; undefined when a rule broke or the bound is reached. */
  #next(waiting: readonly Visited[]): Visited[] | undefined {
    const { maxStates = Infinity, proveMerging } = this.#bounds;
    const found: Visited[] = [];
    for (const { world, trail } of waiting) {
      if (!this.#try(trail, "nothing fails any more", () => settle(world, this.#calmed))) return undefined;
      const prints: string[] = [];
      for (const action of this.#actionsOf(world)) {
        this.transitions++;
        let next: World | undefined;
        const step = () => {
          next = after(world, action);
          if (next) checkState(next);
        };
        if (!this.#try(trail, action.name, step)) return undefined;
        if (next === undefined) continue;
        const print = this.#tell(next);
        prints.push(`${action.name}: ${print}`);
        const isNew = !this.#seen.has(print);
        if (!isNew && proveMerging && !this.#try(trail, action.name, () => this.#follow(print, next!))) {
          return undefined;
        }
        if (!isNew) continue;
        if (this.states >= maxStates) return undefined;
        this.#seen.add(print);
        found.push({ world: next, trail: { name: action.name, before: trail } });
      }
      if (proveMerging && !this.#try(trail, "", () => this.#compare(this.#tell(world), prints))) return undefined;
    }
    return found;
  }

  #actionsOf(world: World): Action[] {
    const { faults } = this.#bounds;
    return actionsOf(world, faults[faults.length - world.faultsLeft] ?? []);
  }

  #follow(print: string, world: World): void {
    const prints = this.#actionsOf(world).flatMap((action) => {
      const next = after(world, action);
      return next === undefined ? [] : [`${action.name}: ${this.#tell(next)}`];
    });
    this.#compare(print, prints);
  }

  #compare(print: string, prints: readonly string[]): void {
    const following = digest([...prints].sort().join("\n"));
    const known = this.#following.get(print) ?? following;
    this.#following.set(print, known);
    if (known !== following) throw new BrokenRule("two worlds were taken for the same state that don't go on alike");
  }

  #try(trail: Trail | undefined, last: string, run: () => void): boolean {
    try {
      run();
      return true;
    } catch (error) {
      const name = error instanceof Error && error.name !== "BrokenRule" ? `${error.name}: ` : "";
      this.broken = { message: name + messageOf(error), trace: [...namesOf(trail), last] };
      return false;
    }
  }
}

/**
 * Nothing fails any more, and everybody has time: follows one course to where it rests, or until it meets one that was
 * followed before.
 */
function settle(world: World, calmed: Set<string>): void {
  let calm = calmOf(world);
  let print = fingerprint(calm);
  if (calmed.has(print)) return;
  calm = structuredClone(calm);
  const course = new Set<string>();
  for (; !calmed.has(print); print = fingerprint(calm)) {
    calmed.add(print);
    course.add(print);
    const goesOn = stepCalmly(calm);
    checkState(calm);
    if (!goesOn) return checkEnd(calm);
    if (course.size > maxCalmSteps) throw new BrokenRule("it never comes to rest");
  }
  if (course.has(print)) throw new BrokenRule("it goes in circles");
}

function namesOf(trail: Trail | undefined): string[] {
  const names: string[] = [];
  for (let at = trail; at !== undefined; at = at.before) names.unshift(at.name);
  return names;
}
