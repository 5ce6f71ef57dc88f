import assert from "node:assert/strict";
import type { TransactionRecord } from "../../lib/audit/record.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { Harness } from "./harness.ts";

Deno.test("a contradiction that is found while the breaker's first is being resumed is told, and stops all paying again", async () => {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const channelPoint = harness.channel(alice, mallory, 100_003_470, 10_000_000);
  const instance = harness.instance({ nodes: [alice] });
  await harness.run(1_000);
  await instance.crash();
  for (let i = 0; i < 2; i++) {
    harness.network.run((network) => {
      const memo = "tightrope rebalance 472x1x0 0123456789abcdef";
      const invoice = network.addInvoice(mallory, { valueMsat: msat(50_000_000), memo });
      assert.ok(!isRefusal(invoice));
      assert.ok(!isRefusal(network.sendPayment(alice, { paymentRequest: invoice.paymentRequest, timeoutSec: 30 })));
    });
  }
  await harness.run(2_000);
  const hashes = harness.paymentsOf(alice).map(({ paymentHash }) => paymentHash);
  assert.equal(hashes.length, 2);
  for (const paymentHash of hashes) {
    const base = {
      ...{ atWallMs: instance.now.wallMs, role: "payer" as const, node: alice, peer: mallory, ownPeer: false },
      channelPoint,
      channelId: harness.network.channel(alice, channelPoint)!.chanId,
      ...{ paymentHash, amountSat: sat(50_000), requestId: "ab".repeat(16) as never, expiresAtWallMs: 0 },
    } as const;
    const records: TransactionRecord[] = [{ ...base, kind: "intent" }, { ...base, kind: "failed", reason: "no-route" }];
    instance.disk.push(...records);
  }
  const released = Promise.withResolvers<void>();
  instance.tamper = async (_node, call, real) => {
    if (call.method === "trackPayment" && call.args[0] === hashes[1]) await released.promise;
    return await real();
  };
  instance.start();
  await harness.run(2_000);
  assert.equal(instance.told("breaker").length, 1);
  // The file is gone; the daemon looks twice a second.
  instance.pauses = [];
  released.resolve();
  await harness.run(100);
  assert.deepEqual(instance.told("breaker").map(({ message }) => hashes.findIndex((hash) => message.includes(hash))), [
    0,
    1,
  ]);
  instance.take({ kind: "paused", pauses: instance.pauses, resumed: true });
  assert.match(instance.view.breaker ?? "", new RegExp(hashes[1]!));
  instance.resume();
  assert.equal(instance.view.breaker, undefined);
  await harness.end();
});
