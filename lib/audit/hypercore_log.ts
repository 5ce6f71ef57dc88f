import sodium from "sodium-universal";
import { InvariantError, messageOf, TightropeError } from "../domain/errors.ts";
import { Core } from "./core.ts";
import { asOpenError, DamagedLogError } from "./damaged_log.ts";
import { fileTrouble } from "./file_trouble.ts";
import type { LogHead } from "./audit_sink.ts";
import { encodeMark, slotBytes } from "./high_water_mark.ts";
import type { KeyPair } from "./hypercore_types.ts";
import { checkAgainstMark, markPathOf, readMark } from "./mark_file.ts";
import { syncFolder } from "./sync_folder.ts";

/** Bounds of one atomic batch: what waits beyond them goes into the next. */
const maxBatchRecords = 1_000;
const maxBatchBytes = 1024 * 1024;

/** How many appends may wait. Callers wait for theirs, so only a flood gets here. */
const maxWaiting = 100_000;

export interface LogOptions {
  /**
   * How long a write waits for more records to take along, in milliseconds; 0 (the default): not at all. A log that nothing
   * waits for leaves the disk to the one that money waits for.
   */
  readonly gatherMs?: number;
}

/** An ed25519 key pair from 32 secret bytes. */
export function keyPairFromSeed(seed: Uint8Array): KeyPair {
  const publicKey = Buffer.alloc(32);
  const secretKey = Buffer.alloc(64);
  sodium.crypto_sign_seed_keypair(publicKey, secretKey, seed);
  return { publicKey, secretKey };
}

interface Waiting {
  readonly block: Uint8Array;
  readonly resolve: (head: LogHead) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * One append-only log in a folder of its own, with this process as its only writer.
 *
 * Appends that wait are written as one atomic batch; each resolves when it is on the disk. After any failed append
 * the log takes no more: the record may have gone in, which only opening it again can tell.
 */
export class HypercoreLog {
  readonly publicKey: string;
  readonly #core: Core;
  readonly #keyPair: KeyPair;
  readonly #mark: Deno.FsFile;
  readonly #gatherMs: number;
  #head: LogHead;
  #markSlot = 0;
  #waiting: Waiting[] = [];
  #writing: Promise<void> | undefined;
  #failure: { readonly error: unknown } | undefined;
  #closing = false;
  #endGathering: () => void = () => {};

  private constructor(
    core: Core,
    keyPair: KeyPair,
    mark: Deno.FsFile,
    head: LogHead,
    gatherMs: number,
  ) {
    this.publicKey = keyPair.publicKey.toHex();
    this.#core = core;
    this.#keyPair = keyPair;
    this.#mark = mark;
    this.#head = head;
    this.#gatherMs = gatherMs;
  }

  /**
   * Opens the log in `folder`, or begins one. The high-water mark lies beside the folder as `<folder>.mark`.
   * @param keySeeds 32 bytes that the log's key pair is made of, or several of which one fits; a new log is begun with the
   *   first. The secret key never reaches the disk
   * @throws TightropeError if another process writes the log or it belongs to another seed; {@link DamagedLogError} if it
   *   is damaged, or shorter or another than the mark says
   */
  static async open(
    folder: string,
    keySeeds: Uint8Array | readonly Uint8Array[],
    options: LogOptions = {},
  ): Promise<HypercoreLog> {
    try {
      return await HypercoreLog.#open(folder, keySeeds, options);
    } catch (error) {
      throw asOpenError(folder, error);
    }
  }

  static async #open(
    folder: string,
    keySeeds: Uint8Array | readonly Uint8Array[],
    options: LogOptions,
  ): Promise<HypercoreLog> {
    const mark = readMark(folder);
    Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
    const { core, keyPair } = await openWithAny(folder, keySeeds instanceof Uint8Array ? [keySeeds] : keySeeds);
    let markFile: Deno.FsFile | undefined;
    try {
      const head = await core.head();
      await checkAgainstMark(core, mark, folder);
      markFile = Deno.openSync(markPathOf(folder), { read: true, write: true, create: true, mode: 0o600 });
      syncFolder(folder.replace(/[/\\][^/\\]+$/, ""));
      const log = new HypercoreLog(core, keyPair, markFile, head, options.gatherMs ?? 0);
      // Both slots agree with the log from here on, whatever they held, and from the first record on there is a mark.
      log.#writeMark();
      log.#writeMark();
      markFile.syncDataSync();
      return log;
    } catch (error) {
      markFile?.close();
      // On a full disk this fails as well; what matters is why.
      await core.close().catch(() => {});
      throw error;
    }
  }

