import assert from "node:assert/strict";
import { join } from "node:path";
import type { Pause, PauseScope } from "../../lib/audit/pause.ts";
import { addPause, type PauseChange, readPauses, removePause, takeResume } from "../../lib/audit/pause_file.ts";
import { dataPaths } from "../../lib/config/data_paths.ts";
import { TightropeError } from "../../lib/domain/errors.ts";
import { channel } from "./records.ts";
import { plainReaders, readers } from "./readers.ts";
import { inTempFolder } from "./temp_folder.ts";

const pathsIn = (storagePath: string) =>
  dataPaths({ storagePath, eventLog: "event-log", transactionHistory: "transaction-log" });
const all: PauseScope = { kind: "all" };
const one: PauseScope = { kind: "channel-point", channelPoint: channel(1) };
const alice: PauseScope = { kind: "alias", alias: "alice" };
const pauseOf = (scope: PauseScope, by: Pause["by"] = "operator"): Pause => ({
  scope,
  by,
  reason: by === "operator" ? "" : "a fee",
  sinceWallMs: 1,
});

Deno.test("pauses are kept one by one, and everything that is resumed tells the daemon so", async () => {
  await inTempFolder((folder) => {
    const paths = pathsIn(join(folder, "new", "storage"));
    assert.deepEqual(readPauses(paths), []);
    assert.equal(addPause(paths, pauseOf(one)).changed, true);
    assert.equal(addPause(paths, pauseOf(one)).changed, false);
    assert.equal(addPause(paths, pauseOf(alice)).changed, true);
    assert.deepEqual(readPauses(paths), [pauseOf(one), pauseOf(alice)]);
    assert.deepEqual(removePause(paths, one), { changed: true, pauses: [pauseOf(alice)] });
    assert.equal(removePause(paths, one).changed, false);
    assert.equal(takeResume(paths), false, "one of several is no word that the operator has looked");
    assert.equal(removePause(paths, alice).changed, true);
    assert.deepEqual(readPauses(paths), []);
    assert.equal(removePause(paths, all).changed, false);
    assert.equal(takeResume(paths), true, "what the daemon stopped by itself ends too");
    assert.equal(takeResume(paths), false);
    return Promise.resolve();
  });
});

Deno.test("a pause that root writes can be read by the daemon's user", async () => {
  await inTempFolder((folder) => {
    const paths = pathsIn(folder);
    addPause(paths, pauseOf(all));
    for (const path of [paths.pauseFile, paths.pauseLockFile]) assert.equal(readers(path), plainReaders(folder));
    return Promise.resolve();
  });
});

Deno.test("the breaker's pause outlives the operator's, and ends with everything alone", async () => {
  await inTempFolder((folder) => {
    const paths = pathsIn(folder);
    addPause(paths, pauseOf(all));
    assert.equal(addPause(paths, pauseOf(all, "breaker")).changed, true);
    removePause(paths, one);
    assert.deepEqual(readPauses(paths).map(({ by }) => by), ["operator", "breaker"]);
    assert.deepEqual(removePause(paths, all), { changed: true, pauses: [] });
    return Promise.resolve();
  });
});

Deno.test("a pause file that can't be read pauses everything, and no narrower command loosens that", async () => {
  await inTempFolder((folder) => {
    const paths = pathsIn(folder);
    for (
      const spoil of [
        () => Deno.writeTextFileSync(paths.pauseFile, "paused"),
        () => Deno.mkdirSync(paths.pauseFile),
      ]
    ) {
      spoil();
      const narrower: (() => PauseChange)[] = [() => addPause(paths, pauseOf(one)), () => removePause(paths, one)];
      for (const change of narrower) {
        assert.equal(change().changed, false);
        assert.deepEqual(readPauses(paths).map(({ scope, by }) => [scope.kind, by]), [["all", "unreadable"]]);
      }
      assert.equal(removePause(paths, all).changed, true);
      assert.deepEqual(readPauses(paths), []);
    }
    return Promise.resolve();
  });
});

Deno.test({
  name: "addPause() and removePause() explain a directory that isn't theirs to write",
  permissions: { read: true, write: false },
  fn() {
    const paths = pathsIn("/srv/data");
    for (const attempt of [() => addPause(paths, pauseOf(all)), () => removePause(paths, all)]) {
      assert.throws(attempt, (error) => error instanceof TightropeError && error.code === "permission");
    }
  },
});
