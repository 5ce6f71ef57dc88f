import { type AdversaryPlan, drawAdversary } from "./adversary_plan.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";

/**
 * What is to happen in one simulated world, as plain data drawn from a seed. The whole run follows from its plan, so that a
 * failing one can be shrunk by leaving parts of it out.
 */
export interface Plan {
  readonly seed: number;
  readonly nodes: readonly NodePlan[];
  readonly instances: readonly InstancePlan[];
  readonly channels: readonly ChannelPlan[];
  /** By time. */
  readonly steps: readonly Step[];
  readonly adversary?: AdversaryPlan;
}

export interface NodePlan {
  readonly alias: string;
  /** As GetInfo reports it. */
  readonly version: string;
  /** Which instance manages it. */
  readonly instance: number;
}

export interface InstancePlan {
  readonly requireNodeProof: boolean;
  readonly base: SettingsPlan;
  /** Under the alias of a node: replaces what stands in the base. */
  readonly byNode: Readonly<Record<number, Partial<SettingsPlan>>>;
  /** Under the id of a channel. */
  readonly byChannel: Readonly<Record<number, Partial<SettingsPlan>>>;
  readonly maxNetOutflowTotalSat: number;
}

/** The settings of one side; amounts in satoshis. */
export interface SettingsPlan {
  readonly minTransactionSize: number;
  readonly maxTransactionSize: number;
  readonly minTimeBetweenPaymentsMs: number;
  readonly maxTransactionsPerPeriod: number;
  readonly maxTransactionsPeriodMs: number;
  readonly maxAmountPerPeriod: number;
  readonly maxAmountPeriodMs: number;
  readonly periodKind: "rolling" | "fixed";
  readonly balancePoint: number;
  readonly deadzone: number;
  readonly refreshRateMs: number;
  readonly maxNetOutflow: number;
}

export interface ChannelPlan {
  /** The opener. */
  readonly from: number;
  readonly to: number;
  readonly capacitySat: number;
  /** What the other side begins with. */
  readonly pushSat: number;
  readonly aliases: boolean;
}

interface At {
  readonly atMs: number;
  /** Not then, but at the next such moment of any operator, or so long after it. */
  readonly at?: { readonly moment: Moment; readonly plusMs: number };
}

/** What a fault may wait for. */
export type Moment = typeof moments[number];

export const moments = [
  "request-arrives",
  "intent-is-written",
  "payment-begins",
  "payment-settles",
  "answer-arrives",
] as const;
/** Two instances. */
interface Between extends At {
  readonly pair: readonly [number, number];
}
interface Lasting {
  readonly forMs: number;
}
interface OnNode extends At {
  readonly node: number;
}
interface OnChannel extends At {
  /** Index into the plan's channels. */
  readonly channel: number;
}
interface OnInstance extends At {
  readonly instance: number;
}

