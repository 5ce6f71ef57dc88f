import assert from "node:assert/strict";
import { Harness } from "./harness.ts";

Deno.test("a channel that traffic moves in and out of a zone is told of each time, but seldom on the screen", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  const point = harness.channel(alice, bob, 1_003_470, 405_000);
  const instance = harness.instance({
    nodes: [alice, bob],
    limits: { idSettings: [{ id: { kind: "alias", alias: "bob" }, settings: { balancePoint: 0.3 } }] },
  });
  await harness.run(1_000);
  // Alice's share: 59.5 %, 60.5 %, 59.5 %, …
  for (let i = 0; i < 100; i++) {
    harness.shift(point, i % 2 === 0 ? bob : alice, 10_000);
    await harness.run(10_000);
  }
  const decisions = instance.told("decision").filter(({ node }) => node === alice);
  assert.equal(decisions.length, 101);
  assert.ok(decisions.every(({ reason }, i) => reason === (i % 2 === 0 ? "balanced" : "other-side")));
  // 1,000 s: at the beginning and after 600 s.
  assert.equal(decisions.filter(({ level }) => level === "info").length, 4);
  assert.equal(decisions[0]!.level, "info");
  await harness.end();
});
