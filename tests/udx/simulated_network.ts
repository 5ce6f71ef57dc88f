import assert from "node:assert/strict";
import { decodePacket } from "../../lib/udx/packet.ts";
import { deservesFarewell, type Route, type StreamEvent, type StreamMachine } from "../../lib/udx/stream.ts";
import { EventHeap } from "./event_heap.ts";
import { type LinkOptions, SimulatedLink } from "./simulated_link.ts";

/** A machine that wants to be woken again and again at the same moment is broken. */
const MAX_STEPS_PER_INSTANT = 10_000;

export interface SimulatedRoute extends Route {
  readonly address: string;
}

/** One end of a stream, with whoever uses it. */
export interface Host {
  readonly machine: StreamMachine<SimulatedRoute>;
  take(event: StreamEvent): void;
}

/** How a host is joined to the network. */
export interface Attachment {
  /** Where its datagrams come from, as the others see it. */
  address: string;
  /** What they pass, in this order. */
  readonly path: readonly SimulatedLink[];
  /** Gets what goes to addresses that nobody has: the same host by another name. */
  readonly peer?: Host;
  /** Sees every datagram it sends, and the address; true loses it. */
  readonly intercept?: (bytes: Uint8Array, to: string) => boolean;
  /** Timers fire at multiples of this, as a system's do; 0 for at once. */
  readonly timerStepMs?: number;
}

class Port {
  address: string;
  readonly path: readonly SimulatedLink[];
  readonly peer: Host | null;
  readonly intercept: (bytes: Uint8Array, to: string) => boolean;
  readonly timerStepMs: number;
  /** When its timer is set to, for which there is an event. */
  wakesAtMs = Infinity;
  touched = false;

  constructor(readonly host: Host, attachment: Attachment) {
    this.address = attachment.address;
    this.path = attachment.path;
    this.peer = attachment.peer ?? null;
    this.intercept = attachment.intercept ?? (() => false);
    this.timerStepMs = attachment.timerStepMs ?? 0;
  }
}

type Happening =
  & { readonly atMs: number; readonly order: number }
  & (
    | {
      readonly kind: "hop";
      readonly from: Port;
      readonly to: string;
      readonly hop: number;
      readonly bytes: Uint8Array;
    }
    | { readonly kind: "wake"; readonly port: Port }
    | { readonly kind: "inject"; readonly port: Port; readonly bytes: Uint8Array }
    | { readonly kind: "action"; readonly action: () => void }
  );

/** Hosts joined by links in virtual time: one seed and one sequence of commands, one course of events. */
export class SimulatedNetwork {
  nowMs = 0;
  /** Addresses that swallow everything. */
  readonly dead = new Set<string>();
  /** Sees every datagram that arrives, and where it says to come from. */
  onArrival: (to: Host, from: string) => void = () => {};
  readonly #seed: number;
  readonly #ports = new Map<Host, Port>();
  readonly #byAddress = new Map<string, Port>();
  readonly #happenings = new EventHeap<Happening>();
  readonly #touched: Port[] = [];
  #order = 0;
  #links = 0;

  constructor(seed = 1) {
    this.#seed = seed;
  }

