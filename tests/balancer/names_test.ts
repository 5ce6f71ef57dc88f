import assert from "node:assert/strict";
import { Harness } from "./harness.ts";

Deno.test("a node that has left goes by its name until the next start, and after it as its statement is signed", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  harness.channel(alice, bob, 1_003_470, 100_000);
  const a = harness.instance({ nodes: [alice] });
  const b = harness.instance({ nodes: [bob] });
  await harness.runUntil(() => b.told("payment-received").length === 1, 10_000);
  await harness.run(5_000);
  b.take({ kind: "drain" });
  await harness.run(100);
  assert.match(a.told("node-left")[0]!.message, /^bob \(.*\) was withdrawn by its instance$/);
  assert.match(a.told("channel-unwatched")[0]!.message, / and bob \(.*\): its node left the cluster$/);
  await b.crash();
  await a.restart();
  await harness.run(1_000);
  assert.equal(a.view.positions[0]!.alias, "bob");
  await harness.end();
});
