import assert from "node:assert/strict";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import type { BalanceSettings } from "../../lib/config/config.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import { parsePaymentHash, parseShortChannelId } from "../../lib/domain/ids.ts";
import type { PaymentStatus } from "../../lib/domain/payment.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { formatMemo, invoiceTag } from "../../lib/protocol/memo.ts";
import { Harness } from "./harness.ts";
import { Rogue } from "./rogue.ts";

const preimage = "5a".repeat(32);
const hash = bytesToHex(sha256(hexToBytes(preimage)));

async function world(seed: number) {
  const harness = new Harness(seed);
  const [alice, mallory, other] = ["alice", "mallory", "other"].map((alias) => harness.node(alias));
  const point = harness.channel(alice!, mallory!, 1_000_000, 100_000);
  harness.channel(alice!, other!, 1_000_000, 500_000);
  const instance = harness.instance({ nodes: [alice!], settings: { minTimeBetweenPaymentsMs: 0 } });
  const rogue = new Rogue(harness, mallory!);
  await harness.run(1_000);
  rogue.hello();
  await harness.run(1_000);
  return { harness, alice: alice!, mallory: mallory!, other: other!, point, instance, rogue };
}

// Our node pays for others, too: a peer may have it pay a withdrawal with the hash of a rebalance.
for (const sent of [true, false]) {
  Deno.test(`a hash that failed as a rebalance${sent ? "" : ", since LND never heard of it,"} and is then paid by our wallet counts as spent and trips no breaker`, async () => {
    const { harness, alice, mallory, other, point, instance, rogue } = await world(2);
    if (!sent) {
      instance.tamper = (_node, { method }, real) =>
        method === "pay" ? Promise.resolve({ ok: true, method, value: { kind: "unknown", detail: "lost" } }) : real();
    }
    const requestId = rogue.requestId();
    const tag = invoiceTag({ sessionId: rogue.sessionId!, requestId, channelPoint: point, tokens: sat(20_000) });
    const { chanId } = harness.network.channel(mallory, point)!;
    const memo = formatMemo(chanId, tag);
    const made = harness.network.run((network) =>
      network.addInvoice(mallory, { valueMsat: msat(20_000_000), memo, expirySec: 600, hash })
    );
    assert.ok(!isRefusal(made));
    rogue.request(point, 20_000, { requestId, invoice: made.paymentRequest });
    await harness.run(1_000);
    harness.network.run((network) => network.cancelInvoice(mallory, made.paymentHash));
    assert.equal(await rogue.answer(requestId), sent ? "failed" : "unknown");
    if (!sent) await harness.run(720_000);
    assert.equal(instance.story.at(-1), "payer failed 20000");
    const withdrawal = harness.network.run((network) =>
      network.addInvoice(other, { valueMsat: msat(70_000_000), memo, expirySec: 600, preimage })
    );
    assert.ok(!isRefusal(withdrawal));
    harness.network.run((network) =>
      network.sendPayment(alice, { paymentRequest: withdrawal.paymentRequest, timeoutSec: 30 })
    );
    await harness.run(60_000);
    assert.equal(harness.network.payment(alice, made.paymentHash)?.status, "SUCCEEDED");
    assert.equal(instance.view.breaker, undefined);
    assert.ok(instance.disk.some((record) => record.kind === "foreign" && record.amountSat === 70_000n));
    await harness.end();
  });
}

