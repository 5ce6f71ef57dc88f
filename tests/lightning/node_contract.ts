import assert from "node:assert/strict";
import { sat } from "../../lib/domain/amounts.ts";
import type { ChannelSnapshot } from "../../lib/domain/channel.ts";
import { type ChannelPoint, parseNodePubkey, type PaymentHash } from "../../lib/domain/ids.ts";
import { LightningError, type LightningNode, type NewInvoice, type NodeEvent } from "../../lib/lightning/node.ts";
import { recoverLndMessageKey } from "../../lib/lightning/sim/node_key.ts";

/**
 * The contract of {@link LightningNode}, sentence by sentence, for every implementation.
 *
 * Against real LND it runs where the environment names two nodes that share one active channel with at least 20,000 sat to
 * spend on either side: `TIGHTROPE_TEST_LND_A` and `TIGHTROPE_TEST_LND_B`, each JSON `{socket, certPath, macaroonPath}`.
 * Each run moves a few thousand sat back and forth. What only a simulation can do to a node is left out there.
 */

/** Two nodes with one channel between them. Fresh for each test, except on real LND. */
export interface ContractFixture {
  readonly payer: LightningNode;
  readonly payee: LightningNode;
  readonly channelPoint: ChannelPoint;
  /** Lets time pass until the promise is settled. */
  settle<T>(promise: Promise<T>): Promise<T>;
  /** Another client of the payer's node. */
  reopenPayer(): LightningNode;
  /** What can be done to the nodes; absent on real LND. */
  readonly faults?: {
    /** The payee's process answers nobody until it is thawed. */
    freezePayee(): void;
    thawPayee(): void;
    freezePayer(): void;
    stopPayer(): void;
    startPayer(): void;
  };
  close(): Promise<void>;
}

/** The environment's real nodes as {@link ContractFixture} wants them, or undefined. */
export interface RealLnd {
  readonly socket: string;
  readonly certPath: string;
  readonly macaroonPath: string;
}

export function realLndFromEnvironment(): { readonly a: RealLnd; readonly b: RealLnd } | undefined {
  const read = (variable: string): RealLnd | undefined => {
    if (Deno.permissions.querySync({ name: "env", variable }).state !== "granted") return undefined;
    const text = Deno.env.get(variable);
    return text === undefined ? undefined : JSON.parse(text);
  };
  const [a, b] = [read("TIGHTROPE_TEST_LND_A"), read("TIGHTROPE_TEST_LND_B")];
  return a && b && { a, b };
}

const amountSat = sat(1_000);
const unknownHash = "d0".repeat(32) as PaymentHash;

interface Context extends ContractFixture {
  channel(node: LightningNode): Promise<ChannelSnapshot>;
  request(amount?: bigint): Promise<NewInvoice>;
  pay(invoice: NewInvoice, node?: LightningNode): ReturnType<LightningNode["pay"]>;
}

function contextOf(fixture: ContractFixture): Context {
  const context: Context = {
    ...fixture,
    async channel(node) {
      const channels = await fixture.settle(node.listChannels());
      const channel = channels.find((one) => one.channelPoint === fixture.channelPoint);
      assert.ok(channel, "the node lists the channel");
      return channel;
    },
    request: (amount = amountSat) =>
      fixture.settle(fixture.payee.addInvoice({ amountSat: sat(amount), memo: "tightrope contract", expirySec: 600 })),
    async pay(invoice, node = fixture.payer) {
      const { shortChannelId } = await context.channel(node);
      return node.pay({
        invoice: invoice.invoice,
        paymentHash: invoice.paymentHash,
        outgoingChannelId: shortChannelId,
        timeoutSec: 20,
        cltvLimitBlocks: 200,
      });
    },
  };
  return context;
}

export interface ContractOptions {
  /** Nothing of it can run here. */
  readonly ignore?: boolean;
  /** Whether the fixtures have `faults` (default true). */
  readonly faults?: boolean;
}

