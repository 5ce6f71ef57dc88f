import assert from "node:assert/strict";
import { Cluster } from "./cluster.ts";
import { Program, runProgram } from "./program.ts";

Deno.test("an instance that was killed, or stopped, is met again after its restart", async () => {
  await using cluster = new Cluster();
  await cluster.dht();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  cluster.channel(alice, bob, 0.5);
  const staying = cluster.start(cluster.configFile({ name: "A", nodes: [alice] }));
  const config = cluster.configFile({ name: "B", nodes: [bob] });
  for (const signal of ["SIGKILL", "SIGTERM"] as const) {
    const before = staying.events.length;
    const leaving = cluster.start(config);
    await staying.event({ kind: "channel-watched" }, before);
    leaving.kill(signal);
    assert.equal((await leaving.ended()).code, signal === "SIGKILL" ? 137 : 0);
    if (signal === "SIGTERM") await staying.event({ kind: "node-left", peer: bob.pubkey }, before);
  }
  const again = cluster.start(config);
  await again.event({ kind: "decision", reason: "balanced" });
  cluster.channel(alice, bob, 0.1, { instant: false });
  await again.event({ kind: "payment-received" });
  for (const program of [again, staying]) assert.equal((await program.stop()).code, 0);
  assert.equal(cluster.payments(alice).length, 1);
});

Deno.test("a second instance that speaks for the same node stops that node, loudly, until the operator resumes", async () => {
  await using cluster = new Cluster();
  await cluster.dht();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  cluster.channel(alice, bob, 0.5);
  const config = cluster.configFile({ name: "A", nodes: [alice, bob] });
  const first = cluster.start(config);
  await first.event({ kind: "decision", reason: "balanced" });
  const clone = cluster.start(cluster.configFile({ name: "clone", nodes: [alice] }));
  await first.event({ kind: "paused", level: "error", node: alice.pubkey });
  await clone.event({ kind: "paused", level: "error", node: alice.pubkey });
  cluster.channel(bob, alice, 0.1, { instant: false });
  await first.event({ kind: "decision", reason: "cloned", node: alice.pubkey });
  assert.deepEqual(cluster.payments(bob), []);

  assert.equal((await clone.stop()).code, 0);
  const { stdout } = await runProgram("resume", "--config", config);
  assert.equal(stdout, "No pause was set. A node that was stopped because of another instance goes on");
  await first.event({ kind: "payment-received", node: alice.pubkey });
  assert.equal((await first.stop()).code, 0);
});

Deno.test("tightrope log --follow prints what was and what comes, and ends with a signal", async () => {
  await using cluster = new Cluster();
  await cluster.dht();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  cluster.channel(alice, bob, 0.1);
  const config = cluster.configFile({ name: "follow", nodes: [alice, bob] });
  const program = cluster.start(config);
  await program.event({ kind: "payment-received" });
  await using follower = new Program(["log", "transactions", "--follow", "--json", "--config", config]);
  await follower.printed({ kind: "received" });
  cluster.channel(alice, bob, 0.1, { instant: false });
  const settled = await follower.printed({ kind: "settled", role: "payer" }, 2);
  assert.deepEqual(settled.map(({ feeMsat }) => feeMsat), [0, 0]);
  await using events = new Program(["log", "events", "--follow", "--json", "--config", config]);
  await events.printed({ kind: "payment-settled" }, 2);
  follower.kill("SIGINT");
  events.kill("SIGTERM");
  assert.equal((await follower.ended()).code, 0);
  assert.equal((await events.ended()).code, 0);
  assert.equal((await program.stop()).code, 0);
  const text = await runProgram("log", "transactions", "--config", config);
  assert.match(text.stdout, /payer\s+settled\s+398,265 sat\s+472x1x0\s+to\s+\S+ \(own\)\s+hash \S+\s+fee 0/);
});

Deno.test("a log that isn't there and a data directory that can't be written are explained", async () => {
  await using cluster = new Cluster();
  const alice = await cluster.node("alice");
  const config = cluster.configFile({ name: "none", nodes: [alice] });
  for (const which of ["events", "transactions"]) {
    const { code, stdout, stderr } = await runProgram("log", which, "--config", config);
    assert.doesNotMatch(stderr, /\bat .*:\d+:\d+|bug in Tightrope/);
    assert.notEqual(stderr, "");
    assert.equal(stdout, "");
    assert.notEqual(code, 0);
    assert.notEqual(code, 70);
  }
  await Deno.writeTextFile(`${cluster.folder}/none-data`, "a file where the data directory should be");
  const { code, stderr } = await runProgram("--config", config);
  assert.match(stderr, /data directory ".*none-data"/);
  assert.doesNotMatch(stderr, /\bat .*:\d+:\d+|bug in Tightrope/);
  assert.equal(code, 77);
});
