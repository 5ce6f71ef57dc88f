import assert from "node:assert/strict";
import type { TransactionRecord } from "../../lib/audit/record.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import type { NodePubkey } from "../../lib/domain/ids.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import type { NodeReply } from "../../lib/lightning/node.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { Harness } from "./harness.ts";
import { Rogue } from "./rogue.ts";

const noPause = { minTimeBetweenPaymentsMs: 0, maxTransactionsPerPeriod: 1_000 };

/** Alice holds 90 % of her channels with Mallory and with Carol, who both have sessions with her. */
async function scene(start = true) {
  const harness = new Harness();
  const [alice, mallory, carol] = [harness.node("alice"), harness.node("mallory"), harness.node("carol")];
  const point = harness.channel(alice, mallory, 100_003_470, 10_000_000);
  const friendly = harness.channel(alice, carol, 100_003_470, 10_000_000);
  const instance = harness.instance({ nodes: [alice], settings: noPause });
  const rogue = new Rogue(harness, mallory);
  const friend = new Rogue(harness, carol, "d".repeat(64));
  await harness.run(1_000);
  if (start) {
    rogue.hello();
    friend.hello();
    await harness.run(10_000);
  } else {
    await instance.crash();
  }
  return { harness, alice, mallory, carol, point, friendly, instance, rogue, friend };
}

type Scene = Awaited<ReturnType<typeof scene>>;

/** Alice's node pays Mallory 50,000 sat for a rebalance, whatever our log says of it. */
function pay({ harness, alice, mallory }: Scene) {
  harness.network.run((network) => {
    const memo = "tightrope rebalance 472x1x0 0123456789abcdef";
    const invoice = network.addInvoice(mallory, { valueMsat: msat(50_000_000), memo });
    assert.ok(!isRefusal(invoice));
    assert.ok(!isRefusal(network.sendPayment(alice, { paymentRequest: invoice.paymentRequest, timeoutSec: 30 })));
  });
}

/** What the log says of that payment: an intent, and its end. */
function records({ harness, alice, mallory, point }: Scene, end: "settled" | "failed", amountSat = 50_000) {
  const base = {
    // After what LND has made: a hash that failed may be paid again, by others.
    ...{
      atWallMs: harness.startWallMs + harness.atMs,
      role: "payer" as const,
      node: alice,
      peer: mallory,
      ownPeer: false,
    },
    channelPoint: point,
    channelId: harness.network.channel(alice, point)!.chanId,
    paymentHash: harness.paymentsOf(alice)[0]!.paymentHash,
    amountSat: sat(amountSat),
    requestId: "ab".repeat(16) as never,
    expiresAtWallMs: 0,
  };
  const outcome: TransactionRecord = end === "settled"
    ? { ...base, kind: end, feeMsat: msat(0) }
    : { ...base, kind: end, reason: "no-route" };
  return [{ ...base, kind: "intent" as const }, outcome];
}

/** LND's word of the payment: it was settled, it failed, it is under way. */
const states: Record<string, (scene: Scene) => void> = {
  settled: (all) => pay(all),
  failed: (all) => {
    const { harness, mallory } = all;
    harness.network.run((network) => network.freezeNode(mallory));
    pay(all);
    const { paymentHash } = harness.network.invoices(mallory)[0]!;
    harness.network.run((network) => network.cancelInvoice(mallory, paymentHash));
    harness.network.run((network) => network.thawNode(mallory));
  },
  "under way": (all) => {
    all.harness.network.run((network) => network.freezeNode(all.mallory));
    pay(all);
  },
};

for (const [lnd, make] of Object.entries(states)) {
  for (const log of ["settled", "failed"] as const) {
    if (lnd === log) continue;
    Deno.test(`a log that has a payment as ${log} and LND as ${lnd} stops all paying, over restarts, until resume`, async () => {
      const all = await scene(false);
      const { harness, instance, friend, friendly } = all;
      make(all);
      await harness.run(2_000);
      instance.disk.push(...records(all, log));
      for (let start = 0; start < 2; start++) {
        instance.events.length = 0;
        await instance.restart();
        await harness.run(2_000);
        assert.match(instance.view.breaker ?? "", new RegExp(`as ${log} and LND as ${lnd}`));
        assert.equal(instance.told("breaker").length, 1);
      }
      assert.ok(instance.told("breaker").some(({ message }) => message.includes("since an earlier run")));
      if (log === "failed") assert.deepEqual(instance.view.positions.map(({ positionSat }) => positionSat), [50_000n]);
      await harness.runUntil(() => friend.isConnected, 20_000);
      friend.hello();
      await harness.run(6_000);
      assert.equal(await friend.answer(friend.request(friendly, 20_000)), "busy");
      instance.resume();
      await harness.run(6_000);
      assert.equal(await friend.answer(friend.request(friendly, 20_000)), "paid");
      // The operator has looked: that LND still says so is no news at the next start.
      await instance.restart();
      await harness.run(2_000);
      assert.equal(instance.view.breaker, undefined);
      await harness.end();
    });
  }
}

Deno.test("a log that has a payment over another amount than LND stops all paying", async () => {
  const all = await scene(false);
  pay(all);
  await all.harness.run(2_000);
  all.instance.disk.push(...records(all, "settled", 40_000));
  all.instance.start();
  await all.harness.run(2_000);
  assert.match(all.instance.view.breaker ?? "", /over another amount/);
  all.instance.resume();
  await all.harness.run(10);
  await all.instance.restart();
  await all.harness.run(2_000);
  assert.equal(all.instance.view.breaker, undefined);
  await all.harness.end();
});

