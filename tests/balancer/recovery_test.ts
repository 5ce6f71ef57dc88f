import assert from "node:assert/strict";
import type { Effect } from "../../lib/balancer/io.ts";
import { foldLedger } from "../../lib/audit/ledger.ts";
import type { TransactionRecord } from "../../lib/audit/record.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import type { NodePubkey } from "../../lib/domain/ids.ts";
import type { NodeReply } from "../../lib/lightning/node.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { Harness, type TestInstance } from "./harness.ts";
import { Rogue } from "./rogue.ts";

/** Alice and Bob in two instances, or both in one; Bob holds 10 % of their channel. */
function pair(together: boolean) {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  const point = harness.channel(alice, bob, 1_003_470, 100_000);
  const nodes = together ? [[alice, bob]] : [[alice], [bob]];
  const instances = nodes.map((nodes) => harness.instance({ nodes }));
  return { harness, alice, bob, point, instances };
}

/** Alice holds 90 % of a channel with Mallory, who has said hello. */
async function withMallory() {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const point = harness.channel(alice, mallory, 1_003_470, 100_000);
  const instance = harness.instance({ nodes: [alice] });
  const rogue = new Rogue(harness, mallory);
  await harness.run(100);
  rogue.hello();
  await harness.run(100);
  return { harness, mallory, point, instance, rogue };
}

/** What must hold whatever happened, once nothing is under way any more. */
function assertSound(harness: Harness, instances: readonly TestInstance[], payers: readonly NodePubkey[]): void {
  for (const instance of instances) {
    // The log folds at all: no impossible sequence was written.
    const ledger = foldLedger(instance.disk, instance.now);
    const open = instance.disk.filter((record) =>
      record.kind === "intent" && ledger.paidHashes.get(record.paymentHash) === "open"
    );
    assert.deepEqual(open, []);
    assert.equal(ledger.invoices.size, 0);
    for (const record of instance.disk) {
      const payment = harness.network.payment(record.node, record.paymentHash);
      if (record.kind === "settled") assert.equal(payment?.status, "SUCCEEDED");
      if (record.kind === "failed") assert.notEqual(payment?.status, "SUCCEEDED");
      const invoice = harness.network.invoice(record.node, record.paymentHash);
      if (record.kind === "received") assert.equal(invoice?.state, "SETTLED");
      if (record.kind === "cancelled") assert.notEqual(invoice?.state, "SETTLED");
    }
  }
  for (const payer of payers) {
    const known = new Set(
      instances.flatMap((instance) =>
        instance.disk.flatMap((record) => record.kind === "intent" ? [record.paymentHash] : [])
      ),
    );
    for (const payment of harness.paymentsOf(payer)) {
      assert.ok(known.has(payment.paymentHash), "LND has a payment that the log doesn't know");
    }
  }
}

/** Every moment at which a process can die while a channel is balanced: between any two effects of either side. */
async function momentsOf(together: boolean): Promise<number[]> {
  const { harness, instances } = pair(together);
  await harness.run(2_000);
  const moments = instances.map((instance) => instance.effects.filter(matters).length);
  await harness.end();
  return moments;
}

const matters = (effect: Effect) =>
  effect.kind === "append" || effect.kind === "send" ||
  (effect.kind === "call" && !["listChannels", "listPayments", "signMessage"].includes(effect.call.method));

for (const together of [true, false]) {
  Deno.test(`killed between any two effects and restarted, nothing is paid twice or forgotten (${together ? "one instance" : "two"})`, async () => {
    const moments = await momentsOf(together);
    let settledInAll = 0;
    for (const [victim, count] of moments.entries()) {
      for (let moment = 0; moment < count; moment++) {
        for (const lost of [false, true]) {
          const { harness, alice, bob, point, instances } = pair(together);
          const instance = instances[victim]!;
          let seen = 0;
          instance.diesAt = (effect) => matters(effect) && seen++ === moment;
          await harness.run(lost ? 200 : 20);
          instance.diesAt = () => false;
          await instance.restart();
          await harness.run(2_500_000);
          const what = `instance ${victim} died at effect ${moment}`;
          assert.equal(harness.share(bob, point), 0.5, what);
          assertSound(harness, instances, [alice]);
          const settled = harness.paymentsOf(alice).filter((payment) => payment.status === "SUCCEEDED");
          assert.equal(settled.length, 1, what);
          settledInAll++;
          await harness.end();
        }
      }
    }
    assert.ok(settledInAll > 20);
  });
}

