import fc from "fast-check";
import { applyRecord, forgetSettled } from "../../lib/audit/ledger.ts";
import type { LogRecord, TransactionRecord } from "../../lib/audit/record.ts";
import { type BalancerState, createBalancer, stepBalancer } from "../../lib/balancer/balancer.ts";
import type { BalancerEvent } from "../../lib/balancer/io.ts";
import { evenWallMsOf } from "../../lib/balancer/clocks.ts";
import type { PeriodKind } from "../../lib/config/config.ts";
import { sat } from "../../lib/domain/amounts.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { checkBudget } from "../../lib/policy/budget.ts";
import { node, record } from "../audit/records.ts";
import { limits } from "../policy/fixtures.ts";

/**
 * What may be paid now, reckoned from the plain facts: who paid how much when, by the true time. Beside it the log, the clocks
 * and the restarts that the program has to reckon from.
 */

const hourMs = 3_600_000;
const dayMs = 24 * hourMs;
const yearMs = 365 * dayMs;
/** A wall clock that is off by less isn't noted, and the poll that sees a jump may be another such step away. */
const slackPerStartMs = 2_000;

type Move =
  | { readonly kind: "time" | "sleep"; readonly forMs: number }
  | { readonly kind: "pay"; readonly amountSat: number; readonly ends: "settled" | "failed" | "later" }
  | { readonly kind: "end" }
  /** While the program runs. */
  | { readonly kind: "set-clock"; readonly offsetMs: number }
  /** A clock that is set forward meanwhile can't be told from time that passed: only back. */
  | { readonly kind: "restart"; readonly downMs: number; readonly backMs: number };

interface Course {
  readonly periodMs: number;
  readonly periodKind: PeriodKind;
  readonly max: number;
  readonly maxSat: number;
  readonly moves: readonly Move[];
}

/** A payment, by the true time. `ranMs`: how long the program can be sure to have run since it settled. */
interface Fact {
  readonly n: number;
  readonly amountSat: number;
  settledMs: number | undefined;
  ranMs: number;
}

class World {
  readonly #course: Course;
  readonly #log: { readonly record: LogRecord; readonly offsetMs: number }[] = [];
  readonly #facts: Fact[] = [];
  #trueMs = 0;
  #monotonicMs = 0;
  #offsetMs = 0;
  #writtenMs = 0;
  #slackMs = 0;
  #lagMs = 0;
  #count = 0;
  #state: BalancerState;

  constructor(course: Course) {
    this.#course = course;
    this.#state = this.#create();
    this.#start();
    for (const move of course.moves) this.#move(move);
  }

  #create(): BalancerState {
    const baseSettings = { ...limits.baseSettings, maxAmountPeriodMs: this.#course.periodMs };
    return createBalancer({
      authKey: new Uint8Array(32),
      limits: { ...limits, baseSettings },
      ...{ requireNodeProof: true, nodeCount: 1, dryRun: false },
    });
  }

  get #now() {
    return { atMs: this.#monotonicMs, wallMs: Date.UTC(2026, 0, 1) + this.#trueMs + this.#offsetMs };
  }

  #step(event: BalancerEvent): void {
    for (const effect of stepBalancer(this.#state, event, this.#now, new SeededRandom(1))) {
      if (effect.kind === "note") this.#write(effect.record);
    }
  }

