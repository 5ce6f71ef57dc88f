import type { InstancePlan, Plan } from "./plan.ts";

/** Worlds that once broke a rule, shrunk, with what was wrong. Plans, since a seed means another world when more is drawn. */
export interface Regression {
  readonly what: string;
  readonly plan: Plan;
}

const plain: InstancePlan = {
  requireNodeProof: true,
  base: {
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
  },
  byNode: {},
  byChannel: {},
  maxNetOutflowTotalSat: 100_000_000,
};

const pair = {
  nodes: ["alice", "bob"].map((alias, instance) => ({ alias, version: "0.18.5-beta", instance })),
  instances: [plain, plain],
  channels: [{ from: 0, to: 1, capacitySat: 2_000_000, pushSat: 200_000, aliases: false }],
} as const;

export const regressions: readonly Regression[] = [
  {
    what: "after a repair what LND lists looked older than it was, since our clock was ahead of LND's",
    plan: {
      seed: 3_921_526_274,
      nodes: ["alice", "bob", "carol", "dave"].map((alias, index) => ({
        alias,
        version: alias === "bob" ? "0.18.5-beta" : "0.17.5-beta",
        instance: Math.min(index, 2),
      })),
      instances: [plain, plain, {
        ...plain,
        base: {
          ...plain.base,
          maxTransactionSize: 29_590,
          maxTransactionsPerPeriod: 5,
          maxTransactionsPeriodMs: 3_600_000,
        },
      }],
      channels: [{ from: 1, to: 2, capacitySat: 8_083_325, pushSat: 7_274_992, aliases: false }],
      steps: [
        { kind: "clock-jump", atMs: 1_117_256, instance: 2, byMs: 5_932_131 },
        { kind: "log-repaired", atMs: 3_009_573, instance: 2, lost: "end", records: 21, downMs: 7_942 },
        {
          kind: "clock-jump",
          atMs: 3_033_028,
          instance: 0,
          byMs: -1_532_757,
          at: { moment: "request-arrives", plusMs: 52 },
        },
      ],
    },
  },
  {
    what: "the simulated network: a channel opened while its peer was offline left the older one inactive for ever",
    plan: {
      seed: 100_300,
      ...pair,
      steps: [
        { kind: "peer-offline", atMs: 0, nodes: [0, 1], forMs: 600_000 },
        {
          kind: "channel-opened",
          atMs: 20_000,
          from: 0,
          to: 1,
          capacitySat: 500_000,
          pushSat: 250_000,
          aliases: false,
        },
      ],
    },
  },
  {
    what: "a hello within 5 s of a late one was dropped, so that the end of a pause was never heard of",
    plan: {
      seed: 5,
      ...pair,
      steps: [
        { kind: "messages-late", atMs: 10_000, pair: [0, 1], forMs: 1_000, percent: 100 },
        { kind: "paused", atMs: 10_100, instance: 0, forMs: 500, over: "all" },
        { kind: "traffic", atMs: 10_200, channel: 0, fromOpener: false, fraction: 0.6, way: "unseen" },
      ],
    },
  },
  {
    what: "a payer's list lagged when it was asked, and what it said it would pay at most was taken for true for ever",
    plan: {
      seed: 1_483,
      nodes: ["bob", "carol"].map((alias) => ({ alias, version: "0.18.5-beta", instance: 0 })),
      instances: [{ ...plain, base: { ...plain.base, balancePoint: 0.71, deadzone: 0.3 } }],
      channels: [{ from: 0, to: 1, capacitySat: 125_689, pushSat: 87_982, aliases: false }],
      steps: [
        { kind: "attempts-fail", atMs: 153_690, node: 1, count: 267 },
        { kind: "traffic", atMs: 1_475_688, channel: 0, fromOpener: true, fraction: 0.643557327799499, way: "settles" },
        {
          kind: "traffic",
          atMs: 1_483_077,
          channel: 0,
          fromOpener: false,
          fraction: 0.5214467972982675,
          way: "unseen",
        },
      ],
    },
  },
  {
    what: "a payee that asked for more than a limit allowed was never told how much the channel would",
    plan: {
      seed: 1_037,
      nodes: pair.nodes,
      instances: [
        { ...plain, base: { ...plain.base, balancePoint: 0.74 } },
        { ...plain, base: { ...plain.base, maxNetOutflow: 30_133 } },
      ],
      channels: [{ from: 0, to: 1, capacitySat: 528_301, pushSat: 52_830, aliases: false }],
      steps: [
        { kind: "traffic", atMs: 139_308, channel: 0, fromOpener: true, fraction: 0.492815297562629, way: "settles" },
      ],
    },
  },
  {
    what: "a request was decided on its own list of channels, though a newer one had come",
    plan: {
      seed: 4_103_761_167,
      nodes: ["bob", "carol"].map((alias) => ({ alias, version: "0.18.5-beta", instance: 0 })),
      instances: [{ ...plain, base: { ...plain.base, refreshRateMs: 434_846 } }],
      channels: [
        { from: 1, to: 0, capacitySat: 755_323, pushSat: 377_661, aliases: false },
        { from: 0, to: 1, capacitySat: 2_804_105, pushSat: 1_402_052, aliases: false },
      ],
      steps: [
        { kind: "traffic", atMs: 2_402_118, channel: 0, fromOpener: true, fraction: 0.20910594565793872, way: "fails" },
        {
          kind: "traffic",
          atMs: 2_966_650,
          channel: 1,
          fromOpener: false,
          fraction: 0.4068154990673065,
          way: "unseen",
        },
        {
          ...{ kind: "disk-slow", atMs: 2_966_663, instance: 0, forMs: 667, delayMs: 26 },
          at: { moment: "intent-is-written", plusMs: 0 },
        },
        { kind: "traffic", atMs: 3_149_705, channel: 0, fromOpener: false, fraction: 0.92944729863666, way: "unseen" },
        { kind: "traffic", atMs: 3_150_347, channel: 1, fromOpener: true, fraction: 0.9746138826012611, way: "fails" },
      ],
    },
  },
];
