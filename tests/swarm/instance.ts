// @deno-types="../../lib/swarm/hyperdht.d.ts"
import HyperDHT from "hyperdht";
import { bytesToHex } from "@noble/hashes/utils.js";
import { HyperswarmTransport } from "../../lib/swarm/hyperswarm_transport.ts";
import { startLocalDht } from "../../lib/swarm/local_dht.ts";
import type { ConnectionId, TransportEvent } from "../../lib/swarm/transport.ts";
import { type DatagramSocket, UDX } from "../../lib/udx/mod.ts";

const topic = new Uint8Array(32).fill(7);
export const seedOf = (digit: number) => new Uint8Array(32).fill(digit);
export const keyOf = (digit: number) => bytesToHex(new Uint8Array(HyperDHT.keyPair(seedOf(digit)).publicKey));

/** A network cable that can be pulled: from then on nothing comes, nothing goes, and nobody is told. */
export class Plug {
  #pulled = false;
  readonly udx: UDX;

  constructor() {
    const { listenDatagram } = new UDX();
    this.udx = new UDX({ listenDatagram: (options) => this.#wrap(listenDatagram(options)) });
  }

  pull(): void {
    this.#pulled = true;
  }

  #wrap(socket: DatagramSocket): DatagramSocket {
    return {
      addr: socket.addr,
      send: (bytes, to) => this.#pulled ? Promise.resolve(bytes.length) : socket.send(bytes, to),
      receive: async (into) => {
        let got = await socket.receive(into);
        while (this.#pulled) got = await socket.receive(into);
        return got;
      },
      close: () => socket.close(),
    };
  }
}

/** One instance's end of the swarm, with all that it reported and a way to wait for what it will. */
export class Instance implements AsyncDisposable {
  readonly transport: HyperswarmTransport;
  readonly events: TransportEvent[] = [];
  #waiting: (() => void)[] = [];

  private constructor(transport: HyperswarmTransport) {
    this.transport = transport;
  }

  static async start(
    seed: number,
    bootstrap: readonly string[],
    options: { readonly topics?: readonly Uint8Array[]; readonly udx?: UDX; readonly port?: number } = {},
  ): Promise<Instance> {
    const instance = new Instance(
      new HyperswarmTransport({ topics: [topic], seed: seedOf(seed), bootstrap, port: 0, ...options }),
    );
    await instance.transport.start((event) => {
      instance.events.push(event);
      const waiting = instance.#waiting;
      instance.#waiting = [];
      for (const wake of waiting) wake();
    });
    return instance;
  }

  /** The first event after the `skip` first ones that `pick` makes something of. */
  async until<T>(pick: (event: TransportEvent) => T | undefined, skip = 0): Promise<T> {
    for (let i = skip;; i++) {
      while (i >= this.events.length) await new Promise<void>((resolve) => this.#waiting.push(resolve));
      const found = pick(this.events[i]!);
      if (found !== undefined) return found;
    }
  }

  /** The next connection to this instance, from now or from `skip` events on. */
  connected(seed: number, skip = 0) {
    return this.until((e) => e.kind === "connected" && e.remoteKey === keyOf(seed) ? e : undefined, skip);
  }

  disconnected(connection: ConnectionId): Promise<string> {
    return this.until((e) => e.kind === "disconnected" && e.connection === connection ? e.reason : undefined);
  }

  frames(count: number): Promise<Uint8Array[]> {
    const seen: Uint8Array[] = [];
    return this.until((e) => e.kind === "frame" && seen.push(e.frame) === count ? seen : undefined);
  }

  status(pattern: RegExp): Promise<string> {
    return this.until((e) => e.kind === "status" && pattern.test(e.message) ? e.message : undefined);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.transport.close();
  }
}

/** A DHT on this machine that ends with the test. */
export async function localDht(nodes = 3) {
  const dht = await startLocalDht({ nodes });
  return { bootstrap: dht.bootstrap, [Symbol.asyncDispose]: () => dht.close() };
}

export const frame = (text: string) => new TextEncoder().encode(text);
export const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
