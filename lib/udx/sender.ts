/**
 * The sending half of a stream: what was written, what is in flight, what got lost, and every timer. Pure state, like
 * the `StreamMachine` that owns it.
 */
import { Congestion } from "./congestion.ts";
import { DATA, encodeHeader, END, HEADER_BYTES, type Packet, seqAdd, seqDiff, writeU32 } from "./packet.ts";
import { BASE_MTU_BYTES, MAX_PADDING_BYTES, PathMtu } from "./mtu.ts";
import { MAX_TIMEOUTS, Outstanding } from "./outstanding.ts";
import type { SentPacket } from "./packet_list.ts";
import { RttEstimator } from "./recovery.ts";
import { SendQueue } from "./send_queue.ts";

/** IP and UDP headers in front of the UDX header. */
const IPV4_OVERHEAD_BYTES = 20 + 8;
const IPV6_OVERHEAD_BYTES = 40 + 8;

/** What the other side is taken to accept until it says so itself. */
const INITIAL_SEND_WINDOW_BYTES = 4 * 1024 * 1024;
/** Unacknowledged bytes, beyond the send window, above which the writer is told to wait. */
const HIGH_WATER_BYTES = 262_144;
/** Numbers in use between the oldest unacknowledged packet and the next one: bounds the ring, and a peer's SACK work. */
const MAX_SPAN_PACKETS = 16_384;
/** From this timeout on a packet follows a changed remote: the old path has most likely gone with the change. */
const REROUTE_AFTER_TIMEOUTS = 2;

/** Where packets go. The owner extends it with its socket and address; the machine only hands it back. */
export interface Route {
  readonly remoteId: number;
  readonly ipv6: boolean;
}

/** What outgoing packets carry along about our receiving half. */
export interface ReceivingHalf {
  /** The next number expected. */
  readonly next: number;
  /** The window that a packet is about to advertise. */
  advertise(): number;
  /** A data packet has told `next`. */
  acknowledged(): void;
}

/** What the owner of a sender must hear at once. */
export type SenderNotice = "drain" | "remote-changed" | "timed-out";

type Timer = "none" | "retransmit" | "probe" | "zero-window" | "keepalive";
type Recovery = "open" | "recovery" | "timeout";

/** Chance without a source of chance: a linear congruential generator, seeded with what differs between streams. */
function phaseRandom(seed: number): () => number {
  let state = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b);
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) | 0;
    return (state >>> 0) / 2 ** 32;
  };
}

/** What an IP packet carries besides ours. */
function overheadBytes(route: Route | null): number {
  return route !== null && route.ipv6 ? IPV6_OVERHEAD_BYTES : IPV4_OVERHEAD_BYTES;
}

export class Sender<R extends Route> {
  readonly rtt = new RttEstimator();
  readonly congestion: Congestion;
  readonly #out: Outstanding<R>;
  readonly #receiving: ReceivingHalf;
  readonly #allocate: (bytes: number) => Uint8Array;
  readonly #notify: (notice: SenderNotice) => void;
  readonly #mtu = new PathMtu();
  #route: R | null = null;

  readonly #queue = new SendQueue();
  #endQueued = false;
  #endSent = false;
  #writerWaits = false;
  #sendWindow = INITIAL_SEND_WINDOW_BYTES;
  #windowSeq = 0;
  #windowAck: number;
  #changedAtSeq: number | null = null;

  #recovery: Recovery = "open";
  #recoverUntil = 0;
  /** Tail loss probes since something was last delivered, and the one that waits to be sent. */
  #probes = 0;
  #probe: SentPacket<R> | null = null;
  #timer: Timer = "none";
  #timerAtMs = Infinity;
  #retransmitAtMs = Infinity;
  #reorderAtMs = Infinity;
  #pacedUntilMs = Infinity;
  /** Probes of a closed window that went out since the other side was last heard. */
  #unansweredProbes = 0;
  #keepaliveMs = 0;
  #heartbeatDue = false;
  /** Packets, but for probes, that the search at hand found lost. */
  #lostPackets = 0;

