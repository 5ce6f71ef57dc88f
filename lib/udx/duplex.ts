import { Buffer } from "node:buffer";
// @deno-types="./streamx.d.ts"
import { Duplex, Writable } from "streamx";
import { type Family, isIP } from "./ip.ts";
import { Deadline, type Waiter } from "./deadlines.ts";
import { type Packet, writeU32 } from "./packet.ts";
import type { RemoteAddress, SocketStream, UDXSocket } from "./socket.ts";
import { type Route, type StreamEvent, type StreamFailure, StreamMachine } from "./stream.ts";
import { monotonicMs, type TimedDeadlines } from "./timed_deadlines.ts";
import { UnreadBytes } from "./unread_bytes.ts";

/** Decides about packets that reach a stream through a socket it isn't connected on: true drops them. */
export type Firewall = (socket: UDXSocket, port: number, host: string, family: Family) => boolean;

export interface StreamOptions {
  readonly firewall?: Firewall;
  /** The first sequence number, if not 0. */
  readonly seq?: number;
  /** Accepted for compatibility: here data is always delivered as it arrives. */
  readonly framed?: boolean;
}

/** What a stream needs of the UDX it belongs to. */
export interface StreamOwner {
  /** Runs `handleDeadline()` of the stream when its deadline has come. */
  readonly deadlines: TimedDeadlines;
  readonly allocate: (bytes: number) => Uint8Array;
  streamClosed(stream: UDXStream, farewell: { bytes: Uint8Array; route: SocketRoute } | null): void;
}

/** Where datagrams go: a numeric address and a port. */
export interface DatagramAddress {
  readonly transport: "tcp" | "udp";
  readonly hostname: string;
  readonly port: number;
}

/** A route with the socket and address that it stands for. */
export interface SocketRoute extends Route {
  readonly socket: UDXSocket;
  readonly address: DatagramAddress;
}

/** Smaller payloads are copied for the reader: a view would keep a whole receive slab alive for a few bytes. */
const SMALLEST_VIEW_BYTES = 256;

interface Flush {
  readonly untilBytes: number;
  readonly resolve: (delivered: boolean) => void;
}

/**
 * A UDX stream as a streamx Duplex with the interface of udx-native's.
 *
 * Events besides those of a Duplex: `connect`, `message` (bytes), `remote-changed`.
 */
export class UDXStream extends Duplex implements SocketStream, Waiter {
  readonly id: number;
  readonly udx: StreamOwner;
  socket: UDXSocket | null = null;
  remoteId = 0;
  remoteHost: string | null = null;
  remoteFamily: Family | 0 = 0;
  remotePort = 0;
  userData: unknown = null;

  readonly #machine: StreamMachine<SocketRoute>;
  readonly #deadline = new Deadline(this);
  readonly #firewall: Firewall;
  #previousSocket: UDXSocket | null = null;
  #remoteChange: PromiseWithResolvers<void> | null = null;
  #writeCallback: ((error: Error | null) => void) | null = null;
  #destroyCallback: ((error: Error | null) => void) | null = null;
  /** Delivered by the machine, not yet taken by the reader. */
  readonly #unread = new UnreadBytes();
  #readerFull = false;
  #ended = false;
  #flushes: Flush[] = [];
  #relayTo: UDXStream | null = null;
  #relayed = false;
  #relaying: Set<UDXStream> | null = null;

