import assert from "node:assert/strict";
import { reasonByHand } from "../../lib/audit/by_hand.ts";
import type { EventKind } from "../../lib/audit/record.ts";
import type { NodePubkey } from "../../lib/domain/ids.ts";
import { type NodeReply, noFee } from "../../lib/lightning/node.ts";
import { Harness, type TestInstance } from "./harness.ts";

/** Alice holds 90 % of a channel with Bob, who asks for 400,000 sat. Each has an instance of its own. */
function scene() {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  const point = harness.channel(alice, bob, 1_003_470, 100_000);
  const a = harness.instance({ nodes: [alice] });
  const b = harness.instance({ nodes: [bob] });
  return { harness, alice, bob, point, a, b };
}

const messages = (instance: TestInstance, kind: EventKind) => instance.told(kind).map(({ message }) => message);

/** Replaces a node's answers to one method. */
function answers(instance: TestInstance, method: string, answer: (real: NodeReply) => NodeReply): void {
  instance.tamper = async (_node, call, real) => call.method === method ? answer(await real()) : await real();
}

Deno.test("a side that its own breaker has stopped isn't said to be paused by its operator", async () => {
  const { harness, a, b } = scene();
  answers(
    a,
    "pay",
    (real) =>
      real.ok && real.method === "pay" && real.value.kind === "settled"
        ? { ...real, value: { ...real.value, feeMsat: 1_000n as typeof noFee } }
        : real,
  );
  await harness.runUntil(() => a.told("breaker").length === 1, 20_000);
  a.take({ kind: "paused", pauses: a.pauses, resumed: false });
  await harness.runUntil(() => b.told("peer-paused").length === 1, 20_000);
  assert.match(messages(b, "peer-paused")[0]!, /^alice \(.*\) is paused on its side, until its operator resumes$/);
  await harness.end();
});

Deno.test("the breaker names a foreign channel as every other line does", async () => {
  const { harness, alice, bob, a } = scene();
  const other = harness.channel(alice, bob, 1_003_470, 500_000);
  const channelId = harness.network.channel(alice, other)!.chanId;
  answers(
    a,
    "pay",
    (real) =>
      real.ok && real.method === "pay" && real.value.kind === "settled"
        ? { ...real, value: { ...real.value, routes: [[{ channelId, pubkey: bob }]] } }
        : real,
  );
  await harness.runUntil(() => a.told("breaker").length === 1, 20_000);
  assert.match(messages(a, "breaker")[0]!, /went over another channel \(472x2x0\)/);
  await harness.end();
});

Deno.test("a payment that fails is told in words, and that paying rests after it", async () => {
  const { harness, bob, a } = scene();
  a.tamper = async (_node, call, real) => {
    if (call.method === "pay") {
      harness.network.run((network) => network.cancelInvoice(bob, call.args[0].paymentHash));
    }
    return await real();
  };
  await harness.runUntil(() => a.told("payment-failed").length === 3, 200_000);
  const told = a.events.filter(({ kind }) => kind === "payment-failed" || kind === "warning");
  assert.match(told[0]!.message, / failed: the other node refused it \(its invoice was cancelled, perhaps\)$/);
  assert.equal(told[0]!.reason, "incorrect-details");
  assert.deepEqual(told.map(({ kind }) => kind), ["payment-failed", "payment-failed", "payment-failed", "warning"]);
  assert.match(
    told[3]!.message,
    /^3 payments to bob \(.*\) failed in a row: paying to it rests for a minute, then longer$/,
  );
  await harness.end();
});

Deno.test("a node that refuses is not said to be silent", async () => {
  const { harness, a, b } = scene();
  a.tamper = async (_node, call, real) =>
    call.method === "decodeInvoice"
      ? { ok: false, method: call.method, kind: "permission", message: "The macaroon was revoked", remedy: "Bake one" }
      : await real();
  await harness.runUntil(() => b.told("request-ended").length === 1, 20_000);
  assert.match(
    messages(a, "request-refused")[0]!,
    /: our own node gave no answer that could be used: The macaroon was revoked\. Bake one$/,
  );
  assert.match(messages(b, "request-ended")[0]!, /refused: the payment, or its own node, failed; not asking/);
  await harness.end();
});

Deno.test("a node that lists its channels again after it didn't is told of", async () => {
  const { harness, alice, a } = scene();
  await harness.run(20_000);
  let refusing = true;
  a.tamper = async (_node, call, real) =>
    refusing && call.method === "listChannels"
      ? { ok: false, method: call.method, kind: "unavailable", message: "It hangs", remedy: "Look at it" }
      : await real();
  await harness.run(60_000);
  refusing = false;
  await harness.run(60_000);
  const told = a.told("warning").filter(({ node }) => node === alice);
  assert.deepEqual(told.map(({ level }) => level), ["warn", "info"]);
  assert.match(told[1]!.message, /^alice \(.*\) lists its channels again$/);
  await harness.end();
});

