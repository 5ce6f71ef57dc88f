/**
 * The worked examples of RFC 8985, packet by packet: the machine is told what arrives when, and what it sends is compared.
 * A round trip takes 100 ms, so packets may be overtaken for 25 ms (§6.2 step 4). Packet 0 has measured it.
 */
import assert from "node:assert/strict";
import { DATA, decodePacket, encodePacket, SACK } from "../../lib/udx/packet.ts";
import { type Route, StreamMachine } from "../../lib/udx/stream.ts";

const RTT_MS = 100;
const WINDOW_BYTES = 4 * 1024 * 1024;

class Sender {
  readonly machine = new StreamMachine<Route>({ id: 1 });
  nowMs = 0;
  /** What was sent since this was asked last: "number@time". */
  #sent: string[] = [];

  constructor() {
    this.machine.connect({ remoteId: 2, ipv6: false }, 0);
    this.send(0);
    this.ack(RTT_MS, 1);
    this.sent();
  }

  sent(): string {
    const sent = this.#sent.join(" ");
    this.#sent = [];
    return sent;
  }

  /** Writes small packets, one for each time. */
  send(...timesMs: number[]): void {
    for (const atMs of timesMs) {
      this.wait(atMs);
      this.machine.write(new Uint8Array(10));
      this.#drain();
    }
  }

  /** Everything below `next` has arrived, and the blocks, pairs of numbers, above it. */
  ack(atMs: number, next: number, ...blocks: number[]): void {
    this.wait(atMs);
    const header = { type: blocks.length > 0 ? SACK : 0, streamId: 1, receiveWindow: WINDOW_BYTES, seq: 0, ack: next };
    this.machine.handlePacket(decodePacket(encodePacket(header, undefined, blocks))!, atMs);
    this.#drain();
  }

  /** Lets the timers fire that are due until then. */
  wait(untilMs: number): void {
    while (this.machine.pollTimeout() <= untilMs) {
      this.nowMs = Math.max(this.nowMs, this.machine.pollTimeout());
      this.machine.handleTimeout(this.nowMs);
      this.#drain();
    }
    this.nowMs = untilMs;
  }

  #drain(): void {
    for (let out = this.machine.pollTransmit(this.nowMs); out !== null; out = this.machine.pollTransmit(this.nowMs)) {
      const packet = decodePacket(out.bytes)!;
      if ((packet.type & DATA) !== 0) this.#sent.push(`${packet.seq}@${Math.round(this.nowMs)}`);
    }
  }
}

Deno.test("RFC 8985 §3.4: a tail is probed for, repaired, and repaired again when the repetition is lost", () => {
  const sender = new Sender();
  sender.send(200, 200, 200, 200);
  assert.equal(sender.sent(), "1@200 2@200 3@200 4@200");
  // 2, 3 and 4 are lost. Two round trips after the acknowledgement of 1 the last one goes out again.
  sender.ack(300, 2);
  sender.wait(599);
  assert.equal(sender.sent(), "4@500");
  sender.ack(600, 2, 4, 5);
  assert.equal(sender.sent(), "2@600 3@600");
  // The repetition of 2 is lost as well; 3, sent after it, has arrived.
  sender.ack(700, 2, 3, 5);
  assert.equal(sender.sent(), "2@700");
  sender.ack(800, 5);
  sender.wait(5000);
  assert.equal(sender.sent(), "");
  assert.deepEqual([sender.machine.retransmits, sender.machine.timeouts], [4, 0]);
});

Deno.test("RFC 8985 §9.1, tail drop: the first and the last of three are lost", () => {
  const sender = new Sender();
  sender.send(200, 230, 260);
  sender.sent();
  sender.ack(330, 1, 2, 3);
  assert.equal(sender.sent(), "1@330");
  // The repetition was sent after 3 and has arrived: so 3 is lost, without any packet behind it.
  sender.ack(430, 3);
  assert.equal(sender.sent(), "3@430");
  sender.ack(530, 4);
  assert.deepEqual([sender.machine.retransmits, sender.machine.timeouts], [2, 0]);
});

Deno.test("RFC 8985 §9.1, lost retransmit: the repetition of the first of three is lost", () => {
  const sender = new Sender();
  sender.send(200, 230, 260);
  sender.sent();
  sender.ack(360, 1, 3, 4);
  assert.equal(sender.sent(), "1@360 2@360");
  sender.ack(460, 1, 2, 4);
  assert.equal(sender.sent(), "1@460");
  sender.ack(560, 4);
  assert.equal(sender.machine.timeouts, 0);
});

Deno.test("RFC 8985 §9.1, reordering: who is overtaken for less than a quarter of a round trip isn't lost", () => {
  const sender = new Sender();
  sender.send(200, 200);
  sender.ack(300, 1, 2, 3);
  sender.ack(310, 3);
  sender.send(400, 400, 400);
  sender.sent();
  sender.ack(500, 3, 5, 6);
  sender.ack(524, 6);
  assert.equal(sender.sent(), "", "the third came first, the others within 25 ms");
  sender.send(600, 600, 600);
  sender.sent();
  sender.ack(700, 6, 8, 9);
  sender.wait(724);
  assert.equal(sender.sent(), "");
  sender.wait(726);
  assert.equal(sender.sent(), "6@725 7@725");
});

Deno.test("RFC 8985 §6.2: three packets that have overtaken prove a loss where no reordering was seen", () => {
  const sender = new Sender();
  sender.send(200, 200, 200, 200);
  sender.sent();
  sender.ack(300, 1, 2, 4);
  assert.equal(sender.sent(), "", "two may be reordering");
  sender.ack(301, 1, 2, 5);
  assert.equal(sender.sent(), "1@301");
});

Deno.test("RFC 8985 §3.5: after a timeout only what is overdue is sent again", () => {
  const sender = new Sender();
  sender.send(200);
  // Probes, with doubled waits.
  sender.wait(1200);
  assert.equal(sender.sent(), "1@200 1@402 1@806");
  sender.send(1390);
  assert.equal(sender.sent(), "2@1390");
  sender.wait(1410);
  assert.equal(sender.sent(), "1@1402");
  assert.equal(sender.machine.timeouts, 1);
  // 2 arrives without having been repeated.
  sender.ack(1490, 1, 2, 3);
  sender.ack(1502, 3);
  sender.wait(5000);
  assert.equal(sender.sent(), "");
});

Deno.test("RFC 8985 §7.3: a tail loss probe carries new data if there is any, above the congestion window", () => {
  const sender = new Sender();
  sender.machine.write(new Uint8Array(40_000));
  sender.send(200);
  const inWindow = sender.sent().split(" ").length;
  assert.ok(inWindow >= 10 && inWindow < 30, `${inWindow} packets`);
  sender.wait(401);
  assert.equal(sender.sent(), `${inWindow + 1}@400`);
});

Deno.test("RFC 8985 §7.2: a single packet is probed for a little later, its acknowledgement may be held back", () => {
  const sender = new Sender();
  sender.send(200);
  sender.sent();
  sender.wait(401);
  assert.equal(sender.sent(), "");
  sender.wait(402);
  assert.equal(sender.sent(), "1@402");
});
