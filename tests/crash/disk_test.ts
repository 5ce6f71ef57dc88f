import assert from "node:assert/strict";
import { HypercoreLog } from "../../lib/audit/hypercore_log.ts";
import { TightropeError } from "../../lib/domain/errors.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { runProgram } from "../app/program.ts";
import { CrashWorld } from "./crash_world.ts";
import { canMount, SmallDisk } from "./small_disk.ts";

// Only root can mount the small disk that these tests fill.
const ignore = !canMount();

/** A refusal of the disk, which is nothing that a repair mends. */
function assertDiskError(error: unknown, pattern: RegExp): void {
  assert.ok(error instanceof TightropeError, String(error));
  assert.equal(error.code, "temporary", error.message);
  assert.match(error.message, pattern);
  assert.doesNotMatch(error.remedy, /repair/);
}

Deno.test({
  name: "wherever the disk gets full, a log keeps all it acknowledged, and goes on when there is room",
  ignore,
  fn: async () => {
    const folder = Deno.makeTempDirSync();
    const seed = new Uint8Array(32).fill(7);
    const block = new Uint8Array(371).fill(8);
    for (let freeBlocks = 0; freeBlocks < 24; freeBlocks++) {
      using disk = new SmallDisk(`${folder}/disk`, 256);
      const path = `${folder}/disk/log`;
      let count = 0;
      /** Appends until the disk is full. */
      const append = async (log: HypercoreLog, end: number) => {
        try {
          while (count < end) count = (await log.append(block)).length;
          return undefined;
        } catch (error) {
          return error;
        } finally {
          await log.close().catch(() => {});
        }
      };
      // Some begin on a disk that is nearly full, others have a log by then.
      if (freeBlocks % 2 === 0) assert.equal(await append(await HypercoreLog.open(path, seed), freeBlocks), undefined);
      disk.fill(freeBlocks);
      for (let attempt = 0; attempt < 2; attempt++) {
        const opened = await HypercoreLog.open(path, seed).catch((error: unknown) => error);
        const error = opened instanceof HypercoreLog ? await append(opened, 1_000) : opened;
        assertDiskError(error, /No space left|full/);
      }
      disk.clear();
      const log = await HypercoreLog.open(path, seed);
      // What was refused may have gone in.
      assert.ok(log.head.length === count || log.head.length === count + 1 || log.head.length === count + 2);
      for await (const found of log.read()) assert.deepEqual(new Uint8Array(found), block);
      count = log.head.length;
      assert.equal(await append(log, count + 3), undefined);
      assert.equal(count, log.head.length);
    }
    Deno.removeSync(folder, { recursive: true });
  },
});

Deno.test({
  name: "a daemon whose disk gets full ends and says so, stays down while it is, and then goes on without a loss",
  ignore,
  fn: async () => {
    const random = new SeededRandom(1);
    await using world = await CrashWorld.create(random);
    const { pair, provocations } = world;
    const [provocation] = provocations;
    using disk = new SmallDisk(pair.dataFolder, 300);
    world.watchCalls();
    for (const freeBlocks of [0, 2, 5]) {
      await pair.startWell();
      await world.reconciled(pair);
      await world.watched(provocation!);
      disk.fill(freeBlocks);
      while (pair.program.isRunning) {
        world.provoke(provocation!);
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      await pair.takeStock(75);
      assert.match(pair.program.stderr.at(-1)!, /the disk is full .*Make room on it/);
      world.assertSafe(pair);
      if (freeBlocks === 0) {
        pair.start();
        await pair.takeStock(75);
        assert.match(pair.program.stderr.at(-1)!, /No space left on device/);
      }
      disk.clear();
    }
    await pair.startWell();
    await world.reconciled(pair);
    world.calm(provocation!);
    await pair.stop();
    world.assertSafe(pair);
    world.assertReconciled();
    assert.ok(world.nodes.some((node) => world.cluster.payments(node).length > 0), "something was paid");
  },
});

Deno.test({
  name: "a daemon doesn't start on a disk that is read-only or full, says so, and starts when it is mended",
  ignore,
  fn: async () => {
    const random = new SeededRandom(2);
    await using world = await CrashWorld.create(random);
    const { pair } = world;
    using disk = new SmallDisk(pair.dataFolder, 300);
    const refused = async (pattern: RegExp) => {
      const { code, stderr } = await pair.start().ended();
      assert.equal(code, 75, stderr);
      assert.match(stderr, pattern);
      assert.doesNotMatch(stderr, /repair|damaged|backup/);
    };
    disk.fill();
    await refused(/is full/);
    disk.clear();
    disk.setReadOnly(true);
    await refused(/read-only/);
    disk.setReadOnly(false);
    await pair.startWell();
    await pair.stop();
    disk.setReadOnly(true);
    await refused(/read-only/);
    const repair = await runProgram("repair", "--dry-run", "--config", pair.config);
    assert.equal(repair.code, 75, repair.stderr);
    assert.match(repair.stderr, /read-only/);
    disk.setReadOnly(false);
    await pair.startWell();
    await pair.stop();
  },
});
