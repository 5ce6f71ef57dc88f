/**
 * Congestion control: CUBIC (RFC 9438) after a slow start that ends when round trips grow (HyStart++, RFC 9406), counted
 * in packets, and a token bucket that paces what the window allows. Pure state; the stream tells it what was
 * acknowledged and lost.
 */

export const INITIAL_WINDOW_PACKETS = 10;
const MIN_WINDOW_PACKETS = 4;
const LOSS_WINDOW_PACKETS = 1;
const MAX_WINDOW_PACKETS = 16_384;

/** RFC 9438 §4: multiplicative decrease and the scale of the cubic function (packets per second cubed). */
const BETA = 0.7;
const CUBIC_C = 0.4;
/** The additive increase that makes a window with BETA grow as fast as Reno's (RFC 9438 §4.3). */
const RENO_ALPHA = (3 * (1 - BETA)) / (1 + BETA);

/** Slow start may send at twice the delivery rate, congestion avoidance a little above it (as Linux paces). */
const SLOW_START_PACING_GAIN = 2;
const AVOIDANCE_PACING_GAIN = 1.25;
/** Timers fire late by a millisecond or two: what they missed may go out in one burst. */
const BURST_MS = 2;
const MIN_BURST_PACKETS = 16;
/** A little less than one: at the very moment that was computed, rounding must not leave the bucket short. */
const ENOUGH_TOKENS = 0.999;

/** RFC 9406 §4.3 */
const MIN_RTT_STEP_MS = 4;
const MAX_RTT_STEP_MS = 16;
const RTT_SAMPLES_PER_ROUND = 8;
const CONSERVATIVE_DIVISOR = 4;
const CONSERVATIVE_ROUNDS = 5;

/** HyStart++: notices by growing round trips that slow start has filled the path, before the path loses packets. */
class SlowStartExit {
  #lastRoundMinMs = Infinity;
  #roundMinMs = Infinity;
  #samples = 0;
  #baselineMs = Infinity;
  #conservativeRounds = 0;
  conservative = false;

