import assert from "node:assert/strict";
import type { LimitsConfig, SettingsId } from "../../lib/config/config.ts";
import { limitsFor, longestPeriodMs, settingsFor } from "../../lib/config/settings.ts";
import { sat } from "../../lib/domain/amounts.ts";
import { parseChannelPoint, parseShortChannelId } from "../../lib/domain/ids.ts";
import { limits as defaults } from "../policy/fixtures.ts";

const channelId = parseShortChannelId("800x1x0")!;
const aliasScid = parseShortChannelId("16000000x1x0")!;
const target = {
  alias: "alice",
  channelPoint: parseChannelPoint("c1".repeat(32) + ":0")!,
  channelIds: [channelId, aliasScid],
};

const ids: Record<string, SettingsId> = {
  alice: { kind: "alias", alias: "alice" },
  bob: { kind: "alias", alias: "bob" },
  channel: { kind: "channel", channelId },
  aliasScid: { kind: "channel", channelId: aliasScid },
  aliceChannel: { kind: "alias-channel", alias: "alice", channelId },
  bobChannel: { kind: "alias-channel", alias: "bob", channelId },
};
function given(...entries: [keyof typeof ids, LimitsConfig["idSettings"][number]["settings"]][]): LimitsConfig {
  return { ...defaults, idSettings: entries.map(([id, settings]) => ({ id: ids[id]!, settings })) };
}

Deno.test("settingsFor() lets the more specific win, in whatever order they stand", () => {
  const all = given(
    ["aliceChannel", { deadzone: 0.04 }],
    ["channel", { deadzone: 0.03, balancePoint: 0.3 }],
    ["alice", { deadzone: 0.02, balancePoint: 0.2, refreshRateMs: 2_000 }],
    ["bob", { deadzone: 0.09 }],
    ["bobChannel", { deadzone: 0.09 }],
  );
  const { deadzone, balancePoint, refreshRateMs, enabled } = settingsFor(all, target);
  assert.deepEqual({ deadzone, balancePoint, refreshRateMs, enabled }, {
    ...{ deadzone: 0.04, balancePoint: 0.3, refreshRateMs: 2_000 },
    enabled: true,
  });
});

Deno.test("settingsFor() gives one side of a channel nothing that is for the other, or for another channel", () => {
  const bobs = given(["bobChannel", { enabled: false }]);
  assert.equal(settingsFor(bobs, target).enabled, true);
  assert.equal(settingsFor(bobs, { ...target, alias: "bob" }).enabled, false);
  assert.equal(settingsFor(bobs, { ...target, alias: "bob", channelIds: [] }).enabled, true);
});

Deno.test("settingsFor() knows a channel by any of its ids", () => {
  assert.equal(settingsFor(given(["aliasScid", { enabled: false }]), target).enabled, false);
  const elsewhere = { ...target, channelIds: [parseShortChannelId("801x1x0")!] };
  assert.equal(settingsFor(given(["aliasScid", { enabled: false }]), elsewhere).enabled, true);
});

Deno.test("limitsFor() counts the base and an alias over the node", () => {
  assert.deepEqual(limitsFor(given(["alice", { maxTransactionsPerPeriod: 5 }]), target), {
    counts: [{ scope: "node", max: 5, periodMs: 14_400_000, periodKind: "rolling" }],
    amounts: [{ scope: "node", maxSat: sat(100_000_000), periodMs: 14_400_000, periodKind: "rolling" }],
    netOutflows: [{ scope: "node", maxSat: sat(10_000_000) }],
    netOutflowTotalSat: sat(10_000_000),
  });
});

Deno.test("limitsFor() puts a channel's own limit beside its node's", () => {
  const all = given(
    ["channel", { maxAmountPerPeriodSat: sat(7), maxNetOutflowSat: sat(8) }],
    ["aliceChannel", { maxTransactionsPeriodMs: 1_000, maxAmountPerPeriodSat: sat(6) }],
  );
  const { counts, amounts, netOutflows } = limitsFor(all, target);
  assert.deepEqual(counts, [
    { scope: "node", max: 20, periodMs: 14_400_000, periodKind: "rolling" },
    { scope: "channel", max: 20, periodMs: 1_000, periodKind: "rolling" },
  ]);
  assert.deepEqual(amounts, [
    { scope: "node", maxSat: sat(100_000_000), periodMs: 14_400_000, periodKind: "rolling" },
    { scope: "channel", maxSat: sat(6), periodMs: 14_400_000, periodKind: "rolling" },
  ]);
  assert.deepEqual(netOutflows, [{ scope: "node", maxSat: sat(10_000_000) }, { scope: "channel", maxSat: sat(8) }]);
});

Deno.test("limitsFor() takes of a channel no limit but its own", () => {
  const { counts, amounts, netOutflows } = limitsFor(given(["channel", { maxNetOutflowSat: sat(8) }]), target);
  assert.deepEqual([counts, amounts, netOutflows].map((all) => all.map(({ scope }) => scope)), [
    ["node"],
    ["node"],
    ["node", "channel"],
  ]);
});

Deno.test("limitsFor() hands on how periods run, for a channel too", () => {
  const { counts, amounts } = limitsFor(given(["channel", { periodKind: "fixed" }]), target);
  assert.deepEqual([...counts, ...amounts].map(({ scope, periodKind }) => [scope, periodKind]), [
    ["node", "rolling"],
    ["channel", "fixed"],
    ["node", "rolling"],
    ["channel", "fixed"],
  ]);
});

Deno.test("longestPeriodMs() spans every period in the configuration", () => {
  assert.equal(longestPeriodMs(given()), 14_400_000);
  const amounts = given(["bob", { maxAmountPeriodMs: 99_000_000 }], ["alice", { enabled: false }]);
  assert.equal(longestPeriodMs(amounts), 99_000_000);
  assert.equal(longestPeriodMs(given(["alice", {}], ["bob", { maxTransactionsPeriodMs: 98_000_000 }])), 98_000_000);
});
