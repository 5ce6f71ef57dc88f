import assert from "node:assert/strict";
import { stepBalancer } from "../../lib/balancer/balancer.ts";
import type { Effect } from "../../lib/balancer/io.ts";
import type { BalanceSettings } from "../../lib/config/config.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { Harness, type TestInstance } from "./harness.ts";
import { Rogue } from "./rogue.ts";

/** Alice and Bob, each an instance of one's own or both in one; Bob holds 10 % of their channel. */
function pair(together: boolean, seed = 0x5eed) {
  const harness = new Harness(seed);
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  const point = harness.channel(alice, bob, 1_003_470, 100_000);
  return { harness, alice, bob, point, nodes: together ? [[alice, bob]] : [[alice], [bob]] };
}

const noPause: Partial<BalanceSettings> = { minTimeBetweenPaymentsMs: 0 };

const payments = (instance: TestInstance) =>
  instance.disk.filter(({ kind }) => kind === "settled" || kind === "received");

Deno.test("two nodes of one instance: a channel at 10 % is brought to its balance point by one payment", async () => {
  const { harness, bob, point, nodes } = pair(true);
  const instance = harness.instance({ nodes: nodes[0]! });
  await harness.run(5_000);
  assert.deepEqual(instance.story, [
    "payee invoiced 400000",
    "payer intent 400000",
    "payee received 400000",
    "payer settled 400000",
  ]);
  assert.equal(harness.share(bob, point), 0.5);
  assert.deepEqual(instance.told("warning"), []);
  assert.deepEqual(instance.view.positions, []);
  await harness.end();
});

Deno.test("two instances: the same, and both logs say so", async () => {
  const { harness, alice, bob, point, nodes } = pair(false);
  const [payer, payee] = nodes.map((nodes) => harness.instance({ nodes }));
  await harness.run(5_000);
  assert.deepEqual(payer!.story, ["payer intent 400000", "payer settled 400000"]);
  assert.deepEqual(payee!.story, ["payee invoiced 400000", "payee received 400000"]);
  assert.equal(harness.share(bob, point), 0.5);
  assert.equal(payer!.disk[1]!.paymentHash, payee!.disk[1]!.paymentHash);
  assert.deepEqual(payer!.view.positions.map(({ peer, positionSat }) => [peer, positionSat]), [[bob, 400_000n]]);
  assert.deepEqual(payee!.view.positions.map(({ peer, positionSat }) => [peer, positionSat]), [[alice, -400_000n]]);
  await harness.end();
});

Deno.test("the view says how each side of a channel stands, and what its limits leave", async () => {
  const { harness, nodes } = pair(true);
  const instance = harness.instance({ nodes: nodes[0]! });
  const sides = () =>
    instance.view.channels.map(({ alias, share, insideDeadzone, reason, budgetRemainingSat }) => [
      ...[alias, share, insideDeadzone, reason, Number(budgetRemainingSat)],
    ]);
  instance.pause();
  await harness.run(5_000);
  assert.deepEqual(sides(), [["alice", 0.9, false, "paused", 100_000_000], ["bob", 0.1, false, "paused", 100_000_000]]);
  instance.resume();
  await harness.run(5_000);
  assert.deepEqual(sides(), [["alice", 0.5, true, "balanced", 99_600_000], [
    "bob",
    0.5,
    true,
    "balanced",
    100_000_000,
  ]]);
  await harness.end();
});

Deno.test("of two parallel channels only the one out of balance is touched", async () => {
  const { harness, alice, bob, point, nodes } = pair(false);
  const parallel = harness.channel(alice, bob, 1_003_470, 450_000);
  for (const each of nodes) harness.instance({ nodes: each });
  await harness.run(60_000);
  assert.equal(harness.share(bob, point), 0.5);
  assert.equal(harness.share(bob, parallel), 0.45);
  assert.equal(harness.paymentsOf(alice).length, 1);
  await harness.end();
});

