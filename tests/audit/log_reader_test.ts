import assert from "node:assert/strict";
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
