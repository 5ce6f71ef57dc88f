import assert from "node:assert/strict";
import type { PauseScope } from "../../lib/audit/pause.ts";
import type { Hello } from "../../lib/protocol/messages.ts";
import { Harness, type TestInstance } from "./harness.ts";
import { Rogue } from "./rogue.ts";

/** Two channels of Alice with Bob, who holds 10 % of each; two instances or one. */
function scene(together = false) {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  const [first, second] = [1, 2].map(() => harness.channel(alice, bob, 1_003_470, 100_000)) as [never, never];
  const settings = { minTimeBetweenPaymentsMs: 0 };
  const nodes = together ? [[alice, bob]] : [[alice], [bob]];
  const [a, b = a] = nodes.map((nodes) => harness.instance({ nodes, settings })) as [TestInstance, TestInstance?];
  return { harness, alice, bob, first, second, a: a!, b: b! };
}

const reasonOf = (instance: TestInstance, node: string, point: string) =>
  instance.view.channels.find((channel) => channel.node === node && channel.channelPoint === point)?.reason;

for (const together of [false, true]) {
  const name = together ? "two nodes of one instance" : "two instances";
  Deno.test(`a channel that the payer's operator pauses rests, and the other goes on: ${name}`, async () => {
    const { harness, alice, bob, first, second, a, b } = scene(together);
    a.pause({ kind: "channel-point", channelPoint: first });
    await harness.run(30_000);
    assert.equal(harness.share(bob, first), 0.1);
    assert.equal(harness.share(bob, second), 0.5);
    assert.equal(reasonOf(a, alice, first), "channel-paused");
    assert.equal(reasonOf(b, bob, first), together ? "channel-paused" : "peer-paused");
    // The very first hello came before either side knew with whom it shares channels.
    assert.ok(a.told("request-refused").length <= 1, "nobody asks in vain");
    a.resume({ kind: "channel-point", channelPoint: first });
    await harness.run(20_000);
    assert.equal(harness.share(bob, first), 0.5);
    await harness.end();
  });
}

Deno.test("the other side's operator reads which channel was paused, and that it goes on", async () => {
  const { harness, bob, first, a, b } = scene();
  await harness.run(20_000);
  const { chanId } = harness.network.channel(bob, first)!;
  a.pause({ kind: "channel-id", channelId: chanId });
  await harness.run(7_000);
  a.resume();
  await harness.run(7_000);
  assert.match(b.told("peer-paused")[0]!.message, /^alice \(.*\) has paused channel 472x1x0$/);
  assert.match(b.told("peer-resumed")[0]!.message, /^alice \(.*\) has resumed channel 472x1x0$/);
  a.pause();
  await harness.run(7_000);
  assert.match(b.told("peer-paused")[1]!.message, /^alice \(.*\) is paused on its side, until its operator resumes$/);
  await harness.end();
});

Deno.test("what an honest side pauses and resumes within a minute is no flood", async () => {
  const { harness, first, a, b } = scene();
  await harness.run(20_000);
  for (let i = 0; i < 4; i++) {
    a.pause({ kind: "channel-point", channelPoint: first });
    await harness.run(7_000);
    a.resume();
    await harness.run(7_000);
  }
  await harness.run(70_000);
  assert.equal(b.told("peer-paused").length, 4);
  for (const instance of [a, b]) assert.deepEqual(instance.told("requests-ignored"), []);
  await harness.end();
});

const wide: { name: string; scope: (pubkeys: { alice: never; bob: never }) => PauseScope }[] = [
  { name: "everything", scope: () => ({ kind: "all" }) },
  { name: "the payer's node by its alias", scope: () => ({ kind: "alias", alias: "alice" }) },
  { name: "the payer's node by its key", scope: ({ alice }) => ({ kind: "node", pubkey: alice }) },
  { name: "the other operator's node by its key", scope: ({ bob }) => ({ kind: "node", pubkey: bob }) },
];
for (const { name, scope } of wide) {
  Deno.test(`the payer pauses ${name}: told, obeyed over a restart, and ended by resume`, async () => {
    const { harness, alice, bob, first, second, a, b } = scene();
    a.pause(scope({ alice: alice as never, bob: bob as never }));
    await harness.run(20_000);
    await a.restart();
    await harness.run(20_000);
    assert.deepEqual([first, second].map((point) => harness.share(bob, point)), [0.1, 0.1]);
    assert.equal(reasonOf(b, bob, first), "peer-paused");
    assert.equal(a.view.pauses.length, 1);
    a.resume();
    await harness.run(60_000);
    assert.deepEqual([first, second].map((point) => harness.share(bob, point)), [0.5, 0.5]);
    await harness.end();
  });
}

