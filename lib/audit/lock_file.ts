/**
 * Opens a file whose only use is its lock. Whoever may read it can take the lock: root may have made the file
 * (`sudo tightrope pause`), and the daemon has to get along with it.
 */
export function openLockFile(path: string): Deno.FsFile {
  try {
    return Deno.openSync(path, { read: true });
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
    return Deno.openSync(path, { read: true, write: true, create: true, mode: 0o644 });
  }
}
