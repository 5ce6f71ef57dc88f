import { DATA, END, MAX_SACK_BLOCKS, type Packet, seqAdd, seqDiff } from "./packet.ts";

/** How far ahead of the next expected number a packet may be, as far as libudx looks when it writes SACK blocks. */
const MAX_AHEAD = 65_536;
/** Bounds the bookkeeping when the early packets are tiny. */
const MAX_EARLY_PACKETS = 16_384;

/** Of too many SACK blocks so many are the lowest ones, the others the highest. */
const LOWEST_SACK_BLOCKS = 10;

interface Early {
  readonly type: number;
  readonly payload: Uint8Array;
}

/** What `ReceiveBuffer.accept` did with a packet. */
export type Acceptance = "in-order" | "early" | "duplicate" | "no-room";

/**
 * Puts arriving packets into order. Holds those that came early, and counts what the reader has not taken, which
 * together must stay within the window that was advertised.
 */
export class ReceiveBuffer {
  /** The next number expected: the `ack` of packets sent. */
  next: number;
  /** The other side has sent END and everything before it has arrived. */
  ended = false;
  readonly #maxBytes: number;
  readonly #early = new Map<number, Early>();
  #earlyBytes = 0;
  #earlyEnd = 0;
  #unreadBytes = 0;

  constructor(next: number, maxBytes: number) {
    this.next = next;
    this.#maxBytes = maxBytes;
    this.#earlyEnd = next;
  }

  get hasGaps(): boolean {
    return this.#early.size > 0;
  }

  get freeBytes(): number {
    return Math.max(this.#maxBytes - this.#unreadBytes - this.#earlyBytes, 0);
  }

  get maxBytes(): number {
    return this.#maxBytes;
  }

  /** The reader took bytes that were delivered. */
  consumed(bytes: number): void {
    this.#unreadBytes -= bytes;
  }

  /** Takes a DATA or END packet whose number isn't behind `next`; `deliver` gets payloads in order. */
  accept(packet: Packet, deliver: (payload: Uint8Array) => void): Acceptance {
    if (this.ended) return "duplicate";
    const ahead = seqDiff(packet.seq, this.next);
    if (ahead > 0) return this.#hold(packet, ahead);
    // Early packets don't count here: the one that closes the gap must get in, or nothing ever would.
    if (this.#unreadBytes >= this.#maxBytes) return "no-room";
    this.#take(packet.type, packet.payload, deliver);
    while (this.#early.size > 0 && !this.ended) {
      const early = this.#early.get(this.next);
      if (early === undefined) break;
      this.#early.delete(this.next);
      this.#earlyBytes -= early.payload.length;
      this.#take(early.type, early.payload, deliver);
    }
    return "in-order";
  }

  #take(type: number, payload: Uint8Array, deliver: (payload: Uint8Array) => void): void {
    this.next = seqAdd(this.next, 1);
    if ((type & DATA) !== 0 && payload.length > 0) {
      this.#unreadBytes += payload.length;
      deliver(payload);
    }
    if ((type & END) !== 0) {
      this.ended = true;
      this.clear();
    }
  }

  #hold(packet: Packet, ahead: number): Acceptance {
    if (this.#early.has(packet.seq)) return "duplicate";
    const payload = (packet.type & DATA) === 0 ? packet.payload.subarray(0, 0) : packet.payload;
    if (ahead >= MAX_AHEAD || this.#early.size >= MAX_EARLY_PACKETS || payload.length > this.freeBytes) {
      return "no-room";
    }
    // A copy: the view would keep the whole receive slab alive, and with it whatever else arrived meanwhile.
    this.#early.set(packet.seq, { type: packet.type, payload: payload.slice() });
    this.#earlyBytes += payload.length;
    if (this.#early.size === 1 || seqDiff(packet.seq, this.#earlyEnd) >= 0) this.#earlyEnd = seqAdd(packet.seq, 1);
    return "early";
  }

  /**
   * The SACK blocks that describe the early packets, lowest first, flat pairs. libudx names the lowest 50. With more gaps
   * than that its sender never learns what arrived above them and stalls, so here the highest ones are named instead
   * of the middle: a sender that sees every acknowledgement, or most, misses nothing.
   */
  sackBlocks(): number[] {
    const blocks: number[] = [];
    let missing = this.#early.size;
    let open = false;
    for (let seq = seqAdd(this.next, 1); missing > 0; seq = seqAdd(seq, 1)) {
      if (seqDiff(seq, this.#earlyEnd) >= 0) break;
      if (this.#early.has(seq)) {
        missing--;
        if (open) blocks[blocks.length - 1] = seqAdd(seq, 1);
        else blocks.push(seq, seqAdd(seq, 1));
        open = true;
      } else open = false;
    }
    if (blocks.length > MAX_SACK_BLOCKS * 2) {
      blocks.splice(LOWEST_SACK_BLOCKS * 2, blocks.length - MAX_SACK_BLOCKS * 2);
    }
    return blocks;
  }

  clear(): void {
    this.#early.clear();
    this.#earlyBytes = 0;
  }
}
