import assert from "node:assert/strict";
import { msat } from "../../lib/domain/amounts.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
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

for (const restarts of [false, true]) {
  Deno.test(`what was resolved as failed while its node was away counts again once that node lists it${restarts ? ", after a restart too" : ""}`, async () => {
    const { harness, alice, mallory, instance, paymentHash } = await hangingPayment();
    const carol = harness.node("carol");
    harness.channel(alice, carol, 1_003_470, 100_000);
    // Its node is a busy one: what is older than a day isn't listed at each start.
    await harness.run(36 * 3_600_000);
    for (let i = 0; i < 120; i++) {
      harness.network.run((network) => {
        const invoice = network.addInvoice(carol, { valueMsat: msat(1_000_000) });
        assert.ok(!isRefusal(invoice));
        assert.ok(!isRefusal(network.sendPayment(alice, { paymentRequest: invoice.paymentRequest, timeoutSec: 30 })));
      });
      await harness.run(1_000);
    }
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
