import assert from "node:assert/strict";
import { AuditService } from "../../lib/audit/audit_service.ts";
import { DamagedLogError } from "../../lib/audit/damaged_log.ts";
import { HypercoreLog } from "../../lib/audit/hypercore_log.ts";
import { foldLedger, lacksPayments } from "../../lib/audit/ledger.ts";
import { isNote, type LogRecord, type TransactionRecord } from "../../lib/audit/record.ts";
import { encodeTransaction } from "../../lib/audit/record_codec.ts";
import { repairLogs } from "../../lib/audit/repair.ts";
import { LogInUseError } from "../../lib/audit/storage.ts";
import { deriveKeySeed } from "../../lib/audit/seed_file.ts";
import { TightropeError } from "../../lib/domain/errors.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { record, startWallMs } from "./records.ts";
import { inTempFolder } from "./temp_folder.ts";

const random = new SeededRandom(0x5eed);
const wallMs = startWallMs + 86_400_000;

const configIn = (folder: string) => ({
  storagePath: `${folder}/data`,
  eventLog: "event-log",
  transactionHistory: "transaction-log",
  verboseScreenLogging: false,
  shouldMask: [],
});

/** 23 records: eleven payments that settled, and one that hasn't ended. */
const originals: readonly TransactionRecord[] = Array.from(
  { length: 23 },
  (_, index) =>
    record(index % 2 === 0 ? "intent" : "settled", Math.floor(index / 2) + 1, { atWallMs: startWallMs + index }),
);

async function begin(folder: string): Promise<void> {
  const service = await AuditService.open(configIn(folder), random);
  for (const original of originals) await service.appendTransaction(original);
  await service.appendEvent({ atWallMs: startWallMs, kind: "stopped", level: "info", message: "Stopping" });
  await service.close();
}

async function readAll(folder: string): Promise<LogRecord[]> {
  const service = await AuditService.open(configIn(folder), random);
  try {
    return await Array.fromAsync(service.readTransactions());
  } finally {
    await service.close();
  }
}

function overwrite(path: string, at: number, bytes: readonly number[]): void {
  using file = Deno.openSync(path, { write: true });
  file.seekSync(at, Deno.SeekMode.Start);
  file.writeSync(new Uint8Array(bytes));
}

const junk = (count: number) => Array.from({ length: count }, (_, i) => (i * 37 + 11) & 0xff);
const sizeOf = (path: string) => Deno.statSync(path).size;

/** What can happen to a log on a disk; `log` is its folder. */
const damages: Record<string, (log: string) => void> = {
  "the first header of the oplog is damaged": (log) => overwrite(`${log}/oplog`, 20, [0xde, 0xad]),
  "the second header of the oplog is damaged": (log) => overwrite(`${log}/oplog`, 4_116, [0xde, 0xad]),
  "both headers of the oplog are damaged": (log) => {
    for (const at of [20, 4_116]) overwrite(`${log}/oplog`, at, [0xde, 0xad]);
  },
  "the oplog's entries are damaged": (log) => overwrite(`${log}/oplog`, 8_200, junk(64)),
  "the oplog is cut off in its entries": (log) => Deno.truncateSync(`${log}/oplog`, 8_300),
  "the oplog is cut off in its headers": (log) => Deno.truncateSync(`${log}/oplog`, 4_000),
  "the oplog is empty": (log) => Deno.truncateSync(`${log}/oplog`, 0),
  "the oplog is gone": (log) => Deno.removeSync(`${log}/oplog`),
  "the oplog is full of zeros": (log) => Deno.writeFileSync(`${log}/oplog`, new Uint8Array(sizeOf(`${log}/oplog`))),
  "a bit of a record has flipped": (log) => overwrite(`${log}/data`, sizeOf(`${log}/data`) >> 1, [0]),
  "the records are cut off": (log) => Deno.truncateSync(`${log}/data`, sizeOf(`${log}/data`) - 10),
  "the records are gone": (log) => Deno.removeSync(`${log}/data`),
  "the tree is damaged": (log) => overwrite(`${log}/tree`, 400, junk(64)),
  "the tree is cut off": (log) => Deno.truncateSync(`${log}/tree`, 200),
  "the tree is gone": (log) => Deno.removeSync(`${log}/tree`),
  "the bitfield is damaged": (log) => overwrite(`${log}/bitfield`, 0, [0, 0, 0, 0]),
  "its mark is gone": (log) => Deno.removeSync(`${log}.mark`),
  "its mark is damaged": (log) => Deno.writeFileSync(`${log}.mark`, new Uint8Array(512)),
  "it is gone": (log) => Deno.removeSync(log, { recursive: true }),
  "it is gone and so is its mark": (log) => {
    Deno.removeSync(log, { recursive: true });
    Deno.removeSync(`${log}.mark`);
  },
};

