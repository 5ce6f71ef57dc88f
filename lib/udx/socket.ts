/**
 * The sockets of UDX: an edge, as are those with a TTL (ttl_socket.ts) and the clock (timed_deadlines.ts).
 */
import { Buffer } from "node:buffer";
import { EventEmitter } from "node:events";
import { lookup } from "node:dns/promises";
import { setTimeout } from "node:timers";
import { type Family, isIP, mapIPv4, MAPPED_PREFIX, unmapIPv4 } from "./ip.ts";
import { afterBatch, DeadlineTimer, monotonicMs, throwLater } from "./timed_deadlines.ts";
import { type DatagramSocket, openTtlSocket } from "./ttl_socket.ts";

/** Opens a bound datagram socket, or throws. */
export type ListenDatagram = (
  options: { hostname: string; port: number; reuseAddress: boolean },
) => DatagramSocket;

/** Where a message came from. */
export interface RemoteAddress {
  readonly host: string;
  readonly family: Family;
  readonly port: number;
}

export interface SocketOptions {
  /** Refuse IPv4 on a socket bound to an IPv6 address. */
  readonly ipv6Only?: boolean;
  readonly reuseAddress?: boolean;
}

/** Datagrams and their bytes, as a UDX and each of its sockets count them. */
export class Traffic {
  bytesTransmitted = 0;
  packetsTransmitted = 0;
  bytesReceived = 0;
  packetsReceived = 0;
}

interface QueuedSend {
  readonly bytes: Uint8Array;
  readonly to: Deno.NetAddr;
  readonly ttl: number | undefined;
  readonly settle: ((sent: boolean) => void) | null;
}

/** A stream, as far as its socket cares. */
export interface SocketStream {
  /** The datagrams that were waiting have been read: acknowledge those that were this stream's. */
  sendAck(): void;
  /** The socket can send again. */
  resumeSending(): void;
}

/** Gives datagrams to streams. */
export interface PacketSink {
  readonly traffic: Traffic;
  readonly listenDatagram: ListenDatagram;
  /** True when the datagram belonged to a stream. */
  handleDatagram(socket: UDXSocket, datagram: Uint8Array, from: RemoteAddress): boolean;
}

/** The largest datagram taken: longer ones are cut, as in libudx. */
const MAX_DATAGRAM_BYTES = 2048;
const SLAB_BYTES = 65_536;
/** Sends the kernel has not taken yet: above this streams wait, and stray messages are dropped. */
const MAX_PENDING_SENDS = 512;
/**
 * Datagrams that streams send before what has arrived is read; then they wait for the next batch of datagrams or, if none
 * comes, for a moment. The first flights of a thousand streams would else overflow every buffer on their way (Linux holds
 * 92 full datagrams), and all of them would wait for timeouts.
 */
const MAX_BURST_PACKETS = 32;
const BURST_PAUSE_MS = 5;
/** Above this even what answers a packet is dropped: a peer must not fill our memory by asking faster than we can send. */
const MAX_PENDING_ANSWERS = 2 * MAX_PENDING_SENDS;
/** Failing receives in a row after which the socket pauses between them. */
const MAX_RECEIVE_ERRORS = 16;
const RECEIVE_ERROR_PAUSE_MS = 100;
/**
 * Binds a datagram socket of the system. One that may have to open a NAT, on any port of an IPv4 address that others
 * reach, can set its packets' TTL.
 *
 * @throws Error with the system's code, such as `EADDRINUSE`
 */
export function openDatagramSocket(
  { hostname, port, reuseAddress }: { hostname: string; port: number; reuseAddress: boolean },
): DatagramSocket {
  if (port === 0 && isIP(hostname) === 4 && !hostname.startsWith("127.")) {
    return openTtlSocket({ hostname, port, reuseAddress });
  }
  return Deno.listenDatagram({ transport: "udp", hostname, port, reuseAddress });
}

/**
 * Asks the system's resolver. @param family 4, 6, or 0 for either
 *
 * @throws Error with libuv's code: `EAI_NONAME` for an unknown name or one without such an address, `EAI_ADDRFAMILY` for
 * an address of the other family, `EINVAL` for nothing, `EAI_AGAIN` and others as the system says
 */
export async function lookupHost(host: string, family: Family | 0): Promise<{ host: string; family: Family }> {
  const literal = isIP(host);
  if (literal !== 0) {
    if (family !== 0 && family !== literal) throw lookupError("EAI_ADDRFAMILY", "address family not supported");
    return { host: host.replace(/%.*/, ""), family: literal };
  }
  if (host === "") throw lookupError("EINVAL", "invalid argument");
  try {
    const found = await lookup(host, { family });
    return { host: found.address, family: found.family === 6 ? 6 : 4 };
  } catch (cause) {
    const code = (cause as { code?: unknown }).code;
    // The name of it that users of udx-native know; Node has one of its own.
    if (code === "ENOTFOUND") throw lookupError("EAI_NONAME", "unknown node or service", cause);
    throw cause;
  }
}

