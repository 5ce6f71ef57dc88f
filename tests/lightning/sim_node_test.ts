import assert from "node:assert/strict";
import { sat } from "../../lib/domain/amounts.ts";
import type { LightningNode } from "../../lib/lightning/node.ts";
import type { SimNetworkModel } from "../../lib/lightning/sim/model.ts";
import { SimNode, type SimNodeOptions } from "../../lib/lightning/sim/sim_node.ts";
import { type ContractFixture, nodeContract } from "./node_contract.ts";
import { granted, simWorld } from "./sim_world.ts";

/** Advances from event to event until the promise is settled; between them, all that follows from one has its turn. */
async function settle<T>(network: SimNetworkModel, promise: Promise<T>): Promise<T> {
  let settled = false;
  promise.then(() => settled = true, () => settled = true);
  const untilMs = network.now().atMs + 60_000;
  for (let turn = 0; turn < 10_000; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 0));
    if (settled) return await promise;
    const nextAtMs = network.nextTimeoutMs();
    if (nextAtMs !== undefined && nextAtMs <= untilMs) network.advance(nextAtMs);
  }
  assert.fail("nothing more happens, and the promise is still pending");
}

function open(options: Partial<SimNodeOptions> = {}): ContractFixture {
  const { network, alice, bob, channelPoint } = simWorld();
  const nodes: LightningNode[] = [];
  const openNode = (pubkey: typeof alice) => {
    const node = new SimNode({ host: network, pubkey, ...options });
    nodes.push(node);
    return node;
  };
  return {
    payer: openNode(alice),
    payee: openNode(bob),
    channelPoint,
    settle: (promise) => settle(network, promise),
    reopenPayer: () => openNode(alice),
    faults: {
      freezePayee: () => network.freezeNode(bob),
      thawPayee: () => network.thawNode(bob),
      freezePayer: () => network.freezeNode(alice),
      stopPayer: () => network.stopNode(alice),
      startPayer: () => network.startNode(alice),
    },
    close: async () => void await Promise.all(nodes.map((node) => node.close())),
  };
}

nodeContract("SimNode", () => Promise.resolve(open()));
nodeContract("SimNode, 20 ms away", () => Promise.resolve(open({ latencyMs: 20 })));

Deno.test("SimNode: an answer that got lost leaves the payment to happen", async () => {
  const fixture = open({ sabotage: (method) => method === "pay" ? "after" : undefined });
  const { payer, payee, channelPoint } = fixture;
  const { invoice, paymentHash } = await payee.addInvoice({ amountSat: sat(5_000), memo: "", expirySec: 60 });
  const channel = (await payer.listChannels()).find((one) => one.channelPoint === channelPoint)!;
  const request = {
    invoice,
    paymentHash,
    outgoingChannelId: channel.shortChannelId,
    timeoutSec: 10,
    cltvLimitBlocks: 200,
  };
  assert.deepEqual(await payer.pay(request), {
    kind: "unknown",
    detail: "Cannot reach the simulated node: the answer was lost",
  });
  assert.equal((await payer.trackPayment(paymentHash)).kind, "in-flight");
  await fixture.close();
});

Deno.test("SimNode: a request that got lost did nothing", async () => {
  const { network, alice, bob } = simWorld();
  const payee = new SimNode({ host: network, pubkey: bob });
  const { invoice, paymentHash } = await payee.addInvoice({ amountSat: sat(5_000), memo: "", expirySec: 60 });
  const payer = new SimNode({ host: network, pubkey: alice, sabotage: () => "before" });
  const outgoingChannelId = network.listChannels(alice)[0]!.chanId;
  const request = { invoice, paymentHash, outgoingChannelId, timeoutSec: 10, cltvLimitBlocks: 200 };
  assert.equal((await payer.pay(request)).kind, "unknown");
  assert.equal(network.payment(alice, paymentHash), undefined);
});

Deno.test("SimNode: watch() reports channels that open, go quiet and close", async () => {
  const { network, alice, bob } = simWorld();
  const node = new SimNode({ host: network, pubkey: alice });
  const seen: string[] = [];
  const watching = node.watch((event) => seen.push(event.kind));
  const point = granted(network.openChannel({ from: bob, to: alice, capacitySat: sat(500_000) }));
  network.advance(10_000);
  assert.deepEqual(seen, ["up", "channel", "channel"]);
  assert.equal((await node.listChannels()).length, 2);
  network.closeChannel(alice, point);
  network.advance(20_000);
  assert.deepEqual(seen.slice(3), ["channel", "channel"]);
  assert.equal((await node.listChannels()).length, 1);
  await node.close();
  await watching;
});

Deno.test("SimNode: a channel with aliases is known by all its ids", async () => {
  const { network, alice, bob } = simWorld({ channel: { aliases: true } });
  const ours = (await new SimNode({ host: network, pubkey: alice }).listChannels())[0]!;
  const theirs = (await new SimNode({ host: network, pubkey: bob }).listChannels())[0]!;
  assert.notEqual(ours.shortChannelId, theirs.shortChannelId);
  const confirmed = network.listChannels(alice)[0]!.zeroConfConfirmedScid;
  for (const id of [confirmed, theirs.shortChannelId]) assert.ok(ours.aliasIds.includes(id));
  assert.equal(ours.channelPoint, theirs.channelPoint);
});
