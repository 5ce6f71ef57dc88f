const BLOCK_BYTES = 16_384;
const NO_BLOCK = new Uint8Array(0);

/**
 * Delivered bytes that the reader hasn't taken, copied into blocks: their memory is then what the receive window counts,
 * however small the packets were that brought them.
 */
export class UnreadBytes {
  #full: Uint8Array[] = [];
  #block = NO_BLOCK;
  #used = 0;

  get empty(): boolean {
    return this.#full.length === 0 && this.#used === 0;
  }

  add(bytes: Uint8Array): void {
    while (bytes.length > 0) {
      if (this.#used === this.#block.length) this.#startBlock();
      const count = Math.min(bytes.length, this.#block.length - this.#used);
      this.#block.set(bytes.subarray(0, count), this.#used);
      this.#used += count;
      bytes = bytes.subarray(count);
    }
  }

  /** The oldest bytes, as many as lie together; null when there are none. */
  take(): Uint8Array | null {
    const full = this.#full.shift();
    if (full !== undefined) return full;
    if (this.#used === 0) return null;
    const rest = this.#block.subarray(0, this.#used);
    this.#block = NO_BLOCK;
    this.#used = 0;
    return rest;
  }

  #startBlock(): void {
    if (this.#used > 0) this.#full.push(this.#block);
    this.#block = new Uint8Array(BLOCK_BYTES);
    this.#used = 0;
  }
}