Deno.test("a channel whose sides know it by different aliases is balanced like any other", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  const point = harness.network.run((network) =>
    network.openChannel({
      ...{ from: alice, to: bob, capacitySat: 1_003_470n as never, pushSat: 100_000n as never },
      ...{ aliases: true, instant: true },
    })
  );
  for (const node of [alice, bob]) harness.instance({ nodes: [node] });
  await harness.run(5_000);
  assert.equal(harness.share(bob, point as never), 0.5);
  await harness.end();
});

Deno.test("traffic that an HTLC event reports is answered within milliseconds, not at the next poll", async () => {
  const { harness, alice, bob, point, nodes } = pair(false);
  const instances = nodes.map((nodes) =>
    harness.instance({ nodes, settings: { ...noPause, refreshRateMs: 3_600_000 } })
  );
  await harness.run(20_000);
  const refusal = harness.network.run((network) =>
    network.forward({ channelPoint: point, from: bob, amountMsat: msat(300_000_000), durationMs: 0 })
  );
  assert.equal(refusal, undefined);
  const startMs = harness.atMs;
  await harness.runUntil(() => payments(instances[1]!).length === 2, 1_000);
  const tookMs = harness.atMs - startMs;
  assert.ok(tookMs - harness.network.timing.paymentMs < 50, `${tookMs} ms`);
  assert.ok(Math.abs(harness.share(alice, point) - 0.5) < 0.001);
  await harness.end();
});

Deno.test("a channel opened later is found and balanced without a restart", async () => {
  const { harness, alice, bob, nodes } = pair(false);
  for (const each of nodes) harness.instance({ nodes: each, settings: noPause });
  await harness.run(20_000);
  const opened = harness.network.run((network) =>
    network.openChannel({ from: alice, to: bob, capacitySat: 1_003_470n as never, pushSat: 100_000n as never })
  );
  await harness.run(10_000);
  assert.equal(harness.share(bob, opened as never), 0.5);
  await harness.end();
});

Deno.test("a closed channel is unwatched, its neighbours go on", async () => {
  const { harness, alice, point, nodes } = pair(true);
  const instance = harness.instance({ nodes: nodes[0]! });
  await harness.run(5_000);
  harness.network.run((network) => network.closeChannel(alice, point));
  await harness.run(20_000);
  assert.equal(instance.told("channel-unwatched").length, 2);
  assert.deepEqual(instance.view.channels, []);
  await harness.end();
});

Deno.test("a dry run decides and tells, asks nothing and pays nothing", async () => {
  const { harness, alice, bob, nodes } = pair(true);
  const instance = harness.instance({ nodes: nodes[0]!, config: { dryRun: true } });
  await harness.run(60_000);
  assert.deepEqual(instance.story, []);
  assert.ok(instance.reasons("decision").includes("dry-run"));
  assert.match(instance.told("decision").find(({ reason }) => reason === "dry-run")!.message, /400,000 sat/);
  assert.equal(harness.network.invoices(bob).length + harness.paymentsOf(alice).length, 0);
  await harness.end();

  const far = pair(false);
  const [payer] = [far.nodes[0]!, far.nodes[1]!].map((nodes, index) =>
    far.harness.instance({ nodes, config: { dryRun: index === 0 } })
  );
  await far.harness.run(5_000);
  assert.deepEqual(payer!.reasons("request-refused"), ["dry-run"]);
  assert.equal(far.harness.paymentsOf(far.alice).length, 0);
  await far.harness.end();
});

Deno.test("paused, it neither asks nor pays; resumed, it does at once", async () => {
  for (const paused of [0, 1]) {
    const { harness, bob, point, nodes } = pair(false);
    const instances = nodes.map((nodes) => harness.instance({ nodes }));
    instances[paused]!.pause();
    await harness.run(30_000);
    assert.equal(harness.share(bob, point), 0.1);
    assert.equal(harness.paymentsOf(harness.network.channel(bob, point)!.remotePubkey).length, 0);
    instances[paused]!.resume();
    await harness.run(120_000);
    assert.equal(harness.share(bob, point), 0.5);
    await harness.end();
  }
});

