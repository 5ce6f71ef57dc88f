/**
 * BBR as libudx has it (version 1, draft-cardwell-iccrg-bbr-congestion-control-00): a model of the path, its bandwidth
 * and its round trip without queues, in place of a window that losses shrink. Counts packets and milliseconds. Pure state;
 * chance comes in as a function.
 */
import type { RateSample } from "./delivery_rate.ts";

export const INITIAL_WINDOW_PACKETS = 10;
const MIN_WINDOW_PACKETS = 4;

/** 2 / ln 2: the smallest gain that doubles the rate each round trip. */
const STARTUP_GAIN = 2.88539;
/**
 * The queue that a stream may keep at the bottleneck, as time: no more than the path's round trip, as in libudx, and no
 * less than probing needs. libudx lets it keep a whole round trip, by which streams with a long one crowd out the others.
 */
const QUEUE_MS = 25;
const MAX_WINDOW_GAIN = 2;
/** Pacing a little below what was measured keeps the queue from growing. */
const PACING_MARGIN = 0.99;
/** Pacing gains of the phases: one round trip above the bandwidth, one below to clear the queue that made, six at it. */
const CYCLE_GAINS = [1.25, 0.75, 1, 1, 1, 1, 1, 1] as const;
const DRAINING_PHASE = 1;
/** Round trips over which the highest delivery rate counts: a whole cycle and a little. */
const BANDWIDTH_ROUNDS = CYCLE_GAINS.length + 2;
const MIN_RTT_WINDOW_MS = 10_000;
const PROBE_RTT_MS = 200;
/** A round that loses more than this share has overfilled a buffer, or was unlucky (BBR version 3 has the same). */
const LOSSY_SHARE = 0.02;
const CEILING_CUT = 0.7;
/** Above the bandwidth-delay product by as much as probing needs. */
const CEILING_FLOOR_GAIN = CYCLE_GAINS[0];
/** Timers and event loops are no finer than this, and a window below what they need would throttle a near path. */
const TIMER_GRAIN_MS = 1;
/** The pipe is full when the rate grew by less than a quarter in three rounds, or in one that lost much. */
const FULL_GROWTH = 1.25;
const FULL_ROUNDS = 3;
/** Acknowledgements that come in bursts widen the window, by no more than this much of the bandwidth. */
const EXTRA_ACKED_ROUNDS = 5;
const EXTRA_ACKED_MS = 100;

export type BbrMode = "startup" | "drain" | "probe-bandwidth" | "probe-rtt";

/** The highest of the values noted in the last rounds; rounds in which nothing was noted don't count. */
class RoundMaximum {
  readonly #maxima = new Array<number>(BANDWIDTH_ROUNDS).fill(0);
  #at = 0;
  #newRound = false;
  max = 0;

  note(value: number): void {
    if (this.#newRound) this.#forgetOldest();
    if (value > this.#maxima[this.#at]!) this.#maxima[this.#at] = value;
    if (value > this.max) this.max = value;
  }

  clear(): void {
    this.#maxima.fill(0);
    this.max = 0;
  }

  nextRound(): void {
    this.#newRound = true;
  }

  #forgetOldest(): void {
    this.#newRound = false;
    this.#at = (this.#at + 1) % BANDWIDTH_ROUNDS;
    const forgotten = this.#maxima[this.#at]!;
    this.#maxima[this.#at] = 0;
    if (forgotten === this.max) this.max = this.#maxima.reduce((a, b) => Math.max(a, b));
  }
}

export class Bbr {
  mode: BbrMode = "startup";
  /** Packets that may be in flight. */
  windowPackets = INITIAL_WINDOW_PACKETS;
  /** Packets per millisecond; Infinity while nothing is known. */
  pacingRatePerMs = Infinity;
  pacingGain = STARTUP_GAIN;
  /** The path's round trip without queues: the shortest of ten seconds. */
  minRttMs = Infinity;
  readonly #random: () => number;
  readonly #bandwidth = new RoundMaximum();
  #windowGain = STARTUP_GAIN;
  #minRttAtMs = 0;

  #nextRoundDelivered = 0;
  #roundStart = false;

  #filled = false;
  #fullBandwidth = 0;
  #fullRounds = 0;

  /** The most that may be in flight, whatever the model says; Infinity while no round loses much. */
  #ceiling = Infinity;
  #roundLost = 0;
  #roundDelivered = 0;
  #roundInFlight = 0;
  #lossyRound = false;

