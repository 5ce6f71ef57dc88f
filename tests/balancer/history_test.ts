import assert from "node:assert/strict";
import type { TransactionRecord } from "../../lib/audit/record.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import type { ShortChannelId } from "../../lib/domain/ids.ts";
import type { NodeReply } from "../../lib/lightning/node.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { formatMemo } from "../../lib/protocol/memo.ts";
import { noPause, type Scene, scene } from "./payer_scene.ts";

// What a node lists as its payments, beside what the log says.

/** Alice's node pays Mallory over that channel without our log knowing, for an invoice whose memo names a channel. */
function payBehindTheLog(
  { harness, alice, mallory }: Scene,
  channelId: ShortChannelId,
  amountMsat: number,
  named = channelId,
): void {
  harness.network.run((network) => {
    const memo = formatMemo(named, "0123456789abcdef");
    const invoice = network.addInvoice(mallory, { valueMsat: msat(amountMsat), memo });
    assert.ok(!isRefusal(invoice));
    const request = { paymentRequest: invoice.paymentRequest, timeoutSec: 30, outgoingChanIds: [channelId] };
    assert.ok(!isRefusal(network.sendPayment(alice, request)));
  });
}

const refusal = (method: "listPayments" | "trackPayment"): NodeReply => ({
  ...{ ok: false, method, kind: "unavailable", message: "the database is locked", remedy: "Wait" },
});

Deno.test("a foreign payment is of the channel that it goes over, whatever its memo names, and of all while LND names none", async () => {
  const all = await scene({ settings: { minTimeBetweenPaymentsMs: 300_000 } });
  const { harness, alice, mallory, point, instance, rogue } = all;
  const parallel = harness.channel(alice, mallory, 1_003_470, 100_000);
  const idOf = (channel: typeof point) => harness.network.channel(alice, channel)!.chanId;
  await harness.run(11_000);
  for (const [frozen, restarts] of [[false, false], [true, false], [false, true]]) {
    if (frozen) harness.network.run((network) => network.freezeNode(mallory));
    if (restarts) await instance.crash();
    payBehindTheLog(all, idOf(point), 20_000_000, idOf(parallel));
    await harness.run(1_000);
    if (restarts) instance.start();
    await harness.run(12_000);
    if (restarts) rogue.hello();
    await harness.run(12_000);
    const record = instance.disk.at(-1)!;
    assert.deepEqual([record.kind, record.channelPoint], ["foreign", point]);
    if (frozen) harness.network.run((network) => network.thawNode(mallory));
    await harness.run(70_000);
    assert.equal(await rogue.answer(rogue.request(point, 50_000)), "limit");
    assert.equal(await rogue.answer(rogue.request(parallel, 50_000)), "paid");
    await harness.run(300_000);
  }
  instance.tamper = async (_node, _call, real) => {
    const reply = await real();
    if (!reply.ok || reply.method !== "listPayments") return reply;
    return { ...reply, value: reply.value.map((one) => ({ ...one, status: { ...one.status, routes: [] } })) };
  };
  payBehindTheLog(all, idOf(point), 20_000_000, idOf(parallel));
  await harness.run(12_000);
  assert.equal(instance.disk.at(-1)!.channelPoint, undefined);
  for (const channel of [point, parallel]) assert.equal(await rogue.answer(rogue.request(channel, 50_000)), "limit");
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