Deno.test("`enabled: false` on either side leaves the channel alone", async () => {
  for (const off of [0, 1]) {
    const { harness, bob, point, nodes } = pair(false);
    nodes.forEach((nodes, index) => harness.instance({ nodes, settings: { enabled: index !== off } }));
    await harness.run(60_000);
    assert.equal(harness.share(bob, point), 0.1);
    await harness.end();
  }
});

Deno.test("a reason is told when it changes, not on each poll", async () => {
  const { harness, alice, point, nodes } = pair(true);
  const instance = harness.instance({ nodes: nodes[0]!, settings: noPause });
  await harness.run(600_000);
  const told = instance.told("decision").map(({ node, reason }) => `${node === alice ? "alice" : "bob"} ${reason}`);
  assert.deepEqual(told, ["alice other-side", "bob asking", "alice balanced", "bob balanced"]);
  harness.shift(point, alice, 150_000);
  await harness.run(60_000);
  const more = instance.told("decision").slice(4).map(({ reason }) => reason);
  assert.deepEqual(more.toSorted(), ["asking", "balanced", "balanced", "other-side"]);
  await harness.end();
});

Deno.test("settings that can't both be satisfied: the channel rests at the payer's limit, and both say so", async () => {
  const { harness, alice, bob, point } = pair(false);
  const payer = harness.instance({ nodes: [alice], settings: { ...noPause, balancePoint: 0.7 } });
  const payee = harness.instance({ nodes: [bob], settings: { ...noPause, balancePoint: 0.7 } });
  await harness.run(1_200_000);
  assert.equal(harness.share(alice, point), 0.65);
  assert.equal(harness.paymentsOf(alice).length, 1);
  assert.equal(harness.paymentsOf(bob).length, 0);
  assert.equal(payee.view.channels[0]!.reason, "peer-limit");
  assert.deepEqual([...new Set(payer.reasons("request-refused"))], ["leaves-too-little", "below-balance-point"]);
  // One-satoshi traffic makes the payee ask again, and the payer refuse again, and no more.
  for (let i = 0; i < 20; i++) {
    harness.shift(point, i % 2 === 0 ? alice : bob, 1);
    await harness.run(60_000);
  }
  assert.equal(harness.paymentsOf(alice).length, 1);
  await harness.end();
});

Deno.test("many small payments follow each other as soon as minTimeBetweenPayments allows, however seldom channels are read", async () => {
  const { harness, bob, point, nodes } = pair(false);
  const settings = {
    minTimeBetweenPaymentsMs: 10_000,
    maxTransactionSizeSat: sat(50_000),
    refreshRateMs: 3_600_000,
  };
  for (const each of nodes) harness.instance({ nodes: each, settings });
  await harness.run(120_000);
  assert.equal(harness.share(bob, point), 0.4);
  await harness.end();
});

Deno.test("a payer's limit is forgotten when its operator has changed the settings and started it again", async () => {
  const { harness, alice, bob, point } = pair(false);
  const payer = harness.instance({ nodes: [alice], settings: { ...noPause, balancePoint: 0.9 } });
  const payee = harness.instance({ nodes: [bob], settings: noPause });
  await harness.run(1_200_000);
  assert.equal(payee.view.channels[0]!.reason, "peer-limit");
  payer.options = { ...payer.options, settings: noPause };
  await payer.restart();
  await harness.run(60_000);
  assert.equal(harness.share(bob, point), 0.5);
  await harness.end();
});

Deno.test("a payer's limit of a moment isn't taken for one that stands", async () => {
  const { harness, alice, bob, point } = pair(false);
  const payer = harness.instance({ nodes: [alice], settings: noPause });
  const payee = harness.instance({ nodes: [bob], settings: noPause });
  // While an HTLC is out that fails before the payee has seen it.
  payer.tamper = async (_node, _call, real) => {
    const reply = await real();
    if (harness.atMs > 500 || !reply.ok || reply.method !== "listChannels") return reply;
    const value = reply.value.map((channel) => ({
      ...channel,
      localSat: sat(channel.localSat - 700_000n),
      unsettledSat: sat(700_000),
    }));
    return { ...reply, value };
  };
  await harness.run(30_000);
  assert.equal(payee.view.channels[0]!.reason, "peer-limit");
  await harness.run(60_000);
  assert.equal(harness.share(bob, point), 0.5);
  await harness.end();
});

