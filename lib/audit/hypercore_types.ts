/**
 * What this program uses of Hypercore 10 and random-access-storage 3, which come without types.
 */

/** An operation that a storage is asked for; `callback` reports its end. */
export interface StorageRequest {
  readonly offset: number;
  readonly size: number;
  readonly data: Uint8Array | null;
  callback(error: unknown, value?: unknown): void;
}

/** Queues operations and opens the file before the first, and again before the first that writes. */
export type StorageBaseConstructor = new () => {
  /** Whether a write was ever asked for. */
  readonly writing: boolean;
};

export interface KeyPair {
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
}

export interface HypercoreOptions {
  /** The key is the public key itself, so that no manifest is needed to verify the log. */
  readonly compat?: boolean;
  readonly createIfMissing?: boolean;
  /** Read beside the writer: writes nothing. */
  readonly unlocked?: boolean;
  /** false: a block that isn't here is an error at once; there are no peers to wait for. */
  readonly wait: boolean;
}

export interface HypercoreInstance {
  /** The public key, once ready. */
  readonly key: Uint8Array;
  readonly length: number;
  readonly byteLength: number;
  ready(): Promise<void>;
  /** The new length. */
  append(blocks: readonly Uint8Array[], options: { keyPair: KeyPair }): Promise<{ length: number }>;
  get(index: number): Promise<Uint8Array | null>;
  treeHash(length?: number): Promise<Uint8Array>;
  readonly crypto: {
    /** The hash of a block as a leaf of the Merkle tree. */
    data(block: Uint8Array): Uint8Array;
  };
  readonly core: {
    /** Leaf `i` of the Merkle tree is node `2 * i`. */
    readonly tree: { get(node: number): Promise<{ readonly hash: Uint8Array }> };
    /** Which blocks are here. */
    readonly bitfield: {
      firstUnset(from: number): number;
      setRange(from: number, length: number, here: boolean): void;
    };
  };
  close(): Promise<void>;
}

export type HypercoreConstructor = new (
  storage: (name: string) => unknown,
  key: Uint8Array | null,
  options: HypercoreOptions,
) => HypercoreInstance;
