/**
 * The packets that were sent and not yet acknowledged without a gap: which of them are under way, which have arrived and
 * which are lost. Reads acknowledgements; knows no timer and sends nothing.
 */
import { MAX_SACK_BLOCKS, seqAdd, seqDiff } from "./packet.ts";
import { PacketList, PacketRing, type SentPacket } from "./packet_list.ts";
import { Rack, type RttEstimator, sentAfter } from "./recovery.ts";

/** Retransmission timeouts of one packet after which the other side is given up (libudx: 6). */
export const MAX_TIMEOUTS = 6;

/** Who is told, packet by packet, what became of them. */
export interface Watcher<R> {
  /** It has arrived. */
  delivered(packet: SentPacket<R>, nowMs: number): void;
  /** It is taken for lost. */
  lost(packet: SentPacket<R>, nowMs: number): void;
}

export class Outstanding<R> {
  /** The next number to use, and the oldest one not acknowledged (TCP: SND.NXT and SND.UNA). */
  next: number;
  acked: number;
  /** In order of sending. */
  readonly inFlight = new PacketList<R>();
  /** To be sent again, in this order. */
  readonly lost = new PacketList<R>();
  /** Selectively acknowledged. */
  sackedPackets = 0;
  /** Payload that has not arrived, as far as is known. */
  unackedBytes = 0;
  acknowledgedBytes = 0;
  endAcked = false;
  /** SACK blocks that named packets never sent or already acknowledged. */
  invalidSacks = 0;
  readonly #rack: Rack;
  readonly #rtt: RttEstimator;
  readonly #watcher: Watcher<R>;
  readonly #bySeq = new PacketRing<R>();
  /** Of the packets that the acknowledgement in hand is news of, the one sent last. */
  #latest: SentPacket<R> | null = null;

  /** @param seq the first number */
  constructor(seq: number, rtt: RttEstimator, watcher: Watcher<R>) {
    this.next = this.acked = seq;
    this.#rack = new Rack(seq);
    this.#rtt = rtt;
    this.#watcher = watcher;
  }

  /** Everything sent has been acknowledged. */
  get none(): boolean {
    return this.next === this.acked;
  }

  /** Packets kept until they are acknowledged without a gap. */
  get packets(): number {
    return this.inFlight.length + this.lost.length + this.sackedPackets;
  }

  get(seq: number): SentPacket<R> | undefined {
    return this.#bySeq.get(seq);
  }

  clear(): void {
    this.#bySeq.clear();
    this.inFlight.clear();
    this.lost.clear();
    this.sackedPackets = 0;
  }

  /** A new packet, with the number `next`, is under way. */
  add(packet: SentPacket<R>): void {
    this.unackedBytes += packet.payloadBytes;
    this.next = seqAdd(this.next, 1);
    this.#bySeq.set(packet, seqDiff(this.next, this.acked));
    this.inFlight.push(packet);
  }

  /** Another copy is about to go out: it counts as sent then. */
  addAgain(packet: SentPacket<R>, nowMs: number): void {
    this.#removeFromList(packet);
    packet.sentMs = nowMs;
    packet.retransmitted = true;
    this.inFlight.push(packet);
  }