Deno.test("one node down: told once, the others go on; back up, it goes on too", async () => {
  const harness = new Harness();
  const [a, b, c] = [harness.node("a"), harness.node("b"), harness.node("c")];
  const ab = harness.channel(a, b, 1_003_470, 100_000);
  const ac = harness.channel(a, c, 1_003_470, 100_000);
  harness.network.run((network) => network.stopNode(c));
  const instance = harness.instance({ nodes: [a, b, c] });
  await harness.run(60_000);
  assert.equal(harness.share(b, ab), 0.5);
  assert.equal(instance.told("node-down").length, 1);
  harness.network.run((network) => network.startNode(c));
  await harness.run(60_000);
  assert.equal(harness.share(c, ac), 0.5);
  await harness.end();
});

Deno.test("nobody found after 60 s: told once that the secret or the DHT may differ; own pairs don't count", async () => {
  const { harness, alice, bob, nodes } = pair(true);
  const lonely = harness.instance({ nodes: nodes[0]! });
  const differs = harness.instance({ nodes: [harness.node("carol")], config: { authKey: new Uint8Array(32) } });
  await harness.run(300_000);
  for (const instance of [lonely, differs]) {
    const warnings = instance.told("warning").filter(({ message }) => message.includes("secret"));
    assert.equal(warnings.length, 1);
    assert.equal(warnings[0]!.atWallMs - harness.startWallMs, 60_000);
  }
  assert.ok(alice && bob);
  await harness.end();

  const found = pair(false);
  const instances = found.nodes.map((nodes) => found.harness.instance({ nodes }));
  await found.harness.run(120_000);
  assert.deepEqual(instances.flatMap((instance) => instance.told("warning")), []);
  await found.harness.end();
});

Deno.test("another instance that proves our own node pauses that node, until the operator resumes", async () => {
  const { harness, alice, bob, point, nodes } = pair(true);
  const instance = harness.instance({ nodes: nodes[0]!, settings: noPause });
  await harness.run(5_000);
  const clone = new Rogue(harness, alice);
  await harness.run(100);
  clone.hello();
  await harness.run(100);
  assert.equal(instance.told("paused").length, 1);
  harness.shift(point, bob, 400_000);
  await harness.run(60_000);
  assert.equal(harness.share(bob, point), 0.1);
  assert.equal(instance.view.channels.find(({ node }) => node === bob)!.reason, "backing-off");
  instance.resume();
  await harness.run(60_000);
  assert.equal(harness.share(bob, point), 0.5);
  await harness.end();
});

Deno.test("a hello that only claims our node changes nothing", async () => {
  const { harness, alice, bob, nodes } = pair(true);
  const instance = harness.instance({ nodes: nodes[0]! });
  const rogue = new Rogue(harness, harness.node("mallory"));
  await harness.run(100);
  rogue.hello({ publicKey: alice }, rogue.node);
  rogue.hello({ publicKey: bob, network: "mainnet" });
  rogue.hello({ version: "tightrope/3" });
  await harness.run(5_000);
  assert.deepEqual(instance.told("paused"), []);
  assert.equal(instance.told("warning").length, 3);
  assert.equal(payments(instance).length, 2);
  await harness.end();
});

Deno.test("a bye withdraws only what its own session has introduced", async () => {
  const { harness, alice, bob, nodes } = pair(false);
  const [instance] = nodes.map((nodes) => harness.instance({ nodes }));
  const rogue = new Rogue(harness, harness.node("mallory"));
  await harness.run(5_000);
  rogue.send({ type: "bye", publicKey: bob });
  await harness.run(1_000);
  assert.ok(instance!.view.channels.every(({ watched }) => watched));
  assert.ok(alice);
  await harness.end();
});

