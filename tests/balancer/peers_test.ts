import assert from "node:assert/strict";
import type { Message } from "../../lib/protocol/messages.ts";
import { Harness } from "./harness.ts";
import { scene } from "./payer_scene.ts";
import { Rogue } from "./rogue.ts";

// What sessions say, as far as it isn't about payments.

Deno.test("a message that isn't understood is told of, the many after it are counted, and the session goes on", async () => {
  const { harness, instance, rogue, point } = await scene();
  for (let i = 0; i < 10; i++) rogue.send({ type: "bye", publicKey: "x" } as unknown as Message);
  await harness.run(4_000);
  const told = () => instance.told("request-refused").filter(({ message }) => message.includes("is not understood"));
  assert.equal(told().length, 1);
  await harness.run(2_000);
  rogue.send({ type: "bye", publicKey: "x" } as unknown as Message);
  await harness.run(100);
  assert.equal(told().length, 2);
  assert.equal(await rogue.answer(rogue.request(point, 50_000)), "paid");
  await harness.run(60_000);
  assert.equal(instance.told("requests-ignored")[0]!.details!.requests, 11);
  await harness.end();
});

Deno.test("a session that introduces nodes without end is heard of 256 only", async () => {
  const { harness, instance, rogue } = await scene();
  for (let n = 0; n < 300; n++) {
    rogue.hello({ publicKey: `02${n.toString(16).padStart(64, "0")}` as never, proof: "" });
    await harness.run(2_000); // slowly enough to be no flood
  }
  const [peer] = [...instance.state.peers.values()].filter(({ via }) => via === "swarm");
  assert.equal(peer!.helloAtMs.size, 256);
  await harness.end();
});

Deno.test("a peer whose clock is off by more than a minute is told of once", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  harness.channel(alice, bob, 1_003_470, 500_000);
  const a = harness.instance({ nodes: [alice] });
  const b = harness.instance({ nodes: [bob] });
  for (
    const [offsetMs, words] of [[59_000, []], [120_000, ["120 s ahead of"]], [-120_000, ["120 s behind"]]] as const
  ) {
    await b.crash();
    await harness.run(1_000);
    b.wallOffsetMs = offsetMs;
    a.events.length = 0;
    b.start();
    await harness.run(20_000);
    const told = a.told("warning").map(({ message }) => /is (\d+ s \w+( of)?)/.exec(message)?.[1]);
    assert.deepEqual(told, words);
  }
  await harness.end();
});

Deno.test("a node that comes and goes within a minute is too often to tell, and no flood", async () => {
  const { harness, mallory, instance, rogue } = await scene();
  for (let i = 0; i < 2; i++) {
    rogue.send({ type: "bye", publicKey: mallory });
    await harness.run(6_000);
    rogue.hello();
    await harness.run(6_000);
  }
  await harness.run(60_000);
  assert.deepEqual([instance.told("node-joined").length, instance.told("node-left").length], [1, 1]);
  const [ignored] = instance.told("requests-ignored");
  assert.deepEqual([ignored!.details!.requests, ignored!.details!.untold], [0, 3]);
  await harness.end();
});

Deno.test("a node whose proof comes only when the program stops isn't introduced any more", async () => {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const instance = harness.instance({ nodes: [alice] });
  const proof = Promise.withResolvers<void>();
  instance.tamper = async (_node, call, real) => {
    if (call.method === "signMessage") await proof.promise;
    return await real();
  };
  const rogue = new Rogue(harness, mallory);
  await harness.run(100);
  instance.take({ kind: "drain" });
  proof.resolve();
  await harness.run(1_000);
  assert.deepEqual(rogue.received, []);
  await harness.end();
});
