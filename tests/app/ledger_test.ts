import assert from "node:assert/strict";
import { sat } from "../../lib/domain/amounts.ts";
import { parseNodePubkey } from "../../lib/domain/ids.ts";
import { recoverNodePubkey } from "../../lib/protocol/signatures.ts";
import { Cluster, type ClusterNode } from "./cluster.ts";
import { type Line, Program, runProgram } from "./program.ts";

interface Said {
  readonly verdict: string;
  readonly meaning: string;
  readonly paidSat: number;
  readonly receivedSat: number;
  readonly text: string;
  readonly signature: string;
  readonly paidDifferenceSat: number;
}

interface Report {
  readonly nodes: readonly Line[];
  readonly total: Line;
  readonly peers:
    readonly (Line & { readonly pairs: readonly (Line & { readonly lnd: Said; readonly theirs: Said })[] })[];
  readonly own: readonly Line[];
}

async function ledger(config: string): Promise<Report> {
  const { code, stdout, stderr } = await runProgram("ledger", "--json", "--config", config);
  assert.equal(code, 0, stderr);
  return JSON.parse(stdout);
}

/** Waits until the other side's word is in the log. */
async function statement(config: string, count = 1): Promise<void> {
  await using follow = new Program(["log", "transactions", "--follow", "--json", "--config", config]);
  await follow.printed({ kind: "statement" }, count);
}

/** Moves sats to Alice until Bob lacks again. */
function drain(cluster: Cluster, bob: ClusterNode, point: ReturnType<Cluster["channel"]>): void {
  const { localSat } = cluster.run((network) => network.channel(bob.pubkey, point))!;
  const amountMsat = (localSat - sat(100_000n)) * 1_000n;
  assert.equal(cluster.run((network) => network.shift(point, bob.pubkey, amountMsat as never)), undefined);
}

Deno.test("ledger: both operators read the same from the log, from LND and from what the other has signed", async () => {
  await using cluster = new Cluster();
  await cluster.dht();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("=bob");
  const point = cluster.channel(alice, bob, 0.1);
  const more = "limits:\n  baseSettings:\n    maxNetOutflow: 1000000\n    minTimeBetweenPayments: 0s\n";
  const configs = [
    cluster.configFile({ name: "A", nodes: [alice], more }),
    cluster.configFile({ name: "B", nodes: [bob], more }),
  ] as const;
  const [a, b] = [cluster.start(configs[0]), cluster.start(configs[1])];
  const amountSat = Number((await b.event({ kind: "payment-received" })).amountSat);
  await Promise.all(configs.map((config) => statement(config)));

  const [ours, theirs] = [await ledger(configs[0]), await ledger(configs[1])];
  for (const [report, self, other, sign] of [[ours, alice, bob, 1], [theirs, bob, alice, -1]] as const) {
    const [peer] = report.peers;
    assert.equal(peer!.peer, other.pubkey);
    assert.equal(peer!.alias, other.alias);
    assert.equal(peer!.netSat, sign * amountSat);
    assert.equal(peer!.limitSat, 1_000_000);
    assert.equal(peer!.leftSat, 1_000_000 - sign * amountSat);
    const [pair] = peer!.pairs;
    assert.deepEqual([pair!.node, pair!.alias, pair!.payments], [self.pubkey, self.alias, 1]);
    assert.deepEqual([pair!.lnd.verdict, pair!.theirs.verdict], ["agrees", "agrees"], JSON.stringify(pair));
    assert.equal(recoverNodePubkey(pair!.theirs.text, pair!.theirs.signature), parseNodePubkey(other.pubkey));
    assert.match(pair!.theirs.text, new RegExp(`^tightrope/2 account ${other.pubkey} with ${self.pubkey} paid `));
  }
  assert.deepEqual(ours.total, {
    owedToYouSat: amountSat,
    limitSat: 10_000_000,
    leftSat: 10_000_000 - amountSat,
    youOweSat: 0,
  });
  assert.equal(theirs.total.youOweSat, amountSat);

  const csv = (await runProgram("ledger", "--csv", "--config", configs[0])).stdout.split("\n");
  assert.match(csv[0]!, /^kind,peer,peer_alias,node,/);
  assert.deepEqual(csv.slice(1).filter((line) => line !== "").map((line) => line.split(",")[0]), [
    "peer",
    "pair",
    "channel",
  ]);
  assert.equal(csv[1]!.split(",")[2], "'=bob");
  assert.match(
    (await runProgram("ledger", "--config", configs[1])).stdout,
    /^alice \(.*\): you owe it 3\d\d,\d\d\d sat since/,
  );

  // LND is gone: the rest is shown.
  await alice.server.stop();
  const without = await ledger(configs[0]);
  assert.match(String(without.nodes[0]!.problem), /./);
  assert.equal(without.peers[0]!.netSat, amountSat);
  assert.equal(without.peers[0]!.pairs[0]!.lnd.verdict, "unread");
  await alice.server.restart();
  await a.event({ kind: "node-up", node: alice.pubkey }, 5);

  // Bob's data directory is lost, so that he forgets what he received before.
  assert.equal((await b.stop()).code, 0);
  await Deno.remove(`${cluster.folder}/B-data`, { recursive: true });
  const forgetful = cluster.start(configs[1]);
  await forgetful.event({ kind: "node-joined" });
  drain(cluster, bob, point);
  const second = Number((await forgetful.event({ kind: "payment-received" })).amountSat);
  await statement(configs[0], 2);
  for (const program of [forgetful, a]) assert.equal((await program.stop()).code, 0);
  const [differing] = (await ledger(configs[0])).peers[0]!.pairs;
  assert.deepEqual([differing!.paidSat, differing!.lnd.verdict], [amountSat + second, "agrees"]);
  assert.deepEqual([differing!.theirs.verdict, differing!.theirs.receivedSat, differing!.theirs.paidDifferenceSat], [
    "differs",
    second,
    -amountSat,
  ]);
});

Deno.test("ledger: pairs of one's own nodes stand apart, and a log that isn't there is said so", async () => {
  await using cluster = new Cluster();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  cluster.channel(alice, bob, 0.1);
  const config = cluster.configFile({ name: "own", nodes: [alice, bob] });
  assert.match((await runProgram("ledger", "--config", config)).stderr, /There is no log in/);
  const program = cluster.start(config);
  const { amountSat } = await program.event({ kind: "payment-received" });
  assert.equal((await program.stop()).code, 0);
  const { peers, own, total } = await ledger(config);
  assert.deepEqual(peers, []);
  assert.deepEqual(own.map(({ node, paidSat, receivedSat, netSat }) => [node, paidSat, receivedSat, netSat]), [
    [alice.pubkey, amountSat, 0, amountSat],
    [bob.pubkey, 0, amountSat, -Number(amountSat)],
  ]);
  assert.equal(total.owedToYouSat, 0);
  const { stdout } = await runProgram("ledger", "--config", config);
  assert.match(stdout, /^No payment to or from another operator's node$/m);
  assert.match(
    stdout,
    /^ {2}alice \(.*\) with bob \(.*\)\n {4}channel 472x1x0, 1 payment, paid 39\d,\d+, received 0, net 39/m,
  );
});
