import assert from "node:assert/strict";
import type { EventRecord } from "../../lib/audit/record.ts";
import { sat } from "../../lib/domain/amounts.ts";
import type { ChannelPoint } from "../../lib/domain/ids.ts";
import { Harness } from "./harness.ts";
import { pay, say, scene } from "./payee_scene.ts";
import { Rogue } from "./rogue.ts";

Deno.test("the payer hears of the invoice only once its hash is on disk", async () => {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  harness.channel(mallory, alice, 1_003_470, 100_000);
  const instance = harness.instance({ nodes: [alice] });
  instance.diskHangs = true;
  const rogue = new Rogue(harness, mallory);
  await harness.runUntil(() => rogue.isConnected, 100);
  rogue.hello();
  const requests = () => rogue.received.filter((message) => message.type === "payInvoice");
  await harness.run(30_000);
  assert.equal(harness.network.invoices(alice).length, 1);
  assert.deepEqual(requests(), []);
  instance.diskHangs = false;
  await harness.run(100);
  assert.equal(instance.story[0], "payee invoiced 400000");
  assert.equal(requests().length, 1);
  await harness.end();
});

Deno.test("a payment without an answer is found by the HTLC that brings it", async () => {
  const { harness, alice, point, instance } = await scene((rogue, request) => pay(rogue, request));
  await harness.run(200);
  assert.deepEqual(instance.story, ["payee invoiced 400000", "payee received 400000"]);
  assert.equal(harness.share(alice, point), 0.5);
  assert.deepEqual(instance.view.positions.map(({ positionSat }) => positionSat), [-400_000n]);
  await harness.end();
});

Deno.test("a payer that only says that it paid is not believed", async () => {
  const { harness, instance } = await scene((rogue, request) => say(rogue, request, { confirmed: true }));
  await harness.run(64_000);
  assert.deepEqual(instance.story, ["payee invoiced 400000"]);
  await harness.run(3_000);
  assert.deepEqual(instance.story.slice(0, 2), ["payee invoiced 400000", "payee cancelled 400000"]);
  await harness.end();
});

Deno.test("a payer that pays and says that it refused has paid", async () => {
  const { harness, instance } = await scene((rogue, request) => {
    pay(rogue, request);
    rogue.harness.after(150, () => say(rogue, request, { reason: "failed" }));
  });
  await harness.run(2_000);
  assert.deepEqual(instance.story, ["payee invoiced 400000", "payee received 400000"]);
  await harness.end();
});

Deno.test("a refusal cancels the invoice at once, so that it can't be paid any more", async () => {
  const { harness, alice, rogue, instance, requests } = await scene((rogue, request) => {
    say(rogue, request, { reason: "busy" });
  });
  await harness.run(100);
  assert.deepEqual(instance.story, ["payee invoiced 400000", "payee cancelled 400000"]);
  pay(rogue, requests()[0]!);
  await harness.run(1_000);
  assert.equal(harness.network.invoices(alice)[0]!.state, "CANCELED");
  await harness.end();
});

Deno.test("an answer to a request that wasn't made, or to another channel's, changes nothing", async () => {
  const { harness, instance, rogue, requests } = await scene(() => {});
  const [request] = requests();
  say(rogue, { ...request!, requestId: rogue.requestId() }, { reason: "invalid" });
  say(rogue, { ...request!, channelPoint: ("ee".repeat(32) + ":0") as ChannelPoint }, { reason: "invalid" });
  await harness.run(1_000);
  assert.deepEqual(instance.story, ["payee invoiced 400000"]);
  await harness.end();
});

Deno.test("an invoice paid over a parallel channel is no payment over this one", async () => {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const point = harness.channel(mallory, alice, 1_003_470, 100_000);
  const parallel = harness.channel(mallory, alice, 1_003_470, 450_000);
  const instance = harness.instance({ nodes: [alice] });
  const rogue = new Rogue(harness, mallory);
  rogue.onMessage = (message) => {
    if (message.type === "payInvoice" && message.channelPoint === point) pay(rogue, message, parallel);
  };
  await harness.runUntil(() => rogue.isConnected, 100);
  rogue.hello();
  await harness.runUntil(() => instance.told("request-ended").length === 1, 15_000);
  assert.deepEqual(instance.story, ["payee invoiced 400000", "payee cancelled 400000"]);
  assert.match(
    instance.told("request-ended")[0]!.message,
    /was paid, but over another channel; not asking again for 7 s$/,
  );
  assert.deepEqual(instance.view.positions, []);
  await harness.end();
});

