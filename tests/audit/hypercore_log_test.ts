import assert from "node:assert/strict";
import { TightropeError } from "../../lib/domain/errors.ts";
import { HypercoreLog, keyPairFromSeed } from "../../lib/audit/hypercore_log.ts";
import { appendChild } from "./append_process.ts";
import { inTempFolder } from "./temp_folder.ts";

const seed = new Uint8Array(32).fill(7);
const encoder = new TextEncoder();
const block = (n: number) => encoder.encode(`record ${n}`);

async function logOf(folder: string, count: number): Promise<void> {
  const log = await HypercoreLog.open(folder, seed);
  for (let n = 0; n < count; n++) await log.append(block(n));
  await log.close();
}

async function readTexts(log: HypercoreLog, from = 0): Promise<string[]> {
  return (await Array.fromAsync(log.read(from))).map((bytes) => new TextDecoder().decode(bytes));
}

function filesIn(folder: string): string[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) =>
    isDirectory ? filesIn(`${folder}/${name}`) : [`${folder}/${name}`]
  );
}

function copyFolder(from: string, to: string): void {
  Deno.mkdirSync(to);
  for (const { name } of Deno.readDirSync(from)) Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
}

/** @returns a matcher for assert.rejects */
function refusal(code: TightropeError["code"], message: RegExp) {
  return (error: unknown) => {
    assert.ok(error instanceof TightropeError, String(error));
    assert.equal(error.code, code);
    assert.match(error.message, message);
    assert.notEqual(error.remedy, "");
    return true;
  };
}

Deno.test("HypercoreLog keeps records in order, across closing and opening", async () => {
  await inTempFolder(async (folder) => {
    const log = await HypercoreLog.open(`${folder}/log`, seed);
    const heads = await Promise.all([0, 1, 2, 3, 4].map((n) => log.append(block(n))));
    assert.deepEqual(heads.at(-1), log.head);
    assert.equal(log.head.length, 5);
    await log.close();
    const again = await HypercoreLog.open(`${folder}/log`, seed);
    assert.deepEqual(again.head, log.head);
    await again.append(block(5));
    assert.deepEqual(await readTexts(again, 3), ["record 3", "record 4", "record 5"]);
    assert.deepEqual(await readTexts(again, 6), []);
    await again.close();
  });
});

Deno.test("HypercoreLog writes what waits as one batch", async () => {
  await inTempFolder(async (folder) => {
    const log = await HypercoreLog.open(`${folder}/log`, seed);
    const lengths = (await Promise.all(Array.from({ length: 100 }, (_, n) => log.append(block(n))))).map((h) =>
      h.length
    );
    // The first goes alone, since nothing else waits yet; the rest are on the disk together.
    assert.equal(new Set(lengths).size <= 2, true, lengths.join());
    assert.equal(lengths.at(-1), 100);
    assert.equal((await readTexts(log)).length, 100);
    await log.close();
  });
});

Deno.test("HypercoreLog.close() writes what waits, and takes no more", async () => {
  await inTempFolder(async (folder) => {
    const log = await HypercoreLog.open(`${folder}/log`, seed);
    const appended = [0, 1, 2].map((n) => log.append(block(n)));
    await log.close();
    await log.close();
    assert.equal((await Promise.all(appended)).at(-1)?.length, 3);
    await assert.rejects(log.append(block(3)), /being closed/);
  });
});

Deno.test("HypercoreLog: a second process is told what is wrong", async () => {
  await inTempFolder(async (folder) => {
    const log = await HypercoreLog.open(`${folder}/log`, seed);
    await log.append(block(0));
    const { code, stderr } = await appendChild([`${folder}/log`, seed.toHex()]).output();
    assert.notEqual(code, 0);
    assert.match(new TextDecoder().decode(stderr), /The log .* is in use by another process/);
    await log.append(block(1));
    await log.close();
  });
});

