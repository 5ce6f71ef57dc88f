import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { msat, sat } from "../../lib/domain/amounts.ts";
import type { LndNode } from "../../lib/lightning/lnd/client.ts";
import type { NodeEvent } from "../../lib/lightning/node.ts";
import { uriOps } from "../../lib/lightning/sim/macaroon.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { configOf, Pair } from "./lnd_harness.ts";

/** Collects what `watch` tells, and waits for what a test expects of it. */
class Watched {
  readonly events: NodeEvent[] = [];
  #wake: () => void = () => {};

  constructor(node: LndNode) {
    node.watch((event) => {
      this.events.push(event);
      this.#wake();
    });
  }

  /** The first event of this kind after the `seen` first ones. */
  async next<K extends NodeEvent["kind"]>(kind: K, seen = 0): Promise<NodeEvent & { kind: K }> {
    for (;;) {
      const found = this.events.slice(seen).find((event) => event.kind === kind);
      if (found !== undefined) return found as NodeEvent & { kind: K };
      await new Promise<void>((resolve) => this.#wake = resolve);
    }
  }

  kinds(): string[] {
    return this.events.map((event) => event.kind);
  }
}

function sha256Hex(hex: string): string {
  return createHash("sha256").update(hex, "hex").digest("hex");
}

/** Alice's payment of a hold invoice of Bob's, accepted by him and not settled. */
async function payHeld(pair: Pair, alice: LndNode, hash: string) {
  const [channel] = await alice.listChannels();
  const held = pair.network.addInvoice(pair.bob, { valueMsat: msat(1_000_000n), hash });
  assert.ok(!isRefusal(held));
  const paying = alice.pay({
    invoice: held.paymentRequest,
    paymentHash: held.paymentHash,
    outgoingChannelId: channel!.shortChannelId,
    timeoutSec: 5,
    cltvLimitBlocks: 200,
  });
  while (pair.network.invoice(pair.bob, held.paymentHash)?.state !== "ACCEPTED") await alice.getInfo();
  return { held, paying };
}

Deno.test("LndNode pays an invoice over the channel that it was told to use", async () => {
  await using pair = new Pair();
  const alice = pair.connect(configOf(await pair.serve(pair.alice)));
  const bob = pair.connect(configOf(await pair.serve(pair.bob)));
  const [channel] = await alice.listChannels();
  assert.ok(channel);
  const { invoice, paymentHash } = await bob.addInvoice({ amountSat: sat(10_000n), memo: "hello", expirySec: 60 });
  const request = {
    invoice,
    paymentHash,
    outgoingChannelId: channel.shortChannelId,
    timeoutSec: 5,
    cltvLimitBlocks: 200,
  };
  const settled = {
    kind: "settled",
    index: 1n,
    amountMsat: 10_000_000n,
    feeMsat: 0n,
    routes: [[{ channelId: channel.shortChannelId, pubkey: pair.bob }]],
  };
  assert.deepEqual(await alice.pay(request), settled);
  assert.deepEqual(await alice.trackPayment(paymentHash), settled);
  assert.deepEqual(await alice.pay(request), { kind: "rejected", detail: "invoice is already paid" });
  assert.equal((await bob.lookupInvoice(paymentHash))?.state, "settled");
  const [payment] = await alice.listPayments(0n, 10);
  assert.deepEqual([payment?.destination, payment?.memo, payment?.status], [pair.bob, "hello", settled]);
});

Deno.test("LndNode.watch() tells a stop once, and comes back by itself after the restart on the same port", async () => {
  await using pair = new Pair();
  const server = await pair.serve(pair.alice);
  const watched = new Watched(pair.connect(configOf(server)));
  assert.equal((await watched.next("up")).info.pubkey, pair.alice);
  await server.stop();
  const down = await watched.next("down");
  assert.match(down.message, /^(Nothing listens at|The connection to LND at) 127\.0\.0\.1:\d+/);
  const seen = watched.events.length;
  await server.restart();
  await watched.next("up", seen);
  assert.equal(watched.kinds().filter((kind) => kind === "down").length, 1);
});

Deno.test("LndNode.watch() says that the wallet is locked, and goes on when it is unlocked", async () => {
  await using pair = new Pair();
  const server = await pair.serve(pair.alice, { startState: "LOCKED" });
  const node = pair.connect(configOf(server));
  const watched = new Watched(node);
  const down = await watched.next("down");
  assert.equal(down.message, `The wallet of LND at ${server.socket} is locked`);
  assert.match(down.remedy, /lncli unlock/);
  await assert.rejects(node.listChannels(), { kind: "unavailable", message: down.message });
  server.setWalletState("UNLOCKED");
  await assert.rejects(node.listChannels(), {
    kind: "unavailable",
    message: `LND at ${server.socket} is still starting`,
  });
  server.setWalletState("RPC_ACTIVE");
  server.setWalletState("SERVER_ACTIVE");
  await watched.next("up");
  assert.deepEqual(watched.kinds(), ["down", "up"]);
});

Deno.test("LndNode.watch() takes a connection that breaks while the node runs for no loss, and asks to look again", async () => {
  await using pair = new Pair();
  const server = await pair.serve(pair.alice);
  const node = pair.connect(configOf(server));
  const watched = new Watched(node);
  await watched.next("up");
  server.dropConnections();
  // One for each of the two streams, which are open again.
  await watched.next("channel");
  while (watched.events.length < 3) await watched.next("channel", watched.events.length);
  assert.deepEqual(watched.kinds(), ["up", "channel", "channel"]);
  await node.getInfo();
  pair.host.run((network) => network.setConnected(pair.alice, pair.bob, false));
  assert.deepEqual(await watched.next("channel", 3), { kind: "channel", channelPoint: pair.channelPoint });
  assert.ok(!watched.kinds().includes("down"));
});

Deno.test("LndNode.watch() says what is wrong with the macaroon, and goes on when its file is put right", async () => {
  await using pair = new Pair();
  const [server, other] = [await pair.serve(pair.alice), await pair.serve(pair.bob)];
  const path = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(path, other.adminMacaroonHex);
    const watched = new Watched(pair.connect(configOf(server, { macaroon: { kind: "file", path } })));
    const { message, remedy } = await watched.next("down");
    assert.equal(message, `The macaroon for LND at ${server.socket} is not of this node, or was changed`);
    assert.match(remedy, /the README has the command/);
    await Deno.writeTextFile(path, server.adminMacaroonHex);
    await watched.next("up");
    assert.equal(watched.kinds().filter((kind) => kind === "down").length, 1);
  } finally {
    await Deno.remove(path);
  }
});

