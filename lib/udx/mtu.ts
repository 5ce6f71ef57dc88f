/**
 * How large a packet the path carries: Datagram Packetization Layer Path MTU Discovery (RFC 8899) with libudx's probes.
 * Pure state: sizes are those of whole IP packets, in bytes; times are milliseconds of the sender's clock.
 *
 * A probe is a full data packet, padded up to the size in question. If it gets lost, its data is repeated without the
 * padding, so a probe can't do harm. A data packet that is larger than the path's MTU can: UDX numbers packets, not
 * bytes, so what was once sent under a number can't be cut into smaller packets. Therefore data only fills a size that
 * was acknowledged a short while ago; else it goes out in packets of the base size, and probes come first.
 *
 * ```
 *         delivery            1500, or 3 probes of one size lost
 *  base ------------> search ------------------------------------> complete
 *                     ^ ^ ^                                        |  |
 *                     | | +------- 10 minutes below 1500 ----------+  | large packets get lost
 *                     | +--------- 10 s without a large delivery -----+ in a row
 *                     |                                               v
 *                     +----- a large delivery, or 15 s ----------- black-hole
 * ```
 *
 * The search tries great leaps first, as far as padding reaches: two probes show that 1500 bytes get through, which is
 * what most paths carry. Where a leap fails it goes on in libudx's steps of 32 bytes.
 */

/** Size of an IP packet that every path is taken to carry (as libudx). */
export const BASE_MTU_BYTES = 1200;
/** The largest one that is tried: an Ethernet frame's. */
export const MAX_MTU_BYTES = 1500;
const STEP_BYTES = 32;
/** Probes of one size that must get lost before it counts as too large. */
const MAX_PROBES = 3;
/** The data offset of a packet is a byte. */
export const MAX_PADDING_BYTES = 255;
/** Large packets lost in a row, while later and smaller ones may have arrived, that make a black hole. */
const BLACK_HOLE_LOSSES = 3;
/** Without a large delivery for that long, the path may have changed unseen. */
const CONFIRMED_FOR_MS = 10_000;
/** RFC 8899 PMTU_RAISE_TIMER: how long a size that didn't fit isn't tried again. */
const RAISE_AFTER_MS = 600_000;
/** Less, since a burst of losses at the end of what was to be sent looks like a black hole, and probes do no harm. */
const BLACK_HOLE_FOR_MS = 15_000;

/** RFC 8899 §5.2, with its "error" named for what it means here. */
export type MtuState = "base" | "search" | "complete" | "black-hole";

export class PathMtu {
  #state: MtuState = "base";
  #mtuBytes = BASE_MTU_BYTES;
  /** Where the search leads to: the largest size, or the one that was known before doubts arose. */
  #goalBytes = MAX_MTU_BYTES;
  #strideBytes = MAX_PADDING_BYTES;
  /** The size to be tried next, or under way. */
  #probeBytes = 0;
  #probesLost = 0;
  #probeUnderWay = false;
  /** A search ended below the largest size. */
  #limited = false;
  /** When the search ended; when a large packet was last delivered; when the last of those had been sent. */
  #settledMs = 0;
  #confirmedMs = -Infinity;
  #largeSentMs = -Infinity;
  #largeLosses = 0;

  get state(): MtuState {
    return this.#state;
  }

  /** What data packets may fill at most. */
  get bytes(): number {
    return this.#mtuBytes;
  }

  /** Another path, of which nothing is known. What was sent on the one before must not be reported any more. */
  reset(): void {
    this.#enter("base", BASE_MTU_BYTES);
    this.#goalBytes = MAX_MTU_BYTES;
    this.#limited = false;
    this.#confirmedMs = -Infinity;
    this.#largeSentMs = -Infinity;
  }

  /** What new data may fill. Doubts a size that wasn't confirmed for long, and tries larger ones again in time. */
  beforeSending(nowMs: number): number {
    const isStale = this.#mtuBytes > BASE_MTU_BYTES && nowMs - this.#confirmedMs > CONFIRMED_FOR_MS;
    const isForgiven = this.#state === "black-hole" && nowMs - this.#settledMs >= BLACK_HOLE_FOR_MS;
    if (isStale || isForgiven) this.#search(BASE_MTU_BYTES);
    else if (this.#state === "complete" && this.#limited && nowMs - this.#settledMs >= RAISE_AFTER_MS) {
      this.#searchAnew(this.#mtuBytes, MAX_PADDING_BYTES);
    }
    return this.#mtuBytes;
  }