  #phase = 0;
  #phaseAtMs = 0;

  #probeRttDoneAtMs = -1;
  #probeRttRoundDone = false;
  #idleRestart = false;

  #priorWindow = 0;
  #conserving = false;
  #inRecovery = false;

  #extraAcked = [0, 0];
  #extraAckedAt = 0;
  #extraAckedRounds = 0;
  #ackEpochMs = 0;
  #ackEpochPackets = 0;

  /** @param random numbers from 0 to below 1: streams that start together must not probe together */
  constructor(random: () => number) {
    this.#random = random;
  }

  /** What the path carries, packets per millisecond, as far as it is known. */
  get bandwidthPerMs(): number {
    return this.#bandwidth.max;
  }

  /** Startup is over: the path has been filled once. */
  get filled(): boolean {
    return this.#filled;
  }

  /** Packets in flight that fill the path without a queue, times a gain. */
  #bdp(gain: number): number {
    if (this.minRttMs === Infinity) return INITIAL_WINDOW_PACKETS;
    return this.#bandwidth.max * Math.max(this.minRttMs, TIMER_GRAIN_MS) * gain;
  }

  /** What is sent takes another path now: what was learned of the old one doesn't count, as in QUIC (RFC 9000 §9.4). */
  onPathChanged(): void {
    this.mode = "startup";
    this.windowPackets = this.#priorWindow = INITIAL_WINDOW_PACKETS;
    this.pacingRatePerMs = Infinity;
    this.minRttMs = Infinity;
    this.#bandwidth.clear();
    this.#filled = false;
    this.#fullBandwidth = this.#fullRounds = 0;
    this.#ceiling = Infinity;
    this.#extraAcked.fill(0);
    this.#updateGains();
  }

  /** Sending begins again after there was nothing to send. */
  onIdleRestart(nowMs: number): void {
    this.#idleRestart = true;
    this.#ackEpochMs = nowMs;
    this.#ackEpochPackets = 0;
    if (this.mode === "probe-bandwidth") this.#setPacingRate(1);
    else if (this.mode === "probe-rtt") this.#checkProbeRttDone(nowMs);
  }

  /** Something got lost; for one round no more is sent than what leaves the path. */
  onRecovery(delivered: number, inFlightPackets: number): void {
    this.#saveWindow();
    this.#inRecovery = true;
    this.#conserving = true;
    this.#nextRoundDelivered = delivered;
    this.windowPackets = Math.max(inFlightPackets, MIN_WINDOW_PACKETS);
  }

