import assert from "node:assert/strict";
import type { LimitsConfig } from "../../lib/config/config.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import type { ChannelPoint } from "../../lib/domain/ids.ts";
import type { NodeReply } from "../../lib/lightning/node.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { formatMemo, invoiceTag } from "../../lib/protocol/memo.ts";
import { Harness, type InstanceOptions } from "./harness.ts";
import { noPause, type Scene, scene } from "./payer_scene.ts";
import { Rogue } from "./rogue.ts";

function limited(over: Partial<LimitsConfig>): Partial<InstanceOptions> {
  return { settings: noPause, limits: over };
}

Deno.test("an honest request is paid over exactly that channel, recorded before and after", async () => {
  const { harness, alice, point, instance, rogue } = await scene();
  const parallel = harness.channel(alice, rogue.node, 1_003_470, 100_000);
  await harness.run(11_000);
  assert.equal(await rogue.answer(rogue.request(point, 300_000)), "paid");
  assert.deepEqual(instance.story, ["payer intent 300000", "payer settled 300000"]);
  assert.equal(harness.localSat(alice, point), 600_000);
  assert.equal(harness.localSat(alice, parallel), 900_000);
  const order = instance.effects.flatMap((effect) =>
    effect.kind === "append"
      ? [effect.record.kind]
      : effect.kind === "call" && effect.call.method === "pay"
      ? ["pay"]
      : []
  );
  assert.deepEqual(order, ["intent", "pay", "settled"]);
  const [sent] = instance.effects.flatMap((effect) =>
    effect.kind === "call" && effect.call.method === "pay" ? effect.call.args : []
  );
  assert.deepEqual({ ...sent, invoice: "", paymentHash: "" }, {
    ...{ invoice: "", paymentHash: "" },
    outgoingChannelId: harness.network.channel(alice, point)!.chanId,
    timeoutSec: 30,
    cltvLimitBlocks: 80 + 40,
  });
  await harness.end();
});

const lies: { name: string; over: (scene: Scene) => Parameters<Rogue["request"]>[2]; reason: string }[] = [
  {
    name: "made for another request",
    over: ({ rogue }) => ({ tagFor: { requestId: rogue.requestId() } }),
    reason: "wrong-purpose",
  },
  { name: "made for another amount", over: () => ({ tagFor: { tokens: 300_001 } }), reason: "wrong-purpose" },
  {
    name: "made for another channel",
    over: () => ({ tagFor: { channelPoint: ("ee".repeat(32) + ":0") as ChannelPoint } }),
    reason: "wrong-purpose",
  },
  { name: "for a pair of shoes", over: () => ({ memo: "shoes" }), reason: "wrong-purpose" },
  { name: "over another amount than asked for", over: () => ({ valueSat: 300_001 }), reason: "wrong-amount" },
  { name: "of another node", over: ({ harness }) => ({ by: harness.node("eve") }), reason: "wrong-destination" },
  { name: "that is none", over: () => ({ invoice: "lnbcrt1nonsense" }), reason: "undecodable-invoice" },
  { name: "that is valid for two hours", over: () => ({ expirySec: 7_200 }), reason: "expires-too-late" },
];
for (const { name, over, reason } of lies) {
  Deno.test(`an invoice ${name} is not paid`, async () => {
    const all = await scene();
    assert.equal(await all.rogue.answer(all.rogue.request(all.point, 300_000, over(all))), "invalid");
    assert.deepEqual(all.instance.reasons("request-refused"), [reason]);
    assert.deepEqual(all.instance.story, []);
    assert.equal(all.harness.paymentsOf(all.alice).length, 0);
    await all.harness.end();
  });
}

Deno.test("an invoice that was paid is not paid again, in whatever request it comes", async () => {
  const { harness, alice, point, instance, rogue } = await scene({ settings: noPause });
  const first = rogue.request(point, 50_000);
  const { invoice } = { invoice: lastInvoice(harness, rogue) };
  assert.equal(await rogue.answer(first), "paid");
  await harness.run(6_000);
  assert.equal(await rogue.answer(rogue.request(point, 50_000, { invoice, tagFor: {} })), "invalid");
  assert.equal(harness.paymentsOf(alice).length, 1);
  assert.deepEqual(instance.story, ["payer intent 50000", "payer settled 50000"]);
  await harness.end();
});

