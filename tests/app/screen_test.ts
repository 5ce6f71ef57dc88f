import assert from "node:assert/strict";
import { Cluster } from "./cluster.ts";
import { root, runProgram, startArgs } from "./program.ts";

/** The program with a full disk behind one of its outputs. */
function spawnFull(stream: "1" | "2", args: readonly string[]): Deno.ChildProcess {
  return new Deno.Command("sh", {
    args: ["-c", `exec "$0" "$@" ${stream}>/dev/full`, Deno.execPath(), ...startArgs(), "main.ts", ...args],
    cwd: root,
    clearEnv: true,
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

// Only Linux has such a device.
const ignore = Deno.build.os !== "linux";

Deno.test({ name: "a result that can't be written is no bug, and no success", ignore }, async () => {
  for (const command of [["secret"], ["--help"]]) {
    const { code, stderr } = await spawnFull("1", command).output();
    assert.equal(code, 75);
    assert.match(new TextDecoder().decode(stderr), /^Cannot write the output: .*\nMake room/);
  }
});

Deno.test({ name: "a daemon whose screen can't be written goes on: its event log tells all", ignore }, async () => {
  await using cluster = new Cluster();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  const point = cluster.channel(alice, bob, 0.1);
  const config = cluster.configFile({ name: "own", nodes: [alice, bob] });
  const daemon = spawnFull("2", ["--config", config]);
  await cluster.balanced(bob, point);
  daemon.kill("SIGTERM");
  const { code } = await daemon.output();
  assert.equal(code, 0);
  const { stdout } = await runProgram("log", "events", "--config", config);
  assert.match(stdout, /payment-received[\s\S]*stopped/);
});
