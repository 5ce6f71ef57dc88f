import { Endpoint, type EndpointOptions } from "./endpoint.ts";
import { seededRandom } from "./lossy.ts";
import type { LinkOptions, SimulatedLink } from "./simulated_link.ts";
import { SimulatedNetwork } from "./simulated_network.ts";

export { Endpoint } from "./endpoint.ts";

/** A simulated path, the same in both directions, unless links are given. */
export interface PathOptions extends LinkOptions, EndpointOptions {
  readonly seed?: number;
  /** A network that other pairs are joined to as well. */
  readonly network?: SimulatedNetwork;
  /** What datagrams from a to b pass, and back: links that other pairs may share. */
  readonly there?: readonly SimulatedLink[];
  readonly back?: readonly SimulatedLink[];
  /** Timers fire at multiples of this. */
  readonly timerStepMs?: number;
}

const DEFAULT_LATENCY_MS = 10;

/** Two ends of a stream, joined by a simulated network in virtual time: one seed, one course of events. */
export class Pair {
  readonly network: SimulatedNetwork;
  readonly a: Endpoint;
  readonly b: Endpoint;
  readonly there: readonly SimulatedLink[];
  readonly back: readonly SimulatedLink[];
  /** Sees every datagram; true loses it. */
  intercept: (from: Endpoint, bytes: Uint8Array) => boolean = () => false;

  constructor(options: PathOptions = {}) {
    const network = this.network = options.network ?? new SimulatedNetwork(options.seed);
    const link = { latencyMs: DEFAULT_LATENCY_MS, ...options };
    this.there = options.there ?? [network.link(link)];
    this.back = options.back ?? [network.link(link)];
    this.a = new Endpoint(1, options);
    this.b = new Endpoint(2, options);
    // Of several pairs each has addresses of its own.
    const suffix = network.hosts === 0 ? "" : `/${network.hosts}`;
    this.#join(this.a, `a${suffix}`, this.there, options);
    this.#join(this.b, `b${suffix}`, this.back, options);
    this.#connect(this.a, this.b, options.seq);
    this.#connect(this.b, this.a, options.seq);
  }

  get nowMs(): number {
    return this.network.nowMs;
  }

  /** Addresses that swallow everything. */
  get dead(): Set<string> {
    return this.network.dead;
  }

  other(endpoint: Endpoint): Endpoint {
    return endpoint === this.a ? this.b : this.a;
  }

  /** Lets time pass until `done()`, or until nothing is left to happen. @returns whether it was done */
  run(done?: () => boolean, untilMs?: number): boolean {
    return this.network.run(done, untilMs);
  }

  /** Puts a datagram on the way by hand. */
  inject(to: Endpoint, bytes: Uint8Array): void {
    this.network.inject(to, bytes);
  }

  #join(endpoint: Endpoint, address: string, path: readonly SimulatedLink[], { timerStepMs = 0 }: PathOptions): void {
    this.network.join(endpoint, {
      address,
      path,
      timerStepMs,
      peer: this.other(endpoint),
      intercept: (bytes, to) => {
        endpoint.sentTo.set(to, (endpoint.sentTo.get(to) ?? 0) + 1);
        return this.intercept(endpoint, bytes);
      },
    });
  }

  #connect(from: Endpoint, to: Endpoint, ack?: number): void {
    const route = { remoteId: to.machine.id, ipv6: false, address: this.network.addressOf(to) };
    from.machine.connect(route, this.nowMs, ack);
  }
}

/** `length` bytes that differ wherever they are compared. */
export function pattern(length: number, seed = 1): Uint8Array {
  const random = seededRandom(seed);
  return Uint8Array.from({ length }, () => random() * 256);
}