Deno.test("a request that comes again once its id is forgotten is known by its hash", async () => {
  const { harness, alice, point, instance, rogue } = await scene({ settings: noPause });
  const requestId = rogue.request(point, 50_000);
  const invoice = lastInvoice(harness, rogue);
  assert.equal(await rogue.answer(requestId), "paid");
  const nowhere = ("ee".repeat(32) + ":0") as ChannelPoint;
  for (let i = 0; i < 256; i++) rogue.request(nowhere, 1, { invoice });
  await harness.run(6_000);
  rogue.request(point, 50_000, { requestId, invoice });
  await harness.run(1_000);
  assert.deepEqual(rogue.results(requestId).map(({ reason }) => reason), [undefined, "invalid"]);
  assert.ok(instance.reasons("request-refused").includes("known-hash"));
  assert.equal(harness.paymentsOf(alice).length, 1);
  await harness.end();
});

function lastInvoice(harness: Harness, rogue: Rogue): string {
  return harness.network.invoices(rogue.node).at(-1)!.paymentRequest;
}

Deno.test("a request sent twice is answered once, and a replayed frame ends the session", async () => {
  const { harness, point, instance, rogue } = await scene({ settings: noPause });
  const id = rogue.request(point, 50_000);
  rogue.request(point, 50_000, { requestId: id });
  await harness.run(10_000);
  rogue.request(point, 50_000, { requestId: id });
  await harness.run(10_000);
  assert.equal(rogue.results(id).length, 1);
  assert.equal(instance.story.length, 2);
  rogue.sendFrame(rogue.sentFrames.at(-1)!);
  await harness.run(100);
  assert.ok(!rogue.isConnected);
  assert.match(instance.told("peer-disconnected")[0]!.message, /came again/);
  await harness.end();
});

Deno.test("of a flood one request is looked into per 5 s, the rest is busy without touching the node or the log", async () => {
  const { harness, point, instance, rogue } = await scene({ settings: noPause });
  const ids = Array.from({ length: 200 }, () => rogue.request(point, 50_000, { memo: "flood" }));
  await harness.run(1_000);
  const answers = ids.map((id) => rogue.results(id).map((result) => result.reason).join());
  assert.deepEqual([answers[0], ...new Set(answers.slice(1))], ["invalid", "busy"]);
  const decodes = instance.effects.filter((effect) => effect.kind === "call" && effect.call.method === "decodeInvoice");
  assert.equal(decodes.length, 1);
  assert.equal(instance.told("request-refused").length, 1);
  await harness.run(3_900);
  assert.equal(await rogue.answer(rogue.request(point, 50_000, { memo: "flood" })), "busy");
  await harness.run(100);
  assert.equal(await rogue.answer(rogue.request(point, 50_000, { memo: "flood" })), "invalid");
  await harness.run(60_000);
  assert.equal(instance.told("requests-ignored")[0]!.details!.requests, 200);
  await harness.end();
});

Deno.test("a node that the session hasn't proven is not paid", async () => {
  const harness = new Harness();
  const [alice, mallory, victim] = [harness.node("alice"), harness.node("mallory"), harness.node("victim")];
  const point = harness.channel(alice, victim, 1_003_470, 100_000);
  for (const requireNodeProof of [true, false]) {
    const instance = harness.instance({ nodes: [alice], config: { requireNodeProof } });
    const rogue = new Rogue(harness, mallory, requireNodeProof ? "e".repeat(64) : "f".repeat(64));
    await harness.runUntil(() => rogue.isConnected, 100);
    rogue.hello({ publicKey: victim }, mallory);
    await harness.run(100);
    assert.equal(await rogue.answer(rogue.request(point, 300_000, { by: victim })), "not-shared");
    assert.deepEqual(instance.story, []);
    await instance.crash();
  }
  await harness.end();
});

Deno.test("an unproven node is asked only where the configuration says so", async () => {
  for (const requireNodeProof of [true, false]) {
    const harness = new Harness();
    const [alice, mallory, poor] = [harness.node("alice"), harness.node("mallory"), harness.node("poor")];
    harness.channel(mallory, alice, 1_003_470, 100_000);
    const instance = harness.instance({ nodes: [alice], config: { requireNodeProof } });
    const rogue = new Rogue(harness, mallory);
    await harness.runUntil(() => rogue.isConnected, 100);
    rogue.hello({}, poor);
    await harness.run(1_000);
    assert.equal(rogue.received.some((message) => message.type === "payInvoice"), !requireNodeProof);
    assert.equal(instance.told("warning").length, requireNodeProof ? 1 : 0);
    await harness.end();
  }
});

