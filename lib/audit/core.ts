import Hypercore from "hypercore";
import { messageOf } from "../domain/errors.ts";
import type { LogHead } from "./audit_sink.ts";
import { DamagedLogError } from "./damaged_log.ts";
import { fileTrouble } from "./file_trouble.ts";
import type { HypercoreConstructor, HypercoreInstance, KeyPair } from "./hypercore_types.ts";
import { type Access, CoreStorage } from "./storage.ts";

/** How many blocks are read at once. */
const readAhead = 64;

/** One Hypercore on its files. */
export class Core {
  readonly #core: HypercoreInstance;
  readonly #storage: CoreStorage;

  private constructor(core: HypercoreInstance, storage: CoreStorage) {
    this.#core = core;
    this.#storage = storage;
  }

  /**
   * @param key the public key; `null` takes whatever is there
   * @throws TightropeError if a file can't be opened or read; else whatever Hypercore says
   */
  static async open(folder: string, access: Access, key: Uint8Array | null): Promise<Core> {
    const storage = new CoreStorage(folder, access);
    const core = new (Hypercore as unknown as HypercoreConstructor)(
      storage.file,
      key,
      { compat: true, wait: false, ...(access === "write" ? {} : { createIfMissing: false, unlocked: true }) },
    );
    try {
      await core.ready();
      if (storage.trouble !== undefined) throw storage.trouble;
    } catch (error) {
      await core.close().catch(() => {});
      throw storage.trouble ?? error;
    }
    // Whoever only appends has every block; so what a damaged bitfield doesn't know of that is known. Reading tells the rest.
    const { bitfield } = core.core;
    const missing = bitfield.firstUnset(0);
    if (missing < core.length) bitfield.setRange(missing, core.length - missing, true);
    return new Core(core, storage);
  }

  get length(): number {
    return this.#core.length;
  }

  /** In hex. */
  get publicKey(): string {
    return this.#core.key.toHex();
  }

  /** Where it stands, or stood at a length. */
  async head(length = this.length): Promise<LogHead> {
    return { length, treeHash: (await this.#core.treeHash(length)).toHex() };
  }

  /** @returns the new length */
  async append(blocks: readonly Uint8Array[], keyPair: KeyPair): Promise<number> {
    return (await this.#core.append(blocks, { keyPair })).length;
  }

  /**
   * Blocks `from` to `end` (excluded), oldest first, each checked against the Merkle tree: Hypercore checks what comes from
   * peers, but not what comes from the disk, and a flipped bit in an amount would still be valid JSON.
   */
  async *read(from: number, end: number): AsyncGenerator<Uint8Array> {
    for (let start = from; start < end; start += readAhead) {
      const indexes = Array.from({ length: Math.min(readAhead, end - start) }, (_, i) => start + i);
      for (const block of await Promise.allSettled(indexes.map((index) => this.#block(index)))) {
        // Those before a damaged one are given all the same.
        if (block.status === "rejected") throw block.reason;
        yield block.value;
      }
    }
  }

  async #block(index: number): Promise<Uint8Array> {
    const { folder } = this.#storage;
    let block: Uint8Array | null;
    let leaf: { readonly hash: Uint8Array };
    try {
      [block, leaf] = await Promise.all([this.#core.get(index), this.#core.core.tree.get(2 * index)]);
    } catch (error) {
      throw this.#storage.trouble ?? fileTrouble(`read the log "${folder}"`, error) ??
        new DamagedLogError(`Record ${index} of the log "${folder}" can't be read: ${messageOf(error)}`, {
          cause: error,
        });
    }
    if (block === null || !this.#core.crypto.data(block).every((byte, i) => byte === leaf.hash[i])) {
      throw new DamagedLogError(`Record ${index} of the log "${folder}" is damaged on the disk`);
    }
    return block;
  }

  /** Gives up the lock, too. */
  async close(): Promise<void> {
    await this.#core.close();
  }
}
