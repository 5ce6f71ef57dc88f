import type { AdversaryPlan } from "./adversary_plan.ts";
import type { Plan, SettingsPlan, Step } from "./plan.ts";

/** Runs a plan. @returns the rule that it breaks, if it does */
export type Try = (plan: Plan) => string | undefined;

/**
 * The smallest plan found that still breaks the same rule: fewer steps, fewer instances and channels, plainer settings. Greedy:
 * each part is left out if the failure stays without it.
 */
export function shrinkPlan(plan: Plan, fails: Try, mostRuns = 600): { readonly plan: Plan; readonly runs: number } {
  const rule = fails(plan);
  let best = plan;
  let runs = 1;
  const accept = (candidate: Plan | undefined): boolean => {
    if (candidate === undefined || runs >= mostRuns) return false;
    runs++;
    if (fails(candidate) !== rule) return false;
    best = candidate;
    return true;
  };
  if (rule === undefined) return { plan, runs };
  for (let before = ""; before !== JSON.stringify(best) && runs < mostRuns;) {
    before = JSON.stringify(best);
    for (const kind of new Set(best.steps.map((step) => step.kind))) {
      accept({ ...best, steps: best.steps.filter((step) => step.kind !== kind) });
    }
    for (let size = Math.ceil(best.steps.length / 2); size >= 1; size = size > 1 ? Math.ceil(size / 2) : 0) {
      for (let at = 0; at < best.steps.length;) {
        if (!accept({ ...best, steps: best.steps.toSpliced(at, size) })) at += size;
      }
    }
    shrinkAdversary(() => best, accept);
    for (let instance = best.instances.length - 1; instance >= 0; instance--) accept(withoutInstance(best, instance));
    for (let channel = best.channels.length - 1; channel >= 0; channel--) accept(withoutChannel(best, channel));
    for (const index of best.instances.keys()) {
      const change = (change: Partial<Plan["instances"][number]>) =>
        accept({ ...best, instances: best.instances.with(index, { ...best.instances[index]!, ...change }) });
      const { base, byNode, byChannel } = best.instances[index]!;
      if (Object.keys(byNode).length > 0) change({ byNode: {} });
      if (Object.keys(byChannel).length > 0) change({ byChannel: {} });
      if (best.instances[index]!.maxNetOutflowTotalSat !== 100_000_000) change({ maxNetOutflowTotalSat: 100_000_000 });
      for (const [key, value] of Object.entries(plain)) {
        const now = best.instances[index]!.base;
        if (base[key as keyof SettingsPlan] !== value) change({ base: { ...now, [key]: value } });
      }
    }
  }
  return { plan: best, runs };
}

/** No adversary, or one that does less. */
function shrinkAdversary(best: () => Plan, accept: (candidate: Plan) => boolean): void {
  const { adversary: _none, ...without } = best();
  if (best().adversary === undefined || accept(without)) return;
  const change = (change: Partial<AdversaryPlan>) =>
    accept({ ...best(), adversary: { ...best().adversary!, ...change } });
  const now = () => best().adversary!;
  for (const key of ["afterwards", "attacks"] as const) {
    if (now()[key].length > 0 && change({ [key]: [] })) continue;
    for (const kind of new Set(now()[key].map((attack) => attack.kind))) {
      change({ [key]: now()[key].filter((attack) => attack.kind !== kind) });
    }
    for (let size = Math.ceil(now()[key].length / 2); size >= 1; size = size > 1 ? Math.ceil(size / 2) : 0) {
      for (let at = 0; at < now()[key].length;) if (!change({ [key]: now()[key].toSpliced(at, size) })) at += size;
    }
  }
  for (let at = now().nodes.length - 1; at >= 0; at--) {
    if (now().nodes.length > 1 && change({ nodes: now().nodes.toSpliced(at, 1) })) continue;
    for (
      let channel = now().nodes[at]!.channels.length - 1;
      channel >= 0 && now().nodes[at]!.channels.length > 1;
      channel--
    ) {
      change({ nodes: now().nodes.with(at, { channels: now().nodes[at]!.channels.toSpliced(channel, 1) }) });
    }
  }
  if (now().identities > 1) change({ identities: 1 });
  for (const manner of now().manners) {
    if (now().manners.length > 1) change({ manners: now().manners.filter((one) => one !== manner) });
  }
}