  constructor(udx: StreamOwner, id: number, options: StreamOptions = {}) {
    super({ mapWritable: toBytes, eagerOpen: true });
    this.udx = udx;
    this.id = id;
    this.#firewall = options.firewall ?? dropAll;
    this.#machine = new StreamMachine<SocketRoute>({
      id,
      ...(options.seq === undefined ? {} : { seq: options.seq }),
      allocate: udx.allocate,
    });
  }

  get connected(): boolean {
    return this.socket !== null;
  }

  get mtu(): number {
    return this.#machine.mtuBytes;
  }

  /** Smoothed round trip in whole milliseconds, as udx-native counts. */
  get rtt(): number {
    return Math.round(this.#machine.rtt.srttMs);
  }

  /** Congestion window in packets. */
  get cwnd(): number {
    return this.#machine.congestion.windowPackets;
  }

  /** What BBR is doing, by libudx's numbers: 0 startup, 1 drain, 2 probing for bandwidth, 3 for round trips. */
  get bbrState(): 0 | 1 | 2 | 3 {
    const { mode } = this.#machine.congestion;
    switch (mode) {
      case "startup":
        return 0;
      case "drain":
        return 1;
      case "probe-bandwidth":
        return 2;
      case "probe-rtt":
        return 3;
      default: {
        const never: never = mode;
        return never;
      }
    }
  }

  /** Bytes of data per second that the path carries, as far as BBR knows. */
  get bbrBandwidth(): number {
    return this.#machine.bandwidthBytesPerSecond;
  }

  get rtoCount(): number {
    return this.#machine.timeouts;
  }

  get retransmits(): number {
    return this.#machine.retransmits;
  }

  get fastRecoveries(): number {
    return this.#machine.fastRecoveries;
  }

  /** Bytes in flight, as udx-native counts: with its own headers. */
  get inflight(): number {
    return this.#machine.inFlightBytes;
  }

  get bytesTransmitted(): number {
    return this.#machine.bytesTransmitted;
  }

  get packetsTransmitted(): number {
    return this.#machine.packetsTransmitted;
  }

  get bytesReceived(): number {
    return this.#machine.bytesReceived;
  }

  get packetsReceived(): number {
    return this.#machine.packetsReceived;
  }

  get localHost(): string | null {
    return this.socket?.address()?.host ?? null;
  }

  get localFamily(): Family | 0 {
    return this.socket?.address()?.family ?? 0;
  }

  get localPort(): number {
    return this.socket?.address()?.port ?? 0;
  }

  /** Without effect, for compatibility: here data is always delivered as it arrives. */
  setInteractive(_interactive: boolean): void {}

  /** Sends a heartbeat after every `intervalMs` of idleness, 0 for never. */
  setKeepalive(intervalMs: number): void {
    this.#machine.setKeepalive(intervalMs, monotonicMs());
    this.#armTimer();
  }

  /**
   * Starts talking to a remote stream.
   *
   * @param options.ack the first sequence number of the other side, if not 0
   * @throws Error when already connected, the socket is closed, or host or port are none
   */
  connect(
    socket: UDXSocket,
    remoteId: number,
    port: number,
    host?: string | null | { ack?: number },
    options: { ack?: number } = {},
  ): void {
    if (this.#machine.closed) return;
    if (this.connected) throw new Error("Already connected");
    if (typeof host === "object" && host !== null) {
      options = host;
      host = null;
    }
    const route = this.#takeRemote(socket, remoteId, port, host);
    const nowMs = monotonicMs();
    this.#machine.connect(route, nowMs, options.ack || undefined);
    socket.addStream(this);
    socket.acknowledgeLater(this);
    this.#update(nowMs);
    this.emit("connect");
  }

  /**
   * Moves to another remote, and to another socket if need be. What is in flight is still sent to the old one;
   * resolves (and emits `remote-changed`) when all of it has been acknowledged.
   *
   * @throws Error when not connected, when a change is under way, or the socket is closed or another UDX's
   */
  changeRemote(socket: UDXSocket, remoteId: number, port: number, host?: string | null): Promise<void> {
    if (this.#remoteChange !== null) throw new Error("Remote already changing");
    if (this.socket === null) throw new Error("Not yet connected");
    if (socket.udx !== this.socket.udx) throw new Error("Cannot change to a socket on another UDX instance");
    const before = this.socket;
    const route = this.#takeRemote(socket, remoteId, port, host);
    if (before !== socket) this.#previousSocket = before;
    const change = this.#remoteChange = Promise.withResolvers<void>();
    // Whoever isn't interested in the outcome needn't be told that the stream closed first.
    change.promise.catch(() => {});
    socket.addStream(this);
    this.#machine.changeRemote(route);
    this.#update(monotonicMs());
    return change.promise;
  }

  #takeRemote(socket: UDXSocket, remoteId: number, port: number, host?: string | null): SocketRoute {
    if (socket.closing) throw new Error("Socket is closed");
    const remoteHost = host || "127.0.0.1";
    const family = isIP(remoteHost);
    if (family === 0) throw new Error(`${remoteHost} is not a valid IP address`);
    if (!(port > 0 && port < 65_536)) throw new Error(`${port} is not a valid port`);
    if (!socket.bound) socket.bind(0);
    this.socket = socket;
    this.remoteId = remoteId;
    this.remotePort = port;
    this.remoteHost = remoteHost;
    this.remoteFamily = family;
    return { remoteId, ipv6: family === 6, socket, address: socket.destination(port, remoteHost) };
  }

  /**
   * From now on passes every packet that arrives for this stream on to `destination`'s remote, unread.
   *
   * @throws Error `EINVAL` when this stream relays already or the destination is closed
   */
  relayTo(destination: UDXStream): void {
    if (this.#machine.closed) return;
    if (this.#relayed || destination.#machine.closed) {
      throw Object.assign(new Error("Stream cannot be relayed"), { code: "EINVAL" });
    }
    this.#relayed = true;
    this.#relayTo = destination;
    (destination.#relaying ??= new Set()).add(this);
  }

  /** Sends an unordered message, which may get lost; resolves with false when too many wait already. */
  send(message: Uint8Array): Promise<boolean> {
    return Promise.resolve(this.#sendMessage(message));
  }

  /** Like `send()`, without telling how it went. */
  trySend(message: Uint8Array): void {
    this.#sendMessage(message);
  }

  #sendMessage(message: Uint8Array): boolean {
    if (this.socket === null) return false;
    const taken = this.#machine.sendMessage(message);
    if (taken) this.#transmitAll(monotonicMs());
    return taken;
  }

  /** Resolves with true when all that was written has been acknowledged, with false if the stream closes first. */
  async flush(): Promise<boolean> {
    // Not `destroying`: once both ends have finished it is set, while the last packets are still under way.
    if (!await Writable.drained(this) || this.#machine.closed) return false;
    const untilBytes = this.#machine.writtenBytes;
    if (this.#machine.acknowledgedBytes >= untilBytes) return true;
    return await new Promise((resolve) => this.#flushes.push({ untilBytes, resolve }));
  }

  toJSON() {
    return {
      id: this.id,
      connected: this.connected,
      destroying: this.destroying,
      destroyed: this.destroyed,
      remoteId: this.remoteId,
      remoteHost: this.remoteHost,
      remoteFamily: this.remoteFamily,
      remotePort: this.remotePort,
      mtu: this.mtu,
      rtt: this.rtt,
      cwnd: this.cwnd,
      inflight: this.inflight,
      socket: this.socket === null ? null : this.socket.toJSON(),
    };
  }

  // Packets, for the UDX this belongs to.

  /** Takes a packet that carries our id. `datagram` is its memory, `packet` the view of it. */
  handlePacket(socket: UDXSocket, packet: Packet, datagram: Uint8Array, from: RemoteAddress): void {
    if (this.#machine.closed) return;
    if (socket !== this.socket && this.#firewall(socket, from.port, from.host, from.family)) return;
    if (this.#machine.closed) return;
    if (this.#relayTo !== null) return this.#relay(packet, datagram, this.#relayTo);
    const nowMs = monotonicMs();
    this.#machine.handlePacket(packet, nowMs);
    this.#update(nowMs);
    if (!this.#machine.closed) this.socket?.acknowledgeLater(this);
  }

  #relay(packet: Packet, datagram: Uint8Array, destination: UDXStream): void {
    const route = destination.#machine.route;
    if (route !== null) {
      writeU32(datagram, 4, route.remoteId);
      route.socket.transmit(datagram, route.address);
    }
    this.#machine.handleRelayed(packet);
    this.#update(monotonicMs());
  }

  /** Sends the acknowledgement that is owed, if no data carried it meanwhile. */
  sendAck(): void {
    const ack = this.#machine.pollAck();
    if (ack !== null) ack.route.socket.transmit(ack.bytes, ack.route.address);
  }

  handleDeadline(nowMs: number): void {
    this.#machine.handleTimeout(nowMs);
    this.#update(nowMs);
  }

  resumeSending(): void {
    this.#transmitAll(monotonicMs());
    this.#armTimer();
  }

  /** Carries out what the machine decided. */
  #update(nowMs: number): void {
    let event = this.#machine.pollEvent();
    while (event !== null) {
      this.#onEvent(event);
      event = this.#machine.pollEvent();
    }
    if (this.#flushes.length > 0) this.#resolveFlushes();
    this.#transmitAll(nowMs);
    this.#armTimer();
  }

  #transmitAll(nowMs: number): void {
    const socket = this.#machine.route?.socket;
    if (socket === undefined) return;
    while (this.#machine.closed || socket.ready(this)) {
      const transmit = this.#machine.pollTransmit(nowMs);
      if (transmit === null) return;
      transmit.route.socket.transmit(transmit.bytes, transmit.route.address);
    }
  }

  #armTimer(): void {
    if (this.#machine.closed) this.udx.deadlines.clear(this.#deadline);
    else this.udx.deadlines.set(this.#deadline, this.#machine.pollTimeout());
  }

  #onEvent(event: StreamEvent): void {
    switch (event.kind) {
      case "data":
        if (this.#readerFull) this.#unread.add(event.bytes);
        else this.#giveReader(event.bytes);
        return;
      case "end":
        this.#ended = true;
        if (this.#unread.empty) this.push(null);
        return;
      case "message":
        // A copy: whoever keeps a message needn't keep all that arrived with it.
        this.emit("message", toBuffer(event.bytes.slice()));
        return;
      case "drain":
        this.#continueWrite(null);
        return;
      case "remote-changed":
        this.#onRemoteChanged();
        return;
      case "closed":
        this.#onClosed(event.failure);
        return;
      default: {
        const never: never = event;
        return never;
      }
    }
  }

  // Reading.

  #giveReader(bytes: Uint8Array): void {
    this.#readerFull = !this.push(toBuffer(bytes.length < SMALLEST_VIEW_BYTES ? bytes.slice() : bytes));
    this.#machine.consumed(bytes.length);
  }

  #feedReader(): void {
    this.#readerFull = false;
    while (!this.#readerFull) {
      const bytes = this.#unread.take();
      if (bytes === null) break;
      this.#giveReader(bytes);
    }
    if (this.#unread.empty && this.#ended) this.push(null);
  }

  override _read(callback: (error: Error | null) => void): void {
    this.#readerFull = false;
    if (!this.#unread.empty) {
      this.#feedReader();
      this.#update(monotonicMs());
    }
    callback(null);
  }

  // Writing.

  override _writev(batch: Uint8Array[], callback: (error: Error | null) => void): void {
    if (!this.connected) {
      throw Object.assign(new Error("Writing while not connected not currently supported"), { code: "ERR_ASSERTION" });
    }
    let goOn = true;
    for (const bytes of batch) goOn = this.#machine.write(bytes);
    if (!goOn) this.#writeCallback = callback;
    this.#update(monotonicMs());
    if (goOn) callback(null);
  }

  override _final(callback: (error: Error | null) => void): void {
    this.#machine.end();
    this.#update(monotonicMs());
    callback(null);
  }

  #continueWrite(error: Error | null): void {
    const callback = this.#writeCallback;
    this.#writeCallback = null;
    callback?.(error);
  }

  // Closing.

  override _predestroy(): void {
    this.#machine.destroy(this.#relayed);
    this.#update(monotonicMs());
    this.#continueWrite(null);
  }

  override _destroy(callback: (error: Error | null) => void): void {
    // After both ends finished, streamx destroys at once; the last packets still have to be acknowledged.
    if (this.connected) this.#destroyCallback = callback;
    else {
      this.#machine.destroy();
      this.#update(monotonicMs());
      callback(null);
    }
  }

  #onRemoteChanged(): void {
    this.#previousSocket?.removeStream(this);
    this.#previousSocket = null;
    this.#remoteChange?.resolve();
    this.#remoteChange = null;
    this.emit("remote-changed");
  }

  #onClosed(failure: StreamFailure | null): void {
    this.udx.deadlines.clear(this.#deadline);
    // The machine's last words go out before the socket may close under them.
    this.#transmitAll(monotonicMs());
    this.udx.streamClosed(this, this.#machine.farewell());
    const socket = this.socket;
    const previous = this.#previousSocket;
    this.socket = null;
    this.#previousSocket = null;
    socket?.removeStream(this);
    previous?.removeStream(this);
    // What closes the stream may be what acknowledges everything.
    this.#resolveFlushes();
    for (const { resolve } of this.#flushes.splice(0)) resolve(false);
    this.#remoteChange?.reject(new Error("Stream is closed"));
    this.#remoteChange = null;
    if (this.#relayTo !== null) this.#relayTo.#relaying?.delete(this);
    for (const relaying of this.#relaying ?? []) {
      relaying.#relayTo = null;
      relaying.destroy();
    }
    this.#relaying = null;
    this.#finishClosing(failure === null ? null : closeError(failure));
  }

  #finishClosing(error: Error | null): void {
    const callback = this.#destroyCallback;
    this.#destroyCallback = null;
    if (callback !== null) callback(error);
    else if (error !== null) this.destroy(error);
  }

  #resolveFlushes(): void {
    const acknowledged = this.#machine.acknowledgedBytes;
    while (this.#flushes.length > 0 && this.#flushes[0]!.untilBytes <= acknowledged) {
      this.#flushes.shift()!.resolve(true);
    }
  }
}

/** The errors that users of udx-native know by their code. */
function closeError(failure: StreamFailure): Error {
  switch (failure) {
    case "reset":
      return Object.assign(new Error("connection reset by peer"), { code: "ECONNRESET" });
    case "timed-out":
      return Object.assign(new Error("connection timed out"), { code: "ETIMEDOUT" });
    default: {
      const never: never = failure;
      return never;
    }
  }
}

function toBuffer(bytes: Uint8Array): Uint8Array {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

function toBytes(data: unknown): unknown {
  return typeof data === "string" ? Buffer.from(data) : data;
}

function dropAll(): boolean {
  return true;
}
