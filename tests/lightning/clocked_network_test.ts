import assert from "node:assert/strict";
import { sat } from "../../lib/domain/amounts.ts";
import { InvariantError } from "../../lib/domain/errors.ts";
import type { Clock } from "../../lib/env/clock.ts";
import type { NodePubkey } from "../../lib/domain/ids.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { systemClock } from "../../lib/env/system.ts";
import { ClockedNetwork } from "../../lib/lightning/sim/clocked_network.ts";
import { instantTiming, type SimTiming } from "../../lib/lightning/sim/model.ts";
import { SimNetwork } from "../../lib/lightning/sim/network.ts";
import { SimNode } from "../../lib/lightning/sim/sim_node.ts";
import { granted } from "./sim_world.ts";

function clocked(timing: Partial<SimTiming>, clock: Clock = systemClock) {
  const network = new SimNetwork({ random: new SeededRandom(7), start: clock.now(), timing });
  const [alice, bob] = [network.addNode({ alias: "alice" }), network.addNode({ alias: "bob" })];
  granted(network.openChannel({
    from: alice,
    to: bob,
    capacitySat: sat(1_000_000),
    pushSat: sat(100_000),
    instant: true,
  }));
  const host = new ClockedNetwork(network, clock);
  const nodes = [alice, bob].map((pubkey) => new SimNode({ host, pubkey }));
  return { host, network, payer: nodes[0]!, payee: nodes[1]!, alice, bob };
}

async function payOnce({ payer, payee }: ReturnType<typeof clocked>) {
  const made = await payee.addInvoice({ amountSat: sat(10_000), memo: "", expirySec: 60 });
  const [channel] = await payer.listChannels();
  return payer.pay({
    ...made,
    outgoingChannelId: channel!.shortChannelId,
    timeoutSec: 10,
    cltvLimitBlocks: 200,
  });
}

Deno.test("ClockedNetwork lets payments take their time, and close() leaves no timer behind", async () => {
  const world = clocked({ paymentMs: 20, receiverLagMs: [5, 5] });
  world.host.start();
  const before = world.network.now().atMs;
  assert.equal((await payOnce(world)).kind, "settled");
  assert.ok(world.network.now().atMs - before >= 20);
  // The invoice's expiry is still to come: its timer would be a leak.
  assert.notEqual(world.network.nextTimeoutMs(), undefined);
  await world.host.close();
});

Deno.test("ClockedNetwork does what takes no time within the command", async () => {
  const world = clocked(instantTiming);
  assert.equal((await payOnce(world)).kind, "settled");
  await world.host.close();
});

Deno.test("ClockedNetwork stands still before start() and after close()", async () => {
  let atMs = 1_000;
  const world = clocked({ paymentMs: 20 }, { now: () => ({ atMs, wallMs: 1_800_000_000_000 + atMs }) });
  const paying = payOnce(world);
  for (let turn = 0; turn < 20; turn++) await Promise.resolve();
  const { paymentHash } = world.network.invoices(world.bob)[0]!;
  assert.equal(world.network.payment(world.alice, paymentHash)?.status, "IN_FLIGHT");
  atMs += 1_000;
  world.host.start();
  assert.equal((await paying).kind, "settled");
  await world.host.close();
});

Deno.test("ClockedNetwork passes on what a command throws", async () => {
  const { host, network } = clocked({});
  const stranger = network.nodes()[0]!.replace(/.$/, (digit) => (digit === "0" ? "1" : "0"));
  assert.throws(() => host.run((model) => model.nodeInfo(stranger as NodePubkey)), InvariantError);
  await host.close();
});
