import assert from "node:assert/strict";
import { parseSwarmKey } from "../../lib/domain/ids.ts";
import { otherPoint } from "../policy/fixtures.ts";
import { Harness } from "./harness.ts";
import { Rogue } from "./rogue.ts";

Deno.test("traffic on a watched channel of a node that lists slowly costs the node a quarter of its time at most", async () => {
  const listMs = 1_000;
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  const point = harness.channel(alice, bob, 1_000_000, 500_000);
  const instance = harness.instance({ nodes: [alice, bob] });
  let lists = 0;
  instance.tamper = async (node, call, real) => {
    if (node !== alice || call.method !== "listChannels") return await real();
    lists++;
    await new Promise<void>((resolve) => harness.after(listMs, resolve));
    return await real();
  };
  await harness.run(20_000);
  const before = lists;
  const channelIds = [harness.network.channel(alice, point)!.chanId];
  for (let i = 0; i < 600; i++) {
    instance.take({ kind: "node", node: 0, event: { kind: "htlc", channelIds } });
    await harness.run(100);
  }
  assert.ok(lists > before + 10, "the events are answered");
  assert.ok((lists - before) * listMs <= 60_000 / 4 + listMs, `${lists - before} lists in a minute`);
  await harness.end();
});

Deno.test("of a long log only what still counts against a limit is kept in reach after a restart", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  harness.channel(alice, bob, 1_003_470, 100_000);
  const instance = harness.instance({ nodes: [alice, bob] });
  for (const [afterMs, kept] of [[14_300_000, 1], [200_000, 0]] as const) {
    await harness.run(afterMs);
    await instance.restart();
    const { payments, paidHashes } = instance.state.ledger;
    assert.deepEqual([payments.size, paidHashes.size], [kept, 1]);
  }
  await harness.end();
});

Deno.test("a peer that comes and goes without end, and stirs its channel, can't fill the event log nor hide what is decided elsewhere", async () => {
  const harness = new Harness();
  const [alice, bob, mallory] = [harness.node("alice"), harness.node("bob"), harness.node("mallory")];
  const restless = harness.channel(alice, mallory, 1_003_470, 405_000);
  const friendly = harness.channel(alice, bob, 1_003_470, 405_000);
  harness.instance({ nodes: [bob], settings: { balancePoint: 0.3 } });
  const instance = harness.instance({ nodes: [alice] });
  const rogueKey = parseSwarmKey("f".repeat(64))!;
  const rogue = new Rogue(harness, mallory, rogueKey);
  await harness.runUntil(() => rogue.isConnected, 100);
  // A share of 59.5 %, 60.5 %, 59.5 %, …
  const stir = (point: typeof friendly, other: typeof bob, up: boolean) =>
    harness.shift(point, up ? other : alice, 10_000);
  const visits = 1_500;
  for (let i = 0; i < visits; i++) {
    rogue.hello();
    stir(restless, mallory, i % 2 === 0);
    if (i % 250 === 249) stir(friendly, bob, i % 500 === 249);
    await harness.run(5);
    harness.swarm.sever(rogueKey, instance.swarmKey);
    await harness.run(2);
    harness.swarm.mend(rogueKey, instance.swarmKey);
    await harness.runUntil(() => rogue.isConnected, 100);
  }
  const before = instance.events.length;
  rogue.hello();
  await harness.run(120_000);
  assert.ok(before < 6_100 + harness.atMs / 1_000, `${before} lines`);
  assert.ok(instance.told("requests-ignored").some(({ details }) => Number(details?.["untold"]) > 0));
  const sideWith = (point: typeof friendly) =>
    instance.view.channels.find(({ channelPoint }) => channelPoint === point)!;
  assert.ok(sideWith(restless).watched);
  const decided = (point: typeof friendly) =>
    instance.told("decision").filter(({ channelPoint }) => channelPoint === point).map(({ reason }) => reason);
  assert.deepEqual(decided(friendly), [
    "balanced",
    "other-side",
    "balanced",
    "other-side",
    "balanced",
    "other-side",
    "balanced",
  ]);
  // What found no line is told once there is one.
  assert.equal(decided(restless).at(-1), sideWith(restless).reason);
  await harness.end();
});

