import assert from "node:assert/strict";
import type { BalanceSettings } from "../../lib/config/config.ts";
import { sat } from "../../lib/domain/amounts.ts";
import type { ChannelSnapshot } from "../../lib/domain/channel.ts";
import { decideRebalance } from "../../lib/policy/rebalance.ts";
import { settings as defaults, split } from "./fixtures.ts";

interface Case {
  name: string;
  channel: ChannelSnapshot;
  settings?: Partial<BalanceSettings>;
  maxTokensSat?: number;
  want: number | string;
}
const cases: Case[] = [
  { name: "asks for what brings it to the balance point", channel: split(100_000, 900_000), want: 400_000 },
  { name: "leaves a channel exactly at the edge of its deadzone", channel: split(400_000, 600_000), want: "balanced" },
  { name: "asks one satoshi below it", channel: split(399_999, 600_001), want: 100_001 },
  { name: "leaves a little too much alone", channel: split(600_000, 400_000), want: "balanced" },
  { name: "leaves far too much to the other side", channel: split(700_000, 300_000), want: "other-side" },
  {
    name: "counts everything unsettled as ours",
    channel: split(100_000, 600_000, { unsettledSat: sat(300_000) }),
    want: "balanced",
  },
  {
    name: "follows another balance point and deadzone",
    channel: split(100_000, 900_000),
    settings: { balancePoint: 0.2, deadzone: 0.05 },
    want: 100_000,
  },
  {
    name: "asks at most maxTransactionSize",
    channel: split(100_000, 900_000),
    settings: { maxTransactionSizeSat: sat(50_000) },
    want: 50_000,
  },
  {
    name: "asks at most what the payer can send",
    channel: split(100_000, 900_000, { remoteReserveSat: sat(700_000) }),
    want: 195_470,
  },
  { name: "asks at most what the payer said", channel: split(100_000, 900_000), maxTokensSat: 70_000, want: 70_000 },
  {
    name: "leaves a payer alone that would pay too little",
    channel: split(100_000, 900_000),
    maxTokensSat: 9_999,
    want: "peer-limit",
  },
  {
    name: "leaves a payer alone that can't send",
    channel: split(100_000, 900_000, { remoteReserveSat: sat(890_000) }),
    want: "no-room",
  },
  {
    name: "asks for no less than minTransactionSize, and for that",
    channel: split(399_999, 600_001),
    settings: { minTransactionSizeSat: sat(100_001) },
    want: 100_001,
  },
  {
    name: "asks a payer that says it would pay just enough",
    channel: split(100_000, 900_000),
    maxTokensSat: 10_000,
    want: 10_000,
  },
  {
    name: "asks a payer that can send just enough",
    channel: split(100_000, 900_000, { remoteReserveSat: sat(885_470) }),
    want: 10_000,
  },
  {
    name: "leaves what maxTransactionSize keeps below dust",
    channel: split(100_000, 900_000),
    settings: { minTransactionSizeSat: sat(1), maxTransactionSizeSat: sat(354) },
    want: "too-small",
  },
  {
    name: "leaves what is below minTransactionSize",
    channel: split(3_000, 7_000),
    want: "too-small",
  },
  {
    name: "never asks for dust",
    channel: split(100_000, 900_000),
    settings: { minTransactionSizeSat: sat(1) },
    maxTokensSat: 354,
    want: "peer-limit",
  },
  {
    name: "leaves an inactive channel",
    channel: split(100_000, 900_000, { active: false }),
    want: "inactive",
  },
  {
    name: "says of an inactive channel in balance that it is in balance",
    channel: split(500_000, 500_000, { active: false }),
    want: "balanced",
  },
  { name: "leaves a custom channel", channel: split(1, 999_999, { customData: true }), want: "custom-channel" },
  { name: "leaves what is switched off", channel: split(1, 999_999), settings: { enabled: false }, want: "disabled" },
  {
    name: "never asks where the deadzone reaches down to nothing",
    channel: split(0, 1_000_000),
    settings: { deadzone: 0.5 },
    want: "balanced",
  },
  { name: "leaves an empty channel", channel: split(0, 0), want: "balanced" },
];
for (const { name, channel, settings, maxTokensSat, want } of cases) {
  Deno.test(`decideRebalance() ${name}`, () => {
    const decision = decideRebalance({
      channel,
      settings: { ...defaults, ...settings },
      maxTokensSat: maxTokensSat === undefined ? undefined : sat(maxTokensSat),
    });
    assert.deepEqual(
      decision,
      typeof want === "number" ? { kind: "ask", amountSat: sat(want) } : { kind: "leave", reason: want },
    );
  });
}
