/**
 * One end of a UDX stream as a machine without socket, clock or chance: datagrams and the time go in through `handle*`,
 * commands come from the owner, datagrams, events and the next deadline come out through `poll*`.
 *
 * After every `handle*` or command, drain `pollEvent()` and `pollTransmit()`; call `pollAck()` once a batch of received
 * datagrams is through; call `handleTimeout()` when `pollTimeout()` is due. All times are milliseconds of one monotonic
 * clock. Behaviour on the wire follows libudx; where that departs from an RFC, the comment says so.
 */
import { Congestion } from "./congestion.ts";
import {
  DATA,
  DESTROY,
  encodeHeader,
  encodePacket,
  END,
  HEADER_BYTES,
  HEARTBEAT,
  MAX_SACK_BLOCKS,
  MESSAGE,
  type Packet,
  SACK,
  seqAdd,
  seqDiff,
  writeU32,
} from "./packet.ts";
import { PacketList, PacketRing, type SentPacket } from "./packet_list.ts";
import { ReceiveBuffer } from "./receive_buffer.ts";
import { Rack, RttEstimator, sentAfter } from "./recovery.ts";
import { SendQueue } from "./send_queue.ts";

/** Size of an IP packet that every path is taken to carry (as libudx). */
export const BASE_MTU_BYTES = 1200;
/** IP and UDP headers in front of the UDX header. */
const IPV4_OVERHEAD_BYTES = 20 + 8;
const IPV6_OVERHEAD_BYTES = 40 + 8;

export const DEFAULT_RECEIVE_WINDOW_BYTES = 4 * 1024 * 1024;
/** A window smaller than a packet is advertised as none: it would only be filled with crumbs. */
const SMALLEST_WINDOW_BYTES = 1500;
/** Unacknowledged bytes, beyond the send window, above which the writer is told to wait. */
const HIGH_WATER_BYTES = 262_144;
/** Numbers in use between the oldest unacknowledged packet and the next one: bounds the ring, and a peer's SACK work. */
const MAX_SPAN_PACKETS = 16_384;
/** An acknowledgement is not held back for longer than this many packets. */
const ACK_EVERY_PACKETS = 16;
/** Retransmission timeouts of one packet after which the other side is given up (libudx: 6). */
const MAX_TIMEOUTS = 6;
/** From this timeout on a packet follows a changed remote: the old path has most likely gone with the change. */
const REROUTE_AFTER_TIMEOUTS = 2;
/** Unsent messages and probes; more are dropped, as a full socket buffer would. */
const MAX_CONTROL_PACKETS = 256;

/** Where packets go. The owner extends it with its socket and address; the machine only hands it back. */
export interface Route {
  readonly remoteId: number;
  readonly ipv6: boolean;
}

/** A datagram to be sent. */
export interface Transmit<R extends Route> {
  readonly bytes: Uint8Array;
  readonly route: R;
}

/** Why a stream ended before both sides had finished. */
export type StreamFailure = "reset" | "timed-out";

export type StreamEvent =
  | { readonly kind: "data"; readonly bytes: Uint8Array }
  /** The other side has finished writing, and all of it was delivered. */
  | { readonly kind: "end" }
  | { readonly kind: "message"; readonly bytes: Uint8Array }
  /** `write()` returned false before; the writer may go on. */
  | { readonly kind: "drain" }
  | { readonly kind: "remote-changed" }
  | { readonly kind: "closed"; readonly failure: StreamFailure | null };

export interface StreamMachineOptions {
  /** Our id: what the other side writes into its packets. */
  readonly id: number;
  /** The first sequence number; 0 by default. */
  readonly seq?: number;
  readonly receiveWindowBytes?: number;
  /** Gives memory for a datagram of that size; a slab allocator saves an ArrayBuffer per packet. */
  readonly allocate?: (bytes: number) => Uint8Array;
}

/**
 * Does a packet for a stream that has closed get its `farewell()`? Only one that waits for an answer: two closed streams
 * must not keep each other talking.
 */
export function deservesFarewell(packet: Packet): boolean {
  return (packet.type & (DATA | END | HEARTBEAT)) !== 0 && (packet.type & DESTROY) === 0;
}

type Timer = "none" | "retransmit" | "probe" | "zero-window" | "keepalive";
type Recovery = "open" | "recovery" | "timeout";