Deno.test("an open intent of an earlier run is tracked and never sent again", async () => {
  const { harness, point, instance, rogue } = await withMallory();
  instance.diesAt = (effect) => effect.kind === "call" && effect.call.method === "pay";
  rogue.request(point, 50_000);
  await harness.run(100);
  instance.diesAt = () => false;
  assert.deepEqual(instance.story, ["payer intent 50000"]);
  await instance.restart();
  const before = instance.effects.length;
  await harness.run(100_000);
  const calls = instance.effects.slice(before).flatMap((effect) => effect.kind === "call" ? [effect.call.method] : []);
  assert.ok(calls.includes("trackPayment"));
  assert.ok(!calls.includes("pay"));
  assert.deepEqual(instance.story, ["payer intent 50000"]);
  // Its reservation holds until LND could no longer be working on it.
  rogue.hello();
  await harness.run(5_000);
  assert.equal(await rogue.answer(rogue.request(point, 50_000)), "busy");
  await harness.run(700_000);
  assert.deepEqual(instance.story, ["payer intent 50000", "payer failed 50000"]);
  await harness.end();
});

Deno.test("a payment in flight over a restart is recorded when LND says how it ended", async () => {
  const { harness, mallory, point, instance, rogue } = await withMallory();
  harness.network.run((network) => network.freezeNode(mallory));
  rogue.request(point, 50_000);
  await harness.run(1_000);
  await instance.restart();
  await harness.run(300_000);
  assert.deepEqual(instance.story, ["payer intent 50000", "payer unknown 50000"]);
  assert.deepEqual(instance.view.positions.map(({ positionSat }) => positionSat), [50_000n]);
  harness.network.run((network) => network.thawNode(mallory));
  await harness.run(70_000);
  assert.equal(instance.story.at(-1), "payer settled 50000");
  await harness.end();
});

/** A payment that Alice's node made for a rebalance, without our log knowing. */
function payBehindTheLog(harness: Harness, alice: NodePubkey, mallory: NodePubkey, amountSat: number): void {
  const memo = "tightrope rebalance 472x1x0 0123456789abcdef";
  const paid = harness.network.run((network) => {
    const invoice = network.addInvoice(mallory, { valueMsat: msat(amountSat * 1000), memo });
    assert.ok(!isRefusal(invoice));
    return network.sendPayment(alice, { paymentRequest: invoice.paymentRequest, timeoutSec: 30 });
  });
  assert.ok(!isRefusal(paid));
}

Deno.test("a rebalance that our log doesn't know counts as spent, whenever it was made", async () => {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const point = harness.channel(alice, mallory, 1_003_470, 100_000);
  payBehindTheLog(harness, alice, mallory, 50_000);
  await harness.run(1_000);
  const settings = { minTimeBetweenPaymentsMs: 0, maxNetOutflowSat: sat(110_000) };
  const instance = harness.instance({ nodes: [alice], settings });
  const rogue = new Rogue(harness, mallory);
  await harness.run(1_000);
  rogue.hello();
  await harness.run(5_000);
  payBehindTheLog(harness, alice, mallory, 30_000);
  await harness.run(20_000);
  assert.deepEqual([...new Set(instance.story)], ["payer foreign 50000", "payer foreign 30000"]);
  assert.equal(instance.disk[0]!.channelPoint, point);
  assert.equal(await rogue.answer(rogue.request(point, 30_001)), "limit");
  const before = instance.story.length;
  await instance.restart();
  await harness.run(20_000);
  assert.equal(instance.story.length, before);
  rogue.hello();
  await harness.run(5_000);
  assert.equal(await rogue.answer(rogue.request(point, 30_000)), "paid");
  await harness.end();
});

Deno.test("a foreign payment seen in flight is followed to its end", async () => {
  for (const fails of [false, true]) {
    const harness = new Harness();
    const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
    harness.channel(alice, mallory, 1_003_470, 100_000);
    harness.network.run((network) => network.freezeNode(mallory));
    payBehindTheLog(harness, alice, mallory, 50_000);
    await harness.run(1_000);
    const instance = harness.instance({ nodes: [alice] });
    await harness.run(1_000);
    assert.deepEqual(instance.story, ["payer foreign 50000"]);
    await instance.restart();
    if (fails) {
      const { paymentHash } = harness.network.invoices(mallory)[0]!;
      harness.network.run((network) => network.cancelInvoice(mallory, paymentHash));
    }
    harness.network.run((network) => network.thawNode(mallory));
    await harness.run(70_000);
    assert.deepEqual(instance.story, ["payer foreign 50000", fails ? "payer foreign 0" : "payer foreign 50000"]);
    const spent = [...foldLedger(instance.disk, instance.now).positions.values()];
    assert.deepEqual(spent, [fails ? 0n : 50_000n]);
    await harness.end();
  }
});