for (const memo of ["a withdrawal", "tightrope rebalance 800x1x0 0123456789abcdef"]) {
  Deno.test(`a hash that our wallet has paid elsewhere ("${memo}") and is then asked for as a rebalance trips no breaker`, async () => {
    const { harness, alice, mallory, other, point, instance, rogue } = await world(3);
    const withdrawal = harness.network.run((network) =>
      network.addInvoice(other, { valueMsat: msat(70_000_000), memo, expirySec: 600, preimage })
    );
    assert.ok(!isRefusal(withdrawal));
    harness.network.run((network) =>
      network.sendPayment(alice, { paymentRequest: withdrawal.paymentRequest, timeoutSec: 30 })
    );
    await harness.run(100);
    const requestId = rogue.requestId();
    const tag = invoiceTag({ sessionId: rogue.sessionId!, requestId, channelPoint: point, tokens: sat(20_000) });
    const { chanId } = harness.network.channel(mallory, point)!;
    const made = harness.network.run((network) =>
      network.addInvoice(mallory, { valueMsat: msat(20_000_000), memo: formatMemo(chanId, tag), expirySec: 600, hash })
    );
    assert.ok(!isRefusal(made));
    // The list of channels comes before LND's word of the hash.
    instance.tamper = async (_node, { method }, real) => {
      const lateMs = method === "listChannels" ? 50 : method === "trackPayment" ? 200 : 0;
      await new Promise<void>((resolve) => harness.after(lateMs, resolve));
      return await real();
    };
    rogue.request(point, 20_000, { requestId, invoice: made.paymentRequest });
    assert.equal(await rogue.answer(requestId), "invalid");
    await harness.run(60_000);
    assert.equal(harness.network.payment(alice, made.paymentHash)?.status, "SUCCEEDED");
    assert.equal(instance.view.breaker, undefined);
    assert.ok(!instance.story.includes("payer intent 20000"), instance.story.join("\n"));
    await harness.end();
  });
}

for (const held of [false, true]) {
  Deno.test(`a withdrawal whose invoice bears our memo is no loan${held ? ", once it has ended" : ""}`, async () => {
    const { harness, other, point, instance, rogue } = await world(4);
    const stranger = harness.node("stranger");
    const amountMsat = msat(300_000_000);
    const channelId = parseShortChannelId("472x2x0")!;
    const routes = [[{ channelId, pubkey: other }, { channelId, pubkey: stranger }]];
    const paid: PaymentStatus = { kind: "settled", index: 900n, amountMsat, feeMsat: msat(5), routes };
    const lnd: { status: PaymentStatus } = { status: held ? { kind: "in-flight", index: 900n, routes: [] } : paid };
    instance.tamper = async (_node, call, real) => {
      const reply = await real();
      if (call.method === "listPayments" && reply.ok && reply.method === "listPayments" && call.args[0] < 900n) {
        const withdrawal = {
          ...{ index: 900n, paymentHash: parsePaymentHash(hash)!, amountMsat, createdAtWallMs: instance.now.wallMs },
          ...{ destination: stranger, memo: "tightrope rebalance 800x1x0 0123456789abcdef", status: lnd.status },
        };
        return { ...reply, value: [...reply.value, withdrawal] };
      }
      return call.method === "trackPayment" && call.args[0] === hash
        ? { ok: true, method: "trackPayment", value: lnd.status }
        : reply;
    };
    await harness.run(20_000);
    assert.equal(instance.state.ledger.positions.get(stranger) ?? 0n, held ? 300_000n : 0n);
    lnd.status = paid;
    await harness.run(70_000);
    assert.equal(instance.state.ledger.positions.get(stranger) ?? 0n, 0n);
    const before = instance.disk.length;
    await instance.restart();
    await harness.run(20_000);
    assert.equal(instance.disk.length, before);
    rogue.hello();
    await harness.run(6_000);
    assert.equal(await rogue.answer(rogue.request(point, 20_000)), "paid");
    await harness.end();
  });
}

/** The wallet's payment, as if it had gone a longer way. */
function withFee(status: PaymentStatus): PaymentStatus {
  return status.kind === "settled" && status.index === 2n ? { ...status, feeMsat: msat(5) } : status;
}

