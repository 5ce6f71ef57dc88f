/** A disk of its own for one folder, which can be full or read-only; only root can have one. */
export class SmallDisk implements Disposable {
  readonly #folder: string;

  /** @param folder an empty one, or none yet */
  constructor(folder: string, kibibytes: number) {
    this.#folder = folder;
    Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
    const done = run("mount", "-t", "tmpfs", "-o", `size=${kibibytes}k,mode=700`, "tmpfs", folder);
    if (!done) throw new Error(`nothing could be mounted at ${folder}`);
  }

  get #ballast(): string {
    return `${this.#folder}/ballast`;
  }

  /** Fills it up but for so many blocks. */
  fill(freeBlocks = 0): void {
    this.clear();
    using file = Deno.openSync(this.#ballast, { create: true, write: true });
    let size = 0;
    try {
      for (const block = new Uint8Array(blockBytes);; size += blockBytes) file.writeSync(block);
    } catch (error) {
      if ((error as { code?: unknown }).code !== "ENOSPC") throw error;
    }
    file.truncateSync(Math.max(0, size - freeBlocks * blockBytes));
  }

  clear(): void {
    try {
      Deno.removeSync(this.#ballast);
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  /** Nothing may be open for writing. */
  setReadOnly(readOnly: boolean): void {
    const done = run("mount", "-o", `remount,${readOnly ? "ro" : "rw"}`, this.#folder);
    if (!done) throw new Error(`${this.#folder} couldn't be mounted anew`);
  }

  [Symbol.dispose](): void {
    run("umount", "-l", this.#folder);
  }
}

/** What tmpfs gives out at once. */
const blockBytes = 4_096;

/** Whether this process may mount a disk. Without that right, tests that need one can't be run. */
export function canMount(): boolean {
  if (Deno.build.os !== "linux") return false;
  const folder = Deno.makeTempDirSync();
  try {
    return run("mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", folder) && run("umount", folder);
  } finally {
    Deno.removeSync(folder);
  }
}

function run(command: string, ...args: string[]): boolean {
  try {
    return new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr: "null" }).outputSync().success;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
