import assert from "node:assert/strict";
import { FIVE_PERCENT, lossyListener } from "./lossy.ts";
import { type DatagramSocket, UDX, type UDXSocket, type UDXStream } from "../../lib/udx/mod.ts";

const LOOPBACK = "127.0.0.1";

function once<T = unknown>(emitter: UDXSocket | UDXStream, event: string): Promise<T> {
  return new Promise((resolve) => emitter.once(event, resolve));
}

function bound(udx: UDX, host = LOOPBACK): UDXSocket {
  const socket = udx.createSocket();
  socket.bind(0, host);
  return socket;
}

function portOf(socket: UDXSocket): number {
  return socket.address()!.port;
}

/** Two connected streams over loopback; disposing destroys and closes everything. */
class Loopback implements AsyncDisposable {
  readonly udx = new UDX();
  readonly sockets = [bound(this.udx), bound(this.udx)] as const;
  readonly a = this.udx.createStream(1);
  readonly b = this.udx.createStream(2);

  constructor() {
    this.a.connect(this.sockets[0], 2, portOf(this.sockets[1]), LOOPBACK);
    this.b.connect(this.sockets[1], 1, portOf(this.sockets[0]), LOOPBACK);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stream of [this.a, this.b]) stream.on("error", () => {}).destroy();
    await Promise.all(this.sockets.map((socket) => socket.close()));
  }
}

Deno.test("UDXSocket binds at once and knows its address", async () => {
  const socket = new UDX().createSocket();
  assert.equal(socket.bound, false);
  assert.equal(socket.address(), null);
  let listening = false;
  socket.once("listening", () => listening = true);
  socket.bind(0, LOOPBACK);
  assert.ok(listening && portOf(socket) > 0);
  assert.equal(socket.address()!.family, 4);
  assert.throws(() => socket.bind(0), /Already bound/);
  await socket.close();
});

Deno.test("UDXSocket refuses an address that is none or in use", async () => {
  const udx = new UDX();
  const first = bound(udx);
  const second = udx.createSocket();
  assert.throws(() => second.bind(0, "localhost"), /not a valid IP address/);
  assert.throws(() => second.bind(portOf(first), LOOPBACK), { code: "EADDRINUSE" });
  assert.equal(second.bound, false);
  second.bind(0, LOOPBACK);
  await Promise.all([first.close(), second.close()]);
});

Deno.test("UDXSocket sends and receives messages", async () => {
  const udx = new UDX();
  const [a, b] = [bound(udx), bound(udx)];
  const got = new Promise<[Uint8Array, unknown]>((resolve) => b.once("message", (...args) => resolve(args as never)));
  assert.equal(await a.send(Uint8Array.of(1, 2), portOf(b), LOOPBACK, 5), true);
  const [message, from] = await got;
  assert.ok(Buffer.isBuffer(message));
  assert.deepEqual([...message], [1, 2]);
  assert.deepEqual(from, { host: LOOPBACK, family: 4, port: portOf(a) });
  assert.throws(() => a.trySend(Uint8Array.of(1), 1, "nowhere"), /not a valid IP address/);
  await Promise.all([a.close(), b.close()]);
  assert.equal(await a.send(Uint8Array.of(1), 1, LOOPBACK), false);
});

