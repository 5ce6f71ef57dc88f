import assert from "node:assert/strict";
import { msat, sat, satToMsat } from "../../lib/domain/amounts.ts";
import type { ShortChannelId } from "../../lib/domain/ids.ts";
import type { PaymentStatus } from "../../lib/domain/payment.ts";
import { type NodeReply, noFee } from "../../lib/lightning/node.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { noPause, type Scene, scene } from "./payer_scene.ts";

// How a payment that was sent, or may have been, comes to its end.

/** What LND answers when it is to pay, and when it is asked of a payment of ours; undefined: what it really knows. */
function says(
  { instance }: Scene,
  paid: NodeReply | undefined,
  tracked: () => NodeReply | undefined = () => undefined,
) {
  instance.tamper = async (_node, call, real) => {
    if (call.method === "pay" && paid) return paid;
    const known = call.method === "trackPayment" && instance.state.payments.has(call.args[0]);
    return (known ? tracked() : undefined) ?? await real();
  };
}

const broken: NodeReply = { ok: false, method: "pay", kind: "unavailable", message: "broken pipe", remedy: "Wait" };
const lost: NodeReply = { ok: true, method: "pay", value: { kind: "unknown", detail: "connection lost" } };
const trackedAs = (value: PaymentStatus): NodeReply => ({ ok: true, method: "trackPayment", value });

Deno.test("a call to pay that breaks is no failure: it counts as spent and stops that node until LND tells the end", async () => {
  const all = await scene({ settings: noPause });
  const { harness, alice, instance, rogue, point } = all;
  const parallel = harness.channel(alice, rogue.node, 1_003_470, 100_000);
  await harness.run(11_000);
  let looks = 0;
  says(all, broken, () => ++looks < 3 ? { ...broken, method: "trackPayment" } : undefined);
  assert.equal(await rogue.answer(rogue.request(point, 50_000)), "unknown");
  assert.equal(await rogue.answer(rogue.request(parallel, 50_000)), "busy");
  assert.deepEqual(instance.reasons("request-refused"), ["peer-stuck"]);
  await harness.run(640_000);
  assert.deepEqual(instance.story, ["payer intent 50000", "payer unknown 50000"]);
  assert.equal(instance.disk[1]!.kind === "unknown" && instance.disk[1]!.reason, "broken pipe");
  await harness.run(90_000);
  assert.equal(instance.story.at(-1), "payer failed 50000");
  await harness.end();
});

Deno.test("a clock that jumps behind an invoice's end doesn't free a payment of which LND may not have heard yet", async () => {
  const all = await scene();
  const { harness, instance, rogue, point } = all;
  instance.tamper = async (_node, call, real) => {
    if (call.method !== "pay") return await real();
    await new Promise<void>((resolve) => harness.after(40_000, resolve));
    return lost;
  };
  rogue.request(point, 50_000);
  await harness.run(40_100);
  instance.wallOffsetMs = 3_600_000;
  await harness.run(59_000);
  assert.deepEqual(instance.story, ["payer intent 50000", "payer unknown 50000"]);
  await harness.run(70_000);
  assert.equal(instance.story.at(-1), "payer failed 50000");
  await harness.end();
});

Deno.test("a payment that hangs for an hour is looked up once a minute in the end", async () => {
  const all = await scene();
  const { harness, instance, rogue, point } = all;
  says(all, lost, () => trackedAs({ kind: "in-flight", index: 1n, routes: [] }));
  rogue.request(point, 50_000);
  await harness.run(3_600_000);
  const looks = instance.effects.filter((effect) => effect.kind === "call" && effect.call.method === "trackPayment");
  assert.ok(looks.length > 50 && looks.length < 80, `${looks.length}`);
  await harness.end();
});

Deno.test("what a failure gives back counts only once it is on disk", async () => {
  const { harness, alice, instance, rogue, point } = await scene({
    settings: { ...noPause, maxAmountPerPeriodSat: sat(60_000) },
  });
  const parallel = harness.channel(alice, rogue.node, 1_003_470, 100_000);
  await harness.run(11_000);
  rogue.request(point, 50_000);
  const { paymentHash } = harness.network.invoices(rogue.node).at(-1)!;
  harness.network.run((network) => network.cancelInvoice(rogue.node, paymentHash));
  await harness.runUntil(() => instance.told("payment-started").length === 1, 1_000);
  instance.diskHangs = true;
  await harness.run(1_000);
  assert.equal(await rogue.answer(rogue.request(parallel, 50_000)), "limit");
  instance.diskHangs = false;
  await harness.run(6_000);
  assert.equal(await rogue.answer(rogue.request(parallel, 50_000)), "paid");
  await harness.end();
});