// Between two looks at a payment that hangs, or while the program is down, its payee may cancel it and have our node pay
// another invoice with the same hash.
for (
  const { when, restarts, forgets, fees } of [
    { when: "once its updates were lost", restarts: false, forgets: false, fees: [false, true] },
    { when: "while we are down", restarts: true, forgets: false, fees: [false, true] },
    // Without its number only whom and what it was for tells it from another.
    { when: "while a backup is restored that knows its intent alone", restarts: true, forgets: true, fees: [false] },
  ]
) {
  for (const fee of fees) {
    const where = fee ? "with a fee" : "elsewhere";
    Deno.test(`a payment that hangs, is cancelled ${when}, and whose hash our wallet then pays ${where}, trips no breaker`, async () => {
      const { harness, alice, mallory, other, point, instance, rogue } = await world(4);
      instance.tamper = async (_node, call, real) => {
        if (call.method === "pay" && !restarts) {
          void real();
          return { ok: true, method: "pay", value: { kind: "unknown", detail: "the updates were lost" } };
        }
        const reply = await real();
        if (!reply.ok || !fee) return reply;
        if (reply.method === "trackPayment") return { ...reply, value: withFee(reply.value) };
        if (reply.method !== "listPayments") return reply;
        return {
          ...reply,
          value: reply.value.map((one) => ({ ...one, status: withFee(one.status) as typeof one.status })),
        };
      };
      const requestId = rogue.requestId();
      const tag = invoiceTag({ sessionId: rogue.sessionId!, requestId, channelPoint: point, tokens: sat(20_000) });
      const memo = formatMemo(harness.network.channel(mallory, point)!.chanId, tag);
      const held = harness.network.run((network) =>
        network.addInvoice(mallory, { valueMsat: msat(20_000_000), memo, expirySec: 3_600, hash })
      );
      assert.ok(!isRefusal(held));
      const { paymentHash } = held;
      rogue.request(point, 20_000, { requestId, invoice: held.paymentRequest });
      await harness.run(400_000);
      assert.equal(harness.network.payment(alice, paymentHash)?.status, "IN_FLIGHT");

      if (restarts) await instance.crash();
      harness.network.run((network) => network.cancelInvoice(mallory, paymentHash));
      await harness.run(1_000);
      const withdrawal = harness.network.run((network) =>
        network.addInvoice(other, { valueMsat: msat(70_000_000), memo, expirySec: 600, preimage })
      );
      assert.ok(!isRefusal(withdrawal));
      const { paymentRequest } = withdrawal;
      const feeLimitMsat = msat(1_000_000);
      harness.network.run((network) => network.sendPayment(alice, { paymentRequest, timeoutSec: 30, feeLimitMsat }));
      await harness.run(1_000);
      assert.equal(harness.network.payment(alice, paymentHash)?.status, "SUCCEEDED");

      if (forgets) instance.disk.splice(1);
      if (restarts) instance.start();
      await harness.run(120_000);
      assert.equal(instance.view.breaker, undefined);
      const end = instance.disk.find(({ kind }) => kind === "failed");
      assert.match(end?.kind === "failed" ? end.reason : "", /another payment/);
      // What costs a fee is no rebalance, whatever its memo says.
      assert.deepEqual(instance.story.filter((line) => !/intent|unknown/.test(line)), [
        "payer failed 20000",
        ...(fee ? [] : ["payer foreign 70000"]),
      ]);
      const { positions } = instance.state.ledger;
      assert.deepEqual([positions.get(mallory), positions.get(other)], [0n, fee ? undefined : 70_000n]);
      await instance.restart();
      await harness.run(60_000);
      assert.equal(instance.view.breaker, undefined);
      await harness.end();
    });
  }
}

