import assert from "node:assert/strict";
import { sat } from "../../lib/domain/amounts.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { Harness } from "./harness.ts";

Deno.test("a new channel of which the payer hears a moment later is asked for again soon", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  harness.channel(alice, bob, 1_003_470, 500_000);
  const payer = harness.instance({ nodes: [alice] });
  harness.instance({ nodes: [bob] });
  await harness.run(20_000);
  const opened = harness.network.run((network) =>
    network.openChannel({ from: alice, to: bob, capacitySat: sat(1_003_470n), pushSat: sat(100_000n) })
  );
  assert.ok(!isRefusal(opened));
  let known = false;
  payer.tamper = async (_node, _call, real) => {
    const reply = await real();
    if (!reply.ok || reply.method !== "listChannels" || known) return reply;
    return { ...reply, value: reply.value.filter(({ channelPoint }) => channelPoint !== opened) };
  };
  await harness.runUntil(() => payer.told("request-refused").length > 0, 10_000);
  known = true;
  await harness.runUntil(() => payer.told("payment-settled").length > 0, 4_000);
  assert.equal(harness.paymentsOf(alice).length, 1);
  await harness.end();
});