function lookupError(code: string, message: string, cause?: unknown): Error {
  return Object.assign(new Error(message, { cause }), { code });
}

/**
 * A UDP socket that any number of streams share, with the interface of udx-native's.
 *
 * Events: `message` (bytes, `RemoteAddress`) for datagrams that belong to no stream, `listening`, `idle`, `busy`, `close`.
 */
export class UDXSocket extends EventEmitter {
  readonly udx: PacketSink;
  readonly streams = new Set<SocketStream>();
  readonly traffic = new Traffic();
  userData: unknown = null;

  readonly #ipv6Only: boolean;
  readonly #reuseAddress: boolean;
  #connection: DatagramSocket | null = null;
  #host: string | null = null;
  #family: Family | 0 = 0;
  #port = 0;
  #closing: Promise<void> | null = null;
  #closed = false;
  #pendingSends = 0;
  /** The one that the system holds, and those that wait behind it, from `#nextSend` on. */
  #sending: QueuedSend | null = null;
  #sends: QueuedSend[] = [];
  #nextSend = 0;
  #burstPackets = 0;
  #inBatch = false;
  #owing = new Set<SocketStream>();
  readonly #waiting = new Set<SocketStream>();
  readonly #onSent = () => this.#sent(true);
  readonly #onSendFailed = () => this.#sent(false);
  readonly #onBatchEnd = () => this.#endBatch();
  readonly #onPauseEnd = () => this.#endPause();
  /** What arrived meanwhile is read first: the system's buffer may be full of it. */
  readonly #pauseTimer = new DeadlineTimer(() => afterBatch(this.#onPauseEnd));

  constructor(udx: PacketSink, options: SocketOptions = {}) {
    super();
    this.udx = udx;
    this.#ipv6Only = options.ipv6Only === true;
    this.#reuseAddress = options.reuseAddress === true;
  }

  get bound(): boolean {
    return this.#port !== 0;
  }

  get closing(): boolean {
    return this.#closing !== null;
  }

  get idle(): boolean {
    return this.streams.size === 0;
  }

  get busy(): boolean {
    return this.streams.size > 0;
  }

  get bytesTransmitted(): number {
    return this.traffic.bytesTransmitted;
  }

  get packetsTransmitted(): number {
    return this.traffic.packetsTransmitted;
  }

  get bytesReceived(): number {
    return this.traffic.bytesReceived;
  }

  get packetsReceived(): number {
    return this.traffic.packetsReceived;
  }

  /** Unknown to this runtime: -1, as udx-native says where it can't tell; 0 before `bind()`. */
  get packetsDroppedByKernel(): number {
    return this.bound ? -1 : 0;
  }

  toJSON() {
    return {
      bound: this.bound,
      closing: this.closing,
      streams: this.streams.size,
      address: this.address(),
      ipv6Only: this.#ipv6Only,
      reuseAddress: this.#reuseAddress,
      idle: this.idle,
      busy: this.busy,
    };
  }

  address(): { host: string; family: Family | 0; port: number } | null {
    return this.#host === null ? null : { host: this.#host, family: this.#family, port: this.#port };
  }

  /**
   * Binds at once. Without a host to every address, IPv6 and IPv4 where the machine has both.
   *
   * @throws Error when bound or closed, when the host is no IP address, or with the system's code (`EADDRINUSE`, …)
   */
  bind(port = 0, host?: string | null): void {
    if (this.bound) throw new Error("Already bound");
    if (this.closing) throw new Error("Socket is closed");
    if (host) {
      if (isIP(host) === 0) throw new Error(`${host} is not a valid IP address`);
      this.#listen(port, host);
    } else {
      try {
        this.#listen(port, "::");
      } catch {
        this.#listen(port, "0.0.0.0");
      }
    }
    this.emit("listening");
  }

