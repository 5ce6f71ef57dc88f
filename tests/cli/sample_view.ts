import type { ViewChannel, ViewModel } from "../../lib/cli/view_model.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";

export function sampleChannel(change: Partial<ViewChannel> = {}): ViewChannel {
  return {
    name: "A-B",
    first: "A",
    second: "B",
    firstSat: sat(2_612_000),
    secondSat: sat(2_388_000),
    unsettledSat: sat(0),
    balancePoint: 0.5,
    deadzone: 0.1,
    rebalanceCount: 4,
    state: { kind: "balanced" },
    ...change,
  };
}

/** A moment in the middle of the demo, with every state that a channel can have. */
export const sampleView: ViewModel = {
  elapsedMs: 21_400,
  totalMs: 60_000,
  acts: [
    { atMs: 0, title: "Alice balances A-B, Bob balances C-D; A-C is nobody's" },
    { atMs: 18_000, title: "Bob changes his secret to Alice's and restarts: A-C is shared now" },
    { atMs: 33_000, title: "Bob opens a channel E-B: it is found without a restart" },
    { atMs: 55_000, title: "Traffic stops" },
  ],
  operators: [
    { name: "Alice", nodes: ["A", "B"], state: "running", peerCount: 1 },
    { name: "Bob", nodes: ["C", "D", "E"], state: "restarting", peerCount: 0 },
  ],
  channels: [
    sampleChannel(),
    sampleChannel({
      name: "C-D",
      first: "C",
      second: "D",
      firstSat: sat(1_812_000),
      secondSat: sat(2_688_000),
      unsettledSat: sat(500_000),
      rebalanceCount: 2,
      state: { kind: "paying", by: "D", amountSat: sat(500_000) },
    }),
    sampleChannel({
      name: "A-C",
      first: "A",
      second: "C",
      firstSat: sat(6_500_000),
      secondSat: sat(3_500_000),
      rebalanceCount: 0,
      state: { kind: "asking", by: "C", amountSat: sat(1_500_000) },
    }),
    sampleChannel({
      name: "E-B",
      first: "E",
      second: "B",
      firstSat: sat(4_000_000),
      secondSat: sat(0),
      rebalanceCount: 1,
      state: { kind: "resting", reason: "backing-off" },
    }),
  ],
  messages: [
    { atMs: 3_000, from: "C", to: "Alice", type: "hello", detail: "proven" },
    { atMs: 9_000, from: "A", to: "B", type: "payInvoice", detail: "512,000 sat" },
    { atMs: 9_014, from: "B", to: "A", type: "paymentResult", detail: "paid" },
    { atMs: 21_390, from: "C", to: "A", type: "payInvoice", detail: "1,500,000 sat" },
  ],
  payments: [
    {
      atMs: 9_014,
      channel: "A-B",
      payer: "B",
      payee: "A",
      amountSat: sat(512_000),
      state: "settled",
      tookMs: 14,
    },
    {
      atMs: 12_014,
      channel: "C-D",
      payer: "D",
      payee: "C",
      amountSat: sat(1_212_000),
      state: "failed",
      tookMs: undefined,
    },
    {
      atMs: 15_014,
      channel: "C-D",
      payer: "D",
      payee: "C",
      amountSat: sat(212_000),
      state: "settled",
      tookMs: 1_390,
    },
  ],
  totals: {
    rebalanceCount: 7,
    rebalancedSat: sat(3_204_000),
    feesMsat: msat(0),
    failureCount: 1,
    medianMs: 14,
    trafficCount: 1_412,
    trafficSat: sat(9_120_000),
    conserved: true,
  },
};
