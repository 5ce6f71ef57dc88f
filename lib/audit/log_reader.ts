import type { AuditConfig } from "../config/config.ts";
import { messageOf, TightropeError } from "../domain/errors.ts";
import { openCore, readBlocks } from "./hypercore_log.ts";
import { decodeEvent, decodeLogRecord, recordToJson } from "./record_codec.ts";

/** How often a followed log is looked at. */
const pollMs = 250;

/** A writer may change a file between two reads of it; measured, 4 of 22,634 opens met that. */
const maxAttempts = 20;
const retryMs = 50;

export interface ReadOptions {
  /** Index of the first block wanted. */
  readonly from?: number;
  /** Go on with what is appended later, until `signal` aborts. */
  readonly follow?: boolean;
  readonly signal?: AbortSignal;
}

/**
 * The records of one log as plain JSON, as `tightrope log --json` prints them. The daemon may run meanwhile.
 * @throws TightropeError if there is no log, or at a record that is damaged or of a newer format
 */
export async function* readRecords(
  config: Pick<AuditConfig, "storagePath" | "eventLog" | "transactionHistory">,
  log: "events" | "transactions",
  options: ReadOptions = {},
): AsyncGenerator<Readonly<Record<string, unknown>>> {
  const name = log === "events" ? config.eventLog : config.transactionHistory;
  for await (const block of readLog(`${config.storagePath}/${name}`, options)) {
    yield log === "events" ? decodeEvent(block) : recordToJson(decodeLogRecord(block));
  }
}

/**
 * The blocks of the log in `folder`, oldest first, read beside a writer in another process: nothing is locked or written.
 * @throws TightropeError if there is no log or it can't be read
 */
export async function* readLog(folder: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
  const { follow = false, signal } = options;
  let next = options.from ?? 0;
  let seen: string | undefined;
  while (!signal?.aborted) {
    const stamp = stampOf(folder);
    if (stamp !== seen) {
      const blocks = await readFrom(folder, next);
      next += blocks.length;
      yield* blocks;
      // A full batch may not have been all.
      seen = blocks.length < batchBlocks ? stamp : undefined;
      if (seen === undefined) continue;
    }
    if (!follow) return;
    await delay(pollMs, signal);
  }
}

/** How many blocks are held at once. */
const batchBlocks = 1_000;

async function readFrom(folder: string, from: number): Promise<Uint8Array[]> {
  for (let attempt = 1;; attempt++) {
    try {
      const core = await openCore(folder, "read", null);
      try {
        return await Array.fromAsync(readBlocks(core, folder, from, Math.min(core.length, from + batchBlocks)));
      } finally {
        await core.close();
      }
    } catch (error) {
      if (attempt === maxAttempts || (error as { code?: unknown }).code === "STORAGE_EMPTY") {
        throw asReadError(folder, error);
      }
      await delay(retryMs);
    }
  }
}

/** Changes whenever the log does: each append writes to the oplog. */
function stampOf(folder: string): string {
  try {
    const { mtime, size } = Deno.statSync(`${folder}/oplog`);
    return `${mtime?.getTime()} ${size}`;
  } catch (error) {
    throw asReadError(folder, error);
  }
}

function delay(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done, { once: true });
  });
}

function asReadError(folder: string, error: unknown): TightropeError {
  if (error instanceof TightropeError) return error;
  if (error instanceof Deno.errors.NotFound || (error as { code?: unknown }).code === "STORAGE_EMPTY") {
    return new TightropeError(
      "config",
      `There is no log in "${folder}" yet`,
      "Start Tightrope with this configuration once, or check audit.storage.path",
      { cause: error },
    );
  }
  return new TightropeError(
    error instanceof Deno.errors.PermissionDenied ? "permission" : "temporary",
    `Cannot read the log "${folder}": ${messageOf(error)}`,
    "Read it as the user that runs Tightrope; if it fails again, restore the data directory from a backup",
    { cause: error },
  );
}
