/**
 * One end of a UDX stream as a machine without socket, clock or chance: datagrams and the time go in through `handle*`,
 * commands come from the owner, datagrams, events and the next deadline come out through `poll*`.
 *
 * After every `handle*` or command, drain `pollEvent()` and `pollTransmit()`; call `pollAck()` once a batch of received
 * datagrams is through; call `handleTimeout()` when `pollTimeout()` is due. All times are milliseconds of one monotonic
 * clock. Behaviour on the wire follows libudx; where that departs from an RFC, the comment says so.
 */
import { Acknowledgements } from "./acknowledgements.ts";
import type { Congestion } from "./congestion.ts";
import {
  DATA,
  DESTROY,
  encodePacket,
  END,
  type Header,
  HEARTBEAT,
  MESSAGE,
  type Packet,
  SACK,
  seqDiff,
} from "./packet.ts";
import { ReceiveBuffer } from "./receive_buffer.ts";
import type { RttEstimator } from "./recovery.ts";
import { type Route, Sender, type SenderNotice } from "./sender.ts";

export type { Route } from "./sender.ts";

const DEFAULT_RECEIVE_WINDOW_BYTES = 4 * 1024 * 1024;
/**
 * An acknowledgement is not held back for longer than this many packets. One that gets lost leaves its sender in the dark
 * about all of them, so there are more while something is missing, and of the first packets, which tell the round trip.
 */
const ACK_EVERY_PACKETS = 16;
const ACK_EVERY_WITH_GAPS = 4;
const ACK_EVERY_AT_FIRST = 2;
const FIRST_PACKETS = 32;
/** Unsent messages; more are dropped, as a full socket buffer would. */
const MAX_CONTROL_PACKETS = 256;

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

