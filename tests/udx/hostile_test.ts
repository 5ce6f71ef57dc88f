/**
 * What a peer may cost that follows no rules: bounded packets, bytes and steps, counted, not timed.
 */
import assert from "node:assert/strict";
import { UDX } from "../../lib/udx/mod.ts";
import { DATA, decodePacket, encodePacket, END, HEARTBEAT, MESSAGE, seqAdd } from "../../lib/udx/packet.ts";
import { type Route, StreamMachine } from "../../lib/udx/stream.ts";
import { HandSocket } from "./hand_socket.ts";
import { seededRandom } from "./lossy.ts";
import { Pair, pattern } from "./pair.ts";
import { countLookups, Stranger } from "./stranger.ts";

const WINDOW_BYTES = 4 * 1024 * 1024;
const MAX_EARLY_PACKETS = 16_384;
const MAX_SPAN_PACKETS = 16_384;
const byte = Uint8Array.of(1);
const packet = new Uint8Array(1124);

Deno.test("StreamMachine gives up a dead path after the first packet's seventh timeout, however much is in flight", () => {
  const pair = new Pair();
  pair.a.machine.write(pattern(300_000));
  pair.run(() => pair.b.receivedBytes > 100_000);
  const diedAtMs = pair.nowMs;
  for (const link of pair.there) link.change({ cut: true });
  assert.ok(pair.run(() => pair.a.machine.closed, 600_000));
  assert.equal(pair.a.failure, "timed-out");
  assert.ok(pair.nowMs - diedAtMs < 16_000, `after ${pair.nowMs - diedAtMs} ms`);
});

Deno.test("StreamMachine gives up on a closed window that nobody answers for", () => {
  const pair = new Pair({ receiveWindowBytes: 20_000 });
  pair.b.paused = true;
  pair.a.machine.write(pattern(50_000));
  pair.run(undefined, 300_000);
  assert.equal(pair.a.machine.closed, false, "five minutes of answers that it is closed");
  for (const link of pair.back) link.change({ cut: true });
  assert.ok(pair.run(() => pair.a.machine.closed, 330_000));
  assert.equal(pair.a.failure, "timed-out");
});

Deno.test("StreamMachine forgets early packets that were numbered from a guess when it learns the first number", () => {
  const machine = new StreamMachine<Route>({ id: 1 });
  const send = (seq: number) => {
    const header = { type: DATA, streamId: 1, receiveWindow: 4096, seq, ack: 0 };
    machine.handlePacket(decodePacket(encodePacket(header, Uint8Array.of(seq)))!, 0);
  };
  for (const seq of [5, 6]) send(seq);
  machine.connect({ remoteId: 2, ipv6: false }, 0, 5);
  assert.equal(machine.earlyPackets, 0);
  for (const seq of [5, 6, 7]) send(seq);
  assert.equal(machine.ack, 8);
});

Deno.test("a peer that floods a reader who has stopped fills one window", () => {
  const peer = new Stranger();
  peer.paused = true;
  for (let seq = 0; seq < 10_000; seq++) peer.send({ type: DATA, seq }, packet);
  assert.ok(peer.deliveredBytes >= WINDOW_BYTES && peer.deliveredBytes < WINDOW_BYTES + packet.length);
  assert.equal(peer.victim.receiveWindow, 0);
  peer.victim.consumed(peer.deliveredBytes);
  const { ack } = peer.victim;
  peer.send({ type: DATA, seq: ack }, packet);
  assert.equal(peer.victim.ack, seqAdd(ack, 1), "goes on where it stopped");
});