  /** What had been in flight when recovery began has arrived. */
  onRecovered(): void {
    this.#inRecovery = false;
    this.#conserving = false;
    this.windowPackets = Math.max(this.windowPackets, this.#priorWindow);
  }

  /** The retransmission timer fired: one packet more than what may still be under way, then as fast as it is delivered. */
  onTimeout(inFlightPackets: number): void {
    this.#saveWindow();
    this.#inRecovery = true;
    this.#conserving = false;
    this.#fullBandwidth = 0;
    this.windowPackets = inFlightPackets + 1;
  }

  #saveWindow(): void {
    this.#priorWindow = this.#inRecovery || this.mode === "probe-rtt"
      ? Math.max(this.#priorWindow, this.windowPackets)
      : this.windowPackets;
  }

  /** @param delivered all packets delivered so far, this acknowledgement's too */
  onAck(sample: RateSample, delivered: number, inFlightPackets: number, nowMs: number): void {
    this.#roundInFlight = Math.max(this.#roundInFlight, inFlightPackets + sample.newlyDelivered);
    this.#updateBandwidth(sample, delivered);
    this.#updateExtraAcked(sample, nowMs);
    this.#updatePhase(sample, inFlightPackets, nowMs);
    this.#checkFilled(sample);
    this.#checkDrain(inFlightPackets, nowMs);
    this.#updateMinRtt(sample, delivered, inFlightPackets, nowMs);
    this.#updateGains();
    this.#setPacingRate(this.pacingGain);
    this.#updateWindow(sample, delivered, inFlightPackets);
  }

  #updateBandwidth(sample: RateSample, delivered: number): void {
    this.#roundStart = false;
    this.#roundLost += sample.newlyLost;
    this.#roundDelivered += sample.newlyDelivered;
    if (sample.priorDelivered < 0) return;
    if (sample.priorDelivered >= this.#nextRoundDelivered) {
      this.#endLossRound();
      this.#nextRoundDelivered = delivered;
      this.#roundStart = true;
      this.#conserving = false;
      this.#bandwidth.nextRound();
    }
    if (Number.isNaN(sample.ratePerMs)) return;
    if (!sample.appLimited || sample.ratePerMs >= this.#bandwidth.max) this.#bandwidth.note(sample.ratePerMs);
  }

  /**
   * A round has ended. One that lost much lowers the ceiling, one that didn't raises it by a packet (as AIMD does, which
   * makes streams converge); but it stays above what fills the path, so that random losses cost next to nothing, while a
   * small buffer isn't kept overflowing. Version 1 of BBR has no such bound.
   */
  #endLossRound(): void {
    const lossy = this.#roundLost > LOSSY_SHARE * (this.#roundLost + this.#roundDelivered);
    // What was sent before the cut may still get lost after it: only every second round counts.
    if (lossy && !this.#lossyRound && this.#filled) {
      const least = Math.max(this.#bandwidth.max * this.minRttMs * CEILING_FLOOR_GAIN, MIN_WINDOW_PACKETS);
      this.#ceiling = Math.max(Math.min(this.#ceiling, this.#roundInFlight) * CEILING_CUT, least);
    } else if (!lossy) this.#ceiling += 1;
    this.#lossyRound = lossy;
    this.#roundLost = this.#roundDelivered = this.#roundInFlight = 0;
  }

  /** How much more than the bandwidth was acknowledged at once: so much must be in flight to bridge the wait for it. */
  #updateExtraAcked(sample: RateSample, nowMs: number): void {
    if (sample.newlyDelivered === 0) return;
    if (this.#roundStart && ++this.#extraAckedRounds >= EXTRA_ACKED_ROUNDS) {
      this.#extraAckedRounds = 0;
      this.#extraAckedAt = 1 - this.#extraAckedAt;
      this.#extraAcked[this.#extraAckedAt] = 0;
    }
    let expected = this.#bandwidth.max * (nowMs - this.#ackEpochMs);
    if (this.#ackEpochPackets <= expected) {
      this.#ackEpochPackets = 0;
      this.#ackEpochMs = nowMs;
      expected = 0;
    }
    this.#ackEpochPackets += sample.newlyDelivered;
    const extra = Math.min(this.#ackEpochPackets - expected, this.windowPackets);
    if (extra > this.#extraAcked[this.#extraAckedAt]!) this.#extraAcked[this.#extraAckedAt] = extra;
  }

  #updatePhase(sample: RateSample, inFlightPackets: number, nowMs: number): void {
    if (this.mode !== "probe-bandwidth") return;
    const full = nowMs - this.#phaseAtMs > this.minRttMs;
    const gain = CYCLE_GAINS[this.#phase]!;
    let next = full;
    // Probing lasts until it has filled what it probes for, or lost something; draining until the queue is gone.
    if (gain > 1) next = full && (sample.newlyLost > 0 || inFlightPackets >= this.#bdp(gain));
    else if (gain < 1) next = full || inFlightPackets <= this.#bdp(1);
    if (next) this.#enterPhase((this.#phase + 1) % CYCLE_GAINS.length, nowMs);
  }

  #enterPhase(phase: number, nowMs: number): void {
    this.#phase = phase;
    this.#phaseAtMs = nowMs;
  }

  #checkFilled(sample: RateSample): void {
    if (this.#filled || !this.#roundStart || sample.appLimited) return;
    if (this.#bandwidth.max >= this.#fullBandwidth * FULL_GROWTH) {
      this.#fullBandwidth = this.#bandwidth.max;
      this.#fullRounds = 0;
    } else this.#filled = ++this.#fullRounds >= FULL_ROUNDS || this.#lossyRound;
  }

  #checkDrain(inFlightPackets: number, nowMs: number): void {
    if (this.mode === "startup" && this.#filled) this.mode = "drain";
    if (this.mode === "drain" && inFlightPackets <= this.#bdp(1)) this.#enterProbeBandwidth(nowMs);
  }

  #enterProbeBandwidth(nowMs: number): void {
    this.mode = "probe-bandwidth";
    // Any phase but the draining one, which would clear a queue that isn't there.
    const phase = Math.floor(this.#random() * (CYCLE_GAINS.length - 1));
    this.#enterPhase(phase < DRAINING_PHASE ? phase : phase + 1, nowMs);
  }

  #updateMinRtt(sample: RateSample, delivered: number, inFlightPackets: number, nowMs: number): void {
    const expired = nowMs > this.#minRttAtMs + MIN_RTT_WINDOW_MS;
    if (sample.rttMs < this.minRttMs || (expired && !Number.isNaN(sample.rttMs))) {
      this.minRttMs = sample.rttMs;
      this.#minRttAtMs = nowMs;
    }
    if (expired && !this.#idleRestart && this.mode !== "probe-rtt") {
      this.#saveWindow();
      this.mode = "probe-rtt";
      this.#probeRttDoneAtMs = -1;
    }
    if (this.mode === "probe-rtt") {
      if (this.#probeRttDoneAtMs < 0) {
        if (inFlightPackets <= MIN_WINDOW_PACKETS) {
          this.#probeRttDoneAtMs = nowMs + PROBE_RTT_MS;
          this.#probeRttRoundDone = false;
          this.#nextRoundDelivered = delivered;
        }
      } else {
        if (this.#roundStart) this.#probeRttRoundDone = true;
        if (this.#probeRttRoundDone) this.#checkProbeRttDone(nowMs);
      }
    }
    if (sample.newlyDelivered > 0) this.#idleRestart = false;
  }

  #checkProbeRttDone(nowMs: number): void {
    if (this.#probeRttDoneAtMs < 0 || nowMs <= this.#probeRttDoneAtMs) return;
    this.#minRttAtMs = nowMs;
    this.windowPackets = Math.max(this.windowPackets, this.#priorWindow);
    if (this.#filled) this.#enterProbeBandwidth(nowMs);
    else this.mode = "startup";
  }

  #updateGains(): void {
    switch (this.mode) {
      case "startup":
        this.pacingGain = STARTUP_GAIN;
        this.#windowGain = STARTUP_GAIN;
        return;
      case "drain":
        this.pacingGain = 1 / STARTUP_GAIN;
        this.#windowGain = STARTUP_GAIN;
        return;
      case "probe-bandwidth":
        this.pacingGain = CYCLE_GAINS[this.#phase]!;
        this.#windowGain = this.#probingWindowGain();
        return;
      case "probe-rtt":
        this.pacingGain = 1;
        this.#windowGain = 1;
        return;
      default: {
        const never: never = this.mode;
        return never;
      }
    }
  }

  #probingWindowGain(): number {
    const queueShare = Math.min(QUEUE_MS / Math.max(this.minRttMs, TIMER_GRAIN_MS), MAX_WINDOW_GAIN - 1);
    return Math.max(1 + queueShare, CYCLE_GAINS[0]);
  }

  #setPacingRate(gain: number): void {
    if (this.#bandwidth.max === 0) return;
    const ratePerMs = this.#bandwidth.max * gain * PACING_MARGIN;
    // In startup a poor sample must not slow down what is only beginning.
    if (this.#filled || this.pacingRatePerMs === Infinity || ratePerMs > this.pacingRatePerMs) {
      this.pacingRatePerMs = ratePerMs;
    }
  }

  #updateWindow(sample: RateSample, delivered: number, inFlightPackets: number): void {
    const acked = sample.newlyDelivered;
    if (acked > 0) {
      this.windowPackets = Math.max(this.windowPackets - sample.newlyLost, 1);
      if (this.#conserving) this.windowPackets = Math.max(this.windowPackets, inFlightPackets + acked);
      else {
        let target = this.#bdp(this.#windowGain) + this.#aggregation();
        if (this.#ceiling > target) this.#ceiling = Infinity;
        target = Math.min(target, this.#ceiling);
        if (this.#filled) this.windowPackets = Math.min(this.windowPackets + acked, target);
        else if (this.windowPackets < target || delivered < INITIAL_WINDOW_PACKETS) this.windowPackets += acked;
        this.windowPackets = Math.max(this.windowPackets, MIN_WINDOW_PACKETS);
      }
    }
    if (this.mode === "probe-rtt") this.windowPackets = Math.min(this.windowPackets, MIN_WINDOW_PACKETS);
  }

  #aggregation(): number {
    if (!this.#filled) return 0;
    return Math.min(Math.max(this.#extraAcked[0]!, this.#extraAcked[1]!), this.#bandwidth.max * EXTRA_ACKED_MS);
  }
}