Deno.test("if `peers` lists nodes, no other is paid", async () => {
  const { harness, point, instance, rogue } = await scene({ config: { peers: [] } });
  assert.equal(await rogue.answer(rogue.request(point, 300_000)), "not-shared");
  assert.deepEqual(instance.reasons("request-refused"), ["peer-not-listed"]);
  await instance.crash();
  Object.assign(instance.options, { config: { peers: [rogue.node] } });
  instance.start();
  await harness.run(100);
  await harness.runUntil(() => rogue.isConnected, 20_000);
  rogue.hello();
  await harness.run(1_000);
  assert.equal(await rogue.answer(rogue.request(point, 300_000)), "paid");
  await harness.end();
});

Deno.test("nodes of one instance needn't be in `peers`", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  const point = harness.channel(alice, bob, 1_003_470, 100_000);
  harness.instance({ nodes: [alice, bob], config: { peers: [] } });
  await harness.run(20_000);
  assert.equal(harness.share(bob, point), 0.5);
  await harness.end();
});

Deno.test("a hash that the log knows is not paid, though LND has never heard of it", async () => {
  const { harness, alice, point, instance, rogue } = await scene({ settings: noPause });
  // Recorded, and never sent.
  instance.diskHangs = true;
  const requestId = rogue.request(point, 50_000);
  const invoice = lastInvoice(harness, rogue);
  assert.equal(await rogue.answer(requestId), "unknown");
  instance.diskHangs = false;
  await harness.run(6_000);
  for (let i = 0; i < 256; i++) rogue.request(("ee".repeat(32) + ":0") as ChannelPoint, 1, { invoice });
  await harness.run(1_000);
  rogue.request(point, 50_000, { requestId, invoice });
  await harness.run(1_000);
  assert.equal(instance.reasons("request-refused").at(-1), "known-hash");
  // Of an invoice that our own node made.
  harness.channel(rogue.node, alice, 1_003_470, 100_000);
  await harness.runUntil(() => rogue.received.some(({ type }) => type === "payInvoice"), 20_000);
  const hash = harness.network.invoices(alice).at(-1)!.paymentHash;
  const nextId = rogue.requestId();
  const tag = { sessionId: rogue.sessionId!, requestId: nextId, channelPoint: point, tokens: sat(50_000) };
  const made = harness.network.run((network) =>
    network.addInvoice(rogue.node, {
      ...{ valueMsat: msat(50_000_000), memo: formatMemo("1" as never, invoiceTag(tag)), expirySec: 600, hash },
    })
  );
  assert.ok(!isRefusal(made));
  assert.equal(
    await rogue.answer(rogue.request(point, 50_000, { requestId: nextId, invoice: made.paymentRequest })),
    "invalid",
  );
  assert.equal(instance.reasons("request-refused").at(-1), "known-hash");
  assert.equal(harness.paymentsOf(alice).length, 0);
  await harness.end();
});

Deno.test("limits count per node or per channel, as their id says", async () => {
  const { harness, alice, point, instance, rogue } = await scene(limited({}));
  const other = harness.channel(alice, rogue.node, 1_003_470, 100_000);
  const id = harness.network.channel(alice, point)!.chanId;
  await instance.crash();
  Object.assign(
    instance.options,
    limited({
      idSettings: [
        { id: { kind: "alias", alias: "alice" }, settings: { maxTransactionsPerPeriod: 3 } },
        { id: { kind: "channel", channelId: id }, settings: { maxAmountPerPeriodSat: sat(60_000) } },
      ],
    }),
  );
  instance.start();
  await harness.run(100);
  await harness.runUntil(() => rogue.isConnected, 1_000);
  rogue.hello();
  await harness.run(1_000);
  const ask = async (channelPoint: ChannelPoint, tokens: number) => {
    await harness.run(6_000);
    return await rogue.answer(rogue.request(channelPoint, tokens));
  };
  assert.equal(await ask(point, 50_000), "paid");
  assert.equal(await ask(point, 10_001), "limit");
  assert.equal(await ask(other, 50_000), "paid");
  assert.equal(await ask(point, 10_000), "paid");
  assert.equal(await ask(other, 10_000), "limit");
  assert.deepEqual(instance.reasons("request-refused"), ["too-much", "too-many"]);
  await harness.end();
});

