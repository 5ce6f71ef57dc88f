import assert from "node:assert/strict";
import { maxIdleSessions, maxMessages, messagesPerSec } from "../../lib/balancer/peers.ts";
import { maxProofs, msPerProof } from "../../lib/balancer/state.ts";
import { parseNodePubkey, parseSwarmKey } from "../../lib/domain/ids.ts";
import { openSession, receiveFrame } from "../../lib/protocol/session.ts";
import { authKey, Harness, type TestInstance } from "./harness.ts";
import { Rogue } from "./rogue.ts";

/** Somebody who knows the secret opens a session, and says nothing more in it. */
function knock(instance: TestInstance, connection: number): void {
  const keys = [instance.swarmKey, parseSwarmKey(connection.toString(16).padStart(64, "e"))!] as const;
  const handshakeHash = new Uint8Array(64).fill(connection);
  const opening = { authKey, localKey: keys[1], remoteKey: keys[0], handshakeHash, nonce: new Uint8Array(32).fill(9) };
  const { session, frames } = openSession({ ...opening, initiator: true, atMs: instance.now.atMs });
  let seen = instance.effects.length;
  const via = { via: "swarm", initiator: false, localKey: keys[0], remoteKey: keys[1], handshakeHash } as const;
  instance.take({ kind: "transport", event: { kind: "connected", connection, ...via } });
  for (const waiting = [...frames]; waiting.length > 0;) {
    instance.take({ kind: "transport", event: { kind: "frame", connection, frame: waiting.shift()! } });
    for (const effect of instance.effects.slice(seen)) {
      if (effect.kind !== "send" || effect.connection !== connection) continue;
      for (const output of receiveFrame(session, effect.frame, instance.now.atMs)) {
        if (output.kind === "send") waiting.push(output.frame);
      }
    }
    seen = instance.effects.length;
  }
}

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

Deno.test("sessions that nobody needs together can't keep the machine busy for good", async () => {
  const harness = new Harness(5);
  const [alice, mallory] = ["alice", "mallory"].map((alias) => harness.node(alias));
  const instance = harness.instance({ nodes: [alice!] });
  const rogue = new Rogue(harness, mallory!);
  await harness.run(1_000);
  let taken = 0;
  const beganAtMs = harness.atMs;
  for (; rogue.isConnected && taken < 5_000; taken++) {
    rogue.send({ type: "bye", publicKey: alice! });
    await harness.run(20);
  }
  assert.ok(taken >= maxMessages);
  const gained = (harness.atMs - beganAtMs) / 1_000 * messagesPerSec;
  assert.ok(taken <= maxMessages + gained + 10, `${taken} messages`);
  // A tenth of a millisecond each.
  assert.ok(maxIdleSessions * messagesPerSec <= 2_000);
  assert.deepEqual([...instance.state.peers.values()].filter(({ via }) => via === "swarm"), []);
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

Deno.test("of sessions that nothing goes through only so many stay, and those with whom we share channels", async () => {
  const harness = new Harness(3);
  const [alice, bob, mallory] = ["alice", "bob", "mallory"].map((alias) => harness.node(alias));
  harness.channel(alice!, bob!, 1_000_000, 500_000);
  harness.channel(alice!, mallory!, 1_000_000, 500_000);
  harness.instance({ nodes: [bob!] });
  const instance = harness.instance({ nodes: [alice!] });
  const rogue = new Rogue(harness, mallory!);
  await harness.run(1_000);
  rogue.hello();
  await harness.run(1_000);
  const before = [...instance.state.peers.keys()];
  for (let i = 0; i < maxIdleSessions + 100; i++) {
    knock(instance, 1_000 + i);
    if (i % 50 === 0) await harness.run(1_000);
  }
  const open = [...instance.state.peers.keys()];
  assert.deepEqual(open.slice(0, before.length), before);
  assert.deepEqual(open.slice(before.length), Array.from({ length: maxIdleSessions }, (_, i) => 1_100 + i));
  assert.ok(instance.view.channels.every(({ watched }) => watched));
  assert.ok(instance.events.some(({ message }) => message.includes("nothing goes through it")));
  await harness.end();
});

Deno.test("hellos that wait for their turn cost nothing until then, and keep nothing of what isn't ours", async () => {
  const harness = new Harness(4);
  const [alice, mallory] = ["alice", "mallory"].map((alias) => harness.node(alias));
  const point = harness.channel(alice!, mallory!, 1_000_000, 500_000);
  const instance = harness.instance({ nodes: [alice!] });
  const rogue = new Rogue(harness, mallory!);
  await harness.run(1_000);
  const pausedChannels = [point, ...Array.from({ length: 200 }, (_, i) => `${"ab".repeat(32)}:${i}` as typeof point)];
  for (let round = 0; round < 2; round++) {
    rogue.hello({ pausedChannels });
    for (let i = 0; i < 40; i++) {
      rogue.hello({ publicKey: parseNodePubkey(`02${i.toString(16).padStart(64, "a")}`)! });
    }
    await harness.run(10);
  }
  const [peer] = [...instance.state.peers.values()].filter(({ via }) => via === "swarm");
  const { waitingHellos } = peer!;
  assert.equal(waitingHellos.size, 41);
  assert.deepEqual(waitingHellos.get(mallory!)?.pausedChannels, [point]);
  const read = () => assert.fail("every hello that waits is looked at");
  const look = { [Symbol.iterator]: read, keys: read, values: read, entries: read, forEach: read };
  Object.assign(waitingHellos, look);
  for (let i = 0; i < 10; i++) instance.take({ kind: "timeout" });
  assert.ok(instance.nextTimeoutMs()! > harness.atMs);
  for (const name of Reflect.ownKeys(look)) Reflect.deleteProperty(waitingHellos, name);
  await harness.run(6_000);
  assert.equal(waitingHellos.size, 0);
  assert.deepEqual(peer!.nodes.get(mallory!)?.pausedChannels, [point]);
  await harness.end();
});
