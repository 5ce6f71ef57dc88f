import assert from "node:assert/strict";
import { AuditService } from "../../lib/audit/audit_service.ts";
import { DamagedLogError } from "../../lib/audit/damaged_log.ts";
import { addPause, readPauses, removePause } from "../../lib/audit/pause_file.ts";
import { isNote, type LogRecord } from "../../lib/audit/record.ts";
import { repairLogs } from "../../lib/audit/repair.ts";
import { dataPaths } from "../../lib/config/data_paths.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { CrashingDisk } from "./crashing_disk.ts";
import { record, startWallMs } from "./records.ts";
import { inTempFolder } from "./temp_folder.ts";

/** As many power cuts as take seconds, spread over all that happens. */
const cuts = 40;
const wallMs = startWallMs + 86_400_000;

const configIn = (folder: string) => ({
  ...{ storagePath: `${folder}/data`, eventLog: "event-log", transactionHistory: "transaction-log" },
  ...{ verboseScreenLogging: false, shouldMask: [] },
});
const originals = Array.from(
  { length: 6 },
  (_, index) => record(index % 2 === 0 ? "intent" : "settled", index >> 1, { atWallMs: startWallMs + index }),
);

async function readAll(folder: string, random: SeededRandom): Promise<LogRecord[]> {
  const service = await AuditService.open(configIn(folder), random);
  try {
    return await Array.fromAsync(service.readTransactions());
  } finally {
    await service.close();
  }
}

Deno.test("a data directory survives a power cut at any moment from its first start on: seed, logs, pauses", async () => {
  await inTempFolder(async (folder) => {
    const random = new SeededRandom(0x5eed);
    const root = `${folder}/disk`;
    // Its own name is the operator's.
    Deno.mkdirSync(`${root}/data`, { recursive: true });
    const paths = dataPaths(configIn(root));
    /** What was on the disk for certain, from an operation on; `undefined`: it may be paused, or not. */
    const certain: { readonly from: number; readonly records: number; readonly paused: boolean | undefined }[] = [];
    const disk = new CrashingDisk(root);
    let seed = "";
    try {
      let records = 0;
      const note = (paused: boolean | undefined) => certain.push({ from: disk.operations.length, records, paused });
      for (let run = 0; run < 2; run++) {
        const service = await AuditService.open(configIn(root), random);
        seed = Deno.readTextFileSync(paths.seedFile);
        note(false);
        for (const original of originals.slice(run * 3, run * 3 + 3)) {
          await service.appendTransaction(original);
          records++;
          note(false);
        }
        note(undefined);
        service.pause("a fee", startWallMs);
        note(true);
        addPause(paths, {
          scope: { kind: "alias", alias: "alice" },
          by: "operator",
          reason: "",
          sinceWallMs: startWallMs,
        });
        await service.appendEvent({ atWallMs: startWallMs, kind: "stopped", level: "info", message: "Stopping" });
        note(true);
        note(undefined);
        removePause(paths, { kind: "all" });
        note(false);
        await service.close();
      }
    } finally {
      disk[Symbol.dispose]();
    }
    for (let cut = 0; cut < cuts; cut++) {
      const at = random.below(disk.operations.length + 1);
      const target = `${folder}/cut${cut}`;
      disk.cutPower(at, target, random);
      const place = `cut ${cut} before operation ${at} of ${disk.operations.length}`;
      const known = certain.findLast(({ from }) => from <= at);
      const found = await readAll(target, random).catch((error) => assert.fail(`${place}: ${error}`));
      assert.deepEqual(found, originals.slice(0, found.length), place);
      assert.ok(found.length >= (known?.records ?? 0), place);
      if (known !== undefined) assert.equal(Deno.readTextFileSync(`${target}/data/seed`), seed, place);
      const pauses = readPauses(dataPaths(configIn(target)));
      assert.ok(pauses.every(({ by }) => by !== "unreadable"), place);
      if (known?.paused === true) assert.ok(pauses.some(({ by }) => by === "breaker"), place);
      if (known?.paused === false) assert.deepEqual(pauses, [], place);
      Deno.removeSync(target, { recursive: true });
    }
  });
});

Deno.test("a repair that is killed or loses power at any moment is ended by the next, and loses nothing", async () => {
  await inTempFolder(async (folder) => {
    const random = new SeededRandom(0xface);
    const root = `${folder}/disk`;
    Deno.mkdirSync(root);
    const service = await AuditService.open(configIn(root), random);
    for (const original of originals) await service.appendTransaction(original);
    await service.appendEvent({ atWallMs: startWallMs, kind: "stopped", level: "info", message: "Stopping" });
    await service.close();
    // Both logs are damaged, one where nothing of it is lost.
    Deno.removeSync(`${root}/data/transaction-log.mark`);
    Deno.truncateSync(`${root}/data/event-log/oplog`);
    const disk = new CrashingDisk(root);
    try {
      await repairLogs(configIn(root), random, wallMs, true);
    } finally {
      disk[Symbol.dispose]();
    }
    for (let cut = 0; cut < cuts; cut++) {
      const isKill = cut % 2 === 0;
      const at = isKill ? Math.floor(cut * disk.operations.length / cuts) : random.below(disk.operations.length + 1);
      const target = `${folder}/cut${cut}`;
      if (isKill) disk.kill(at, target);
      else disk.cutPower(at, target, random);
      const place = `${isKill ? "kill" : "power cut"} ${cut} before operation ${at} of ${disk.operations.length}`;
      try {
        await readAll(target, random);
      } catch (error) {
        assert.ok(error instanceof DamagedLogError, `${place}: ${error}`);
        assert.match(error.remedy, /tightrope repair/, place);
      }
      await repairLogs(configIn(target), random, wallMs + 1, true);
      const found = await readAll(target, random).catch((error) => assert.fail(`${place}: ${error}`));
      assert.deepEqual(found.filter((entry) => !isNote(entry)), originals, place);
      assert.ok(found.some(({ kind }) => kind === "repaired"), place);
      Deno.removeSync(target, { recursive: true });
    }
  });
});
