import assert from "node:assert/strict";
import { evenWallMsOf } from "../../lib/balancer/clocks.ts";
import { Harness } from "./harness.ts";

Deno.test("a clock that is set is noted and told of, and limits go on as if it had not been", async () => {
  const harness = new Harness();
  await harness.run(50_000);
  const instance = harness.instance({ nodes: [harness.node("alice")] });
  await harness.run(1_000);
  const even = () => evenWallMsOf(instance.state, harness.atMs) - harness.startWallMs - harness.atMs;
  const jumps = () => instance.notes.flatMap(({ record }) => record.kind === "clock" ? [record.jumpMs] : []);
  const told = () => instance.told("warning").map(({ message }) => message.slice(0, 32));
  // Less than a second is how clocks are kept right.
  instance.wallOffsetMs = 999;
  await harness.run(11_000);
  assert.deepEqual([jumps(), told(), even()], [[], [], 0]);
  instance.wallOffsetMs = 3_600_000;
  await harness.run(11_000);
  instance.wallOffsetMs = 60_000;
  await harness.run(11_000);
  assert.deepEqual(jumps(), [3_600_000, -3_540_000]);
  assert.deepEqual(told(), ["The clock was set 3600 s forward", "The clock was set 3540 s back: l"]);
  assert.equal(even(), 0);
  await harness.end();
});

Deno.test("a clock that was set back while nothing ran is noted at the start; one that was set forward looks like time", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  harness.channel(alice, bob, 1_003_470, 100_000);
  const instance = harness.instance({ nodes: [alice, bob] });
  await harness.run(50_000);
  await instance.crash();
  const lastAtMs = instance.disk.at(-1)!.atWallMs - harness.startWallMs;
  const jumps = () => instance.notes.flatMap(({ record }) => record.kind === "clock" ? [record.jumpMs] : []);
  instance.wallOffsetMs = -7_200_000;
  instance.start();
  await harness.run(1_000);
  const behindMs = 7_200_000 - (50_000 - lastAtMs);
  assert.deepEqual(jumps(), [-behindMs]);
  assert.equal(evenWallMsOf(instance.state, 50_000) - harness.startWallMs, lastAtMs);
  instance.wallOffsetMs = 0;
  await instance.restart();
  await harness.run(1_000);
  assert.deepEqual(jumps(), [-behindMs]);
  assert.equal(evenWallMsOf(instance.state, 51_000) - harness.startWallMs, 51_000 + behindMs);
  await harness.end();
});