/** A peer with a node and a channel of its own beside Mallory, and rebalances whose payees let them hang. */
async function twoPeers(settings: Partial<BalanceSettings> = {}) {
  const harness = new Harness(5);
  const [alice, mallory, friend, other] = ["alice", "mallory", "friend", "other"].map((alias) => harness.node(alias));
  const instance = harness.instance({ nodes: [alice!], settings: { minTimeBetweenPaymentsMs: 0, ...settings } });
  const peers = [new Rogue(harness, mallory!), new Rogue(harness, friend!, "e".repeat(64))] as const;
  const points = peers.map(({ node }) => harness.channel(alice!, node, 1_000_000, 100_000));
  harness.channel(alice!, other!, 1_000_000, 500_000);
  await harness.runUntil(() => peers.every((peer) => peer.isConnected), 1_000);
  for (const peer of peers) peer.hello();
  await harness.run(12_000);
  const preimages = ["5b", "5c"].map((byte) => byte.repeat(32));
  const memo = "tightrope rebalance 800x1x0 0123456789abcdef";

  const ask = (index: 0 | 1, held: boolean) => {
    const [peer, channelPoint] = [peers[index], points[index]!];
    const requestId = peer.requestId();
    const tag = invoiceTag({ sessionId: peer.sessionId!, requestId, channelPoint, tokens: sat(20_000) });
    const made = harness.network.run((network) =>
      network.addInvoice(peer.node, {
        ...{ valueMsat: msat(20_000_000), expirySec: 3_600 },
        memo: formatMemo(network.channel(peer.node, channelPoint)!.chanId, tag),
        ...(held ? { hash: bytesToHex(sha256(hexToBytes(preimages[index]!))) } : {}),
      })
    );
    assert.ok(!isRefusal(made));
    peer.request(channelPoint, 20_000, { requestId, invoice: made.paymentRequest });
    return { requestId, paymentHash: made.paymentHash };
  };
  /** The payee cancels what hangs, and our wallet pays another invoice with the same hash. */
  const replace = async (index: 0 | 1) => {
    const paymentHash = parsePaymentHash(bytesToHex(sha256(hexToBytes(preimages[index]!))))!;
    harness.network.run((network) => network.cancelInvoice(peers[index].node, paymentHash));
    await harness.run(300);
    harness.network.run((network) => {
      const withdrawal = network.addInvoice(other!, { valueMsat: msat(70_000_000), memo, preimage: preimages[index]! });
      assert.ok(!isRefusal(withdrawal));
      return network.sendPayment(alice!, { paymentRequest: withdrawal.paymentRequest, timeoutSec: 30 });
    });
    await harness.run(300);
    assert.equal(harness.network.payment(alice!, paymentHash)?.status, "SUCCEEDED");
  };
  instance.tamper = async (_node, call, real) => {
    if (call.method !== "pay") return await real();
    void real();
    return { ok: true, method: "pay", value: { kind: "unknown", detail: "the updates were lost" } };
  };
  return { harness, other: other!, instance, peers, ask, replace };
}

Deno.test("two payments that hang and whose hashes our wallet pays are both read again from the older one on", async () => {
  const { harness, other, instance, ask, replace } = await twoPeers();
  ask(0, true);
  await harness.run(400_000);
  await replace(0);
  ask(1, true);
  await harness.run(1_000);
  await instance.crash();
  await replace(1);
  instance.start();
  await harness.run(60_000);
  assert.deepEqual(instance.story.filter((line) => !/intent|unknown/.test(line)).toSorted(), [
    ...["payer failed 20000", "payer failed 20000"],
    ...["payer foreign 70000", "payer foreign 70000"],
  ]);
  assert.equal(instance.state.ledger.positions.get(other), 140_000n);
  await harness.end();
});

