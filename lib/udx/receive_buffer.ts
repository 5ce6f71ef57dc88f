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

/** Numbers from `start` up to, not including, `end`. */
interface Block {
  start: number;
  end: number;
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
  /** The numbers of the early packets, as blocks that neither touch nor overlap, lowest first. */
  #blocks: Block[] = [];
  #unreadBytes = 0;
  #started = false;

  constructor(next: number, maxBytes: number) {
    this.next = next;
    this.#maxBytes = maxBytes;
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

  get earlyPackets(): number {
    return this.#early.size;
  }

  get earlyBytes(): number {
    return this.#earlyBytes;
  }

  /**
   * The first number of the other side becomes known. What came before that was numbered from a guess: early packets
   * would lie around it and never be reached. A stream that has begun to deliver goes on.
   */
  startAt(seq: number): void {
    if (this.#started) return;
    this.clear();
    this.next = seq;
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
    if (this.#blocks[0]?.start === this.next) this.#takeFirstBlock(this.#blocks.shift()!, deliver);
    return "in-order";
  }

  #takeFirstBlock(block: Block, deliver: (payload: Uint8Array) => void): void {
    for (let seq = block.start; seq !== block.end && !this.ended; seq = seqAdd(seq, 1)) {
      const early = this.#early.get(seq)!;
      this.#early.delete(seq);
      this.#earlyBytes -= early.payload.length;
      this.#take(early.type, early.payload, deliver);
    }
  }

  #take(type: number, payload: Uint8Array, deliver: (payload: Uint8Array) => void): void {
    this.#started = true;
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
    this.#addToBlocks(packet.seq);
    return "early";
  }

  #addToBlocks(seq: number): void {
    const after = this.#firstBlockBehind(seq);
    const below = this.#blocks[after - 1];
    const above = this.#blocks[after];
    const end = seqAdd(seq, 1);
    if (below?.end === seq) {
      below.end = end;
      if (above?.start === end) {
        below.end = above.end;
        this.#blocks.splice(after, 1);
      }
    } else if (above?.start === end) above.start = seq;
    else this.#blocks.splice(after, 0, { start: seq, end });
  }

  /** The index of the first block that starts after a number: a binary search, since a hostile peer makes many. */
  #firstBlockBehind(seq: number): number {
    let low = 0;
    let high = this.#blocks.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (seqDiff(this.#blocks[middle]!.start, seq) > 0) high = middle;
      else low = middle + 1;
    }
    return low;
  }

  /**
   * The SACK blocks that describe the early packets, lowest first, flat pairs. libudx names the lowest 50. With more gaps
   * than that its sender never learns what arrived above them and stalls, so here the highest ones are named instead
   * of the middle: a sender that sees every acknowledgement, or most, misses nothing.
   */
  sackBlocks(): number[] {
    const count = this.#blocks.length;
    const sacks: number[] = [];
    const lowest = count > MAX_SACK_BLOCKS ? LOWEST_SACK_BLOCKS : count;
    for (let i = 0; i < lowest; i++) sacks.push(this.#blocks[i]!.start, this.#blocks[i]!.end);
    for (let i = Math.max(lowest, count - MAX_SACK_BLOCKS + lowest); i < count; i++) {
      sacks.push(this.#blocks[i]!.start, this.#blocks[i]!.end);
    }
    return sacks;
  }

  clear(): void {
    this.#early.clear();
    this.#blocks = [];
    this.#earlyBytes = 0;
  }
}
