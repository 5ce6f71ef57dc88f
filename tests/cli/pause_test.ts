import assert from "node:assert/strict";
import { join } from "node:path";
import { pause, resume } from "../../lib/cli/commands/pause.ts";
import { dataPaths } from "../../lib/config/data_paths.ts";
import { TightropeError } from "../../lib/domain/errors.ts";

Deno.test("pause() makes the file that the daemon obeys, resume() removes it, each says whether it changed anything", async () => {
  const root = await Deno.makeTempDir();
  try {
    const { directory, pauseFile } = dataPaths({
      storagePath: join(root, "new", "storage"),
      eventLog: "event-log",
      transactionHistory: "transaction-log",
    });
    assert.equal(pauseFile, join(directory, "paused"));
    assert.equal(await resume(pauseFile), false);
    assert.equal(await pause(directory, pauseFile), true);
    assert.equal(await pause(directory, pauseFile), false);
    assert.equal((await Deno.stat(pauseFile)).isFile, true);
    assert.equal(await resume(pauseFile), true);
    assert.equal(await resume(pauseFile), false);
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test({
  name: "pause() and resume() explain a directory that isn't theirs to write",
  permissions: { read: true, write: false },
  async fn() {
    for (const attempt of [() => pause("/srv/data", "/srv/data/paused"), () => resume("/srv/data/paused")]) {
      await assert.rejects(attempt, (error) => error instanceof TightropeError && error.code === "permission");
    }
  },
});
