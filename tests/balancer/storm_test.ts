import assert from "node:assert/strict";
import { foldLedger } from "../../lib/audit/ledger.ts";
import { sat } from "../../lib/domain/amounts.ts";
import type { ChannelPoint, NodePubkey } from "../../lib/domain/ids.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import type { NodeReply } from "../../lib/lightning/node.ts";
import { Harness, type TestInstance } from "./harness.ts";

const maxNetOutflowSat = 700_000;

/**
 * Three instances with five nodes under traffic, while calls and answers are lost, sessions break, nodes stop and freeze,
 * and processes die: money stays within its limits at every moment, and in the end the logs agree with the nodes.
 */
async function storm(seed: number): Promise<void> {
  const dice = new SeededRandom(seed);
  const harness = new Harness(seed);
  const nodes = ["a", "b", "c", "d", "e"].map((alias) => harness.node(alias));
  const [a, b, c, d, e] = nodes as [NodePubkey, NodePubkey, NodePubkey, NodePubkey, NodePubkey];
  const channels: [NodePubkey, NodePubkey, ChannelPoint][] = [[a, b], [a, c], [b, c], [c, d], [d, e], [e, a], [a, c]]
    .map(([from, to]) => [from!, to!, harness.channel(from!, to!, 2_003_470, 900_000)]);
  const settings = {
    minTimeBetweenPaymentsMs: 5_000,
    maxNetOutflowSat: sat(maxNetOutflowSat),
    maxTransactionsPerPeriod: 1_000,
    refreshRateMs: 2_000,
  };
  const instances = [[a, b], [c, d], [e]].map((own) => harness.instance({ nodes: own, settings }));
  const ownerOf = (node: NodePubkey) => instances.findIndex((instance) => instance.options.nodes.includes(node));
  const lose = (instance: TestInstance, percent: number) => {
    instance.tamper = async (_node, call, real) => {
      if (dice.below(100) >= percent) return await real();
      if (dice.below(2) === 0) await real();
      return call.method === "pay"
        ? { ok: true, method: "pay", value: { kind: "unknown", detail: "lost" } } as NodeReply
        : { ok: false, method: call.method, kind: "unavailable", message: "lost", remedy: "" };
    };
  };
  const pick = <T>(list: readonly T[]) => list[dice.below(list.length)]!;
  for (const instance of instances) lose(instance, 10);

  const stopped = new Set<NodePubkey>();
  for (let round = 0; round < 60; round++) {
    const [from, to, point] = pick(channels);
    const sender = pick([from, to]);
    const room = harness.localSat(sender, point) - 40_000;
    if (room > 1 && !stopped.size) {
      harness.network.run((network) => network.shift(point, sender, BigInt(dice.below(room)) * 1000n as never));
    }
    const victim = pick(nodes);
    switch (dice.below(10)) {
      case 0:
        harness.network.run((network) => network.stopNode(victim));
        stopped.add(victim);
        break;
      case 1:
      case 2:
        for (const node of stopped) harness.network.run((network) => network.startNode(node));
        stopped.clear();
        break;
      case 3: {
        const instance = pick(instances);
        const moment = dice.below(30);
        let seen = 0;
        instance.diesAt = () => seen++ === moment;
        break;
      }
      case 4: {
        harness.swarm.sever(instances[0]!.swarmKey, instances[1]!.swarmKey);
        break;
      }
      case 5:
        harness.swarm.mend(instances[0]!.swarmKey, instances[1]!.swarmKey);
        break;
      case 6: {
        // Clocks jump, forwards and backwards.
        pick(instances).wallOffsetMs = dice.below(40_000) - 20_000;
        break;
      }
    }
    await harness.run(dice.below(20_000));
    for (const instance of instances) {
      if (instance.isDead) {
        instance.diesAt = () => false;
        instance.start();
      }
      for (const [peer, positionSat] of instance.state.ledger.positions) {
        assert.ok(positionSat <= maxNetOutflowSat, `seed ${seed}: ${positionSat} sat are out with ${peer}`);
      }
    }
    // The same by what the nodes themselves say: nobody has paid more than the limit above what came back.
    for (const from of nodes) {
      for (const to of nodes) {
        if (ownerOf(from) === ownerOf(to)) continue;
        assert.ok(netPaid(harness, instances[ownerOf(from)]!.options.nodes, to) <= maxNetOutflowSat, `seed ${seed}`);
      }
    }
  }

  for (const instance of instances) {
    instance.diesAt = () => false;
    instance.wallOffsetMs = 0;
    lose(instance, 0);
  }
  for (const node of stopped) harness.network.run((network) => network.startNode(node));
  harness.swarm.mend(instances[0]!.swarmKey, instances[1]!.swarmKey);
  await harness.run(3 * 3_600_000);

  const known = new Set(instances.flatMap((instance) => instance.disk.map(({ paymentHash }) => paymentHash)));
  for (const node of nodes) {
    for (const payment of harness.paymentsOf(node)) {
      assert.ok(known.has(payment.paymentHash));
      assert.equal(payment.feeMsat, 0n);
      for (const htlc of payment.htlcs) assert.equal(htlc.hops.length, 1);
    }
  }
  for (const instance of instances) {
    assert.deepEqual(instance.view.breaker, undefined);
    assert.deepEqual(instance.view.requests, []);
    const ledger = foldLedger(instance.disk, instance.now);
    for (const record of instance.disk) {
      if (record.kind === "intent") {
        const status = harness.network.payment(record.node, record.paymentHash)?.status;
        const settled = ledger.paidHashes.get(record.paymentHash) === "settled";
        assert.equal(settled, status === "SUCCEEDED", `seed ${seed}: ${record.paymentHash}`);
      } else if (record.kind === "received" || record.kind === "cancelled") {
        const state = harness.network.invoice(record.node, record.paymentHash)?.state;
        assert.equal(record.kind === "received", state === "SETTLED", `seed ${seed}`);
      }
    }
    for (const channel of instance.view.channels) {
      const excused = ["peer-limit", "too-small", "no-room", "backing-off", "other-side", "asking"];
      const why = `seed ${seed}: ${channel.alias} ${channel.share} ${channel.reason}`;
      assert.ok(channel.watched && (channel.insideDeadzone || excused.includes(channel.reason ?? "")), why);
    }
  }
  const counted = (kind: string) =>
    instances.flatMap(({ disk }) => disk).filter((record) => record.kind === kind).length;
  assert.ok(counted("settled") >= 5 && counted("cancelled") >= 10, "the storm was a calm");
  await harness.end();
}

/** Settled and in-flight payments from these nodes to that one, less what it paid back. */
function netPaid(harness: Harness, own: readonly NodePubkey[], peer: NodePubkey): number {
  let netMsat = 0n;
  for (const node of own) {
    for (const payment of harness.paymentsOf(node)) {
      const decoded = harness.network.decodeInvoice(payment.paymentRequest);
      if (decoded.kind === "invalid" || decoded.invoice.payee !== peer) continue;
      if (payment.status !== "FAILED") netMsat += payment.valueMsat;
    }
    for (const payment of harness.paymentsOf(peer)) {
      if (payment.status === "SUCCEEDED" && harness.network.invoice(node, payment.paymentHash)) {
        netMsat -= payment.valueMsat;
      }
    }
  }
  return Number(netMsat / 1000n);
}

for (const seed of [2, 8, 0x5eed]) {
  Deno.test(`a storm of faults loses nothing and stays within the limits (seed ${seed})`, () => storm(seed));
}
