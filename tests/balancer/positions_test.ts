import assert from "node:assert/strict";
import { msat, sat } from "../../lib/domain/amounts.ts";
import type { ChannelPoint, NodePubkey } from "../../lib/domain/ids.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { Harness, type TestInstance } from "./harness.ts";
import { Rogue } from "./rogue.ts";

interface Scene {
  readonly harness: Harness;
  readonly alice: NodePubkey;
  readonly mallory: NodePubkey;
  readonly point: ChannelPoint;
  readonly instance: TestInstance;
  rogue: Rogue;
}

/** The most that Mallory may owe, and what she owes already. */
const limit = 150_000;
const lent = 90_000;

/** Alice has lent Mallory 90,000 of 150,000 sat: paid 120,000 in two parts and received 30,000. */
async function lender(): Promise<Scene> {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const point = harness.channel(alice, mallory, 1_003_470, 100_000);
  const settings = { minTimeBetweenPaymentsMs: 0, maxNetOutflowSat: sat(limit) };
  const instance = harness.instance({ nodes: [alice], settings });
  const scene = { harness, alice, mallory, point, instance, rogue: new Rogue(harness, mallory) };
  await meet(scene);
  for (const amount of [70_000, 50_000]) {
    assert.equal(await scene.rogue.answer(scene.rogue.request(point, amount)), "paid");
    await harness.run(6_000);
  }
  await receive(scene, 30_000);
  assert.equal(position(scene), lent);
  return scene;
}

async function meet({ harness, rogue }: Scene): Promise<void> {
  await harness.run(100);
  await harness.runUntil(() => rogue.isConnected, 60_000);
  rogue.hello();
  await harness.run(12_000);
}

const position = ({ instance, mallory }: Scene) => Number(instance.state.ledger.positions.get(mallory) ?? 0n);

/** Mallory pays Alice back, as the log would have it. */
async function receive(scene: Scene, amount: number): Promise<void> {
  const { harness, instance, alice, mallory, point } = scene;
  await instance.crash();
  const [first] = instance.disk;
  assert.ok(first?.kind === "intent");
  const base = { ...first, role: "payee", amountSat: sat(amount), paymentHash: "9".repeat(64) } as const;
  const request = { ...base, node: alice, peer: mallory, channelPoint: point, requestId: "9".repeat(32) };
  instance.disk.push({ ...request, kind: "invoiced" } as never, { ...request, kind: "received" } as never);
  instance.start();
  await meet(scene);
  void harness;
}

/** Exactly what is left is lent, and not a satoshi more. */
async function assertLeft(scene: Scene, left: number): Promise<void> {
  const { harness, instance, alice, mallory, rogue } = scene;
  const side = [...instance.state.nodes[0]!.sides.values()].find(({ channel }) => channel.remotePubkey === mallory);
  assert.ok(side, "no channel with Mallory");
  const point = side.channel.channelPoint;
  assert.equal(await rogue.answer(rogue.request(point, left + 1)), "limit");
  assert.equal(instance.reasons("request-refused").at(-1), "net-outflow");
  await harness.run(6_000);
  assert.equal(await rogue.answer(rogue.request(point, left)), "paid");
  await harness.run(6_000);
  assert.equal(await rogue.answer(rogue.request(point, 10_000)), "limit");
  assert.equal(position(scene), limit);
  const paidSat = harness.paymentsOf(alice).reduce(
    (sum, { status, valueMsat }) => status === "SUCCEEDED" ? sum + Number(valueMsat) / 1_000 : sum,
    0,
  );
  assert.ok(paidSat <= limit + 30_000, `${paidSat} sat were paid in all`);
  await harness.end();
}

const keepers: Record<string, (scene: Scene) => Promise<void>> = {
  "a restart": async ({ instance }) => await instance.restart(),
  "a swarm key that nobody has seen": async (scene) => {
    scene.rogue = new Rogue(scene.harness, scene.mallory, "e".repeat(64));
    await Promise.resolve();
  },
  "another secret": async ({ instance, harness }) => {
    const old = instance.state.config.authKey;
    Object.assign(instance.options, { config: { authKey: new Uint8Array(32).fill(99), previousAuthKey: old } });
    await instance.restart();
    await harness.run(100);
  },
  "a channel that was closed, and another one": async ({ harness, alice, mallory, point, instance }) => {
    harness.network.run((network) => network.closeChannel(alice, point, true));
    await harness.runUntil(() => harness.network.channel(alice, point) === undefined, 600_000);
    harness.channel(alice, mallory, 1_003_470, 100_000);
    await instance.restart();
  },
  "two days": async ({ harness }) => await harness.run(2 * 86_400_000),
};
for (const [what, happens] of Object.entries(keepers)) {
  Deno.test(`a net position outlives ${what}`, async () => {
    const scene = await lender();
    await happens(scene);
    await meet(scene);
    await assertLeft(scene, limit - lent);
  });
}

