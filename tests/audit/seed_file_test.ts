import assert from "node:assert/strict";
import { TightropeError } from "../../lib/domain/errors.ts";
import { deriveKeySeed, deriveSwarmSeed, loadOrCreateSeed } from "../../lib/audit/seed_file.ts";
import { inTempFolder } from "./temp_folder.ts";

const fresh = () => new Uint8Array(32).fill(5);
const never = () => assert.fail("the seed was there already");
const posix = Deno.build.os !== "windows";

Deno.test("loadOrCreateSeed() makes a seed once, for its owner's eyes only", async () => {
  await inTempFolder(async (folder) => {
    const path = `${folder}/seed`;
    assert.deepEqual(loadOrCreateSeed(path, fresh), fresh());
    assert.equal(await Deno.readTextFile(path), `${"05".repeat(32)}\n`);
    if (posix) assert.equal(Deno.statSync(path).mode! & 0o777, 0o600);
    assert.deepEqual(loadOrCreateSeed(path, never), fresh());
    assert.deepEqual([...Deno.readDirSync(folder)].map(({ name }) => name), ["seed"]);
  });
});

Deno.test("loadOrCreateSeed(): of two processes that start at once, both get the first one's seed", async () => {
  await inTempFolder(async (folder) => {
    const path = `${folder}/seed`;
    const second = loadOrCreateSeed(path, () => {
      // The other process is faster, between our look and our write.
      loadOrCreateSeed(path, () => new Uint8Array(32).fill(6));
      return fresh();
    });
    assert.deepEqual(second, new Uint8Array(32).fill(6));
    assert.deepEqual(loadOrCreateSeed(path, never), second);
    await Promise.resolve();
  });
});

Deno.test("loadOrCreateSeed() refuses a seed that others may read", { ignore: !posix }, async () => {
  await inTempFolder(async (folder) => {
    const path = `${folder}/seed`;
    loadOrCreateSeed(path, fresh);
    await Deno.chmod(path, 0o640);
    assert.throws(
      () => loadOrCreateSeed(path, never),
      (error) => error instanceof TightropeError && error.code === "permission" && error.remedy.includes("chmod 600"),
    );
  });
});

Deno.test("loadOrCreateSeed() never replaces a damaged seed, and never shows it", async () => {
  await inTempFolder(async (folder) => {
    const path = `${folder}/seed`;
    for (const text of ["", "05", "05".repeat(31) + "0g", "05".repeat(32) + "\n\n", "05".repeat(33)]) {
      await Deno.writeTextFile(path, text, { mode: 0o600 });
      assert.throws(
        () => loadOrCreateSeed(path, never),
        (error) => error instanceof TightropeError && error.code === "config" && !error.message.includes("0505"),
      );
      assert.equal(await Deno.readTextFile(path), text);
    }
  });
});

Deno.test("loadOrCreateSeed() leaves nothing behind on a disk that is full", async () => {
  await inTempFolder(async (folder) => {
    const { writeSync } = Deno.FsFile.prototype;
    Deno.FsFile.prototype.writeSync = () => {
      throw new Error("No space left on device (os error 28)");
    };
    try {
      assert.throws(
        () => loadOrCreateSeed(`${folder}/seed`, fresh),
        (error) => error instanceof TightropeError && error.code === "temporary" && /is full/.test(error.message),
      );
    } finally {
      Deno.FsFile.prototype.writeSync = writeSync;
    }
    assert.deepEqual([...Deno.readDirSync(folder)], []);
    await Promise.resolve();
  });
});

Deno.test("loadOrCreateSeed() explains a link that leads nowhere", { ignore: !posix }, async () => {
  await inTempFolder(async (folder) => {
    await Deno.symlink(`${folder}/unmounted/seed`, `${folder}/seed`);
    assert.throws(
      () => loadOrCreateSeed(`${folder}/seed`, fresh),
      (error) => error instanceof TightropeError && error.code === "config" && /leads nowhere/.test(error.message),
    );
  });
});

Deno.test("loadOrCreateSeed() says what is wrong with the folder", () => {
  assert.throws(
    () => loadOrCreateSeed("/no/such/folder/seed", fresh),
    (error) => error instanceof TightropeError && /Cannot use the seed file/.test(error.message),
  );
});

Deno.test("deriveSwarmSeed() stays the same where the file is, and is another for a copy", async () => {
  await inTempFolder(async (folder) => {
    const seed = loadOrCreateSeed(`${folder}/seed`, fresh);
    const given = deriveSwarmSeed(seed, `${folder}/seed`);
    await Deno.copyFile(`${folder}/seed`, `${folder}/copy`);
    assert.notDeepEqual(deriveSwarmSeed(seed, `${folder}/copy`), given);
    await Deno.rename(`${folder}/seed`, `${folder}/moved`);
    assert.deepEqual(deriveSwarmSeed(seed, `${folder}/moved`), given);
  });
});

Deno.test("deriveKeySeed() gives each purpose a key of its own, the same every time", () => {
  const seeds = (["events", "transactions", "swarm"] as const).map((purpose) =>
    deriveKeySeed(fresh(), purpose).toHex()
  );
  // Fixed for ever: another derivation would begin new logs and make the instance a stranger to its peers.
  assert.deepEqual(seeds, [
    "510f9b8d8af6a870ac9193fba2e7cb884cf0daf8d8c70e0d99b3b06f21bbf4e8",
    "bde24cf61b009baf909b7ddb02420f25f66f498f8c1eae13d26215b2943ee6d0",
    "03759bc0f93c7ba5cf5113425842de1a950b68af6d0dcfbc5937336136229807",
  ]);
  assert.equal(new Set([...seeds, fresh().toHex()]).size, 4);
});