/** Registers the tests. */
export function nodeContract(
  name: string,
  open: () => Promise<ContractFixture>,
  { ignore = false, faults = true }: ContractOptions = {},
): void {
  const test = (sentence: string, body: (context: Context) => Promise<void>, ignored = ignore) =>
    Deno.test(`${name}: ${sentence}`, { ignore: ignored }, async () => {
      const fixture = await open();
      try {
        await body(contextOf(fixture));
      } finally {
        await fixture.close();
      }
    });
  type Faults = NonNullable<ContractFixture["faults"]>;
  const faulty = (sentence: string, body: (context: Context, faults: Faults) => Promise<void>) =>
    test(sentence, (context) => {
      assert.ok(context.faults, "the fixture says what can be done to its nodes");
      return body(context, context.faults);
    }, ignore || !faults);

  test("getInfo() and listChannels() name both ends of the channel", async ({ payer, payee, settle, channel }) => {
    const [a, b] = [await settle(payer.getInfo()), await settle(payee.getInfo())];
    assert.equal(parseNodePubkey(a.pubkey), a.pubkey);
    assert.equal(a.network, b.network);
    const [ours, theirs] = [await channel(payer), await channel(payee)];
    assert.deepEqual([ours.remotePubkey, theirs.remotePubkey], [b.pubkey, a.pubkey]);
    assert.deepEqual([ours.active, theirs.active, ours.initiator !== theirs.initiator], [true, true, true]);
    assert.equal(ours.capacitySat, theirs.capacitySat);
    assert.ok(ours.localSat + ours.remoteSat + ours.commitFeeSat <= ours.capacitySat);
  });

  test("decodeInvoice() reads what addInvoice() of the other node wrote", async ({ payer, payee, settle, request }) => {
    const made = await request();
    const decoded = await settle(payer.decodeInvoice(made.invoice));
    const { pubkey } = await settle(payee.getInfo());
    const { destination, paymentHash, amountMsat, memo, routeHintCount, blindedPathCount, amp } = decoded;
    assert.deepEqual(
      { destination, paymentHash, amountMsat, memo, routeHintCount, blindedPathCount, amp },
      {
        destination: pubkey,
        paymentHash: made.paymentHash,
        amountMsat: amountSat * 1_000n,
        memo: "tightrope contract",
        routeHintCount: 0,
        blindedPathCount: 0,
        amp: false,
      },
    );
    assert.equal(decoded.expiresAtWallMs - decoded.createdAtWallMs, 600_000);
    assert.ok(decoded.finalCltvBlocks > 0);
  });

  test("decodeInvoice() rejects with invalid-invoice for what is none of the node's network", async (context) => {
    const { invoice } = await context.request();
    const mainnet =
      "lnbc1pvjluezsp5zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zyg3zygspp5qqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqqqsyqcyq5rqwzqfqypqdpl2pkx2ctnv5sxxmmwwd5kgetjypeh2ursdae8g6twvus8g6rfwvs8qun0dfjkxaq9qrsgq357wnc5r2ueh7ck6q93dj32dlqnls087fxdwk8qakdyafkq3yap9us6v52vjjsrvywa6rt52cm9r9zqt8r2t7mlcwspyetp5h2tztugp9lfyql";
    for (const text of ["", "nonsense", mainnet, `${invoice.slice(0, -1)}${invoice.endsWith("q") ? "p" : "q"}`]) {
      await assert.rejects(
        context.settle(context.payer.decodeInvoice(text)),
        (error) => error instanceof LightningError && error.kind === "invalid-invoice",
      );
    }
  });

  test("signMessage() signs with the node's own key", async ({ payer, settle }) => {
    const signature = await settle(payer.signMessage("tightrope/2 node"));
    const { pubkey } = await settle(payer.getInfo());
    assert.deepEqual(recoverLndMessageKey(new TextEncoder().encode("tightrope/2 node"), signature), { pubkey });
  });

  test("pay() resolves when the payment has settled, over the one channel and for nothing", async (context) => {
    const { payer, payee, settle } = context;
    const before = await context.channel(payer);
    const invoice = await context.request();
    const outcome = await settle(context.pay(invoice));
    const { pubkey } = await settle(payee.getInfo());
    const [listed] = await settle(payer.listPayments(0n, 10));
    assert.deepEqual(outcome, {
      kind: "settled",
      index: listed!.index,
      amountMsat: amountSat * 1_000n,
      feeMsat: 0n,
      routes: [[{ channelId: before.shortChannelId, pubkey }]],
    });
    // The payer's own balance is right at once.
    assert.equal((await context.channel(payer)).localSat, before.localSat - amountSat);
    const status = await settle(payee.lookupInvoice(invoice.paymentHash));
    assert.deepEqual([status?.state, status?.amountPaidMsat], ["settled", amountSat * 1_000n]);
    assert.deepEqual(status?.paidOver, [(await context.channel(payee)).shortChannelId]);
    assert.deepEqual(await settle(payer.trackPayment(invoice.paymentHash)), outcome);
  });

  test("pay() with a settled hash is rejected and sends nothing", async (context) => {
    const invoice = await context.request();
    assert.equal((await context.settle(context.pay(invoice))).kind, "settled");
    const before = await context.channel(context.payer);
    assert.equal((await context.settle(context.pay(invoice))).kind, "rejected");
    assert.deepEqual(await context.channel(context.payer), before);
  });

  test("pay() says failed when the payment failed, and the hash may be tried again", async (context) => {
    const { capacitySat } = await context.channel(context.payer);
    const tooMuch = await context.request(capacitySat);
    const first = await context.settle(context.pay(tooMuch));
    assert.ok(first.kind === "failed" && first.failure === "insufficient-balance");
    assert.deepEqual(await context.settle(context.payer.trackPayment(tooMuch.paymentHash)), first);
    const second = await context.settle(context.pay(tooMuch));
    // Another payment, and the only one that is told of from now on.
    assert.deepEqual(second, { ...first, index: first.index + 1n });
    assert.deepEqual(await context.settle(context.payer.trackPayment(tooMuch.paymentHash)), second);
  });

  test("pay() of a cancelled invoice fails with incorrect-details", async (context) => {
    const invoice = await context.request();
    await context.settle(context.payee.cancelInvoice(invoice.paymentHash));
    const outcome = await context.settle(context.pay(invoice));
    assert.equal(outcome.kind === "failed" && outcome.failure, "incorrect-details");
  });

  test("pay() is rejected for an invoice of the node itself", async (context) => {
    const own = await context.settle(context.payer.addInvoice({ amountSat, memo: "", expirySec: 600 }));
    assert.equal((await context.settle(context.pay(own))).kind, "rejected");
  });

  test("trackPayment() tells not-found for a hash that the node doesn't know", async ({ payer, settle }) => {
    assert.deepEqual(await settle(payer.trackPayment(unknownHash)), { kind: "not-found" });
  });

  test("cancelInvoice() resolves for one already cancelled", async ({ payee, settle, request }) => {
    const { paymentHash } = await request();
    await settle(payee.cancelInvoice(paymentHash));
    await settle(payee.cancelInvoice(paymentHash));
    assert.deepEqual(await settle(payee.lookupInvoice(paymentHash)), {
      paymentHash,
      state: "cancelled",
      amountPaidMsat: 0n,
      paidOver: [],
    });
  });

  test("cancelInvoice() rejects with failed for one settled or unknown", async (context) => {
    const invoice = await context.request();
    await context.settle(context.pay(invoice));
    for (const hash of [invoice.paymentHash, unknownHash]) {
      await assert.rejects(
        context.settle(context.payee.cancelInvoice(hash)),
        (error) => error instanceof LightningError && error.kind === "failed",
      );
    }
  });

  test("lookupInvoice() tells open, and undefined for an unknown hash", async ({ payee, settle, request }) => {
    const { paymentHash } = await request();
    assert.equal((await settle(payee.lookupInvoice(paymentHash)))?.state, "open");
    assert.equal(await settle(payee.lookupInvoice(unknownHash)), undefined);
  });

  test("listPayments() pages the history, oldest first, failed ones too", async (context) => {
    const { payer, payee, settle } = context;
    let last = 0n;
    for (;;) {
      const page = await settle(payer.listPayments(last, 100));
      if (page.length === 0) break;
      last = page.at(-1)!.index;
    }
    const { capacitySat } = await context.channel(payer);
    const [paid, refused] = [await context.request(), await context.request(capacitySat)];
    await settle(context.pay(paid));
    await settle(context.pay(refused));
    const [first, ...rest] = await settle(payer.listPayments(last, 1));
    assert.deepEqual(rest, []);
    const { pubkey } = await settle(payee.getInfo());
    assert.deepEqual(
      {
        ...{ ...first, index: undefined, createdAtWallMs: undefined, status: first?.status.kind },
        resolvedAtWallMs: first?.resolvedAtWallMs !== undefined && first.resolvedAtWallMs >= first.createdAtWallMs,
      },
      {
        index: undefined,
        createdAtWallMs: undefined,
        resolvedAtWallMs: true,
        status: "settled",
        paymentHash: paid.paymentHash,
        amountMsat: amountSat * 1_000n,
        destination: pubkey,
        memo: "tightrope contract",
      },
    );
    const second = await settle(payer.listPayments(first!.index, 10));
    assert.deepEqual(second.map((payment) => [payment.paymentHash, payment.status.kind]), [
      [refused.paymentHash, "failed"],
    ]);
  });

  test("watch() says up first, and hints at an HTLC on both sides", async (context) => {
    const events: { payer: NodeEvent[]; payee: NodeEvent[] } = { payer: [], payee: [] };
    const hinted = Promise.withResolvers<void>();
    const up = Promise.withResolvers<void>();
    const onEvent = (side: "payer" | "payee") => (event: NodeEvent) => {
      events[side].push(event);
      const kinds = [events.payer, events.payee].map((list) => list.map((one) => one.kind));
      if (kinds.every((list) => list.includes("up"))) up.resolve();
      if (kinds.every((list) => list.includes("htlc"))) hinted.resolve();
    };
    const watching = [context.payer.watch(onEvent("payer")), context.payee.watch(onEvent("payee"))];
    await context.settle(up.promise);
    await context.settle(context.pay(await context.request()));
    await context.settle(hinted.promise);
    assert.deepEqual(events.payer[0], { kind: "up", info: await context.settle(context.payer.getInfo()) });
    for (const side of ["payer", "payee"] as const) {
      const { shortChannelId } = await context.channel(context[side]);
      const hints = events[side].filter((event) => event.kind === "htlc");
      assert.ok(hints.some((event) => event.channelIds.includes(shortChannelId)));
    }
    await Promise.all([context.payer.close(), context.payee.close()]);
    await Promise.all(watching);
  });

  test("close() ends watch(), and every call after it rejects", async ({ payer, settle }) => {
    const up = Promise.withResolvers<void>();
    const watching = payer.watch((event) => event.kind === "up" && up.resolve());
    await settle(up.promise);
    await payer.close();
    await watching;
    await assert.rejects(payer.getInfo(), LightningError);
    await assert.rejects(payer.listChannels(), LightningError);
  });

  faulty("pay() with a hash in flight is rejected, and trackPayment() doesn't wait", async (context, faults) => {
    const invoice = await context.request();
    faults.freezePayee();
    const paying = context.pay(invoice);
    await inFlight(context, invoice.paymentHash);
    assert.equal((await context.settle(context.pay(invoice))).kind, "rejected");
    faults.thawPayee();
    assert.equal((await context.settle(paying)).kind, "settled");
  });

  faulty(
    "pay() says unknown when the stream of its updates is lost, and the payment ends by itself",
    async (context, faults) => {
      const invoice = await context.request();
      faults.freezePayee();
      const paying = context.pay(invoice);
      await inFlight(context, invoice.paymentHash);
      faults.stopPayer();
      assert.equal((await context.settle(paying)).kind, "unknown");
      faults.startPayer();
      faults.thawPayee();
      await context.settle(until(async () => {
        const status = await context.settle(context.payer.trackPayment(invoice.paymentHash)).catch((error) => {
          assert.ok(error instanceof LightningError && error.kind === "unavailable", String(error));
        });
        // A simulated payer that restarts before its first attempt makes none, as LND.
        return status?.kind === "settled" || status?.kind === "failed";
      }));
    },
  );

  faulty("abandoning pay() doesn't stop the payment", async (context, faults) => {
    const invoice = await context.request();
    faults.freezePayee();
    const paying = context.pay(invoice);
    await inFlight(context, invoice.paymentHash);
    await context.payer.close();
    assert.equal((await paying).kind, "unknown");
    faults.thawPayee();
    const again = context.reopenPayer();
    await context.settle(until(async () => {
      const status = await context.settle(again.trackPayment(invoice.paymentHash));
      return status.kind === "settled";
    }));
    await again.close();
  });

  faulty(
    "every method rejects as unavailable while the node is down, and pay() pays nothing",
    async (context, faults) => {
      const invoice = await context.request();
      const { shortChannelId } = await context.channel(context.payer);
      faults.stopPayer();
      await rejectAll(context, invoice);
      const outcome = await context.settle(context.payer.pay({
        invoice: invoice.invoice,
        paymentHash: invoice.paymentHash,
        outgoingChannelId: shortChannelId,
        timeoutSec: 20,
        cltvLimitBlocks: 200,
      }));
      // `rejected` only from one that knows that its request never left.
      assert.ok(["unknown", "rejected"].includes(outcome.kind), outcome.kind);
      faults.startPayer();
    },
  );

  faulty("every method rejects within its own deadline while the node is frozen", async (context, faults) => {
    const invoice = await context.request();
    faults.freezePayer();
    await rejectAll(context, invoice);
  });

  faulty("close() rejects what is pending", async (context, faults) => {
    faults.freezePayer();
    const pending = assert.rejects(context.payer.listChannels(), LightningError);
    await context.payer.close();
    await pending;
  });

  faulty("watch() says down once for a loss, and up again after it", async (context, faults) => {
    const kinds: string[] = [];
    let next = Promise.withResolvers<void>();
    const watching = context.payer.watch((event) => {
      if (event.kind !== "up" && event.kind !== "down") return;
      kinds.push(event.kind);
      next.resolve();
      next = Promise.withResolvers();
    });
    if (kinds.length === 0) await context.settle(next.promise);
    faults.stopPayer();
    if (kinds.length === 1) await context.settle(next.promise);
    faults.startPayer();
    if (kinds.length === 2) await context.settle(next.promise);
    assert.deepEqual(kinds, ["up", "down", "up"]);
    await context.payer.close();
    await watching;
  });
}

async function inFlight(context: Context, hash: PaymentHash): Promise<void> {
  await until(async () => (await context.settle(context.payer.trackPayment(hash))).kind === "in-flight");
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  // A node that fails fast would otherwise leave no turn to the rest of the world.
  while (!await condition()) await new Promise((resolve) => setTimeout(resolve, 1));
}

async function rejectAll({ payer, settle }: Context, { invoice, paymentHash }: NewInvoice): Promise<void> {
  const calls = [
    payer.getInfo(),
    payer.listChannels(),
    payer.listPayments(0n, 10),
    payer.addInvoice({ amountSat, memo: "", expirySec: 600 }),
    payer.lookupInvoice(paymentHash),
    payer.cancelInvoice(paymentHash),
    payer.decodeInvoice(invoice),
    payer.signMessage("text"),
    payer.trackPayment(paymentHash),
  ];
  const settled = await settle(Promise.allSettled(calls));
  for (const result of settled) {
    assert.ok(result.status === "rejected" && result.reason instanceof LightningError);
    assert.equal(result.reason.kind, "unavailable");
  }
}