for (const [name, damage] of Object.entries(damages)) {
  Deno.test(`a transaction log of which ${name} is whole, or refused and repaired`, async () => {
    await inTempFolder(async (folder) => {
      await begin(folder);
      const log = `${folder}/data/transaction-log`;
      damage(log);
      let refused: unknown;
      try {
        assert.deepEqual(await readAll(folder), originals, "it must never be read as a shorter one");
      } catch (error) {
        refused = error;
      }
      if (refused === undefined) {
        const found = await repairLogs(configIn(folder), random, wallMs, true);
        assert.deepEqual(found.map(({ problem }) => problem), [undefined, undefined]);
        return;
      }
      assert.ok(refused instanceof DamagedLogError, String(refused));
      assert.match(refused.remedy, /`tightrope repair`/);

      const looked = await repairLogs(configIn(folder), random, wallMs, false);
      assert.notEqual(looked[0]!.problem, undefined);
      await assert.rejects(readAll(folder), DamagedLogError);
      const files = [...(name.startsWith("it is gone") ? [] : Deno.readDirSync(log))];
      const [transactions, events] = await repairLogs(configIn(folder), random, wallMs, true);
      assert.equal(events!.problem, undefined);
      const [first, ...kept] = await readAll(folder);
      assert.ok(first?.kind === "repaired");
      assert.equal(first.keptRecords, kept.length);
      assert.equal(transactions!.records, kept.length);
      assert.deepEqual(kept, originals.filter((original) => kept.some((record) => isSame(record, original))));
      assert.ok(!isWhole(kept) || name.includes("mark"), "then there was nothing to repair");
      if (first.setAside !== "") {
        const aside = [...Deno.readDirSync(`${folder}/data/${first.setAside}`)].map((entry) => entry.name).sort();
        assert.deepEqual(aside, files.map((entry) => entry.name).sort());
      }
      // It is a log like any other from here on, and under a key of its own.
      const again = await repairLogs(configIn(folder), random, wallMs, true);
      assert.deepEqual(again.map(({ problem }) => problem), [undefined, undefined]);
    });
  });
}

/** Something on the disk changes at random: bytes, zeros, a cut. */
function damageAtRandom(log: string, dice: SeededRandom): string {
  const name = ["oplog", "oplog", "data", "tree", "bitfield"][dice.below(5)]!;
  const path = `${log}/${name}`;
  const at = dice.below(sizeOf(path));
  const count = 1 + dice.below(1 << dice.below(12));
  switch (dice.below(3)) {
    case 0:
      Deno.truncateSync(path, at);
      return `${name} is cut off at ${at}`;
    case 1:
      overwrite(path, at, Array(count).fill(0));
      return `${name} has ${count} zeros at ${at}`;
    default:
      overwrite(path, at, [...dice.bytes(count)]);
      return `${name} has ${count} other bytes at ${at}`;
  }
}

for (const seed of [1, 2, 3, 4, 5, 6, 7, 8]) {
  Deno.test(`a log that is damaged at random is never read as a shorter one, and can be repaired (seed ${seed})`, async () => {
    const dice = new SeededRandom(seed);
    await inTempFolder(async (folder) => {
      await begin(folder);
      const how = damageAtRandom(`${folder}/data/transaction-log`, dice);
      try {
        assert.deepEqual(await readAll(folder), originals, how);
      } catch (error) {
        assert.ok(error instanceof DamagedLogError, `${how}: ${error}`);
      }
      await repairLogs(configIn(folder), random, wallMs, true);
      const kept = (await readAll(folder)).filter((record) => !isNote(record));
      assert.deepEqual(kept, originals.filter((original) => kept.some((record) => isSame(record, original))), how);
    });
  });
}

const isSame = (a: LogRecord, b: TransactionRecord) =>
  !isNote(a) && a.kind === b.kind && a.paymentHash === b.paymentHash;
const isWhole = (kept: readonly LogRecord[]) => kept.length === originals.length;

