/**
 * UDX: reliable, ordered, multiplexed streams (and unordered messages) over UDP, on the wire that libudx defined,
 * with the interface of the npm package `udx-native`. See README.md beside this file.
 */
import { type SocketRoute, type StreamOptions, type StreamOwner, UDXStream } from "./duplex.ts";
import { listNetworkInterfaces, type NetworkInterface, NetworkInterfaces } from "./interfaces.ts";
import { type Family, isIP, isIPv4, isIPv6 } from "./ip.ts";
import { decodePacket, type Packet } from "./packet.ts";
import {
  type ListenDatagram,
  lookupHost,
  openDatagramSocket,
  type PacketSink,
  type RemoteAddress,
  type SocketOptions,
  Traffic,
  UDXSocket,
} from "./socket.ts";
import { deservesFarewell } from "./stream.ts";
import { TimedDeadlines } from "./timed_deadlines.ts";

export type { ListenDatagram, RemoteAddress, SocketOptions } from "./socket.ts";
export type { DatagramSocket } from "./ttl_socket.ts";
export type { Firewall, StreamOptions } from "./duplex.ts";
export type { NetworkInterface } from "./interfaces.ts";
export { NetworkInterfaces, UDXSocket, UDXStream };

export interface UDXOptions {
  /** Opens the datagram sockets; for tests that lose, double and reorder packets. */
  readonly listenDatagram?: ListenDatagram;
}

const SLAB_BYTES = 65_536;
/** Closed streams whose late packets are still answered; the oldest give way. */
const MAX_DEPARTED = 4096;

interface Departed {
  readonly bytes: Uint8Array;
  readonly route: SocketRoute;
}

export class UDX implements StreamOwner, PacketSink {
  readonly traffic = new Traffic();
  readonly listenDatagram: ListenDatagram;
  readonly deadlines = new TimedDeadlines();
  readonly #streams = new Map<number, UDXStream>();
  readonly #departed = new Map<number, Departed>();
  readonly #watchers = new Set<NetworkInterfaces>();
  #slab = new Uint8Array(0);
  #slabUsed = 0;

  /** For streams: memory for one datagram, cut from a slab, since an ArrayBuffer per packet is slow. */
  readonly allocate = (bytes: number): Uint8Array => {
    if (this.#slabUsed + bytes > this.#slab.length) {
      this.#slab = new Uint8Array(SLAB_BYTES);
      this.#slabUsed = 0;
    }
    const start = this.#slabUsed;
    this.#slabUsed += bytes;
    return this.#slab.subarray(start, start + bytes);
  };

  constructor(options: UDXOptions = {}) {
    this.listenDatagram = options.listenDatagram ?? openDatagramSocket;
  }

  static isIPv4(host: string): boolean {
    return isIPv4(host);
  }

  static isIPv6(host: string): boolean {
    return isIPv6(host);
  }

  static isIP(host: string): Family | 0 {
    return isIP(host);
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

  /** Unknown to this runtime: -1, as udx-native says where it can't tell. */
  get packetsDroppedByKernel(): number {
    return -1;
  }

  createSocket(options?: SocketOptions): UDXSocket {
    return new UDXSocket(this, options);
  }

  /** @param id what the other side must put into its packets; unique among the open streams of this UDX */
  createStream(id: number, options?: StreamOptions): UDXStream {
    if (this.#streams.has(id)) throw new Error(`Stream id ${id} is in use`);
    const stream = new UDXStream(this, id, options);
    this.#departed.delete(id);
    this.#streams.set(id, stream);
    return stream;
  }

  networkInterfaces(): NetworkInterface[] {
    for (const watcher of this.#watchers) return watcher.interfaces;
    return listNetworkInterfaces();
  }

  /** Watches until the result is destroyed. */
  watchNetworkInterfaces(onChange?: (interfaces: NetworkInterface[]) => void): NetworkInterfaces {
    const watcher = new NetworkInterfaces();
    this.#watchers.add(watcher);
    watcher.on("close", () => this.#watchers.delete(watcher));
    if (onChange !== undefined) watcher.on("change", onChange);
    return watcher.watch();
  }

  /** Resolves a host name. @param options.family 4 or 6, else whichever the system prefers */
  lookup(host: string, options: { family?: Family | 0 } = {}): Promise<{ host: string; family: Family }> {
    return lookupHost(host, options.family ?? 0);
  }

  /** For sockets: gives a datagram to its stream. */
  handleDatagram(socket: UDXSocket, datagram: Uint8Array, from: RemoteAddress): boolean {
    const packet = decodePacket(datagram);
    if (packet === null) return false;
    const stream = this.#streams.get(packet.streamId);
    if (stream === undefined) return this.#answerForDeparted(socket, packet);
    stream.handlePacket(socket, packet, datagram, from);
    return true;
  }

  #answerForDeparted(socket: UDXSocket, packet: Packet): boolean {
    const departed = this.#departed.get(packet.streamId);
    if (departed === undefined || departed.route.socket !== socket) return false;
    if (deservesFarewell(packet)) socket.transmit(departed.bytes, departed.route.address);
    return true;
  }

  /** For streams: forgets one that closed, but for its answer to late packets. */
  streamClosed(stream: UDXStream, farewell: Departed | null): void {
    if (this.#streams.get(stream.id) !== stream) return;
    this.#streams.delete(stream.id);
    if (farewell === null) return;
    this.#departed.set(stream.id, farewell);
    for (const id of this.#departed.keys()) {
      if (this.#departed.size <= MAX_DEPARTED) break;
      this.#departed.delete(id);
    }
  }
}