Deno.test("a settled invoice whose HTLCs the node doesn't name has brought its money", async () => {
  const { harness, instance } = await scene((rogue, request) => rogue.harness.after(100, () => pay(rogue, request)));
  instance.tamper = async (_node, call, real) => {
    const reply = await real();
    if (call.method !== "lookupInvoice" || !reply.ok || reply.method !== "lookupInvoice") return reply;
    return { ...reply, value: reply.value && { ...reply.value, paidOver: [] } };
  };
  await harness.run(2_000);
  assert.deepEqual(instance.story, ["payee invoiced 400000", "payee received 400000"]);
  await harness.end();
});

Deno.test("failure backs off, and `retryAfterMs` is honoured up to an hour", async () => {
  const times: number[] = [];
  const wait: { retryAfterMs?: number } = {};
  const { harness, instance } = await scene((rogue, request, { atMs }) => {
    times.push(atMs);
    say(rogue, request, { reason: "limit", ...wait });
  });
  await harness.run(2_000);
  assert.match(
    instance.told("request-ended")[0]!.message,
    /refused: its limits don't allow it now; not asking again for 7 s$/,
  );
  assert.match(
    instance.told("decision").at(-1)!.message,
    /the last request failed; the next one waits 7 s more \(400,000 sat\)$/,
  );
  await harness.run(98_000);
  const gaps = times.slice(1).map((atMs, index) => atMs - times[index]!);
  assert.ok(gaps.length >= 2 && gaps.every((gap, index) => gap > (index === 0 ? 5_000 : gaps[index - 1]!)), `${gaps}`);
  wait.retryAfterMs = 86_400_000;
  const before = times.length;
  await harness.run(3_600_000 * 2);
  assert.ok(times.length - before <= 3, `${times.length - before}`);
  assert.ok(times.length - before >= 2);
  assert.match(instance.told("request-ended").at(-1)!.message, /; not asking again for 1 h$/);
  await harness.end();
});

Deno.test("a payer that doesn't balance the channel is asked once more at once, and then seldom", async () => {
  const times: number[] = [];
  const { harness } = await scene((rogue, request, { atMs }) => {
    times.push(atMs);
    say(rogue, request, { reason: "not-shared" });
  });
  await harness.run(60_000);
  const gaps = times.slice(1).map((atMs, index) => atMs - times[index]!);
  assert.ok(gaps[0]! < 2_000 && gaps.slice(1).every((gap) => gap > 11_000), `${gaps}`);
  await harness.end();
});

Deno.test("`maxTokens` is kept to until the balances move", async () => {
  const asked: bigint[] = [];
  const { harness, alice, point, mallory, instance } = await scene((rogue, request) => {
    asked.push(request.tokens);
    say(rogue, request, { reason: "balance", maxTokens: sat(50_000) });
  });
  await harness.run(15_000);
  assert.deepEqual(asked, [400_000n, 50_000n]);
  assert.match(
    instance.told("request-ended")[0]!.message,
    /it can't send so much, or would lack it itself; it would pay 50,000 sat now; not asking again for 7 s$/,
  );
  harness.shift(point, mallory, 1_000);
  const before = asked.length;
  await harness.runUntil(() => asked.length > before, 600_000);
  assert.equal(asked.at(-1), 399_000n);
  assert.ok(harness.share(alice, point) < 0.2);
  await harness.end();
});

Deno.test("a payer that would pay too little is asked ever more seldom while the balances don't move", async () => {
  const { harness, instance, requests } = await scene((rogue, request) => {
    say(rogue, request, { reason: "balance", maxTokens: sat(9_999) });
  });
  await harness.run(3_600_000);
  assert.equal(requests().length, 6);
  assert.equal(instance.view.channels[0]!.reason, "peer-limit");
  await harness.run(4 * 3_600_000);
  assert.equal(requests().length, 10);
  await harness.end();
});

Deno.test("a payer that lowers `maxTokens` each time, while satoshis come and go, is asked no oftener than one that refuses", async () => {
  let most = 400_000;
  const { harness, requests } = await scene((rogue, request, harness) => {
    harness.shift(request.channelPoint, rogue.node, 1);
    say(rogue, request, { reason: "balance", maxTokens: sat(--most) });
  });
  await harness.run(3_600_000);
  assert.ok(requests().length >= 5 && requests().length <= 20, `${requests().length} requests in an hour`);
  await harness.end();
});

Deno.test("after a restart nothing is asked for beside the open request of the earlier run", async () => {
  const { harness, alice, instance, rogue, requests } = await scene(() => {});
  const connection = rogue.connection;
  assert.equal(requests().length, 1);
  instance.tamper = (_node, call, real) =>
    call.method === "lookupInvoice" || call.method === "cancelInvoice"
      ? Promise.resolve({ ok: false, method: call.method, kind: "unavailable", message: "late", remedy: "" })
      : real();
  await instance.restart();
  await harness.runUntil(() => rogue.isConnected && rogue.connection !== connection, 1_000);
  rogue.hello();
  await harness.run(60_000);
  assert.equal(requests().length, 1);
  instance.tamper = (_node, _call, real) => real();
  await harness.run(20_000);
  const open = harness.network.invoices(alice).filter((invoice) => invoice.state === "OPEN");
  assert.deepEqual([requests().length, open.length], [2, 1]);
  await harness.end();
});

