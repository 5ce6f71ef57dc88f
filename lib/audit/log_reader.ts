import type { AuditConfig } from "../config/config.ts";
import { dataPaths } from "../config/data_paths.ts";
import { TightropeError } from "../domain/errors.ts";
import { checkNotMissing } from "./audit_service.ts";
import { Core } from "./core.ts";
import { asOpenError, ofEventLog } from "./damaged_log.ts";
import { checkAgainstMark, readMark } from "./mark_file.ts";
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
 * @throws TightropeError if there is no log; at a record that is damaged or of a newer format; at the end of one that has
 *   lost records
 */
export async function* readRecords(
  config: Pick<AuditConfig, "storagePath" | "eventLog" | "transactionHistory">,
  log: "events" | "transactions",
  options: ReadOptions = {},
): AsyncGenerator<Readonly<Record<string, unknown>>> {
  const paths = dataPaths(config);
  if (log === "transactions") {
    checkNotMissing(paths);
    for await (const block of readLog(paths.transactionLogDirectory, options)) {
      yield recordToJson(decodeLogRecord(block));
    }
    return;
  }
  try {
    for await (const block of readLog(paths.eventLogDirectory, options)) yield decodeEvent(block);
  } catch (error) {
    throw ofEventLog(error);
  }
}

/**
 * The blocks of the log in `folder`, oldest first, read beside a writer in another process: nothing is locked or written.
 * @throws TightropeError if there is no log or, after all that is left of it, when it can't be read any further or isn't whole
 */
export async function* readLog(folder: string, options: ReadOptions = {}): AsyncGenerator<Uint8Array> {
  const { follow = false, signal } = options;
  let next = options.from ?? 0;
  let seen: string | undefined;
  while (!signal?.aborted) {
    const stamp = stampOf(folder);
    if (stamp !== seen || stamp === undefined) {
      const { blocks, problem } = await look(folder, next);
      next += blocks.length;
      yield* blocks;
      if (problem !== undefined) throw problem.error;
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

interface Look {
  readonly blocks: readonly Uint8Array[];
  /** Why there aren't more. */
  readonly problem?: { readonly error: unknown };
}

async function look(folder: string, from: number): Promise<Look> {
  for (let attempt = 1;; attempt++) {
    const blocks: Uint8Array[] = [];
    try {
      const mark = readMark(folder);
      const core = await Core.open(folder, "read", null);
      try {
        const end = Math.min(core.length, from + batchBlocks);
        for await (const block of core.read(from, end)) blocks.push(block);
        if (end === core.length) await checkAgainstMark(core, mark, folder);
        return { blocks };
      } finally {
        await core.close();
      }
    } catch (error) {
      const isEmpty = (error as { code?: unknown }).code === "STORAGE_EMPTY";
      if (isEmpty || attempt === maxAttempts) {
        return { blocks, problem: { error: isEmpty ? noLog(folder, error) : asOpenError(folder, error) } };
      }
      await delay(retryMs);
    }
  }
}

/** Changes whenever the log does: each append writes to the oplog. Undefined if there is none. */
function stampOf(folder: string): string | undefined {
  try {
    const { mtime, size } = Deno.statSync(`${folder}/oplog`);
    return `${mtime?.getTime()} ${size}`;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return undefined;
    throw asOpenError(folder, error);
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

function noLog(folder: string, cause: unknown): TightropeError {
  return new TightropeError(
    "config",
    `There is no log in "${folder}" yet`,
    "Start Tightrope with this configuration once, or check audit.storage.path",
    { cause },
  );
}
