import assert from "node:assert/strict";
import { type StreamEvent, type StreamFailure, StreamMachine } from "../../lib/udx/stream.ts";
import { seededRandom } from "./lossy.ts";
import type { Host, SimulatedNetwork, SimulatedRoute } from "./simulated_network.ts";

/** Prime, so that a chunk delivered twice or in the wrong place differs from what belongs there. */
const PERIOD_BYTES = 65_521;
/** The same bytes twice in a row: any chunk of up to a period lies in it whole. */
const TABLE = new Uint8Array(2 * PERIOD_BYTES);
{
  const random = seededRandom(0x7ab1e);
  for (let i = 0; i < PERIOD_BYTES; i++) TABLE[i] = TABLE[i + PERIOD_BYTES] = random() * 256;
}

const MESSAGE_MAGIC = 0x6d;
/** What the first packets of the other side may bring while nothing was said about the window (see `seeded_course.ts`). */
const LARGEST_PACKET_BYTES = 1500;

/** How an application behaves. Times in milliseconds of virtual time. */
export interface AppPlan {
  readonly seq: number;
  readonly receiveWindowBytes: number;
  readonly connectsAtMs: number;
  readonly writesBytes: number;
  /** Largest chunk, and longest pause between two writes. */
  readonly chunkBytes: number;
  readonly pauseMs: number;
  /** Goes on writing when it was asked to wait. */
  readonly pushy: boolean;
  /** Takes what arrived once in that many milliseconds; 0 at once. */
  readonly readsEveryMs: number;
  /** Takes only a share of it. */
  readonly readsShare: number;
  readonly messages: number;
  readonly keepaliveMs: number;
  /** Ends its direction when everything is written. */
  readonly ends: boolean;
  readonly destroysAtMs: number | null;
  readonly changesRemoteAtMs: readonly number[];
}

/** An application at one end of a stream that does what its plan says, and checks everything it is told. */
export class SeededApp implements Host {
  readonly machine: StreamMachine<SimulatedRoute>;
  readonly plan: AppPlan;
  peer: SeededApp | null = null;
  written = 0;
  received = 0;
  ended = false;
  closed = false;
  destroyed = false;
  failure: StreamFailure | null = null;
  messagesSent = 0;
  readonly #network: SimulatedNetwork;
  readonly #random: () => number;
  readonly #id: number;
  #unread = 0;
  #waits = false;
  #largestWrite = 0;
  #changes = 0;
  /** The most that was ever held, for the bounds. */
  mostHeldBytes = 0;

  constructor(network: SimulatedNetwork, id: number, plan: AppPlan, seed: number) {
    this.#network = network;
    this.#id = id;
    this.plan = plan;
    this.#random = seededRandom(seed);
    this.machine = new StreamMachine({ id, seq: plan.seq, receiveWindowBytes: plan.receiveWindowBytes });
  }

  /** Puts the plan into the network's time. */
  start(peer: SeededApp): void {
    this.peer = peer;
    const { plan } = this;
    this.#network.at(plan.connectsAtMs, () => {
      const address = this.#network.addressOf(peer);
      const route = { remoteId: peer.machine.id, ipv6: false, address };
      this.machine.connect(route, this.#network.nowMs, peer.plan.seq);
      if (plan.keepaliveMs > 0) this.machine.setKeepalive(plan.keepaliveMs, this.#network.nowMs);
      this.#write();
      for (let i = 0; i < plan.messages; i++) this.#later(this.#random() * 500, () => this.#sendMessage());
      for (const atMs of plan.changesRemoteAtMs) this.#later(atMs, () => this.changeRemote());
    });
    if (plan.destroysAtMs !== null) this.#network.at(plan.destroysAtMs, () => this.destroy());
  }

  destroy(): void {
    if (this.closed) return;
    this.destroyed = true;
    this.machine.destroy();
  }

  /** Moves to a new name of the other side's, and to its address of now. */
  changeRemote(): void {
    if (this.machine.closed || this.machine.remoteChanging || this.machine.route === null) return;
    const address = this.#changes++ % 2 === 0 ? this.#network.addressOf(this.peer!) : `${this.#id}:${this.#changes}`;
    this.machine.changeRemote({ remoteId: this.peer!.machine.id, ipv6: false, address });
  }

