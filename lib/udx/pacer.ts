/** Spreads packets over time: a token bucket, since timers fire late by a millisecond or two. */

/** What timers missed may go out in one burst. */
const BURST_MS = 2;
const MIN_BURST_PACKETS = 16;
/** A little less than one: at the very moment that was computed, rounding must not leave the bucket short. */
const ENOUGH_TOKENS = 0.999;

export class Pacer {
  /** Packets per millisecond; Infinity doesn't pace. */
  ratePerMs = Infinity;
  #tokens = MIN_BURST_PACKETS;
  #refilledAtMs = 0;

  /** May one more packet go out now? */
  mayPace(nowMs: number): boolean {
    if (this.ratePerMs === Infinity) return true;
    if (nowMs > this.#refilledAtMs) {
      const burst = Math.max(this.ratePerMs * BURST_MS, MIN_BURST_PACKETS);
      this.#tokens = Math.min(this.#tokens + (nowMs - this.#refilledAtMs) * this.ratePerMs, burst);
      this.#refilledAtMs = nowMs;
    }
    return this.#tokens >= ENOUGH_TOKENS;
  }

  /** When the next packet may go, given that `mayPace` just refused. */
  nextAtMs(): number {
    return this.#refilledAtMs + (1 - this.#tokens) / this.ratePerMs;
  }

  onSent(): void {
    if (this.ratePerMs !== Infinity) this.#tokens -= 1;
  }
}