/** Settings that limit nothing. */
const plain: SettingsPlan = {
  minTransactionSize: 10_000,
  maxTransactionSize: 5_000_000,
  minTimeBetweenPaymentsMs: 0,
  maxTransactionsPerPeriod: 1_000,
  maxTransactionsPeriodMs: 14_400_000,
  maxAmountPerPeriod: 1_000_000_000,
  maxAmountPeriodMs: 14_400_000,
  periodKind: "rolling",
  balancePoint: 0.5,
  deadzone: 0.1,
  refreshRateMs: 60_000,
  maxNetOutflow: 100_000_000,
};

/** The plan without one instance, its nodes and their channels; undefined if nothing would be left. */
export function withoutInstance(plan: Plan, gone: number): Plan | undefined {
  const lostNodes = plan.nodes.flatMap((node, index) => node.instance === gone ? [index] : []);
  const channels = plan.channels.flatMap(({ from, to }, index) =>
    lostNodes.includes(from) || lostNodes.includes(to) ? [index] : []
  );
  let rest: Plan | undefined = plan;
  for (const channel of channels.toReversed()) rest = rest && withoutChannel(rest, channel);
  if (rest === undefined || rest.instances.length <= 1) return undefined;
  const node = renumber(lostNodes);
  const instance = renumber([gone]);
  const steps = rest.steps.flatMap((step): Step[] => {
    if (step.kind === "paused" && step.over !== "all" && "node" in step.over) {
      const over = { node: node(step.over.node) };
      return over.node < 0 || instance(step.instance) < 0 ? [] : [{ ...step, over, instance: instance(step.instance) }];
    }
    if ("instance" in step) return instance(step.instance) < 0 ? [] : [{ ...step, instance: instance(step.instance) }];
    if ("pair" in step) {
      const pair = [instance(step.pair[0]), instance(step.pair[1])] as const;
      return pair.includes(-1) ? [] : [{ ...step, pair }];
    }
    if ("nodes" in step) {
      const nodes = [node(step.nodes[0]), node(step.nodes[1])] as const;
      return nodes.includes(-1) ? [] : [{ ...step, nodes }];
    }
    if ("node" in step) return node(step.node) < 0 ? [] : [{ ...step, node: node(step.node) }];
    if (step.kind === "channel-opened") {
      const [from, to] = [node(step.from), node(step.to)];
      return from < 0 || to < 0 ? [] : [{ ...step, from, to }];
    }
    return [step];
  });
  return {
    ...rest,
    nodes: plan.nodes.flatMap((one) => one.instance === gone ? [] : [{ ...one, instance: instance(one.instance) }]),
    instances: rest.instances.toSpliced(gone, 1).map((one) => ({ ...one, byNode: renumberKeys(one.byNode, node) })),
    channels: rest.channels.map((channel) => ({ ...channel, from: node(channel.from), to: node(channel.to) })),
    steps,
  };
}

/** The plan without one channel; undefined if it is the last. */
export function withoutChannel(plan: Plan, gone: number): Plan | undefined {
  if (plan.channels.length <= 1) return undefined;
  const channel = renumber([gone]);
  return {
    ...plan,
    channels: plan.channels.toSpliced(gone, 1),
    instances: plan.instances.map((one) => ({ ...one, byChannel: renumberKeys(one.byChannel, channel) })),
    steps: plan.steps.flatMap((step): Step[] => {
      if (step.kind === "paused" && step.over !== "all" && "channel" in step.over) {
        const over = { channel: channel(step.over.channel) };
        return over.channel < 0 ? [] : [{ ...step, over }];
      }
      if (!("channel" in step)) return [step];
      return channel(step.channel) < 0 ? [] : [{ ...step, channel: channel(step.channel) }];
    }),
  };
}

/** Where an index moves when some are gone; -1 for those. */
function renumber(gone: readonly number[]): (index: number) => number {
  return (index) => gone.includes(index) ? -1 : index - gone.filter((one) => one < index).length;
}

function renumberKeys<T>(
  record: Readonly<Record<number, T>>,
  move: (index: number) => number,
): Readonly<Record<number, T>> {
  return Object.fromEntries(
    Object.entries(record).flatMap(([key, value]) => move(Number(key)) < 0 ? [] : [[move(Number(key)), value]]),
  );
}
