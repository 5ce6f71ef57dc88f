import assert from "node:assert/strict";
import { nameOf } from "../../lib/balancer/names.ts";
import { Harness } from "./harness.ts";
import { scene } from "./payer_scene.ts";

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

Deno.test("a node's alias is cut between characters, and steers no screen", async () => {
  const { harness, mallory, instance, rogue } = await scene();
  const names = [["\u{1f9d7}".repeat(60), "\u{1f9d7}".repeat(40)], [
    "\u001b[2J\u202egn\u2066i\u00adk",
    "[2Jgnik",
  ]] as const;
  for (const [alias, shown] of names) {
    await harness.run(6_000);
    rogue.hello({ alias });
    await harness.run(100);
    assert.equal(nameOf(instance.state, mallory), `${shown} (${mallory.slice(0, 8)}…)`);
  }
  await harness.end();
});