Deno.test("one request at a time per channel, though the answer never comes", async () => {
  const { harness, alice, requests } = await scene(() => {});
  await harness.run(59_000);
  assert.equal(requests().length, 1);
  await harness.run(600_000);
  const open = harness.network.invoices(alice).filter((invoice) => invoice.state === "OPEN");
  assert.ok(requests().length > 1);
  assert.ok(open.length <= 1);
  await harness.end();
});

Deno.test("a cancellation that fails is looked up again, however often", async () => {
  const { harness, instance } = await scene((rogue, request) => say(rogue, request, { reason: "busy" }));
  let broken = 0;
  await harness.run(0);
  instance.tamper = (_node, call, real) => {
    if (call.method !== "cancelInvoice" || broken++ > 3) return real();
    return Promise.resolve({ ok: false, method: call.method, kind: "unavailable", message: "gone", remedy: "" });
  };
  await harness.run(120_000);
  assert.deepEqual(instance.story.slice(0, 2), ["payee invoiced 400000", "payee cancelled 400000"]);
  await harness.end();
});

Deno.test("after a payment the channel rests until the node reports the new balance", async () => {
  const harness = new Harness(0x5eed, { receiverLagMs: [3_000, 3_000] });
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  harness.channel(alice, bob, 1_003_470, 100_000);
  const instance = harness.instance({ nodes: [alice, bob], settings: { minTimeBetweenPaymentsMs: 0 } });
  await harness.run(20_000);
  assert.equal(instance.story.filter((line) => line.startsWith("payee invoiced")).length, 1);
  await harness.end();
});

Deno.test("a list of channels from before the payment doesn't make us ask again", async () => {
  const { harness, instance, requests } = await scene((rogue, request) => pay(rogue, request), {
    settings: { minTimeBetweenPaymentsMs: 0 },
  });
  instance.tamper = async (_node, _call, real) => {
    const reply = await real();
    if (harness.atMs > 30_000 || !reply.ok || reply.method !== "listChannels") return reply;
    const before = { localSat: sat(100_000), remoteSat: sat(900_000), unsettledSat: sat(0), pendingHtlcs: [] };
    return { ...reply, value: reply.value.map((channel) => ({ ...channel, ...before })) };
  };
  await harness.run(60_000);
  assert.equal(requests().length, 1);
  await harness.end();
});

Deno.test("parked HTLCs don't make us ask", async () => {
  const { harness, point, alice, instance } = await scene((rogue, request) => pay(rogue, request));
  await harness.run(1_000);
  const refusal = harness.network.run((network) =>
    network.forward({
      channelPoint: point,
      from: alice,
      amountMsat: (300_000n * 1000n) as never,
      durationMs: 40_000,
    })
  );
  assert.equal(refusal, undefined);
  await harness.run(30_000);
  assert.equal(harness.localSat(alice, point), 200_000);
  assert.equal(instance.story.length, 2);
  await harness.end();
});

Deno.test("the payee's operator reads why the other side didn't pay", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  for (let i = 0; i < 2; i++) harness.channel(alice, bob, 1_003_470, 100_000);
  const settings = { minTimeBetweenPaymentsMs: 0, maxTransactionsPerPeriod: 1 };
  harness.instance({ nodes: [alice], settings });
  const payee = harness.instance({ nodes: [bob] });
  await harness.runUntil(() => payee.told("request-ended").length === 1, 60_000);
  assert.match(
    payee.told("request-ended")[0]!.message,
    /^Request for .* to alice \(.*\) ended unpaid: refused: its limits don't allow it now; not asking again for 7 s$/,
  );
  assert.equal(payee.told("request-ended")[0]!.reason, "limit");
  await harness.end();
});

Deno.test("a payer that doesn't know yet whether it has paid is heard before its time is up", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  harness.channel(alice, bob, 1_003_470, 100_000);
  harness.instance({ nodes: [alice] });
  const payee = harness.instance({ nodes: [bob] });
  harness.network.run((network) => network.failNextAttempts(alice, 1, 150_000));
  await harness.runUntil(() => payee.told("request-ended").length === 1, 80_000);
  const [{ message, reason }] = payee.told("request-ended") as [EventRecord];
  assert.match(message, /ended unpaid: the payer doesn't know yet whether it has paid; not asking again for /);
  assert.equal(reason, "unknown");
  await harness.end();
});
