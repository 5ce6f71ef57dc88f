import assert from "node:assert/strict";
import fc from "fast-check";
import { DATA, decodePacket, encodePacket, END, HEADER_BYTES, MAX_SACK_BLOCKS, seqAdd } from "../../lib/udx/packet.ts";
import { type Route, type StreamEvent, StreamMachine } from "../../lib/udx/stream.ts";
import { contentOf, damagedPacket, datagramOf, type PeerPacket, peerPacket } from "./fuzz_packets.ts";
import { udxProperty } from "./fuzz_udx.ts";

const MY_ID = 1;
const MAX_STEPS_PER_INSTANT = 20_000;
const MAX_PACKETS = 16_384;
const WINDOW_BYTES = 20_000;
const KEPT_BYTES = 2 * WINDOW_BYTES + 2048;

/** Something that happens to a stream. */
export type Op =
  | { readonly kind: "packet"; readonly packet: PeerPacket }
  | { readonly kind: "wait"; readonly ms: number }
  | { readonly kind: "write"; readonly bytes: number }
  | { readonly kind: "read"; readonly share: number }
  | { readonly kind: "keepalive"; readonly ms: number }
  | { readonly kind: "message" | "end" | "destroy" | "changeRemote" | "connect" | "pause" | "acknowledge" };

function opOf(packet: fc.Arbitrary<PeerPacket>): fc.Arbitrary<Op> {
  const ms = fc.oneof(fc.nat(5), fc.nat(300), fc.nat(10_000));
  return fc.oneof(
    { weight: 12, arbitrary: packet.map((packet) => ({ kind: "packet", packet }) as const) },
    { weight: 4, arbitrary: ms.map((ms) => ({ kind: "wait", ms }) as const) },
    { weight: 3, arbitrary: fc.nat(30_000).map((bytes) => ({ kind: "write", bytes }) as const) },
    {
      weight: 1,
      arbitrary: fc.double({ min: 0, max: 1, noNaN: true }).map((share) => ({ kind: "read", share }) as const),
    },
    { weight: 1, arbitrary: fc.constantFrom(0, 1, 1000).map((ms) => ({ kind: "keepalive", ms }) as const) },
    {
      weight: 3,
      arbitrary: fc.constantFrom(
        "message",
        "message",
        "changeRemote",
        "connect",
        "pause",
        "acknowledge",
        "acknowledge",
        "end",
      )
        .map((kind) => ({ kind }) as const),
    },
    { weight: 1, arbitrary: fc.boolean().map((really) => ({ kind: really ? "destroy" : "end" }) as const) },
  );
}

/** One stream under any sequence of packets, timers and commands; what comes out is held to what may come out. */
class Fuzzed {
  readonly machine = new StreamMachine<Route>({ id: MY_ID, receiveWindowBytes: WINDOW_BYTES });
  #nowMs = 0;
  #unread = 0;
  #paused = false;
  #closed = false;
  #delivered = 0;
  #next = 0;
  /** Numbers that a packet without data claimed. */
  readonly #mayBeEmpty = new Set<number>();
  #written = 0;
  /** Payload lengths by number, and where the first transmissions have got to. */
  readonly #sent = new Map<number, string>();
  #sentBytes = 0;
  #unacked = 0;

  /** @param honest the peer's payloads belong to their numbers */
  constructor(readonly honest: boolean) {}