Deno.test("UDXSocket sends in order from its first datagram on, also when it closes after them", async () => {
  const udx = new UDX();
  for (let round = 0; round < 3; round++) {
    const [from, to] = [bound(udx), bound(udx)];
    const heard: number[] = [];
    const all = new Promise<void>((resolve) =>
      to.on("message", (bytes: Uint8Array) => {
        if (heard.push(bytes[0]!) === 10) resolve();
      })
    );
    for (let i = 0; i < 10; i++) from.trySend(Uint8Array.of(i), portOf(to), LOOPBACK);
    await Promise.all([all, from.close()]);
    assert.deepEqual(heard, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    await to.close();
  }
});

Deno.test("UDXSocket gives the system one datagram after the other, and the last ones before it closes", async () => {
  const given: number[] = [];
  let taken = Promise.withResolvers<number>();
  let closed = false;
  const udx = new UDX({
    listenDatagram: () => ({
      addr: { transport: "udp", hostname: LOOPBACK, port: 1 },
      send(bytes) {
        given.push(bytes[0]!);
        return taken.promise;
      },
      receive: () => new Promise(() => {}),
      close: () => closed = true,
    }),
  });
  const socket = bound(udx);
  const outcomes = [1, 2, 3, 4].map((i) => socket.send(Uint8Array.of(i), 1, LOOPBACK));
  void socket.close();
  for (let i = 1; i <= 4; i++) {
    assert.deepEqual([given.at(-1), given.length, closed], [i, i, false]);
    const waiting = taken;
    taken = Promise.withResolvers();
    if (i === 3) waiting.reject(new Error("no route"));
    else waiting.resolve(1);
    assert.equal(await outcomes[i - 1], i !== 3);
  }
  assert.deepEqual([given, closed], [[1, 2, 3, 4], true]);
});

Deno.test("UDXSocket says that it is closed only when it is, whatever arrives before", async () => {
  for (const isError of [false, true]) {
    const taken = Promise.withResolvers<number>();
    const gone = Promise.withResolvers<never>();
    let arrive = Promise.withResolvers<[Uint8Array, Deno.Addr]>();
    const events: string[] = [];
    const udx = new UDX({
      listenDatagram: () => ({
        addr: { transport: "udp", hostname: LOOPBACK, port: 1 },
        send: () => taken.promise,
        receive: () => Promise.race([arrive.promise, gone.promise]),
        close: () => {
          events.push("system");
          gone.reject(new Deno.errors.BadResource());
        },
      }),
    });
    const socket = bound(udx);
    socket.on("close", () => events.push("close"));
    socket.on("message", () => events.push("message"));
    socket.trySend(Uint8Array.of(1), 1, LOOPBACK);
    const closed = socket.close();
    const arriving = arrive;
    arrive = Promise.withResolvers();
    if (isError) arriving.reject(new Error("ICMP"));
    else arriving.resolve([Uint8Array.of(2), { transport: "udp", hostname: LOOPBACK, port: 2 }]);
    await new Promise((resolve) => setImmediate(resolve));
    assert.deepEqual(events, [], "one datagram is still to be sent");
    taken.resolve(1);
    await closed;
    assert.deepEqual(events, ["system", "close"]);
  }
});

Deno.test("UDXSocket and UDXStream give messages memory of their own, not all that arrived with them", async () => {
  await using pair = new Loopback();
  const messages = Promise.all([once<Uint8Array>(pair.sockets[1], "message"), once<Uint8Array>(pair.b, "message")]);
  pair.sockets[0].trySend(new Uint8Array(40), portOf(pair.sockets[1]), LOOPBACK);
  pair.a.trySend(new Uint8Array(50));
  assert.deepEqual((await messages).map((message) => message.buffer.byteLength), [40, 50]);
});

Deno.test("UDXSocket without a host takes IPv4 and IPv6, and names IPv4 peers by their IPv4 address", async () => {
  const udx = new UDX();
  const [dual, four] = [udx.createSocket(), bound(udx)];
  dual.bind();
  const got = new Promise<{ host: string; family: number }>((resolve) =>
    dual.once("message", (_, from) => resolve(from))
  );
  four.trySend(Uint8Array.of(1), portOf(dual), LOOPBACK);
  const from = await got;
  assert.deepEqual([from.host, from.family], [LOOPBACK, 4]);
  const back = once<Uint8Array>(four, "message");
  dual.trySend(Uint8Array.of(2), portOf(four), LOOPBACK);
  assert.deepEqual([...await back], [2]);
  await Promise.all([dual.close(), four.close()]);
});

Deno.test("UDXSocket closes only when its streams have", async () => {
  const udx = new UDX();
  const socket = bound(udx);
  const stream = udx.createStream(1);
  const events: string[] = [];
  for (const event of ["busy", "idle", "close"]) socket.on(event, () => events.push(event));
  stream.connect(socket, 2, portOf(socket), LOOPBACK);
  assert.ok(socket.busy);
  const closed = socket.close();
  assert.ok(socket.closing);
  assert.throws(() => udx.createStream(3).connect(socket, 2, 1, LOOPBACK), /Socket is closed/);
  await new Promise((resolve) => setTimeout(resolve, 5));
  assert.deepEqual(events, ["busy"]);
  stream.destroy();
  await closed;
  assert.deepEqual(events, ["busy", "close"]);
});

Deno.test("UDXSocket goes on after a receive that failed", async () => {
  let failures = 20;
  const udx = new UDX({
    listenDatagram: ({ hostname, port }) => {
      const real = Deno.listenDatagram({ transport: "udp", hostname, port });
      const flaky: DatagramSocket = {
        addr: real.addr,
        send: (bytes, to) => real.send(bytes, to),
        receive: (into) => failures-- > 0 ? Promise.reject(new Error("ICMP")) : real.receive(into),
        close: () => real.close(),
      };
      return flaky;
    },
  });
  const socket = bound(udx);
  const got = once(socket, "message");
  socket.trySend(Uint8Array.of(1), portOf(socket), LOOPBACK);
  await got;
  await socket.close();
});

Deno.test("UDXStream ends one direction, then the other, then both sides close", async () => {
  await using pair = new Loopback();
  const { a, b } = pair;
  const closed = Promise.all([once(a, "close"), once(b, "close")]);
  a.end("ping");
  const chunks: Uint8Array[] = [];
  for await (const chunk of { [Symbol.asyncIterator]: () => readable(b) }) chunks.push(chunk);
  assert.equal(Buffer.concat(chunks).toString(), "ping");
  a.resume();
  b.end("pong");
  await closed;
});

/** Reads until the other side ends, without destroying the stream as its own iterator would. */
async function* readable(stream: UDXStream): AsyncGenerator<Uint8Array> {
  const chunks: Uint8Array[] = [];
  stream.on("data", (chunk: Uint8Array) => chunks.push(chunk));
  await once(stream, "end");
  yield* chunks;
}

Deno.test("UDXStream holds a fast writer back while the reader pauses", async () => {
  await using pair = new Loopback();
  const { a, b } = pair;
  b.pause();
  let written = 0;
  const chunk = new Uint8Array(65_536);
  // The window of 4 MiB, the writer's high water of 256 KiB and streamx's own buffers fill; then it must wait.
  for (; written < 64 * 1024 * 1024; written += chunk.length) {
    if (a.write(chunk)) continue;
    const drained = await Promise.race([
      once(a, "drain").then(() => true),
      new Promise<false>((resolve) => setTimeout(resolve, 200, false)),
    ]);
    if (!drained) break;
  }
  assert.ok(written < 8 * 1024 * 1024, `${written} bytes were taken`);
  let received = 0;
  const all = new Promise<void>((resolve) => {
    b.on("data", (data: Uint8Array) => {
      received += data.length;
      if (received >= written) resolve();
    });
  });
  b.resume();
  await all;
});

Deno.test("UDXStream that is not connected takes packets only if its firewall lets them through", async () => {
  const udx = new UDX();
  const [here, there] = [bound(udx), bound(udx)];
  const asked: unknown[] = [];
  const closedDoor = udx.createStream(1);
  const open = udx.createStream(2, {
    firewall: (socket, port, host, family) => {
      asked.push([socket === here, port === portOf(there), host, family]);
      if (!open.connected) open.connect(socket, 3, port, host);
      return false;
    },
  });
  const peers = [udx.createStream(3), udx.createStream(4)] as const;
  peers[0].connect(there, 2, portOf(here), LOOPBACK);
  peers[1].connect(there, 1, portOf(here), LOOPBACK);
  peers[1].write("dropped");
  peers[0].write("hello");
  assert.equal(String(await once(open, "data")), "hello");
  assert.deepEqual(asked, [[true, true, LOOPBACK, 4]]);
  assert.equal(closedDoor.bytesReceived, 0);
  for (const stream of [closedDoor, open, ...peers]) stream.on("error", () => {}).destroy();
  await Promise.all([here.close(), there.close()]);
});

Deno.test("UDXStream moves to another socket with data in flight", async () => {
  await using pair = new Loopback();
  const { udx, a, b, sockets } = pair;
  const third = bound(udx);
  const received: Uint8Array[] = [];
  let bytes = 0;
  b.on("data", (data: Uint8Array) => {
    received.push(data);
    bytes += data.length;
  });
  const sent = Buffer.from(Array.from({ length: 300_000 }, (_, i) => i * 7));
  a.write(sent.subarray(0, 150_000));
  await once(b, "data");
  const moved = a.changeRemote(third, 2, portOf(sockets[1]), LOOPBACK);
  assert.throws(() => a.changeRemote(third, 2, portOf(sockets[1]), LOOPBACK), /already changing/);
  b.changeRemote(sockets[1], 1, portOf(third), LOOPBACK);
  a.write(sent.subarray(150_000));
  await moved;
  assert.equal(a.localPort, portOf(third));
  assert.ok(sockets[0].idle && third.busy);
  while (bytes < sent.length) await once(b, "data");
  assert.ok(Buffer.concat(received).equals(sent));
  b.on("error", () => {});
  a.destroy();
  await third.close();
});

Deno.test("UDXStream that relays passes packets on, both ways, until a side is destroyed", async () => {
  const udx = new UDX();
  const relay = new UDX();
  const [here, there, middle] = [bound(udx), bound(udx), bound(relay)];
  // a (1) <-> relay's 11 | relay's 12 <-> b (2)
  const [a, b] = [udx.createStream(1), udx.createStream(2)];
  const [toA, toB] = [relay.createStream(11), relay.createStream(12)];
  toA.connect(middle, 1, portOf(here), LOOPBACK);
  toB.connect(middle, 2, portOf(there), LOOPBACK);
  toA.relayTo(toB);
  toB.relayTo(toA);
  a.connect(here, 11, portOf(middle), LOOPBACK);
  b.connect(there, 12, portOf(middle), LOOPBACK);
  const reset = Promise.all([once<{ code: string }>(b, "error"), once(toA, "close"), once(toB, "close")]);
  for (const stream of [toA, toB]) stream.on("error", () => {});
  let bytes = 0;
  const all = new Promise<void>((resolve) =>
    b.on("data", (data: Uint8Array) => {
      bytes += data.length;
      if (bytes === 500_000) resolve();
    })
  );
  a.write(new Uint8Array(500_000));
  await all;
  const answer = once(a, "data");
  b.write("back");
  assert.equal(String(await answer), "back");
  assert.equal(toA.bytesReceived > 500_000, true);
  a.destroy();
  assert.equal((await reset)[0].code, "ECONNRESET");
  await Promise.all([here.close(), there.close(), middle.close()]);
});

Deno.test("UDX gives each stream id once at a time", () => {
  const udx = new UDX();
  const stream = udx.createStream(1);
  assert.throws(() => udx.createStream(1), /in use/);
  stream.destroy();
  udx.createStream(1).destroy();
});

Deno.test("UDX lists and watches network interfaces and looks up names", async () => {
  const udx = new UDX();
  const loopback = udx.networkInterfaces().find(({ host }) => host === LOOPBACK);
  assert.deepEqual({ family: loopback?.family, internal: loopback?.internal }, { family: 4, internal: true });
  const watcher = udx.watchNetworkInterfaces();
  assert.deepEqual([...watcher], udx.networkInterfaces());
  let closed = false;
  watcher.on("close", () => closed = true);
  await watcher.destroy();
  assert.ok(closed);
  assert.deepEqual(await udx.lookup(LOOPBACK), { host: LOOPBACK, family: 4 });
  assert.deepEqual(await udx.lookup("localhost", { family: 4 }), { host: LOOPBACK, family: 4 });
});

Deno.test("UDX counts what it sends and receives", async () => {
  await using pair = new Loopback();
  pair.b.resume();
  pair.a.write(new Uint8Array(10_000));
  await pair.a.flush();
  const [socketA, socketB] = pair.sockets;
  assert.equal(pair.udx.bytesTransmitted, socketA.bytesTransmitted + socketB.bytesTransmitted);
  assert.ok(pair.a.bytesTransmitted > 10_000 && pair.a.bytesTransmitted === socketA.bytesTransmitted);
  assert.equal(pair.a.packetsTransmitted, socketA.packetsTransmitted);
  assert.ok(pair.a.cwnd >= 10 && pair.a.rtt >= 0 && pair.a.mtu === 1200 && pair.a.inflight === 0);
});

Deno.test("UDX carries many streams at once over a socket that loses, doubles and reorders 5 %", async () => {
  const lossy = new UDX(lossyListener(FIVE_PERCENT, 0x5eed));
  const plain = new UDX();
  const [here, there] = [bound(lossy), bound(plain)];
  await Promise.all(Array.from({ length: 20 }, async (_, i) => {
    const id = i + 1;
    const bytes = id * 1500;
    const [a, b] = [lossy.createStream(id), plain.createStream(id)];
    a.connect(here, id, portOf(there), LOOPBACK);
    b.connect(there, id, portOf(here), LOOPBACK);
    const closed = Promise.all([once(a, "close"), once(b, "close")]);
    const echoed: Uint8Array[] = [];
    a.on("data", (data: Uint8Array) => echoed.push(data));
    b.on("data", (data: Uint8Array) => b.write(data));
    b.on("end", () => b.end());
    a.end(new Uint8Array(bytes).fill(id));
    await closed;
    assert.ok(Buffer.concat(echoed).equals(Buffer.alloc(bytes, id)));
  }));
  assert.ok(here.idle && there.idle);
  await Promise.all([here.close(), there.close()]);
});

Deno.test("UDXSocket sends the first flights of many streams by and by, each of them in its turn", async () => {
  const sent: number[] = [];
  const closed = Promise.withResolvers<never>();
  const udx = new UDX({
    listenDatagram: () => ({
      addr: { transport: "udp", hostname: LOOPBACK, port: 1 },
      send: (bytes) => Promise.resolve(sent.push(bytes[4]!)),
      receive: () => closed.promise,
      close: () => closed.reject(new Deno.errors.BadResource()),
    }),
  });
  const socket = bound(udx);
  const streams = Array.from({ length: 20 }, (_, i) => udx.createStream(i + 1));
  for (const stream of streams) {
    stream.connect(socket, stream.id, 1, LOOPBACK);
    stream.write(new Uint8Array(5 * 1000));
  }
  await new Promise((resolve) => setTimeout(resolve, 0));
  assert.equal(sent.length, 32);
  while (sent.length < 20 * 5) await new Promise((resolve) => setTimeout(resolve, 1));
  assert.deepEqual([...new Set(sent)], streams.map((stream) => stream.id));
  for (const stream of streams) stream.destroy();
  await socket.close();
});

Deno.test("UDXStream repeats nothing that was acknowledged while its process stood still", async () => {
  await using pair = new Loopback();
  pair.b.resume();
  // Round trips so short that the next ones are missed within the pause.
  for (let i = 0; i < 20; i++) {
    pair.a.write(new Uint8Array(100));
    await pair.a.flush();
  }
  // The system, too, may keep an answer from us for longer than a probe waits: not every time.
  for (let round = 0; round < 50; round++) {
    const answers = pair.b.packetsTransmitted;
    const repeated = pair.a.retransmits;
    pair.a.write(new Uint8Array(100));
    while (pair.b.packetsTransmitted === answers) await new Promise((resolve) => setImmediate(resolve));
    const untilMs = performance.now() + 30;
    while (performance.now() < untilMs);
    await pair.a.flush();
    if (pair.a.retransmits === repeated) return;
  }
  assert.fail("it repeats every time");
});