Deno.test("requests for channels that aren't there make a node list once a second at most", async () => {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  harness.channel(alice, mallory, 1_000_000, 500_000);
  const instance = harness.instance({ nodes: [alice] });
  const rogue = new Rogue(harness, mallory);
  await harness.runUntil(() => rogue.isConnected, 100);
  rogue.hello();
  await harness.run(20_000);
  const lists = () =>
    instance.effects.filter((effect) => effect.kind === "call" && effect.call.method === "listChannels");
  const before = lists().length;
  for (let i = 0; i < 600; i++) {
    rogue.request(otherPoint, 10_000);
    await harness.run(100);
  }
  assert.ok(lists().length - before <= 61, `${lists().length - before} lists in a minute`);
  await harness.end();
});

Deno.test("open requests on still channels aren't looked up with each list", async () => {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const points = Array.from({ length: 20 }, () => harness.channel(mallory, alice, 1_003_470, 100_000));
  const instance = harness.instance({ nodes: [alice] });
  const rogue = new Rogue(harness, mallory);
  await harness.runUntil(() => rogue.isConnected, 100);
  rogue.hello();
  const requests = () => rogue.received.filter(({ type }) => type === "payInvoice");
  await harness.runUntil(() => requests().length === points.length, 1_000);
  const looks = () =>
    instance.effects.filter((effect) => effect.kind === "call" && effect.call.method === "lookupInvoice").length;
  const before = looks();
  for (let i = 0; i < 400; i++) {
    instance.take({ kind: "node", node: 0, event: { kind: "channel" } });
    await harness.run(100);
  }
  assert.ok(looks() - before >= points.length && looks() - before <= 5 * points.length, `${looks() - before} looks`);
  await harness.end();
});

Deno.test("requests that come together share a list of channels that began after them", async () => {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const points = Array.from({ length: 10 }, () => harness.channel(alice, mallory, 1_003_470, 100_000));
  const instance = harness.instance({ nodes: [alice] });
  const rogue = new Rogue(harness, mallory);
  await harness.runUntil(() => rogue.isConnected, 100);
  rogue.hello();
  await harness.run(5_000);
  const before = instance.effects.length;
  const [first, ...others] = points.map((point) => () => rogue.request(point, 20_000));
  const ids = [first!()];
  await harness.run(1.5);
  ids.push(...others.map((request) => request()));
  for (const id of ids) assert.equal(await rogue.answer(id), "paid");
  const early = instance.effects.slice(before);
  const firstPay = early.findLastIndex((effect) => effect.kind === "call" && effect.call.method === "decodeInvoice");
  const lists = early.slice(0, firstPay).filter((effect) =>
    effect.kind === "call" && effect.call.method === "listChannels"
  );
  assert.ok(lists.length <= 3, `${lists.length} lists`);
  await harness.end();
});

Deno.test("a peer that asks for what it doesn't get can't fill the event log, and is counted", async () => {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const point = harness.channel(alice, mallory, 1_000_000, 500_000);
  const instance = harness.instance({ nodes: [alice] });
  const rogue = new Rogue(harness, mallory);
  await harness.runUntil(() => rogue.isConnected, 100);
  rogue.hello();
  await harness.run(1_000);
  for (let i = 0; i < 720; i++) {
    const id = rogue.request(point, 20_000);
    await harness.run(5_000);
    assert.equal(rogue.results(id)[0]?.reason, "balance");
  }
  const told = instance.told("request-refused").length;
  assert.ok(told >= 20 && told <= 85, `${told} refusals told of 720 in an hour`);
  assert.ok(instance.told("requests-ignored").length > 0);
  await harness.end();
});
