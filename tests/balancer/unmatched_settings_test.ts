import assert from "node:assert/strict";
import type { SettingsId } from "../../lib/config/config.ts";
import { sat } from "../../lib/domain/amounts.ts";
import { formatShortChannelId, parseShortChannelId } from "../../lib/domain/ids.ts";
import { Harness } from "./harness.ts";

Deno.test("settings for a node or channel that isn't there are told once, and no others", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  harness.channel(alice, bob, 1_003_470, 500_000);
  const { chanId } = harness.network.listChannels(alice)[0]!;
  const nowhere = parseShortChannelId("800000x1x0")!;
  const ids: SettingsId[] = [
    { kind: "alias", alias: "alice" },
    { kind: "alias", alias: "alise" },
    { kind: "channel", channelId: chanId },
    { kind: "channel", channelId: nowhere },
    { kind: "alias-channel", alias: "alice", channelId: chanId },
    { kind: "alias-channel", alias: "bob", channelId: chanId },
  ];
  const instance = harness.instance({
    nodes: [alice],
    limits: { idSettings: ids.map((id) => ({ id, settings: { enabled: true } })) },
  });
  await harness.run(30_000);
  const told = instance.told("warning").map(({ message }) => /settings for (\S+)/.exec(message)?.[1]);
  assert.deepEqual(told.filter((name) => name !== undefined), ['"alise"', "800000x1x0", '"bob:472x1x0"']);
  await harness.end();
});

Deno.test("a node that comes back under another name: that its settings are for nobody now is told", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  harness.channel(alice, bob, 1_003_470, 500_000);
  const instance = harness.instance({
    nodes: [alice],
    limits: { idSettings: [{ id: { kind: "alias", alias: "alice" }, settings: { maxNetOutflowSat: sat(1) } }] },
  });
  await harness.run(30_000);
  assert.equal(instance.told("warning").filter(({ message }) => /settings for/.test(message)).length, 0);
  const info = { ...instance.state.nodes[0]!.info!, alias: "alice2" };
  instance.take({ kind: "node", node: 0, event: { kind: "up", info } });
  await harness.run(30_000);
  const told = instance.told("warning").filter(({ message }) => /The settings for "alice" .* no node/.test(message));
  assert.equal(told.length, 1);
  await harness.end();
});

Deno.test("two groups of settings for one channel, by two of its ids, are told", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  const opened = { from: alice, to: bob, capacitySat: sat(1_003_470), pushSat: sat(500_000), instant: true };
  harness.network.run((network) => network.openChannel({ ...opened, aliases: true }));
  const [channel] = harness.network.listChannels(alice);
  const [first, second] = [...new Set([channel!.chanId, ...channel!.aliasScids, channel!.zeroConfConfirmedScid])];
  const ids: SettingsId[] = [
    { kind: "channel", channelId: first! },
    { kind: "channel", channelId: second! },
    { kind: "alias-channel", alias: "alice", channelId: second! },
  ];
  const settings = { maxNetOutflowSat: sat(50_000) };
  const instance = harness.instance({ nodes: [alice], limits: { idSettings: ids.map((id) => ({ id, settings })) } });
  await harness.run(30_000);
  const told = instance.told("warning").filter(({ message }) => /for the same channel/.test(message));
  assert.equal(told.length, 1);
  for (const id of [first!, second!]) assert.ok(told[0]!.message.includes(formatShortChannelId(id)), told[0]!.message);
  await harness.end();
});

Deno.test("a node that is configured twice keeps no warning back", async () => {
  const harness = new Harness();
  const alice = harness.node("alice");
  const id = { kind: "alias", alias: "alise" } as const;
  const instance = harness.instance({ nodes: [alice, alice], limits: { idSettings: [{ id, settings: {} }] } });
  await harness.run(1_000);
  instance.pause({ kind: "alias", alias: "alyce" });
  const told = instance.told("warning").map(({ message }) => message).join(" ");
  assert.match(told, /The settings for "alise" .* The pause of node alyce is over nothing/);
  await harness.end();
});
