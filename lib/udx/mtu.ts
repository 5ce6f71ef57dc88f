/**
 * How large a packet the path carries: Datagram Packetization Layer Path MTU Discovery (RFC 8899) as libudx does it on
 * the wire. Pure state: sizes are those of whole IP packets, in bytes; times are milliseconds of the sender's clock.
 *
 * A probe is a full data packet, padded up to the size in question. If it gets lost, its data is repeated without the
 * padding, so a probe can't do harm. A data packet that is larger than the path's MTU can: UDX numbers packets, not
 * bytes, so what was once sent under a number can't be cut into smaller packets. Therefore data only fills a size that
 * was acknowledged a short while ago; else it goes out in packets of the base size, and probes come first.
 *
 * ```
 *          delivery           3 probes of one size lost, or 1500
 *  base ------------> search -----------------------------------> complete
 *                     ^  ^                                       |  |
 *        3 lost probes|  +------------- 10 minutes --------------+  | large packets get lost,
 *                     |                                             | small ones don't
 *                     |     10 s without a large delivery           v
 *                  confirm <-------------------------- any     black-hole
 *                     ^                                             |
 *                     +------ a large delivery, or 1 minute --------+
 * ```
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
/** Less, since a burst of losses can look like a black hole. */
const BLACK_HOLE_FOR_MS = 60_000;

/** RFC 8899 §5.2, with its "error" named for what it means here; `confirm` shows again what was known before. */
export type MtuState = "base" | "search" | "confirm" | "complete" | "black-hole";

export class PathMtu {
  #state: MtuState = "base";
  #mtuBytes = BASE_MTU_BYTES;
  /** The size that was known before doubts arose. */
  #knownBytes = BASE_MTU_BYTES;
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
    this.#knownBytes = BASE_MTU_BYTES;
    this.#limited = false;
    this.#confirmedMs = -Infinity;
    this.#largeSentMs = -Infinity;
  }

  /**
   * What new data may fill. Doubts a size that wasn't confirmed for long, and tries larger ones again in time.
   */
  beforeSending(nowMs: number): number {
    const largeIsStale = this.#mtuBytes > BASE_MTU_BYTES && nowMs - this.#confirmedMs > CONFIRMED_FOR_MS;
    const forgiven = this.#state === "black-hole" && nowMs - this.#settledMs >= BLACK_HOLE_FOR_MS;
    if (largeIsStale || forgiven) this.#doubt();
    else if (this.#state === "complete" && this.#limited && nowMs - this.#settledMs >= RAISE_AFTER_MS) {
      this.#search(this.#mtuBytes);
    }
    return this.#mtuBytes;
  }

  /**
   * The padding that makes a new packet a probe; 0 when none is wanted, or the packet is too small to be filled up. The
   * caller reports what becomes of it through `onDelivered()` or `onProbeLost()`.
   */
  padding(ipBytes: number): number {
    if (this.#probeUnderWay || (this.#state !== "search" && this.#state !== "confirm")) return 0;
    const padding = this.#probeBytes - ipBytes;
    if (padding <= 0 || padding > MAX_PADDING_BYTES) return 0;
    this.#probeUnderWay = true;
    return padding;
  }

  /** A packet arrived. @param ipBytes as it was sent, padding included @param isProbe */
  onDelivered(ipBytes: number, isProbe: boolean, sentMs: number, nowMs: number): void {
    if (this.#state === "base") this.#search(BASE_MTU_BYTES);
    if (ipBytes > BASE_MTU_BYTES) {
      this.#confirmedMs = nowMs;
      if (sentMs >= this.#largeSentMs) {
        this.#largeSentMs = sentMs;
        this.#largeLosses = 0;
      }
      if (this.#state === "black-hole") return this.#doubt();
    }
    if (isProbe && this.#probeUnderWay && ipBytes === this.#probeBytes) this.#grow(ipBytes, nowMs);
  }

  /** A probe was lost, or repeated unpadded, after which nothing can be learnt from it. */
  onProbeLost(nowMs: number): void {
    if (!this.#probeUnderWay) return;
    this.#probeUnderWay = false;
    if (++this.#probesLost < MAX_PROBES) return;
    if (this.#state === "confirm") this.#search(this.#mtuBytes);
    else this.#settle(nowMs);
  }

  /** A data packet that was no probe got lost. Too many of them make a black hole. */
  onLost(ipBytes: number, sentMs: number, nowMs: number): void {
    // One that was sent before the last large one that arrived shows a full queue, not a path that has shrunk.
    if (ipBytes <= BASE_MTU_BYTES || this.#mtuBytes === BASE_MTU_BYTES || sentMs <= this.#largeSentMs) return;
    if (++this.#largeLosses < BLACK_HOLE_LOSSES) return;
    this.#knownBytes = this.#mtuBytes;
    this.#limited = false;
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

  #search(fromBytes: number): void {
    this.#limited = false;
    this.#enter("search", fromBytes);
    this.#probeBytes = Math.min(fromBytes + STEP_BYTES, MAX_MTU_BYTES);
  }

  /** Back to the base size; the known one is shown again by probes as large as their padding allows. */
  #doubt(): void {
    this.#knownBytes = Math.max(this.#knownBytes, this.#mtuBytes);
    this.#enter("confirm", BASE_MTU_BYTES);
    this.#probeBytes = Math.min(BASE_MTU_BYTES + MAX_PADDING_BYTES, this.#knownBytes);
  }

  #grow(ipBytes: number, nowMs: number): void {
    this.#mtuBytes = ipBytes;
    this.#probesLost = 0;
    this.#probeUnderWay = false;
    if (ipBytes >= MAX_MTU_BYTES) return this.#settle(nowMs);
    if (this.#state === "search") this.#probeBytes = Math.min(ipBytes + STEP_BYTES, MAX_MTU_BYTES);
    else if (ipBytes < this.#knownBytes) this.#probeBytes = Math.min(ipBytes + MAX_PADDING_BYTES, this.#knownBytes);
    else if (this.#limited) this.#settle(this.#settledMs);
    else this.#search(ipBytes);
  }

  #settle(atMs: number): void {
    this.#knownBytes = this.#mtuBytes;
    this.#limited = this.#mtuBytes < MAX_MTU_BYTES;
    this.#enter("complete", this.#mtuBytes);
    this.#settledMs = atMs;
  }
}