Deno.test("a list that LND wrote before a payment ended is no contradiction: LND is asked again", async () => {
  const { harness, instance, rogue, point } = await scene();
  let tracked = 0;
  for (const fails of [true, false]) {
    let held = 0;
    let deliver = () => {};
    // The list is written while the payment is under way, and arrives when its end is on the disk.
    instance.tamper = async (_node, call, real) => {
      if (call.method === "trackPayment" && instance.state.ledger.paidHashes.has(call.args[0])) tracked++;
      const reply = await real();
      if (call.method !== "listPayments" || !reply.ok || reply.method !== "listPayments") return reply;
      if (!reply.value.some(({ status }) => status.kind === "in-flight")) return reply;
      held++;
      await new Promise<void>((resolve) => deliver = resolve);
      return reply;
    };
    harness.network.run((network) => network.freezeNode(rogue.node));
    const id = rogue.request(point, 50_000);
    await harness.runUntil(() => held === 1, 30_000);
    const { paymentHash } = harness.network.invoices(rogue.node).at(-1)!;
    if (fails) harness.network.run((network) => network.cancelInvoice(rogue.node, paymentHash));
    harness.network.run((network) => network.thawNode(rogue.node));
    assert.equal(await rogue.answer(id), fails ? "failed" : "paid");
    deliver();
    await harness.run(10_000);
  }
  assert.deepEqual([tracked, instance.state.suspects.size, instance.view.breaker], [2, 0, undefined]);
  assert.equal(await rogue.answer(rogue.request(point, 50_000)), "paid");
  await harness.end();
});

Deno.test("a payment that LND had under way and doesn't know any more counts as spent, and stops that node alone", async () => {
  const { harness, instance, rogue, friend, point, friendly } = await scene();
  harness.network.run((network) => network.freezeNode(rogue.node));
  let deleted = false;
  instance.tamper = async (_node, call, real) => {
    if (call.method === "pay") {
      void real();
      return { ok: true, method: "pay", value: { kind: "unknown", detail: "lost" } } as NodeReply;
    }
    if (call.method !== "trackPayment" || !deleted) return await real();
    return { ok: true, method: "trackPayment", value: { kind: "not-found" } } as NodeReply;
  };
  rogue.request(point, 50_000);
  await harness.run(30_000);
  deleted = true;
  await harness.run(3_600_000);
  assert.deepEqual(instance.story, ["payer intent 50000", "payer unknown 50000", "payer unknown 50000"]);
  assert.equal(instance.told("payment-unknown").filter(({ reason }) => reason === "vanished").length, 1);
  instance.tamper = (_node, _call, real) => real();
  friend.hello();
  await harness.run(6_000);
  assert.equal(await friend.answer(friend.request(friendly, 20_000)), "paid");
  await harness.end();
});

/** What a peer with its own node, the secret and bad will does with a request. */
const tricks: ((scene: Scene, dice: SeededRandom) => void)[] = [
  // Cancelled when it is about to be paid.
  ({ harness, rogue, point }) => {
    rogue.request(point, 20_000);
    const { paymentHash } = harness.network.invoices(rogue.node).at(-1)!;
    harness.network.run((network) => network.cancelInvoice(rogue.node, paymentHash));
  },
  // The HTLC hangs for a while, and is settled or failed late.
  ({ harness, rogue, point }, dice) => {
    harness.network.run((network) => network.freezeNode(rogue.node));
    rogue.request(point, 20_000);
    harness.after(dice.below(90_000), () => harness.network.run((network) => network.thawNode(rogue.node)));
  },
  // The node goes away with the payment under way.
  ({ harness, rogue, point }, dice) => {
    rogue.request(point, 20_000);
    harness.after(dice.below(200), () => harness.network.run((network) => network.stopNode(rogue.node)));
    harness.after(5_000 + dice.below(20_000), () => harness.network.run((network) => network.startNode(rogue.node)));
  },
  // The same invoice again, and answers to questions that nobody asked.
  ({ harness, rogue, point }) => {
    const invoice = harness.network.invoices(rogue.node).at(-1)?.paymentRequest;
    rogue.request(point, 20_000, { ...(invoice === undefined ? {} : { invoice }) });
    rogue.send({
      ...{ type: "paymentResult", requestId: rogue.requestId(), channelPoint: point, channelId: "1" as never },
      ...{ paymentId: "00".repeat(32), confirmed: true, confirmedAtWallMs: 0, paused: true },
    });
  },
  // An invoice that expires at once, and one of somebody else.
  ({ rogue, point }) => void rogue.request(point, 20_000, { expirySec: 1 }),
  ({ rogue, point, carol }) => void rogue.request(point, 20_000, { by: carol as NodePubkey }),
  // Says that it pauses and resumes, and names channels that aren't its own.
  ({ rogue, friendly }) => rogue.hello({ paused: true, pausedChannels: [friendly] }),
  ({ rogue, point, friendly }) => {
    rogue.request(friendly, 20_000);
    rogue.request(point, 20_000);
  },
];

for (const seed of [1, 2, 3]) {
  Deno.test(`a peer can't stop paying to others, whatever it does to be paid to itself (seed ${seed})`, async () => {
    const all = await scene();
    const { harness, instance, rogue, friend, friendly } = all;
    const dice = new SeededRandom(seed);
    for (let round = 0; round < 40; round++) {
      if (rogue.isConnected) tricks[dice.below(tricks.length)]!(all, dice);
      await harness.run(6_000 + dice.below(10_000));
      assert.equal(await friend.answer(friend.request(friendly, 10_000)), "paid", `round ${round}`);
    }
    assert.equal(instance.view.breaker, undefined);
    assert.deepEqual(instance.told("breaker"), []);
    await harness.end();
  });
}
