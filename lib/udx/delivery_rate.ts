/**
 * How fast packets are delivered (draft-cheng-iccrg-delivery-rate-estimation, as in libudx's `udx_rate.c`): every packet
 * remembers what had been delivered when it was sent, so that its acknowledgement tells the rate of the round trip between.
 */
import { sentAfter } from "./recovery.ts";

/** What a sent packet remembers for the sample that its acknowledgement gives. Times in milliseconds. */
export interface RateSnapshot {
  sentMs: number;
  readonly seq: number;
  /** Packets delivered when it was sent, and when the last of them was. */
  deliveredBefore: number;
  deliveredBeforeMs: number;
  /** When the packet was sent whose delivery was known last: where the sample's time of sending begins. */
  flightStartMs: number;
  /** It was sent while there was less to send than the path would have taken. */
  appLimited: boolean;
}

/** What one acknowledgement says. The same object serves for every acknowledgement. */
export interface RateSample {
  /** Packets per millisecond that the path delivered at least; NaN when this acknowledgement tells nothing about it. */
  ratePerMs: number;
  /** The rate was bounded by what there was to send: it says nothing unless it is higher than what was known. */
  appLimited: boolean;
  /** `delivered` when the packet was sent that this sample comes from; -1 without one. */
  priorDelivered: number;
  /** Packets that this acknowledgement is news of, and those found lost since the last one. */
  newlyDelivered: number;
  newlyLost: number;
  /** Round trip of the packet sent last; NaN without a sample (Karn). */
  rttMs: number;
}

export class DeliveryRate {
  /** Packets delivered so far. */
  delivered = 0;
  /** When the last of them was. */
  deliveredMs = 0;
  readonly sample: RateSample = {
    ratePerMs: NaN,
    appLimited: false,
    priorDelivered: -1,
    newlyDelivered: 0,
    newlyLost: 0,
    rttMs: NaN,
  };
  #flightStartMs = 0;
  #appLimitedUntil = 0;
  #newlyDelivered = 0;
  #newlyLost = 0;
  // Of the packets in the acknowledgement at hand, the one sent last.
  #latest: RateSnapshot | null = null;

  /** Too little is being sent to tell what the path can carry. */
  get appLimited(): boolean {
    return this.#appLimitedUntil > 0;
  }

  /** Everything that is to be sent has been sent, and the window isn't full. */
  markAppLimited(inFlightPackets: number): void {
    this.#appLimitedUntil = Math.max(this.delivered + inFlightPackets, 1);
  }

  /** A packet goes out. @param first nothing else is unacknowledged: a new flight begins */
  onSent(packet: RateSnapshot, nowMs: number, first: boolean): void {
    if (first) {
      this.#flightStartMs = nowMs;
      this.deliveredMs = nowMs;
    }
    packet.flightStartMs = this.#flightStartMs;
    packet.deliveredBefore = this.delivered;
    packet.deliveredBeforeMs = this.deliveredMs;
    packet.appLimited = this.#appLimitedUntil > 0;
  }

  /** @param samePath it went the way that is measured: else it only counts as delivered */
  onDelivered(packet: RateSnapshot, samePath = true): void {
    this.#newlyDelivered++;
    if (!samePath) return;
    const latest = this.#latest;
    if (latest === null || sentAfter(packet.sentMs, packet.seq, latest.sentMs, latest.seq)) this.#latest = packet;
  }

  onLost(packets: number): void {
    this.#newlyLost += packets;
  }

  /** Ends an acknowledgement. @param minRttMs what a sample shorter than that claims isn't possible */
  finish(nowMs: number, rttMs: number, minRttMs: number): RateSample {
    const sample = this.sample;
    this.delivered += this.#newlyDelivered;
    if (this.#newlyDelivered > 0) this.deliveredMs = nowMs;
    if (this.#appLimitedUntil > 0 && this.delivered > this.#appLimitedUntil) this.#appLimitedUntil = 0;
    sample.newlyDelivered = this.#newlyDelivered;
    sample.newlyLost = this.#newlyLost;
    sample.rttMs = rttMs;
    sample.ratePerMs = NaN;
    sample.priorDelivered = -1;
    sample.appLimited = false;
    const packet = this.#latest;
    if (packet !== null) {
      // The slower of sending and acknowledging: acknowledgements may come in bursts, faster than the path.
      const intervalMs = Math.max(packet.sentMs - packet.flightStartMs, nowMs - packet.deliveredBeforeMs);
      this.#flightStartMs = packet.sentMs;
      sample.priorDelivered = packet.deliveredBefore;
      sample.appLimited = packet.appLimited;
      if (intervalMs >= minRttMs && intervalMs > 0) {
        sample.ratePerMs = (this.delivered - packet.deliveredBefore) / intervalMs;
      }
    }
    this.#newlyDelivered = 0;
    this.#newlyLost = 0;
    this.#latest = null;
    return sample;
  }
}