Deno.test("a refusal for a limit says when to come back in whole minutes, and one for the balance how much would pass", async () => {
  const { harness, point, instance, rogue } = await scene();
  assert.equal(await rogue.answer(rogue.request(point, 10_000)), "paid");
  // What was paid may be asked for again at once, as far as the limits go.
  const soon = rogue.request(point, 10_000);
  assert.equal(await rogue.answer(soon), "limit");
  assert.equal(rogue.results(soon)[0]!.retryAfterMs, 60_000);
  await harness.run(60_000);
  const much = rogue.request(point, 600_000);
  assert.equal(await rogue.answer(much), "balance");
  assert.equal(rogue.results(much)[0]!.maxTokens, 440_000n);
  assert.equal(rogue.results(much)[0]!.retryAfterMs, undefined);
  assert.deepEqual(instance.told("request-refused").map(({ message }) => message.split(": ").at(-1)), [
    "the last attempt was less than minTimeBetweenPayments ago; possible again within 1 min",
    "it would leave us further than half a deadzone below our balance point (at most 440,000 sat now)",
  ]);
  await harness.end();
});

Deno.test("maxNetOutflow holds over all channels with a node, over restarts and new sessions", async () => {
  const { harness, alice, point, instance, rogue } = await scene({
    settings: { ...noPause, maxNetOutflowSat: sat(100_000) },
  });
  const other = harness.channel(alice, rogue.node, 1_003_470, 100_000);
  await harness.run(11_000);
  assert.equal(await rogue.answer(rogue.request(point, 60_000)), "paid");
  await instance.restart();
  await harness.run(100);
  await harness.runUntil(() => rogue.isConnected, 1_000);
  rogue.hello();
  await harness.run(20_000_000);
  assert.equal(await rogue.answer(rogue.request(other, 40_001)), "limit");
  await harness.run(6_000);
  assert.equal(await rogue.answer(rogue.request(other, 40_000)), "paid");
  assert.deepEqual(instance.view.positions.map(({ positionSat }) => positionSat), [100_000n]);
  assert.equal(instance.state.ledger.payments.size, 1, "what no period counts any more takes no memory");
  await harness.end();
});

Deno.test("a payment that hangs is answered `unknown` after 60 s, stops only that node, and is recorded when it ends", async () => {
  const { harness, alice, point, instance, rogue } = await scene({ settings: noPause });
  const carol = harness.node("carol");
  const parallel = harness.channel(alice, rogue.node, 1_003_470, 100_000);
  const other = harness.channel(alice, carol, 1_003_470, 100_000);
  const friend = new Rogue(harness, carol, "d".repeat(64));
  await harness.run(100);
  friend.hello();
  await harness.run(11_000);
  harness.network.run((network) => network.freezeNode(rogue.node));
  const id = rogue.request(point, 50_000);
  await harness.run(6_000);
  assert.equal(await rogue.answer(rogue.request(point, 20_000)), "busy");
  assert.equal(await rogue.answer(id), "unknown");
  await harness.run(6_000);
  assert.deepEqual(instance.story, ["payer intent 50000", "payer unknown 50000"]);
  assert.equal(await rogue.answer(rogue.request(parallel, 50_000)), "busy");
  assert.deepEqual(instance.reasons("request-refused"), ["payment-open", "peer-stuck"]);
  assert.deepEqual(instance.reasons("payment-unknown"), ["unanswered"]);
  const { paymentHash } = instance.told("payment-started")[0]!;
  assert.ok(
    instance.told("request-refused")[1]!.message.endsWith(`; \`tightrope resolve ${paymentHash}\` shows how it stands`),
  );
  assert.equal(await friend.answer(friend.request(other, 50_000)), "paid");
  harness.network.run((network) => network.thawNode(rogue.node));
  await harness.run(70_000);
  assert.equal(instance.story.includes("payer settled 50000"), true);
  assert.equal(rogue.results(id).length, 1);
  await harness.run(6_000);
  assert.equal(await rogue.answer(rogue.request(parallel, 50_000)), "paid");
  await harness.end();
});

