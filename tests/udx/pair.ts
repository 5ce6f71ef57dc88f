import assert from "node:assert/strict";
import { decodePacket } from "../../lib/udx/packet.ts";
import { deservesFarewell, type Route, type StreamEvent, StreamMachine } from "../../lib/udx/stream.ts";
import { seededRandom } from "./lossy.ts";

/** A machine that wants to be woken again and again at the same moment is broken. */
const MAX_STEPS_PER_INSTANT = 10_000;

/** A simulated path, the same in both directions. Times in milliseconds, shares between 0 and 1. */
export interface PathOptions {
  readonly seed?: number;
  readonly latencyMs?: number;
  /** Up to that much later, each packet for itself: what reorders. */
  readonly jitterMs?: number;
  readonly loss?: number;
  readonly duplicate?: number;
  /** How fast the path takes bytes; unlimited by default. */
  readonly bytesPerMs?: number;
  /** Packets that wait for the slow path at most; more are lost. */
  readonly queuePackets?: number;
  readonly receiveWindowBytes?: number;
  /** First sequence numbers of both sides. */
  readonly seq?: number;
}

/** A machine with an application around it that keeps what it was told. */
export class Endpoint {
  readonly machine: StreamMachine<SimulatedRoute>;
  readonly #chunks: Uint8Array[] = [];
  receivedBytes = 0;
  readonly messages: Uint8Array[] = [];
  readonly events: StreamEvent["kind"][] = [];
  failure: string | null = null;
  /** A reader that doesn't take what arrives: the window closes. */
  paused = false;
  unreadBytes = 0;
  /** Datagrams sent, by the address they went to. */
  readonly sentTo = new Map<string, number>();

  constructor(id: number, options: PathOptions) {
    this.machine = new StreamMachine({
      id,
      seq: options.seq ?? 0,
      ...(options.receiveWindowBytes === undefined ? {} : { receiveWindowBytes: options.receiveWindowBytes }),
    });
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get ended(): boolean {
    return this.events.includes("end");
  }

  resume(): void {
    this.paused = false;
    this.machine.consumed(this.unreadBytes);
    this.unreadBytes = 0;
  }

  take(event: StreamEvent): void {
    this.events.push(event.kind);
    if (event.kind === "data") {
      this.#chunks.push(event.bytes);
      this.receivedBytes += event.bytes.length;
      if (this.paused) this.unreadBytes += event.bytes.length;
      else this.machine.consumed(event.bytes.length);
    } else if (event.kind === "message") this.messages.push(event.bytes.slice());
    else if (event.kind === "closed") this.failure = event.failure;
  }
}

export interface SimulatedRoute extends Route {
  readonly address: string;
}

interface Delivery {
  readonly atMs: number;
  readonly order: number;
  readonly to: Endpoint;
  readonly bytes: Uint8Array;
}

/** Two ends of a stream, joined by a simulated network in virtual time: one seed, one course of events. */
export class Pair {
  nowMs = 0;
  readonly a: Endpoint;
  readonly b: Endpoint;
  /** Addresses that swallow everything. */
  readonly dead = new Set<string>();
  /** Sees every datagram; true loses it. */
  intercept: (from: Endpoint, bytes: Uint8Array) => boolean = () => false;
  readonly #options: PathOptions;
  readonly #random: () => number;
  readonly #deliveries: Delivery[] = [];
  readonly #freeAtMs = new Map<Endpoint, number>();
  #order = 0;

  constructor(options: PathOptions = {}) {
    this.#options = options;
    this.#random = seededRandom(options.seed ?? 1);
    this.a = new Endpoint(1, options);
    this.b = new Endpoint(2, options);
    const ack = options.seq;
    this.a.machine.connect({ remoteId: 2, ipv6: false, address: "b" }, 0, ack);
    this.b.machine.connect({ remoteId: 1, ipv6: false, address: "a" }, 0, ack);
  }

  other(endpoint: Endpoint): Endpoint {
    return endpoint === this.a ? this.b : this.a;
  }

