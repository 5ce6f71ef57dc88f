import { weaknesses } from "./adversary_bugs.ts";
import { addCounts, type Batch, type BatchResult, runBatch } from "./batch.ts";
import { bugNamed, bugs } from "./bugs.ts";
import { drawPlan, type FaultKind, faultKinds, type Plan, type PlanOptions } from "./plan.ts";
import { runPlan } from "./run.ts";
import { shrinkPlan } from "./shrink.ts";
import { formatTime } from "./world.ts";

/** `deno task simulate`: worlds from fresh seeds, or one again; see `--help`. */

const help = `deno task simulate [options]

  --runs N        how many worlds (1,000)
  --minutes M     as many as fit into this time, instead of a number
  --seed S        the first seed, instead of a fresh one; alone: that one world, with its trace if it fails
  --jobs J        how many cores (2)
  --only KINDS    only these kinds of fault, comma-separated
  --without KINDS leave these kinds of fault out
  --adversary P   a peer that does its worst in P of 100 worlds (25; 0 with --only)
  --prove         switch each of the deliberate mistakes in, one after the other: each must be caught
  --bug NAME      switch a deliberate mistake in
  --plan FILE     the one world of this plan (as a failure prints it)
  --trace         with --seed or --plan: the trace even if nothing fails

kinds of fault: ${faultKinds.join(", ")}
mistakes: ${bugs.map(({ name }) => name).join(", ")}`;

interface Options {
  runs: number | undefined;
  minutes: number | undefined;
  seed: number | undefined;
  jobs: number;
  only: FaultKind[] | undefined;
  without: FaultKind[];
  adversary: number | undefined;
  bug: string | undefined;
  plan: string | undefined;
  prove: boolean;
  trace: boolean;
}

function parse(args: readonly string[]): Options {
  const options: Options = {
    ...{
      runs: undefined,
      minutes: undefined,
      seed: undefined,
      jobs: 2,
      only: undefined,
      without: [],
      adversary: undefined,
    },
    ...{ bug: undefined, plan: undefined, prove: false, trace: false },
  };
  const rest = [...args];
  for (let name = rest.shift(); name !== undefined; name = rest.shift()) {
    const value = () => rest.shift() ?? refuse(`${name} needs a value`);
    const number = () => {
      const given = Number(value());
      return Number.isFinite(given) && given >= 0 ? given : refuse(`${name} needs a number`);
    };
    if (name === "--runs") options.runs = number();
    else if (name === "--minutes") options.minutes = number();
    else if (name === "--seed") options.seed = number();
    else if (name === "--jobs") options.jobs = Math.max(1, number());
    else if (name === "--only") options.only = kinds(value());
    else if (name === "--without") options.without = kinds(value());
    else if (name === "--adversary") options.adversary = number();
    else if (name === "--bug") options.bug = value();
    else if (name === "--plan") options.plan = value();
    else if (name === "--prove") options.prove = true;
    else if (name === "--trace") options.trace = true;
    else refuse(`there is no ${name}`);
  }
  if (options.bug !== undefined && bugNamed(options.bug).bug === undefined) {
    refuse(`there is no mistake ${options.bug}`);
  }
  return options;
}

function kinds(text: string): FaultKind[] {
  return text.split(",").map((kind) =>
    faultKinds.find((known) => known === kind) ?? refuse(`no kind of fault: ${kind}`)
  );
}

function refuse(why: string): never {
  console.error(`${why}\n\n${help}`);
  Deno.exit(2);
}

/** The commit of this checkout, read where git keeps it. */
function commit(): string {
  const read = (path: string) => Deno.readTextFileSync(new URL(`../../.git/${path}`, import.meta.url)).trim();
  try {
    const head = read("HEAD");
    if (!head.startsWith("ref: ")) return head;
    try {
      return read(head.slice(5));
    } catch {
      return read("packed-refs").split("\n").find((line) => line.endsWith(head.slice(5)))?.split(" ")[0] ?? head;
    }
  } catch {
    return "unknown (no git checkout)";
  }
}

/** Finds the smallest plan that fails alike, and tells its story. */
function explain(plan: Plan, bug: string | undefined): void {
  const first = runPlan(plan, bugNamed(bug));
  console.log(`\nseed ${plan.seed} at commit ${commit()}\n${first.failure?.message}\n`);
  const started = performance.now();
  const small = shrinkPlan(plan, (candidate) => runPlan(candidate, bugNamed(bug)).failure?.rule);
  const { trace, failure } = runPlan(small.plan, { ...bugNamed(bug), trace: true });
  console.log(
    `shrunk in ${small.runs} runs (${
      Math.round((performance.now() - started) / 1000)
    } s): ${small.plan.steps.length} of ` +
      `${plan.steps.length} steps, ${small.plan.instances.length} of ${plan.instances.length} instances, ` +
      `${small.plan.channels.length} of ${plan.channels.length} channels\n`,
  );
  for (const line of trace) console.log(line);
  console.log(
    `\n${failure?.message}\n\nagain: deno task simulate --plan FILE${
      bug === undefined ? "" : ` --bug ${bug}`
    }, with this as the file:`,
  );
  console.log(JSON.stringify(small.plan));
}

function replay(plan: Plan, options: Options): number {
  const { failure, stats, simulatedMs, trace } = runPlan(plan, { ...bugNamed(options.bug), trace: options.trace });
  for (const line of trace) console.log(line);
  if (failure === undefined) {
    console.log(`seed ${plan.seed}: no rule was broken in ${formatTime(simulatedMs)} (${stats.events} events)`);
    return 0;
  }
  explain(plan, options.bug);
  return 1;
}