export class StreamMachine<R extends Route> {
  readonly id: number;
  readonly rtt = new RttEstimator();
  readonly congestion = new Congestion();
  readonly #allocate: (bytes: number) => Uint8Array;
  readonly #receive: ReceiveBuffer;
  readonly #rack: Rack;
  readonly #deliver = (bytes: Uint8Array) => {
    this.#events.push({ kind: "data", bytes });
  };

  #route: R | null = null;
  #closed = false;
  #silent = false;
  #events: StreamEvent[] = [];
  #control: Transmit<R>[] = [];

  // Sending. `seq` is the next number to use, `acked` the oldest one not acknowledged (TCP: SND.NXT and SND.UNA).
  #seq: number;
  #acked: number;
  readonly #queue = new SendQueue();
  readonly #sent = new PacketRing<R>();
  readonly #inFlight = new PacketList<R>();
  readonly #lost = new PacketList<R>();
  #unackedBytes = 0;
  #endQueued = false;
  #endSent = false;
  #endAcked = false;
  #writerWaits = false;
  #windowLimited = false;
  #sackedPackets = 0;
  #sendWindow = DEFAULT_RECEIVE_WINDOW_BYTES;
  #windowSeq = 0;
  #windowAck: number;
  #changedAtSeq: number | null = null;

  // Receiving.
  #ackOwed = 0;
  #advertised: number;

  // Recovery.
  #recovery: Recovery = "open";
  #recoverUntil = 0;
  /** Repetitions that may go out although the window is full (see `#mayRepeat()`). */
  #repeatCredit = 0;
  /** The round trip that is being measured ends when this number is acknowledged. */
  #roundEnd: number;
  /** Tail loss probes since something was last delivered. */
  #probes = 0;
  #timer: Timer = "none";
  #timerAtMs = Infinity;
  #retransmitAtMs = Infinity;
  #reorderAtMs = Infinity;
  #pacedUntilMs = Infinity;
  #keepaliveMs = 0;

  retransmits = 0;
  fastRecoveries = 0;
  timeouts = 0;
  bytesTransmitted = 0;
  packetsTransmitted = 0;
  bytesReceived = 0;
  packetsReceived = 0;
  /** SACK blocks that named packets never sent or already acknowledged. */
  invalidSacks = 0;
  /** Bytes written, and how many of them the other side has acknowledged without a gap. */
  writtenBytes = 0;
  acknowledgedBytes = 0;

  constructor(options: StreamMachineOptions) {
    this.id = options.id;
    this.#seq =
      this.#acked =
      this.#windowAck =
      this.#roundEnd =
        (options.seq ?? 0) >>> 0;
    this.#rack = new Rack(this.#seq);
    this.#receive = new ReceiveBuffer(0, options.receiveWindowBytes ?? DEFAULT_RECEIVE_WINDOW_BYTES);
    this.#advertised = this.#receive.maxBytes;
    this.#allocate = options.allocate ?? ((bytes) => new Uint8Array(bytes));
  }

  // Getters.

  get route(): R | null {
    return this.#route;
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Size of an IP packet we send. */
  get mtuBytes(): number {
    return BASE_MTU_BYTES;
  }

  get maxPayloadBytes(): number {
    const overhead = this.#route?.ipv6 ? IPV6_OVERHEAD_BYTES : IPV4_OVERHEAD_BYTES;
    return this.mtuBytes - overhead - HEADER_BYTES;
  }

  get seq(): number {
    return this.#seq;
  }

  get ack(): number {
    return this.#receive.next;
  }

  get inFlightPackets(): number {
    return this.#inFlight.length;
  }

  /** Written and not yet acknowledged bytes, sent or not. */
  get pendingBytes(): number {
    return this.#unackedBytes + this.#queue.bytes;
  }

  get remoteChanging(): boolean {
    return this.#changedAtSeq !== null;
  }

  /** What we let the other side send. */
  get receiveWindow(): number {
    const free = this.#receive.freeBytes;
    return free < SMALLEST_WINDOW_BYTES ? 0 : free;
  }

  /** What the other side lets us send. */
  get sendWindow(): number {
    return this.#sendWindow;
  }

  // Commands.

  /** Starts sending to `route`. @param ack the first number expected from the other side, if not 0 */
  connect(route: R, nowMs: number, ack?: number): void {
    if (this.#closed) return;
    this.#route = route;
    if (ack !== undefined) this.#receive.next = this.#windowSeq = ack >>> 0;
    if (this.#timer === "none") this.#rest(nowMs);
  }

  /**
   * Sends what is new to another address. Packets in flight are still repeated to the old one;
   * `remote-changed` comes when all of them are acknowledged, or at once when there are none.
   */
  changeRemote(route: R): void {
    if (this.#closed) return;
    this.#route = route;
    if (this.#seq === this.#acked) this.#events.push({ kind: "remote-changed" });
    else this.#changedAtSeq = this.#seq;
  }

  /** Queues bytes, which must not be changed until sent. False asks the writer to wait for `drain`. */
  write(bytes: Uint8Array): boolean {
    if (this.#closed || this.#endQueued) return true;
    this.#queue.push(bytes);
    this.writtenBytes += bytes.length;
    this.#writerWaits = this.pendingBytes > this.#highWaterBytes();
    return !this.#writerWaits;
  }

  /** Finishes our direction once everything written is delivered. */
  end(): void {
    this.#endQueued = true;
  }

  /** Queues one unordered, unreliable message; false when it was dropped. */
  sendMessage(payload: Uint8Array): boolean {
    if (this.#closed || this.#route === null || this.#control.length >= MAX_CONTROL_PACKETS) return false;
    this.#control.push({ bytes: encodePacket(this.#header(MESSAGE), payload), route: this.#route });
    return true;
  }

  /** The reader took `bytes` of the data events: lets the other side send as many more. */
  consumed(bytes: number): void {
    this.#receive.consumed(bytes);
    // Tell a sender that stands still, but not about every crumb.
    const max = this.#receive.maxBytes;
    if (this.#advertised < max / 4 && this.receiveWindow >= max / 2) this.#ackOwed = ACK_EVERY_PACKETS;
  }

  /** Sends a heartbeat whenever the stream was idle for that long; 0 switches it off. */
  setKeepalive(intervalMs: number, nowMs: number): void {
    this.#keepaliveMs = intervalMs;
    if (this.#timer === "none" || this.#timer === "keepalive") this.#rest(nowMs);
  }

  /** Ends both directions at once. @param silent tells nobody: for relays, whose peers speak to each other */
  destroy(silent = false): void {
    if (this.#closed) return;
    if (this.#route !== null && !silent) {
      this.#control = [{ bytes: encodePacket(this.#header(DESTROY)), route: this.#route }];
      this.#seq = seqAdd(this.#seq, 1);
    }
    this.#silent = silent;
    this.#close(null);
  }

  /**
   * The answer to packets that arrive after we closed, so that a peer whose last acknowledgement got lost needn't
   * wait for its timeouts. Null while open, and after a silent end.
   */
  farewell(): Transmit<R> | null {
    if (!this.#closed || this.#silent || this.#route === null) return null;
    const clean = this.#endAcked && this.#receive.ended;
    return { bytes: encodePacket(this.#header(clean ? 0 : DESTROY)), route: this.#route };
  }

  // Inputs.

  /** Takes a packet addressed to this stream. */
  handlePacket(packet: Packet, nowMs: number): void {
    if (this.#closed) return;
    this.bytesReceived += packet.bytes;
    this.packetsReceived++;
    if ((packet.type & HEARTBEAT) !== 0) {
      this.#ackOwed = ACK_EVERY_PACKETS;
      return;
    }
    this.#takePayload(packet);
    if (this.#closed) return;
    this.#takeAck(packet, nowMs);
    this.#closeIfFinished();
  }

  /** Notes a packet that was passed on unread: only a DESTROY concerns the relay too. */
  handleRelayed(packet: Packet): void {
    if (this.#closed) return;
    this.bytesReceived += packet.bytes;
    this.packetsReceived++;
    if ((packet.type & DESTROY) !== 0) this.#close("reset");
  }

  /** Acts on a deadline that has passed; without one it does nothing. */
  handleTimeout(nowMs: number): void {
    if (this.#closed) return;
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
        this.#sendHeartbeat();
        return this.#setTimer("zero-window", nowMs + this.rtt.rtoMs * 2);
      case "keepalive":
        this.#sendHeartbeat();
        return this.#setTimer("keepalive", nowMs + this.#keepaliveMs);
      default: {
        const never: never = this.#timer;
        return never;
      }
    }
  }

  // Outputs.

  pollEvent(): StreamEvent | null {
    return this.#events.shift() ?? null;
  }

  /** When `handleTimeout()` and `pollTransmit()` want to be called next; Infinity when never. */
  pollTimeout(): number {
    return Math.min(this.#timerAtMs, this.#reorderAtMs, this.#pacedUntilMs);
  }

  /** The next datagram to send now, or null. Acknowledgements without data wait for `pollAck()`. */
  pollTransmit(nowMs: number): Transmit<R> | null {
    const control = this.#control.shift();
    if (control !== undefined) return this.#count(control);
    this.#pacedUntilMs = Infinity;
    if (this.#closed || this.#route === null) return null;
    const packet = this.#nextPacket(this.#route, nowMs);
    if (packet !== null) return this.#count(packet);
    return this.#ackOwed >= ACK_EVERY_PACKETS ? this.pollAck() : null;
  }

  /** A datagram that only acknowledges, if one is owed. */
  pollAck(): Transmit<R> | null {
    if (this.#ackOwed === 0 || this.#route === null || this.#closed) return null;
    return this.#count(this.#ackPacket(this.#route));
  }

  // Sending.

  #nextPacket(route: R, nowMs: number): Transmit<R> | null {
    const lost = this.#lost.head;
    const wantsNew = this.#queue.bytes > 0 || (this.#endQueued && !this.#endSent);
    if (lost === null && !wantsNew) {
      this.#windowLimited = false;
      return null;
    }
    if (this.#inFlight.length >= this.congestion.windowPackets && !(lost !== null && this.#mayRepeat())) {
      this.#windowLimited = true;
      return null;
    }
    // The peer's window doesn't hold back repetitions: it may have shrunk while they were under way.
    if (lost === null && !this.#windowAllowsNew()) {
      this.#windowLimited = false;
      this.#probeZeroWindow(nowMs);
      return null;
    }
    if (!this.congestion.mayPace(nowMs)) {
      this.#pacedUntilMs = this.congestion.nextPacedAtMs();
      return null;
    }
    this.congestion.onSent();
    return lost === null ? this.#sendNew(route, nowMs) : this.#sendAgain(lost, nowMs);
  }

  /**
   * In recovery what leaves the network may be replaced by repetitions, even above the window that was just cut (as in
   * RFC 6937): waiting for the cut to be worked off could mean waiting for the retransmission timeout.
   */
  #mayRepeat(): boolean {
    return this.#recovery === "recovery" && this.#repeatCredit > 0;
  }

  /** Does the receive window of the other side (and our own bound) admit one more packet? */
  #windowAllowsNew(): boolean {
    if (this.#sendWindow === 0) return false;
    const span = seqDiff(this.#seq, this.#acked);
    return span < Math.min(Math.max(Math.floor(this.#sendWindow / this.maxPayloadBytes), 1), MAX_SPAN_PACKETS);
  }

  #probeZeroWindow(nowMs: number): void {
    if (this.#sendWindow > 0 || this.#seq !== this.#acked || this.#timer === "zero-window") return;
    this.#sendHeartbeat();
    this.#setTimer("zero-window", nowMs + this.rtt.rtoMs);
  }

  #sendNew(route: R, nowMs: number): SentPacket<R> {
    const payloadBytes = Math.min(this.#queue.bytes, this.maxPayloadBytes);
    const bytes = this.#allocate(HEADER_BYTES + payloadBytes);
    if (payloadBytes > 0) this.#queue.take(payloadBytes, bytes, HEADER_BYTES);
    const end = this.#endQueued && this.#queue.bytes === 0;
    if (end) this.#endSent = true;
    encodeHeader(
      bytes,
      (payloadBytes > 0 ? DATA : 0) | (end ? END : 0),
      route.remoteId,
      this.#advertise(),
      this.#seq,
      this.#receive.next,
    );
    if (!this.#receive.hasGaps) this.#ackOwed = 0;
    const packet: SentPacket<R> = {
      seq: this.#seq,
      bytes,
      payloadBytes,
      end,
      route,
      sentMs: nowMs,
      firstSentMs: nowMs,
      retransmitted: false,
      lost: false,
      delivered: false,
      timeouts: 0,
      previous: null,
      next: null,
    };
    this.#unackedBytes += payloadBytes;
    this.#seq = seqAdd(this.#seq, 1);
    this.#sent.set(packet, seqDiff(this.#seq, this.#acked));
    this.#inFlight.push(packet);
    this.#armAfterSending(nowMs);
    return packet;
  }

  #sendAgain(packet: SentPacket<R>, nowMs: number): SentPacket<R> {
    if (packet.lost) {
      this.#lost.remove(packet);
      packet.lost = false;
    } else this.#inFlight.remove(packet);
    if (packet.timeouts >= REROUTE_AFTER_TIMEOUTS && this.#route !== null && packet.route !== this.#route) {
      packet.route = this.#route;
      writeU32(packet.bytes, 4, packet.route.remoteId);
    }
    // The payload stays, but the peer should learn what we know now.
    writeU32(packet.bytes, 8, this.#advertise());
    writeU32(packet.bytes, 16, this.#receive.next);
    if (this.#repeatCredit > 0) this.#repeatCredit--;
    packet.sentMs = nowMs;
    packet.retransmitted = true;
    this.#inFlight.push(packet);
    this.retransmits++;
    this.#armAfterSending(nowMs);
    return packet;
  }

  #sendHeartbeat(): void {
    if (this.#route === null) return;
    this.#control.push({ bytes: encodePacket(this.#header(HEARTBEAT)), route: this.#route });
  }

  #ackPacket(route: R): Transmit<R> {
    this.#ackOwed = 0;
    const sacks = this.#receive.hasGaps ? this.#receive.sackBlocks() : [];
    return { bytes: encodePacket(this.#header(sacks.length > 0 ? SACK : 0), undefined, sacks), route };
  }

  #header(type: number) {
    return {
      type,
      streamId: this.#route?.remoteId ?? 0,
      receiveWindow: this.#advertise(),
      seq: this.#seq,
      ack: this.#receive.next,
    };
  }

  #advertise(): number {
    this.#advertised = this.receiveWindow;
    return this.#advertised;
  }

  #count(transmit: Transmit<R>): Transmit<R> {
    this.packetsTransmitted++;
    this.bytesTransmitted += transmit.bytes.length;
    return transmit;
  }

  #highWaterBytes(): number {
    return HIGH_WATER_BYTES + Math.min(this.congestion.windowPackets * this.maxPayloadBytes, this.#sendWindow);
  }

  // Receiving.

  #takePayload(packet: Packet): void {
    const carriesNumber = (packet.type & (DATA | END)) !== 0;
    // Every such packet is answered, a duplicate too: its sender lacks the acknowledgement.
    if (carriesNumber) this.#ackOwed++;
    if (seqDiff(packet.seq, this.#receive.next) >= 0) {
      if (carriesNumber) {
        const wasEnded = this.#receive.ended;
        const acceptance = this.#receive.accept(packet, this.#deliver);
        if (acceptance !== "in-order") this.#ackOwed = Math.max(this.#ackOwed, 1);
        if (this.#receive.ended && !wasEnded) this.#events.push({ kind: "end" });
      }
      if ((packet.type & DESTROY) !== 0) {
        this.#close("reset");
        return;
      }
    }
    if ((packet.type & MESSAGE) !== 0) this.#events.push({ kind: "message", bytes: packet.payload });
  }

  #takeAck(packet: Packet, nowMs: number): void {
    // An acknowledgement of what was never sent is a lie or from another life: nothing in it counts.
    if (seqDiff(packet.ack, this.#seq) > 0) return;
    this.#takeWindow(packet);
    if (this.#changedAtSeq !== null && seqDiff(packet.ack, this.#changedAtSeq) >= 0) {
      this.#changedAtSeq = null;
      this.#events.push({ kind: "remote-changed" });
    }
    if (this.#recovery !== "open" && seqDiff(packet.ack, this.#recoverUntil) >= 0) this.#recovery = "open";

    const wasInFlight = this.#seq !== this.#acked;
    const advanced = seqDiff(packet.ack, this.#acked) > 0;
    let delivered = 0;
    while (seqDiff(packet.ack, this.#acked) > 0) {
      if (this.#acknowledge(this.#acked, false, nowMs)) delivered++;
      this.#acked = seqAdd(this.#acked, 1);
    }
    if (packet.sacks.length > 0) delivered += this.#takeSacks(packet.sacks, nowMs);
    if (seqDiff(this.#acked, this.#roundEnd) >= 0) {
      this.#roundEnd = this.#seq;
      this.congestion.onRoundEnd();
    }
    if (this.#recovery === "recovery") this.#repeatCredit += delivered;
    else if (delivered > 0) {
      this.congestion.onDelivered(delivered, nowMs, this.rtt.srttMs, this.#windowLimited);
    }
    if (this.#writerWaits && this.pendingBytes < this.#highWaterBytes()) {
      this.#writerWaits = false;
      this.#events.push({ kind: "drain" });
    }
    if (!wasInFlight) return;
    this.#rearmAfterAck(delivered, advanced, nowMs);
  }

  /** Takes the peer's window unless a newer packet already told it (RFC 9293: SND.WL1, SND.WL2). */
  #takeWindow(packet: Packet): void {
    if (seqDiff(packet.ack, this.#acked) < 0) return;
    const newer = seqDiff(packet.seq, this.#windowSeq);
    if (newer < 0 || (newer === 0 && seqDiff(packet.ack, this.#windowAck) < 0)) return;
    this.#sendWindow = packet.receiveWindow;
    this.#windowSeq = packet.seq;
    this.#windowAck = packet.ack;
    if (this.#sendWindow > 0 && this.#timer === "zero-window") this.#setTimer("none", Infinity);
  }

  #takeSacks(sacks: readonly number[], nowMs: number): number {
    let delivered = 0;
    // Honest blocks don't overlap, so together they never cover more than what is outstanding.
    let allowance = seqDiff(this.#seq, this.#acked);
    const blocks = Math.min(sacks.length >> 1, MAX_SACK_BLOCKS);
    for (let i = 0; i < blocks; i++) {
      const start = sacks[i * 2]!;
      const end = sacks[i * 2 + 1]!;
      const length = seqDiff(end, start);
      const valid = length > 0 && seqDiff(end, this.#seq) <= 0 && seqDiff(start, this.#acked) >= 0;
      if (!valid || length > allowance) {
        this.invalidSacks++;
        continue;
      }
      allowance -= length;
      for (let seq = start; seq !== end; seq = seqAdd(seq, 1)) {
        if (this.#acknowledge(seq, true, nowMs)) delivered++;
      }
    }
    return delivered;
  }

  /** Notes that one packet has arrived; false when that was known. */
  #acknowledge(seq: number, selectively: boolean, nowMs: number): boolean {
    const packet = this.#sent.get(seq);
    if (packet === undefined) return false;
    const news = !packet.delivered;
    if (news) this.#noteDelivered(packet, nowMs);
    if (selectively) {
      if (news) this.#sackedPackets++;
      return news;
    }
    if (!news) this.#sackedPackets--;
    this.#sent.delete(seq);
    this.acknowledgedBytes += packet.payloadBytes;
    if (packet.end) this.#endAcked = true;
    return news;
  }

  #noteDelivered(packet: SentPacket<R>, nowMs: number): void {
    packet.delivered = true;
    if (packet.lost) this.#lost.remove(packet);
    else this.#inFlight.remove(packet);
    const rttMs = this.rtt.clamp(Math.max(nowMs - packet.sentMs, 0));
    if (!packet.retransmitted) {
      this.rtt.sample(rttMs, nowMs);
      this.congestion.onRoundTrip(rttMs);
    }
    const isLatestCopy = !packet.retransmitted || this.rtt.answersLatestCopy(rttMs, nowMs - packet.firstSentMs);
    this.#rack.delivered(packet.seq, packet.sentMs, rttMs, packet.retransmitted, isLatestCopy);
    this.#unackedBytes -= packet.payloadBytes;
  }

  // Timers and loss.

  #rearmAfterAck(delivered: number, advanced: boolean, nowMs: number): void {
    if (this.#seq === this.#acked) {
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
   * (RFC 9002 §6.2), also in recovery and repeatedly with doubled waits: a repetition that is lost at the tail would
   * otherwise cost a whole retransmission timeout, which is a second at least.
   */
  #scheduleProbe(nowMs: number): boolean {
    if (this.#seq === this.#acked || this.#recovery === "timeout" || !this.rtt.hasSample) return false;
    const waitMs = this.rtt.probeTimeoutMs(this.#inFlight.length + this.#lost.length) * 2 ** this.#probes;
    this.#setTimer("probe", Math.min(nowMs + waitMs, this.#retransmitAtMs));
    return true;
  }

  #onProbeTimeout(nowMs: number): void {
    if (this.#seq === this.#acked) return this.#rest(nowMs);
    if (nowMs >= this.#retransmitAtMs || this.#route === null) return this.#onRetransmitTimeout(nowMs);
    const again = this.#packetToProbeWith();
    const sendsNew = this.#recovery === "open" && this.#queue.bytes > 0 && this.#windowAllowsNew();
    if (!sendsNew && again === null) return this.#setTimer("retransmit", this.#retransmitAtMs);
    this.#probes++;
    if (this.#probes === 1) this.#retransmitAtMs = nowMs + this.rtt.rtoMs;
    // The windows don't hold a probe back, and sending sets the timer of the next one.
    this.#control.push(sendsNew ? this.#sendNew(this.#route, nowMs) : this.#sendAgain(again!, nowMs));
  }

  /** The last packet, whose delivery shows what is missing before it; in recovery the first, which is in the way. */
  #packetToProbeWith(): SentPacket<R> | null {
    const last = this.#sent.get(seqAdd(this.#seq, -1));
    if (this.#recovery === "open" && last !== undefined && !last.lost && !last.delivered) return last;
    return this.#inFlight.head;
  }

  /**
   * Marks packets lost that were overtaken for too long (RFC 8985 §6.2 step 5), and sets the time to look again for
   * those that may still arrive.
   */
  #detectLoss(nowMs: number): void {
    const window = this.#rack.reorderWindowMs(this.rtt, this.#recovery !== "open", this.#sackedPackets);
    let waitMs = 0;
    let lost = 0;
    let packet = this.#inFlight.head;
    // The list is in order of sending, so the first one sent later than RACK's packet ends the search.
    while (packet !== null && packet.sentMs <= this.#rack.sentMs) {
      const next: SentPacket<R> | null = packet.next;
      if (sentAfter(this.#rack.sentMs, this.#rack.endSeq, packet.sentMs, seqAdd(packet.seq, 1))) {
        const remainingMs = packet.sentMs + this.#rack.rttMs + window - nowMs;
        if (remainingMs <= 0) {
          this.#markLost(packet);
          lost++;
        } else if (remainingMs > waitMs) waitMs = remainingMs;
      }
      packet = next;
    }
    if (lost > 0 && this.#recovery === "open") {
      this.fastRecoveries++;
      this.#recovery = "recovery";
      this.#repeatCredit = 1;
      this.#recoverUntil = this.#seq;
      this.congestion.onLoss();
    }
    this.#reorderAtMs = waitMs > 0 ? nowMs + waitMs : Infinity;
  }

  #markLost(packet: SentPacket<R>): void {
    this.#inFlight.remove(packet);
    packet.lost = true;
    this.#lost.push(packet);
  }

  #onRetransmitTimeout(nowMs: number): void {
    if (this.#seq === this.#acked) return this.#rest(nowMs);
    this.timeouts++;
    if (this.#recovery !== "timeout") this.congestion.onTimeout();
    this.#recovery = "timeout";
    this.#recoverUntil = this.#seq;
    this.#probes = 0;
    const window = this.#rack.reorderWindowMs(this.rtt, true, this.#sackedPackets);
    let packet = this.#inFlight.head;
    while (packet !== null) {
      const next: SentPacket<R> | null = packet.next;
      const overdue = packet.sentMs + this.#rack.rttMs + window - nowMs < 0;
      if (packet.seq === this.#acked || overdue) {
        if (packet.timeouts >= MAX_TIMEOUTS) return this.#close("timed-out");
        packet.timeouts++;
        this.#markLost(packet);
      }
      packet = next;
    }
    // RFC 6298 would double on every timeout; libudx waits twice the RTO each time and gives up after MAX_TIMEOUTS.
    this.#restartRetransmitTimer(nowMs + this.rtt.rtoMs * 2);
  }

  // Closing.

  #closeIfFinished(): void {
    if (!this.#endAcked || !this.#receive.ended || this.#seq !== this.#acked) return;
    const last = this.#route === null ? null : this.#ackPacket(this.#route);
    this.#close(null);
    if (last !== null) this.#control.push(last);
  }

  #close(failure: StreamFailure | null): void {
    this.#closed = true;
    this.#setTimer("none", Infinity);
    this.#reorderAtMs = Infinity;
    this.#pacedUntilMs = Infinity;
    this.#queue.clear();
    this.#receive.clear();
    this.#sent.clear();
    this.#inFlight.clear();
    this.#lost.clear();
    this.#events.push({ kind: "closed", failure });
  }
}