Deno.test("an answer lost after sending is unknown, keeps its reservation, and LND's word ends it", async () => {
  const { harness, point, instance, rogue } = await scene();
  instance.tamper = (_node, call, real) =>
    call.method === "pay"
      ? real().then(() =>
        ({ ok: true, method: "pay", value: { kind: "unknown", detail: "connection lost" } }) as NodeReply
      )
      : real();
  assert.equal(await rogue.answer(rogue.request(point, 50_000)), "unknown");
  await harness.run(2_000);
  assert.deepEqual(instance.story, ["payer intent 50000", "payer unknown 50000", "payer settled 50000"]);
  await harness.end();
});

Deno.test("a request lost before LND saw it is freed only a minute after its invoice expired", async () => {
  const { harness, point, instance, rogue } = await scene();
  instance.tamper = (_node, call, real) =>
    call.method === "pay"
      ? Promise.resolve({ ok: true, method: "pay", value: { kind: "unknown", detail: "connection lost" } } as NodeReply)
      : real();
  rogue.request(point, 50_000);
  await harness.run(659_000);
  assert.deepEqual(instance.story, ["payer intent 50000", "payer unknown 50000"]);
  await harness.run(70_000);
  assert.deepEqual(instance.story.at(-1), "payer failed 50000");
  await harness.end();
});

Deno.test("`rejected` is looked up: what LND doesn't know was never sent", async () => {
  const { harness, point, instance, rogue } = await scene();
  instance.tamper = (_node, call, real) =>
    call.method === "pay"
      ? Promise.resolve({ ok: true, method: "pay", value: { kind: "rejected", detail: "no" } } as NodeReply)
      : real();
  assert.equal(await rogue.answer(rogue.request(point, 50_000)), "failed");
  assert.deepEqual(instance.story, ["payer intent 50000", "payer failed 50000"]);
  await harness.end();
});

Deno.test("`rejected` is looked up: what LND knows from elsewhere is followed to its end", async () => {
  const { harness, point, instance, rogue } = await scene();
  instance.tamper = async (_node, call, real) => {
    if (call.method !== "pay") return await real();
    void real();
    return { ok: true, method: "pay", value: { kind: "rejected", detail: "payment already exists" } } as NodeReply;
  };
  assert.equal(await rogue.answer(rogue.request(point, 50_000)), "paid");
  assert.deepEqual(instance.story, ["payer intent 50000", "payer unknown 50000", "payer settled 50000"]);
  await harness.end();
});

const contradictions: { name: string; change: Record<string, unknown>; why: RegExp }[] = [
  { name: "a fee", change: { feeMsat: 1n }, why: /fee of 1 msat/ },
  { name: "another amount", change: { amountMsat: 1n }, why: /was over 1 msat/ },
  {
    name: "a second hop",
    change: { routes: [[{ channelId: "1", pubkey: "x" }, { channelId: "2", pubkey: "y" }]] },
    why: /2 hops/,
  },
  { name: "another channel", change: { routes: "elsewhere" }, why: /another channel/ },
  { name: "another payee", change: { routes: "to somebody else" }, why: /another node \(02aa\)/ },
];
Deno.test("a settled payment of which LND names no route is told, and paying goes on", async () => {
  const { harness, point, instance, rogue } = await scene({ settings: noPause });
  instance.tamper = async (_node, call, real) => {
    const reply = await real();
    if (call.method !== "pay" || !reply.ok || reply.method !== "pay") return reply;
    return { ...reply, value: { ...reply.value, routes: [] } as typeof reply.value };
  };
  assert.equal(await rogue.answer(rogue.request(point, 50_000)), "paid");
  assert.match(instance.told("warning").at(-1)!.message, /names no route/);
  assert.deepEqual(instance.told("breaker"), []);
  await harness.end();
});

