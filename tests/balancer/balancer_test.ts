import assert from "node:assert/strict";
import { Harness } from "./harness.ts";

Deno.test("two nodes of one instance: a channel at 10 % is brought to its balance point by one payment", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  const point = harness.channel(alice, bob, 1_003_470, 100_000);
  const instance = harness.instance({ nodes: [alice, bob] });
  await harness.run(5_000);
  assert.deepEqual(instance.story, [
    "payee invoiced 400000",
    "payer intent 400000",
    "payee received 400000",
    "payer settled 400000",
  ]);
  assert.equal(harness.share(bob, point), 0.5);
  assert.deepEqual(instance.told("warning"), []);
  await harness.end();
});