Deno.test("a peer that sends early packets only fills a second window, whatever their size and order", () => {
  const random = seededRandom(0x5eed);
  const attacks: [string, Uint8Array, (i: number) => number][] = [
    ["upwards", packet, (i) => i + 1],
    ["downwards", packet, (i) => 20_000 - i],
    ["every other", byte, (i) => 2 * i + 1],
    ["at random", byte, () => 1 + Math.floor(random() * 2 ** 31)],
    ["empty", new Uint8Array(0), (i) => i + 1],
    ["all around the circle", byte, (i) => Math.imul(i, 0x9e3779b1) >>> 0],
  ];
  for (const [name, payload, seqOf] of attacks) {
    const peer = new Stranger();
    for (let i = 0; i < 20_000; i++) peer.send({ type: DATA, seq: seqOf(i) }, payload);
    assert.ok(peer.mostEarlyPackets <= MAX_EARLY_PACKETS, `${name}: ${peer.mostEarlyPackets} packets`);
    assert.ok(peer.mostHeldBytes <= WINDOW_BYTES, `${name}: ${peer.mostHeldBytes} bytes`);
    assert.ok(peer.answered <= peer.sent, `${name}: ${peer.answered} answers to ${peer.sent} packets`);
  }
});

Deno.test("a peer of single bytes, replays, heartbeats, jumps or messages gets no more than an answer per packet", () => {
  const attacks: [string, (peer: Stranger, i: number) => void][] = [
    ["single bytes", (peer, i) => peer.send({ type: DATA, seq: i }, byte)],
    ["replays", (peer) => peer.send({ type: DATA, seq: 0 }, byte)],
    ["old numbers", (peer, i) => peer.send({ type: DATA, seq: -i >>> 0 }, byte)],
    ["heartbeats", (peer) => peer.send({ type: HEARTBEAT })],
    ["jumps", (peer, i) => peer.send({ type: DATA, seq: (i * 70_001) >>> 0 }, byte)],
    ["ends", (peer, i) => peer.send({ type: END, seq: i })],
    ["messages", (peer) => peer.send({ type: MESSAGE }, packet)],
  ];
  for (const [name, attack] of attacks) {
    const peer = new Stranger();
    for (let i = 0; i < 5000; i++) attack(peer, i);
    peer.wait(60_000);
    assert.ok(peer.answered <= peer.sent, `${name}: ${peer.answered} answers to ${peer.sent} packets`);
    assert.ok(peer.answeredBytes < 20 * peer.sent + 10_000, `${name}: ${peer.answeredBytes} bytes`);
    assert.ok(peer.events <= peer.sent + 2, `${name}: ${peer.events} events`);
    assert.equal(peer.victim.closed, false);
  }
});

Deno.test("a peer that never acknowledges gets the first flight seven times at most, and is given up", () => {
  const peer = new Stranger();
  peer.victim.write(new Uint8Array(20_000_000));
  peer.wait(60_000);
  assert.equal(peer.failure, "timed-out");
  assert.ok(peer.answered < 100, `${peer.answered} packets`);
  assert.deepEqual([peer.victim.heldPackets, peer.victim.pollTimeout()], [0, Infinity]);
});

Deno.test("a peer can't have more under way than the numbers in use allow, whatever window it claims", () => {
  const peer = new Stranger();
  peer.victim.write(new Uint8Array(80_000_000));
  peer.nowMs = 40;
  // All but the first, so that the numbers in use never become fewer.
  for (let round = 0; round < 200; round++) {
    peer.send({ receiveWindow: 0xffff_ffff, ack: 0 }, undefined, peer.victim.seq > 1 ? [1, peer.victim.seq] : []);
    peer.wait(20);
  }
  assert.ok(peer.mostHeldPackets <= MAX_SPAN_PACKETS, `${peer.mostHeldPackets}`);
  assert.ok(peer.victim.seq <= MAX_SPAN_PACKETS);
  assert.ok(peer.mostHeldPackets > 1000, "the test reaches for it");
});

