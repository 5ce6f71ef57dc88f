import assert from "node:assert/strict";
import type { RepairedRecord } from "../../lib/audit/record.ts";
import { sat } from "../../lib/domain/amounts.ts";
import type { NodeReply } from "../../lib/lightning/node.ts";
import { Harness } from "./harness.ts";
import { Rogue } from "./rogue.ts";

const hourMs = 3_600_000;

/** Alice has paid Mallory 50,000 sat long ago and 30,000 just now; then her log is begun anew with `kept` records of it. */
async function scene(kept: number) {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const point = harness.channel(alice, mallory, 1_003_470, 100_000);
  const settings = {
    minTimeBetweenPaymentsMs: 0,
    maxTransactionsPerPeriod: 2,
    maxTransactionsPeriodMs: 4 * hourMs,
    maxNetOutflowSat: sat(100_000),
  };
  const instance = harness.instance({ nodes: [alice], settings });
  const rogue = new Rogue(harness, mallory);
  const ask = async (tokens: number) => {
    await harness.runUntil(() => rogue.isConnected, 1_000);
    await harness.run(6_000);
    rogue.hello();
    await harness.run(100);
    return await rogue.answer(rogue.request(point, tokens));
  };
  assert.equal(await ask(50_000), "paid");
  await harness.run(30 * hourMs);
  assert.equal(await ask(30_000), "paid");
  await instance.crash();
  instance.disk.splice(kept);
  const repaired: RepairedRecord = {
    ...{
      kind: "repaired",
      atWallMs: instance.now.wallMs,
      reason: "it was short",
      keptRecords: kept,
      setAside: "aside",
    },
    ...(kept === 0 ? {} : { historyFromWallMs: harness.startWallMs - 86_400_000 }),
  };
  instance.notes.splice(0, instance.notes.length, { after: 0, record: repaired });
  return { harness, instance, rogue, ask };
}

for (const kept of [0, 2, 3]) {
  Deno.test(`after a repair that kept ${kept} of 4 records, spent money and positions are those of LND's own list`, async () => {
    const { harness, instance, ask } = await scene(kept);
    instance.start();
    await harness.run(1_000);
    const [position] = instance.view.positions;
    assert.equal(position!.positionSat, 80_000n);
    assert.equal(instance.notes.at(-1)!.record.kind, "rebuilt");
    // One of them is older than the period.
    assert.equal(await ask(10_000), "paid");
    assert.equal(await ask(10_000), "limit");
    await harness.run(5 * hourMs);
    assert.equal(await ask(10_001), "limit", "maxNetOutflow");
    assert.equal(await ask(10_000), "paid");

    // It was read once; the next start knows it from the log.
    const before = instance.log.length;
    await instance.restart();
    await harness.run(1_000);
    assert.equal(instance.log.length, before);
    assert.deepEqual(instance.view.positions.map(({ positionSat }) => positionSat), [100_000n]);
    await harness.end();
  });
}