for (const { name, change, why } of contradictions) {
  Deno.test(`a settled payment with ${name} stops all paying until the operator resumes`, async () => {
    const { harness, point, instance, rogue } = await scene({ settings: noPause });
    const { chanId: channelId } = harness.network.channel(rogue.node, point)!;
    const routes = change.routes === "elsewhere"
      ? [[{ channelId: "77", pubkey: rogue.node }]]
      : change.routes === "to somebody else"
      ? [[{ channelId, pubkey: "02aa" }]]
      : change.routes;
    instance.tamper = async (_node, call, real) => {
      const reply = await real();
      if (call.method !== "pay" || !reply.ok || reply.method !== "pay") return reply;
      const value = { ...reply.value, ...change, ...(routes === undefined ? {} : { routes }) } as typeof reply.value;
      return { ...reply, value };
    };
    // It is told however much others have caused to be told.
    for (const lines of Object.values(instance.state.lines)) lines.left = -1e9;
    assert.equal(await rogue.answer(rogue.request(point, 50_000)), "paid");
    assert.match(instance.told("breaker")[0]!.message, why);
    assert.deepEqual(instance.pauses.map(({ by }) => by), ["breaker"], "a restart doesn't forget it");
    assert.deepEqual(instance.story, ["payer intent 50000", "payer settled 50000"]);
    await harness.run(6_000);
    assert.equal(await rogue.answer(rogue.request(point, 50_000)), "busy");
    instance.resume();
    await harness.run(6_000);
    assert.equal(await rogue.answer(rogue.request(point, 50_000)), "paid");
    await harness.end();
  });
}

Deno.test("nothing is sent for an intent that reached the disk too late", async () => {
  const { harness, alice, point, instance, rogue } = await scene();
  instance.diskHangs = true;
  const id = rogue.request(point, 50_000);
  assert.equal(await rogue.answer(id), "unknown");
  instance.diskHangs = false;
  await harness.run(1_000);
  assert.deepEqual(instance.story, ["payer intent 50000", "payer failed 50000"]);
  assert.equal(harness.paymentsOf(alice).length, 0);
  await harness.end();
});

Deno.test("three failures in a row rest paying to that node, and the operator is told once", async () => {
  const { harness, point, instance, rogue } = await scene({ settings: noPause });
  /** Cancelled between the request and the payment: the payee's own fault. */
  const fail = async () => {
    const id = rogue.request(point, 10_000);
    const { paymentHash } = harness.network.invoices(rogue.node).at(-1)!;
    harness.network.run((network) => network.cancelInvoice(rogue.node, paymentHash));
    const answer = await rogue.answer(id);
    await harness.run(6_000);
    return answer;
  };
  assert.deepEqual([await fail(), await fail()], ["failed", "failed"]);
  // In a row: one that is paid begins it anew. What wasn't sent is no fault of the payee's.
  assert.equal(await rogue.answer(rogue.request(point, 10_000)), "paid");
  await harness.run(6_000);
  instance.diskHangs = true;
  assert.equal(await rogue.answer(rogue.request(point, 10_000)), "unknown");
  instance.diskHangs = false;
  await harness.run(6_000);
  assert.deepEqual([await fail(), await fail(), await fail()], ["failed", "failed", "failed"]);
  assert.deepEqual([await fail(), await fail()], ["busy", "busy"]);
  assert.equal(instance.told("warning").filter(({ message }) => message.includes("failed in a row")).length, 1);
  assert.equal(instance.told("payment-failed").length, 6);
  await harness.run(70_000);
  assert.equal(await rogue.answer(rogue.request(point, 10_000)), "paid");
  assert.deepEqual(instance.reasons("request-refused"), ["peer-failing", "peer-failing"]);
  for (const { message } of instance.told("request-refused")) {
    assert.match(message, /rests; possible again in \d+ s$/);
  }
  await harness.end();
});

Deno.test("that paying to a node rests is told once, whatever ends at the same time or wasn't sent", async () => {
  const { harness, alice, point, instance, rogue } = await scene({ settings: noPause });
  const parallel = harness.channel(alice, rogue.node, 1_003_470, 100_000);
  await harness.run(11_000);
  const fail = (channelPoint: ChannelPoint) => {
    const id = rogue.request(channelPoint, 10_000);
    const { paymentHash } = harness.network.invoices(rogue.node).at(-1)!;
    harness.network.run((network) => network.cancelInvoice(rogue.node, paymentHash));
    return id;
  };
  const rests = () => instance.told("warning").filter(({ message }) => message.includes("failed in a row")).length;
  for (let i = 0; i < 2; i++) {
    assert.equal(await rogue.answer(fail(point)), "failed");
    await harness.run(6_000);
  }
  const last = [fail(point), fail(parallel)];
  await harness.runUntil(() => instance.told("payment-started").length === 4, 1_000);
  instance.diskHangs = true;
  await harness.run(1_000);
  instance.diskHangs = false;
  for (const id of last) assert.equal(await rogue.answer(id), "failed");
  assert.equal(rests(), 1);

  await harness.run(140_000);
  instance.diskHangs = true;
  assert.equal(await rogue.answer(rogue.request(point, 10_000)), "unknown");
  instance.diskHangs = false;
  await harness.run(1_000);
  assert.equal(instance.story.at(-1), "payer failed 10000");
  assert.equal(rests(), 1);
  await harness.end();
});