Deno.test("SACKs that repeat, grow, overlap, run backwards or lie cost a few steps each", () => {
  const random = seededRandom(0x5ac);
  const attacks: [string, (low: number, high: number, i: number) => number[]][] = [
    ["the same", (low, high) => [low + 1, high]],
    ["downwards", (low, high, i) => [high - 1 - i % (high - low - 1), high]],
    ["upwards", (low, high, i) => [low + 1 + i % (high - low - 1), high]],
    ["fifty overlapping", (low, high) => Array.from({ length: 50 }, (_, k) => [low + 1 + k, high]).flat()],
    ["backwards", (low, high) => [high, low + 1]],
    ["never sent", (_low, high) => [high + 1, high + 1_000_000]],
    ["half the circle", (low) => [low + 1, seqAdd(low, 2 ** 31 - 1)]],
    [
      "at random",
      (low, high) => Array.from({ length: 100 }, () => low + Math.floor(random() * (high - low + 2)) >>> 0),
    ],
  ];
  for (const [name, blocks] of attacks) {
    const peer = new Stranger();
    peer.victim.write(new Uint8Array(30_000_000));
    peer.draw(600);
    const outstanding = peer.victim.inFlightPackets;
    const high = peer.victim.seq;
    const low = high - outstanding;
    const lies = 2000;
    const lookups = countLookups(() => {
      for (let i = 0; i < lies; i++) {
        const sacks = blocks(low, high, i);
        peer.victim.handlePacket(
          decodePacket(encodePacket({ type: 4, streamId: 1, receiveWindow: 0, seq: 0, ack: low }, undefined, sacks))!,
          peer.nowMs,
        );
      }
    });
    // Each packet once, and each block at its start.
    assert.ok(lookups <= 2 * outstanding + lies * 52, `${name}: ${lookups} lookups for ${outstanding} packets`);
    if (name !== "fifty overlapping" && name !== "at random") {
      assert.ok(lookups <= 2 * outstanding + lies * 3, `${name}: ${lookups} lookups for ${outstanding} packets`);
    }
  }
});

Deno.test("SACK blocks that overlap or grow miss none of their packets", () => {
  const peer = new Stranger();
  peer.victim.write(new Uint8Array(1_000_000));
  peer.draw(60);
  const high = peer.victim.seq;
  const low = high - peer.victim.inFlightPackets;
  peer.numbers.length = 0;
  // The window is closed: only what is missing may go out.
  for (
    const [start, end] of [[2, 5], [2, 5], [4, 9], [20, 22], [12, 30], [8, 13], [1, 31], [25, high - low]] as const
  ) {
    peer.send({ ack: low, receiveWindow: 0 }, undefined, [low + start, low + end]);
  }
  peer.numbers.length = 0;
  peer.wait(2000);
  assert.deepEqual([...new Set(peer.numbers)], [low], "the first one is missing, and no other");
});

Deno.test("a packet that comes late doesn't take back the window", () => {
  const peer = new Stranger();
  peer.send({ seq: 5, receiveWindow: 0 });
  peer.send({ seq: 4, receiveWindow: 4096 });
  assert.equal(peer.victim.sendWindow, 0);
  peer.send({ seq: 5, receiveWindow: 4096 });
  assert.equal(peer.victim.sendWindow, 4096);
});

Deno.test("a peer that opens and closes its window gets a packet per packet, and what is in flight again when it is due", () => {
  const peer = new Stranger();
  peer.victim.write(new Uint8Array(1_000_000));
  peer.serve();
  const before = peer.answered;
  for (let i = 0; i < 1000; i++) {
    peer.send({ ack: peer.victim.seq, seq: i, receiveWindow: i % 2 === 0 ? 0 : 1 });
    peer.wait(1);
  }
  assert.ok(peer.answered - before <= 1000, `${peer.answered - before} packets`);
  peer.send({ ack: peer.victim.seq, seq: 2000, receiveWindow: 0 });
  const closed = peer.answered;
  peer.wait(10_000);
  assert.ok(peer.answered - closed <= 10, `${peer.answered - closed} probes`);
});

Deno.test("a window that shrinks to nothing with data in flight holds back what is new, not what is missing", () => {
  const peer = new Stranger();
  peer.victim.write(new Uint8Array(1_000_000));
  peer.serve();
  const { seq } = peer.victim;
  peer.wait(20);
  peer.send({ ack: 1, receiveWindow: 0 });
  const before = peer.answered;
  peer.wait(3000);
  assert.equal(peer.victim.seq, seq, "nothing new");
  assert.ok(peer.answered > before, "the missing ones again");
  peer.wait(60_000);
  assert.equal(peer.failure, "timed-out");
});

