import assert from "node:assert/strict";
import { DamagedLogError } from "../../lib/audit/damaged_log.ts";
import { TightropeError } from "../../lib/domain/errors.ts";
import { HypercoreLog } from "../../lib/audit/hypercore_log.ts";
import { readLog, readRecords } from "../../lib/audit/log_reader.ts";
import { appendChild } from "./append_process.ts";
import { inTempFolder } from "./temp_folder.ts";

const seed = new Uint8Array(32).fill(7);
const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);

Deno.test("readLog() reads beside the writer, and changes nothing on the disk", async () => {
  await inTempFolder(async (folder) => {
    const log = await HypercoreLog.open(`${folder}/log`, seed);
    for (let n = 0; n < 10; n++) await log.append(new TextEncoder().encode(`record ${n}`));
    const contents = () =>
      [...Deno.readDirSync(`${folder}/log`)].map((
        { name },
      ) => [name, Deno.readFileSync(`${folder}/log/${name}`).toHex()]);
    const before = contents();
    const blocks = await Array.fromAsync(readLog(`${folder}/log`));
    assert.deepEqual(blocks.map(text), Array.from({ length: 10 }, (_, n) => `record ${n}`));
    assert.deepEqual((await Array.fromAsync(readLog(`${folder}/log`, { from: 8 }))).map(text), [
      "record 8",
      "record 9",
    ]);
    assert.deepEqual(contents(), before);
    await log.close();
    assert.equal((await Array.fromAsync(readLog(`${folder}/log`))).length, 10);
  });
});

Deno.test("readLog() reads more than it holds at once", async () => {
  await inTempFolder(async (folder) => {
    const log = await HypercoreLog.open(`${folder}/log`, seed);
    await Promise.all(Array.from({ length: 2_500 }, (_, n) => log.append(new TextEncoder().encode(`${n}`))));
    let next = 0;
    for await (const block of readLog(`${folder}/log`)) assert.equal(text(block), `${next++}`);
    assert.equal(next, 2_500);
    await log.close();
  });
});

Deno.test("readLog() follows a writer in another process, in order and without a gap, until told to stop", async () => {
  await inTempFolder(async (folder) => {
    const writer = appendChild([`${folder}/log`, seed.toHex()], "null").spawn();
    const lines = writer.stdout.getReader();
    // The log exists once something was acknowledged.
    await lines.read();
    const draining = (async () => {
      while (!(await lines.read()).done);
    })();
    const stop = new AbortController();
    let next = 0;
    for await (const block of readLog(`${folder}/log`, { follow: true, signal: stop.signal })) {
      assert.equal(text(block), `record ${next++}`);
      if (next === 300) {
        writer.kill("SIGKILL");
        stop.abort();
        break;
      }
    }
    assert.equal(next, 300);
    await Promise.all([writer.status, draining]);
  });
});

Deno.test("readLog() with follow gives what is appended later", async () => {
  await inTempFolder(async (folder) => {
    const log = await HypercoreLog.open(`${folder}/log`, seed);
    await log.append(new TextEncoder().encode("first"));
    const stop = new AbortController();
    const following = readLog(`${folder}/log`, { follow: true, signal: stop.signal });
    assert.equal(text((await following.next()).value!), "first");
    const later = following.next();
    await log.append(new TextEncoder().encode("second"));
    assert.equal(text((await later).value!), "second");
    const end = following.next();
    stop.abort();
    assert.equal((await end).done, true);
    await log.close();
  });
});

Deno.test("readRecords() of a log that was never begun says so", async () => {
  await inTempFolder(async (folder) => {
    await assert.rejects(
      Array.fromAsync(readRecords({ storagePath: folder, eventLog: "e", transactionHistory: "t" }, "events")),
      (error) => error instanceof TightropeError && /There is no log in/.test(error.message),
    );
  });
});

const damages: Readonly<Record<string, { readonly damage: (log: string) => void; readonly left: number }>> = {
  "the newer header of the oplog": { damage: (log) => overwrite(`${log}/oplog`, 20, [0xde, 0xad]), left: 17 },
  "the mark": { damage: (log) => Deno.removeSync(`${log}.mark`), left: 23 },
  "the oplog": { damage: (log) => Deno.truncateSync(`${log}/oplog`), left: 0 },
  "both headers of the oplog": { damage: (log) => overwrite(`${log}/oplog`, 0, Array(9_000).fill(0)), left: 0 },
  "the folder": { damage: (log) => Deno.removeSync(log, { recursive: true }), left: 0 },
  "a record": { damage: (log) => overwrite(`${log}/data`, 12 * 9 + 3, [0]), left: 12 },
};

for (const [name, { damage, left }] of Object.entries(damages)) {
  Deno.test(`readLog() of a log of which ${name} is lost gives what is left, and says that it isn't all`, async () => {
    await inTempFolder(async (folder) => {
      const log = await HypercoreLog.open(`${folder}/log`, seed);
      for (let n = 0; n < 23; n++) await log.append(new TextEncoder().encode(`record ${n % 10}`.padEnd(9)));
      await log.close();
      damage(`${folder}/log`);
      const given: string[] = [];
      await assert.rejects(async () => {
        for await (const block of readLog(`${folder}/log`)) given.push(text(block));
      }, (error) => error instanceof DamagedLogError && /tightrope repair/.test(error.remedy));
      assert.deepEqual(given, Array.from({ length: left }, (_, n) => `record ${n % 10}`.padEnd(9)));
    });
  });
}

function overwrite(path: string, at: number, bytes: readonly number[]): void {
  using file = Deno.openSync(path, { write: true });
  file.seekSync(at, Deno.SeekMode.Start);
  file.writeSync(new Uint8Array(bytes));
}