for (
  const [name, settings] of Object.entries({
    maxAmountPerPeriod: { maxAmountPerPeriodSat: sat(150_000), maxAmountPeriodMs: 600_000 },
    maxNetOutflow: { maxNetOutflowSat: sat(150_000) },
  })
) {
  Deno.test(`a ${name} below what the other side lacks is paid, not refused for ever`, async () => {
    const harness = new Harness();
    const [alice, bob] = [harness.node("alice"), harness.node("bob")];
    harness.channel(alice, bob, 1_003_470, 100_000);
    const payer = harness.instance({ nodes: [alice], settings });
    harness.instance({ nodes: [bob] });
    await harness.run(60_000);
    assert.deepEqual(payer.story, ["payer intent 150000", "payer settled 150000"]);
    await harness.end();
  });
}

Deno.test("who asks again for what our settings refuse gets the same answer, at no cost to our node, and is no flood", async () => {
  const { harness, point, instance, rogue } = await scene({ settings: { enabled: false } });
  await harness.run(11_000);
  const lookUps = () =>
    instance.effects.filter((effect) => effect.kind === "call" && effect.call.method === "decodeInvoice").length;
  for (const waitMs of [1_000, 2_000, 4_000]) {
    assert.equal(await rogue.answer(rogue.request(point, 50_000)), "not-shared");
    await harness.run(waitMs);
  }
  await harness.run(120_000);
  assert.equal(lookUps(), 0);
  assert.deepEqual(instance.reasons("request-refused"), ["disabled", "disabled", "disabled"]);
  assert.deepEqual(instance.told("requests-ignored"), []);
  await harness.end();
});

Deno.test("a channel of which we haven't heard may be asked for again a second later; faster is counted", async () => {
  const { harness, instance, rogue } = await scene();
  const strange = `${"ab".repeat(32)}:0` as ChannelPoint;
  for (let i = 0; i < 2; i++) {
    assert.equal(await rogue.answer(rogue.request(strange, 50_000)), "not-shared");
    await harness.run(1_000);
  }
  await harness.run(120_000);
  assert.deepEqual(instance.told("requests-ignored"), []);
  for (let i = 0; i < 20; i++) rogue.request(strange, 50_000);
  await harness.run(120_000);
  assert.match(instance.told("requests-ignored")[0]!.message, /: 19$/);
  await harness.end();
});

for (const overtaken of [false, true]) {
  Deno.test(`a request is decided on the newest list of channels${overtaken ? ", also if an older one comes after it" : ""}`, async () => {
    const { harness, alice, point, instance, rogue } = await scene({ settings: noPause });
    await harness.run(5_000);
    const later = (delayMs: number, reply: () => Promise<NodeReply>) =>
      new Promise<NodeReply>((resolve) => harness.after(delayMs, () => resolve(reply())));
    let lists = 0;
    instance.tamper = (_node, call, real) => {
      if (call.method === "trackPayment") return later(overtaken ? 7_000 : 15_000, real);
      if (call.method !== "listChannels" || ++lists === 2 || !overtaken) return real();
      const reply = real();
      return later(6_000, () => reply);
    };
    if (overtaken) {
      await harness.runUntil(() => lists === 1, 10_000);
      await harness.run(100);
      harness.shift(point, alice, 420_000);
    }
    const id = rogue.request(point, 50_000);
    await harness.run(1_000);
    if (!overtaken) harness.shift(point, alice, 420_000);
    assert.equal(await rogue.answer(id), "balance");
    assert.deepEqual(instance.story, []);
    await harness.end();
  });
}