/** One thing that happens to the world. */
export type Step =
  | OnChannel & {
    readonly kind: "traffic";
    readonly fromOpener: boolean;
    /** Of what can be sent. */
    readonly fraction: number;
    /** At once and without events, or by an HTLC that settles or fails. */
    readonly way: "unseen" | "settles" | "fails";
  }
  | OnChannel & Lasting & { readonly kind: "stuck-htlc"; readonly fromOpener: boolean; readonly fraction: number }
  | Between & Lasting & {
    readonly kind: "messages-lost" | "messages-repeated" | "messages-swapped" | "messages-damaged" | "messages-late";
    readonly percent: number;
  }
  | Between & { readonly kind: "connection-cut" }
  | Between & Lasting & { readonly kind: "partition" }
  | OnInstance & { readonly kind: "clock-jump"; readonly byMs: number }
  | OnInstance & { readonly kind: "clock-drift"; readonly ppm: number }
  | OnNode & Lasting & { readonly kind: "lnd-restart" | "lnd-hang" | "lnd-without-chain" }
  | OnNode & Lasting & { readonly kind: "lnd-slow"; readonly delayMs: number }
  | OnNode & Lasting & {
    readonly kind: "requests-lost" | "answers-lost";
    readonly percent: number;
    /** Only calls that pay or look after a payment. */
    readonly onlyPayments: boolean;
  }
  /** The caller hears of a loss, and the node acts all the same, so much later. */
  | OnNode & Lasting & {
    readonly kind: "requests-late";
    readonly percent: number;
    readonly onlyPayments: boolean;
    readonly delayMs: number;
  }
  | OnNode & { readonly kind: "streams-end" }
  | OnNode & Lasting & { readonly kind: "payment-made-twice" }
  /** Once: LND tells of a fee or a second hop of a payment of ours. */
  | OnNode & { readonly kind: "lnd-contradicts"; readonly by: "fee" | "hop" }
  /** Payments to this node stay in flight: it hangs once an HTLC is on its way to it. */
  | OnNode & Lasting & { readonly kind: "payment-stuck" }
  | OnNode & { readonly kind: "attempts-fail"; readonly count: number }
  | At & Lasting & { readonly kind: "lists-lag"; readonly lagMs: number }
  | At & Lasting & { readonly kind: "peer-offline"; readonly nodes: readonly [number, number] }
  | OnChannel & Lasting & { readonly kind: "channel-down" }
  | At & ChannelPlan & { readonly kind: "channel-opened" }
  | OnChannel & { readonly kind: "channel-closed" | "channel-force-closed"; readonly byOpener: boolean }
  | OnInstance & {
    readonly kind: "crash";
    /** So many effects later. */
    readonly afterEffects: number;
    readonly downMs: number;
    /** What was being written: gone, torn, or on disk although nobody was told. */
    readonly lastWrite: "lost" | "torn" | "written";
    /** Just after a record was handed to the disk; else between any two effects. */
    readonly whileWriting: boolean;
  }
  | OnInstance & { readonly kind: "orderly-stop"; readonly downMs: number }
  /** The operator writes other settings and starts the program again. */
  | OnInstance & { readonly kind: "settings-changed"; readonly plan: InstancePlan; readonly downMs: number }
  /** The log and its mark are put back to an older state while the process is down. */
  | OnInstance & { readonly kind: "backup-restored"; readonly records: number; readonly downMs: number }
  /** The log lost its end, or one record near it, and the operator ran `tightrope repair`. */
  | OnInstance & {
    readonly kind: "log-repaired";
    readonly lost: "end" | "one";
    readonly records: number;
    readonly downMs: number;
  }
  | OnInstance & { readonly kind: "append-rejected"; readonly written: boolean }
  | OnInstance & Lasting & { readonly kind: "disk-full" }
  | OnInstance & Lasting & { readonly kind: "disk-slow"; readonly delayMs: number }
  | OnInstance & Lasting & {
    readonly kind: "paused";
    readonly over: "all" | { readonly node: number } | { readonly channel: number };
  };

export type StepKind = Step["kind"];

/** All kinds but plain traffic. */
export const faultKinds = [
  "stuck-htlc",
  "messages-lost",
  "messages-repeated",
  "messages-swapped",
  "messages-damaged",
  "messages-late",
  "connection-cut",
  "partition",
  "clock-jump",
  "clock-drift",
  "lnd-restart",
  "lnd-hang",
  "lnd-without-chain",
  "lnd-slow",
  "requests-lost",
  "answers-lost",
  "requests-late",
  "streams-end",
  "payment-made-twice",
  "payment-stuck",
  "lnd-contradicts",
  "attempts-fail",
  "lists-lag",
  "peer-offline",
  "channel-down",
  "channel-opened",
  "channel-closed",
  "channel-force-closed",
  "crash",
  "orderly-stop",
  "settings-changed",
  "backup-restored",
  "log-repaired",
  "append-rejected",
  "disk-full",
  "disk-slow",
  "paused",
] as const satisfies readonly StepKind[];

export type FaultKind = typeof faultKinds[number];

/** Draws from a seed, in the words of a plan. */
export class Dice {
  readonly #random: SeededRandom;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  /** A whole number in [0, below). */
  below(below: number): number {
    return this.#random.below(below);
  }

  chance(percent: number): boolean {
    return this.#random.below(100) < percent;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.#random.below(list.length)]!;
  }

