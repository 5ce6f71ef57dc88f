import assert from "node:assert/strict";
import { conform, connect, LOOPBACK, type Scene, type Socket } from "./udx_ends.ts";

/** Longer datagrams are cut by both. */
const MAX_DATAGRAM_BYTES = 2048;
const HEADER_BYTES = 20;

async function sockets({ a, b }: Scene, host = LOOPBACK): Promise<[Socket, Socket]> {
  return [await a.socket(host), await b.socket(host)];
}

for (const method of ["send", "trySend"]) {
  conform(`messages of a stream arrive, by ${method}`, async (scene) => {
    const { a, b } = await connect(scene);
    for (const bytes of [[1], [2, 3], []]) {
      const taken = await a.call(method, Uint8Array.from(bytes));
      assert.equal(taken, method === "send" ? true : null);
    }
    await b.wait("message", 3);
    assert.deepEqual((await b.happened("message")).map(([hex]) => hex).sort(), ["", "01", "0203"]);
    await b.call(method, Uint8Array.of(4));
    assert.deepEqual(await a.wait("message"), ["04"]);
  });

  for (const host of [LOOPBACK, "::1"]) {
    conform(`messages of a socket arrive, by ${method} to ${host}`, async (scene) => {
      const [a, b] = await sockets(scene, host);
      const from = { host, family: host === LOOPBACK ? 4 : 6, port: await a.port() };
      await a.call(method, Uint8Array.of(1, 2), await b.port(), host);
      assert.deepEqual(await b.wait("message"), ["0102", from]);
      await a.call(method, new Uint8Array(), await b.port(), host);
      assert.deepEqual(await b.wait("message", 2), ["", from]);
    });
  }

  conform(`a socket that isn't bound binds itself, by ${method}`, async (scene) => {
    const [a, b] = [await scene.a.socket(null), await scene.b.socket()];
    await a.call(method, Uint8Array.of(1), await b.port());
    assert.deepEqual(await b.wait("message"), ["01", { host: LOOPBACK, family: 4, port: await a.port() }]);
  });

  conform(`a message with a TTL of its own arrives, by ${method}`, async (scene) => {
    const [a, b] = await sockets(scene);
    await a.call(method, Uint8Array.of(1), await b.port(), LOOPBACK, 5);
    assert.equal((await b.wait("message"))[0], "01");
  });
}

conform("what is sent right before a socket closes is sent", async (scene) => {
  const [a, b] = await sockets(scene);
  const port = await b.port();
  await Promise.all([...[1, 2, 3].map((i) => a.call("trySend", Uint8Array.of(i), port)), a.call("close")]);
  await b.wait("message", 3);
  assert.deepEqual((await b.happened("message")).map(([hex]) => hex), ["01", "02", "03"]);
});

conform("messages arrive among data", async (scene) => {
  const { a, b } = await connect(scene);
  await b.read();
  const pouring = a.pour(500_000);
  for (let i = 0; i < 20; i++) await a.call("send", Uint8Array.of(i));
  const { bytes } = await pouring;
  assert.equal((await b.received(bytes)).bytes, bytes);
  const heard = (await b.happened("message")).map(([hex]) => hex);
  assert.equal(new Set(heard).size, heard.length);
  assert.ok(heard.length > 0);
});

conform("a datagram up to 2048 bytes arrives whole, a longer one is cut", async (scene) => {
  const { a, b, sockets: [here, there] } = await connect(scene);
  const longest = MAX_DATAGRAM_BYTES - HEADER_BYTES;
  const payload = Uint8Array.from({ length: 3000 }, (_, i) => i % 251);
  for (const [nth, bytes] of [1152, longest, longest + 1].entries()) {
    await a.call("send", payload.subarray(0, bytes));
    const [hex] = await b.wait<[string]>("message", nth + 1);
    assert.equal(hex, payload.subarray(0, Math.min(bytes, longest)).toHex());
  }
  for (const [nth, bytes] of [MAX_DATAGRAM_BYTES, MAX_DATAGRAM_BYTES + 1].entries()) {
    await here.call("send", payload.subarray(0, bytes), await there.port());
    const [hex] = await there.wait<[string]>("message", nth + 1);
    assert.equal(hex, payload.subarray(0, MAX_DATAGRAM_BYTES).toHex());
  }
});

conform("250 messages are echoed between sockets", async (scene) => {
  const [a, b] = await sockets(scene);
  const port = await b.port();
  for (let i = 0; i < 250; i++) {
    assert.equal(await a.call("send", Uint8Array.of(i), port), true);
    const [hex, from] = await b.wait<[string, { port: number }]>("message", i + 1);
    await b.call("trySend", Uint8Array.fromHex(hex), from.port);
    await a.wait("message", i + 1);
  }
  const echoes = (await a.happened<[string]>("message")).map(([hex]) => parseInt(hex, 16));
  assert.deepEqual(echoes, Array.from({ length: 250 }, (_, i) => i));
});

conform("packets for a stream that doesn't exist are messages of the socket", async (scene) => {
  const [here, there] = await sockets(scene);
  const a = await scene.a.stream(1);
  await a.connect(here, 99, await there.port());
  await a.call("trySend", Uint8Array.of(7));
  const [hex] = await there.wait<[string]>("message");
  const packet = Uint8Array.fromHex(hex);
  assert.deepEqual([...packet.subarray(0, 8)], [0xff, 1, 8, 0, 99, 0, 0, 0]);
  assert.deepEqual([...packet.subarray(HEADER_BYTES)], [7]);
});
