/**
 * What a sender asks of congestion control, and tells it: packets sent, delivered and lost go in; how many may be in
 * flight, and when the next one may go out, come out. Behind it are the delivery rate, BBR, which makes a model of the
 * path from it, and the pacer. Pure state, counted in packets and milliseconds.
 */
import { Bbr, type BbrMode } from "./bbr.ts";
import { DeliveryRate, type RateSnapshot } from "./delivery_rate.ts";
import { Pacer } from "./pacer.ts";

/** On paths shorter than timers are fine, pacing would only make packets wait for a timer: the window is enough. */
const MIN_PACED_RTT_MS = 2;

export class Congestion {
  readonly #rate = new DeliveryRate();
  readonly #pacer = new Pacer();
  readonly #bbr: Bbr;

  /** @param random numbers from 0 to below 1, by which streams that start together part */
  constructor(random: () => number) {
    this.#bbr = new Bbr(random);
  }

  /** Packets that may be in flight. */
  get windowPackets(): number {
    return Math.floor(this.#bbr.windowPackets);
  }

  get mode(): BbrMode {
    return this.#bbr.mode;
  }

  /** What the path carries as far as it is known, packets per millisecond. */
  get bandwidthPerMs(): number {
    return this.#bbr.bandwidthPerMs;
  }

  /** What the path takes there and back without queues; Infinity before it was measured. */
  get minRttMs(): number {
    return this.#bbr.minRttMs;
  }

  /** Packets per millisecond that pacing lets go; Infinity when it doesn't hold back. */
  get pacingRatePerMs(): number {
    return this.#pacer.ratePerMs;
  }

  /** May one more packet go out now, as far as pacing is concerned? */
  mayPace(nowMs: number): boolean {
    return this.#pacer.mayPace(nowMs);
  }

  /** When pacing lets the next packet go, given that `mayPace` just refused. */
  nextPacedAtMs(): number {
    return this.#pacer.nextAtMs();
  }

  /** A packet goes out, the first time or again. @param first nothing else is unacknowledged */
  onSent(packet: RateSnapshot, nowMs: number, first: boolean): void {
    if (first && this.#rate.appLimited) {
      this.#bbr.onIdleRestart(nowMs);
      this.#setPace();
    }
    this.#rate.onSent(packet, nowMs, first);
    this.#pacer.onSent();
  }

  /** There is nothing to send, though more might be in flight. */
  onAppLimited(inFlightPackets: number): void {
    this.#rate.markAppLimited(inFlightPackets);
  }

  /**
   * An acknowledgement is news of this packet; `onAck` follows when all of it is read.
   *
   * @param samePath it went where packets go now
   */
  onDelivered(packet: RateSnapshot, samePath = true): void {
    this.#rate.onDelivered(packet, samePath);
  }

  /** Packets go another way from now on. */
  onPathChanged(): void {
    this.#bbr.onPathChanged();
    this.#setPace();
  }

  onLost(packets: number): void {
    this.#rate.onLost(packets);
  }

  /**
   * An acknowledgement has been read, and what it proves lost has been told.
   *
   * @param rttMs the round trip it measured; NaN if none
   */
  onAck(inFlightPackets: number, rttMs: number, nowMs: number): void {
    const sample = this.#rate.finish(nowMs, rttMs, this.#bbr.minRttMs);
    this.#bbr.onAck(sample, this.#rate.delivered, inFlightPackets, nowMs);
    this.#setPace();
  }

  /** A loss was found while all was well. */
  onRecovery(inFlightPackets: number): void {
    this.#bbr.onRecovery(this.#rate.delivered, inFlightPackets);
  }

  /** All that was sent before the loss, or the timeout, was found has arrived. */
  onRecovered(): void {
    this.#bbr.onRecovered();
  }

  /** The retransmission timer fired. */
  onTimeout(inFlightPackets: number): void {
    this.#bbr.onTimeout(inFlightPackets);
  }

  #setPace(): void {
    this.#pacer.ratePerMs = this.#bbr.minRttMs < MIN_PACED_RTT_MS ? Infinity : this.#bbr.pacingRatePerMs;
  }
}