/** Appends to the transaction log what this program would never write. */
async function appendRaw(folder: string, ...blocks: Uint8Array[]): Promise<void> {
  const seed = Uint8Array.fromHex((await Deno.readTextFile(`${folder}/data/seed`)).trim());
  const log = await HypercoreLog.open(`${folder}/data/transaction-log`, deriveKeySeed(seed, "transactions"));
  for (const block of blocks) await log.append(block);
  await log.close();
}

Deno.test("records that can't be read or can't follow the others are left out by a repair, the rest is kept", async () => {
  await inTempFolder(async (folder) => {
    await begin(folder);
    await appendRaw(
      folder,
      new TextEncoder().encode("no record"),
      encodeTransaction(record("intent", 1)),
      encodeTransaction(record("intent", 99)),
    );
    await assert.rejects(readAll(folder), DamagedLogError);
    const [transactions] = await repairLogs(configIn(folder), random, wallMs, true);
    assert.match(transactions!.problem!, /no JSON/);
    const [first, ...kept] = await readAll(folder);
    assert.deepEqual(kept, [...originals, record("intent", 99)]);
    assert.ok(first?.kind === "repaired" && first.historyFromWallMs === undefined, "what was lost may be old");
  });
});

Deno.test("a log of a newer version is not repaired but left alone", async () => {
  await inTempFolder(async (folder) => {
    await begin(folder);
    await appendRaw(folder, new TextEncoder().encode('{"v":2,"kind":"intent"}'));
    await assert.rejects(repairLogs(configIn(folder), random, wallMs, true), /written by a newer Tightrope/);
  });
});

Deno.test("of a shortened log only payments since shortly before its end are read anew", async () => {
  await inTempFolder(async (folder) => {
    await begin(folder);
    Deno.removeSync(`${folder}/data/transaction-log.mark`);
    await repairLogs(configIn(folder), random, wallMs, true);
    const [first] = await readAll(folder);
    assert.ok(first?.kind === "repaired");
    assert.equal(first.historyFromWallMs, startWallMs + 22 - 86_400_000);
  });
});

Deno.test("what a shortened log holds from a clock that was ahead hides nothing that was paid since", async () => {
  await inTempFolder(async (folder) => {
    await begin(folder);
    await appendRaw(folder, encodeTransaction({ kind: "clock", atWallMs: wallMs + 1, jumpMs: 86_400_000 }));
    Deno.removeSync(`${folder}/data/transaction-log.mark`);
    await repairLogs(configIn(folder), random, wallMs, true);
    const [first] = await readAll(folder);
    assert.ok(first?.kind === "repaired");
    assert.equal(first.historyFromWallMs, startWallMs + 22 - 86_400_000);
  });
});

Deno.test("a second repair has the nodes' payments read again, whatever the first one had read", async () => {
  await inTempFolder(async (folder) => {
    await begin(folder);
    const log = `${folder}/data/transaction-log`;
    overwrite(`${log}/data`, 5, [0]);
    await repairLogs(configIn(folder), random, wallMs, true);
    const node = originals[0]!.node;
    const service = await AuditService.open(configIn(folder), random);
    await service.appendTransaction({ kind: "rebuilt", atWallMs: wallMs + 1, node });
    await service.close();
    const now = { atMs: 0, wallMs: wallMs + 10 };
    assert.ok(!lacksPayments(foldLedger(await readAll(folder), now), node));
    overwrite(`${log}/data`, sizeOf(`${log}/data`) >> 1, [0]);
    await repairLogs(configIn(folder), random, wallMs + 2, true);
    assert.ok(lacksPayments(foldLedger(await readAll(folder), now), node));
  });
});

Deno.test("a damaged event log and a lost seed are repaired too, as often as it takes", async () => {
  await inTempFolder(async (folder) => {
    await begin(folder);
    Deno.truncateSync(`${folder}/data/event-log/oplog`, 0);
    // No backup must be put over a transaction log that is whole.
    await assert.rejects(
      readAll(folder),
      (error) =>
        error instanceof DamagedLogError && /^No limit is counted from the event log/.test(error.remedy) &&
        !/backup/.test(error.remedy),
    );
    const [transactions, events] = await repairLogs(configIn(folder), random, wallMs, true);
    assert.equal(transactions!.problem, undefined);
    assert.match(events!.problem!, /missing or empty/);
    assert.deepEqual(await readAll(folder), originals);
    for (let round = 1; round <= 3; round++) {
      Deno.removeSync(`${folder}/data/seed`);
      await repairLogs(configIn(folder), random, wallMs, false);
      assert.throws(() => Deno.statSync(`${folder}/data/seed`), Deno.errors.NotFound, "who only looks makes no seed");
      await assert.rejects(
        readAll(folder),
        (error) =>
          error instanceof TightropeError && /another seed/.test(error.message) &&
          /tightrope repair/.test(error.remedy),
      );
      await repairLogs(configIn(folder), random, wallMs + round, true);
      assert.deepEqual((await readAll(folder)).filter((record) => !isNote(record)), originals);
    }
  });
});