Deno.test("LndNode.watch() hears of HTLCs and of channels", async () => {
  await using pair = new Pair();
  const alice = pair.connect(configOf(await pair.serve(pair.alice)));
  const watched = new Watched(alice);
  await watched.next("up");
  const channel = pair.network.channel(pair.alice, pair.channelPoint);
  pair.host.run((network) => network.setConnected(pair.alice, pair.bob, false));
  assert.deepEqual(await watched.next("channel"), { kind: "channel", channelPoint: pair.channelPoint });
  pair.host.run((network) => network.setConnected(pair.alice, pair.bob, true));
  const bob = pair.connect(configOf(await pair.serve(pair.bob)));
  const { invoice, paymentHash } = await bob.addInvoice({ amountSat: sat(1_000n), memo: "", expirySec: 60 });
  await alice.pay({ invoice, paymentHash, outgoingChannelId: channel!.chanId, timeoutSec: 5, cltvLimitBlocks: 200 });
  assert.deepEqual(await watched.next("htlc"), { kind: "htlc", channelIds: [channel!.chanId] });
});

Deno.test("LndNode.pay() is unknown when the node dies with the HTLC out, and trackPayment() tells the end", async () => {
  await using pair = new Pair("0.19.3-beta");
  const server = await pair.serve(pair.alice);
  const alice = pair.connect(configOf(server));
  const watched = new Watched(alice);
  await watched.next("up");
  const preimage = "11".repeat(32);
  const { held, paying } = await payHeld(pair, alice, sha256Hex(preimage));
  await server.cut();
  assert.equal((await paying).kind, "unknown");
  await watched.next("down");
  const seen = watched.events.length;
  await server.restart();
  await watched.next("up", seen);
  const underWay = await alice.trackPayment(held.paymentHash);
  assert.ok(underWay.kind === "in-flight" && underWay.index === 1n);
  assert.equal(pair.host.run((network) => network.settleInvoice(pair.bob, preimage)), undefined);
  while ((await alice.trackPayment(held.paymentHash)).kind === "in-flight");
  assert.equal((await alice.trackPayment(held.paymentHash)).kind, "settled");
});