Deno.test("how long a payment took counts from its beginning, over restarts too", async () => {
  const { harness, bob, a, b } = scene();
  await harness.runUntil(() => a.told("payment-started").length === 1, 20_000);
  harness.network.run((network) => network.freezeNode(bob));
  await harness.run(50_000);
  await a.restart();
  await b.crash();
  await harness.run(30_000);
  harness.network.run((network) => network.thawNode(bob));
  await harness.runUntil(() => a.told("payment-settled").length === 1, 70_000);
  const { details } = a.told("payment-settled")[0]!;
  assert.ok(Number(details?.tookMs) > 80_000, `${details?.tookMs} ms`);
  b.start();
  await harness.runUntil(() => b.told("payment-received").length === 1, 20_000);
  // The invoice's record has no time that would tell.
  assert.match(messages(b, "payment-received")[0]!, /over 472x1x0$/);
  await harness.end();
});

Deno.test("what LND has of a payment that the log has as failed isn't called unknown to the log", async () => {
  const { harness, alice, bob, a } = scene();
  await harness.runUntil(() => a.told("payment-settled").length === 1, 20_000);
  await a.crash();
  const record = a.disk.at(-1)!;
  assert.ok(record.kind === "settled");
  const { feeMsat: _feeMsat, ...rest } = record;
  a.disk[a.disk.length - 1] = { ...rest, kind: "failed", reason: reasonByHand("unreachable (it was down)") };
  a.start();
  await harness.runUntil(() => a.told("breaker").length === 1, 20_000);
  const [told] = a.told("warning").filter(({ reason }) => reason === "foreign");
  assert.match(
    told!.message,
    /^alice \(.*\) has paid .* sat to rebalance, which our log has as failed\. It counts as spent$/,
  );
  assert.deepEqual([told!.node, told!.peer], [alice, bob]);
  await harness.end();
});

Deno.test("what the operator ended by hand is told of once, and as what it is", async () => {
  const { harness, a } = scene();
  a.tamper = (_node, call, real) => {
    const { method } = call;
    if (method === "pay") return Promise.resolve({ ok: true, method, value: { kind: "unknown", detail: "lost" } });
    const isOurs = method === "trackPayment" && a.state.payments.has(call.args[0]);
    return isOurs
      ? Promise.resolve({ ok: false, method, kind: "unavailable", message: "It hangs", remedy: "" })
      : real();
  };
  await harness.runUntil(() => a.told("payment-unknown").length === 1, 20_000);
  const [paymentHash] = [...a.state.payments.keys()];
  a.take({ kind: "resolve", paymentHash: paymentHash!, as: "settled" });
  await harness.run(1_000);
  assert.match(
    messages(a, "resolved")[0]!,
    /^Resolved by the operator's hand: the payment of .* sat to bob \(.*\) counts as settled; LND couldn't be asked \(It hangs\)$/,
  );
  assert.deepEqual(a.told("payment-settled").map(({ level }) => level), ["debug"]);
  assert.match(messages(a, "payment-settled")[0]!, /counts as settled by the operator's word$/);
  await harness.end();
});

Deno.test("what is counted is told in the right number, and a log begun anew isn't said to have lost what it never had", async () => {
  const harness = new Harness();
  const alice: NodePubkey = harness.node("alice");
  const a = harness.instance({ nodes: [alice] });
  await harness.run(1_000);
  await a.crash();
  const note = { kind: "repaired", atWallMs: a.now.wallMs, reason: "", keptRecords: 0, setAside: "" } as const;
  a.notes.push({ after: 0, record: note });
  a.start();
  await harness.run(1_000);
  assert.match(
    messages(a, "warning").at(-1)!,
    /^The log was begun anew and lacks none of the payments to rebalance that alice \(.*\) lists$/,
  );
  await harness.end();
});

Deno.test("a node that is down is told of once: what it therefore didn't do isn't told as well", async () => {
  const { harness, alice, a, b } = scene();
  await harness.run(20_000);
  a.tamper = async (_node, call, real) => {
    if (call.method !== "signMessage" && call.method !== "listChannels") return await real();
    await new Promise<void>((resolve) => harness.after(500, resolve));
    return { ok: false, method: call.method, kind: "unavailable", message: "Nothing listens", remedy: "Start LND" };
  };
  await b.restart();
  await harness.run(100);
  a.events.length = 0;
  a.take({ kind: "node", node: 0, event: { kind: "down", message: "Nothing listens", remedy: "Start LND" } });
  await harness.run(5_000);
  a.tamper = (_node, _call, real) => real();
  const info = { pubkey: alice, alias: "alice", network: "regtest", version: "0.18.5-beta" } as const;
  a.take({ kind: "node", node: 0, event: { kind: "up", info } });
  await harness.run(20_000);
  const told = a.events.filter(({ kind }) => ["warning", "node-down", "node-up"].includes(kind));
  assert.deepEqual(told.map(({ kind }) => kind), ["node-down", "node-up"]);
  await harness.end();
});