Deno.test("HypercoreLog: kill -9 in mid-append loses nothing that was acknowledged", async () => {
  await inTempFolder(async (folder) => {
    let acknowledged = -1;
    for (const linesBeforeKill of [1, 12, 90]) {
      const running = appendChild([`${folder}/log`, seed.toHex()]).spawn();
      let lines = 0;
      let rest = "";
      for await (const text of running.stdout.pipeThrough(new TextDecoderStream())) {
        const parts = (rest + text).split("\n");
        rest = parts.pop()!;
        for (const line of parts) acknowledged = Math.max(acknowledged, Number(line));
        lines += parts.length;
        if (lines >= linesBeforeKill) {
          try {
            running.kill("SIGKILL");
          } catch (error) {
            // Killed already; what was in the pipe is still read.
            if (!(error instanceof TypeError)) throw error;
          }
        }
      }
      const [{ signal }, error] = await Promise.all([running.status, new Response(running.stderr).text()]);
      assert.equal(signal, "SIGKILL", error);
      const log = await HypercoreLog.open(`${folder}/log`, seed);
      assert.ok(log.head.length > acknowledged, `${log.head.length} records left, ${acknowledged} was acknowledged`);
      assert.deepEqual(await readTexts(log), Array.from({ length: log.head.length }, (_, n) => `record ${n}`));
      await log.close();
    }
    assert.ok(acknowledged >= 90);
  });
});

Deno.test("HypercoreLog keeps the secret key off the disk", async () => {
  await inTempFolder(async (folder) => {
    await logOf(`${folder}/log`, 10);
    const secretKey = Buffer.from(keyPairFromSeed(seed).secretKey);
    const secrets = [Buffer.from(seed), secretKey.subarray(0, 32)];
    for (const path of filesIn(folder)) {
      const content = Buffer.from(Deno.readFileSync(path));
      for (const secret of secrets) assert.equal(content.indexOf(secret), -1, path);
    }
  });
});

Deno.test("HypercoreLog refuses a log whose newer oplog header is damaged, instead of going on shorter", async () => {
  await inTempFolder(async (folder) => {
    await logOf(`${folder}/log`, 23);
    // Both headers begin with their checksum; the entries belong to the newer one only.
    let shortened = 0;
    for (const headerAt of [0, 4096]) {
      copyFolder(`${folder}/log`, `${folder}/damaged${headerAt}`);
      Deno.copyFileSync(`${folder}/log.mark`, `${folder}/damaged${headerAt}.mark`);
      using oplog = Deno.openSync(`${folder}/damaged${headerAt}/oplog`, { read: true, write: true });
      oplog.seekSync(headerAt + 20, Deno.SeekMode.Start);
      oplog.writeSync(new Uint8Array([0xde, 0xad]));
      try {
        await (await HypercoreLog.open(`${folder}/damaged${headerAt}`, seed)).close();
      } catch (error) {
        refusal("config", /has \d+ records, but had 23/)(error);
        shortened++;
        // Nor does it go on once its mark is taken away.
        Deno.removeSync(`${folder}/damaged${headerAt}.mark`);
        await assert.rejects(
          HypercoreLog.open(`${folder}/damaged${headerAt}`, seed),
          refusal("config", /Nobody knows how long the log .* was: that file is missing/),
        );
      }
    }
    assert.equal(shortened, 1);
  });
});

Deno.test("HypercoreLog has all its records, whatever is left of the bitfield", async () => {
  for (
    const damage of [
      (path: string) => Deno.removeSync(path),
      (path: string) => Deno.truncateSync(path),
      (path: string) => Deno.writeFileSync(path, new Uint8Array(4_096)),
      (path: string) => Deno.writeFileSync(path, new Uint8Array(4_096).map((_, i) => (i * 37 + 11) & 0xff)),
    ]
  ) {
    await inTempFolder(async (folder) => {
      await logOf(`${folder}/log`, 23);
      damage(`${folder}/log/bitfield`);
      const log = await HypercoreLog.open(`${folder}/log`, seed);
      for (let n = 23; n < 40; n++) await log.append(block(n));
      await log.close();
      const again = await HypercoreLog.open(`${folder}/log`, seed);
      assert.deepEqual(await readTexts(again), Array.from({ length: 40 }, (_, n) => `record ${n}`));
      await again.close();
    });
  }
});

