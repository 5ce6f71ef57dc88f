import assert from "node:assert/strict";
import { Cluster, type ClusterNode, until } from "./cluster.ts";
import { type Line, runProgram } from "./program.ts";

/** Alice holds 90 % of a channel with Bob; one instance manages both. */
async function pair(cluster: Cluster) {
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  cluster.channel(alice, bob, 0.1);
  return { alice, bob, config: cluster.configFile({ name: "own", nodes: [alice, bob] }) };
}

async function payerLog(config: string): Promise<Line[]> {
  const { stdout } = await runProgram("log", "transactions", "--config", config, "--json");
  return stdout.split("\n").filter((line) => line !== "").map((line): Line => JSON.parse(line))
    .filter(({ role }) => role === "payer");
}

const stop = async (node: ClusterNode) => await node.server.stop();

Deno.test("resolve, where no Tightrope runs: shows, obeys LND, and ends by hand only what LND can't tell of", async () => {
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
  const [{ paymentHash }] = await payerLog(config) as [Line];
  // As the screen shows it.
  const hash = `${String(paymentHash).slice(0, 10)}…`;
  const resolve = (...more: string[]) => runProgram("resolve", hash, "--config", config, ...more);

  const shown = await resolve();
  assert.equal(shown.code, 0, shown.stderr);
  assert.ok(shown.stdout.startsWith(`Payment ${paymentHash}\n`), shown.stdout);
  assert.match(shown.stdout, /amount +39\d,\d+ sat[\s\S]*state +reserved[\s\S]*LND +knows no such payment/);
  assert.match(shown.stdout, /--as settled +not possible: LND knows no such payment\n/);
  assert.match(shown.stdout, /--as failed +not possible: .*might still begin it/);
  for (const [as, why] of [["failed", /might still begin it/], ["settled", /LND knows no such payment/]] as const) {
    const { code, stderr } = await resolve("--as", as);
    assert.equal(code, 75);
    assert.match(stderr, why);
  }
  assert.deepEqual((await payerLog(config)).map(({ kind }) => kind), ["intent"]);

  await stop(alice);
  assert.match(
    (await resolve()).stdout,
    /LND +can't be asked[\s\S]*--as settled +possible[\s\S]*--as failed +possible/,
  );
  const { code, stdout, stderr } = await resolve("--as", "failed");
  assert.equal(code, 0, stderr);
  assert.match(stdout, /Resolved: the payment counts as failed$/);
  const log = await payerLog(config);
  assert.deepEqual(log.map(({ kind }) => kind), ["intent", "failed"]);
  assert.match(String(log[1]!.reason), /^by hand: tightrope resolve; LND: unreachable/);
  const events = (await runProgram("log", "events", "--config", config)).stdout;
  assert.match(
    events,
    /resolved .*by the operator's hand while Tightrope didn't run: the payment of .* counts as failed/,
  );

  const again = await resolve("--as", "settled");
  assert.equal(again.code, 64);
  assert.match(again.stderr, /isn't open: it is failed since/);
  assert.equal((await runProgram("resolve", "ab".repeat(32), "--config", config)).code, 64);
});

Deno.test("resolve beside a running Tightrope: it refuses what is under way, and writes what the operator decides", async () => {
  await using cluster = new Cluster();
  const { alice, bob, config } = await pair(cluster);
  const program = cluster.start(config);
  await cluster.paymentBegins(alice, () => cluster.network.freezeNode(bob.pubkey));
  await until(() => cluster.payments(alice)[0]!.htlcs.length > 0, "an HTLC that is out");
  await alice.server.cut();
  await program.event({ kind: "payment-unknown" });
  const [{ paymentHash }] = await payerLog(config) as [Line];
  const resolve = (...more: string[]) => runProgram("resolve", String(paymentHash), "--config", config, ...more);
  await alice.server.restart();
  await program.event({ kind: "node-up", node: alice.pubkey }, program.events.length - 1).catch(() => {});
  for (const as of ["settled", "failed"]) {
    const { code, stderr } = await resolve("--as", as);
    assert.equal(code, 75);
    assert.match(stderr, /under way: it ends by itself/);
  }

  await stop(alice);
  await program.event({ kind: "node-down", node: alice.pubkey });
  const { code, stdout, stderr } = await resolve("--as", "settled");
  assert.equal(code, 0, stderr + program.stderr.join("\n"));
  assert.match(stdout, /Resolved: the payment counts as settled$/);
  await program.event({ kind: "resolved", paymentHash, level: "warn" });
  const end = (await payerLog(config)).at(-1)!;
  assert.equal(end.kind, "settled");
  assert.match(String(end.reason), /^by hand: tightrope resolve; LND: unreachable/);

  // LND comes back and says the same in the end; nothing is sent again.
  cluster.run((network) => network.thawNode(bob.pubkey));
  await alice.server.restart();
  await program.event({ kind: "payment-received" });
  assert.equal(cluster.payments(alice).length, 1);
  assert.equal((await program.stop()).code, 0);
});
