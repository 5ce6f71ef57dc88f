import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { CrashWorld, type Provocation } from "./crash_world.ts";
import { LossyDisk } from "./lossy_disk.ts";
import type { Operator } from "./operator.ts";
import { drawMoment, type Moment } from "./windows.ts";

export interface CrashOptions {
  readonly seed: number;
  readonly kills: number;
  /** Kills in one world. */
  readonly killsPerWorld: number;
  /** Whether the power of its machine fails, too. */
  readonly power?: boolean;
  readonly onKill?: (kills: number, name: string) => void;
}

export interface CrashReport {
  readonly kills: number;
  /** By the moment that was struck at. */
  readonly byMoment: ReadonlyMap<string, number>;
  /** Those that were meant for a moment that didn't come. */
  readonly missed: ReadonlyMap<string, number>;
  readonly stops: number;
  readonly payments: number;
  readonly failedPayments: number;
  /** Requests that LND got only after their sender's death, and those that it never got. */
  readonly late: number;
  readonly unseen: number;
}

type Counts = { -readonly [K in keyof CrashReport]: CrashReport[K] } & {
  byMoment: Map<string, number>;
  missed: Map<string, number>;
};

/** How long a moment is waited for; a peer may take seconds to be found again. */
const momentMs = 6_000;

/** Kills daemons again and again, and holds whatever they leave against what LND knows. */
export async function runCrashes(options: CrashOptions): Promise<CrashReport> {
  const report: Counts = {
    ...{ kills: 0, stops: 0, payments: 0, failedPayments: 0, late: 0, unseen: 0 },
    ...{ byMoment: new Map(), missed: new Map() },
  };
  for (let index = 0; report.kills < options.kills; index++) {
    const random = new SeededRandom(options.seed * 1_000 + index);
    const until = Math.min(options.kills, report.kills + options.killsPerWorld);
    await runWorld(random, until, report, options);
  }
  return report;
}

async function runWorld(random: SeededRandom, until: number, report: Counts, options: CrashOptions) {
  const { seed, onKill, power = false } = options;
  await using world = await CrashWorld.create(random);
  using stack = new DisposableStack();
  const disks = new Map(
    power ? world.operators.map((operator) => [operator, stack.use(new LossyDisk(operator.dataFolder))]) : [],
  );
  let last = "";
  const underWay = new Set<string>();
  try {
    world.watchCalls();
    let down: Operator | undefined = world.pair;
    await world.single.startWell();
    while (report.kills < until) {
      const provocation = drawProvocation(world, random);
      if (provocation === undefined) break;
      const open = new Set(
        [...down?.deals().values() ?? []].filter(({ end }) => end === "open").map(({ opening }) => opening.kind),
      );
      const recovers = down !== undefined && random.below(open.size > 0 ? 2 : 6) === 0;
      const moment = drawMoment(random, recovers ? "recovery" : "traffic", open);
      const victim: Operator = moment.phase === "recovery" ? down! : moment.victim(provocation, world);
      last = `kill ${report.kills + 1}, of "${victim.name}": ${moment.name}`;
      if (moment.phase === "traffic") {
        await down?.startWell();
        for (const operator of world.operators) await world.reconciled(operator);
        await world.watched(provocation);
      }
      const came = await strikeAt(world, moment, provocation, victim, random, report, disks.get(victim));
      down = victim;
      count(came ? report.byMoment : report.missed, moment.name);
      report.kills++;
      onKill?.(report.kills, `${victim.name}: ${moment.name}${came ? "" : " (didn't come)"}`);
      world.assertSafe(victim);
      for (const deal of world.unseen(victim)) {
        // It was sent once, and arrives once: LND would take it again after it had failed.
        const { paymentHash } = deal.opening;
        if (underWay.has(paymentHash)) continue;
        underWay.add(paymentHash);
        // A request that was under way arrives now, or while the next process runs, or never.
        const fate = random.below(8);
        if (fate < 7) world.deliverLater(deal, fate < 2 ? 0 : random.below(6_000), () => report.late++);
      }
    }
    await heal(world, report);
  } catch (error) {
    const said = world.operators.map((operator) => `--- "${operator.name}" said\n${operator.said}`).join("\n");
    throw new Error(`seed ${seed}, ${last}\n${said}`, { cause: error });
  }
}

/** A payment that LND never heard of keeps anything from being paid that way: then another way, if there is one. */
function drawProvocation(world: CrashWorld, random: SeededRandom): Provocation | undefined {
  const blocked = world.operators.flatMap((operator) => world.unseen(operator)).map(({ opening }) => opening);
  const free = world.provocations.filter(({ payer, payee }) =>
    !blocked.some(({ node, peer }) => node === payer.pubkey && peer === payee.pubkey)
  );
  return free[random.below(free.length)];
}

/** Waits for the moment, kills, and takes stock. @returns whether the moment came */
async function strikeAt(
  world: CrashWorld,
  moment: Moment,
  provocation: Provocation,
  victim: Operator,
  random: SeededRandom,
  report: Counts,
  disk: LossyDisk | undefined,
): Promise<boolean> {
  const over = new AbortController();
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const end = (came: boolean) => {
    over.abort();
    resolve(came);
  };
  const signal = disk !== undefined || random.below(8) === 0 ? "SIGSTOP" : "SIGKILL";
  if (moment.phase === "recovery") victim.start();
  moment.arm(world, victim, () => {
    if (over.signal.aborted) return;
    victim.program.kill(signal);
    end(true);
  }, over.signal);
  if (moment.phase === "traffic") world.provoke(provocation);
  const timer = setTimeout(() => end(false), momentMs);
  const came = await promise;
  clearTimeout(timer);
  if (disk !== undefined) {
    await losePower(victim, disk, random);
    return came;
  }
  if (came && signal === "SIGSTOP") {
    report.stops++;
    await sleep(random.below(1_500));
    victim.program.kill("SIGCONT");
    await sleep(random.below(1_000));
  }
  await victim.kill();
  return came;
}

/** The process is gone with its machine; or the disk fails first, and it finds that out. */
async function losePower(victim: Operator, disk: LossyDisk, random: SeededRandom): Promise<void> {
  victim.program.kill("SIGSTOP");
  disk.cut();
  if (random.below(2) === 0) {
    victim.program.kill("SIGCONT");
    await sleep(random.below(2_000));
  }
  victim.program.kill("SIGKILL");
  const { signal } = await victim.program.ended();
  disk.restart();
  await victim.takeStock(signal ?? 75);
}

/** Everybody runs, nobody is provoked: all that is open ends. */
async function heal(world: CrashWorld, report: Counts): Promise<void> {
  await world.delivered();
  for (const operator of world.operators) {
    if (operator.program.isRunning) await operator.kill();
    await operator.startWell();
  }
  for (const provocation of world.provocations) world.calm(provocation);
  for (const operator of world.operators) await world.reconciled(operator);
  for (const operator of world.operators) await operator.stop();
  for (const operator of world.operators) world.assertSafe(operator);
  world.assertReconciled();
  for (const operator of world.operators) report.unseen += world.unseen(operator).length;
  const payments = world.nodes.flatMap((node) => world.cluster.payments(node));
  report.payments += payments.filter(({ status }) => status === "SUCCEEDED").length;
  report.failedPayments += payments.filter(({ status }) => status === "FAILED").length;
}

function count(counts: Map<string, number>, name: string): void {
  counts.set(name, (counts.get(name) ?? 0) + 1);
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