Deno.test("HypercoreLog refuses an old backup of itself", async () => {
  await inTempFolder(async (folder) => {
    await logOf(`${folder}/log`, 5);
    copyFolder(`${folder}/log`, `${folder}/backup`);
    await logOf(`${folder}/log`, 3);
    Deno.removeSync(`${folder}/log`, { recursive: true });
    Deno.renameSync(`${folder}/backup`, `${folder}/log`);
    await assert.rejects(HypercoreLog.open(`${folder}/log`, seed), refusal("config", /has 5 records, but had 8/));
  });
});

Deno.test("HypercoreLog refuses a fork of itself", async () => {
  await inTempFolder(async (folder) => {
    await logOf(`${folder}/log`, 5);
    const fork = await HypercoreLog.open(`${folder}/fork`, seed);
    for (let n = 100; n < 110; n++) await fork.append(block(n));
    await fork.close();
    Deno.removeSync(`${folder}/log`, { recursive: true });
    Deno.renameSync(`${folder}/fork`, `${folder}/log`);
    await assert.rejects(HypercoreLog.open(`${folder}/log`, seed), refusal("config", /its first 5 records differ/));
  });
});

Deno.test("HypercoreLog refuses a log of another seed", async () => {
  await inTempFolder(async (folder) => {
    await logOf(`${folder}/log`, 1);
    await assert.rejects(
      HypercoreLog.open(`${folder}/log`, new Uint8Array(32).fill(8)),
      refusal("config", /begun with another seed file/),
    );
    // The refusal gave the lock back.
    await logOf(`${folder}/log`, 1);
  });
});

Deno.test("HypercoreLog refuses a record that changed on the disk", async () => {
  await inTempFolder(async (folder) => {
    await logOf(`${folder}/log`, 5);
    const data = Deno.readFileSync(`${folder}/log/data`);
    const at = Buffer.from(data).indexOf("record 3");
    data[at + 7]! ^= 1;
    Deno.writeFileSync(`${folder}/log/data`, data);
    const log = await HypercoreLog.open(`${folder}/log`, seed);
    await assert.rejects(readTexts(log), refusal("config", /Record 3 of the log ".*\/log" is damaged/));
    assert.deepEqual(await readTexts(log, 4), ["record 4"]);
    await log.close();
  });
});

Deno.test("HypercoreLog: a torn or lagging mark is no reason to refuse", async () => {
  await inTempFolder(async (folder) => {
    await logOf(`${folder}/log`, 5);
    const lagging = Deno.readFileSync(`${folder}/log.mark`);
    await logOf(`${folder}/log`, 1);
    for (const slot of [0, 1]) {
      const torn = lagging.slice();
      torn.fill(0, slot * 256 + 40, slot * 256 + 120);
      Deno.writeFileSync(`${folder}/log.mark`, torn);
      await logOf(`${folder}/log`, 1);
    }
  });
});

Deno.test("HypercoreLog gathers records into one write, and writes at once when it is closed", async () => {
  await inTempFolder(async (folder) => {
    const log = await HypercoreLog.open(`${folder}/log`, seed, { gatherMs: 3_600_000 });
    const heads = Promise.all([log.append(block(0)), log.append(block(1))]);
    await log.close();
    // The first one hears of both: they went to the disk together.
    assert.deepEqual((await heads).map(({ length }) => length), [2, 2]);
    const again = await HypercoreLog.open(`${folder}/log`, seed);
    assert.deepEqual(await readTexts(again), ["record 0", "record 1"]);
    await again.close();
  });
});