Deno.test("a payment of an earlier run is checked like any other, by every name that its channel has now", async () => {
  const settledOver = (channelId: string, pubkey: string) => (): NodeReply => {
    const hop = { channelId: channelId as ShortChannelId, pubkey: pubkey as never };
    return trackedAs({
      kind: "settled",
      index: 1n,
      amountMsat: satToMsat(sat(50_000)),
      feeMsat: noFee,
      routes: [[hop]],
    });
  };
  const cases: [over: "its alias" | "another", closed: boolean, breaker: RegExp | undefined][] = [
    ["its alias", false, undefined],
    ["another", false, /another channel/],
    // Nothing tells any more what a channel that was closed was called.
    ["another", true, undefined],
  ];
  for (const [over, closed, breaker] of cases) {
    const all = await scene();
    const { harness, alice, instance, rogue, point } = all;
    harness.network.run((network) => network.freezeNode(rogue.node));
    rogue.request(point, 50_000);
    await harness.runUntil(() => instance.told("payment-started").length === 1, 1_000);
    if (closed) harness.network.run((network) => network.closeChannel(alice, point, true));
    await instance.crash();
    const track = settledOver(over === "another" ? "77" : "99", rogue.node);
    instance.tamper = async (_node, call, real) => {
      if (call.method === "trackPayment") return track();
      // The channel's ids are known once it is listed, which takes a while.
      if (call.method === "listChannels") await new Promise<void>((resolve) => harness.after(500, resolve));
      const reply = await real();
      if (!reply.ok || reply.method !== "listChannels") return reply;
      return { ...reply, value: reply.value.map((channel) => ({ ...channel, aliasIds: ["99" as ShortChannelId] })) };
    };
    instance.start();
    await harness.run(5_000);
    assert.deepEqual(instance.story, ["payer intent 50000", "payer settled 50000"], over);
    if (breaker) assert.match(instance.view.breaker ?? "", breaker);
    else assert.equal(instance.view.breaker, undefined);
    await harness.end();
  }
});

Deno.test("a foreign payment is somebody else's: its fee trips no breaker and is no rebalance's, it blocks its channels, and it counts if LND forgets it", async () => {
  for (const forgotten of [false, true]) {
    const all = await scene({ settings: noPause });
    const { harness, alice, instance, rogue, point } = all;
    harness.network.run((network) => {
      network.freezeNode(rogue.node);
      const memo = "tightrope rebalance 800x1x0 0123456789abcdef";
      const invoice = network.addInvoice(rogue.node, { valueMsat: msat(30_000_000), memo });
      assert.ok(!isRefusal(invoice));
      return network.sendPayment(alice, { paymentRequest: invoice.paymentRequest, timeoutSec: 30 });
    });
    let end: PaymentStatus = { kind: "in-flight", index: 1n, routes: [] };
    says(all, undefined, () => trackedAs(end));
    await harness.run(12_000);
    assert.deepEqual(instance.story, ["payer foreign 30000"]);
    assert.equal(await rogue.answer(rogue.request(point, 10_000)), "busy");
    assert.deepEqual(instance.reasons("request-refused"), ["payment-open"]);
    const hop = { channelId: "77" as ShortChannelId, pubkey: rogue.node };
    end = { kind: "settled", index: 1n, amountMsat: msat(30_000_000), feeMsat: msat(1_000), routes: [[hop]] };
    if (forgotten) {
      instance.tamper = async (_node, call, real) => {
        if (call.method === "trackPayment") return trackedAs({ kind: "not-found" });
        return call.method === "listPayments" ? { ok: true, method: "listPayments", value: [] } : await real();
      };
      await instance.restart();
    }
    await harness.run(120_000);
    const countedSat = forgotten ? 30_000n : 0n;
    assert.deepEqual(instance.story, ["payer foreign 30000", `payer foreign ${countedSat}`]);
    assert.deepEqual([instance.view.breaker, instance.state.ledger.positions.get(rogue.node)], [undefined, countedSat]);
    await harness.end();
  }
});

// LND ends what it has under way, and whoever deletes its list of payments deletes what has ended: it may have been paid.
for (const isLost of [true, false]) {
  Deno.test(`what LND had under way ${isLost ? "after its updates were lost" : "for a minute"} and doesn't know after a restart isn't free again`, async () => {
    const all = await scene();
    const { harness, instance, rogue, point } = all;
    harness.network.run((network) => network.freezeNode(rogue.node));
    instance.tamper = async (_node, call, real) => {
      if (call.method !== "pay" || !isLost) return await real();
      void real();
      return lost;
    };
    rogue.request(point, 50_000);
    await harness.run(70_000);
    await instance.crash();
    instance.tamper = async (_node, call, real) => {
      if (call.method === "trackPayment") return trackedAs({ kind: "not-found" });
      return call.method === "listPayments" ? { ok: true, method: "listPayments", value: [] } : await real();
    };
    instance.start();
    await harness.run(3_600_000);
    assert.ok(!instance.story.includes("payer failed 50000"), instance.story.join("\n"));
    assert.equal(instance.state.ledger.positions.get(rogue.node), 50_000n);
    assert.equal(instance.reasons("payment-unknown").at(-1), "vanished");
    const { paymentHash } = instance.disk[0]!;
    instance.take({ kind: "resolve", paymentHash, as: "settled" });
    await harness.run(1_000);
    assert.equal(instance.story.at(-1), "payer settled 50000");
    await harness.end();
  });
}
