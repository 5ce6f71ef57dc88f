import assert from "node:assert/strict";
import { Cluster } from "./cluster.ts";
import { runProgram } from "./program.ts";

Deno.test("one instance without any DHT balances its own nodes at once, in memory", async () => {
  await using cluster = new Cluster();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  const channelPoint = cluster.channel(alice, bob, 0.1);
  const program = cluster.start(cluster.configFile({ name: "own", nodes: [alice, bob] }));
  const { amountSat } = await program.event({ kind: "payment-received", node: bob.pubkey });
  await program.event({ kind: "payment-settled", node: alice.pubkey, amountSat, feeMsat: 0 });
  await cluster.balanced(bob, channelPoint);
  assert.equal(cluster.payments(alice).length, 1);
  const { code, signal } = await program.stop();
  assert.deepEqual([code, signal], [0, null], program.stderr.join("\n"));
  assert.deepEqual(program.stdout, []);
});

Deno.test("a dry run says what it would ask for, asks nobody and pays nothing", async () => {
  await using cluster = new Cluster();
  await cluster.dht();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  cluster.channel(alice, bob, 0.1);
  const config = cluster.configFile({ name: "dry", nodes: [alice, bob] });
  const program = cluster.start(config, "--dry-run");
  const { amountSat, node } = await program.event({ kind: "decision", reason: "dry-run" });
  assert.equal(node, bob.pubkey);
  assert.ok(Number(amountSat) > 390_000);
  assert.equal((await program.stop()).code, 0);
  assert.deepEqual(cluster.run((network) => network.invoices(bob.pubkey)), []);
  assert.deepEqual(cluster.payments(alice), []);
  const { code, stdout } = await runProgram("log", "transactions", "--config", config, "--json");
  assert.deepEqual([code, stdout], [0, ""]);
});

Deno.test("pause and resume reach the running daemon, and a pause lasts across a restart", async () => {
  await using cluster = new Cluster();
  await cluster.dht();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  cluster.channel(alice, bob, 0.5);
  const config = cluster.configFile({ name: "paused", nodes: [alice, bob] });
  const program = cluster.start(config);
  await program.event({ kind: "decision", reason: "balanced", node: bob.pubkey });
  assert.deepEqual(
    (await runProgram("pause", "--config", config)).stdout,
    "Paused: nothing is asked or paid until resume",
  );
  await program.event({ kind: "paused" });
  cluster.channel(alice, bob, 0.1, { instant: false });
  await program.event({ kind: "decision", reason: "paused", node: bob.pubkey });
  assert.equal((await program.stop()).code, 0);

  const again = cluster.start(config);
  await again.event(/^Started, paused/);
  await again.event({ kind: "decision", reason: "paused", node: bob.pubkey });
  assert.deepEqual(cluster.payments(alice), []);
  assert.equal((await runProgram("resume", "--config", config)).stdout, "Resumed");
  await again.event({ kind: "resumed" });
  await again.event({ kind: "payment-received" });
  assert.equal(cluster.payments(alice).length, 1);
  assert.equal((await again.stop()).code, 0);
});

Deno.test("a channel with enabled: false is left alone, and the log says why", async () => {
  await using cluster = new Cluster();
  await cluster.dht();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  const disabled = cluster.channel(alice, bob, 0.1);
  const other = cluster.channel(alice, bob, 0.1);
  const { chanId } = cluster.run((network) => network.channel(alice.pubkey, disabled))!;
  const program = cluster.start(cluster.configFile({
    name: "disabled",
    nodes: [alice, bob],
    more: `limits:\n  idSettings:\n    - id: ${chanId}\n      enabled: false\n`,
  }));
  await program.event({ kind: "decision", reason: "disabled", channelPoint: disabled, node: bob.pubkey });
  await program.event({ kind: "payment-received", channelPoint: other });
  assert.equal((await program.stop()).code, 0);
  assert.equal(cluster.payments(alice).length, 1);
  assert.ok(cluster.share(bob, disabled) < 0.11);
});
