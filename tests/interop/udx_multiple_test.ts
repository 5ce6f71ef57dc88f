import assert from "node:assert/strict";
import { assertSameBytes, conform, conformLossy, connect, type Scene, type Stream } from "./udx_ends.ts";

type Streams = readonly [Stream, Stream];

async function exchange([a, b]: Streams, bytes: number): Promise<void> {
  await Promise.all([a.read(), b.read()]);
  const [sentByA, sentByB] = await Promise.all([a.pour(bytes), b.pour(bytes)]);
  assert.deepEqual(await Promise.all([a.call("flush"), b.call("flush")]), [true, true]);
  assertSameBytes(await a.received(0), sentByB);
  assertSameBytes(await b.received(0), sentByA);
}

async function close([a, b]: Streams): Promise<void> {
  await Promise.all([a.end(), b.end()]);
  assert.deepEqual(await Promise.all([a.closed(), b.closed()]), [null, null]);
}

/** Streams with these ids at both ends, on one socket each. */
async function onOneSocket({ a, b }: Scene, ids: readonly number[]): Promise<Streams[]> {
  const sockets = [await a.socket(), await b.socket()] as const;
  const ports = [await sockets[0].port(), await sockets[1].port()] as const;
  return await Promise.all(ids.map(async (id) => {
    const streams = [await a.stream(id), await b.stream(id)] as const;
    await streams[0].connect(sockets[0], id, ports[1]);
    await streams[1].connect(sockets[1], id, ports[0]);
    return streams;
  }));
}

const SIXTEEN = Array.from({ length: 16 }, (_, i) => i);

conform("16 streams share a socket", async (scene) => {
  const streams = await onOneSocket(scene, SIXTEEN);
  await Promise.all(streams.map((pair) => exchange(pair, 20_000)));
  await Promise.all(streams.map(close));
});

conformLossy("4 streams share a socket", async (scene) => {
  const streams = await onOneSocket(scene, SIXTEEN.slice(0, 4));
  await Promise.all(streams.map((pair) => exchange(pair, 50_000)));
});

conform("16 streams have a socket each", async (scene) => {
  const pairs = await Promise.all(SIXTEEN.map((i) => connect(scene, { id: 2 * i })));
  await Promise.all(pairs.map(async ({ a, b }) => {
    await exchange([a, b], 100_000);
    await close([a, b]);
  }));
});

conform("ids take all 32 bits", async (scene) => {
  // Ids that agree in their lower bits make libudx's table of streams grow: none here agree in more than four.
  const streams = await onOneSocket(scene, [0, 1, 0x7fff_fffe, 0x8000_000d, 0xffff_ffff]);
  await Promise.all(streams.map((pair) => exchange(pair, 5_000)));
  await Promise.all(streams.map(close));
});

conform("of many streams one after the other nothing is left", async (scene) => {
  const sockets = [await scene.a.socket(), await scene.b.socket()] as const;
  const ports = [await sockets[0].port(), await sockets[1].port()] as const;
  for (let id = 1; id <= 40; id++) {
    const [a, b] = [await scene.a.stream(id), await scene.b.stream(id)];
    await a.connect(sockets[0], id, ports[1]);
    await b.connect(sockets[1], id, ports[0]);
    await exchange([a, b], id * 100);
    if (id % 3 === 0) {
      await b.destroy();
      assert.deepEqual([await a.closed(), await b.closed()], ["ECONNRESET", null]);
    } else await close([a, b]);
    assert.deepEqual([await sockets[0].get("idle"), await sockets[1].get("idle")], [true, true]);
  }
  assert.equal((await sockets[0].happened("idle")).length, 40);
});