Deno.test("a peer that acknowledges what was never sent changes nothing", () => {
  const peer = new Stranger();
  peer.victim.write(new Uint8Array(5000));
  peer.serve();
  const { seq, sendWindow } = peer.victim;
  for (const ack of [seq + 1, seq + 1000, 2 ** 31 - 1]) {
    peer.send({ ack, receiveWindow: 1 }, undefined, [0, seq]);
  }
  assert.deepEqual([peer.victim.acknowledgedBytes, peer.victim.sendWindow], [0, sendWindow]);
  assert.equal(peer.victim.heldPackets, seq);
});

Deno.test("a writer is asked to wait at a bound that no window of the other side's moves", () => {
  const peer = new Stranger();
  peer.victim.write(new Uint8Array(1_000_000));
  peer.draw(50);
  peer.send({ ack: peer.victim.seq, receiveWindow: 0xffff_ffff });
  let written = 0;
  while (peer.victim.write(packet)) written += packet.length;
  assert.ok(written < 262_144 + MAX_SPAN_PACKETS * 1500, `${written}`);
});

Deno.test("UDXSocket drops answers when the system takes none, instead of hoarding them", async () => {
  const stuck = new HandSocket({ isStuck: true });
  const udx = new UDX({ listenDatagram: () => stuck });
  const socket = udx.createSocket();
  socket.bind(0, "127.0.0.1");
  const stream = udx.createStream(1);
  stream.connect(socket, 2, 5000, "127.0.0.1");
  const heartbeat = encodePacket({ type: HEARTBEAT, streamId: 1, receiveWindow: 4096, seq: 0, ack: 0 });
  for (let i = 0; i < 2000; i++) await stuck.put(heartbeat);
  assert.equal(socket.packetsTransmitted, 1 + 1024);
  stream.on("error", () => {}).destroy();
  // What is still to be sent goes before the socket closes.
  const closed = socket.close();
  stuck.close();
  await closed;
  await stuck.settled();
});

Deno.test("UDX answers late packets for a bounded number of streams that are gone", async () => {
  const hand = new HandSocket();
  const udx = new UDX({ listenDatagram: () => hand });
  const socket = udx.createSocket();
  socket.bind(0, "127.0.0.1");
  let strays = 0;
  socket.on("message", () => strays++);
  const ids = Array.from({ length: 5000 }, (_, id) => id);
  for (const stream of ids.map((id) => udx.createStream(id))) {
    stream.connect(socket, 1, 5000, "127.0.0.1");
    stream.on("error", () => {}).destroy();
  }
  await hand.settled();
  assert.equal(socket.streams.size, 0);
  const before = hand.sends;
  for (const streamId of ids) {
    await hand.put(encodePacket({ type: HEARTBEAT, streamId, receiveWindow: 4096, seq: 0, ack: 0 }));
  }
  assert.deepEqual([hand.sends - before, strays], [4096, 5000 - 4096]);
  await socket.close();
  await hand.settled();
});

Deno.test("a stream takes packets from any address, and answers to the one it was told, as libudx does", async () => {
  const hand = new HandSocket();
  const udx = new UDX({ listenDatagram: () => hand });
  const socket = udx.createSocket();
  socket.bind(0, "127.0.0.1");
  const stream = udx.createStream(1);
  stream.connect(socket, 2, 5000, "127.0.0.1");
  const data = new Promise((resolve) => stream.once("data", resolve));
  // Its NAT gave the peer another port.
  await hand.put(encodePacket({ type: DATA, streamId: 1, receiveWindow: 4096, seq: 0, ack: 0 }, byte), 5001);
  assert.deepEqual(await data, Buffer.from(byte));
  assert.deepEqual(hand.ports, [5000]);
  stream.changeRemote(socket, 2, 5001, "127.0.0.1");
  await hand.put(encodePacket({ type: HEARTBEAT, streamId: 1, receiveWindow: 4096, seq: 1, ack: 0 }), 5001);
  assert.deepEqual(hand.ports, [5000, 5001]);
  stream.on("error", () => {}).destroy();
  await socket.close();
  await hand.settled();
});