  /** Moves to where the other side is now, for who was told so. */
  follow(): void {
    const route = this.machine.route;
    if (this.machine.closed || route === null) return;
    this.machine.changeRemote({ ...route, address: this.#network.addressOf(this.peer!) });
  }

  take(event: StreamEvent): void {
    assert.ok(!this.closed, `${event.kind} after the stream closed`);
    switch (event.kind) {
      case "data":
        return this.#takeData(event.bytes);
      case "end":
        assert.ok(!this.ended, "it ends once");
        assert.equal(this.received, this.peer!.written, "all of it came before the end");
        this.ended = true;
        return;
      case "message":
        return this.#takeMessage(event.bytes);
      case "drain":
        assert.ok(this.#waits, "only who waits is told to go on");
        this.#waits = false;
        return this.#write();
      case "remote-changed":
        return;
      case "closed":
        this.closed = true;
        this.failure = event.failure;
        return;
      default: {
        const never: never = event;
        return never;
      }
    }
  }

  /** Holds the machine to its bounds; to be called after every step. */
  check(): void {
    const { machine, plan } = this;
    assert.ok(machine.acknowledgedBytes <= machine.writtenBytes, "nothing is acknowledged that wasn't written");
    assert.ok(machine.pendingBytes >= 0 && machine.inFlightPackets >= 0, "nothing is counted twice");
    const held = this.#unread + machine.earlyBytes;
    this.mostHeldBytes = Math.max(this.mostHeldBytes, held);
    // In order up to the window and a packet, and as much again in early packets.
    assert.ok(held <= 2 * plan.receiveWindowBytes + LARGEST_PACKET_BYTES, `${held} bytes held`);
    assert.ok(machine.earlyPackets <= 16_384 && machine.heldPackets <= 16_384, "packets held");
    if (!plan.pushy) {
      const limit = 262_144 + 4_194_304 + this.#largestWrite;
      assert.ok(machine.pendingBytes <= limit, `${machine.pendingBytes} bytes pending`);
    }
    if (this.closed) {
      assert.equal(machine.pollTimeout(), Infinity, "no timer is left");
      assert.equal(machine.heldPackets + machine.earlyPackets, 0, "nothing is left");
    }
  }

  #later(inMs: number, action: () => void): void {
    this.#network.at(this.#network.nowMs + inMs, () => {
      if (!this.closed) action();
    });
  }

  #write(): void {
    const { plan } = this;
    while (this.written < plan.writesBytes && (!this.#waits || plan.pushy)) {
      const left = plan.writesBytes - this.written;
      const count = Math.min(1 + Math.floor(this.#random() * plan.chunkBytes), left, PERIOD_BYTES);
      const goOn = this.machine.write(this.#bytes(this.#id, this.written, count));
      if (this.machine.closed) return;
      this.written += count;
      this.#largestWrite = Math.max(this.#largestWrite, count);
      this.#waits = !goOn;
      if (plan.pauseMs > 0 && this.#random() < 0.3) {
        if (!this.#waits || plan.pushy) this.#later(this.#random() * plan.pauseMs, () => this.#write());
        return;
      }
    }
    if (this.written === plan.writesBytes && plan.ends) this.machine.end();
  }

  #read(): void {
    const count = Math.min(Math.ceil(this.#unread * this.plan.readsShare) + 1000, this.#unread);
    this.machine.consumed(count);
    this.#unread -= count;
    if (this.#unread > 0) this.#later(this.plan.readsEveryMs, () => this.#read());
  }

  #bytes(from: number, at: number, count: number): Uint8Array {
    const start = (at + from * 1009) % PERIOD_BYTES;
    return TABLE.subarray(start, start + count);
  }

  #takeData(bytes: Uint8Array): void {
    assert.ok(!this.ended, "no data after the end");
    const wanted = this.#bytes(this.peer!.#id, this.received, bytes.length);
    assert.ok(bytes.length > 0 && Buffer.compare(bytes, wanted) === 0, `wrong bytes at ${this.received}`);
    this.received += bytes.length;
    assert.ok(this.received <= this.peer!.written, "nothing comes that wasn't written");
    if (this.plan.readsEveryMs === 0) return this.machine.consumed(bytes.length);
    if (this.#unread === 0) this.#later(this.plan.readsEveryMs, () => this.#read());
    this.#unread += bytes.length;
  }

  #sendMessage(): void {
    const message = new Uint8Array(2 + Math.floor(this.#random() * 500)).fill(this.messagesSent);
    message[0] = MESSAGE_MAGIC + this.#id;
    if (this.machine.sendMessage(message)) this.messagesSent++;
  }

  #takeMessage(message: Uint8Array): void {
    assert.equal(message[0], MESSAGE_MAGIC + this.peer!.#id);
    const number = message[1]!;
    assert.ok(message.length >= 2 && number < this.peer!.messagesSent, "nobody sent this message");
    for (let i = 1; i < message.length; i++) assert.equal(message[i], number, "a message is whole");
  }
}
