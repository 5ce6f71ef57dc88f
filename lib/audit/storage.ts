import RandomAccessStorage from "random-access-storage";
import { messageOf, TightropeError } from "../domain/errors.ts";
import { fileTrouble } from "./file_trouble.ts";
import type { StorageBaseConstructor, StorageRequest } from "./hypercore_types.ts";
import { syncFolder } from "./sync_folder.ts";

const StorageBase = RandomAccessStorage as unknown as StorageBaseConstructor;

/** Hypercore's write-ahead log: what it holds decides what the core holds. */
const oplogName = "oplog";

const ownerOnly = 0o600;

/** How a core's files are opened: the one writer, or a reader that may run beside it in another process. */
export type Access = "write" | "read";

/**
 * The files of one Hypercore, made durable by one rule.
 *
 * Hypercore 10 never syncs, and syncing its oplog alone is no better: after a power cut the oplog can tell of blocks that
 * never reached the disk. So on every write to the oplog: first sync every other file that changed (and the folder, if a
 * file is new), then write, then sync the oplog, and only then say that it is done.
 *
 * A failed write or sync leaves unknown what is on the disk, so all later ones fail too: close, open again, read the length.
 */
export class CoreStorage {
  readonly folder: string;
  readonly access: Access;
  readonly #files = new Map<string, CoreFile>();
  #folderChanged = false;
  #failure: { readonly error: unknown } | undefined;
  #trouble: TightropeError | undefined;

  constructor(folder: string, access: Access) {
    this.folder = folder;
    this.access = access;
  }

  /** What Hypercore's constructor takes: opens one of the core's files by name. */
  readonly file = (name: string): CoreFile => {
    const file = new CoreFile(this, name);
    this.#files.set(name, file);
    return file;
  };

  /** What kept a file from being opened or read, if anything did: Hypercore takes some of its files for empty ones then. */
  get trouble(): TightropeError | undefined {
    return this.#trouble;
  }

  noteTrouble(path: string, error: unknown): void {
    this.#trouble ??= fileTrouble(`use "${path}"`, error);
  }

  folderChanged(): void {
    this.#folderChanged = true;
  }

  /** Runs a change unless one failed before; remembers if this one does. */
  async change(run: () => void | Promise<void>): Promise<void> {
    if (this.#failure !== undefined) throw this.#failure.error;
    try {
      await run();
    } catch (error) {
      this.#failure = { error };
      throw error;
    }
  }

  /** Whatever the next oplog entry relies on, onto the disk. */
  async syncAllBut(oplog: CoreFile): Promise<void> {
    await Promise.all([...this.#files.values()].filter((file) => file !== oplog).map((file) => file.sync()));
    if (this.#folderChanged) {
      this.#folderChanged = false;
      syncFolder(this.folder);
    }
  }
}

/** One file, as random-access-storage asks for it. Reads and writes are synchronous: fastest, and in need of no queue. */
class CoreFile extends StorageBase {
  readonly #storage: CoreStorage;
  readonly #path: string;
  readonly #isOplog: boolean;
  #file: Deno.FsFile | undefined;
  #isLocked = false;
  #dirty = false;

  constructor(storage: CoreStorage, name: string) {
    super();
    this.#storage = storage;
    this.#path = `${storage.folder}/${name}`;
    this.#isOplog = name === oplogName;
  }

  /** Syncs if something was written since the last time. */
  async sync(): Promise<void> {
    if (!this.#dirty || this.#file === undefined) return;
    // Cleared first: what is written while the disk works has to be synced again.
    this.#dirty = false;
    await this.#file.syncData();
  }

  _open(request: StorageRequest): void {
    this.#answer(request, () => {
      const file = this.#openFile();
      if (this.#isOplog && this.#storage.access === "write" && !file.tryLockSync(true)) {
        file.close();
        throw new LogInUseError(`The log ${this.#storage.folder}`);
      }
      this.#isLocked = this.#isOplog && this.#storage.access === "write";
      this.#file = file;
    });
  }

  #openFile(): Deno.FsFile {
    if (this.#storage.access === "read") return Deno.openSync(this.#path, { read: true });
    try {
      return Deno.openSync(this.#path, { read: true, write: true });
    } catch (error) {
      // Hypercore reads first, to find out whether there is a core; only its first write may create one.
      if (!(error instanceof Deno.errors.NotFound) || !this.writing) throw error;
      this.#storage.folderChanged();
      return Deno.openSync(this.#path, { read: true, write: true, create: true, mode: ownerOnly });
    }
  }

  _stat(request: StorageRequest): void {
    // By its end: asking the open file for its state takes the right to the real path, which a symbolic link hides.
    this.#answer(request, () => ({ size: this.#opened().seekSync(0, Deno.SeekMode.End) }));
  }

  _read(request: StorageRequest): void {
    this.#answer(request, () => {
      const file = this.#opened();
      const bytes = new Uint8Array(request.size);
      file.seekSync(request.offset, Deno.SeekMode.Start);
      let at = 0;
      while (at < bytes.length) {
        const count = file.readSync(bytes.subarray(at));
        if (count === null || count === 0) {
          throw new Error(`${this.#path} ends at ${request.offset + at}, read up to ${request.offset + request.size}`);
        }
        at += count;
      }
      // Hypercore's code expects Buffer's methods on what it reads.
      return Buffer.from(bytes.buffer);
    });
  }

  _write(request: StorageRequest): void {
    answerLater(request, async () => {
      await this.#storage.change(async () => {
        if (this.#isOplog) await this.#storage.syncAllBut(this);
        this.#writeAll(request.offset, request.data!);
        if (this.#isOplog) await this.sync();
      });
    });
  }

  #writeAll(offset: number, data: Uint8Array): void {
    const file = this.#opened();
    this.#dirty = true;
    file.seekSync(offset, Deno.SeekMode.Start);
    let at = 0;
    while (at < data.length) at += file.writeSync(data.subarray(at));
  }

  _truncate(request: StorageRequest): void {
    answerLater(request, () =>
      this.#storage.change(() => {
        this.#dirty = true;
        this.#opened().truncateSync(request.offset);
      }));
  }

  _close(request: StorageRequest): void {
    answerLater(request, async () => {
      try {
        await this.sync();
      } finally {
        // Closing the file gives up the lock, too, but not while a process that was just begun still shares the file.
        if (this.#isLocked) this.#file?.unlockSync();
        this.#file?.close();
        this.#file = undefined;
      }
    });
  }

  #answer(request: StorageRequest, run: () => unknown): void {
    let value: unknown;
    try {
      value = run();
    } catch (error) {
      this.#storage.noteTrouble(this.#path, error);
      request.callback(asStorageError(error));
      return;
    }
    request.callback(null, value);
  }

  #opened(): Deno.FsFile {
    if (this.#file === undefined) throw new Error(`${this.#path} is not open`);
    return this.#file;
  }
}

function answerLater(request: StorageRequest, run: () => Promise<void>): void {
  run().then(() => request.callback(null), (error) => request.callback(asStorageError(error)));
}

/** Hypercore tells a missing file from a broken one by `code`. */
function asStorageError(error: unknown): unknown {
  if (!(error instanceof Deno.errors.NotFound)) return error;
  return Object.assign(new Error(messageOf(error), { cause: error }), { code: "ENOENT" });
}

/** Another process writes the log or opens its directory: a running daemon, or a repair. */
export class LogInUseError extends TightropeError {
  constructor(what: string) {
    super(
      "temporary",
      `${what} is in use by another process`,
      "Stop the other Tightrope first, or give this one a storage path of its own (audit.storage.path)",
    );
  }
}
