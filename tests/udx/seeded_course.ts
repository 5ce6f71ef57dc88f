import assert from "node:assert/strict";
import { seededRandom } from "./lossy.ts";
import { type AppPlan, SeededApp } from "./seeded_app.ts";
import type { LinkOptions, SimulatedLink } from "./simulated_link.ts";
import { SimulatedNetwork } from "./simulated_network.ts";

/** Something that happens to the network on the way. */
type Incident =
  | { readonly kind: "partition"; readonly atMs: number; readonly untilMs: number }
  | { readonly kind: "black-hole"; readonly atMs: number; readonly mtuBytes: number }
  /** a's address changes; b moves there `followedMs` after, or never. */
  | { readonly kind: "rebinding"; readonly atMs: number; readonly followedMs: number | null };

/** Everything that is chosen by chance, so that a failure can be read. */
export interface CoursePlan {
  readonly there: LinkOptions;
  readonly back: LinkOptions;
  readonly incidents: readonly Incident[];
  readonly timerStepMs: number;
  readonly a: AppPlan;
  readonly b: AppPlan;
}

/** How a course ended, for statistics. */
export interface CourseResult {
  readonly packets: number;
  readonly bytes: number;
  readonly virtualMs: number;
  readonly ending: "finished" | "destroyed" | "timed-out";
}

/** Applications that still run then are destroyed: a stream without an end has none by itself. */
const HORIZON_MS = 600_000;
/** No course needs more steps; a stream that sends without end would. */
const MAX_STEPS = 400_000;

/** What every path carries; a smaller MTU cuts the stream. */
const SMALLEST_MTU_BYTES = 1200;

class Chance {
  readonly next: () => number;

  constructor(seed: number) {
    this.next = seededRandom(seed);
  }

  maybe(share: number): boolean {
    return this.next() < share;
  }

  /** From `min` to below `max`. */
  between(min: number, max: number): number {
    return min + this.next() * (max - min);
  }

  /** Between them evenly by orders of magnitude. */
  size(min: number, max: number): number {
    return Math.floor(min * (max / min) ** this.next());
  }

  pick<T>(...choices: readonly T[]): T {
    return choices[Math.floor(this.next() * choices.length)]!;
  }
}

function planLink(chance: Chance): LinkOptions {
  const latencyMs = chance.pick(0, 0.1, chance.between(1, 20), chance.between(20, 300));
  const slow = chance.maybe(0.4);
  return {
    latencyMs,
    jitterMs: chance.maybe(0.4) ? chance.between(0, Math.max(latencyMs, 5)) : 0,
    inOrder: chance.maybe(0.3),
    loss: chance.maybe(0.5) ? chance.pick(0.001, 0.01, 0.05, 0.2) * chance.next() : 0,
    bursts: chance.maybe(0.15) ? { enter: chance.between(0, 0.02), leave: chance.between(0.1, 0.5) } : null,
    duplicate: chance.maybe(0.25) ? chance.between(0, 0.3) : 0,
    reorder: chance.maybe(0.2) ? chance.between(0, 0.3) : 0,
    reorderMs: chance.between(0, 50),
    mtuBytes: chance.pick(1500, 1500, 1500, 1400, SMALLEST_MTU_BYTES),
    ...(slow ? { bytesPerMs: chance.size(30, 5000), queuePackets: chance.size(3, 300) } : {}),
  };
}

