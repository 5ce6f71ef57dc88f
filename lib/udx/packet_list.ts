import type { RateSnapshot } from "./delivery_rate.ts";

/** A sent packet that the other side has not acknowledged yet. */
export interface SentPacket<R> extends RateSnapshot {
  readonly seq: number;
  /** The whole datagram; window and ack in its header are refreshed when it is sent again. */
  bytes: Uint8Array;
  /** Zeros between its header and its payload: a probe's, or those that let the network split it. */
  padding: number;
  /** Padded to find out whether the path carries that much. */
  probe: boolean;
  readonly payloadBytes: number;
  readonly end: boolean;
  /** Where the first copy went; later copies follow it even if the remote changed meanwhile. */
  route: R;
  /** When its first copy was sent. */
  readonly firstSentMs: number;
  retransmitted: boolean;
  lost: boolean;
  /** Selectively acknowledged: it has arrived, though something before it has not. */
  delivered: boolean;
  /** All before this number, from this packet on, has arrived: what repeated SACK blocks needn't walk through again. */
  deliveredUntil: number;
  timeouts: number;
  previous: SentPacket<R> | null;
  next: SentPacket<R> | null;
}

/** Sent packets in order of sending: linked through the packets themselves, so that moving one allocates nothing. */
export class PacketList<R> {
  head: SentPacket<R> | null = null;
  tail: SentPacket<R> | null = null;
  length = 0;

  push(packet: SentPacket<R>): void {
    packet.previous = this.tail;
    packet.next = null;
    if (this.tail === null) this.head = packet;
    else this.tail.next = packet;
    this.tail = packet;
    this.length++;
  }

  remove(packet: SentPacket<R>): void {
    if (packet.previous === null) this.head = packet.next;
    else packet.previous.next = packet.next;
    if (packet.next === null) this.tail = packet.previous;
    else packet.next.previous = packet.previous;
    packet.previous = null;
    packet.next = null;
    this.length--;
  }

  clear(): void {
    this.head = null;
    this.tail = null;
    this.length = 0;
  }
}

/** What a ring holds at first. */
const RING_SLOTS = 16;
/** An empty ring above that starts over: an idle stream shouldn't keep the memory of its longest flight. */
const MAX_IDLE_SLOTS = 256;

/** Sent packets by sequence number: a ring that doubles while the numbers in use span more than it holds. */
export class PacketRing<R> {
  #slots: (SentPacket<R> | undefined)[] = new Array(RING_SLOTS).fill(undefined);
  #mask = RING_SLOTS - 1;

  get capacity(): number {
    return this.#mask + 1;
  }

  get(seq: number): SentPacket<R> | undefined {
    const packet = this.#slots[seq & this.#mask];
    return packet !== undefined && packet.seq === seq ? packet : undefined;
  }

  /** @param span how many numbers lie between the oldest unacknowledged one and this packet's, both included */
  set(packet: SentPacket<R>, span: number): void {
    while (span > this.#mask + 1) this.#double();
    this.#slots[packet.seq & this.#mask] = packet;
  }

  delete(seq: number): void {
    this.#slots[seq & this.#mask] = undefined;
  }

  clear(): void {
    this.#slots = new Array(RING_SLOTS).fill(undefined);
    this.#mask = RING_SLOTS - 1;
  }

  /** Nothing is in it any more. */
  emptied(): void {
    if (this.capacity > MAX_IDLE_SLOTS) this.clear();
  }

  #double(): void {
    const old = this.#slots;
    this.#mask = this.#mask * 2 + 1;
    this.#slots = new Array(this.#mask + 1).fill(undefined);
    for (const packet of old) if (packet !== undefined) this.#slots[packet.seq & this.#mask] = packet;
  }
}