  do(op: Op): void {
    const { machine } = this;
    switch (op.kind) {
      case "packet": {
        const packet = decodePacket(datagramOf(op.packet, MY_ID, machine.ack, this.#unacked));
        // Packets are given to a stream by its id.
        if (packet === null || packet.streamId !== MY_ID) break;
        if ((packet.type & (DATA | END)) === END) this.#mayBeEmpty.add(packet.seq);
        machine.handlePacket(packet, this.#nowMs);
        break;
      }
      case "wait":
        this.#wait(op.ms);
        break;
      case "write":
        machine.write(this.#pattern(op.bytes));
        break;
      case "read":
        this.#read(Math.floor(this.#unread * op.share));
        break;
      case "keepalive":
        machine.setKeepalive(op.ms, this.#nowMs);
        break;
      case "message":
        machine.sendMessage(Uint8Array.of(7));
        break;
      case "end":
        machine.end();
        break;
      case "destroy":
        machine.destroy();
        break;
      case "changeRemote":
        if (machine.route !== null && !machine.remoteChanging) machine.changeRemote({ remoteId: 3, ipv6: true });
        break;
      case "connect":
        if (machine.route === null) machine.connect({ remoteId: 2, ipv6: false }, this.#nowMs);
        break;
      case "pause":
        this.#paused = !this.#paused;
        if (!this.#paused) this.#read(this.#unread);
        break;
      case "acknowledge":
        this.#acknowledge();
        break;
      default: {
        const never: never = op;
        return never;
      }
    }
    this.#drain();
    this.#check();
  }

  /** Ends it; nothing may be left. */
  finish(): void {
    this.machine.destroy();
    this.#drain();
    this.#check();
    assert.ok(this.#closed, "it closes");
    assert.equal(this.machine.pollTimeout(), Infinity);
    assert.equal(this.machine.heldPackets + this.machine.earlyPackets, 0);
  }

  #pattern(count: number): Uint8Array {
    const bytes = new Uint8Array(count);
    if (this.machine.closed) return bytes;
    for (let i = 0; i < count; i++) bytes[i] = (this.#written + i) % 251;
    this.#written = this.machine.writtenBytes + count;
    return bytes;
  }

  #read(count: number): void {
    this.machine.consumed(count);
    this.#unread -= count;
  }

  #acknowledge(): void {
    this.#unacked = this.machine.seq;
    const header = { type: 0, streamId: MY_ID, receiveWindow: 4_194_304, seq: this.machine.ack, ack: this.#unacked };
    this.machine.handlePacket(decodePacket(encodePacket(header))!, this.#nowMs);
  }

  #wait(ms: number): void {
    const untilMs = this.#nowMs + ms;
    for (let steps = 0; this.machine.pollTimeout() <= untilMs; steps++) {
      assert.ok(steps < MAX_STEPS_PER_INSTANT, "time stands still");
      this.#nowMs = Math.max(this.#nowMs, this.machine.pollTimeout());
      this.machine.handleTimeout(this.#nowMs);
      this.#drain();
    }
    this.#nowMs = untilMs;
    this.machine.handleTimeout(untilMs);
  }

  #drain(): void {
    const { machine } = this;
    for (let event = machine.pollEvent(); event !== null; event = machine.pollEvent()) this.#take(event);
    let steps = 0;
    for (let out = machine.pollTransmit(this.#nowMs); out !== null; out = machine.pollTransmit(this.#nowMs)) {
      assert.ok(steps++ < MAX_STEPS_PER_INSTANT, "it sends without end");
      this.#takeSent(out.bytes);
    }
    const ack = machine.pollAck();
    if (ack !== null) this.#takeSent(ack.bytes);
  }

  #take(event: StreamEvent): void {
    assert.ok(!this.#closed, `${event.kind} after the end`);
    if (event.kind === "closed") this.#closed = true;
    if (event.kind !== "data") return;
    assert.ok(event.bytes.length > 0);
    this.#delivered += event.bytes.length;
    if (this.honest) this.#compare(event.bytes);
    if (this.#paused) this.#unread += event.bytes.length;
    else this.machine.consumed(event.bytes.length);
  }

  /** What is delivered is what the numbers carry, in their order; only END may carry nothing. */
  #compare(bytes: Uint8Array): void {
    while (this.#mayBeEmpty.has(this.#next) && Buffer.compare(contentOf(this.#next), bytes) !== 0) this.#next++;
    assert.deepEqual(bytes, contentOf(this.#next));
    this.#next++;
  }

  /** A number always carries the same bytes, and the numbers together what was written. */
  #takeSent(datagram: Uint8Array): void {
    const packet = decodePacket(datagram);
    assert.ok(packet !== null, "what is sent can be read");
    if ((packet.type & (DATA | END)) === 0) return;
    const payload = Buffer.from(packet.payload).toString("latin1");
    const before = this.#sent.get(packet.seq);
    if (before !== undefined) return assert.equal(payload, before, `number ${packet.seq} changed`);
    assert.equal(packet.seq, this.#sent.size, "numbers follow each other");
    this.#sent.set(packet.seq, payload);
    packet.payload.forEach((byte, i) => assert.equal(byte, (this.#sentBytes + i) % 251));
    this.#sentBytes += packet.payload.length;
    assert.ok(this.#sentBytes <= this.#written, "more than was written");
  }

  #check(): void {
    const { machine } = this;
    assert.ok(machine.earlyPackets <= MAX_PACKETS && machine.heldPackets <= MAX_PACKETS);
    assert.ok(machine.earlyBytes + this.#unread <= KEPT_BYTES, `${machine.earlyBytes + this.#unread} bytes kept`);
    assert.ok(machine.acknowledgedBytes <= machine.writtenBytes && machine.pendingBytes >= 0);
    assert.ok(machine.inFlightPackets >= 0 && machine.receiveWindow >= 0);
    if (machine.closed) assert.equal(machine.pollTimeout(), Infinity);
  }
}

/** Counts what was tried: datagrams and operations. */
export const tried = { inputs: 0 };

function streamProperty(packet: fc.Arbitrary<PeerPacket>, honest: boolean): fc.IProperty<[Op[]]> {
  return fc.property(fc.array(opOf(packet), { maxLength: 60, size: "max" }), (ops) => {
    const fuzzed = new Fuzzed(honest);
    fuzzed.do({ kind: "connect" });
    for (const op of ops) fuzzed.do(op);
    fuzzed.finish();
    tried.inputs += ops.length;
  });
}

const datagram = fc.oneof(
  fc.uint8Array({ maxLength: 120 }),
  fc.uint8Array({ maxLength: 120, minLength: 4 }).map((bytes) => {
    bytes.set([0xff, 1]);
    return bytes;
  }),
  fc.tuple(damagedPacket, fc.nat(), fc.nat()).map(([packet, expects, unacked]) =>
    datagramOf(packet, MY_ID, expects, unacked)
  ),
);

/** What holds for any input, by name. */
export const properties: ReadonlyMap<string, () => fc.IRawProperty<unknown>> = new Map([
  ["decode", (): fc.IRawProperty<unknown> =>
    fc.property(datagram, (bytes) => {
      tried.inputs++;
      const packet = decodePacket(bytes);
      if (packet === null) return;
      assert.ok(bytes.length >= HEADER_BYTES && packet.bytes === bytes.length);
      assert.ok(packet.sacks.length % 2 === 0 && packet.sacks.length <= 2 * MAX_SACK_BLOCKS);
      assert.ok(packet.payload.length <= bytes.length - HEADER_BYTES);
      for (const number of [packet.streamId, packet.receiveWindow, packet.seq, packet.ack, ...packet.sacks]) {
        assert.equal(number, seqAdd(number, 0), "numbers of 32 bits");
      }
    })],
  ["stream", (): fc.IRawProperty<unknown> => streamProperty(peerPacket, true)],
  ["udx", (): fc.IRawProperty<unknown> =>
    udxProperty((inputs) => {
      tried.inputs += inputs;
    })],
  ["damaged", (): fc.IRawProperty<unknown> => streamProperty(damagedPacket, false)],
]);