function planApp(chance: Chance): AppPlan {
  const writesBytes = chance.pick(0, chance.size(1, 3000), chance.size(3000, 60_000), chance.size(20_000, 250_000));
  const reads = chance.maybe(0.3);
  return {
    seq: chance.pick(0, 0xffff_ffff - chance.size(1, 50), Math.floor(chance.next() * 2 ** 32)),
    receiveWindowBytes: chance.pick(4_194_304, 4_194_304, 65_536, 10_000, 3000),
    connectsAtMs: chance.maybe(0.2) ? chance.between(0, 800) : 0,
    writesBytes,
    chunkBytes: chance.size(1, 60_000) + Math.floor(writesBytes / 500),
    pauseMs: chance.maybe(0.4) ? chance.size(1, 3000) : 0,
    pushy: chance.maybe(0.2),
    readsEveryMs: reads ? chance.size(1, 3000) : 0,
    readsShare: chance.pick(1, chance.between(0.2, 1)),
    messages: chance.maybe(0.3) ? chance.size(1, 40) : 0,
    keepaliveMs: chance.maybe(0.2) ? chance.size(100, 30_000) : 0,
    ends: chance.maybe(0.96),
    destroysAtMs: chance.maybe(0.07) ? chance.size(1, 5000) : null,
    changesRemoteAtMs: chance.maybe(0.15)
      ? Array.from({ length: chance.size(1, 6) }, () => chance.between(0, 1000))
      : [],
  };
}

function planIncidents(chance: Chance): Incident[] {
  const incidents: Incident[] = [];
  const atMs = chance.size(1, 2000);
  if (chance.maybe(0.1)) {
    const untilMs = chance.maybe(0.2) ? Infinity : atMs + chance.size(10, 6000);
    incidents.push({ kind: "partition", atMs, untilMs });
  }
  if (chance.maybe(0.1)) {
    incidents.push({ kind: "black-hole", atMs, mtuBytes: chance.maybe(0.8) ? SMALLEST_MTU_BYTES : 600 });
  }
  if (chance.maybe(0.1)) {
    incidents.push({ kind: "rebinding", atMs, followedMs: chance.maybe(0.7) ? chance.size(1, 3000) : null });
  }
  return incidents;
}

/**
 * What happens in the course of a seed. Packets that arrive before a stream is connected are taken for a stream that
 * starts at 0: nothing tells it otherwise.
 */
export function planCourse(seed: number): CoursePlan {
  const chance = new Chance(seed);
  const there = planLink(chance);
  const [a, b] = [planApp(chance), planApp(chance)];
  return {
    there,
    back: chance.maybe(0.6) ? there : planLink(chance),
    incidents: planIncidents(chance),
    timerStepMs: chance.pick(0, 0, 1, 15),
    a: { ...a, connectsAtMs: b.seq === 0 ? a.connectsAtMs : 0 },
    b: { ...b, connectsAtMs: a.seq === 0 ? b.connectsAtMs : 0 },
  };
}

function arrange(
  network: SimulatedNetwork,
  links: readonly SimulatedLink[],
  incident: Incident,
  a: SeededApp,
  b: SeededApp,
) {
  const change = (options: LinkOptions) => {
    for (const link of links) link.change(options);
  };
  switch (incident.kind) {
    case "partition":
      network.at(incident.atMs, () => change({ cut: true }));
      if (incident.untilMs < Infinity) network.at(incident.untilMs, () => change({ cut: false }));
      return;
    case "black-hole":
      return network.at(incident.atMs, () => change({ mtuBytes: incident.mtuBytes }));
    case "rebinding":
      network.at(incident.atMs, () => network.rebind(a, "a:moved"));
      if (incident.followedMs !== null) {
        network.at(incident.atMs + incident.followedMs, () => b.follow());
      }
      return;
    default: {
      const never: never = incident;
      return never;
    }
  }
}

/**
 * May a stream give up in this network? Only if seven copies of a packet, or their acknowledgements, can well have got
 * lost in a row. Where none may, a failure is a defect of the stream.
 */
function mayTimeOut(plan: CoursePlan): boolean {
  const harsh = [plan.there, plan.back].some(({ loss = 0, bursts = null, bytesPerMs = Infinity, queuePackets = 0 }) =>
    loss > 0.05 || bursts !== null || (bytesPerMs < Infinity && (queuePackets < 20 || bytesPerMs < 150))
  );
  // Who is destroyed before it is connected can't tell anybody.
  const ghost = [plan.a, plan.b].some((app) => app.destroysAtMs !== null && app.destroysAtMs <= app.connectsAtMs);
  return harsh || ghost || plan.incidents.length > 0;
}