  /**
   * The padding that makes a new packet a probe; 0 when none is wanted, or the packet is too small to be filled up. The
   * caller reports what becomes of it through `onDelivered()` or `onProbeLost()`.
   */
  padding(ipBytes: number): number {
    if (this.#probeUnderWay || this.#state !== "search") return 0;
    const padding = this.#probeBytes - ipBytes;
    if (padding <= 0 || padding > MAX_PADDING_BYTES) return 0;
    this.#probeUnderWay = true;
    return padding;
  }

  /** A packet arrived. @param ipBytes as it was sent, padding included @param isProbe */
  onDelivered(ipBytes: number, isProbe: boolean, sentMs: number, nowMs: number): void {
    if (this.#state === "base") this.#searchAnew(BASE_MTU_BYTES, MAX_PADDING_BYTES);
    if (ipBytes > BASE_MTU_BYTES) {
      this.#confirmedMs = nowMs;
      if (sentMs >= this.#largeSentMs) {
        this.#largeSentMs = sentMs;
        this.#largeLosses = 0;
      }
      if (this.#state === "black-hole") return this.#search(BASE_MTU_BYTES);
    }
    if (isProbe && this.#probeUnderWay && ipBytes === this.#probeBytes) this.#grow(ipBytes, nowMs);
  }

  /** A probe was lost, or repeated unpadded, after which nothing can be learnt from it. */
  onProbeLost(nowMs: number): void {
    if (!this.#probeUnderWay) return;
    this.#probeUnderWay = false;
    if (++this.#probesLost < MAX_PROBES) return;
    if (this.#strideBytes > STEP_BYTES) this.#searchAnew(this.#mtuBytes, STEP_BYTES);
    else this.#settle(nowMs);
  }

  /** A data packet that was no probe got lost. Too many of them make a black hole. */
  onLost(ipBytes: number, sentMs: number, nowMs: number): void {
    // One that was sent before the last large one that arrived shows a full queue, not a path that has shrunk.
    if (ipBytes <= BASE_MTU_BYTES || this.#mtuBytes === BASE_MTU_BYTES || sentMs <= this.#largeSentMs) return;
    if (++this.#largeLosses < BLACK_HOLE_LOSSES) return;
    this.#enter("black-hole", BASE_MTU_BYTES);
    this.#settledMs = nowMs;
  }

  #enter(state: MtuState, mtuBytes: number): void {
    this.#state = state;
    this.#mtuBytes = mtuBytes;
    this.#probeBytes = 0;
    this.#probesLost = 0;
    this.#probeUnderWay = false;
    this.#largeLosses = 0;
  }

  /** Up to the largest size, whatever was found out before. */
  #searchAnew(fromBytes: number, strideBytes: number): void {
    this.#limited = false;
    this.#goalBytes = MAX_MTU_BYTES;
    this.#search(fromBytes, strideBytes);
  }

  #search(fromBytes: number, strideBytes = MAX_PADDING_BYTES): void {
    this.#enter("search", fromBytes);
    this.#strideBytes = strideBytes;
    this.#probeBytes = Math.min(fromBytes + strideBytes, this.#goalBytes);
  }

  #grow(ipBytes: number, nowMs: number): void {
    if (ipBytes < this.#goalBytes) this.#search(ipBytes, this.#strideBytes);
    else {
      this.#mtuBytes = ipBytes;
      // A size that was refused before the doubts isn't tried again before its time.
      this.#settle(this.#limited ? this.#settledMs : nowMs);
    }
  }

  #settle(atMs: number): void {
    this.#enter("complete", this.#mtuBytes);
    this.#goalBytes = this.#mtuBytes;
    this.#limited = this.#mtuBytes < MAX_MTU_BYTES;
    this.#settledMs = atMs;
  }
}