  #removeFromList(packet: SentPacket<R>): void {
    if (packet.lost) {
      this.lost.remove(packet);
      packet.lost = false;
    } else this.inFlight.remove(packet);
  }

  // Acknowledgements.

  /** Everything below `ack` has arrived, and the blocks. @returns how many packets that was news of */
  takeAck(ack: number, sacks: readonly number[], nowMs: number): number {
    let delivered = 0;
    this.#latest = null;
    while (seqDiff(ack, this.acked) > 0) {
      if (this.#acknowledge(this.acked, nowMs)) delivered++;
      this.acked = seqAdd(this.acked, 1);
    }
    if (this.none) this.#bySeq.emptied();
    return sacks.length > 0 ? delivered + this.#takeSacks(sacks, nowMs) : delivered;
  }

  #takeSacks(sacks: readonly number[], nowMs: number): number {
    let delivered = 0;
    // Honest blocks don't overlap, so together they never cover more than what is outstanding.
    let allowance = seqDiff(this.next, this.acked);
    const blocks = Math.min(sacks.length >> 1, MAX_SACK_BLOCKS);
    for (let i = 0; i < blocks; i++) {
      const start = sacks[i * 2]!;
      const end = sacks[i * 2 + 1]!;
      const length = seqDiff(end, start);
      const valid = length > 0 && seqDiff(end, this.next) <= 0 && seqDiff(start, this.acked) >= 0;
      if (!valid || length > allowance) {
        this.invalidSacks++;
        continue;
      }
      allowance -= length;
      delivered += this.#takeSackBlock(start, end, nowMs);
    }
    return delivered;
  }

  /** Walks through what is news only: an honest peer names a block again and again while it grows, another for fun. */
  #takeSackBlock(start: number, end: number, nowMs: number): number {
    let delivered = 0;
    let seq = start;
    while (seqDiff(end, seq) > 0) {
      const packet = this.#bySeq.get(seq);
      seq = seqAdd(seq, 1);
      if (packet === undefined) continue;
      if (!packet.delivered) {
        this.#noteDelivered(packet, nowMs);
        this.sackedPackets++;
        delivered++;
      } else if (seqDiff(packet.deliveredUntil, seq) > 0) seq = packet.deliveredUntil;
      if (seqDiff(end, packet.deliveredUntil) > 0) packet.deliveredUntil = end;
    }
    return delivered;
  }

  /** Notes that a packet and everything before it has arrived; false when its arrival was known. */
  #acknowledge(seq: number, nowMs: number): boolean {
    const packet = this.#bySeq.get(seq);
    if (packet === undefined) return false;
    const news = !packet.delivered;
    if (news) this.#noteDelivered(packet, nowMs);
    else this.sackedPackets--;
    this.#bySeq.delete(seq);
    this.acknowledgedBytes += packet.payloadBytes;
    if (packet.end) this.endAcked = true;
    return news;
  }

  #noteDelivered(packet: SentPacket<R>, nowMs: number): void {
    packet.delivered = true;
    this.#removeFromList(packet);
    if (this.#latest === null || sentAfter(packet.sentMs, packet.seq, this.#latest.sentMs, this.#latest.seq)) {
      this.#latest = packet;
    }
    const rttMs = this.#rtt.clamp(Math.max(nowMs - packet.sentMs, 0));
    const inVain = this.#rack.delivered(packet, nowMs, rttMs, this.#rtt.minRttMs);
    if (inVain) this.#rack.widen(this.acked, this.next);
    this.unackedBytes -= packet.payloadBytes;
    this.#watcher.delivered(packet, nowMs);
  }

  /**
   * Measures the round trip by the packet sent last of those the last acknowledgement was news of, as QUIC does (RFC 9002
   * §5.1): the others may have arrived long ago, with an acknowledgement that got lost. NaN without a measurement, and of
   * packets that didn't take the present route.
   */
  sampleRoundTrip(route: R | null, nowMs: number): number {
    const latest = this.#latest;
    this.#latest = null;
    // Karn: which copy was answered isn't known.
    if (latest === null || latest.retransmitted || latest.route !== route) return NaN;
    const rttMs = this.#rtt.clamp(Math.max(nowMs - latest.sentMs, 0));
    this.#rtt.sample(rttMs, nowMs);
    return rttMs;
  }

  // Loss.

  /** A recovery is over. */
  recovered(): void {
    this.#rack.recovered();
  }

  /**
   * Takes packets for lost that were overtaken for too long (RFC 8985 §6.2 step 5).
   *
   * @returns in how many milliseconds to look again for those that may still arrive; 0 when there are none
   */
  detectLoss(inRecovery: boolean, nowMs: number): number {
    const window = this.#rack.reorderWindowMs(this.#rtt, inRecovery, this.sackedPackets);
    let waitMs = 0;
    let packet = this.inFlight.head;
    // The list is in order of sending, so the first one sent later than RACK's packet ends the search.
    while (packet !== null && packet.sentMs <= this.#rack.sentMs) {
      const following: SentPacket<R> | null = packet.next;
      if (sentAfter(this.#rack.sentMs, this.#rack.endSeq, packet.sentMs, seqAdd(packet.seq, 1))) {
        const remainingMs = packet.sentMs + this.#rack.rttMs + window - nowMs;
        if (remainingMs <= 0) this.#markLost(packet, nowMs);
        else if (remainingMs > waitMs) waitMs = remainingMs;
      }
      packet = following;
    }
    return waitMs;
  }

  /**
   * The retransmission timer fired: takes the oldest packet and all that are overdue for lost (RFC 8985 §6.3).
   *
   * @returns false when one of them has timed out too often
   */
  timeOut(nowMs: number): boolean {
    const window = this.#rack.reorderWindowMs(this.#rtt, true, this.sackedPackets);
    let packet = this.inFlight.head;
    while (packet !== null) {
      const following: SentPacket<R> | null = packet.next;
      const overdue = packet.sentMs + this.#rack.rttMs + window - nowMs < 0;
      if (packet.seq === this.acked || overdue) {
        if (packet.timeouts >= MAX_TIMEOUTS) return false;
        packet.timeouts++;
        this.#markLost(packet, nowMs);
      }
      packet = following;
    }
    this.#sortLost();
    return true;
  }

  #markLost(packet: SentPacket<R>, nowMs: number): void {
    this.inFlight.remove(packet);
    packet.lost = true;
    this.lost.push(packet);
    this.#watcher.lost(packet, nowMs);
  }

  /**
   * What is in the other side's way goes first again, as in libudx: else each packet of a full window would have to time
   * out that often before a dead path is given up.
   */
  #sortLost(): void {
    this.lost.clear();
    for (let seq = this.acked; seq !== this.next; seq = seqAdd(seq, 1)) {
      const packet = this.#bySeq.get(seq);
      if (packet !== undefined && packet.lost) this.lost.push(packet);
    }
  }
}
