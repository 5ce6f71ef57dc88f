import assert from "node:assert/strict";
import { maxMessages } from "../../lib/balancer/peers.ts";
import { maxProofs, msPerProof } from "../../lib/balancer/state.ts";
import { Harness } from "./harness.ts";
import { Rogue } from "./rogue.ts";

Deno.test("a session that floods is ended, and says so; another isn't touched", async () => {
  const harness = new Harness(1);
  const [alice, bob, mallory] = ["alice", "bob", "mallory"].map((alias) => harness.node(alias));
  const point = harness.channel(alice!, bob!, 1_000_000, 100_000);
  harness.channel(bob!, mallory!, 1_000_000, 500_000);
  harness.instance({ nodes: [alice!] });
  // The rogue speaks to the one that it met last.
  const instance = harness.instance({ nodes: [bob!] });
  const rogue = new Rogue(harness, mallory!);
  await harness.run(1_000);
  rogue.hello();
  await harness.run(1_000);
  const flood = async (messages: number) => {
    for (let i = 0; i < messages && rogue.isConnected; i++) {
      rogue.send({ type: "bye", publicKey: alice! });
      if (i % 500 === 0) await harness.run(500);
    }
    await harness.run(1_000);
  };
  await flood(maxMessages / 2);
  assert.ok(rogue.isConnected);
  await flood(maxMessages);
  assert.ok(!rogue.isConnected);
  assert.ok(instance.events.some(({ message }) => message.includes("it sends more messages than its channels need")));
  harness.network.run((network) => network.shift(point, bob!, 90_000_000n as never));
  await harness.run(60_000);
  assert.ok(harness.localSat(bob!, point) > 400_000);
  await harness.end();
});

Deno.test("a peer that comes again and again has only so many proofs signed, and who stays gets one", async () => {
  const harness = new Harness(2);
  const [alice, mallory] = ["alice", "mallory"].map((alias) => harness.node(alias));
  const instance = harness.instance({ nodes: [alice!] });
  let signed = 0;
  instance.tamper = async (_node, call, real) => {
    if (call.method === "signMessage") signed++;
    return await real();
  };
  const rogue = new Rogue(harness, mallory!);
  const beganAtMs = harness.atMs;
  for (let i = 0; i < 3 * maxProofs; i++) {
    await harness.run(100);
    harness.swarm.sever(instance.swarmKey, "f".repeat(64) as never);
    harness.swarm.mend(instance.swarmKey, "f".repeat(64) as never);
  }
  assert.ok(signed <= maxProofs + (harness.atMs - beganAtMs) / msPerProof + 1, `${signed}`);
  rogue.received.length = 0;
  await harness.run(2_000);
  assert.ok(rogue.received.some(({ type }) => type === "hello"));
  await harness.end();
});
