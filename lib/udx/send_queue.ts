/** Bytes waiting to be put into packets: the writer's own chunks, taken apart only when a packet is built. */
export class SendQueue {
  #chunks: Uint8Array[] = [];
  #head = 0;
  #offset = 0;
  /** Bytes not yet taken. */
  bytes = 0;

  push(chunk: Uint8Array): void {
    if (chunk.length === 0) return;
    this.#chunks.push(chunk);
    this.bytes += chunk.length;
  }

  /** Moves the next `count` bytes (no more than there are) to `into` at `at`. */
  take(count: number, into: Uint8Array, at: number): void {
    this.bytes -= count;
    while (count > 0) {
      const chunk = this.#chunks[this.#head]!;
      const take = Math.min(count, chunk.length - this.#offset);
      into.set(
        take === chunk.length ? chunk : chunk.subarray(this.#offset, this.#offset + take),
        at,
      );
      at += take;
      count -= take;
      this.#offset += take;
      if (this.#offset === chunk.length) this.#dropHead();
    }
  }

  #dropHead(): void {
    this.#offset = 0;
    this.#head++;
    if (this.#head === this.#chunks.length) {
      this.#chunks = [];
      this.#head = 0;
    } else if (this.#head >= 64 && this.#head * 2 > this.#chunks.length) {
      this.#chunks = this.#chunks.slice(this.#head);
      this.#head = 0;
    }
  }

  clear(): void {
    this.#chunks = [];
    this.#head = 0;
    this.#offset = 0;
    this.bytes = 0;
  }
}