  /** As likely between 1 and 10 as between 10 and 100. */
  spread(least: number, most: number): number {
    return Math.round(least * (most / least) ** (this.#random.uint32() / 2 ** 32));
  }

  between(least: number, most: number): number {
    return least + this.#random.below(most - least + 1);
  }

  fraction(): number {
    return this.#random.uint32() / 2 ** 32;
  }
}

export interface PlanOptions {
  /** Kinds of fault that are left out. */
  readonly without?: readonly FaultKind[];
  /** Only these kinds of fault, each of them in every plan. */
  readonly only?: readonly FaultKind[];
  /** In how many of a hundred plans there is an adversary; 25 if absent, and none where `only` is given. */
  readonly adversary?: number;
}

const aliases = ["alice", "bob", "carol", "dave", "erin", "frank"] as const;
const second = 1_000;
const minute = 60_000;
const hour = 3_600_000;

/** @param options what they leave out changes nothing of the rest of the plan */
export function drawPlan(seed: number, options: PlanOptions = {}): Plan {
  const dice = new Dice(seed);
  const instanceCount = dice.pick([2, 2, 2, 3, 3, 4]);
  const nodes: NodePlan[] = [];
  for (let instance = 0; instance < instanceCount; instance++) {
    const own = nodes.length + 1 < aliases.length && dice.chance(30) ? 2 : 1;
    for (let i = 0; i < own && nodes.length < aliases.length; i++) {
      nodes.push({ alias: aliases[nodes.length]!, version: dice.pick(versions), instance });
    }
  }
  const channels = drawChannels(dice, nodes);
  const instances = Array.from({ length: instanceCount }, (_, index) => drawInstance(dice, index, nodes, channels));
  const steps = drawSteps(dice, nodes, instanceCount, channels, options);
  const share = options.adversary ?? (options.only === undefined ? 25 : 0);
  // By dice of its own: it changes nothing of the rest.
  if (!new Dice(seed ^ 0x5e7).chance(share)) return { seed, nodes, instances, channels, steps };
  // What an adversary can get is measured against one configuration.
  const lasting = steps.filter(({ kind }) => kind !== "settings-changed");
  return { seed, nodes, instances, channels, steps: lasting, adversary: drawAdversary(seed) };
}

const versions = ["0.17.5-beta", "0.18.5-beta", "0.18.5-beta", "0.19.3-beta"];

function drawChannels(dice: Dice, nodes: readonly NodePlan[]): ChannelPlan[] {
  const channels: ChannelPlan[] = [];
  // A chain joins all; some pairs have a second channel.
  for (let to = 1; to < nodes.length; to++) {
    channels.push(drawChannel(dice, dice.chance(50) ? to - 1 : dice.below(to), to));
  }
  for (let more = dice.pick([0, 0, 1, 1, 2]); more > 0; more--) {
    const from = dice.below(nodes.length);
    channels.push(drawChannel(dice, from, (from + dice.between(1, nodes.length - 1)) % nodes.length));
  }
  return channels;
}

function drawChannel(dice: Dice, from: number, to: number): ChannelPlan {
  const capacitySat = dice.spread(100_000, 20_000_000);
  const share = dice.pick([0.05, 0.1, 0.2, 0.4, 0.5, 0.7, 0.85, 0.9]);
  const [first, second] = dice.chance(50) ? [from, to] : [to, from];
  return {
    from: first,
    to: second,
    capacitySat,
    pushSat: Math.floor(capacitySat * share),
    aliases: dice.chance(20),
  };
}

function drawInstance(
  dice: Dice,
  index: number,
  nodes: readonly NodePlan[],
  channels: readonly ChannelPlan[],
): InstancePlan {
  const base = drawSettings(dice);
  const byNode: Record<number, Partial<SettingsPlan>> = {};
  const byChannel: Record<number, Partial<SettingsPlan>> = {};
  nodes.forEach(({ instance }, node) => {
    if (instance === index && dice.chance(20)) byNode[node] = drawSome(dice);
  });
  channels.forEach(({ from, to, aliases }, channel) => {
    const own = [from, to].some((node) => nodes[node]!.instance === index);
    // Each side knows such a channel by an id of its own, which exists only once it is open.
    if (own && !aliases && dice.chance(20)) byChannel[channel] = drawSome(dice);
  });
  return {
    requireNodeProof: dice.chance(85),
    base,
    byNode,
    byChannel,
    maxNetOutflowTotalSat: dice.chance(50) ? 100_000_000 : dice.spread(20_000, 10_000_000),
  };
}

function drawSettings(dice: Dice): SettingsPlan {
  const tight = dice.chance(35);
  const minTransactionSize = dice.pick([1_000, 1_000, 10_000, 10_000, 50_000]);
  return {
    minTransactionSize,
    maxTransactionSize: dice.chance(40) ? 5_000_000 : dice.spread(Math.max(20_000, minTransactionSize), 5_000_000),
    minTimeBetweenPaymentsMs: dice.pick([0, second, 10 * second, minute, 5 * minute]),
    maxTransactionsPerPeriod: tight ? dice.between(1, 5) : 1_000,
    maxTransactionsPeriodMs: dice.pick([minute, 10 * minute, hour, 4 * hour]),
    maxAmountPerPeriod: tight ? dice.spread(20_000, 5_000_000) : 1_000_000_000,
    maxAmountPeriodMs: dice.pick([minute, 10 * minute, hour, 4 * hour]),
    periodKind: dice.chance(20) ? "fixed" : "rolling",
    balancePoint: dice.chance(50) ? 0.5 : dice.between(10, 90) / 100,
    deadzone: dice.pick([0.01, 0.05, 0.1, 0.1, 0.2, 0.3]),
    refreshRateMs: dice.spread(30 * second, 10 * minute),
    maxNetOutflow: dice.chance(60) ? 100_000_000 : dice.spread(20_000, 5_000_000),
  };
}

function drawSome(dice: Dice): Partial<SettingsPlan> {
  const all = drawSettings(dice);
  const chosen = Object.entries(all).filter(([key]) =>
    // Never so that the least is above the most: that is a configuration which the program refuses.
    key !== "minTransactionSize" && key !== "maxTransactionSize" && dice.chance(35)
  );
  return Object.fromEntries(chosen);
}

function drawSteps(
  dice: Dice,
  nodes: readonly NodePlan[],
  instanceCount: number,
  channels: readonly ChannelPlan[],
  { without = [], only }: PlanOptions,
): Step[] {
  const enabled = faultKinds.filter(() => dice.chance(30));
  const chosen = only ?? enabled;
  const count = dice.spread(4, 40);
  const steps: Step[] = [];
  let atMs = dice.below(3_000);
  for (let i = 0; i < count; i++) {
    const gap = dice.below(10);
    atMs += gap < 5
      ? dice.spread(5, 5 * second)
      : gap < 8
      ? dice.spread(5 * second, minute)
      : dice.spread(minute, 20 * minute);
    const isFault = chosen.length > 0 && dice.chance(60);
    const kind = isFault ? dice.pick(chosen) : "traffic";
    const drawn = drawStep(dice, kind, atMs, nodes, instanceCount, channels);
    const at = { moment: dice.pick(moments), plusMs: dice.chance(30) ? 0 : dice.spread(1, 300) };
    const isFocused = kind !== "traffic" && dice.chance(40);
    if (kind === "traffic" || !without.includes(kind)) steps.push(isFocused ? { ...drawn, at } : drawn);
  }
  return steps;
}

function drawStep(
  dice: Dice,
  kind: StepKind,
  atMs: number,
  nodes: readonly NodePlan[],
  instanceCount: number,
  channels: readonly ChannelPlan[],
): Step {
  const node = dice.below(nodes.length);
  const instance = dice.below(instanceCount);
  const channel = dice.below(channels.length);
  const other = (instance + dice.between(1, instanceCount - 1)) % instanceCount;
  const pair = [instance, other] as const;
  const brief = dice.spread(100, 2 * minute);
  const long = dice.spread(second, 3 * hour);
  const percent = dice.pick([5, 20, 50, 100]);
  const onlyPayments = dice.chance(60);
  switch (kind) {
    case "traffic":
      return {
        ...{ kind, atMs, channel, fromOpener: dice.chance(50), fraction: dice.chance(20) ? 0 : dice.fraction() },
        way: dice.pick(["unseen", "settles", "settles", "fails"] as const),
      };
    case "stuck-htlc":
      return { kind, atMs, channel, fromOpener: dice.chance(50), fraction: dice.fraction() / 2, forMs: long };
    case "messages-lost":
    case "messages-repeated":
    case "messages-swapped":
    case "messages-damaged":
    case "messages-late":
      return { kind, atMs, pair, forMs: brief, percent: Math.min(50, percent) };
    case "connection-cut":
      return { kind, atMs, pair };
    case "partition":
      return { kind, atMs, pair, forMs: long };
    case "clock-jump":
      return { kind, atMs, instance, byMs: (dice.chance(50) ? 1 : -1) * dice.spread(second, 48 * hour) };
    case "clock-drift":
      return { kind, atMs, instance, ppm: dice.between(-300, 300) };
    case "lnd-restart":
    case "lnd-hang":
    case "lnd-without-chain":
      return { kind, atMs, node, forMs: brief };
    case "lnd-slow":
      return { kind, atMs, node, forMs: brief, delayMs: dice.spread(20, 9_000) };
    case "requests-lost":
    case "answers-lost":
      return { kind, atMs, node, forMs: onlyPayments ? long : brief, percent, onlyPayments };
    case "requests-late":
      return {
        ...{ kind, atMs, node, forMs: onlyPayments ? long : brief, percent, onlyPayments },
        delayMs: dice.spread(10, 45_000),
      };
    case "streams-end":
      return { kind, atMs, node };
    case "payment-made-twice":
      return { kind, atMs, node, forMs: long };
    case "payment-stuck":
      return { kind, atMs, node, forMs: long };
    case "lnd-contradicts":
      return { kind, atMs, node, by: dice.pick(["fee", "hop"] as const) };
    case "attempts-fail":
      return { kind, atMs, node, count: dice.spread(1, 400) };
    case "lists-lag":
      return { kind, atMs, forMs: long, lagMs: dice.spread(50, 20_000) };
    case "peer-offline": {
      const { from, to } = channels[channel]!;
      return { kind, atMs, nodes: [from, to], forMs: long };
    }
    case "channel-down":
      return { kind, atMs, channel, forMs: long };
    case "channel-opened": {
      const to = (node + dice.between(1, nodes.length - 1)) % nodes.length;
      return { kind, atMs, ...drawChannel(dice, node, to) };
    }
    case "channel-closed":
    case "channel-force-closed":
      return { kind, atMs, channel, byOpener: dice.chance(50) };
    case "crash":
      return {
        ...{ kind, atMs, instance, afterEffects: dice.below(12), downMs: dice.spread(10, 10 * minute) },
        lastWrite: dice.pick(["lost", "torn", "written"] as const),
        whileWriting: dice.chance(60),
      };
    case "orderly-stop":
      return { kind, atMs, instance, downMs: dice.spread(10, 10 * minute) };
    case "settings-changed":
      return { kind, atMs, instance, plan: drawInstance(dice, instance, [], []), downMs: dice.spread(10, 10 * minute) };
    case "backup-restored":
      return { kind, atMs, instance, records: dice.between(1, 6), downMs: dice.spread(second, 10 * minute) };
    case "log-repaired":
      return {
        ...{ kind, atMs, instance, lost: dice.pick(["end", "one"] as const), records: dice.spread(1, 40) },
        downMs: dice.spread(second, 10 * minute),
      };
    case "append-rejected":
      return { kind, atMs, instance, written: dice.chance(50) };
    case "disk-full":
      return { kind, atMs, instance, forMs: brief };
    case "disk-slow":
      return { kind, atMs, instance, forMs: brief, delayMs: dice.spread(10, 20_000) };
    case "paused":
      return {
        kind,
        atMs,
        instance,
        forMs: dice.spread(second, hour),
        over: dice.pick(["all", { node }, { channel }]),
      };
  }
}