  sample(rttMs: number, packets: number): void {
    this.#samples += packets;
    this.#roundMinMs = Math.min(this.#roundMinMs, rttMs);
    if (this.#samples < RTT_SAMPLES_PER_ROUND) return;
    if (this.conservative) {
      // The delay was a passing one: back to full speed.
      if (this.#roundMinMs < this.#baselineMs) this.conservative = false;
    } else if (this.#lastRoundMinMs < Infinity) {
      const stepMs = Math.min(Math.max(this.#lastRoundMinMs / 8, MIN_RTT_STEP_MS), MAX_RTT_STEP_MS);
      if (this.#roundMinMs >= this.#lastRoundMinMs + stepMs) {
        this.conservative = true;
        this.#baselineMs = this.#roundMinMs;
        this.#conservativeRounds = 0;
      }
    }
  }

  /** A round trip has passed; true when slow start is over. */
  endRound(): boolean {
    this.#lastRoundMinMs = this.#roundMinMs;
    this.#roundMinMs = Infinity;
    this.#samples = 0;
    return this.conservative && ++this.#conservativeRounds >= CONSERVATIVE_ROUNDS;
  }
}

export class Congestion {
  /** Packets that may be in flight. */
  windowPackets = INITIAL_WINDOW_PACKETS;
  #slowStartThreshold = Infinity;
  #windowMax = 0;
  #epochStartedAtMs = -1;
  #epochSeconds = 0;
  #renoWindow = 0;
  #fraction = 0;
  #exit = new SlowStartExit();

  #tokens = MIN_BURST_PACKETS;
  #ratePerMs = Infinity;
  #refilledAtMs = 0;

  get inSlowStart(): boolean {
    return this.windowPackets < this.#slowStartThreshold;
  }

  /**
   * Grows the window for newly delivered packets.
   *
   * @param windowLimited the sender was held back by the window: a window that wasn't needed proves nothing
   */
  onDelivered(packets: number, nowMs: number, srttMs: number, windowLimited: boolean): void {
    if (windowLimited) {
      if (this.inSlowStart) this.#growFast(packets);
      else this.#grow(packets, nowMs, srttMs);
    }
    const gain = this.inSlowStart ? SLOW_START_PACING_GAIN : AVOIDANCE_PACING_GAIN;
    this.#ratePerMs = srttMs > 0 ? (gain * this.windowPackets) / srttMs : Infinity;
  }

  /** A round trip was measured. @param packets how many were acknowledged together */
  onRoundTrip(rttMs: number, packets: number): void {
    if (this.inSlowStart) this.#exit.sample(rttMs, packets);
  }

  /** Everything that was in flight when the last round ended has been acknowledged. */
  onRoundEnd(): void {
    if (this.inSlowStart && this.#exit.endRound()) this.#slowStartThreshold = this.windowPackets;
  }

  #growFast(packets: number): void {
    this.#fraction += this.#exit.conservative ? packets / CONSERVATIVE_DIVISOR : packets;
    const whole = Math.floor(this.#fraction);
    this.#fraction -= whole;
    this.windowPackets = Math.min(this.windowPackets + whole, this.#slowStartThreshold, MAX_WINDOW_PACKETS);
  }

  #grow(packets: number, nowMs: number, srttMs: number): void {
    if (this.#epochStartedAtMs < 0) {
      this.#epochStartedAtMs = nowMs;
      this.#renoWindow = this.windowPackets;
      if (this.#windowMax < this.windowPackets) this.#windowMax = this.windowPackets;
      this.#epochSeconds = Math.cbrt((this.#windowMax - this.windowPackets) / CUBIC_C);
    }
    const t = (nowMs - this.#epochStartedAtMs + srttMs) / 1000 - this.#epochSeconds;
    const target = Math.min(CUBIC_C * t * t * t + this.#windowMax, 1.5 * this.windowPackets);
    this.#renoWindow += (RENO_ALPHA * packets) / this.windowPackets;
    this.#fraction += target > this.#renoWindow
      ? (packets * Math.max(target - this.windowPackets, 0)) / this.windowPackets
      : Math.max(this.#renoWindow - this.windowPackets - this.#fraction, 0);
    const whole = Math.floor(this.#fraction);
    this.#fraction -= whole;
    this.windowPackets = Math.min(this.windowPackets + whole, MAX_WINDOW_PACKETS);
  }

  /** A loss ended a flight: once per recovery, not per packet. */
  onLoss(): void {
    this.#reduce();
    this.windowPackets = this.#slowStartThreshold;
  }

  /**
   * The retransmission timer fired: nothing is known about the path any more (RFC 5681 §3.1: the loss window is 1).
   *
   * @param again nothing has recovered since the last time
   */
  onTimeout(again: boolean): void {
    if (!again) this.#reduce();
    this.#fraction = 0;
    this.windowPackets = LOSS_WINDOW_PACKETS;
  }

  #reduce(): void {
    // Fast convergence (RFC 9438 §4.7): a flow that is losing ground leaves room for the newcomer.
    this.#windowMax = this.windowPackets < this.#windowMax ? (this.windowPackets * (1 + BETA)) / 2 : this.windowPackets;
    this.#slowStartThreshold = Math.max(Math.floor(this.windowPackets * BETA), MIN_WINDOW_PACKETS);
    this.#epochStartedAtMs = -1;
    this.#fraction = 0;
    this.#exit = new SlowStartExit();
  }

  /** May one more packet go out now, as far as pacing is concerned? */
  mayPace(nowMs: number): boolean {
    if (this.#ratePerMs === Infinity) return true;
    if (nowMs > this.#refilledAtMs) {
      const burst = Math.max(this.#ratePerMs * BURST_MS, MIN_BURST_PACKETS);
      this.#tokens = Math.min(this.#tokens + (nowMs - this.#refilledAtMs) * this.#ratePerMs, burst);
      this.#refilledAtMs = nowMs;
    }
    return this.#tokens >= ENOUGH_TOKENS;
  }

  /** When pacing lets the next packet go, given that `mayPace` just refused. */
  nextPacedAtMs(): number {
    return this.#refilledAtMs + (1 - this.#tokens) / this.#ratePerMs;
  }

  onSent(): void {
    if (this.#ratePerMs !== Infinity) this.#tokens -= 1;
  }
}
