import assert from "node:assert/strict";
import { TightropeError } from "../../lib/domain/errors.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { HypercoreLog } from "../../lib/audit/hypercore_log.ts";
import { CrashingDisk } from "./crashing_disk.ts";
import { inTempFolder } from "./temp_folder.ts";

const seed = new Uint8Array(32).fill(7);
const block = (n: number) => new TextEncoder().encode(`record ${n} ${"x".repeat(n % 700)}`);

/** Appends single records and groups, and closes and opens in between, on a disk that remembers everything. */
async function writeSome(disk: CrashingDisk, folder: string): Promise<number> {
  let count = 0;
  for (let round = 0; round < 3; round++) {
    const log = await HypercoreLog.open(folder, seed);
    for (const group of [1, 1, 7, 1, 30, 2]) {
      const appended = Array.from({ length: group }, (_, i) => log.append(block(count + i)));
      count += group;
      await Promise.all(appended);
      disk.acknowledge(count);
    }
    await log.close();
  }
  return count;
}

Deno.test("storage: what was acknowledged survives a power cut at any moment", async () => {
  await inTempFolder(async (folder) => {
    const root = `${folder}/disk`;
    Deno.mkdirSync(root);
    const disk = new CrashingDisk(root);
    let total: number;
    try {
      total = await writeSome(disk, `${root}/log`);
    } finally {
      disk[Symbol.dispose]();
    }
    assert.equal(total, 126);
    // seed 0x5eed; every cut prints its own place on failure
    const random = new SeededRandom(0x5eed);
    for (let cut = 0; cut < 150; cut++) {
      const at = random.below(disk.operations.length + 1);
      const target = `${folder}/cut${cut}`;
      disk.cutPower(at, target, random);
      const acknowledged = disk.acknowledgedBefore(at);
      const place = `cut ${cut} before operation ${at}, ${acknowledged} records acknowledged`;
      const log = await HypercoreLog.open(`${target}/log`, seed).catch((error) => assert.fail(`${place}: ${error}`));
      assert.ok(log.head.length >= acknowledged, `${place}: only ${log.head.length} left`);
      let n = 0;
      for await (const left of log.read()) assert.deepEqual(Buffer.from(left), Buffer.from(block(n++)), place);
      assert.equal(n, log.head.length);
      await log.append(block(n));
      await log.close();
      Deno.removeSync(target, { recursive: true });
    }
  });
});

Deno.test("storage: an oplog entry is written after all it relies on is synced, and synced before it counts", async () => {
  await inTempFolder(async (folder) => {
    const log = await HypercoreLog.open(`${folder}/log`, seed);
    await log.append(block(0));
    using disk = new CrashingDisk(folder);
    // Files opened before the disk watched are unknown to it, so open them again.
    await log.close();
    const again = await HypercoreLog.open(`${folder}/log`, seed);
    disk.operations.length = 0;
    await again.append(block(1));
    disk.acknowledge(1);
    const story = disk.operations.map((op) => "id" in op ? `${op.kind} ${disk.nameOf(op.id)}` : op.kind);
    const at = (what: string) => {
      const index = story.indexOf(what);
      assert.notEqual(index, -1, `${what} in ${story.join(", ")}`);
      return index;
    };
    assert.ok(at("write log/data") < at("synced log/data"));
    assert.ok(at("synced log/data") < at("write log/oplog"));
    assert.ok(at("write log/oplog") < at("synced log/oplog"));
    assert.ok(at("synced log/oplog") < at("acknowledged"));
    assert.ok(story.lastIndexOf("write log.mark") > story.indexOf("synced log/oplog"), "the mark never runs ahead");
    await again.close();
  });
});