Deno.test("LndNode.pay() is rejected when nothing listens: nothing can have been sent", async () => {
  await using pair = new Pair();
  const server = await pair.serve(pair.alice);
  const config = configOf(server);
  await server.close();
  const alice = pair.connect(config);
  const outcome = await alice.pay({
    invoice: "lnbcrt1",
    paymentHash: "00".repeat(32) as never,
    outgoingChannelId: "1" as never,
    timeoutSec: 5,
    cltvLimitBlocks: 200,
  });
  assert.deepEqual(outcome, { kind: "rejected", detail: `Nothing listens at ${server.socket}` });
});

Deno.test("LndNode tells which right the macaroon lacks, and that a macaroon is another node's", async () => {
  await using pair = new Pair();
  const [aliceLnd, bobLnd] = [await pair.serve(pair.alice), await pair.serve(pair.bob)];
  const few = aliceLnd.bakeMacaroon({ rootKeyId: "7", ops: uriOps(["/lnrpc.Lightning/GetInfo"]) });
  const lacking = pair.connect(configOf(aliceLnd, { macaroon: { kind: "inline", value: few } }));
  await lacking.getInfo();
  await assert.rejects(lacking.listChannels(), {
    kind: "permission",
    message: `The macaroon for LND at ${aliceLnd.socket} does not allow /lnrpc.Lightning/ListChannels`,
  });
  // Hints are a comfort: without the right to them the node is up all the same.
  const watched = new Watched(lacking);
  await watched.next("up");
  assert.match((await watched.next("warning")).message, /does not allow/);

  const foreign = pair.connect(
    configOf(aliceLnd, { macaroon: { kind: "inline", value: bobLnd.adminMacaroonHex } }),
  );
  await assert.rejects(foreign.getInfo(), { kind: "permission", message: /macaroon .* is not of this node/ });
  aliceLnd.revokeRootKey("7");
  await assert.rejects(lacking.getInfo(), { kind: "permission", message: /was revoked/ });
});

Deno.test("LndNode gives up a call that a frozen node doesn't answer", async () => {
  await using pair = new Pair();
  const server = await pair.serve(pair.alice);
  const node = pair.connect(configOf(server), { timings: { callTimeoutMs: 50 } });
  pair.host.run((network) => network.freezeNode(pair.alice));
  await assert.rejects(node.getInfo(), {
    kind: "unavailable",
    message: `LND at ${server.socket} did not answer /lnrpc.Lightning/GetInfo within 1 s`,
  });
});

Deno.test("LndNode.close() ends the watch and what is under way, and every call after it is refused", async () => {
  await using pair = new Pair();
  const alice = pair.connect(configOf(await pair.serve(pair.alice)));
  const watching = alice.watch(() => {});
  const { paying } = await payHeld(pair, alice, "22".repeat(32));
  await alice.close();
  assert.equal((await paying).kind, "unknown");
  await watching;
  await assert.rejects(alice.getInfo(), { kind: "unavailable", message: /was closed/ });
});
