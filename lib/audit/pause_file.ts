import type { DataPaths } from "../config/data_paths.ts";
import { messageOf, TightropeError } from "../domain/errors.ts";
import { openLockFile } from "./lock_file.ts";
import {
  decodePauses,
  encodePauses,
  maxPauseFileBytes,
  type Pause,
  type PauseScope,
  sameScope,
  unreadablePause,
} from "./pause.ts";
import { syncFolder } from "./sync_folder.ts";

/**
 * Readable by others, where the folder lets them in: the daemon runs as another user than `sudo tightrope pause`, and the
 * file holds no secret.
 */
const mode = 0o644;

type ControlFiles = Pick<DataPaths, "directory" | "pauseFile" | "pauseLockFile" | "resumeFile">;

/** What a command did to the pauses. */
export interface PauseChange {
  readonly changed: boolean;
  /** Those that stand now. */
  readonly pauses: readonly Pause[];
}

/** Over what asking and paying are paused. A file that is there and can't be read pauses everything. */
export function readPauses({ pauseFile }: ControlFiles): readonly Pause[] {
  try {
    const { size } = Deno.statSync(pauseFile);
    return size > maxPauseFileBytes
      ? [unreadablePause("it is too long")]
      : decodePauses(Deno.readTextFileSync(pauseFile));
  } catch (error) {
    return error instanceof Deno.errors.NotFound ? [] : [unreadablePause(messageOf(error))];
  }
}

/**
 * `tightrope pause`, and the daemon itself when something contradicts its rules: a running daemon obeys within moments, and
 * one that starts later too. On the disk, for good, when this returns.
 * @throws {TightropeError} "permission" or "temporary" when the file can't be written
 */
export function addPause(paths: ControlFiles, pause: Pause): PauseChange {
  return changing(paths, "pause", () => {
    const pauses = readPauses(paths);
    const narrower = pause.scope.kind !== "all" && pauses.some(({ by }) => by === "unreadable");
    // Writing it anew would forget whatever the unreadable one was over.
    if (narrower || pauses.some(({ scope, by }) => by === pause.by && sameScope(scope, pause.scope))) {
      return { changed: false, pauses };
    }
    const after = [...pauses.filter(({ by }) => by !== "unreadable"), pause];
    write(paths, after);
    return { changed: true, pauses: after };
  });
}

/**
 * `tightrope resume`: ends one of the operator's pauses. Of everything, it ends all of them and the breaker, and tells a
 * running daemon that the operator has looked, which also ends what it stopped by itself for one node.
 * @throws {TightropeError} "permission" or "temporary" when the files can't be changed
 */
export function removePause(paths: ControlFiles, scope: PauseScope): PauseChange {
  return changing(paths, "resume", () => {
    const pauses = readPauses(paths);
    if (scope.kind === "all") {
      removeFile(paths.pauseFile);
      Deno.writeTextFileSync(paths.resumeFile, "A running Tightrope removes this file and goes on.\n", { mode: 0o600 });
      syncFolder(paths.directory);
      return { changed: pauses.length > 0, pauses: [] };
    }
    const after = pauses.filter((pause) => pause.by !== "operator" || !sameScope(pause.scope, scope));
    if (after.length === pauses.length) return { changed: false, pauses };
    write(paths, after);
    return { changed: true, pauses: after };
  });
}

/** The daemon's end of `resume`: whether the operator has asked to go on since the last call. */
export function takeResume({ resumeFile }: ControlFiles): boolean {
  try {
    return removeFile(resumeFile);
  } catch (error) {
    throw cannot("resume: removing", resumeFile, error);
  }
}

/** One change at a time, whichever process makes it: a breaker that trips meanwhile must not be written over. */
function changing(paths: ControlFiles, what: string, change: () => PauseChange): PauseChange {
  const { directory, pauseFile, pauseLockFile } = paths;
  try {
    Deno.mkdirSync(directory, { recursive: true, mode: 0o700 });
    using lock = openLockFile(pauseLockFile);
    lock.lockSync(true);
    return change();
  } catch (error) {
    throw cannot(`${what}: writing`, pauseFile, error);
  }
}

function write({ directory, pauseFile }: ControlFiles, pauses: readonly Pause[]): void {
  if (pauses.length === 0) {
    removeFile(pauseFile);
  } else {
    const temporary = `${pauseFile}.new`;
    {
      using file = Deno.openSync(temporary, { write: true, create: true, truncate: true, mode });
      const bytes = new TextEncoder().encode(encodePauses(pauses));
      let at = 0;
      while (at < bytes.length) at += file.writeSync(bytes.subarray(at));
      file.syncSync();
    }
    // A reader finds the old file or the new one, and so does whoever starts after a power cut.
    Deno.renameSync(temporary, pauseFile);
  }
  syncFolder(directory);
}

/** @returns whether it was there */
function removeFile(path: string): boolean {
  try {
    Deno.removeSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function cannot(what: string, path: string, cause: unknown): TightropeError {
  const denied = cause instanceof Deno.errors.PermissionDenied || cause instanceof Deno.errors.NotCapable;
  return denied
    ? new TightropeError(
      "permission",
      `Cannot ${what} "${path}" is not permitted`,
      "Run this as the user that Tightrope runs as.",
      { cause },
    )
    : new TightropeError("temporary", `Cannot ${what} "${path}" failed: ${messageOf(cause)}`, "Check the disk.", {
      cause,
    });
}
