import assert from "node:assert/strict";
import { join } from "node:path";
import { isPaused, pause, resume, takeResume } from "../../lib/audit/pause_file.ts";
import { dataPaths } from "../../lib/config/data_paths.ts";
import { TightropeError } from "../../lib/domain/errors.ts";

const pathsIn = (storagePath: string) =>
  dataPaths({ storagePath, eventLog: "event-log", transactionHistory: "transaction-log" });

Deno.test("pause() and resume() leave files that the daemon obeys, and say whether they changed anything", async () => {
  const root = await Deno.makeTempDir();
  try {
    const paths = pathsIn(join(root, "new", "storage"));
    assert.equal(isPaused(paths), false);
    assert.equal(await pause(paths), true);
    assert.equal(await pause(paths), false);
    assert.equal(isPaused(paths), true);
    assert.equal(await takeResume(paths), false);
    assert.equal(await resume(paths), true);
    assert.equal(isPaused(paths), false);
    assert.equal(await takeResume(paths), true);
    assert.equal(await takeResume(paths), false);
    assert.equal(await resume(paths), false);
    assert.equal(await takeResume(paths), true, "what the daemon stopped by itself ends too");
  } finally {
    await Deno.remove(root, { recursive: true });
  }
});

Deno.test({
  name: "pause() and resume() explain a directory that isn't theirs to write",
  permissions: { read: true, write: false },
  async fn() {
    for (const attempt of [pause, resume]) {
      await assert.rejects(
        attempt(pathsIn("/srv/data")),
        (error) => error instanceof TightropeError && error.code === "permission",
      );
    }
  },
});
