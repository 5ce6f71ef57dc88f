import assert from "node:assert/strict";
import type { TransactionRecord } from "../../lib/audit/record.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import type { ShortChannelId } from "../../lib/domain/ids.ts";
import type { NodeReply } from "../../lib/lightning/node.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { formatMemo } from "../../lib/protocol/memo.ts";
import { noPause, type Scene, scene } from "./payer_scene.ts";

// What a node lists as its payments, beside what the log says.

/** Alice's node pays Mallory without our log knowing, for a rebalance of the channel that the memo names. */
function payBehindTheLog({ harness, alice, mallory }: Scene, channelId: ShortChannelId, amountMsat: number): void {
  harness.network.run((network) => {
    const memo = formatMemo(channelId, "0123456789abcdef");
    const invoice = network.addInvoice(mallory, { valueMsat: msat(amountMsat), memo });
    assert.ok(!isRefusal(invoice));
    assert.ok(!isRefusal(network.sendPayment(alice, { paymentRequest: invoice.paymentRequest, timeoutSec: 30 })));
  });
}

const refusal = (method: "listPayments" | "trackPayment"): NodeReply => ({
  ...{ ok: false, method, kind: "unavailable", message: "the database is locked", remedy: "Wait" },
});

Deno.test("a foreign payment is of the channel that its memo names, if that is one with its payee", async () => {
  const all = await scene();
  const { harness, alice, point, instance } = all;
  const carol = harness.node("carol");
  const parallel = harness.channel(alice, all.mallory, 1_003_470, 100_000);
  const carols = harness.channel(alice, carol, 1_003_470, 100_000);
  const idOf = (channel: typeof point) => harness.network.channel(alice, channel)!.chanId;
  await harness.run(11_000);
  for (const id of [idOf(parallel), idOf(point), idOf(carols), "77" as ShortChannelId]) {
    payBehindTheLog(all, id, 20_000_000);
    await harness.run(1_000);
  }
  await harness.run(12_000);
  const points = new Map(instance.disk.map(({ paymentHash, channelPoint }) => [paymentHash, channelPoint]));
  assert.deepEqual([...points.values()], [parallel, point, undefined, undefined]);
  await harness.end();
});

Deno.test("a foreign payment of a part of a satoshi counts as a whole one, and is no contradiction when it is listed again", async () => {
  const all = await scene();
  const { harness, alice, point, instance } = all;
  payBehindTheLog(all, harness.network.channel(alice, point)!.chanId, 20_000_001);
  await harness.run(12_000);
  await instance.restart();
  await harness.run(12_000);
  assert.deepEqual(instance.story, ["payer foreign 20001"]);
  assert.equal(instance.view.breaker, undefined);
  await harness.end();
});

Deno.test("a node that doesn't list its payments is told of once, pays nothing, and goes on by itself", async () => {
  const { harness, point, instance, rogue } = await scene();
  let lists = 0;
  instance.tamper = async (_node, call, real) => {
    if (call.method !== "listPayments") return await real();
    return ++lists > 12 ? await real() : refusal("listPayments");
  };
  await instance.restart();
  await harness.run(1_000);
  rogue.hello();
  await harness.run(60_000);
  assert.ok(lists >= 4 && lists <= 8, `${lists}`);
  assert.equal(instance.told("warning").filter(({ message }) => message.includes("the database is locked")).length, 1);
  assert.equal(await rogue.answer(rogue.request(point, 50_000)), "busy");
  await harness.run(600_000);
  assert.equal(await rogue.answer(rogue.request(point, 50_000)), "paid");
  await harness.end();
});

Deno.test("while LND seems to contradict the log nothing is paid from that node, and LND is asked until it answers", async () => {
  const all = await scene({ settings: noPause });
  const { harness, alice, mallory, point, instance, rogue } = all;
  const { chanId } = harness.network.channel(alice, point)!;
  await instance.crash();
  payBehindTheLog(all, chanId, 50_000_000);
  await harness.run(2_000);
  const base = {
    ...{ atWallMs: instance.now.wallMs, role: "payer" as const, node: alice, peer: mallory, ownPeer: false },
    ...{ channelPoint: point, channelId: chanId, paymentHash: harness.paymentsOf(alice)[0]!.paymentHash },
    ...{ amountSat: sat(50_000), requestId: "ab".repeat(16) as never, expiresAtWallMs: 0 },
  };
  const records: TransactionRecord[] = [{ ...base, kind: "intent" }, { ...base, kind: "failed", reason: "no-route" }];
  instance.disk.push(...records);
  let looks = 0;
  instance.tamper = async (_node, call, real) => {
    if (call.method !== "trackPayment" || call.args[0] !== base.paymentHash) return await real();
    return ++looks > 6 ? await real() : refusal("trackPayment");
  };
  instance.start();
  await harness.run(1_000);
  rogue.hello();
  await harness.run(8_000);
  assert.ok(looks >= 3 && looks <= 5, `${looks}`);
  assert.equal(await rogue.answer(rogue.request(point, 20_000)), "busy");
  assert.deepEqual(instance.reasons("request-refused"), ["starting"]);
  assert.equal(instance.view.breaker, undefined);
  await harness.run(120_000);
  assert.match(instance.view.breaker ?? "", /as failed and LND as settled/);
  await harness.end();
});

Deno.test("a node that lists its payments no more pays nothing until it does again", async () => {
  const { harness, point, instance, rogue } = await scene({ settings: noPause });
  await harness.run(12_000);
  let fails = true;
  instance.tamper = async (_node, call, real) =>
    call.method === "listPayments" && fails ? refusal("listPayments") : await real();
  await harness.run(12_000);
  assert.match(instance.told("warning").at(-1)!.message, /the database is locked.*Nothing is paid from it before that/);
  assert.equal(await rogue.answer(rogue.request(point, 50_000)), "busy");
  assert.deepEqual(instance.reasons("request-refused"), ["starting"]);
  fails = false;
  await harness.run(60_000);
  assert.equal(await rogue.answer(rogue.request(point, 50_000)), "paid");
  await harness.end();
});
