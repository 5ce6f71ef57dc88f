import type { LogHead } from "./audit_sink.ts";
import type { Core } from "./core.ts";
import { asOpenError, DamagedLogError } from "./damaged_log.ts";
import { decodeMarks } from "./high_water_mark.ts";
import { isThere } from "./is_there.ts";

/** A log's high-water mark. `none`: there is no file. `unreadable`: there is, and nothing in it is whole. */
export type Mark = LogHead | "none" | "unreadable";

/** Where the high-water mark of a log lies. */
export function markPathOf(folder: string): string {
  return `${folder}.mark`;
}

/** Where a repair puts a log that is whole and is to take the place of the damaged one. */
export function readyPathOf(folder: string): string {
  return `${folder}.ready`;
}

/**
 * The mark of the log in `folder`, to be read before the log is opened: a writer takes the log ahead of it, never the other
 * way round.
 * @throws DamagedLogError if the log's first file is gone: Hypercore takes the rest for a new log, and would begin one over it
 */
export function readMark(folder: string): Mark {
  if (!isThere(folder) && isThere(readyPathOf(folder))) {
    throw new DamagedLogError(`A repair of the log "${folder}" was cut short`, {
      remedy: "Run `tightrope repair` with the same --config again: it goes on where it stopped",
    });
  }
  const mark = read(markPathOf(folder));
  if (sizeOf(`${folder}/oplog`) > 0) return mark;
  if (typeof mark === "object" && mark.length > 0) {
    const what = isThere(folder) ? 'is damaged: its file "oplog" is missing or empty, and' : "is gone:";
    throw new DamagedLogError(`The log "${folder}" ${what} it had ${mark.length} records`);
  }
  for (const name of ["data", "tree"]) {
    if (sizeOf(`${folder}/${name}`) > 0) {
      throw new DamagedLogError(`The log "${folder}" is damaged: its file "oplog" is missing or empty`);
    }
  }
  return mark;
}

function read(path: string): Mark {
  let bytes: Uint8Array;
  try {
    bytes = Deno.readFileSync(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return "none";
    throw asOpenError(path, error);
  }
  return decodeMarks(bytes) ?? "unreadable";
}

/** 0 for a file that isn't there. */
function sizeOf(path: string): number {
  try {
    return Deno.statSync(path).size;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) return 0;
    throw asOpenError(path, error);
  }
}

/** @throws DamagedLogError if the log is shorter or another than its mark says, or nobody knows */
export async function checkAgainstMark(core: Core, mark: Mark, folder: string): Promise<void> {
  const { length } = core;
  const markPath = markPathOf(folder);
  if (typeof mark === "string") {
    // The mark is on the disk before the first record.
    if (length === 0) return;
    throw new DamagedLogError(
      `Nobody knows how long the log beside "${markPath}" was: ${
        mark === "none" ? "that file is missing" : "that file is damaged"
      }. ${length} records are left`,
      { isPrefix: true },
    );
  }
  if (length < mark.length) {
    throw new DamagedLogError(
      `The log beside "${markPath}" is damaged or was restored from an old backup: it has ${length} records, but had ${mark.length}`,
      { isPrefix: true },
    );
  }
  if ((await core.head(mark.length)).treeHash !== mark.treeHash) {
    throw new DamagedLogError(
      `The log beside "${markPath}" is not the one that was written here: its first ${mark.length} records differ`,
    );
  }
}
