import assert from "node:assert/strict";
import { Cluster } from "./cluster.ts";
import { Program } from "./program.ts";

Deno.test("main holds no right once it has started, and balances all the same", async () => {
  await using cluster = new Cluster();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  const config = cluster.configFile({ name: "bare", nodes: [alice, bob] });
  const port = alice.server.socket.split(":")[1]!;
  const entry = new URL(`./curious_main.ts?${new URLSearchParams({ file: config, port })}`, import.meta.url).href;
  await using program = new Program(["--config", config, "--logformat", "json"], entry);
  await program.event({ kind: "node-up", node: bob.pubkey });
  program.kill("SIGUSR2");
  const [outcome] = await program.printed({});
  assert.deepEqual(new Set(Object.values(outcome!)), new Set(["NotCapable"]), JSON.stringify(outcome));
  cluster.channel(alice, bob, 0.1, { instant: false });
  await program.event({ kind: "payment-settled", node: alice.pubkey });
  assert.equal((await program.stop()).code, 0);
});
