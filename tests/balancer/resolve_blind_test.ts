import assert from "node:assert/strict";
import { msat } from "../../lib/domain/amounts.ts";
import type { NodePubkey } from "../../lib/domain/ids.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { formatMemo } from "../../lib/protocol/memo.ts";
import type { Harness } from "./harness.ts";
import { noPause, scene } from "./payer_scene.ts";

/** Alice pays Mallory, who lets the HTLC hang. */
async function hangingPayment() {
  const all = await scene({ settings: noPause });
  const { harness, mallory, point, instance, rogue } = all;
  await harness.run(12_000);
  rogue.request(point, 50_000);
  await harness.runUntil(() => instance.told("payment-started").length === 1, 1_000);
  harness.network.run((network) => network.freezeNode(mallory));
  await harness.run(60_000);
  const [paymentHash] = instance.state.payments.keys();
  assert.ok(paymentHash, "it is open");
  return { ...all, paymentHash };
}

/** A busy node: what is older than a day isn't listed at each start. */
async function payOften(harness: Harness, alice: NodePubkey, carol: NodePubkey): Promise<void> {
  for (let i = 0; i < 120; i++) {
    harness.network.run((network) => {
      const invoice = network.addInvoice(carol, { valueMsat: msat(1_000_000) });
      assert.ok(!isRefusal(invoice));
      assert.ok(!isRefusal(network.sendPayment(alice, { paymentRequest: invoice.paymentRequest, timeoutSec: 30 })));
    });
    await harness.run(1_000);
  }
}

for (const restarts of [false, true]) {
  Deno.test(`what was resolved as failed while its node was away counts again once that node lists it${restarts ? ", after a restart too" : ""}`, async () => {
    const { harness, alice, mallory, instance, paymentHash } = await hangingPayment();
    const carol = harness.node("carol");
    harness.channel(alice, carol, 1_003_470, 100_000);
    await harness.run(36 * 3_600_000);
    await payOften(harness, alice, carol);
    await harness.run(36 * 3_600_000);
    harness.network.run((network) => network.stopNode(alice));
    await harness.run(1_000);
    instance.take({ kind: "resolve", paymentHash, as: "failed" });
    await harness.run(100);
    assert.equal(instance.story.at(-1), "payer failed 50000");
    if (restarts) await instance.restart();
    harness.network.run((network) => network.startNode(alice));
    await harness.run(120_000);
    assert.equal(instance.state.ledger.positions.get(mallory), 50_000n);
    assert.match(instance.view.breaker ?? "", /as failed and LND as under way/);
    await harness.end();
  });
}

for (const restarts of [false, true]) {
  Deno.test(`a foreign payment that was resolved as failed while its node was away counts again, too${restarts ? ", after a restart too" : ""}`, async () => {
    const { harness, alice, mallory, point, instance } = await scene();
    const carol = harness.node("carol");
    harness.channel(alice, carol, 1_003_470, 100_000);
    await harness.run(12_000);
    harness.network.run((network) => {
      const memo = formatMemo(network.channel(alice, point)!.chanId, "0123456789abcdef");
      const invoice = network.addInvoice(mallory, { valueMsat: msat(50_000_000), memo });
      assert.ok(!isRefusal(invoice));
      assert.ok(!isRefusal(network.sendPayment(alice, { paymentRequest: invoice.paymentRequest, timeoutSec: 30 })));
      network.freezeNode(mallory);
    });
    await harness.run(12_000);
    const [paymentHash] = [...instance.state.payments.keys()];
    assert.equal(instance.story.at(-1), "payer foreign 50000");
    await harness.run(36 * 3_600_000);
    await payOften(harness, alice, carol);
    await harness.run(36 * 3_600_000);
    harness.network.run((network) => network.stopNode(alice));
    await harness.run(1_000);
    instance.take({ kind: "resolve", paymentHash: paymentHash!, as: "failed" });
    await harness.run(100);
    assert.equal(instance.state.ledger.positions.get(mallory), 0n);
    if (restarts) await instance.restart();
    harness.network.run((network) => network.startNode(alice));
    await harness.run(120_000);
    assert.equal(instance.state.ledger.positions.get(mallory), 50_000n);
    await harness.end();
  });
}

Deno.test("what was resolved as settled while its node was away, and is not so there, stops paying as soon as the node answers", async () => {
  const { harness, alice, mallory, instance, paymentHash } = await hangingPayment();
  harness.network.run((network) => network.stopNode(alice));
  await harness.run(1_000);
  instance.take({ kind: "resolve", paymentHash, as: "settled" });
  await harness.run(100);
  assert.equal(instance.story.at(-1), "payer settled 50000");
  harness.network.run((network) => {
    network.cancelInvoice(mallory, paymentHash);
    network.thawNode(mallory);
    network.startNode(alice);
  });
  await harness.run(120_000);
  assert.match(instance.view.breaker ?? "", /as settled and LND as (under way|failed)/);
  await harness.end();
});
