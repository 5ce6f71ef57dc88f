/**
 * Loss detection: round-trip estimation as libudx applies RFC 6298, and the state of RACK-TLP (RFC 8985).
 * Pure state over times in milliseconds (fractions welcome) that the caller passes in.
 */
import { seqDiff } from "./packet.ts";

export const INITIAL_RTO_MS = 1000;
export const MIN_RTO_MS = 1000;
export const MAX_RTO_MS = 30_000;

/** A sample this old no longer counts as the path's minimum (Linux and libudx: 300 s). */
const MIN_RTT_WINDOW_MS = 300_000;
/** Samples above this and far above the estimate come from a suspended machine and are clamped, as in libudx. */
const RTT_OUTLIER_MS = 5000;
/** Extra patience of a tail loss probe when one packet is out and its acknowledgement may be held back. */
const MAX_ACK_DELAY_MS = 2;
/** Below this a probe would race the other side's event loop instead of a lost packet. */
const MIN_PROBE_TIMEOUT_MS = 10;
/** Selectively acknowledged packets that prove loss without any waiting, while no reordering was ever seen. */
const DUP_THRESHOLD = 3;

/** Smoothed round trip, its variation and the retransmission timeout, all in milliseconds. */
export class RttEstimator {
  srttMs = 0;
  rttvarMs = 0;
  rtoMs = INITIAL_RTO_MS;
  #sampled = false;
  // Two half-windows instead of a list of samples: the minimum covers between a half and a whole window.
  #currentMinMs = Infinity;
  #previousMinMs = Infinity;
  #halfStartedAtMs = 0;

  get hasSample(): boolean {
    return this.#sampled;
  }

  /** The path's smallest round trip of the last minutes; Infinity before the first sample. */
  get minRttMs(): number {
    return Math.min(this.#currentMinMs, this.#previousMinMs);
  }

  /** Caps a sample that spans a suspension, so that one of them can't stall the stream for minutes. */
  clamp(rttMs: number): number {
    if (!this.#sampled) return Math.min(rttMs, MAX_RTO_MS);
    const outlierMs = this.srttMs + 5 * this.rttvarMs;
    return rttMs > outlierMs && rttMs > RTT_OUTLIER_MS ? Math.min(outlierMs, MAX_RTO_MS) : rttMs;
  }

  /** Takes the round trip of a packet that was sent once (Karn: no retransmitted ones). */
  sample(rttMs: number, nowMs: number): void {
    if (nowMs - this.#halfStartedAtMs > MIN_RTT_WINDOW_MS / 2) {
      this.#previousMinMs = this.#currentMinMs;
      this.#currentMinMs = rttMs;
      this.#halfStartedAtMs = nowMs;
    } else if (rttMs < this.#currentMinMs) {
      this.#currentMinMs = rttMs;
    }
    if (this.#sampled) {
      this.rttvarMs = (3 * this.rttvarMs + Math.abs(this.srttMs - rttMs)) / 4;
      this.srttMs = (7 * this.srttMs + rttMs) / 8;
    } else {
      this.#sampled = true;
      this.srttMs = rttMs;
      this.rttvarMs = rttMs / 2;
    }
    this.rtoMs = Math.min(Math.max(this.srttMs + 4 * this.rttvarMs, MIN_RTO_MS), MAX_RTO_MS);
  }

  /**
   * Does the acknowledgement of a packet that was sent again answer the last copy? Not if it came faster than the path
   * allows (RFC 8985 §6.2 step 2), unless the first copy has been gone for so long that it can't be the answer either:
   * in one process a loaded path's minimum can be longer than an idle one's round trip.
   *
   * @param rttMs since the last copy was sent @param sinceFirstMs since the first was
   */
  answersLatestCopy(rttMs: number, sinceFirstMs: number): boolean {
    return rttMs >= this.minRttMs || sinceFirstMs > Math.max(this.srttMs + 4 * this.rttvarMs, MIN_PROBE_TIMEOUT_MS);
  }

  /**
   * How long after the last new packet a tail loss probe is due (RFC 8985 §7.2).
   *
   * @param outstanding packets neither acknowledged nor selectively acknowledged
   */
  probeTimeoutMs(outstanding: number): number {
    if (!this.#sampled) return INITIAL_RTO_MS;
    return Math.max(2 * this.srttMs + (outstanding === 1 ? MAX_ACK_DELAY_MS : 0), MIN_PROBE_TIMEOUT_MS);
  }
}

/** RFC 8985 `RACK_sent_after`: was a packet sent after another one; ties are broken by sequence number. */
export function sentAfter(sentA: number, endSeqA: number, sentB: number, endSeqB: number): boolean {
  return sentA > sentB || (sentA === sentB && seqDiff(endSeqA, endSeqB) > 0);
}

/** What RACK remembers of the packets that were delivered (RFC 8985 §5.2). */
export class Rack {
  /** Round trip of the most recently sent packet that was delivered. */
  rttMs = 0;
  /** When that packet was sent, and the number after its own. */
  sentMs = -Infinity;
  endSeq = 0;
  /** The number after the highest one delivered. */
  forwardAck: number;
  reorderingSeen = false;

  constructor(seq: number) {
    this.forwardAck = seq;
  }

  /**
   * Notes a delivered packet (RFC 8985 §6.2 steps 2 and 3).
   *
   * @param isLatestCopy was it the last copy sent that arrived? See `RttEstimator.answersLatestCopy()`.
   */
  delivered(seq: number, sentMs: number, rttMs: number, retransmitted: boolean, isLatestCopy: boolean): void {
    const endSeq = (seq + 1) >>> 0;
    if (isLatestCopy) {
      this.rttMs = rttMs;
      if (sentAfter(sentMs, endSeq, this.sentMs, this.endSeq)) {
        this.sentMs = sentMs;
        this.endSeq = endSeq;
      }
    }
    const ahead = seqDiff(endSeq, this.forwardAck);
    if (ahead > 0) this.forwardAck = endSeq;
    else if (ahead < 0 && !retransmitted) this.reorderingSeen = true;
  }

  /** How long a packet may be overtaken before it counts as lost (RFC 8985 §6.2 step 4). */
  reorderWindowMs(rtt: RttEstimator, inRecovery: boolean, sackedPackets: number): number {
    if (!this.reorderingSeen && (inRecovery || sackedPackets >= DUP_THRESHOLD)) return 0;
    return Math.min(rtt.minRttMs / 4, rtt.srttMs);
  }
}
