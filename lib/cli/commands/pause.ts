import { messageOf, TightropeError } from "../../domain/errors.ts";

/**
 * `tightrope pause`: makes the control file that a running daemon obeys, and one that starts later too.
 * @param directory the data directory; made if it isn't there yet
 * @returns whether it is new
 * @throws {TightropeError} "permission" or "temporary" when the file can't be made
 */
export async function pause(directory: string, pauseFile: string): Promise<boolean> {
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
 * `tightrope resume`: removes the control file.
 * @returns whether there was one
 * @throws {TightropeError} "permission" or "temporary" when the file can't be removed
 */
export async function resume(pauseFile: string): Promise<boolean> {
  try {
    await Deno.remove(pauseFile);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw cannot("resume: removing", pauseFile, error);
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