  #write(record: LogRecord): void {
    this.#log.push({ record, offsetMs: this.#offsetMs });
    this.#writtenMs = this.#trueMs;
  }

  #enter(kind: TransactionRecord["kind"], { n, amountSat }: Fact): void {
    this.#step({ kind: "timeout" });
    const { atMs, wallMs } = this.#now;
    const entry = record(kind, n, { amountSat, atWallMs: wallMs });
    applyRecord(this.#state.ledger, entry, atMs);
    this.#write(entry);
  }

  #start(): void {
    const { wallMs } = this.#now;
    this.#monotonicMs = 7;
    // By as much a clock that was ahead may make what is written since look younger than it is.
    this.#lagMs = Math.max(
      0,
      ...this.#log.map(({ record, offsetMs }) => record.atWallMs <= wallMs ? offsetMs - this.#offsetMs : 0),
    );
    this.#state = this.#create();
    this.#step({ kind: "started", transactions: this.#log.map(({ record }) => record), pauses: [] });
  }

  #move(move: Move): void {
    switch (move.kind) {
      case "time":
        this.#trueMs += move.forMs;
        this.#monotonicMs += move.forMs;
        for (const fact of this.#facts) if (fact.settledMs !== undefined) fact.ranMs += move.forMs;
        return this.#step({ kind: "timeout" });
      case "sleep":
        this.#trueMs += move.forMs;
        return this.#step({ kind: "timeout" });
      case "set-clock":
        this.#offsetMs = move.offsetMs;
        return this.#step({ kind: "timeout" });
      case "restart":
        // If the clock goes back, nobody can tell that the program ran on after it last wrote.
        for (const fact of this.#facts) {
          if (move.backMs > 0) fact.ranMs = Math.max(0, fact.ranMs - (this.#trueMs - this.#writtenMs));
        }
        this.#trueMs += move.downMs;
        this.#offsetMs -= move.backMs;
        this.#slackMs += slackPerStartMs;
        return this.#start();
      case "pay":
        return this.#ask(move.amountSat, move.ends);
      case "end":
        for (const fact of this.#facts) if (fact.settledMs === undefined) this.#settle(fact);
    }
  }

  #ask(amountSat: number, ends: "settled" | "failed" | "later"): void {
    const { max, maxSat, periodMs, periodKind } = this.#course;
    this.#step({ kind: "timeout" });
    const { atMs } = this.#now;
    const period = { scope: "node", periodMs, periodKind } as const;
    const verdict = checkBudget({
      node: node("A"),
      channelPoint: record("intent", 1).channelPoint!,
      amountSat: sat(amountSat),
      limits: {
        counts: [{ ...period, max }],
        amounts: [{ ...period, maxSat: sat(maxSat) }],
        ...{ netOutflows: [], netOutflowTotalSat: sat(0) },
      },
      payments: this.#state.ledger.payments.values(),
      ...{ atMs, evenWallMs: evenWallMsOf(this.#state, atMs) },
    });
    const fits = (counts: (fact: Fact) => boolean) => {
      const spent = this.#facts.filter((fact) => fact.settledMs === undefined || counts(fact));
      return spent.length < max && spent.reduce((sum, fact) => sum + fact.amountSat, amountSat) <= maxSat;
    };
    const isYoung = ({ settledMs }: Fact) => this.#trueMs - settledMs! < periodMs - this.#slackMs;
    if (periodKind === "rolling" && verdict.kind === "within" && !fits(isYoung)) throw new Error("a limit was passed");
    const mayCount = ({ ranMs }: Fact) => ranMs < periodMs + this.#slackMs + this.#lagMs;
    if (verdict.kind === "exceeded" && fits(mayCount)) throw new Error(`${verdict.reason} by what is long past`);
    if (verdict.kind === "exceeded") return;
    const fact: Fact = { n: ++this.#count, amountSat, settledMs: undefined, ranMs: 0 };
    this.#enter("intent", fact);
    if (ends === "failed") return this.#enter("failed", fact);
    this.#facts.push(fact);
    if (ends === "settled") this.#settle(fact);
  }

  #settle(fact: Fact): void {
    this.#enter("settled", fact);
    fact.settledMs = this.#trueMs;
    forgetSettled(this.#state.ledger, this.#now.atMs - this.#course.periodMs);
  }
}

const duration = fc.oneof(
  fc.integer({ min: 1, max: 60_000 }),
  fc.integer({ min: 60_000, max: 5 * hourMs }),
  fc.integer({ min: hourMs, max: 3 * dayMs }),
);
const moves = fc.array(
  fc.oneof(
    { weight: 5, arbitrary: fc.record({ kind: fc.constant("time" as const), forMs: duration }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant("sleep" as const), forMs: duration }) },
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant("pay" as const),
        amountSat: fc.integer({ min: 1, max: 30_000 }),
        ends: fc.constantFrom("settled", "settled", "failed", "later"),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant("end" as const) }) },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("set-clock" as const),
        offsetMs: fc.oneof(
          fc.constantFrom(0, yearMs, -yearMs),
          fc.integer({ min: -20 * hourMs, max: 20 * hourMs }),
          fc.integer({ min: -900, max: 900 }),
        ),
      }),
    },
    {
      weight: 1,
      arbitrary: fc.record({
        kind: fc.constant("restart" as const),
        downMs: duration,
        backMs: fc.oneof(fc.constant(0), fc.constant(yearMs), fc.integer({ min: 0, max: 20 * hourMs })),
      }),
    },
  ),
  { minLength: 10, maxLength: 60, size: "max" },
);
const course: fc.Arbitrary<Course> = fc.record({
  periodMs: fc.constantFrom(600_000, 4 * hourMs, dayMs, 30 * dayMs),
  periodKind: fc.constantFrom("rolling", "fixed"),
  max: fc.integer({ min: 1, max: 6 }),
  maxSat: fc.integer({ min: 10_000, max: 100_000 }),
  moves,
});

Deno.test("limits over restarts and clocks: what is within a period counts, and nothing counts for longer", () => {
  fc.assert(fc.property(course, (course) => void new World(course)), { seed: 5, numRuns: 2_000 });
});
