import assert from "node:assert/strict";
import { AuditService } from "../../lib/audit/audit_service.ts";
import { readPauses, removePause } from "../../lib/audit/pause_file.ts";
import { requestResolve, takeResolve } from "../../lib/audit/resolve_file.ts";
import { dataPaths } from "../../lib/config/data_paths.ts";
import { TightropeError } from "../../lib/domain/errors.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { hash, record, startWallMs } from "./records.ts";
import { inTempFolder } from "./temp_folder.ts";

const random = new SeededRandom(0x5eed);
const configIn = (folder: string) => ({
  ...{ storagePath: `${folder}/data`, eventLog: "event-log", transactionHistory: "transaction-log" },
  ...{ verboseScreenLogging: false, shouldMask: [] },
});
const originals = [record("intent", 1), record("settled", 1), record("intent", 2)];

/** Takes so many changes of files below `root`; then it is full, and of a write half of it goes in. */
class FullDisk implements Disposable {
  /** The file whose change was the first to fail. */
  failedAt: string | undefined;
  readonly #restore: () => void;

  constructor(root: string, changes: number) {
    const { openSync, mkdirSync, linkSync, renameSync, writeTextFileSync } = Deno;
    const prototype = Deno.FsFile.prototype;
    const { writeSync, syncData, syncDataSync, syncSync } = prototype;
    const paths = new WeakMap<Deno.FsFile, string>();
    let left = changes;
    const isFull = (path: string | undefined) => {
      if (path === undefined || !path.startsWith(root)) return false;
      if (left-- > 0) return false;
      this.failedAt ??= path.slice(root.length + 1);
      return true;
    };
    const full = () => Object.assign(new Error("No space left on device (os error 28)"), { code: "ENOSPC" });
    const isThere = (path: string) => {
      try {
        return Deno.statSync(path) !== undefined;
      } catch {
        return false;
      }
    };
    Deno.openSync = (path, options) => {
      if (options?.create && !isThere(String(path)) && isFull(String(path))) throw full();
      const file = openSync(path, options);
      paths.set(file, String(path));
      return file;
    };
    Deno.mkdirSync = (path, options) => {
      if (!isThere(String(path)) && isFull(String(path))) throw full();
      mkdirSync(path, options);
    };
    Deno.linkSync = (from, to) => {
      if (isFull(String(to))) throw full();
      linkSync(from, to);
    };
    Deno.renameSync = (from, to) => {
      if (isFull(String(to))) throw full();
      renameSync(from, to);
    };
    Deno.writeTextFileSync = (path, text, options) => {
      const fails = isFull(String(path));
      writeTextFileSync(path, fails ? String(text).slice(0, String(text).length >> 1) : text, options);
      if (fails) throw full();
    };
    prototype.writeSync = function (data) {
      if (!isFull(paths.get(this))) return writeSync.call(this, data);
      if (data.length > 1) writeSync.call(this, data.subarray(0, data.length >> 1));
      throw full();
    };
    prototype.syncData = async function () {
      if (isFull(paths.get(this))) throw full();
      await syncData.call(this);
    };
    prototype.syncDataSync = function () {
      if (isFull(paths.get(this))) throw full();
      syncDataSync.call(this);
    };
    prototype.syncSync = function () {
      if (isFull(paths.get(this))) throw full();
      syncSync.call(this);
    };
    this.#restore = () => {
      Object.assign(Deno, { openSync, mkdirSync, linkSync, renameSync, writeTextFileSync });
      Object.assign(prototype, { writeSync, syncData, syncDataSync, syncSync });
    };
  }

  [Symbol.dispose](): void {
    this.#restore();
  }
}

interface Acknowledged {
  records: number;
  pause: "none" | "asked" | "set" | "ended";
}

/** A first start, and what a daemon and its operator write. */
async function live(folder: string, acknowledged: Acknowledged): Promise<void> {
  const paths = dataPaths(configIn(folder));
  const service = await AuditService.open(configIn(folder), random);
  try {
    for (const original of originals) {
      await service.appendTransaction(original);
      acknowledged.records++;
    }
    await service.appendEvent({ atWallMs: startWallMs, kind: "stopped", level: "info", message: "Stopping" });
    requestResolve(paths, { paymentHash: hash(2), as: "failed" });
    takeResolve(paths);
    acknowledged.pause = "asked";
    service.pause("a fee", startWallMs);
    acknowledged.pause = "set";
    removePause(paths, { kind: "all" });
    acknowledged.pause = "ended";
  } finally {
    await service.close().catch(() => {});
  }
}

Deno.test("at whichever write the disk gets full, it is said, no damage is seen, and nothing acknowledged is lost", async () => {
  const failed = new Set<string>();
  // Every other one: all kinds of writes come among them.
  for (let changes = 1;; changes += 2) {
    let isDone = false;
    await inTempFolder(async (folder) => {
      const acknowledged: Acknowledged = { records: 0, pause: "none" };
      const isFullDisk = (error: unknown) => {
        assert.ok(error instanceof TightropeError && error.code === "temporary", `${disk.failedAt}: ${error}`);
        assert.match(error.message, /full|No space left/);
        assert.doesNotMatch(error.remedy, /repair|backup/);
        return true;
      };
      using disk = new FullDisk(folder, changes);
      const error = await live(folder, acknowledged).then(() => undefined, (error: unknown) => error);
      if (disk.failedAt === undefined) return void (isDone = true);
      failed.add(disk.failedAt.replace(/\.\d+\.new$/, ""));
      if (error !== undefined) isFullDisk(error);
      // Still full: it starts or says so.
      await AuditService.open(configIn(folder), random).then((service) => service.close().catch(() => {}), isFullDisk);
      disk[Symbol.dispose]();

      const service = await AuditService.open(configIn(folder), random).catch((error) =>
        assert.fail(`${disk.failedAt}: ${error}`)
      );
      const found = await Array.fromAsync(service.readTransactions());
      await service.close();
      assert.ok(found.length >= acknowledged.records, disk.failedAt);
      assert.deepEqual(found, originals.slice(0, found.length));
      const pauses = readPauses(dataPaths(configIn(folder)));
      if (acknowledged.pause === "none" || acknowledged.pause === "ended") assert.deepEqual(pauses, []);
      assert.ok(pauses.every(({ by }) => by === "breaker"), disk.failedAt);
    });
    if (isDone) break;
  }
  for (const file of ["oplog", "data", "tree", "bitfield"]) assert.ok(failed.has(`data/transaction-log/${file}`), file);
  for (const file of ["transaction-log.mark", "seed", "lock", "paused", "resumed", "resolve.new", "event-log/oplog"]) {
    assert.ok(failed.has(`data/${file}`), file);
  }
});