Deno.test("an alias that changes is said again", async () => {
  const { harness, bob, nodes } = pair(false);
  const instances = nodes.map((nodes) => harness.instance({ nodes }));
  await harness.run(1_000);
  const info = { pubkey: bob, alias: "robert", network: "regtest", version: "0.18.5-beta" } as const;
  instances[1]!.take({ kind: "node", node: 0, event: { kind: "up", info } });
  await harness.run(10_000);
  assert.equal(instances[0]!.view.channels[0]!.peerAlias, "robert");
  await harness.end();
});

Deno.test("a drain ends open requests, waits for what runs, and starts nothing", async () => {
  const { harness, bob, point, nodes } = pair(false);
  const instances = nodes.map((nodes) => harness.instance({ nodes }));
  await harness.runUntil(() => instances[0]!.told("payment-started").length > 0, 1_000);
  for (const instance of instances) instance.take({ kind: "drain" });
  await harness.run(5);
  assert.ok(!instances[0]!.drained);
  await harness.run(5_000);
  assert.ok(instances.every((instance) => instance.drained));
  assert.deepEqual(instances.map((instance) => instance.told("stopped").map(({ message }) => message)), [
    ["Stopping: waiting for 1 payment and 0 invoices", "Stopping: nothing is under way"],
    ["Stopping: waiting for 0 payments and 1 invoice", "Stopping: nothing is under way"],
  ]);
  assert.deepEqual(instances.map((instance) => instance.story.at(-1)), [
    "payer settled 400000",
    "payee received 400000",
  ]);
  harness.shift(point, bob, 50_000);
  const before = instances.map((instance) => instance.disk.length);
  await harness.run(60_000);
  assert.deepEqual(instances.map((instance) => instance.disk.length), before);
  await harness.end();
});

Deno.test("the same seed gives the same effects", async () => {
  const run = async (): Promise<Effect[][]> => {
    const { harness, alice, bob, point, nodes } = pair(false, 0xd1ce);
    const instances = nodes.map((nodes) => harness.instance({ nodes, settings: noPause }));
    await harness.run(5_000);
    harness.shift(point, bob, 300_000);
    await harness.run(30_000);
    await instances[0]!.restart();
    harness.shift(point, alice, 300_000);
    await harness.run(30_000);
    await harness.end();
    return instances.map((instance) => instance.effects);
  };
  const [first, second] = [await run(), await run()];
  assert.ok(first[0]!.length > 50);
  assert.deepEqual(first, second);
});

Deno.test("the state is plain data: a copy goes on exactly like the original", async () => {
  const { harness, nodes } = pair(false);
  const [instance] = nodes.map((nodes) => harness.instance({ nodes }));
  let compared = 0;
  const take = instance!.take.bind(instance);
  instance!.take = (event) => {
    const copy = structuredClone(instance!.state);
    const [a, b] = [new SeededRandom(1), new SeededRandom(1)];
    const original = structuredClone(instance!.state);
    assert.deepEqual(stepBalancer(copy, event, instance!.now, a), stepBalancer(original, event, instance!.now, b));
    assert.deepEqual(copy, original);
    compared++;
    take(event);
  };
  await harness.run(1_000);
  assert.ok(compared > 30);
  await harness.end();
});

Deno.test("a clone of our own node is not paid by our other nodes, which would give it any credit", async () => {
  const { harness, alice, bob, point, nodes } = pair(true);
  const instance = harness.instance({ nodes: nodes[0]!, settings: noPause });
  await harness.run(5_000);
  const clone = new Rogue(harness, bob);
  await harness.run(100);
  clone.hello();
  await harness.run(100);
  harness.shift(point, bob, 300_000);
  await harness.run(10_000);
  assert.equal(await clone.answer(clone.request(point, 50_000)), "not-shared");
  assert.equal(harness.paymentsOf(alice).length, 1);
  assert.equal(payments(instance).length, 2);
  await harness.end();
});