export class StreamMachine<R extends Route> {
  readonly id: number;
  readonly #receive: ReceiveBuffer;
  readonly #acks: Acknowledgements;
  readonly #sender: Sender<R>;
  readonly #deliver = (bytes: Uint8Array) => {
    this.#events.push({ kind: "data", bytes });
  };
  #closed = false;
  #silent = false;
  #events: StreamEvent[] = [];
  /** Packets that are sent once: messages, and the last word. */
  #control: Transmit<R>[] = [];

  bytesTransmitted = 0;
  packetsTransmitted = 0;
  bytesReceived = 0;
  packetsReceived = 0;

  constructor(options: StreamMachineOptions) {
    this.id = options.id;
    this.#receive = new ReceiveBuffer(0, options.receiveWindowBytes ?? DEFAULT_RECEIVE_WINDOW_BYTES);
    this.#acks = new Acknowledgements(this.#receive);
    this.#sender = new Sender<R>(
      this.id,
      (options.seq ?? 0) >>> 0,
      this.#acks,
      options.allocate ?? ((bytes) => new Uint8Array(bytes)),
      (notice) => this.#onNotice(notice),
    );
  }

  // Getters.

  get route(): R | null {
    return this.#sender.route;
  }

  get closed(): boolean {
    return this.#closed;
  }

  get rtt(): RttEstimator {
    return this.#sender.rtt;
  }

  get congestion(): Congestion {
    return this.#sender.congestion;
  }

  /** What the path carries of our data as far as it is known, bytes per second. */
  get bandwidthBytesPerSecond(): number {
    return Math.floor(this.#sender.congestion.bandwidthPerMs * 1000 * this.#sender.maxPayloadBytes);
  }

  /** Size of an IP packet we send. */
  get mtuBytes(): number {
    return this.#sender.mtuBytes;
  }

  get seq(): number {
    return this.#sender.seq;
  }

  get ack(): number {
    return this.#receive.next;
  }

  get inFlightPackets(): number {
    return this.#sender.inFlightPackets;
  }

  /** Packets of ours that are kept until they are acknowledged without a gap. */
  get heldPackets(): number {
    return this.#sender.heldPackets;
  }

  /** Packets of the other side that came before their turn. */
  get earlyPackets(): number {
    return this.#receive.earlyPackets;
  }

  get earlyBytes(): number {
    return this.#receive.earlyBytes;
  }

  get inFlightBytes(): number {
    return this.#sender.inFlightBytes;
  }

  /** Written and not yet acknowledged bytes, sent or not. */
  get pendingBytes(): number {
    return this.#sender.pendingBytes;
  }

  /** Bytes written, and how many of them the other side has acknowledged without a gap. */
  get writtenBytes(): number {
    return this.#sender.writtenBytes;
  }

  get acknowledgedBytes(): number {
    return this.#sender.acknowledgedBytes;
  }

  get remoteChanging(): boolean {
    return this.#sender.remoteChanging;
  }

  /** What we let the other side send. */
  get receiveWindow(): number {
    return this.#acks.windowBytes;
  }

  /** What the other side lets us send. */
  get sendWindow(): number {
    return this.#sender.sendWindow;
  }

  get retransmits(): number {
    return this.#sender.retransmits;
  }

  get fastRecoveries(): number {
    return this.#sender.fastRecoveries;
  }

  get timeouts(): number {
    return this.#sender.timeouts;
  }

  /** SACK blocks that named packets never sent or already acknowledged. */
  get invalidSacks(): number {
    return this.#sender.invalidSacks;
  }

  // Commands.

  /** Starts sending to `route`. @param ack the first number expected from the other side, if not 0 */
  connect(route: R, nowMs: number, ack?: number): void {
    if (this.#closed) return;
    if (ack !== undefined) this.#receive.startAt(ack >>> 0);
    this.#sender.connect(route, nowMs, ack === undefined ? undefined : ack >>> 0);
  }

  /**
   * Sends what is new to another address. Packets in flight are still repeated to the old one;
   * `remote-changed` comes when all of them are acknowledged, or at once when there are none.
   */
  changeRemote(route: R): void {
    if (!this.#closed) this.#sender.changeRemote(route);
  }

  /** Queues bytes, which must not be changed until sent. False asks the writer to wait for `drain`. */
  write(bytes: Uint8Array): boolean {
    return this.#closed || this.#sender.write(bytes);
  }

  /** Finishes our direction once everything written is delivered. */
  end(): void {
    this.#sender.end();
  }

  /** Queues one unordered, unreliable message; false when it was dropped. */
  sendMessage(payload: Uint8Array): boolean {
    const route = this.route;
    if (this.#closed || route === null || this.#control.length >= MAX_CONTROL_PACKETS) return false;
    this.#control.push({ bytes: encodePacket(this.#header(MESSAGE), payload), route });
    return true;
  }

  /** The reader took `bytes` of the data events: lets the other side send as many more. */
  consumed(bytes: number): void {
    this.#receive.consumed(bytes);
    // Tell a sender that stands still, but not about every crumb.
    const max = this.#receive.maxBytes;
    if (this.#acks.advertised < max / 4 && this.receiveWindow >= max / 2) this.#acks.owed = ACK_EVERY_PACKETS;
  }

  /** Sends a heartbeat whenever the stream was idle for that long; 0 switches it off. */
  setKeepalive(intervalMs: number, nowMs: number): void {
    if (!this.#closed) this.#sender.setKeepalive(intervalMs, nowMs);
  }

  /** Ends both directions at once. @param silent tells nobody: for relays, whose peers speak to each other */
  destroy(silent = false): void {
    if (this.#closed) return;
    const route = this.route;
    if (route !== null && !silent) {
      this.#control = [{ bytes: encodePacket(this.#header(DESTROY, this.#sender.takeSeq())), route }];
    }
    this.#silent = silent;
    this.#close(null);
  }

  /**
   * The answer to packets that arrive after we closed, so that a peer whose last acknowledgement got lost needn't
   * wait for its timeouts. Null while open, and after a silent end.
   */
  farewell(): Transmit<R> | null {
    const route = this.route;
    if (!this.#closed || this.#silent || route === null) return null;
    const clean = this.#sender.finished && this.#receive.ended;
    return { bytes: encodePacket(this.#header(clean ? 0 : DESTROY)), route };
  }

  // Inputs.

  /** Takes a packet addressed to this stream. */
  handlePacket(packet: Packet, nowMs: number): void {
    if (this.#closed) return;
    this.bytesReceived += packet.bytes;
    this.packetsReceived++;
    if ((packet.type & HEARTBEAT) !== 0) {
      this.#acks.owed = ACK_EVERY_PACKETS;
      return;
    }
    this.#takePayload(packet);
    if (this.#closed) return;
    this.#sender.takeAck(packet, nowMs);
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
    if (!this.#closed) this.#sender.handleTimeout(nowMs);
  }

  // Outputs.

  pollEvent(): StreamEvent | null {
    return this.#events.shift() ?? null;
  }

  /** When `handleTimeout()` and `pollTransmit()` want to be called next; Infinity when never. */
  pollTimeout(): number {
    return this.#sender.timeoutMs;
  }

  /** The next datagram to send now, or null. Acknowledgements without data wait for `pollAck()`. */
  pollTransmit(nowMs: number): Transmit<R> | null {
    const control = this.#control.shift();
    if (control !== undefined) return this.#count(control);
    const route = this.route;
    if (this.#closed || route === null) return null;
    const packet = this.#sender.next(nowMs);
    if (packet !== null) return this.#count(packet);
    if (this.#sender.takeHeartbeat()) return this.#count({ bytes: encodePacket(this.#header(HEARTBEAT)), route });
    return this.#acks.owed >= this.#ackEvery() ? this.pollAck() : null;
  }

  #ackEvery(): number {
    if (this.packetsReceived < FIRST_PACKETS) return ACK_EVERY_AT_FIRST;
    return this.#receive.hasGaps ? ACK_EVERY_WITH_GAPS : ACK_EVERY_PACKETS;
  }

  /** A datagram that only acknowledges, if one is owed. */
  pollAck(): Transmit<R> | null {
    const route = this.route;
    if (this.#acks.owed === 0 || route === null || this.#closed) return null;
    return this.#count(this.#ackPacket(route));
  }

  #ackPacket(route: R): Transmit<R> {
    this.#acks.owed = 0;
    const sacks = this.#receive.hasGaps ? this.#receive.sackBlocks() : [];
    return { bytes: encodePacket(this.#header(sacks.length > 0 ? SACK : 0), undefined, sacks), route };
  }

  #header(type: number, seq = this.#sender.seq): Header {
    return {
      type,
      streamId: this.route?.remoteId ?? 0,
      receiveWindow: this.#acks.advertise(),
      seq,
      ack: this.#receive.next,
    };
  }

  #count(transmit: Transmit<R>): Transmit<R> {
    this.packetsTransmitted++;
    this.bytesTransmitted += transmit.bytes.length;
    return transmit;
  }

  #takePayload(packet: Packet): void {
    const carriesNumber = (packet.type & (DATA | END)) !== 0;
    // Every such packet is answered, a duplicate too: its sender lacks the acknowledgement.
    if (carriesNumber) this.#acks.owed++;
    if (seqDiff(packet.seq, this.#receive.next) >= 0) {
      if (carriesNumber) {
        const wasEnded = this.#receive.ended;
        const acceptance = this.#receive.accept(packet, this.#deliver);
        if (acceptance !== "in-order") this.#acks.owed = Math.max(this.#acks.owed, 1);
        if (this.#receive.ended && !wasEnded) this.#events.push({ kind: "end" });
      }
      if ((packet.type & DESTROY) !== 0) {
        this.#close("reset");
        return;
      }
    }
    if ((packet.type & MESSAGE) !== 0) this.#events.push({ kind: "message", bytes: packet.payload });
  }

  #onNotice(notice: SenderNotice): void {
    if (notice === "timed-out") this.#close(notice);
    else this.#events.push({ kind: notice });
  }

  #closeIfFinished(): void {
    if (!this.#sender.finished || !this.#receive.ended) return;
    const route = this.route;
    const last = route === null ? null : this.#ackPacket(route);
    this.#close(null);
    if (last !== null) this.#control.push(last);
  }

  #close(failure: StreamFailure | null): void {
    this.#closed = true;
    this.#sender.clear();
    this.#receive.clear();
    this.#events.push({ kind: "closed", failure });
  }
}
