import type { DataPaths } from "../config/data_paths.ts";
import { messageOf, TightropeError } from "../domain/errors.ts";

type ControlFiles = Pick<DataPaths, "directory" | "pauseFile" | "resumeFile">;

/** Whether asking and paying are paused. */
export function isPaused({ pauseFile }: ControlFiles): boolean {
  try {
    Deno.statSync(pauseFile);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw cannot("tell whether it is paused: looking at", pauseFile, error);
  }
}

/**
 * `tightrope pause`, and the daemon itself when something contradicts its rules: makes the file that a running daemon
 * obeys, and one that starts later too.
 * @returns whether it is new
 * @throws {TightropeError} "permission" or "temporary" when the file can't be made
 */
export async function pause({ directory, pauseFile }: ControlFiles): Promise<boolean> {
  try {
    await Deno.mkdir(directory, { recursive: true, mode: 0o700 });
    await Deno.writeTextFile(pauseFile, "Tightrope neither asks nor pays while this file exists.\n", {
      createNew: true,
      mode: 0o600,
    });
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.AlreadyExists) return false;
    throw cannot("pause: writing", pauseFile, error);
  }
}

/**
 * `tightrope resume`: ends the pause, and tells a running daemon that the operator has looked, which also ends what it
 * stopped by itself for one node.
 * @returns whether it was paused
 * @throws {TightropeError} "permission" or "temporary" when the files can't be changed
 */
export async function resume({ directory, pauseFile, resumeFile }: ControlFiles): Promise<boolean> {
  const paused = await remove(pauseFile);
  try {
    await Deno.mkdir(directory, { recursive: true, mode: 0o700 });
    await Deno.writeTextFile(resumeFile, "A running Tightrope removes this file and goes on.\n", { mode: 0o600 });
  } catch (error) {
    throw cannot("resume: writing", resumeFile, error);
  }
  return paused;
}

/** The daemon's end of `resume`: whether the operator has asked to go on since the last call. */
export function takeResume({ resumeFile }: ControlFiles): Promise<boolean> {
  return remove(resumeFile);
}

async function remove(path: string): Promise<boolean> {
  try {
    await Deno.remove(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw cannot("resume: removing", path, error);
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