  /** A link with chances of its own, so that what happens on one leaves the others alone. */
  link(options: LinkOptions = {}): SimulatedLink {
    return new SimulatedLink(options, Math.imul(this.#seed, 0x9e3779b1) + this.#links++);
  }

  join(host: Host, attachment: Attachment): void {
    const port = new Port(host, attachment);
    this.#ports.set(host, port);
    this.#byAddress.set(port.address, port);
  }

  get hosts(): number {
    return this.#ports.size;
  }

  addressOf(host: Host): string {
    return this.#port(host).address;
  }

  /** A NAT gives a host another address: what goes to the old one is lost from now on, what is under way too. */
  rebind(host: Host, address: string): void {
    const port = this.#port(host);
    this.#byAddress.delete(port.address);
    this.dead.add(port.address);
    port.address = address;
    this.#byAddress.set(address, port);
  }

  /** Puts a datagram before a host by hand. */
  inject(to: Host, bytes: Uint8Array): void {
    const port = this.#port(to);
    this.#push({ kind: "inject", atMs: this.nowMs, order: this.#order++, port, bytes: bytes.slice() });
  }

  /** Does something later; it may command any machine. */
  at(atMs: number, action: () => void): void {
    this.#push({ kind: "action", atMs, order: this.#order++, action });
  }

  /** Lets time pass until `done()`, or until nothing is left to happen. @returns whether it was done */
  run(done: () => boolean = () => false, untilMs = Infinity): boolean {
    this.#touchAll();
    this.#serveTouched();
    let steps = 0;
    while (!done()) {
      const atMs = this.#happenings.nextAtMs;
      if (atMs === Infinity || atMs > untilMs) {
        if (untilMs !== Infinity) this.nowMs = untilMs;
        return done();
      }
      if (atMs > this.nowMs) steps = 0;
      assert.ok(++steps < MAX_STEPS_PER_INSTANT, `time stands still at ${this.nowMs} ms`);
      this.nowMs = Math.max(this.nowMs, atMs);
      // All of an instant together: acknowledgements wait for the end of a batch.
      while (this.#happenings.nextAtMs <= this.nowMs) this.#happen(this.#happenings.pop()!);
      this.#serveTouched();
    }
    return true;
  }

  #port(host: Host): Port {
    const port = this.#ports.get(host);
    assert.ok(port, "the host has joined");
    return port;
  }

  #push(happening: Happening): void {
    this.#happenings.push(happening);
  }

  #happen(happening: Happening): void {
    switch (happening.kind) {
      case "hop":
        return this.#hop(happening.from, happening.to, happening.bytes, happening.hop);
      case "inject":
        return this.#arrive(happening.port, happening.bytes);
      case "wake":
        return this.#wake(happening.port, happening.atMs);
      case "action":
        happening.action();
        return this.#touchAll();
      default: {
        const never: never = happening;
        return never;
      }
    }
  }

  #touch(port: Port): void {
    if (port.touched) return;
    port.touched = true;
    this.#touched.push(port);
  }

  #touchAll(): void {
    for (const port of this.#ports.values()) this.#touch(port);
  }

  #serveTouched(): void {
    for (let i = 0; i < this.#touched.length; i++) {
      const port = this.#touched[i]!;
      port.touched = false;
      this.#serve(port);
    }
    this.#touched.length = 0;
  }

  #serve(port: Port): void {
    const { host } = port;
    const { machine } = host;
    for (let event = machine.pollEvent(); event !== null; event = machine.pollEvent()) host.take(event);
    for (let sent = machine.pollTransmit(this.nowMs); sent !== null; sent = machine.pollTransmit(this.nowMs)) {
      this.#send(port, sent.route.address, sent.bytes);
    }
    const ack = machine.pollAck();
    if (ack !== null) this.#send(port, ack.route.address, ack.bytes);
    this.#setTimer(port);
  }

  /** A deadline that moved back leaves its event alone, which then finds itself early. */
  #setTimer(port: Port): void {
    let atMs = port.host.machine.pollTimeout();
    if (atMs === Infinity) return;
    const step = port.timerStepMs;
    if (step > 0) atMs = Math.ceil(atMs / step) * step;
    if (atMs >= port.wakesAtMs) return;
    port.wakesAtMs = atMs;
    this.#push({ kind: "wake", atMs, order: this.#order++, port });
  }

  #wake(port: Port, atMs: number): void {
    if (atMs !== port.wakesAtMs) return;
    port.wakesAtMs = Infinity;
    port.host.machine.handleTimeout(this.nowMs);
    this.#touch(port);
  }

  #send(port: Port, to: string, bytes: Uint8Array): void {
    // A copy: the machine writes into it again when it repeats it.
    if (!port.intercept(bytes, to)) this.#hop(port, to, bytes.slice(), 0);
  }

  #hop(from: Port, to: string, bytes: Uint8Array, hop: number): void {
    const link = from.path[hop];
    if (link !== undefined) {
      link.carry(bytes.length, this.nowMs, (atMs) => {
        this.#push({ kind: "hop", atMs, order: this.#order++, from, to, hop: hop + 1, bytes });
      });
      return;
    }
    if (this.dead.has(to)) return;
    const port = this.#byAddress.get(to) ?? (from.peer === null ? null : this.#port(from.peer));
    if (port === null) return;
    this.onArrival(port.host, from.address);
    this.#arrive(port, bytes);
  }

  #arrive(port: Port, bytes: Uint8Array): void {
    const { machine } = port.host;
    const packet = decodePacket(bytes);
    if (packet === null || packet.streamId !== machine.id) return;
    this.#touch(port);
    if (!machine.closed) return machine.handlePacket(packet, this.nowMs);
    if (!deservesFarewell(packet)) return;
    const farewell = machine.farewell();
    if (farewell !== null) this.#send(port, farewell.route.address, farewell.bytes);
  }
}