Deno.test("after a repair nothing is paid before the node's list was read, over restarts too, and one line tells of it", async () => {
  const { harness, instance, ask } = await scene(0);
  let refusing = true;
  instance.tamper = async (_node, call, real) =>
    refusing && call.method === "listPayments"
      ? { ok: false, method: call.method, kind: "unavailable", message: "lost", remedy: "" } as NodeReply
      : await real();
  instance.events.length = 0;
  instance.start();
  assert.equal(await ask(10_000), "busy");
  await instance.restart();
  assert.equal(await ask(10_000), "busy");
  assert.deepEqual(instance.reasons("request-refused"), ["starting", "starting"]);
  refusing = false;
  await harness.run(120_000);
  assert.equal(await ask(10_000), "paid");
  const warnings = instance.told("warning").filter(({ message }) => /it lacked|doesn't know of it/.test(message));
  assert.deepEqual(warnings.map(({ level }) => level), ["debug", "debug", "warn"]);
  assert.match(warnings[2]!.message, /lists payments to rebalance that it lacked: 2 \(80,000 sat\)/);
  await harness.end();
});

Deno.test("a log that contradicts itself is refused, with the command that repairs it", async () => {
  const { harness, instance } = await scene(3);
  instance.disk.push(instance.disk[0]!);
  assert.throws(() => instance.start(), /contradicts itself: payment \w+ has a second intent/);
  await harness.end();
});

for (const lost of ["begun anew", "lost with its directory"]) {
  Deno.test(`with a log that was ${lost} nothing is lent before every node has listed what it has paid`, async () => {
    const harness = new Harness();
    const [alice, bob, mallory] = [harness.node("alice"), harness.node("bob"), harness.node("mallory")];
    const point = harness.channel(alice, mallory, 1_003_470, 100_000);
    const other = harness.channel(bob, mallory, 1_003_470, 100_000);
    const own = harness.channel(alice, bob, 1_003_470, 100_000);
    const settings = { minTimeBetweenPaymentsMs: 0, maxNetOutflowSat: sat(100_000) };
    const instance = harness.instance({ nodes: [alice, bob], settings });
    const rogue = new Rogue(harness, mallory);
    const ask = async (point: Parameters<Rogue["request"]>[0], tokens: number) => {
      await harness.runUntil(() => rogue.isConnected, 1_000);
      await harness.run(6_000);
      rogue.hello();
      await harness.run(100);
      return await rogue.answer(rogue.request(point, tokens));
    };
    assert.equal(await ask(other, 90_000), "paid");
    await instance.crash();
    instance.disk.length = 0;
    if (lost === "begun anew") {
      const note = { kind: "repaired", reason: "it was gone", keptRecords: 0, setAside: "" } as const;
      instance.notes.push({ after: 0, record: { ...note, atWallMs: instance.now.wallMs } });
    }
    harness.network.run((network) => network.stopNode(bob));
    instance.start();
    assert.equal(await ask(point, 20_000), "busy");
    assert.deepEqual(instance.reasons("request-refused"), ["rebuilding"]);
    harness.network.run((network) => network.startNode(bob));
    await harness.run(60_000);
    assert.equal(await ask(point, 20_000), "limit");
    assert.equal(await ask(point, 10_000), "paid");
    assert.equal(harness.share(bob, own), 0.5, "one's own nodes lend each other nothing");
    await harness.end();
  });
}

Deno.test("a log that was lost with its directory is rebuilt to its end, though the process dies in the middle", async () => {
  const { harness, instance, ask } = await scene(0);
  instance.notes.length = 0;
  instance.start();
  await harness.run(1_000);
  await instance.crash();
  // It died when the first of the two was on the disk.
  instance.disk.splice(1);
  instance.notes.splice(0, instance.notes.length, ...instance.notes.filter(({ after }) => after === 0));
  assert.deepEqual(instance.story, ["payer foreign 50000"]);
  // What is recorded by now is dated now: the other one is much older.
  await harness.run(48 * hourMs);
  instance.start();
  await harness.run(1_000);
  assert.deepEqual(instance.view.positions.map(({ positionSat }) => positionSat), [80_000n]);
  assert.equal(await ask(20_001), "limit", "maxNetOutflow");
  assert.equal(await ask(20_000), "paid");
  await harness.end();
});

Deno.test("with a lost log nothing is lent before a node that is down has listed its payments, over restarts too", async () => {
  const harness = new Harness();
  const [alice, bob, mallory] = [harness.node("alice"), harness.node("bob"), harness.node("mallory")];
  const point = harness.channel(alice, mallory, 1_003_470, 100_000);
  const other = harness.channel(bob, mallory, 1_003_470, 100_000);
  // Alice herself lacks here: she asks, and that is recorded.
  const low = harness.channel(mallory, alice, 1_003_470, 100_000);
  const settings = { minTimeBetweenPaymentsMs: 0, maxNetOutflowSat: sat(100_000) };
  const instance = harness.instance({ nodes: [alice, bob], settings });
  const rogue = new Rogue(harness, mallory);
  const ask = async (point: Parameters<Rogue["request"]>[0], tokens: number) => {
    await harness.runUntil(() => rogue.isConnected, 1_000);
    await harness.run(6_000);
    rogue.hello();
    await harness.run(100);
    return await rogue.answer(rogue.request(point, tokens));
  };
  assert.equal(await ask(other, 90_000), "paid");
  await instance.crash();
  instance.disk.length = 0;
  instance.notes.length = 0;
  harness.network.run((network) => network.stopNode(bob));
  instance.start();
  assert.equal(await ask(point, 20_000), "busy");
  await harness.run(120_000);
  assert.ok(instance.disk.some(({ kind, node }) => kind === "invoiced" && node === alice), `asks over ${low}`);
  await instance.restart();
  assert.equal(await ask(point, 20_000), "busy");
  assert.equal(instance.reasons("request-refused").at(-1), "rebuilding");
  await harness.end();
});

Deno.test("with a lost log what went to a node of ours that comes up a moment later is no loan", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  const point = harness.channel(alice, bob, 1_003_470, 100_000);
  const instance = harness.instance({ nodes: [alice, bob] });
  await harness.runUntil(() => instance.story.includes("payer settled 400000"), 5_000);
  await instance.crash();
  instance.disk.length = 0;
  harness.network.run((network) => network.stopNode(bob));
  instance.start();
  await harness.run(1_000);
  harness.network.run((network) => network.startNode(bob));
  await harness.run(5_000);
  assert.deepEqual(instance.disk.map((record) => [record.kind, record.ownPeer]), [["foreign", true]]);
  assert.deepEqual([...instance.state.ledger.positions], []);

  // One that stays away isn't waited for.
  await instance.crash();
  instance.disk.length = 0;
  instance.notes.length = 0;
  harness.network.run((network) => network.stopNode(bob));
  instance.start();
  await harness.run(10_000);
  assert.deepEqual(instance.disk.map((record) => [record.kind, record.ownPeer]), [["foreign", false]]);
  assert.equal(harness.share(bob, point), 0.5);
  await harness.end();
});
