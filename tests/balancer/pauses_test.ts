import assert from "node:assert/strict";
import type { PauseScope } from "../../lib/audit/pause.ts";
import { pausesToSay } from "../../lib/balancer/pauses.ts";
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

Deno.test("a pause is told once, and that it is over nothing only where that is so", async () => {
  const { harness, alice, bob, first, a } = scene();
  await harness.run(20_000);
  const { chanId } = harness.network.channel(alice, first)!;
  const cases: [PauseScope, over: string, known: boolean][] = [
    [{ kind: "all" }, "", true],
    [{ kind: "alias", alias: "alice" }, "node alice", true],
    [{ kind: "alias", alias: "carol" }, "node carol", false],
    [{ kind: "node", pubkey: alice }, `node ${alice}`, true],
    [{ kind: "node", pubkey: bob }, `node ${bob}`, true],
    [{ kind: "node", pubkey: harness.node("carol") }, "node 0", false],
    [{ kind: "channel-id", channelId: chanId }, "channel 472x1x0", true],
    [{ kind: "channel-id", channelId: "77" as typeof chanId }, "channel 0x0x77", false],
    [{ kind: "channel-point", channelPoint: first }, `channel ${first}`, true],
    [{ kind: "channel-point", channelPoint: ("ee".repeat(32) + ":0") as typeof first }, "channel ee", false],
  ];
  for (const [scope, over, known] of cases) {
    a.events.length = 0;
    a.pause(scope);
    const warnings = a.told("warning").filter(({ message }) => message.includes("is over nothing"));
    assert.deepEqual([a.told("paused").length, warnings.length], [1, known ? 0 : 1], over);
    assert.ok(a.told("paused")[0]!.message.startsWith(`Paused${over === "" ? ":" : ` ${over}`}`), over);
    await harness.run(1_000);
    assert.equal(a.told("paused").length, 1);
  }
  await harness.end();
});

Deno.test("what is resumed is told, each by its name, or all of it in one", async () => {
  const { harness, first, second, a } = scene();
  await harness.run(20_000);
  const over = (channelPoint: typeof first): PauseScope => ({ kind: "channel-point", channelPoint });
  a.resume();
  assert.deepEqual(a.told("resumed"), []);
  a.pause(over(first));
  a.pause(over(second));
  a.pause();
  a.resume(over(first));
  assert.deepEqual(a.told("resumed").map(({ message }) => message), [`Resumed channel ${first}`]);
  a.pauses = a.pauses.filter(({ scope }) => scope.kind !== "all");
  a.take({ kind: "paused", pauses: a.pauses, resumed: false });
  a.resume();
  assert.deepEqual(a.told("resumed").slice(1).map(({ message }) => message), ["Resumed", "Resumed"]);
  assert.deepEqual(a.view.pauses, []);
  await harness.end();
});

Deno.test("what the operator pauses or resumes beside it ends neither the breaker nor the pause of a cloned node", async () => {
  const { harness, alice, first, a } = scene(true);
  await harness.run(20_000);
  const clone = new Rogue(harness, alice);
  await harness.runUntil(() => clone.isConnected, 1_000);
  clone.hello();
  await harness.run(100);
  a.state.breaker = "a payment cost a fee";
  const over: PauseScope = { kind: "channel-point", channelPoint: first };
  // The breaker's own pause isn't in the file yet.
  a.pause(over);
  a.resume(over);
  assert.deepEqual([a.view.breaker, a.view.nodes[0]!.cloned], ["a payment cost a fee", true]);
  a.resume();
  assert.deepEqual([a.view.breaker, a.view.nodes[0]!.cloned], [undefined, false]);
  assert.deepEqual(a.told("resumed").map(({ message }) => message), [`Resumed channel ${first}`, "Resumed"]);
  await harness.end();
});

Deno.test("an alias pauses the node of that name, and none beside it", async () => {
  const harness = new Harness();
  const [alice, ann, bob] = ["alice", "ann", "bob"].map((alias) => harness.node(alias)) as [never, never, never];
  const points = [alice, ann].map((node) => harness.channel(node, bob, 1_003_470, 100_000));
  const a = harness.instance({ nodes: [alice, ann] });
  const b = harness.instance({ nodes: [bob] });
  a.pause({ kind: "alias", alias: "alice" });
  await harness.run(30_000);
  assert.deepEqual(points.map((point) => harness.share(bob, point)), [0.1, 0.5]);
  assert.deepEqual(points.map((point) => reasonOf(b, bob, point)), ["peer-paused", "balanced"]);
  await harness.end();
});

Deno.test("of more paused channels than a hello may name it names as many as it may", async () => {
  const { harness, first, a } = scene();
  await harness.run(20_000);
  const [node] = a.state.nodes;
  const [peer] = [...a.state.peers.values()].filter(({ via }) => via === "swarm");
  const [side] = node!.sides.values();
  for (let n = 0; n < 300; n++) {
    const channelPoint = `${n.toString(16).padStart(64, "0")}:0` as typeof first;
    node!.sides.set(channelPoint, { ...side!, channel: { ...side!.channel, channelPoint } });
  }
  const { chanId } = harness.network.channel(node!.info!.pubkey, side!.channel.channelPoint)!;
  a.state.pauses = [{ scope: { kind: "channel-id", channelId: chanId }, by: "operator", reason: "", sinceWallMs: 0 }];
  assert.equal(pausesToSay(a.state, peer!, node!).pausedChannels!.length, 256);
  await harness.end();
});

Deno.test("a pause over nothing that comes while a node of ours is down is told of when the node has listed its channels", async () => {
  const { harness, alice, a } = scene(true);
  await harness.run(20_000);
  harness.network.run((network) => network.stopNode(alice));
  await harness.run(20_000);
  a.pause({ kind: "alias", alias: "alise" });
  await harness.run(20_000);
  const warnings = () => a.told("warning").filter(({ message }) => message.includes("over nothing"));
  assert.deepEqual(warnings(), [], "it may be that node's");
  harness.network.run((network) => network.startNode(alice));
  await harness.run(20_000);
  assert.match(warnings()[0]!.message, /^The pause of node alise is over nothing/);
  assert.equal(warnings().length, 1);
  await harness.end();
});

Deno.test("a side that hears of a paused channel before its node lists it hears of it again when it asks", async () => {
  const { harness, bob, first, second, a, b } = scene();
  harness.network.run((network) => network.stopNode(bob));
  a.pause({ kind: "channel-point", channelPoint: first });
  await harness.run(20_000);
  const list = Promise.withResolvers<void>();
  b.tamper = async (_node, call, real) => {
    if (call.method === "listChannels") await list.promise;
    return await real();
  };
  harness.network.run((network) => network.startNode(bob));
  await harness.run(10_000);
  list.resolve();
  await harness.run(20_000);
  assert.equal(harness.share(bob, second), 0.5);
  assert.equal(reasonOf(b, bob, first), "peer-paused");
  await harness.run(3_600_000);
  assert.deepEqual(a.reasons("request-refused"), ["channel-paused"], "it asks no more");
  a.resume();
  await harness.run(20_000);
  assert.equal(harness.share(bob, first), 0.5);
  await harness.end();
});