  retransmits = 0;
  fastRecoveries = 0;
  timeouts = 0;
  writtenBytes = 0;

  /** @param id of our stream @param seq the first number @param allocate gives memory for a datagram of that size */
  constructor(
    id: number,
    seq: number,
    receiving: ReceivingHalf,
    allocate: (bytes: number) => Uint8Array,
    notify: (notice: SenderNotice) => void,
  ) {
    this.#windowAck = seq;
    this.congestion = new Congestion(phaseRandom(id ^ seq));
    this.#out = new Outstanding(seq, this.rtt, {
      delivered: (packet, nowMs) => this.#onDelivered(packet, nowMs),
      lost: (packet, nowMs) => this.#onLost(packet, nowMs),
    });
    this.#receiving = receiving;
    this.#allocate = allocate;
    this.#notify = notify;
  }

  get route(): R | null {
    return this.#route;
  }

  get seq(): number {
    return this.#out.next;
  }

  /** Size of an IP packet we send. */
  get mtuBytes(): number {
    return this.#mtu.bytes;
  }

  get maxPayloadBytes(): number {
    return this.#mtu.bytes - overheadBytes(this.#route) - HEADER_BYTES;
  }

  get inFlightPackets(): number {
    return this.#out.inFlight.length;
  }

  /** Packets kept until they are acknowledged without a gap. */
  get heldPackets(): number {
    return this.#out.packets;
  }

  /** Their bytes, headers of UDX included but not those of UDP and IP, as libudx counts. */
  get inFlightBytes(): number {
    let bytes = 0;
    for (let packet = this.#out.inFlight.head; packet !== null; packet = packet.next) {
      bytes += HEADER_BYTES + packet.payloadBytes;
    }
    return bytes;
  }

  /** Written and not yet acknowledged bytes, sent or not. */
  get pendingBytes(): number {
    return this.#out.unackedBytes + this.#queue.bytes;
  }

  /** What the other side lets us send. */
  get sendWindow(): number {
    return this.#sendWindow;
  }

  /** SACK blocks that named packets never sent or already acknowledged. */
  get invalidSacks(): number {
    return this.#out.invalidSacks;
  }

  /** Bytes that the other side has acknowledged without a gap; of `writtenBytes`. */
  get acknowledgedBytes(): number {
    return this.#out.acknowledgedBytes;
  }

  get remoteChanging(): boolean {
    return this.#changedAtSeq !== null;
  }

  /** Our END and everything before it has been acknowledged. */
  get finished(): boolean {
    return this.#out.endAcked && this.#out.none;
  }

  /** When `handleTimeout()` and `next()` want to be called; Infinity when never. */
  get timeoutMs(): number {
    return Math.min(this.#timerAtMs, this.#reorderAtMs, this.#pacedUntilMs);
  }

  /** Starts sending. @param ack the first number of the other side, if it isn't 0 */
  connect(route: R, nowMs: number, ack?: number): void {
    this.#route = route;
    if (ack !== undefined) this.#windowSeq = ack;
    if (this.#timer === "none") this.#rest(nowMs);
  }

  /** Sends what is new elsewhere; `remote-changed` follows when nothing sent before is outstanding. */
  changeRemote(route: R): void {
    this.#route = route;
    this.#mtu.reset();
    this.rtt.forgetMinimum();
    this.congestion.onPathChanged();
    if (this.#out.none) this.#notify("remote-changed");
    else this.#changedAtSeq = this.#out.next;
  }

  write(bytes: Uint8Array): boolean {
    if (this.#endQueued) return true;
    this.#queue.push(bytes);
    this.writtenBytes += bytes.length;
    this.#writerWaits = this.pendingBytes > this.#highWaterBytes();
    return !this.#writerWaits;
  }

  end(): void {
    this.#endQueued = true;
  }

  setKeepalive(intervalMs: number, nowMs: number): void {
    this.#keepaliveMs = intervalMs;
    if (this.#timer === "none" || this.#timer === "keepalive") this.#rest(nowMs);
  }

  /** Uses up a number for a packet that isn't repeated (DESTROY). */
  takeSeq(): number {
    const seq = this.#out.next;
    this.#out.next = seqAdd(seq, 1);
    return seq;
  }

  /** Forgets everything that was to be sent; no timer runs any more. */
  clear(): void {
    this.#setTimer("none", Infinity);
    this.#reorderAtMs = Infinity;
    this.#pacedUntilMs = Infinity;
    this.#heartbeatDue = false;
    this.#probe = null;
    this.#queue.clear();
    this.#out.clear();
  }

  /** Acts on a deadline that has passed; without one it does nothing. */
  handleTimeout(nowMs: number): void {
    // The owner asks for packets now, or when its socket has room: to be told again at once would be of no use.
    if (nowMs >= this.#pacedUntilMs) this.#pacedUntilMs = Infinity;
    if (nowMs >= this.#reorderAtMs) this.#detectLoss(nowMs);
    if (nowMs < this.#timerAtMs) return;
    switch (this.#timer) {
      case "none":
        return;
      case "retransmit":
        return this.#onRetransmitTimeout(nowMs);
      case "probe":
        return this.#onProbeTimeout(nowMs);
      case "zero-window":
        // Whoever keeps its window closed answers (RFC 9293 §3.8.6.1); libudx would ask the dead for ever.
        if (++this.#unansweredProbes > MAX_TIMEOUTS) return this.#notify("timed-out");
        this.#heartbeatDue = true;
        return this.#setTimer("zero-window", nowMs + this.rtt.rtoMs * 2);
      case "keepalive":
        this.#heartbeatDue = true;
        return this.#setTimer("keepalive", nowMs + this.#keepaliveMs);
      default: {
        const never: never = this.#timer;
        return never;
      }
    }
  }

  /** Is a heartbeat to be sent? Asking takes it. */
  takeHeartbeat(): boolean {
    const due = this.#heartbeatDue;
    this.#heartbeatDue = false;
    return due;
  }

  /** The next packet to send now, or null. */
  next(nowMs: number): SentPacket<R> | null {
    const probe = this.#probe;
    this.#probe = null;
    if (probe !== null) return probe;
    this.#pacedUntilMs = Infinity;
    return this.#route === null ? null : this.#nextPacket(this.#route, nowMs);
  }

  #nextPacket(route: R, nowMs: number): SentPacket<R> | null {
    const lost = this.#out.lost.head;
    const wantsNew = this.#queue.bytes > 0 || (this.#endQueued && !this.#endSent);
    if (this.#out.inFlight.length >= this.congestion.windowPackets) return null;
    if (lost === null && !wantsNew) {
      this.congestion.onAppLimited(this.#out.inFlight.length);
      return null;
    }
    // The peer's window doesn't hold back repetitions: it may have shrunk while they were under way.
    if (lost === null && !this.#windowAllowsNew()) {
      // A reader that pauses says nothing about the path either.
      this.congestion.onAppLimited(this.#out.inFlight.length);
      this.#probeZeroWindow(nowMs);
      return null;
    }
    if (!this.congestion.mayPace(nowMs)) {
      this.#pacedUntilMs = this.congestion.nextPacedAtMs();
      return null;
    }
    return lost === null ? this.#sendNew(route, nowMs) : this.#sendAgain(lost, nowMs);
  }

  /** Does the receive window of the other side (and our own bound) admit one more packet? */
  #windowAllowsNew(): boolean {
    if (this.#sendWindow === 0) return false;
    const span = seqDiff(this.#out.next, this.#out.acked);
    return span < Math.min(Math.max(Math.floor(this.#sendWindow / this.maxPayloadBytes), 1), MAX_SPAN_PACKETS);
  }

  #probeZeroWindow(nowMs: number): void {
    if (this.#sendWindow > 0 || !this.#out.none || this.#timer === "zero-window") return;
    this.#heartbeatDue = true;
    this.#setTimer("zero-window", nowMs + this.rtt.rtoMs);
  }

  /** @param isTailProbe keeps it small, so that it also gets through where the path has stopped carrying large ones */
  #sendNew(route: R, nowMs: number, isTailProbe = false): SentPacket<R> {
    const mtuBytes = isTailProbe ? BASE_MTU_BYTES : this.#mtu.beforeSending(nowMs);
    const headersBytes = HEADER_BYTES + overheadBytes(route);
    const payloadBytes = Math.min(this.#queue.bytes, mtuBytes - headersBytes);
    // Not while the remote changes, as in libudx: the new path has more to show first.
    const padding = payloadBytes > 0 && !isTailProbe && this.#changedAtSeq === null
      ? this.#mtu.padding(headersBytes + payloadBytes)
      : 0;
    const bytes = this.#allocate(HEADER_BYTES + padding + payloadBytes);
    if (payloadBytes > 0) this.#queue.take(payloadBytes, bytes, HEADER_BYTES + padding);
    const end = this.#endQueued && this.#queue.bytes === 0;
    if (end) this.#endSent = true;
    encodeHeader(
      bytes,
      (payloadBytes > 0 ? DATA : 0) | (end ? END : 0),
      route.remoteId,
      this.#receiving.advertise(),
      this.#out.next,
      this.#receiving.next,
    );
    if (padding > 0) {
      bytes[3] = padding;
      bytes.fill(0, HEADER_BYTES, HEADER_BYTES + padding);
    }
    this.#receiving.acknowledged();
    const packet: SentPacket<R> = {
      seq: this.#out.next,
      bytes,
      padding,
      probe: padding > 0,
      payloadBytes,
      end,
      route,
      sentMs: nowMs,
      firstSentMs: nowMs,
      retransmitted: false,
      lost: false,
      delivered: false,
      deliveredUntil: this.#out.next,
      timeouts: 0,
      deliveredBefore: 0,
      deliveredBeforeMs: 0,
      flightStartMs: 0,
      appLimited: false,
      previous: null,
      next: null,
    };
    this.congestion.onSent(packet, nowMs, this.#out.none);
    this.#out.add(packet);
    this.#armAfterSending(nowMs);
    return packet;
  }

  #sendAgain(packet: SentPacket<R>, nowMs: number): SentPacket<R> {
    if (packet.timeouts >= REROUTE_AFTER_TIMEOUTS && this.#route !== null && packet.route !== this.#route) {
      packet.route = this.#route;
      writeU32(packet.bytes, 4, packet.route.remoteId);
    }
    this.#padRepetition(packet, nowMs);
    // The payload stays, but the peer should learn what we know now.
    writeU32(packet.bytes, 8, this.#receiving.advertise());
    writeU32(packet.bytes, 16, this.#receiving.next);
    this.#out.addAgain(packet, nowMs);
    this.congestion.onSent(packet, nowMs, false);
    this.retransmits++;
    this.#armAfterSending(nowMs);
    return packet;
  }

  /**
   * A probe is repeated without its padding. A packet larger than what the path is now known to carry can't be split up,
   * since it has its number and an old copy may still arrive. Every other copy is made so large that the system
   * sends it in fragments (Linux: longer than the link's MTU, which also leaves out IPv4's "don't fragment").
   */
  #padRepetition(packet: SentPacket<R>, nowMs: number): void {
    if (packet.probe) this.#probeLost(packet, nowMs);
    if (packet.padding > 0) this.#pad(packet, 0);
    else if (packet.bytes.length + overheadBytes(packet.route) > this.#mtu.bytes && packet.route === this.#route) {
      this.#pad(packet, MAX_PADDING_BYTES);
    }
  }

  #pad(packet: SentPacket<R>, padding: number): void {
    const old = packet.bytes;
    const bytes = this.#allocate(HEADER_BYTES + padding + packet.payloadBytes);
    bytes.set(old.subarray(0, HEADER_BYTES));
    bytes[3] = padding;
    bytes.fill(0, HEADER_BYTES, HEADER_BYTES + padding);
    bytes.set(old.subarray(HEADER_BYTES + packet.padding), HEADER_BYTES + padding);
    packet.bytes = bytes;
    packet.padding = padding;
  }

  #probeLost(packet: SentPacket<R>, nowMs: number): void {
    packet.probe = false;
    if (packet.route === this.#route) this.#mtu.onProbeLost(nowMs);
  }

  #highWaterBytes(): number {
    return HIGH_WATER_BYTES + Math.min(this.congestion.windowPackets * this.maxPayloadBytes, this.#sendWindow);
  }

  // Acknowledgements.

  /** Takes what a packet of the other side acknowledges. */
  takeAck(packet: Packet, nowMs: number): void {
    // An acknowledgement of what was never sent is a lie or from another life: nothing in it counts.
    if (seqDiff(packet.ack, this.#out.next) > 0) return;
    this.#unansweredProbes = 0;
    this.#takeWindow(packet);
    if (this.#changedAtSeq !== null && seqDiff(packet.ack, this.#changedAtSeq) >= 0) {
      this.#changedAtSeq = null;
      this.#notify("remote-changed");
    }
    if (this.#recovery !== "open" && seqDiff(packet.ack, this.#recoverUntil) >= 0) {
      this.#recovery = "open";
      this.#out.recovered();
      this.congestion.onRecovered();
    }

    const wasInFlight = !this.#out.none;
    const advanced = seqDiff(packet.ack, this.#out.acked) > 0;
    const delivered = this.#out.takeAck(packet.ack, packet.sacks, nowMs);
    if (!wasInFlight) return this.#tellDrained();
    const rttMs = this.#out.sampleRoundTrip(this.#route, nowMs);
    this.#rearmAfterAck(delivered, advanced, nowMs);
    this.congestion.onAck(this.#out.inFlight.length, rttMs, nowMs);
    this.#tellDrained();
  }

  #tellDrained(): void {
    if (!this.#writerWaits || this.pendingBytes >= this.#highWaterBytes()) return;
    this.#writerWaits = false;
    this.#notify("drain");
  }

  /** Takes the peer's window unless a newer packet already told it (RFC 9293: SND.WL1, SND.WL2). */
  #takeWindow(packet: Packet): void {
    if (seqDiff(packet.ack, this.#out.acked) < 0) return;
    const newer = seqDiff(packet.seq, this.#windowSeq);
    if (newer < 0 || (newer === 0 && seqDiff(packet.ack, this.#windowAck) < 0)) return;
    this.#sendWindow = packet.receiveWindow;
    this.#windowSeq = packet.seq;
    this.#windowAck = packet.ack;
    if (this.#sendWindow > 0 && this.#timer === "zero-window") this.#setTimer("none", Infinity);
  }

  // Timers and loss.

  #rearmAfterAck(delivered: number, advanced: boolean, nowMs: number): void {
    if (this.#out.none) {
      this.#rest(nowMs);
      return;
    }
    if (delivered === 0 && !advanced) return;
    this.#probes = 0;
    this.#retransmitAtMs = nowMs + this.rtt.rtoMs;
    if (delivered > 0) this.#detectLoss(nowMs);
    if (!this.#scheduleProbe(nowMs)) this.#setTimer("retransmit", this.#retransmitAtMs);
  }

  /** Nothing is in flight: only an idle stream's timer may run. */
  #rest(nowMs: number): void {
    this.#reorderAtMs = Infinity;
    this.#probes = 0;
    if (this.#route !== null && this.#keepaliveMs > 0) this.#setTimer("keepalive", nowMs + this.#keepaliveMs);
    else this.#setTimer("none", Infinity);
  }

  #setTimer(timer: Timer, atMs: number): void {
    this.#timer = timer;
    this.#timerAtMs = atMs;
  }

  #restartRetransmitTimer(atMs: number): void {
    this.#retransmitAtMs = atMs;
    this.#setTimer("retransmit", atMs);
  }

  #armAfterSending(nowMs: number): void {
    const timer = this.#timer;
    if (timer === "none" || timer === "zero-window" || timer === "keepalive") {
      this.#restartRetransmitTimer(nowMs + this.rtt.rtoMs);
    }
    this.#scheduleProbe(nowMs);
  }

  /**
   * Sets the timer of a tail loss probe (RFC 8985 §7.2); false when none may be sent now. Unlike there, and like QUIC
   * (RFC 9002 §6.2), also in recovery, after a timeout, and repeatedly with doubled waits: a repetition that is lost at
   * the tail would otherwise cost a whole retransmission timeout, which is a second at least.
   */
  #scheduleProbe(nowMs: number): boolean {
    if (this.#out.none || !this.rtt.hasSample) return false;
    const waitMs = this.rtt.probeTimeoutMs(this.#out.inFlight.length + this.#out.lost.length) * 2 ** this.#probes;
    this.#setTimer("probe", Math.min(nowMs + waitMs, this.#retransmitAtMs));
    return true;
  }

  #onProbeTimeout(nowMs: number): void {
    if (this.#out.none) return this.#rest(nowMs);
    if (nowMs >= this.#retransmitAtMs || this.#route === null) return this.#onRetransmitTimeout(nowMs);
    const again = this.#packetToProbeWith();
    const sendsNew = this.#recovery === "open" && this.#queue.bytes > 0 && this.#windowAllowsNew();
    if (!sendsNew && again === null) return this.#setTimer("retransmit", this.#retransmitAtMs);
    this.#probes++;
    if (this.#probes === 1 && this.#recovery !== "timeout") this.#retransmitAtMs = nowMs + this.rtt.rtoMs;
    // The windows don't hold a probe back, and sending sets the timer of the next one.
    this.#probe = sendsNew ? this.#sendNew(this.#route, nowMs, true) : this.#sendAgain(again!, nowMs);
  }

  /** The last packet, whose delivery shows what is missing before it; in recovery the first, which is in the way. */
  #packetToProbeWith(): SentPacket<R> | null {
    const last = this.#out.get(seqAdd(this.#out.next, -1));
    if (this.#recovery === "open" && last !== undefined && !last.lost && !last.delivered) return last;
    return this.#out.inFlight.head;
  }

  /** Looks for losses, and sets the time to look again. */
  #detectLoss(nowMs: number): void {
    this.#lostPackets = 0;
    const waitMs = this.#out.detectLoss(this.#recovery !== "open", nowMs);
    this.#reorderAtMs = waitMs > 0 ? nowMs + waitMs : Infinity;
    if (this.#lostPackets === 0) return;
    this.congestion.onLost(this.#lostPackets);
    if (this.#recovery !== "open") return;
    this.fastRecoveries++;
    this.#recovery = "recovery";
    this.#recoverUntil = this.#out.next;
    this.congestion.onRecovery(this.#out.inFlight.length);
  }

  #onDelivered(packet: SentPacket<R>, nowMs: number): void {
    // A copy that may have come in fragments, or by another path, says nothing about this one.
    if (packet.route === this.#route && (packet.probe || packet.padding === 0)) {
      this.#mtu.onDelivered(packet.bytes.length + overheadBytes(packet.route), packet.probe, packet.sentMs, nowMs);
    }
    this.congestion.onDelivered(packet, packet.route === this.#route);
  }

  #onLost(packet: SentPacket<R>, nowMs: number): void {
    // A lost probe is no sign of congestion (RFC 8899 §3).
    if (packet.probe) return this.#probeLost(packet, nowMs);
    this.#lostPackets++;
    if (packet.route === this.#route) {
      this.#mtu.onLost(packet.bytes.length + overheadBytes(packet.route), packet.sentMs, nowMs);
    }
  }

  #onRetransmitTimeout(nowMs: number): void {
    if (this.#out.none) return this.#rest(nowMs);
    this.timeouts++;
    this.#recovery = "timeout";
    this.#recoverUntil = this.#out.next;
    this.#probes = 0;
    if (!this.#out.timeOut(nowMs)) return this.#notify("timed-out");
    this.congestion.onTimeout(this.#out.inFlight.length);
    // RFC 6298 would double on every timeout; libudx waits twice the RTO each time and gives up after MAX_TIMEOUTS.
    this.#restartRetransmitTimer(nowMs + this.rtt.rtoMs * 2);
  }
}
