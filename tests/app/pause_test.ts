import assert from "node:assert/strict";
import { channelIdOf, Cluster } from "./cluster.ts";
import { runProgram } from "./program.ts";

Deno.test("one channel is paused and resumed, the other side's operator reads it, and the rest goes on", async () => {
  await using cluster = new Cluster();
  await cluster.dht();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  const [paused, other] = [1, 2].map(() => cluster.channel(alice, bob, 0.5)) as [never, never];
  const config = cluster.configFile({ name: "A", nodes: [alice] });
  const [a, b] = [cluster.start(config), cluster.start(cluster.configFile({ name: "B", nodes: [bob] }))];
  await b.event({ kind: "decision", reason: "balanced", channelPoint: paused });
  const id = channelIdOf(cluster, alice, paused);
  const { stdout } = await runProgram("pause", "--channel", id, "--config", config);
  assert.equal(stdout, "Paused channel 472x1x0: nothing is asked or paid over it until resume");
  await a.event({ kind: "decision", reason: "channel-paused", channelPoint: paused, node: alice.pubkey });
  await b.event({ kind: "peer-paused", message: /^alice .* has paused channel 472x1x0$/ });
  for (const point of [paused, other]) {
    const { localSat } = cluster.run((network) => network.channel(bob.pubkey, point))!;
    assert.equal(
      cluster.run((network) => network.shift(point, bob.pubkey, (localSat - 100_000n) * 1_000n as never)),
      undefined,
    );
  }
  await b.event({ kind: "payment-received", channelPoint: other });
  await b.event({ kind: "decision", reason: "peer-paused", channelPoint: paused });
  assert.equal(cluster.payments(alice).length, 1);

  // It lasts over a restart, and ends with `resume`.
  assert.equal((await a.stop()).code, 0);
  const again = cluster.start(config);
  await again.event({ kind: "paused", message: /^Paused channel 472x1x0/ });
  assert.equal(
    (await runProgram("resume", "--node", "alice", "--config", config)).stdout,
    [
      "Node alice wasn't paused by that name",
      "Still paused: channel 472x1x0",
    ].join("\n"),
  );
  assert.equal(
    (await runProgram("resume", "--channel", "472x1x0", "--config", config)).stdout,
    "Resumed channel 472x1x0",
  );
  await b.event({ kind: "payment-received", channelPoint: paused });
  for (const program of [again, b]) assert.equal((await program.stop()).code, 0);
});

Deno.test("a pause file that nobody understands pauses everything, until `resume`", async () => {
  await using cluster = new Cluster();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  const point = cluster.channel(alice, bob, 0.1);
  const config = cluster.configFile({ name: "own", nodes: [alice, bob] });
  Deno.mkdirSync(`${cluster.folder}/own-data`);
  Deno.writeTextFileSync(`${cluster.folder}/own-data/paused`, '{"v":1,"pauses":[{"channelId":');
  const program = cluster.start(config);
  await program.event({ kind: "paused", level: "error", message: /can't be read/ });
  await program.event({ kind: "decision", reason: "paused", node: bob.pubkey });
  await runProgram("pause", "--channel", "472x1x0", "--config", config);
  assert.deepEqual(cluster.payments(alice), []);
  assert.equal((await runProgram("resume", "--config", config)).stdout, "Resumed");
  await program.event({ kind: "payment-received", channelPoint: point });
  assert.equal((await program.stop()).code, 0);
});

Deno.test("a pause by a name that nothing has is said so by the command itself", async () => {
  await using cluster = new Cluster();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  cluster.channel(alice, bob, 0.5);
  const config = cluster.configFile({ name: "A", nodes: [alice] });
  const pause = (...scope: string[]) => runProgram("pause", ...scope, "--config", config);
  const names = [["--node", "alice"], ["--node", bob.pubkey], ["--channel", "472x1x0"]];
  for (const [option, name] of names) assert.deepEqual((await pause(option!, name!)).stderr, "");
  // Bob is another operator's: his alias is anybody's word.
  for (const [option, name] of [["--node", "bob"], ["--node", `02${"ab".repeat(32)}`], ["--channel", "999x1x0"]]) {
    const { code, stdout, stderr } = await pause(option!, name!);
    assert.deepEqual([code, stdout.startsWith("Paused ")], [64, true], stderr);
    assert.match(stderr, /^But no node or open channel of this configuration is called so.*stops nothing now\nLook at/);
  }
  // Who isn't there can't be asked.
  await alice.server.stop();
  assert.equal((await pause("--node", "alicia")).code, 0);
});