Deno.test("storage: a write that the system cuts short is completed", async () => {
  await inTempFolder(async (folder) => {
    const prototype = Deno.FsFile.prototype;
    const original = prototype.writeSync;
    prototype.writeSync = function (data) {
      return original.call(this, data.subarray(0, Math.min(data.length, 100)));
    };
    try {
      const log = await HypercoreLog.open(`${folder}/log`, seed);
      await log.append(block(650));
      await log.close();
    } finally {
      prototype.writeSync = original;
    }
    const log = await HypercoreLog.open(`${folder}/log`, seed);
    const blocks = await Array.fromAsync(log.read());
    assert.deepEqual(blocks.map((left) => left.toHex()), [block(650).toHex()]);
    await log.close();
  });
});

Deno.test("storage: after a failed write nothing more is written, and opening again finds out what was", async () => {
  await inTempFolder(async (folder) => {
    const log = await HypercoreLog.open(`${folder}/log`, seed);
    await log.append(block(0));
    const prototype = Deno.FsFile.prototype;
    const original = prototype.syncData;
    let failing = true;
    prototype.syncData = function () {
      return failing ? Promise.reject(new Error("No space left on device (os error 28)")) : original.call(this);
    };
    try {
      const refused = await Promise.allSettled([log.append(block(1)), log.append(block(2))]);
      failing = false;
      for (const result of refused) {
        assert.ok(result.status === "rejected");
        assert.match(String(result.reason), /Cannot write to the log: .*No space left/);
      }
      // The disk is fine again, but what it holds is not known.
      await assert.rejects(log.append(block(3)), /No space left/);
      assert.equal(log.head.length, 1);
    } finally {
      prototype.syncData = original;
    }
    await log.close();
    const again = await HypercoreLog.open(`${folder}/log`, seed);
    const { length } = again.head;
    assert.equal((await again.append(block(9))).length, length + 1);
    await again.close();
  });
});

const coded = (message: string, code: string) => Object.assign(new Error(message), { code });
const troubles = [
  { error: new Deno.errors.PermissionDenied("Permission denied (os error 13)"), code: "permission" },
  { error: coded("Too many open files (os error 24)", "EMFILE"), code: "temporary" },
  { error: coded("Input/output error (os error 5)", "EIO"), code: "temporary" },
] as const;

Deno.test("storage: a file that can't be opened or read is no damage, and a repair of it would lose records", async () => {
  await inTempFolder(async (folder) => {
    const log = await HypercoreLog.open(`${folder}/log`, seed);
    await Promise.all(Array.from({ length: 40 }, (_, i) => log.append(block(i))));
    await log.append(block(40));
    await log.close();
    const { openSync } = Deno;
    const prototype = Deno.FsFile.prototype;
    const { readSync } = prototype;
    for (const { error, code } of troubles) {
      for (const name of ["oplog", "tree", "data", "bitfield"]) {
        for (const when of ["opened", "read"]) {
          const open = new WeakSet<Deno.FsFile>();
          Deno.openSync = (path, options) => {
            const isIt = String(path).endsWith(`log/${name}`);
            if (isIt && when === "opened") throw error;
            const file = openSync(path, options);
            if (isIt) open.add(file);
            return file;
          };
          prototype.readSync = function (bytes) {
            if (open.has(this)) throw error;
            return readSync.call(this, bytes);
          };
          try {
            await assert.rejects(
              async () => {
                const again = await HypercoreLog.open(`${folder}/log`, seed);
                try {
                  await Array.fromAsync(again.read());
                } finally {
                  await again.close();
                }
              },
              (thrown) =>
                thrown instanceof TightropeError && thrown.code === code && !/repair|backup/.test(thrown.remedy) &&
                thrown.message.includes(error.message),
              `${name} can't be ${when}: ${error.message}`,
            );
          } finally {
            Deno.openSync = openSync;
            prototype.readSync = readSync;
          }
        }
      }
    }
    const whole = await HypercoreLog.open(`${folder}/log`, seed);
    assert.equal((await Array.fromAsync(whole.read())).length, 41);
    await whole.close();
  });
});
