import assert from "node:assert/strict";
import { Cluster } from "./cluster.ts";
import { root } from "./program.ts";

Deno.test("a disk that hangs keeps no signal from ending the program, which says so", async () => {
  await using cluster = new Cluster();
  const alice = await cluster.node("alice");
  const entry = new URL("tests/app/hanging_audit_worker.ts", root).pathname;
  const program = cluster.startWithSlow("audit", entry, cluster.configFile({ name: "hanging", nodes: [alice] }));
  await program.event({ kind: "node-up" });
  const { code, stderr } = await program.stop();
  assert.equal(code, 75, stderr);
  assert.match(stderr, /Stopping failed: .*the disk doesn't answer/);
  assert.doesNotMatch(stderr, /"Stopped"/);
});

for (const worker of ["lightning", "swarm"]) {
  Deno.test({
    name: `rights are kept until the ${worker} worker has loaded, however long that takes`,
    // A pipe stands for a file that the disk gives out late.
    ignore: Deno.build.os === "windows",
    fn: async () => {
      await using cluster = new Cluster();
      const alice = await cluster.node("alice");
      const bob = await cluster.node("bob");
      cluster.channel(alice, bob, 0.1);
      const pipe = `${cluster.folder}/slow.ts`;
      assert.ok((await new Deno.Command("mkfifo", { args: [pipe] }).output()).success);
      const program = cluster.startWithSlow(worker, pipe, cluster.configFile({ name: "slow", nodes: [alice, bob] }));
      await program.event(/^Tightrope /);
      await new Promise((resolve) => setTimeout(resolve, 1_500));
      const text = `import ${JSON.stringify(new URL(`lib/workers/${worker}_worker.ts`, root).href)};\n`;
      // It is read more than once.
      Deno.writeTextFileSync(`${pipe}.read`, text);
      const gate = await Deno.open(pipe, { write: true });
      Deno.renameSync(`${pipe}.read`, pipe);
      await gate.write(new TextEncoder().encode(text));
      gate.close();
      await program.event({ kind: "payment-received" });
      assert.equal((await program.stop()).code, 0);
    },
  });
}
