/**
 * A datagram socket whose packets' TTL can be set: an edge, over `node:dgram`, since `Deno.listenDatagram` can't. Slower, so
 * that only sockets which may have to open a NAT use it.
 */
import { createSocket, type Socket, type SocketOptions } from "node:dgram";

/** The datagram socket underneath; `Deno.DatagramConn` is one. */
export interface DatagramSocket {
  readonly addr: Deno.Addr;
  /** @param ttl for this packet alone; where `setTTL` is missing it is ignored */
  send(bytes: Uint8Array, to: Deno.NetAddr, ttl?: number): Promise<number>;
  /** Sets what packets without a TTL of their own are sent with. */
  setTTL?(ttl: number): void;
  receive(into: Uint8Array): Promise<[Uint8Array, Deno.Addr]>;
  close(): void;
}

/** What packets are sent with unless told otherwise; libudx's default too. */
const DEFAULT_TTL = 64;
/**
 * In Deno the size of the memory for one datagram (on Linux twice that), 64 KiB otherwise; the system's buffer stays as
 * large as it is.
 */
const RECEIVE_BYTES = 2048;
/** Datagrams that arrived faster than they were taken; more are dropped, as a full system buffer would. */
const MAX_ARRIVED = 1024;

type Arrived = readonly [bytes: Uint8Array, from: Deno.NetAddr];

interface QueuedSend {
  readonly bytes: Uint8Array;
  readonly to: Deno.NetAddr;
  readonly ttl: number;
  readonly sent: PromiseWithResolvers<number>;
}

/** The host is an IP address already, and `bind()` is to be done when it returns. */
const lookup: SocketOptions["lookup"] = (host, _options, callback) => callback(null, host, 4);

/** Opens one, on an IPv4 address. @throws Error with the system's code (`EADDRINUSE`, …) */
export function openTtlSocket(
  { hostname, port, reuseAddress }: { hostname: string; port: number; reuseAddress: boolean },
): DatagramSocket {
  const socket = createSocket({ type: "udp4", lookup, reuseAddr: reuseAddress, recvBufferSize: RECEIVE_BYTES });
  let failure: Error | null = null;
  const onError = (error: Error) => {
    failure = error;
  };
  socket.on("error", onError);
  socket.bind({ port, address: hostname, exclusive: true });
  if (failure !== null) throw failure;
  socket.off("error", onError);
  return new TtlSocket(socket);
}

class TtlSocket implements DatagramSocket {
  readonly addr: Deno.NetAddr;
  readonly #socket: Socket;
  readonly #arrived: Arrived[] = [];
  #receiver: PromiseWithResolvers<[Uint8Array, Deno.Addr]> | null = null;
  #into: Uint8Array | null = null;
  #closed = false;
  /** What the system has been told, and what sends without one of their own want. */
  #ttl: number | null = null;
  #usualTtl = DEFAULT_TTL;
  #sending = 0;
  #queue: QueuedSend[] = [];

  constructor(socket: Socket) {
    const { address, port } = socket.address();
    this.addr = { transport: "udp", hostname: address, port };
    this.#socket = socket;
    socket.on(
      "message",
      (bytes, { address: hostname, port }) => this.#take([bytes, { transport: "udp", hostname, port }]),
    );
    // One peer's ICMP. Nothing is lost but the packet it speaks of.
    socket.on("error", () => {});
    socket.on("close", () => {
      this.#closed = true;
      this.#receiver?.reject(new Deno.errors.BadResource("Socket is closed"));
    });
  }

  setTTL(ttl: number): void {
    checkTtl(ttl);
    this.#usualTtl = ttl;
  }

  /**
   * The TTL is the socket's, not the packet's, and the system may take a packet later: so one with another TTL waits until
   * all before it are out, and those behind it wait too.
   */
  send(bytes: Uint8Array, to: Deno.NetAddr, ttl = this.#usualTtl): Promise<number> {
    if (this.#closed) return Promise.reject(new Deno.errors.BadResource("Socket is closed"));
    const sent = Promise.withResolvers<number>();
    const send = { bytes, to, ttl, sent };
    if (this.#queue.length === 0 && this.#mayGo(send)) this.#sendNow(send);
    else this.#queue.push(send);
    return sent.promise;
  }

  #mayGo({ ttl }: QueuedSend): boolean {
    return this.#sending === 0 || ttl === this.#ttl;
  }

  #sendNow({ bytes, to, ttl, sent }: QueuedSend): void {
    try {
      if (ttl !== this.#ttl) {
        checkTtl(ttl);
        this.#socket.setTTL(ttl);
        this.#ttl = ttl;
      }
      this.#socket.send(bytes, to.port, to.hostname, (error, count) => {
        if (error) sent.reject(error);
        else sent.resolve(count);
        this.#sent();
      });
      this.#sending++;
    } catch (error) {
      // The TTL or the port, which another peer may have named, is none.
      sent.reject(error);
    }
  }

  #sent(): void {
    this.#sending--;
    while (this.#queue.length > 0 && this.#mayGo(this.#queue[0]!)) this.#sendNow(this.#queue.shift()!);
  }

  #take(arrived: Arrived): void {
    const receiver = this.#receiver;
    if (receiver === null) {
      if (this.#arrived.length < MAX_ARRIVED) this.#arrived.push(arrived);
      return;
    }
    this.#receiver = null;
    receiver.resolve(copy(arrived, this.#into!));
  }

  receive(into: Uint8Array): Promise<[Uint8Array, Deno.Addr]> {
    const next = this.#arrived.shift();
    if (next !== undefined) return Promise.resolve(copy(next, into));
    if (this.#closed) return Promise.reject(new Deno.errors.BadResource("Socket is closed"));
    this.#into = into;
    this.#receiver = Promise.withResolvers();
    return this.#receiver.promise;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const { sent } of this.#queue.splice(0)) sent.reject(new Deno.errors.BadResource("Socket is closed"));
    this.#socket.close();
  }
}

function copy([bytes, from]: Arrived, into: Uint8Array): [Uint8Array, Deno.Addr] {
  const length = Math.min(bytes.length, into.length);
  into.set(bytes.length === length ? bytes : bytes.subarray(0, length));
  return [into.subarray(0, length), from];
}

function checkTtl(ttl: number): void {
  if (!(Number.isInteger(ttl) && ttl >= 1 && ttl <= 255)) throw new RangeError(`${ttl} is not a TTL`);
}
