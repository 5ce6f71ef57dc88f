import assert from "node:assert/strict";
import { TightropeError } from "../../lib/domain/errors.ts";
import { systemRandom } from "../../lib/env/system.ts";
import { eventsPerGrant } from "../../lib/workers/port.ts";
import type { WorkerRights } from "../../lib/workers/rights.ts";
import { WorkerHandle } from "../../lib/workers/worker_handle.ts";

const entry = new URL("./probe_worker.ts", import.meta.url);
const start = () => new WorkerHandle("probe", entry, {}, systemRandom);

Deno.test("WorkerHandle delivers more events than one grant holds, in order", async () => {
  const handle = start();
  const count = eventsPerGrant * 3 + 7;
  const seen: number[] = [];
  const all = Promise.withResolvers<void>();
  handle.onEvent((event) => {
    seen.push(event as number);
    if (seen.length === count) all.resolve();
  });
  await handle.call("emit", count);
  await all.promise;
  assert.deepEqual(seen, Array.from({ length: count }, (_, i) => i));
  handle.terminate();
});

Deno.test("WorkerHandle ends a worker that reports events without credit", async () => {
  const handle = start();
  const seen: unknown[] = [];
  handle.onEvent((event) => seen.push(event));
  handle.tell("flood");
  await assert.rejects(handle.died, /probe worker is lost: it reported more than it was allowed to/);
  assert.deepEqual(seen, []);
});

Deno.test("WorkerHandle rejects what is pending when the worker crashes", async () => {
  const handle = start();
  await handle.call("crash");
  await assert.rejects(handle.died, (error) => error instanceof TightropeError && error.code === "temporary");
  await assert.rejects(handle.call("emit", 0), TightropeError);
});

Deno.test("WorkerHandle carries the error of a call", async () => {
  const handle = start();
  await assert.rejects(handle.call("missing"), /there is no method missing/);
  handle.terminate();
});

/** A worker that can't load its modules the first time; `folder` remembers that there was one. */
const startLate = (folder: string, rights: WorkerRights) =>
  new WorkerHandle("late", new URL(`./late_worker.ts?folder=${folder}`, import.meta.url), rights, systemRandom);

Deno.test("WorkerHandle starts a worker again that failed before it was ready", async () => {
  const folder = await Deno.makeTempDir();
  const handle = startLate(folder, { read: [folder], write: [folder] });
  assert.equal(await handle.call("attempts"), 2);
  handle.terminate();
  await Deno.remove(folder, { recursive: true });
});

Deno.test("WorkerHandle gives up a worker that never becomes ready", async () => {
  const folder = await Deno.makeTempDir();
  const handle = startLate(folder, {});
  await assert.rejects(handle.call("attempts"), /late worker is lost: .*NotCapable/);
  await assert.rejects(handle.died, TightropeError);
  await Deno.remove(folder, { recursive: true });
});
