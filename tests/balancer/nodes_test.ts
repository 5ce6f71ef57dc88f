import assert from "node:assert/strict";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { NodeInfo } from "../../lib/lightning/node.ts";
import { nodeProofText, recoverNodePubkey } from "../../lib/protocol/signatures.ts";
import { Harness } from "./harness.ts";
import { noPause, scene } from "./payer_scene.ts";
import { Rogue } from "./rogue.ts";

// Our own nodes: who answers behind each socket, and how often each is asked.

const info = (pubkey: string, network = "regtest") => ({ pubkey, alias: "x", network, version: "0.18.5" }) as NodeInfo;

Deno.test("a node that is configured twice is used once, and the operator is told", async () => {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const point = harness.channel(alice, mallory, 1_003_470, 100_000);
  const instance = harness.instance({ nodes: [alice, alice], settings: noPause });
  const rogue = new Rogue(harness, mallory);
  await harness.runUntil(() => rogue.isConnected, 1_000);
  rogue.hello();
  await harness.run(11_000);
  assert.match(instance.told("warning")[0]!.message, /is configured twice \(lightningNodes 1 and 2\)/);
  assert.equal(instance.view.channels.length, 1);
  assert.equal(await rogue.answer(rogue.request(point, 50_000)), "paid", "nothing waits for the one that is left out");
  await harness.end();
});

Deno.test("of another node behind the same socket nothing is taken as known", async () => {
  const { harness, alice, instance } = await scene();
  const clone = new Rogue(harness, alice, "e".repeat(64));
  await harness.runUntil(() => clone.isConnected, 1_000);
  clone.hello();
  await harness.run(100);
  const [node] = instance.state.nodes;
  assert.deepEqual([node!.sides.size, node!.history.phase, node!.cloned], [1, "read", true]);
  const up = (pubkey: string) => instance.take({ kind: "node", node: 0, event: { kind: "up", info: info(pubkey) } });
  up(alice);
  assert.deepEqual([node!.sides.size, node!.history.phase, node!.cloned], [1, "read", true], "it came back");
  up(harness.node("ann"));
  assert.deepEqual([node!.sides.size, node!.history.phase, node!.cloned], [0, "unread", false]);
  await harness.end();
});

Deno.test("the other instances are told that another node answers behind the same socket, by its own proof", async () => {
  const { harness, alice, instance, rogue } = await scene();
  const ann = harness.node("ann");
  // Alice was to sign for one more session when she went, and her answer comes before Ann's.
  const answers: (() => void)[] = [];
  instance.tamper = async (_node, call, real) => {
    if (call.method !== "signMessage") return await real();
    const signer = answers.length === 0 ? alice : ann;
    await new Promise<void>((resolve) => answers.push(resolve));
    const text = new TextEncoder().encode(call.args[0]);
    return { ok: true, method: "signMessage", value: harness.network.signMessage(signer, text) };
  };
  harness.swarm.sever(instance.swarmKey, "f".repeat(64) as never);
  harness.swarm.mend(instance.swarmKey, "f".repeat(64) as never);
  await harness.run(100);
  instance.take({ kind: "node", node: 0, event: { kind: "up", info: info(ann) } });
  await harness.run(100);
  rogue.received.length = 0;
  for (const answer of answers) {
    answer();
    await harness.run(100);
  }
  const role = rogue.session!.initiator ? "responder" : "initiator";
  const text = nodeProofText(ann, bytesToHex(rogue.sessionId!), role);
  const hellos = rogue.received.filter((message) => message.type === "hello");
  assert.deepEqual(hellos.map(({ publicKey, proof }) => [publicKey, recoverNodePubkey(text, proof)]), [[ann, ann]]);
  const tom = harness.node("tom");
  instance.take({ kind: "node", node: 0, event: { kind: "up", info: info(tom) } });
  await harness.run(100);
  assert.deepEqual(rogue.received.filter(({ type }) => type === "bye"), [{ type: "bye", publicKey: ann }]);
  await harness.end();
});

Deno.test("a node that comes up is paused if another instance has proven it before", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  harness.network.run((network) => network.stopNode(alice));
  const instance = harness.instance({ nodes: [alice, bob] });
  const clone = new Rogue(harness, alice);
  await harness.runUntil(() => clone.isConnected, 1_000);
  clone.hello();
  await harness.run(1_000);
  assert.deepEqual(instance.told("paused"), []);
  harness.network.run((network) => network.startNode(alice));
  await harness.run(20_000);
  assert.match(instance.told("paused")[0]!.message, /speaks for our own node alice/);
  assert.deepEqual(instance.view.nodes.map(({ cloned }) => cloned), [true, false]);
  await harness.end();
});

Deno.test("a channel is shared only with a node of the same network", async () => {
  const harness = new Harness();
  const [alice, ann, mallory] = [harness.node("alice"), harness.node("ann"), harness.node("mallory")];
  for (const node of [alice, ann]) harness.channel(node, mallory, 1_003_470, 100_000);
  const instance = harness.instance({ nodes: [alice, ann] });
  const rogue = new Rogue(harness, mallory);
  await harness.runUntil(() => rogue.isConnected, 1_000);
  instance.take({ kind: "node", node: 1, event: { kind: "up", info: info(ann, "signet") } });
  rogue.hello();
  await harness.run(1_000);
  assert.deepEqual(instance.view.channels.map(({ node, watched }) => [node, watched]), [[alice, true], [ann, false]]);
  await harness.end();
});

Deno.test("a node is listed at the shortest refreshRate of its shared channels", async () => {
  const harness = new Harness();
  const [alice, mallory, carol] = [harness.node("alice"), harness.node("mallory"), harness.node("carol")];
  const points = [mallory, mallory, carol].map((node) => harness.channel(alice, node, 1_003_470, 500_000));
  const rates = [4_000, 30_000, 1_000];
  const idSettings = points.map((point, index) => ({
    id: { kind: "channel" as const, channelId: harness.network.channel(alice, point)!.chanId },
    settings: { refreshRateMs: rates[index]! },
  }));
  const instance = harness.instance({ nodes: [alice], settings: { refreshRateMs: 20_000 }, limits: { idSettings } });
  const rogue = new Rogue(harness, mallory);
  await harness.run(1_000);
  const lists = async () => {
    const before = instance.effects.length;
    await harness.run(120_000);
    const calls = instance.effects.slice(before).filter((effect) =>
      effect.kind === "call" && effect.call.method === "listChannels"
    );
    return calls.length;
  };
  assert.equal(await lists(), 6, "its own while it shares none");
  rogue.hello();
  await harness.run(1_000);
  const shared = await lists();
  assert.ok(shared >= 29 && shared <= 32, `${shared}`);
  await harness.end();
});

Deno.test("what a node and the swarm report is told, and a channel of a node that is down says so", async () => {
  const { harness, alice, instance } = await scene();
  const event = { message: "the certificate expires in 9 days", remedy: "Renew it" };
  instance.take({ kind: "node", node: 0, event: { kind: "warning", ...event } });
  const [warning] = instance.told("warning");
  assert.match(warning!.message, /^alice \(.*\): the certificate expires in 9 days\. Renew it$/);
  assert.equal(warning!.node, alice);
  instance.take({ kind: "transport", event: { kind: "status", level: "warn", message: "the DHT is not reachable" } });
  assert.equal(instance.told("transport")[0]!.message, "Swarm: the DHT is not reachable");
  instance.take({ kind: "node", node: 0, event: { kind: "down", message: "locked", remedy: "Unlock it" } });
  assert.equal(instance.view.channels[0]!.reason, "node-down");
  await harness.end();
});
