import assert from "node:assert/strict";
import { Cluster } from "./cluster.ts";

for (const worker of ["lightning", "swarm", "audit"]) {
  Deno.test(`the ${worker} worker dies: the program closes its logs and ends with 75, and goes on when started again`, async () => {
    await using cluster = new Cluster();
    await cluster.dht();
    const alice = await cluster.node("alice");
    const bob = await cluster.node("bob");
    cluster.channel(alice, bob, 0.1);
    const config = cluster.configFile({ name: "mortal", nodes: [alice, bob] });
    const program = cluster.startWithMortal(worker, config);
    await program.event({ kind: "payment-received" });
    program.kill("SIGUSR2");
    const { code, signal, stderr } = await program.ended();
    assert.deepEqual([code, signal], [75, null], stderr);
    // What runs is still waited for and told of after it.
    const last = program.events.findLast(({ level }) => level === "error");
    assert.match(String(last?.message), new RegExp(`^The ${worker} worker is lost: .*Start the program again`));

    const again = cluster.start(config);
    await again.event(/^Started: no payment is open$/);
    assert.equal((await again.stop()).code, 0);
    assert.equal(cluster.payments(alice).length, 1);
  });
}

Deno.test("a signal that opens Deno to debuggers ends the program at once", async () => {
  await using cluster = new Cluster();
  await cluster.dht();
  const alice = await cluster.node("alice");
  const program = cluster.start(cluster.configFile({ name: "usr1", nodes: [alice] }));
  await program.event({ kind: "node-up" });
  program.kill("SIGUSR1");
  const { code, signal, stderr } = await program.ended();
  assert.deepEqual([code, signal], [75, null], stderr);
  await program.event(/^SIGUSR1 opens the runtime to debuggers/);
});
