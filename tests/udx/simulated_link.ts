import { seededRandom } from "./lossy.ts";

/** IP and UDP headers of a datagram, which a link carries too. */
export const IP_OVERHEAD_BYTES = 28;

/** Gilbert and Elliott's two states: the link is good, or it is bad and loses most of what it is given. */
export interface Bursts {
  /** Chance per packet that a good link turns bad. */
  readonly enter: number;
  /** Chance per packet that a bad one turns good: a burst lasts 1 / leave packets on average. */
  readonly leave: number;
  /** Loss while bad; 1 by default. */
  readonly loss?: number;
}

/** One direction of a link. Times in milliseconds, shares between 0 and 1. */
export interface LinkOptions {
  readonly latencyMs?: number;
  /** Up to that much later, each packet for itself. */
  readonly jitterMs?: number;
  /** Packets leave in the order they came, whatever the jitter. */
  readonly inOrder?: boolean;
  readonly loss?: number;
  readonly bursts?: Bursts | null;
  readonly duplicate?: number;
  /** Share of packets that are held back by `reorderMs`, so that later ones pass them. */
  readonly reorder?: number;
  readonly reorderMs?: number;
  /** How fast it takes bytes of IP packets; unlimited by default. */
  readonly bytesPerMs?: number;
  /** What may wait for a slow link; more is lost. */
  readonly queuePackets?: number;
  readonly queueBytes?: number;
  /** Larger IP packets vanish without a word. */
  readonly mtuBytes?: number;
  /** A partition: nothing gets through. */
  readonly cut?: boolean;
}

/**
 * One direction of a path, or a part of it that several pairs share: what they send waits in one queue.
 * Change it at any time with `change()`.
 */
export class SimulatedLink {
  readonly #random: () => number;
  #options: LinkOptions;
  #freeAtMs = 0;
  /** When those that wait have left, oldest first from `#head` on. */
  #departures: number[] = [];
  #head = 0;
  #bad = false;
  #lastArrivalMs = 0;

  /** What became of the datagrams: each of them is counted once, but for copies. */
  carried = 0;
  carriedBytes = 0;
  lost = 0;
  /** Lost because the queue was full. */
  overflowed = 0;
  /** Lost because they were larger than the MTU. */
  tooLarge = 0;
  duplicated = 0;
  longestQueueMs = 0;

  constructor(options: LinkOptions = {}, seed = 1) {
    this.#options = options;
    this.#random = seededRandom(seed);
  }

  get options(): LinkOptions {
    return this.#options;
  }

  change(options: LinkOptions): void {
    this.#options = { ...this.#options, ...options };
  }

  /** How long a datagram that comes now waits until its own transfer begins. */
  queueMs(nowMs: number): number {
    return Math.max(this.#freeAtMs - nowMs, 0);
  }

  /** Takes a datagram of `bytes` bytes; `arrive` is told when it comes out: not at all, once or twice. */
  carry(bytes: number, nowMs: number, arrive: (atMs: number) => void): void {
    const { cut = false, mtuBytes = Infinity, latencyMs = 0, loss = 0, duplicate = 0 } = this.#options;
    const ipBytes = bytes + IP_OVERHEAD_BYTES;
    if (ipBytes > mtuBytes) return void this.tooLarge++;
    if (cut) return void this.lost++;
    const leavesMs = this.#enqueue(ipBytes, nowMs);
    if (leavesMs === null) return void this.overflowed++;
    if (this.#losesInBurst() || (loss > 0 && this.#random() < loss)) return void this.lost++;
    this.carried++;
    this.carriedBytes += ipBytes;
    arrive(this.#arrivalMs(leavesMs + latencyMs));
    if (duplicate > 0 && this.#random() < duplicate) {
      this.duplicated++;
      arrive(this.#arrivalMs(leavesMs + latencyMs));
    }
  }

  /** When the transfer is over; null when there is no room to wait. */
  #enqueue(ipBytes: number, nowMs: number): number | null {
    const { bytesPerMs = Infinity, queuePackets = Infinity, queueBytes = Infinity } = this.#options;
    if (bytesPerMs === Infinity) return nowMs;
    while (this.#head < this.#departures.length && this.#departures[this.#head]! <= nowMs) this.#head++;
    if (this.#head === this.#departures.length || this.#head > 1024) {
      this.#departures = this.#departures.slice(this.#head);
      this.#head = 0;
    }
    const waitMs = this.queueMs(nowMs);
    // The one under transfer doesn't wait any more.
    if (this.#departures.length - this.#head > queuePackets || waitMs * bytesPerMs > queueBytes) return null;
    this.longestQueueMs = Math.max(this.longestQueueMs, waitMs);
    this.#freeAtMs = nowMs + waitMs + ipBytes / bytesPerMs;
    this.#departures.push(this.#freeAtMs);
    return this.#freeAtMs;
  }

  #losesInBurst(): boolean {
    const { bursts = null } = this.#options;
    if (bursts === null) return false;
    if (this.#random() < (this.#bad ? bursts.leave : bursts.enter)) this.#bad = !this.#bad;
    return this.#bad && (bursts.loss === undefined || this.#random() < bursts.loss);
  }

  #arrivalMs(atMs: number): number {
    const { jitterMs = 0, reorder = 0, reorderMs = 0, inOrder = false } = this.#options;
    if (jitterMs > 0) atMs += this.#random() * jitterMs;
    if (inOrder) atMs = this.#lastArrivalMs = Math.max(atMs, this.#lastArrivalMs);
    return reorder > 0 && this.#random() < reorder ? atMs + reorderMs : atMs;
  }
}