Deno.test("a repair that is cut short anywhere is ended by the next, and loses nothing", async () => {
  const rename = Deno.renameSync;
  for (let steps = 0;; steps++) {
    let done = false;
    await inTempFolder(async (folder) => {
      await begin(folder);
      overwrite(`${folder}/data/transaction-log/data`, 5, [0]);
      let left = steps;
      try {
        Deno.renameSync = (from, to) => {
          if (left-- === 0) throw new Error("the power is gone");
          rename(from, to);
        };
        await repairLogs(configIn(folder), random, wallMs, true);
        done = true;
      } catch (error) {
        assert.match(String(error), /the power is gone/);
      } finally {
        Deno.renameSync = rename;
      }
      if (!done) {
        await assert.rejects(readAll(folder), DamagedLogError);
        await repairLogs(configIn(folder), random, wallMs + 1, true);
      }
      // The first intent can't be read, and so its outcome follows nothing.
      assert.deepEqual((await readAll(folder)).filter((record) => !isNote(record)), originals.slice(2));
    });
    if (done) {
      assert.equal(steps, 6);
      return;
    }
  }
});

/** A directory whose repair was cut short before its `steps`-th rename; with `damage` first. */
async function cutShort(folder: string, steps: number, damage: () => void): Promise<void> {
  const rename = Deno.renameSync;
  await begin(folder);
  damage();
  let left = steps;
  Deno.renameSync = (from, to) => {
    if (left-- === 0) throw new Error("the power is gone");
    rename(from, to);
  };
  try {
    await assert.rejects(repairLogs(configIn(folder), random, wallMs, true), /the power is gone/);
  } finally {
    Deno.renameSync = rename;
  }
}

for (const log of ["transaction-log", "event-log"]) {
  Deno.test(`a repair of the ${log} that was cut short is told of, and nothing begins in its place`, async () => {
    // In its place lies the damaged log, or none, with its mark, or without.
    for (const steps of [2, 3, 4, 5]) {
      await inTempFolder(async (folder) => {
        await cutShort(folder, steps, () => overwrite(`${folder}/data/${log}/oplog`, 0, Array(9_000).fill(0)));
        const looked = (await repairLogs(configIn(folder), random, wallMs + 1, false)).find(({ problem }) => problem);
        assert.match(looked!.problem!, /was cut short/, `${steps}`);
        await assert.rejects(readAll(folder), (error) => {
          assert.ok(error instanceof DamagedLogError, `${steps}: ${error}`);
          assert.match(error.remedy, steps === 2 ? /tightrope repair/ : /tightrope repair.*goes on/);
          return true;
        });
        const [transactions, events] = await repairLogs(configIn(folder), random, wallMs + 2, true);
        assert.deepEqual([transactions!.problem, events!.problem], [undefined, undefined]);
        assert.equal((log === "event-log" ? events : transactions)!.ended, true);
        await readAll(folder);
        assert.deepEqual([...Deno.readDirSync(`${folder}/data`)].filter(({ name }) => name.includes("ready")), []);
      });
    }
  });
}

Deno.test("a repair that was cut short and whose new log isn't whole either is ended, and that one repaired, too", async () => {
  await inTempFolder(async (folder) => {
    const log = `${folder}/data/transaction-log`;
    await cutShort(folder, 2, () => Deno.removeSync(`${log}.mark`));
    Deno.removeSync(`${log}.ready.mark`);
    await repairLogs(configIn(folder), random, wallMs + 1, true);
    assert.deepEqual((await readAll(folder)).filter((entry) => !isNote(entry)), originals);
  });
});