Deno.test("nothing is paid between the end of a payment whose hash our wallet has paid and the look at that one", async () => {
  const { harness, instance, peers: [, friend], ask, replace } = await twoPeers({ maxAmountPerPeriodSat: sat(75_000) });
  const { paymentHash } = ask(0, true);
  await harness.run(400_000);
  await replace(0);
  const later = (ms: number) => new Promise<void>((resolve) => harness.after(ms, resolve));
  let request: ReturnType<typeof ask> | undefined;
  instance.tamper = async (_node, call, real) => {
    if (call.method === "trackPayment" && call.args[0] === paymentHash) {
      request ??= ask(1, false);
      await later(20);
    }
    // The list that the request waits for begins before the payment ends, that of the poll after it.
    if (call.method === "listChannels") await later(100);
    return await real();
  };
  await harness.runUntil(() => request !== undefined, 70_000);
  assert.equal(await friend.answer(request!.requestId), "busy");
  await harness.run(12_000);
  assert.equal(await friend.answer(ask(1, false).requestId), "limit");
  assert.equal(instance.story.at(-1), "payer foreign 70000");
  await harness.end();
});

for (const when of ["under way", "failed", "settled"] as const) {
  Deno.test(`a rebalance of one node that is ${when} and another node's wallet paying under its hash don't concern each other`, async () => {
    const harness = new Harness(4);
    const [alice, bob, mallory, other] = ["alice", "bob", "mallory", "other"].map((alias) => harness.node(alias));
    const point = harness.channel(alice!, mallory!, 1_000_000, 100_000);
    harness.channel(bob!, other!, 1_000_000, 500_000);
    const instance = harness.instance({ nodes: [bob!, alice!], settings: { minTimeBetweenPaymentsMs: 0 } });
    const rogue = new Rogue(harness, mallory!);
    await harness.run(1_000);
    rogue.hello();
    await harness.run(6_000);
    const withdraw = (memo: string, bound?: string) =>
      harness.network.run((network) => {
        const valueMsat = msat(30_000_000);
        const invoice = network.addInvoice(other!, { valueMsat, memo, ...(bound ? { preimage: bound } : {}) });
        assert.ok(!isRefusal(invoice));
        assert.ok(!isRefusal(network.sendPayment(bob!, { paymentRequest: invoice.paymentRequest, timeoutSec: 30 })));
      });
    // Each node numbers its payments for itself, and what ours is called comes late.
    if (when === "under way") { for (let i = 0; i < 3; i++) withdraw("a withdrawal"); }
    const later = (ms: number) => new Promise<void>((resolve) => harness.after(ms, resolve));
    instance.tamper = async (node, { method }, real) => {
      if (when !== "under way" || node !== alice) return real();
      if (method === "listPayments") await later(60_000);
      if (method !== "pay") return real();
      void real();
      await later(20_000);
      return { ok: true, method, value: { kind: "unknown", detail: "lost" } };
    };
    const requestId = rogue.requestId();
    const tag = invoiceTag({ sessionId: rogue.sessionId!, requestId, channelPoint: point, tokens: sat(20_000) });
    const memo = formatMemo(harness.network.channel(mallory!, point)!.chanId, tag);
    const made = harness.network.run((network) =>
      network.addInvoice(mallory!, { valueMsat: msat(20_000_000), memo, expirySec: 600, hash })
    );
    assert.ok(!isRefusal(made));
    rogue.request(point, 20_000, { requestId, invoice: made.paymentRequest });
    await harness.run(2_000);
    const end = () =>
      harness.network.run((network) =>
        when === "failed"
          ? network.cancelInvoice(mallory!, made.paymentHash)
          : network.settleInvoice(mallory!, preimage)
      );
    if (when !== "under way") end();
    await harness.run(1_000);
    withdraw(memo, preimage);
    await harness.run(30_000);
    if (when === "under way") end();
    await harness.run(30_000);
    assert.equal(harness.network.payment(bob!, made.paymentHash)?.status, "SUCCEEDED");
    const of = (node: string) =>
      instance.disk.filter((record) => record.node === node && record.role === "payer").at(-1)?.kind;
    assert.equal(of(alice!), when === "failed" ? "failed" : "settled");
    assert.equal(of(bob!), when === "failed" ? "foreign" : undefined);
    assert.equal(instance.view.breaker, undefined);
    await harness.end();
  });
}