  /** Where the log stands on the disk. */
  get head(): LogHead {
    return this.#head;
  }

  /** Resolves when the block is on the disk, with the log's head by then. Blocks of one caller stay in order. */
  append(block: Uint8Array): Promise<LogHead> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    if (this.#closing) return Promise.reject(new InvariantError("append to a log that is being closed"));
    if (this.#waiting.length >= maxWaiting) {
      return Promise.reject(new InvariantError(`more than ${maxWaiting} records wait to be written`));
    }
    const { promise, resolve, reject } = Promise.withResolvers<LogHead>();
    this.#waiting.push({ block, resolve, reject });
    this.#writing ??= this.#writeAll();
    return promise;
  }

  /** The blocks from index `from` up to the head as it is now, oldest first. */
  async *read(from = 0): AsyncGenerator<Uint8Array> {
    yield* this.#core.read(from, this.#head.length);
  }

  /** Writes what waits, then closes the files and gives up the lock. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    this.#endGathering();
    await this.#writing;
    try {
      await this.#core.close();
      this.#mark.syncDataSync();
    } finally {
      this.#mark.close();
    }
  }

  async #writeAll(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#gather();
      const batch = this.#takeBatch();
      try {
        await this.#writeBatch(batch.map(({ block }) => block));
      } catch (error) {
        const failure = asAppendError(error);
        this.#failure = { error: failure };
        for (const { reject } of [...batch, ...this.#waiting]) reject(failure);
        this.#waiting = [];
        break;
      }
      for (const { resolve } of batch) resolve(this.#head);
    }
    this.#writing = undefined;
  }

  async #gather(): Promise<void> {
    if (this.#gatherMs === 0 || this.#closing) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, this.#gatherMs);
      this.#endGathering = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #takeBatch(): Waiting[] {
    let bytes = 0;
    let count = 0;
    while (count < Math.min(this.#waiting.length, maxBatchRecords)) {
      bytes += this.#waiting[count]!.block.byteLength;
      if (count > 0 && bytes > maxBatchBytes) break;
      count++;
    }
    return this.#waiting.splice(0, count);
  }

  async #writeBatch(blocks: readonly Uint8Array[]): Promise<void> {
    const expected = this.#head.length + blocks.length;
    const length = await this.#core.append(blocks, this.#keyPair);
    if (length !== expected) throw new InvariantError(`the log has ${length} records, not ${expected}`);
    this.#head = await this.#core.head();
    this.#writeMark();
  }

  #writeMark(): void {
    const slot = encodeMark(this.#head);
    this.#mark.seekSync(this.#markSlot * slotBytes, Deno.SeekMode.Start);
    let at = 0;
    while (at < slot.length) at += this.#mark.writeSync(slot.subarray(at));
    this.#markSlot = 1 - this.#markSlot;
  }
}

/** The log of the first seed that it was begun with. */
async function openWithAny(
  folder: string,
  keySeeds: readonly Uint8Array[],
): Promise<{ core: Core; keyPair: KeyPair }> {
  let conflict: unknown;
  for (const keySeed of keySeeds) {
    const keyPair = keyPairFromSeed(keySeed);
    try {
      return { core: await Core.open(folder, "write", keyPair.publicKey), keyPair };
    } catch (error) {
      if ((error as { code?: unknown }).code !== "STORAGE_CONFLICT") throw asOpenError(folder, error);
      conflict = error;
    }
  }
  throw new DamagedLogError(`The log "${folder}" was begun with another seed file`, {
    cause: conflict,
    remedy:
      "Put back the seed file that belongs to this data directory. If it is lost, stop Tightrope and run `tightrope " +
      "repair` with the same --config: it begins a new log with what this one holds",
  });
}

function asAppendError(error: unknown): TightropeError {
  return fileTrouble("write to the log", error) ?? new TightropeError(
    "temporary",
    `Cannot write to the log: ${messageOf(error)}`,
    "Check the disk's health, then start Tightrope again: it finds out what was written",
    { cause: error },
  );
}
