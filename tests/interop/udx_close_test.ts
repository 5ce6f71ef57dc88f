import assert from "node:assert/strict";
import type { Packet } from "../../lib/udx/packet.ts";
import { DATA, DESTROY, END } from "../../lib/udx/packet.ts";
import { conform, type ConformOptions, connect, type Direction, End, filteredListener } from "./udx_ends.ts";

/** A network that loses the first packet of which `is` says yes, in either direction. */
function losing(is: (packet: Packet, direction: Direction) => boolean): ConformOptions {
  const listenDatagram = () => {
    let lost = false;
    return filteredListener((packet, direction) => !lost && packet !== null && (lost = is(packet, direction)));
  };
  return { listenDatagram, withoutControl: "udx-native's sockets can't be made to lose packets" };
}

const has = (packet: Packet, bits: number) => (packet.type & bits) !== 0;

conform("destroying one side resets the other", async (scene) => {
  const { a, b } = await connect(scene);
  await a.destroy();
  assert.deepEqual([await a.closed(), await b.closed()], [null, "ECONNRESET"]);
});

conform("destroying both sides at once closes both", async (scene) => {
  const { a, b } = await connect(scene);
  await Promise.all([a.destroy(), b.destroy()]);
  // Whether either hears of the other in time is open; that it closes isn't.
  await Promise.all([a.closed(), b.closed()]);
});

conform("a side that is destroyed while it writes drops the rest, and its flush fails", async (scene) => {
  const { a, b } = await connect(scene);
  await b.read();
  const pouring = a.pour(20_000_000, 20_000_000);
  const flushed = a.call("flush");
  await b.received(100_000);
  await a.destroy();
  assert.equal(await flushed, false);
  assert.equal(await b.closed(), "ECONNRESET");
  assert.ok((await b.received(0)).bytes < (await pouring).bytes);
});

conform("a writer is reset when its reader is destroyed", async (scene) => {
  const { a, b } = await connect(scene);
  await b.read();
  const pouring = a.pour(50_000_000);
  await b.received(100_000);
  await b.destroy();
  assert.deepEqual([await a.closed(), await b.closed()], ["ECONNRESET", null]);
  await pouring;
});

conform("a side that has ended is reset when the other one is destroyed", async (scene) => {
  const { a, b } = await connect(scene);
  await Promise.all([a.read(), b.read()]);
  await a.end("done");
  await b.wait("end");
  await b.destroy();
  assert.deepEqual([await a.closed(), await b.closed()], ["ECONNRESET", null]);
});

conform("a stream that never connected is destroyed in silence", async ({ a, b }) => {
  const [here, there] = [await a.socket(), await b.socket()];
  const stream = await a.stream(1);
  await stream.destroy();
  assert.equal(await stream.closed(), null);
  await here.call("send", Uint8Array.of(1), await there.port());
  await there.wait("message");
  assert.equal(await there.get("packetsReceived"), 1);
});

conform("a socket that closes waits for its streams", async (scene) => {
  const { a, b, sockets: [here] } = await connect(scene);
  await b.read();
  const closing = here.call("close");
  assert.equal(await here.get("closing"), true);
  await a.write("still here");
  assert.equal((await b.received(10)).text, "still here");
  assert.deepEqual(await here.happened("close"), []);
  await a.destroy();
  await closing;
  assert.equal((await here.happened("close")).length, 1);
  assert.deepEqual([await here.happened("idle"), await b.closed()], [[], "ECONNRESET"]);
});

conform("an id is used again once its stream has closed", async (scene) => {
  const sockets = [await scene.a.socket(), await scene.b.socket()] as const;
  const ports = [await sockets[0].port(), await sockets[1].port()] as const;
  for (let life = 0; life < 10; life++) {
    const [a, b] = [await scene.a.stream(1), await scene.b.stream(2)];
    await a.connect(sockets[0], 2, ports[1]);
    await b.connect(sockets[1], 1, ports[0]);
    await Promise.all([a.read(), b.read()]);
    const text = `life ${life}`;
    await Promise.all([a.end(text), b.end(text)]);
    assert.deepEqual(await Promise.all([a.closed(), b.closed()]), [null, null]);
    assert.deepEqual([(await a.received(0)).text, (await b.received(0)).text], [text, text]);
  }
  assert.deepEqual([await sockets[0].get("idle"), await sockets[1].get("idle")], [true, true]);
});

const LOSSES: [string, (packet: Packet, direction: Direction) => boolean][] = [
  ["the first data packet", (packet) => has(packet, DATA)],
  ["the first acknowledgement", (packet) => packet.type === 0],
  ["our first END", (packet, direction) => direction === "out" && has(packet, END)],
  ["udx-native's first END", (packet, direction) => direction === "in" && has(packet, END)],
];

for (const [what, is] of LOSSES) {
  conform(`streams close cleanly though ${what} gets lost`, async (scene) => {
    const { a, b } = await connect(scene);
    for (const stream of [a, b]) {
      await stream.read();
      if (stream.at.is === "udx-native") await stream.poke("rto", 50);
    }
    await a.write("question");
    assert.equal((await b.received(8)).text, "question");
    await b.end("answer");
    await a.wait("end");
    await a.end();
    assert.deepEqual(await Promise.all([a.closed(), b.closed()]), [null, null]);
    assert.equal((await a.received(0)).text, "answer");
  }, losing(is));
}

conform("streams are destroyed while packets wait for one that got lost", async (scene) => {
  const { a, b } = await connect(scene);
  await Promise.all([a.read(), b.read()]);
  await a.pour(10_000);
  // The ones behind have arrived, and are kept.
  while (await b.get("packetsReceived") < 5) await new Promise((resolve) => setTimeout(resolve, 1));
  await Promise.all([a.destroy(), b.destroy()]);
  await Promise.all([a.closed(), b.closed()]);
}, losing((packet) => has(packet, DATA)));

// The other way round ours can only time out: a stream of libudx that has closed is silent.

Deno.test("udx-native closes cleanly though our last acknowledgement gets lost", async () => {
  let ended = false;
  let lost = 0;
  await using ours = End.ours({
    listenDatagram: filteredListener((packet, direction) => {
      if (packet === null) return false;
      if (direction === "in") ended ||= has(packet, END);
      return direction === "out" && ended && lost === 0 && packet.type === 0 && ++lost === 1;
    }),
  });
  await using original = End.native("original");
  const { a, b } = await connect({ a: ours, b: original });
  await Promise.all([a.read(), b.read()]);
  await a.end();
  await b.wait("end");
  await b.poke("rto", 50);
  await b.end();
  assert.deepEqual(await Promise.all([a.closed(), b.closed()]), [null, null]);
  assert.deepEqual([lost, await b.get("retransmits")], [1, 1]);
});

Deno.test("udx-native is reset by its next packet when our DESTROY got lost", async () => {
  let lost = 0;
  await using ours = End.ours({
    listenDatagram: filteredListener((packet) => packet !== null && has(packet, DESTROY) && lost++ === 0),
  });
  await using original = End.native("original");
  const { a, b } = await connect({ a: ours, b: original });
  await a.destroy();
  await a.closed();
  assert.deepEqual([lost, await b.happened("close")], [1, []]);
  await b.write("anybody there?");
  assert.equal(await b.closed(), "ECONNRESET");
});
