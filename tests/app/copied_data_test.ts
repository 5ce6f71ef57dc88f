import assert from "node:assert/strict";
import { Cluster } from "./cluster.ts";

Deno.test("a data directory that is copied and used twice is noticed by both, which pay nothing more", async () => {
  await using cluster = new Cluster();
  await cluster.dht();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  const configs = ["original", "copy"].map((name) => cluster.configFile({ name, nodes: [alice] }));
  const peer = cluster.start(cluster.configFile({ name: "peer", nodes: [bob] }));
  const first = cluster.start(configs[0]!);
  await first.event({ kind: "peer-authenticated" });
  assert.equal((await first.stop()).code, 0);
  const [original, copy] = ["original", "copy"].map((name) => `${cluster.folder}/${name}-data`);
  for (const path of ["", "event-log", "transaction-log"]) {
    Deno.mkdirSync(`${copy}/${path}`, { recursive: true, mode: 0o700 });
    for (const { name, isFile } of Deno.readDirSync(`${original}/${path}`)) {
      if (isFile) Deno.copyFileSync(`${original}/${path}/${name}`, `${copy}/${path}/${name}`);
    }
  }
  const twins = configs.map((config) => cluster.start(config));
  for (const twin of twins) {
    await twin.event({ kind: "paused", message: /Another instance has proven that it speaks for our own node alice/ });
  }
  for (const program of [...twins, peer]) assert.equal((await program.stop()).code, 0);
});