/**
 * Runs the course of a seed and holds it to what a stream promises: every byte in order and once, or a stated failure;
 * both ends close and leave no timer; what is held stays within its bounds at every step; time goes on.
 *
 * @throws AssertionError when a promise is broken
 */
export function runCourse(seed: number, plan = planCourse(seed)): CourseResult {
  const network = new SimulatedNetwork(seed);
  const [there, back] = [network.link(plan.there), network.link(plan.back)];
  const a = new SeededApp(network, 1, plan.a, seed ^ 1);
  const b = new SeededApp(network, 2, plan.b, seed ^ 2);
  network.join(a, { address: "a", path: [there], peer: b, timerStepMs: plan.timerStepMs });
  network.join(b, { address: "b", path: [back], peer: a, timerStepMs: plan.timerStepMs });
  a.start(b);
  b.start(a);
  for (const incident of plan.incidents) arrange(network, [there, back], incident, a, b);

  let steps = 0;
  const done = () => {
    assert.ok(++steps < MAX_STEPS, `still busy after ${steps} steps, at ${network.nowMs} ms`);
    a.check();
    b.check();
    return a.closed && b.closed;
  };
  network.run(done, HORIZON_MS);
  const wantsEnd = !a.closed && !b.closed;
  const closedByThemselves = a.closed && b.closed;
  for (const app of [a, b]) {
    network.at(network.nowMs, () => app.destroy());
  }
  network.run(done);
  // What still is under way finds closed streams, which fall silent.
  network.run(() => (assert.ok(++steps < MAX_STEPS, "closed streams keep each other talking"), false));
  a.check();
  b.check();
  return judge(plan, a, b, { network, there, back, wantsEnd, closedByThemselves });
}

interface Circumstances {
  readonly network: SimulatedNetwork;
  readonly there: SimulatedLink;
  readonly back: SimulatedLink;
  /** Both were open until their applications were destroyed. */
  readonly wantsEnd: boolean;
  readonly closedByThemselves: boolean;
}

function judge(plan: CoursePlan, a: SeededApp, b: SeededApp, circumstances: Circumstances): CourseResult {
  const { network, wantsEnd, closedByThemselves } = circumstances;
  for (const app of [a, b]) {
    assert.ok(app.closed, "it closes");
    assert.ok(app.received <= app.peer!.written);
    if (app.failure === "timed-out") assert.ok(mayTimeOut(plan), "a fair network is no reason to give up");
    if (app.failure === "reset") {
      assert.ok(app.peer!.destroyed || app.peer!.failure === "timed-out", "a reset has somebody who caused it");
    }
  }
  const timedOut = a.failure === "timed-out" || b.failure === "timed-out";
  const ends = plan.a.ends && plan.b.ends;
  const destroyed = plan.a.destroysAtMs !== null || plan.b.destroysAtMs !== null;
  if (ends && !destroyed && !timedOut) {
    assert.ok(!wantsEnd && closedByThemselves, "both ended, and neither closed");
    for (const app of [a, b]) {
      assert.equal(app.failure, null);
      assert.equal(app.received, app.peer!.plan.writesBytes, "everything arrived");
      assert.ok(app.ended);
    }
  }
  if (!timedOut && !destroyed) {
    for (const app of [a, b]) assert.equal(app.received, app.peer!.plan.writesBytes, "everything arrived, end or not");
  }
  return {
    packets: a.machine.packetsTransmitted + b.machine.packetsTransmitted,
    bytes: a.received + b.received,
    virtualMs: network.nowMs,
    ending: timedOut ? "timed-out" : destroyed || !ends ? "destroyed" : "finished",
  };
}