  #listen(port: number, host: string): void {
    const connection = this.udx.listenDatagram({ hostname: host, port, reuseAddress: this.#reuseAddress });
    this.#connection = connection;
    this.#port = (connection.addr as Deno.NetAddr).port;
    this.#host = host;
    this.#family = isIP(host);
    void this.#receiveAll(connection);
  }

  async #receiveAll(connection: DatagramSocket): Promise<void> {
    let slab = new Uint8Array(SLAB_BYTES);
    let used = 0;
    let errors = 0;
    while (this.#connection !== null) {
      try {
        if (used + MAX_DATAGRAM_BYTES > SLAB_BYTES) {
          slab = new Uint8Array(SLAB_BYTES);
          used = 0;
        }
        const [datagram, from] = await connection.receive(slab.subarray(used, used + MAX_DATAGRAM_BYTES));
        errors = 0;
        // What is still to be sent holds up closing; nobody listens meanwhile.
        if (this.#closed) continue;
        used += datagram.length;
        this.#received(datagram, from as Deno.NetAddr);
      } catch (error) {
        if (this.#connection === null || error instanceof Deno.errors.BadResource) break;
        // A receive can fail for one peer's sake (ICMP on Windows); the socket goes on, but never spins.
        if (++errors >= MAX_RECEIVE_ERRORS) await new Promise((resolve) => setTimeout(resolve, RECEIVE_ERROR_PAUSE_MS));
      }
    }
    this.emit("close");
  }

  #received(datagram: Uint8Array, from: Deno.NetAddr): void {
    const host = unmapIPv4(from.hostname);
    const mapped = host !== from.hostname;
    if (mapped && this.#ipv6Only) return;
    this.traffic.packetsReceived++;
    this.traffic.bytesReceived += datagram.length;
    this.udx.traffic.packetsReceived++;
    this.udx.traffic.bytesReceived += datagram.length;
    if (!this.#inBatch) this.#beginBatch();
    const family: Family = mapped || this.#family === 4 ? 4 : 6;
    const remote = { host, family, port: from.port };
    try {
      if (this.udx.handleDatagram(this, datagram, remote)) return;
      // A copy: whoever keeps a message needn't keep all that arrived with it.
      this.emit("message", Buffer.from(datagram.slice().buffer), remote);
    } catch (error) {
      throwLater(error);
    }
  }

  /** Closes once its streams are gone; resolves when it is closed. */
  close(): Promise<void> {
    if (this.#closing === null) {
      this.#closing = new Promise((resolve) => this.once("close", resolve));
      this.#closeMaybe();
    }
    return this.#closing;
  }

  #closeMaybe(): boolean {
    if (this.#closed || this.#closing === null || this.busy) return this.#closed;
    this.#closed = true;
    this.#pauseTimer.clear();
    if (this.#connection === null) this.emit("close");
    // What is still to be sent goes first.
    else if (this.#sending === null) this.#shut(this.#connection);
    return true;
  }

  #shut(connection: DatagramSocket): void {
    this.#connection = null;
    connection.close();
  }

  addStream(stream: SocketStream): void {
    if (this.streams.has(stream)) return;
    this.streams.add(stream);
    if (this.streams.size === 1) this.emit("busy");
  }

  removeStream(stream: SocketStream): void {
    this.#waiting.delete(stream);
    this.#owing.delete(stream);
    if (!this.streams.delete(stream)) return;
    const closed = this.#closeMaybe();
    if (this.idle && !closed) this.emit("idle");
  }

  /**
   * Sends one datagram outside of any stream; true when the system took it.
   *
   * @param ttl how many routers may pass it on, 0 for the socket's own; ignored where the socket can't set it
   */
  async send(bytes: Uint8Array, port: number, host?: string | null, ttl?: number): Promise<boolean> {
    if (this.closing) return false;
    const to = this.#openAddress(port, host);
    if (this.#pendingSends >= MAX_PENDING_SENDS) return false;
    return await new Promise((resolve) => this.#submit(bytes, to, ttl || undefined, resolve));
  }

  /** Like `send()`, without telling how it went. */
  trySend(bytes: Uint8Array, port: number, host?: string | null, ttl?: number): void {
    if (this.closing) return;
    const to = this.#openAddress(port, host);
    if (this.#pendingSends < MAX_PENDING_SENDS) this.#submit(bytes, to, ttl || undefined);
  }

  #openAddress(port: number, host?: string | null): Deno.NetAddr {
    const remote = host || "127.0.0.1";
    if (isIP(remote) === 0) throw new Error(`${remote} is not a valid IP address`);
    if (!this.bound) this.bind(0);
    return this.destination(port, remote);
  }

  /** The address of an IP host as this socket's family spells it. */
  destination(port: number, host: string): Deno.NetAddr {
    const hostname = this.#family === 6 && isIP(host) === 4 ? mapIPv4(host) : host;
    return { transport: "udp", hostname, port };
  }

  /** Sends a stream's datagram. Losses are the network's affair, so nothing is reported. */
  transmit(bytes: Uint8Array, to: Deno.NetAddr): void {
    if (this.#pendingSends < MAX_PENDING_ANSWERS) this.#submit(bytes, to);
  }

  /**
   * Sends one datagram after the other: those that wait for the system together Deno sends in reverse. Where the system
   * takes them at once, all of a turn's are sent within the turn.
   */
  #submit(bytes: Uint8Array, to: Deno.NetAddr, ttl?: number, settle: ((sent: boolean) => void) | null = null): void {
    const connection = this.#connection;
    // The system would send to an IPv4 address: the option that forbids it can't be set.
    if (connection === null || this.#closed || (this.#ipv6Only && to.hostname.startsWith(MAPPED_PREFIX))) {
      settle?.(false);
      return;
    }
    this.traffic.packetsTransmitted++;
    this.traffic.bytesTransmitted += bytes.length;
    this.udx.traffic.packetsTransmitted++;
    this.udx.traffic.bytesTransmitted += bytes.length;
    this.#pendingSends++;
    this.#burstPackets++;
    const send = { bytes, to, ttl, settle };
    if (this.#sending === null) this.#give(connection, send);
    else this.#sends.push(send);
  }

  #give(connection: DatagramSocket, send: QueuedSend): void {
    this.#sending = send;
    connection.send(send.bytes, send.to, send.ttl).then(this.#onSent, this.#onSendFailed);
  }

  /** Calls `sendAck()` on the stream when the datagrams that are already waiting have been read. */
  acknowledgeLater(stream: SocketStream): void {
    this.#owing.add(stream);
    if (!this.#inBatch) this.#beginBatch();
  }

  #beginBatch(): void {
    this.#inBatch = true;
    this.#burstPackets = 0;
    afterBatch(this.#onBatchEnd);
  }

  #endBatch(): void {
    this.#inBatch = false;
    const owing = this.#owing;
    if (owing.size > 0) {
      this.#owing = new Set();
      for (const stream of owing) stream.sendAck();
    }
    this.#resumeWaiting();
  }

  #endPause(): void {
    this.#burstPackets = 0;
    this.#resumeWaiting();
  }

  /** May a stream send now? If not, it is told by `resumeSending()`. */
  ready(stream: SocketStream): boolean {
    if (this.#hasRoom()) return true;
    if (this.#waiting.size === 0) this.#pause();
    this.#waiting.add(stream);
    return false;
  }

  #hasRoom(): boolean {
    return this.#burstPackets < MAX_BURST_PACKETS && this.#pendingSends < MAX_PENDING_SENDS;
  }

  #pause(): void {
    this.#pauseTimer.set(monotonicMs() + BURST_PAUSE_MS);
  }

  #sent(taken: boolean): void {
    this.#sending?.settle?.(taken);
    this.#sending = null;
    this.#sendNext();
    if (--this.#pendingSends === MAX_PENDING_SENDS / 2) this.#resumeWaiting();
  }

  #sendNext(): void {
    const connection = this.#connection;
    if (connection === null) return;
    const send = this.#sends[this.#nextSend++];
    // Those that are gone are forgotten by and by, also where some always wait.
    if (send === undefined || this.#nextSend === MAX_PENDING_SENDS) {
      this.#sends.splice(0, this.#nextSend);
      this.#nextSend = 0;
    }
    if (send !== undefined) this.#give(connection, send);
    else if (this.#closed) this.#shut(connection);
  }

  /** Lets streams send in the order in which they came, while there is room. */
  #resumeWaiting(): void {
    if (this.#waiting.size === 0) return;
    for (const stream of this.#waiting) {
      if (!this.#hasRoom()) return this.#pause();
      this.#waiting.delete(stream);
      stream.resumeSending();
    }
  }

  /**
   * How many routers may pass on what is sent from now on.
   *
   * @throws Error when not bound, when `ttl` is none, or when this socket can't set it (see README.md)
   */
  setTTL(ttl: number): void {
    const connection = this.#connection;
    if (connection === null) throw new Error("Socket not active");
    if (connection.setTTL === undefined) throw unsupported("TTL");
    connection.setTTL(ttl);
  }

  /** @throws Error always: Deno offers no way to ask */
  getRecvBufferSize(): never {
    throw unsupported("receive buffer size");
  }

  /** @throws Error always: Deno offers no way to set it */
  setRecvBufferSize(_bytes: number): never {
    throw unsupported("receive buffer size");
  }

  /** @throws Error always: Deno offers no way to ask */
  getSendBufferSize(): never {
    throw unsupported("send buffer size");
  }

  /** @throws Error always: Deno offers no way to set it */
  setSendBufferSize(_bytes: number): never {
    throw unsupported("send buffer size");
  }
}

function unsupported(what: string): Error {
  return new Error(`This runtime can't reach the ${what} of a socket`);
}
