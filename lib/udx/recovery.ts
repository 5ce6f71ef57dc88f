/**
 * Loss detection: round-trip estimation as libudx applies RFC 6298, and the state of RACK-TLP (RFC 8985).
 * Pure state over times in milliseconds (fractions welcome) that the caller passes in.
 */
import { seqDiff } from "./packet.ts";

const INITIAL_RTO_MS = 1000;
const MIN_RTO_MS = 1000;
const MAX_RTO_MS = 30_000;

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
/** Recoveries after which a widened reordering window is narrow again (RFC 8985: RACK.reo_wnd_persist). */
const PERSIST_RECOVERIES = 16;

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

  /** Packets take another path from now on. */
  forgetMinimum(): void {
    this.#currentMinMs = this.#previousMinMs = Infinity;
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

/** What RACK must know of a packet that was delivered. */
export interface Delivered {
  readonly seq: number;
  /** When its last copy was sent, and when its first. */
  readonly sentMs: number;
  readonly firstSentMs: number;
  readonly retransmitted: boolean;
}

/** What RACK remembers of the packets that were delivered (RFC 8985 §5.3). */
export class Rack {
  /** Round trip of the most recently sent packet that was delivered. */
  rttMs = 0;
  /** When that packet was sent, and the number after its own. */
  sentMs = -Infinity;
  endSeq = 0;
  /** The number after the highest one delivered. */
  forwardAck: number;
  reorderingSeen = false;
  /** How many quarters of the shortest round trip a packet may be overtaken, and the recoveries for which more than one. */
  #quarters = 1;
  #persistRecoveries = 0;
  /** No further quarter is added before this number has arrived: one per round trip. */
  #widenedUntil: number;

  constructor(seq: number) {
    this.forwardAck = seq;
    this.#widenedUntil = seq;
  }

  /**
   * Notes a delivered packet (RFC 8985 §6.2 steps 2 and 3). Of one that was sent again the last copy is taken to have
   * arrived; if that is impossible because the answer came faster than the path allows, the first one, of which the same
   * can be said: that what was sent before it has been overtaken.
   *
   * @param minRttMs the shortest round trip of the path; Infinity while it isn't known
   * @returns whether it was sent again in vain
   */
  delivered(packet: Delivered, nowMs: number, rttMs: number, minRttMs: number): boolean {
    const endSeq = (packet.seq + 1) >>> 0;
    const inVain = packet.retransmitted && rttMs < minRttMs && minRttMs < Infinity;
    const sentMs = inVain ? packet.firstSentMs : packet.sentMs;
    this.rttMs = inVain ? Math.max(nowMs - sentMs, 0) : rttMs;
    if (sentAfter(sentMs, endSeq, this.sentMs, this.endSeq)) {
      this.sentMs = sentMs;
      this.endSeq = endSeq;
    }
    const ahead = seqDiff(endSeq, this.forwardAck);
    if (ahead > 0) this.forwardAck = endSeq;
    else if (ahead < 0 && !packet.retransmitted) this.reorderingSeen = true;
    return inVain;
  }

  /**
   * A packet was sent again in vain: the window grows by a quarter of the shortest round trip per round trip. RFC 8985
   * learns of that through DSACK, which UDX doesn't have; an answer that comes too early says the same.
   *
   * @param acked the oldest number not acknowledged @param next the next one to be sent
   */
  widen(acked: number, next: number): void {
    this.reorderingSeen = true;
    this.#persistRecoveries = PERSIST_RECOVERIES;
    if (seqDiff(acked, this.#widenedUntil) < 0) return;
    this.#widenedUntil = next;
    this.#quarters++;
  }

  /** A recovery is over: after 16 without a repetition in vain the window is what it was. */
  recovered(): void {
    if (this.#persistRecoveries > 0 && --this.#persistRecoveries === 0) this.#quarters = 1;
  }

  /** How long a packet may be overtaken before it counts as lost (RFC 8985 §6.2 step 4). */
  reorderWindowMs(rtt: RttEstimator, inRecovery: boolean, sackedPackets: number): number {
    if (!this.reorderingSeen && (inRecovery || sackedPackets >= DUP_THRESHOLD)) return 0;
    return Math.min(rtt.minRttMs / 4 * this.#quarters, rtt.srttMs);
  }
}