Deno.test("a log that was restored after a repair was cut short stays in its place", async () => {
  await inTempFolder(async (folder) => {
    const log = `${folder}/data/transaction-log`;
    await cutShort(folder, 2, () => {
      Deno.copyFileSync(`${log}/data`, `${folder}/backup`);
      overwrite(`${log}/data`, 5, [0]);
    });
    Deno.copyFileSync(`${folder}/backup`, `${log}/data`);
    const service = await AuditService.open(configIn(folder), random);
    await service.appendTransaction(record("intent", 99));
    await service.close();
    await repairLogs(configIn(folder), random, wallMs + 1, true);
    assert.deepEqual(await readAll(folder), [...originals, record("intent", 99)]);
    const names = [...Deno.readDirSync(`${folder}/data`)].map(({ name }) => name);
    assert.ok(names.some((name) => /^transaction-log\.damaged-/.test(name)), "nothing is deleted");
    assert.ok(!names.some((name) => name.includes("ready")));
  });
});

Deno.test("while a repair is at work, no other begins, and no daemon does", async () => {
  await inTempFolder(async (folder) => {
    await begin(folder);
    Deno.removeSync(`${folder}/data/transaction-log.mark`);
    const rename = Deno.renameSync;
    const others: Promise<unknown>[] = [];
    Deno.renameSync = (from, to) => {
      for (
        const begin of [
          () => repairLogs(configIn(folder), random, wallMs, true),
          () => AuditService.open(configIn(folder), random),
        ]
      ) {
        others.push(begin().then(() => "it began", (error) => error));
      }
      rename(from, to);
    };
    try {
      const [transactions] = await repairLogs(configIn(folder), random, wallMs, true);
      assert.equal(transactions!.records, originals.length);
    } finally {
      Deno.renameSync = rename;
    }
    assert.equal(others.length, 10);
    for (const outcome of await Promise.all(others)) assert.ok(outcome instanceof LogInUseError, String(outcome));
    assert.equal((await readAll(folder)).length, originals.length + 1);
  });
});

Deno.test("a repair that only looks makes nothing, not even a seed", async () => {
  await inTempFolder(async (folder) => {
    Deno.mkdirSync(`${folder}/data`);
    const found = await repairLogs(configIn(folder), random, wallMs, false);
    assert.deepEqual(found.map(({ problem }) => problem), [undefined, undefined]);
    assert.deepEqual([...Deno.readDirSync(`${folder}/data`)].filter(({ name }) => name !== "lock"), []);
    await begin(folder);
    Deno.removeSync(`${folder}/data/seed`);
    const [transactions] = await repairLogs(configIn(folder), random, wallMs, false);
    assert.match(transactions!.problem!, /begun with another seed/);
    assert.ok(![...Deno.readDirSync(`${folder}/data`)].some(({ name }) => name === "seed"));
  });
});

Deno.test("a repair beside a running daemon is refused, and one without a data directory explained", async () => {
  await inTempFolder(async (folder) => {
    await assert.rejects(repairLogs(configIn(folder), random, wallMs, true), /There is no data directory/);
    await begin(folder);
    const service = await AuditService.open(configIn(folder), random);
    await assert.rejects(repairLogs(configIn(folder), random, wallMs, true), /in use by another process/);
    await service.close();
  });
});

Deno.test("a repair where the data directory is a file is no bug of ours", async () => {
  await inTempFolder(async (folder) => {
    Deno.writeTextFileSync(`${folder}/data`, "");
    await assert.rejects(
      repairLogs(configIn(folder), random, wallMs, true),
      (error) => error instanceof TightropeError && error.code === "config" && /audit.storage.path/.test(error.remedy),
    );
  });
});

Deno.test("a repair gives up no record that a failing disk keeps it from reading", async () => {
  const { openSync } = Deno;
  for (const name of ["oplog", "tree", "data", "bitfield"]) {
    await inTempFolder(async (folder) => {
      await begin(folder);
      Deno.removeSync(`${folder}/data/transaction-log.mark`);
      Deno.openSync = (path, options) => {
        if (String(path).endsWith(`transaction-log/${name}`)) throw new Error("Input/output error (os error 5)");
        return openSync(path, options);
      };
      try {
        await assert.rejects(
          repairLogs(configIn(folder), random, wallMs, true),
          (error) =>
            error instanceof TightropeError && error.code === "temporary" && /the disk fails/.test(error.message),
        );
      } finally {
        Deno.openSync = openSync;
      }
      const [transactions] = await repairLogs(configIn(folder), random, wallMs, true);
      assert.equal(transactions!.records, originals.length, name);
    });
  }
});
