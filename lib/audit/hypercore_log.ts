import Hypercore from "hypercore";
import sodium from "sodium-universal";
import { InvariantError, messageOf, TightropeError } from "../domain/errors.ts";
import type { LogHead } from "./audit_sink.ts";
import { decodeMarks, encodeMark, slotBytes } from "./high_water_mark.ts";
import type { HypercoreConstructor, HypercoreInstance, KeyPair } from "./hypercore_types.ts";
import { type Access, CoreStorage } from "./storage.ts";
import { syncFolder } from "./sync_folder.ts";

/** Bounds of one atomic batch: what waits beyond them goes into the next. */
const maxBatchRecords = 1_000;
const maxBatchBytes = 1024 * 1024;

/** How many blocks are read at once. */
const readAhead = 64;

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

/** Opens a core's files. `null` takes whatever key is there. */
export async function openCore(folder: string, access: Access, key: Uint8Array | null): Promise<HypercoreInstance> {
  const core = new (Hypercore as unknown as HypercoreConstructor)(
    new CoreStorage(folder, access).file,
    key,
    { compat: true, wait: false, ...(access === "write" ? {} : { createIfMissing: false, unlocked: true }) },
  );
  try {
    await core.ready();
  } catch (error) {
    await core.close().catch(() => {});
    throw error;
  }
  return core;
}

/**
 * Blocks `from` to `end` (excluded), oldest first, each checked against the Merkle tree: Hypercore checks what comes from
 * peers, but not what comes from the disk, and a flipped bit in an amount would still be valid JSON.
 */
export async function* readBlocks(core: HypercoreInstance, from: number, end: number): AsyncGenerator<Uint8Array> {
  for (let start = from; start < end; start += readAhead) {
    const indexes = Array.from({ length: Math.min(readAhead, end - start) }, (_, i) => start + i);
    yield* await Promise.all(indexes.map((index) => readBlock(core, index)));
  }
}

async function readBlock(core: HypercoreInstance, index: number): Promise<Uint8Array> {
  const [block, leaf] = await Promise.all([core.get(index), core.core.tree.get(2 * index)]);
  if (block === null || !core.crypto.data(block).every((byte, i) => byte === leaf.hash[i])) {
    throw new TightropeError(
      "config",
      `Record ${index} of the log is damaged on the disk`,
      "Restore the data directory from a backup; what was paid since is read from the Lightning node",
    );
  }
  return block;
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
  readonly #core: HypercoreInstance;
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

  private constructor(core: HypercoreInstance, keyPair: KeyPair, mark: Deno.FsFile, head: LogHead, gatherMs: number) {
    this.publicKey = keyPair.publicKey.toHex();
    this.#core = core;
    this.#keyPair = keyPair;
    this.#mark = mark;
    this.#head = head;
    this.#gatherMs = gatherMs;
  }

  /**
   * Opens the log in `folder`, or begins one. The high-water mark lies beside the folder as `<folder>.mark`.
   * @param keySeed 32 bytes that the log's key pair is made of; the secret key never reaches the disk
   * @throws TightropeError if another process writes the log, it belongs to another seed, is damaged, or is shorter or
   *   another than the mark says
   */
  static async open(folder: string, keySeed: Uint8Array, options: LogOptions = {}): Promise<HypercoreLog> {
    Deno.mkdirSync(folder, { recursive: true, mode: 0o700 });
    const keyPair = keyPairFromSeed(keySeed);
    let core: HypercoreInstance;
    try {
      core = await openCore(folder, "write", keyPair.publicKey);
    } catch (error) {
      throw asOpenError(folder, error);
    }
    try {
      const head = await headOf(core);
      const markPath = `${folder}.mark`;
      await checkAgainstMark(core, head, markPath);
      const mark = Deno.openSync(markPath, { read: true, write: true, create: true, mode: 0o600 });
      syncFolder(folder.replace(/[/\\][^/\\]+$/, ""));
      const log = new HypercoreLog(core, keyPair, mark, head, options.gatherMs ?? 0);
      // Both slots agree with the log from here on, whatever they held.
      log.#writeMark();
      log.#writeMark();
      return log;
    } catch (error) {
      await core.close();
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
    yield* readBlocks(this.#core, from, this.#head.length);
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
    const { length } = await this.#core.append(blocks, { keyPair: this.#keyPair });
    if (length !== expected) throw new InvariantError(`the log has ${length} records, not ${expected}`);
    this.#head = await headOf(this.#core);
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

async function headOf(core: HypercoreInstance, length = core.length): Promise<LogHead> {
  return { length, treeHash: (await core.treeHash(length)).toHex() };
}

async function checkAgainstMark(core: HypercoreInstance, head: LogHead, markPath: string): Promise<void> {
  let bytes: Uint8Array;
  try {
    bytes = Deno.readFileSync(markPath);
  } catch (error) {
    // A new log, or an operator who took the mark away because the loss is accepted.
    if (error instanceof Deno.errors.NotFound) return;
    throw error;
  }
  const mark = decodeMarks(bytes);
  // Neither slot whole: cut off while the very first was written.
  if (mark === undefined) return;
  const remedy =
    `Restore the data directory from a backup that is whole. To go on with what is left, delete "${markPath}": ` +
    "payments missing in the log are then read from the Lightning node and count as spent";
  if (head.length < mark.length) {
    throw new TightropeError(
      "config",
      `The log beside "${markPath}" is damaged or was restored from an old backup: it has ${head.length} records, but had ${mark.length}`,
      remedy,
    );
  }
  const { treeHash } = await headOf(core, mark.length);
  if (treeHash !== mark.treeHash) {
    throw new TightropeError(
      "config",
      `The log beside "${markPath}" is not the one that was written here: its first ${mark.length} records differ`,
      remedy,
    );
  }
}

function asOpenError(folder: string, error: unknown): unknown {
  if (error instanceof TightropeError) return error;
  if (error instanceof Deno.errors.PermissionDenied) {
    return new TightropeError(
      "permission",
      `Cannot open the log "${folder}": ${error.message}`,
      "Let the user that runs Tightrope read and write the data directory",
      { cause: error },
    );
  }
  if ((error as { code?: unknown }).code === "STORAGE_CONFLICT") {
    return new TightropeError(
      "config",
      `The log "${folder}" was begun with another seed file`,
      "Put back the seed file that belongs to this data directory, or move the log away to begin a new one",
      { cause: error },
    );
  }
  return new TightropeError(
    "config",
    `Cannot open the log "${folder}": ${messageOf(error)}`,
    "Restore the data directory from a backup, or move the log away to begin a new one",
    { cause: error },
  );
}

function asAppendError(error: unknown): TightropeError {
  return new TightropeError(
    "temporary",
    `Cannot write to the log: ${messageOf(error)}`,
    "Check the disk's space and health, then start Tightrope again: it finds out what was written",
    { cause: error },
  );
}
