import assert from "node:assert/strict";
import { once } from "node:events";
import { UDX, type UDXSocket } from "../../lib/udx/mod.ts";
import { openTtlSocket } from "../../lib/udx/ttl_socket.ts";

/** What hole punching uses: any port of every IPv4 address. */
function punching(udx: UDX): UDXSocket {
  const socket = udx.createSocket();
  socket.bind(0, "0.0.0.0");
  return socket;
}

const portOf = (socket: UDXSocket) => socket.address()!.port;

/** The first bytes of the next messages. */
async function take(socket: UDXSocket, count: number): Promise<number[]> {
  const got: number[] = [];
  const all = new Promise<void>((resolve) => {
    const onMessage = (message: Uint8Array) => {
      if (got.push(message[0]!) < count) return;
      socket.off("message", onMessage);
      resolve();
    };
    socket.on("message", onMessage);
  });
  await all;
  return got;
}

Deno.test("UDXSocket on any port of a reachable address sets the TTL, another one says that it can't", async () => {
  const udx = new UDX();
  const [socket, loopback] = [punching(udx), udx.createSocket()];
  assert.throws(() => loopback.setTTL(5), /not active/);
  loopback.bind(0, "127.0.0.1");
  assert.throws(() => loopback.setTTL(5), /can't reach the TTL/);
  socket.setTTL(5);
  assert.throws(() => socket.setTTL(0), RangeError);
  assert.throws(() => socket.setTTL(256), RangeError);
  assert.equal(await socket.send(Uint8Array.of(1), portOf(loopback), "127.0.0.1", 256), false);
  const got = take(loopback, 2);
  assert.equal(await socket.send(Uint8Array.of(2), portOf(loopback), "127.0.0.1"), true);
  assert.equal(await socket.send(Uint8Array.of(3), portOf(loopback), "127.0.0.1", 7), true);
  assert.deepEqual(await got, [2, 3]);
  await Promise.all([socket.close(), loopback.close()]);
});

Deno.test("UDXSocket sends packets of different TTLs one after the other", async () => {
  const udx = new UDX();
  const [a, b] = [punching(udx), punching(udx)];
  const got = take(b, 40);
  for (let i = 0; i < 40; i++) a.trySend(Uint8Array.of(i), portOf(b), "127.0.0.1", i % 2 === 0 ? 5 : 64);
  assert.deepEqual(await got, Array.from({ length: 40 }, (_, i) => i));
  await Promise.all([a.close(), b.close()]);
});

Deno.test("UDXSocket with a TTL keeps a burst, cuts what is too long, and names who sent it", async () => {
  const udx = new UDX();
  const [a, b] = [punching(udx), punching(udx)];
  const got = take(b, 64);
  await Promise.all(
    Array.from({ length: 64 }, (_, i) => a.send(new Uint8Array(1200).fill(i), portOf(b), "127.0.0.1")),
  );
  assert.deepEqual(await got, Array.from({ length: 64 }, (_, i) => i));
  const next = once(b, "message");
  a.trySend(new Uint8Array(5000), portOf(b), "127.0.0.1");
  const [message, from] = await next;
  assert.equal(message.length, 2048);
  assert.deepEqual(from, { host: "127.0.0.1", family: 4, port: portOf(a) });
  await Promise.all([a.close(), b.close()]);
});

Deno.test("openTtlSocket() says why it can't bind", async () => {
  const udx = new UDX();
  const socket = punching(udx);
  const taken = { hostname: "0.0.0.0", port: portOf(socket), reuseAddress: false };
  assert.throws(() => openTtlSocket(taken), { code: "EADDRINUSE" });
  await socket.close();
  openTtlSocket(taken).close();
});

Deno.test("UDXSocket with a TTL goes on after a packet to a port that is none", async () => {
  const udx = new UDX();
  const [a, b] = [punching(udx), punching(udx)];
  const got = take(b, 2);
  a.trySend(Uint8Array.of(1), portOf(b), "127.0.0.1", 5);
  assert.equal(await a.send(Uint8Array.of(0), 0, "127.0.0.1"), false);
  assert.equal(await a.send(Uint8Array.of(0), 65_536, "127.0.0.1", 5), false);
  a.trySend(Uint8Array.of(2), portOf(b), "127.0.0.1", 64);
  assert.deepEqual(await got, [1, 2]);
  await Promise.all([a.close(), b.close()]);
});
