import assert from "node:assert/strict";
import { sat } from "../../lib/domain/amounts.ts";
import { Cluster, type ClusterNode, until } from "./cluster.ts";
import { type Line, type Program, runProgram } from "./program.ts";

/** Alice holds 90 % of a channel with Bob; one instance manages both. */
async function pair(cluster: Cluster) {
  await cluster.dht();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  const channelPoint = cluster.channel(alice, bob, 0.1);
  return { alice, bob, channelPoint, config: cluster.configFile({ name: "own", nodes: [alice, bob] }) };
}

async function transactions(config: string): Promise<Line[]> {
  const { code, stdout } = await runProgram("log", "transactions", "--config", config, "--json");
  assert.equal(code, 0);
  return stdout.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

const kindsOf = (log: readonly Line[], role: string) =>
  log.filter((line) => line.role === role).map(({ kind }) => kind);

/** Of the node's payments each hash once, as LND would have it, and so much for the log. */
function assertPaidOnce(cluster: Cluster, payer: ClusterNode): void {
  const payments = cluster.payments(payer);
  assert.equal(payments.length, 1, payments.map(({ paymentHash, status }) => `${paymentHash} ${status}`).join("\n"));
  assert.equal(payments[0]!.status, "SUCCEEDED");
}

async function stopWell(program: Program): Promise<void> {
  const { code, signal } = await program.stop();
  assert.deepEqual([code, signal], [0, null], program.stderr.join("\n"));
}

Deno.test("killed when LND has just begun to pay: it is looked up after the restart and never sent again", async () => {
  await using cluster = new Cluster();
  const { alice, config } = await pair(cluster);
  const program = cluster.start(config);
  await cluster.paymentBegins(alice, () => program.kill("SIGKILL"));
  await program.ended();
  await until(() => cluster.payments(alice)[0]?.status === "SUCCEEDED", "a settled payment");
  const again = cluster.start(config);
  await again.event(/^Started: 1 payment and 1 invoice of an earlier run/);
  await again.event({ kind: "payment-settled" });
  await again.event({ kind: "payment-received" });
  await stopWell(again);
  assertPaidOnce(cluster, alice);
  const log = await transactions(config);
  assert.deepEqual(kindsOf(log, "payer"), ["intent", "settled"]);
  assert.deepEqual(kindsOf(log, "payee"), ["invoiced", "received"]);
});

Deno.test("killed while a payment is in flight, over the restart too: recorded when it ends", async () => {
  await using cluster = new Cluster();
  const { alice, bob, config } = await pair(cluster);
  const program = cluster.start(config);
  // Bob's node stops answering, so that what was sent stays out.
  await cluster.paymentBegins(alice, () => cluster.network.freezeNode(bob.pubkey));
  program.kill("SIGKILL");
  await program.ended();
  const again = cluster.start(config);
  await again.event({ kind: "node-up", node: alice.pubkey });
  assert.equal(cluster.payments(alice)[0]!.status, "IN_FLIGHT");
  cluster.run((network) => network.thawNode(bob.pubkey));
  await again.event({ kind: "payment-settled" });
  await again.event({ kind: "payment-received" });
  await stopWell(again);
  assertPaidOnce(cluster, alice);
  assert.deepEqual(kindsOf(await transactions(config), "payer"), ["intent", "settled"]);
});

Deno.test("killed before LND saw the payment: the amount stays reserved, and it isn't sent", async () => {
  await using cluster = new Cluster();
  const { alice, config } = await pair(cluster);
  const program = cluster.start(config);
  const reached = Promise.withResolvers<void>();
  cluster.hooks.sendPayment = () => {
    program.kill("SIGKILL");
    reached.resolve();
    return { kind: "refused", reason: "bad-request", code: 2, text: "lost on the way" };
  };
  await reached.promise;
  await program.ended();
  cluster.hooks = {};
  const again = cluster.start(config);
  await again.event(/^Started: 1 payment and 1 invoice/);
  // Bob's invoice is cancelled; but nobody knows yet that LND won't pay it all the same.
  await again.event({ kind: "request-ended" });
  await again.event({ kind: "request-refused", reason: "payment-open", node: alice.pubkey });
  await stopWell(again);
  assert.deepEqual(cluster.payments(alice), []);
  const log = await transactions(config);
  assert.deepEqual(kindsOf(log, "payer"), ["intent"]);
  assert.deepEqual(kindsOf(log, "payee").slice(0, 2), ["invoiced", "cancelled"]);
});

Deno.test("killed after the invoice was made, before it was paid: it is cancelled, and another one is paid", async () => {
  await using cluster = new Cluster();
  const { alice, bob, channelPoint, config } = await pair(cluster);
  const program = cluster.start(config);
  const reached = Promise.withResolvers<void>();
  cluster.hooks.decodeInvoice = () => {
    program.kill("SIGKILL");
    reached.resolve();
    return undefined;
  };
  await reached.promise;
  await program.ended();
  cluster.hooks = {};
  const again = cluster.start(config);
  await again.event({ kind: "request-ended" });
  await again.event({ kind: "payment-received" });
  await stopWell(again);
  await cluster.balanced(bob, channelPoint);
  assertPaidOnce(cluster, alice);
  const log = await transactions(config);
  assert.deepEqual(kindsOf(log, "payer"), ["intent", "settled"]);
  assert.deepEqual(kindsOf(log, "payee"), ["invoiced", "cancelled", "invoiced", "received"]);
  const states = cluster.run((network) => network.invoices(bob.pubkey)).map(({ state }) => state);
  assert.deepEqual(states, ["CANCELED", "SETTLED"]);
});

Deno.test("LND restarts in the middle of a payment: unknown until LND tells, then settled; paid once", async () => {
  await using cluster = new Cluster();
  const { alice, bob, config } = await pair(cluster);
  const program = cluster.start(config);
  await cluster.paymentBegins(alice, () => cluster.network.freezeNode(bob.pubkey));
  await until(() => cluster.payments(alice)[0]!.htlcs.length > 0, "an HTLC that is out");
  await alice.server.cut();
  await program.event({ kind: "payment-unknown" });
  cluster.run((network) => network.thawNode(bob.pubkey));
  await alice.server.restart();
  await program.event({ kind: "payment-settled" });
  await program.event({ kind: "payment-received" });
  await stopWell(program);
  assertPaidOnce(cluster, alice);
  assert.deepEqual(kindsOf(await transactions(config), "payer"), ["intent", "unknown", "settled"]);
});

Deno.test("a second daemon on the same data directory is told so, and the first goes on", async () => {
  await using cluster = new Cluster();
  const { alice, bob, config } = await pair(cluster);
  const program = cluster.start(config);
  await program.event({ kind: "payment-received" });
  const second = await runProgram("--config", config);
  assert.equal(second.code, 75, second.stderr);
  assert.match(second.stderr, /own-data.* in use by another process/);
  assert.doesNotMatch(second.stderr, /\bat .*:\d+:\d+|bug in Tightrope/);
  cluster.run((network) => network.openChannel({ from: alice.pubkey, to: bob.pubkey, capacitySat: sat(1_000_000n) }));
  await until(() => cluster.payments(alice).length === 2, "another payment");
  await stopWell(program);
});

Deno.test("a signal waits for a payment under way; two at once count as one; another one later ends it at once", async () => {
  await using cluster = new Cluster();
  const { alice, bob, config } = await pair(cluster);
  const program = cluster.start(config);
  await cluster.paymentBegins(alice, () => cluster.network.freezeNode(bob.pubkey));
  await program.event({ kind: "payment-started" });
  // A task runner passes one Ctrl-C on twice.
  program.kill("SIGINT");
  program.kill("SIGINT");
  await program.event(/^SIGINT: starting nothing new/);
  // What counts as another one comes a second after the first or later.
  await new Promise((resolve) => setTimeout(resolve, 1_100));
  assert.ok(!program.stderr.join().includes("again"));
  program.kill("SIGINT");
  const { code, stderr } = await program.ended();
  assert.equal(code, 75);
  assert.match(stderr, /SIGINT again: ending at once/);

  // Bob's node may first take the cancellation that waited for it, or the HTLC.
  const again = cluster.start(config);
  cluster.run((network) => network.thawNode(bob.pubkey));
  const { kind } = await again.event({ kind: /^payment-(settled|failed)$/ });
  await again.event({ kind: /^(payment-received|request-ended)$/ });
  await stopWell(again);
  assert.equal(cluster.payments(alice).length, 1);
  assert.deepEqual(kindsOf(await transactions(config), "payer"), ["intent", String(kind).slice("payment-".length)]);
});

Deno.test("a signal waits some seconds for an LND that hangs, then leaves the payment to the next start", async () => {
  await using cluster = new Cluster();
  const { alice, bob, config } = await pair(cluster);
  const program = cluster.start(config);
  await cluster.paymentBegins(alice, () => cluster.network.freezeNode(bob.pubkey));
  await until(() => cluster.payments(alice)[0]!.htlcs.length > 0, "an HTLC that is out");
  cluster.run((network) => network.freezeNode(alice.pubkey));
  await stopWell(program);
  await program.event(/^Stopped, though LND still has something under way/);
  const again = cluster.start(config);
  await again.event(/^Started: 1 payment and 1 invoice/);
  assert.equal((await again.stop()).code, 0);
});