/** Switches every deliberate mistake in, in worlds from seeds that nobody chose. */
function prove(first: number): number {
  let missed = 0;
  const all = [
    ...bugs.map((known) => ({ ...known, plan: { only: known.faults }, options: () => bugNamed(known.name) })),
    ...weaknesses.map((known) => ({
      ...known,
      plan: { only: [], adversary: 100 },
      options: () => ({ bug: known.bug() }),
    })),
  ];
  for (const { name, what, within, plan, options } of all) {
    const tried = Array.from({ length: within }, (_, index) => (first + index) >>> 0);
    let message = "";
    const caught = tried.findIndex((seed) => {
      message = runPlan(drawPlan(seed, plan), options()).failure?.message ?? "";
      return message !== "";
    });
    if (caught < 0) missed++;
    console.log(
      `${caught < 0 ? "MISSED" : "caught"}  ${name} (${what}): ${
        caught < 0
          ? `not within ${within} seeds`
          : `by seed ${caught + 1} of at most ${within}: ${message.split("\n")[0]}`
      }`,
    );
  }
  console.log(
    `\n${all.length - missed} of ${all.length} mistakes caught, seeds from ${first}, at commit ${commit()}`,
  );
  return missed;
}

function planOptionsOf({ only, without, adversary }: Options): PlanOptions {
  return { without, ...(only === undefined ? {} : { only }), ...(adversary === undefined ? {} : { adversary }) };
}

const perBatch = 25;

async function runMany(options: Options): Promise<number> {
  const first = options.seed ?? freshSeed();
  const runs = options.runs ?? (options.minutes === undefined ? 1_000 : Infinity);
  const untilMs = options.minutes === undefined ? Infinity : performance.now() + options.minutes * 60_000;
  const planOptions = planOptionsOf(options);
  let next = 0;
  const takeBatch = (): Batch | undefined => {
    if (next >= runs || performance.now() >= untilMs) return undefined;
    const count = Math.min(perBatch, runs - next);
    const seeds = Array.from({ length: count }, (_, index) => (first + next + index) >>> 0);
    next += count;
    return { seeds, options: planOptions, bug: options.bug };
  };
  const started = performance.now();
  const sum = { seeds: 0, events: 0, simulatedMs: 0, counted: new Map<string, number>() };
  const failures: BatchResult["failures"][number][] = [];
  let toldMs = started;
  const take = (result: BatchResult) => {
    sum.seeds += result.seeds;
    sum.events += result.events;
    sum.simulatedMs += result.simulatedMs;
    addCounts(sum.counted, result.counted);
    failures.push(...result.failures);
    for (const { seed, message } of result.failures) console.log(`seed ${seed}: ${message}`);
    if (performance.now() - toldMs < 10_000) return;
    toldMs = performance.now();
    console.log(`${sum.seeds} seeds, ${rate(sum.seeds, started)} per second, ${failures.length} failures`);
  };
  console.log(`seeds from ${first}, at commit ${commit()}`);
  await work(options.jobs, takeBatch, take);
  const seconds = (performance.now() - started) / 1000;
  console.log(
    `\n${sum.seeds} seeds from ${first} in ${seconds.toFixed(0)} s (${rate(sum.seeds, started)} per second, ` +
      `${options.jobs} jobs): ${failures.length} failures\n` +
      `simulated ${(sum.simulatedMs / 86_400_000).toFixed(1)} days, ${sum.events} events\n`,
  );
  for (const [what, count] of [...sum.counted].sort(([a], [b]) => a < b ? -1 : 1)) {
    console.log(`${String(count).padStart(9)}  ${what}`);
  }
  const byRule = Map.groupBy(failures, ({ rule }) => rule);
  for (const [rule, some] of byRule) {
    console.log(`${some.length} broke "${rule}": seeds ${some.map(({ seed }) => seed).slice(0, 10)}`);
  }
  const [worst] = failures;
  if (worst === undefined) return 0;
  explain(drawPlan(worst.seed, planOptions), options.bug);
  return 1;
}

function freshSeed(): number {
  return crypto.getRandomValues(new Uint32Array(1))[0]!;
}

function rate(seeds: number, startedMs: number): string {
  return (seeds / ((performance.now() - startedMs) / 1000)).toFixed(1);
}

/** Lets `jobs` workers take batches until there are none. */
async function work(
  jobs: number,
  takeBatch: () => Batch | undefined,
  take: (result: BatchResult) => void,
): Promise<void> {
  if (jobs === 1) {
    for (let batch = takeBatch(); batch !== undefined; batch = takeBatch()) take(runBatch(batch));
    return;
  }
  await Promise.all(Array.from({ length: jobs }, () =>
    new Promise<void>((resolve, reject) => {
      const worker = new Worker(new URL("./simulate_worker.ts", import.meta.url), { type: "module" });
      const give = () => {
        const batch = takeBatch();
        if (batch !== undefined) return worker.postMessage(batch);
        worker.terminate();
        resolve();
      };
      worker.onmessage = ({ data }: MessageEvent<BatchResult>) => {
        take(data);
        give();
      };
      worker.onerror = (event) => reject(new Error(event.message));
      give();
    })));
}

if (Deno.args.includes("--help")) {
  console.log(help);
} else {
  const options = parse(Deno.args);
  const { plan, seed, runs, minutes } = options;
  if (options.prove) Deno.exitCode = prove(seed ?? freshSeed()) === 0 ? 0 : 1;
  else if (plan !== undefined) Deno.exitCode = replay(JSON.parse(Deno.readTextFileSync(plan)), options);
  else if (seed !== undefined && runs === undefined && minutes === undefined) {
    Deno.exitCode = replay(drawPlan(seed, planOptionsOf(options)), options);
  } else Deno.exitCode = await runMany(options);
}