Deno.test("another node's alias pauses nothing, and the operator is told so", async () => {
  const { harness, bob, first, a } = scene();
  await harness.run(1);
  a.pause({ kind: "alias", alias: "bob" });
  await harness.run(20_000);
  assert.equal(harness.share(bob, first), 0.5);
  assert.ok(a.told("warning").some(({ message }) => message.includes("pause of node bob is over nothing")));
  await a.restart();
  await harness.run(1_000);
  assert.equal(a.told("warning").filter(({ message }) => message.includes("over nothing")).length, 2);
  await harness.end();
});

Deno.test("a pause file that can't be read stops everything, loudly", async () => {
  const { harness, bob, first, a } = scene();
  await a.crash();
  a.pauses = [{ scope: { kind: "all" }, by: "unreadable", reason: "the pause file can't be read", sinceWallMs: 0 }];
  a.start();
  await harness.run(20_000);
  assert.equal(a.told("paused")[0]!.level, "error");
  assert.equal(harness.share(bob, first), 0.1);
  await harness.end();
});

Deno.test("what is under way when a pause comes ends first", async () => {
  const { harness, alice, a } = scene();
  await harness.runUntil(() => harness.paymentsOf(alice).length > 0, 10_000);
  a.pause();
  await harness.run(30_000);
  assert.equal(a.disk.filter(({ kind }) => kind === "settled").length, harness.paymentsOf(alice).length);
  await harness.end();
});

Deno.test("a payer that is asked over a paused channel says why, and names paused channels only to their other side", async () => {
  const harness = new Harness();
  const [alice, mallory, carol] = [harness.node("alice"), harness.node("mallory"), harness.node("carol")];
  const point = harness.channel(alice, mallory, 1_003_470, 100_000);
  const other = harness.channel(alice, carol, 1_003_470, 100_000);
  const instance = harness.instance({ nodes: [alice] });
  instance.pause({ kind: "channel-point", channelPoint: point });
  instance.pause({ kind: "channel-point", channelPoint: other });
  const rogue = new Rogue(harness, mallory);
  await harness.run(100);
  rogue.hello();
  await harness.run(10_000);
  const hellos = rogue.received.filter((message): message is Hello => message.type === "hello");
  assert.deepEqual(hellos.map(({ paused, pausedChannels }) => [paused, pausedChannels]), [[undefined, undefined], [
    undefined,
    [point],
  ]]);
  const id = rogue.request(point, 50_000);
  assert.equal(await rogue.answer(id), "busy");
  assert.equal(rogue.results(id)[0]!.paused, true);
  assert.deepEqual(instance.reasons("request-refused"), ["channel-paused"]);
  await harness.end();
});

Deno.test("a peer's word of a pause holds for its own node's channels alone, however often it is changed", async () => {
  const harness = new Harness();
  const [alice, mallory, carol] = [harness.node("alice"), harness.node("mallory"), harness.node("carol")];
  harness.channel(mallory, alice, 1_003_470, 100_000);
  const other = harness.channel(carol, alice, 1_003_470, 100_000);
  const instance = harness.instance({ nodes: [alice] });
  harness.instance({ nodes: [carol] });
  const rogue = new Rogue(harness, mallory);
  await harness.run(100);
  const nowhere = Array.from({ length: 255 }, (_, n) => `${n.toString(16).padStart(64, "0")}:0` as typeof other);
  rogue.hello({ paused: true, pausedChannels: [other, ...nowhere] });
  await harness.run(20_000);
  assert.equal(harness.share(alice, other), 0.5);
  const kept = [...instance.state.peers.values()].flatMap(({ nodes }) => nodes.get(mallory)?.pausedChannels ?? []);
  assert.deepEqual(kept, [], "what isn't its own channel with us takes no memory");
  assert.ok(!rogue.received.some(({ type }) => type === "payInvoice"));
  const before = instance.told("peer-paused").length + instance.told("peer-resumed").length;
  for (let i = 0; i < 100; i++) {
    rogue.hello(i % 2 === 0 ? {} : { paused: true });
    await harness.run(100);
  }
  assert.ok(instance.told("peer-paused").length + instance.told("peer-resumed").length - before <= 3);
  await harness.end();
});

Deno.test("a hello that comes too soon after the last waits for its turn, and is forgotten with a bye", async () => {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const point = harness.channel(alice, mallory, 1_003_470, 900_000);
  const instance = harness.instance({ nodes: [alice] });
  const rogue = new Rogue(harness, mallory);
  await harness.run(100);
  // Late by two seconds: what it says is over is told four seconds later.
  rogue.hello({ paused: true });
  await harness.run(4_000);
  rogue.hello();
  await harness.run(500);
  assert.equal(reasonOf(instance, alice, point), "peer-paused");
  await harness.run(1_000);
  assert.notEqual(reasonOf(instance, alice, point), "peer-paused");
  rogue.hello();
  rogue.send({ type: "bye", publicKey: mallory });
  await harness.run(10_000);
  assert.ok(!instance.view.channels[0]!.watched);
  await harness.end();
});