  /** Lets time pass until `done()`, or until nothing is left to happen. @returns whether it was done */
  run(done: () => boolean = () => false, untilMs = Infinity): boolean {
    this.#serve(this.a);
    this.#serve(this.b);
    let steps = 0;
    while (!done()) {
      const atMs = Math.min(
        this.#deliveries[0]?.atMs ?? Infinity,
        this.a.machine.pollTimeout(),
        this.b.machine.pollTimeout(),
      );
      if (atMs === Infinity || atMs > untilMs) {
        if (untilMs !== Infinity) this.nowMs = untilMs;
        return done();
      }
      if (atMs > this.nowMs) steps = 0;
      assert.ok(++steps < MAX_STEPS_PER_INSTANT, `time stands still at ${this.nowMs} ms`);
      this.nowMs = Math.max(this.nowMs, atMs);
      this.#deliverDue();
      this.a.machine.handleTimeout(this.nowMs);
      this.b.machine.handleTimeout(this.nowMs);
      this.#serve(this.a);
      this.#serve(this.b);
    }
    return true;
  }

  /** Puts a datagram on the way by hand. */
  inject(to: Endpoint, bytes: Uint8Array): void {
    this.#schedule(to, bytes, this.nowMs);
  }

  #deliverDue(): void {
    while (this.#deliveries.length > 0 && this.#deliveries[0]!.atMs <= this.nowMs) {
      const { to, bytes } = this.#deliveries.shift()!;
      const packet = decodePacket(bytes);
      if (packet === null || packet.streamId !== to.machine.id) continue;
      if (!to.machine.closed) to.machine.handlePacket(packet, this.nowMs);
      else if (deservesFarewell(packet)) {
        const farewell = to.machine.farewell();
        if (farewell !== null) this.#send(to, farewell.route.address, farewell.bytes);
      }
    }
  }

  #serve(endpoint: Endpoint): void {
    const { machine } = endpoint;
    for (let event = machine.pollEvent(); event !== null; event = machine.pollEvent()) endpoint.take(event);
    for (let sent = machine.pollTransmit(this.nowMs); sent !== null; sent = machine.pollTransmit(this.nowMs)) {
      this.#send(endpoint, sent.route.address, sent.bytes);
    }
    const ack = machine.pollAck();
    if (ack !== null) this.#send(endpoint, ack.route.address, ack.bytes);
  }

  #send(from: Endpoint, address: string, bytes: Uint8Array): void {
    const { latencyMs = 10, jitterMs = 0, loss = 0, duplicate = 0, bytesPerMs = Infinity, queuePackets = Infinity } =
      this.#options;
    from.sentTo.set(address, (from.sentTo.get(address) ?? 0) + 1);
    if (this.dead.has(address) || this.intercept(from, bytes)) return;
    const to = this.other(from);
    const freeAtMs = Math.max(this.#freeAtMs.get(from) ?? 0, this.nowMs);
    const transferMs = (bytes.length + 28) / bytesPerMs;
    if (transferMs > 0 && freeAtMs - this.nowMs > transferMs * queuePackets) return;
    this.#freeAtMs.set(from, freeAtMs + transferMs);
    if (this.#random() < loss) return;
    const copies = this.#random() < duplicate ? 2 : 1;
    for (let i = 0; i < copies; i++) {
      this.#schedule(to, bytes, freeAtMs + transferMs + latencyMs + this.#random() * jitterMs);
    }
  }

  #schedule(to: Endpoint, bytes: Uint8Array, atMs: number): void {
    const delivery = { atMs, order: this.#order++, to, bytes: bytes.slice() };
    let at = this.#deliveries.length;
    while (at > 0 && this.#deliveries[at - 1]!.atMs > atMs) at--;
    this.#deliveries.splice(at, 0, delivery);
  }
}

/** `length` bytes that differ wherever they are compared. */
export function pattern(length: number, seed = 1): Uint8Array {
  const random = seededRandom(seed);
  return Uint8Array.from({ length }, () => random() * 256);
}