Deno.test("a restored backup of the log: what LND has paid since is found in its list", async () => {
  const scene = await lender();
  const { instance } = scene;
  await instance.crash();
  // As it was after the first payment.
  instance.disk.splice(2);
  instance.start();
  await meet(scene);
  // What was received since can't be seen there: the position is higher than it is, never lower.
  assert.equal(position(scene), 120_000);
  assert.equal(instance.disk.filter(({ kind }) => kind === "foreign").length, 1);
  await assertLeft(scene, limit - 120_000);
});

Deno.test("a restored backup whose newest record is from a clock that was ahead hides nothing that was paid since", async () => {
  const scene = await lender();
  const { harness, alice, mallory, point, instance, rogue } = scene;
  // Alice lacks on another channel, and asks for it while her clock is a hundred days ahead.
  harness.channel(mallory, alice, 1_003_470, 100_000);
  instance.wallOffsetMs = 100 * 86_400_000;
  await harness.runUntil(() => instance.disk.at(-1)?.kind === "cancelled", 120_000);
  instance.wallOffsetMs = 0;
  const backup = [...instance.disk];
  await harness.run(10_000);
  assert.equal(await rogue.answer(rogue.request(point, 40_000)), "paid");
  // Her node is a busy one: what is old isn't listed at each start.
  for (let i = 0; i < 120; i++) {
    harness.network.run((network) => {
      const invoice = network.addInvoice(mallory, { valueMsat: msat(1_000) });
      assert.ok(!isRefusal(invoice));
      assert.ok(!isRefusal(network.sendPayment(alice, { paymentRequest: invoice.paymentRequest, timeoutSec: 30 })));
    });
    await harness.run(100);
  }
  await harness.run(3 * 86_400_000);
  await instance.crash();
  instance.disk.splice(0, Infinity, ...backup);
  instance.notes.length = 0;
  instance.start();
  await meet(scene);
  assert.equal(position(scene), lent + 40_000);
  await harness.end();
});

Deno.test("a log that is lost: LND's whole list is read, and nothing is lent twice", async () => {
  const scene = await lender();
  const { instance } = scene;
  await instance.crash();
  instance.disk.length = 0;
  instance.notes.length = 0;
  instance.start();
  await meet(scene);
  assert.equal(position(scene), 120_000);
  await assertLeft(scene, limit - 120_000);
});

Deno.test("maxNetOutflowTotal bounds what all others owe together, and who owes less than nothing lowers it not", async () => {
  const harness = new Harness();
  const alice = harness.node("alice");
  const others = ["bob", "carol", "dave"].map((name) => harness.node(name));
  const points = others.map((other) => harness.channel(alice, other, 1_003_470, 100_000));
  const settings = { minTimeBetweenPaymentsMs: 0 };
  const instance = harness.instance({ nodes: [alice], settings, limits: { maxNetOutflowTotalSat: sat(100_000) } });
  const rogues = others.map((other, index) => new Rogue(harness, other, String(index + 5).repeat(64)));
  await harness.runUntil(() => rogues.every(({ isConnected }) => isConnected), 5_000);
  for (const rogue of rogues) rogue.hello();
  await harness.run(12_000);
  // Alice owes Dave.
  instance.state.ledger.positions.set(others[2]!, sat(-500_000));
  const ask = async (index: number, amount: number) => {
    await harness.run(6_000);
    return await rogues[index]!.answer(rogues[index]!.request(points[index]!, amount));
  };
  assert.equal(await ask(0, 60_000), "paid");
  assert.equal(await ask(1, 40_001), "limit");
  assert.equal(instance.reasons("request-refused").at(-1), "net-outflow-total");
  assert.equal(await ask(1, 40_000), "paid");
  assert.equal(await ask(0, 10_000), "limit");
  // Paying back what one owes lends nothing.
  assert.equal(await ask(2, 300_000), "paid");
  await harness.end();
});