Deno.test("nothing is paid before the node's history was read", async () => {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const point = harness.channel(alice, mallory, 1_003_470, 100_000);
  const instance = harness.instance({ nodes: [alice] });
  instance.tamper = (_node, call, real) =>
    call.method === "listPayments"
      ? Promise.resolve(
        {
          ok: false,
          method: call.method,
          kind: "permission",
          message: "no right",
          remedy: "Bake another macaroon",
        } as NodeReply,
      )
      : real();
  const rogue = new Rogue(harness, mallory);
  await harness.run(100);
  rogue.hello();
  await harness.run(100);
  assert.equal(await rogue.answer(rogue.request(point, 50_000)), "busy");
  assert.deepEqual(instance.reasons("request-refused"), ["starting"]);
  assert.equal(instance.told("warning").length, 1);
  await harness.end();
});

for (const aheadMs of [0, 400 * 86_400_000]) {
  Deno.test(`in a long history the search begins shortly before the newest record${aheadMs > 0 ? ", whose date has come" : ""}`, async () => {
    const harness = new Harness(0x5eed, { paymentMs: 0, receiverLagMs: [0, 0] });
    const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
    const point = harness.channel(alice, mallory, 100_003_470, 1_000_000);
    const many = async (count: number) => {
      for (let i = 0; i < count; i++) payBehindTheLog(harness, alice, mallory, 1_000 + i);
      await harness.run(10);
    };
    await many(700);
    await harness.run(3 * 86_400_000);
    const known = (count: number, atWallMs: number): TransactionRecord => ({
      ...{ kind: "foreign", role: "payer", pending: false, atWallMs },
      ...{ node: alice, peer: mallory, ownPeer: false, channelPoint: point, channelId: undefined },
      paymentHash: harness.paymentsOf(alice).at(-count)!.paymentHash,
      amountSat: sat(1_700 - count),
    });
    const wallMs = harness.startWallMs + harness.atMs;
    const records = [known(2, wallMs), ...(aheadMs > 0 ? [known(1, wallMs + aheadMs)] : [])];
    await many(150);
    const instance = harness.instance({ nodes: [alice] });
    await instance.crash();
    instance.disk.push(...records);
    instance.effects.length = 0;
    instance.start();
    await harness.run(1_000);
    const pages = instance.effects.flatMap((effect) =>
      effect.kind === "call" && effect.call.method === "listPayments" ? [effect.call.args] : []
    );
    const foreign = instance.disk.filter((entry) => entry.kind === "foreign").length - records.length;
    assert.ok(foreign >= 150 && foreign <= 250, `${foreign}`);
    assert.ok(pages.length < 20, `${pages.length} pages`);
    await harness.end();
  });
}

Deno.test("a log that contradicts LND stops all paying", async () => {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const point = harness.channel(alice, mallory, 1_003_470, 100_000);
  payBehindTheLog(harness, alice, mallory, 50_000);
  await harness.run(1_000);
  const instance = harness.instance({ nodes: [alice] });
  await instance.crash();
  const base = {
    atWallMs: harness.startWallMs,
    role: "payer" as const,
    ...{ node: alice, peer: mallory, ownPeer: false, channelPoint: point },
    channelId: harness.network.channel(alice, point)!.chanId,
    paymentHash: harness.paymentsOf(alice)[0]!.paymentHash,
    amountSat: sat(50_000),
    requestId: "ab".repeat(16) as never,
    expiresAtWallMs: 0,
  };
  instance.disk.push({ ...base, kind: "intent" }, { ...base, kind: "failed", reason: "no-route" });
  instance.start();
  await harness.run(1_000);
  assert.match(instance.view.breaker ?? "", /failed and LND as settled/);
  assert.deepEqual(instance.view.positions.map(({ positionSat }) => positionSat), [50_000n]);
  await harness.end();
});
