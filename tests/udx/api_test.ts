import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { BASE_MTU_BYTES } from "../../lib/udx/mtu.ts";
import {
  type DatagramSocket,
  type NetworkInterface,
  NetworkInterfaces,
  UDX,
  type UDXOptions,
  type UDXSocket,
  type UDXStream,
} from "../../lib/udx/mod.ts";
import { openDatagramSocket } from "../../lib/udx/socket.ts";

// What each of these expects was seen with udx-native 1.21.3 under Node, unless it says otherwise.

const LOOPBACK = "127.0.0.1";

function bound(udx: UDX, host = LOOPBACK): UDXSocket {
  const socket = udx.createSocket();
  socket.bind(0, host);
  return socket;
}

/** Two connected streams, 1 and 2, over loopback, with a list of what happened to them. */
class Scene implements AsyncDisposable {
  readonly udx: UDX;
  readonly sockets: UDXSocket[];
  readonly a: UDXStream;
  readonly b: UDXStream;
  readonly happened: string[] = [];

  constructor(options: UDXOptions = {}) {
    const udx = this.udx = new UDX(options);
    this.sockets = [bound(udx), bound(udx)];
    this.a = udx.createStream(1);
    this.b = udx.createStream(2);
    note(this.a, "a", this.happened);
    note(this.b, "b", this.happened);
    this.a.connect(this.sockets[0]!, 2, this.sockets[1]!.address()!.port);
    this.b.connect(this.sockets[1]!, 1, this.sockets[0]!.address()!.port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const stream of [this.a, this.b]) stream.destroy();
    await Promise.all(this.sockets.map((socket) => socket.close()));
  }
}

function note(stream: UDXStream, name: string, happened: string[]): void {
  for (const event of ["connect", "data", "end", "finish", "close", "remote-changed"]) {
    stream.on(event, () => happened.push(`${name} ${event}`));
  }
  stream.on("error", (error: Error & { code?: string }) => happened.push(`${name} ${error.code ?? error.message}`));
}

function closed(...streams: UDXStream[]): Promise<unknown> {
  return Promise.all(streams.map((stream) => new Promise((resolve) => stream.once("close", resolve))));
}

/** Sockets that take everything and send nothing. */
const MUTE: UDXOptions = {
  listenDatagram: (options) => {
    const socket: DatagramSocket = openDatagramSocket(options);
    return {
      addr: socket.addr,
      send: (bytes) => Promise.resolve(bytes.length),
      receive: (into) => socket.receive(into),
      close: () => socket.close(),
    };
  },
};

Deno.test("UDXSocket.toJSON() and its counters before bind()", () => {
  const socket = new UDX().createSocket({ reuseAddress: true });
  assert.deepEqual(socket.toJSON(), {
    bound: false,
    closing: false,
    streams: 0,
    address: null,
    ipv6Only: false,
    reuseAddress: true,
    idle: true,
    busy: false,
  });
  const { bytesTransmitted, packetsTransmitted, bytesReceived, packetsReceived, packetsDroppedByKernel } = socket;
  assert.deepEqual([bytesTransmitted, packetsTransmitted, bytesReceived, packetsReceived, packetsDroppedByKernel], [
    0,
    0,
    0,
    0,
    0,
  ]);
  assert.equal(socket.userData, null);
});

Deno.test("UDXStream's getters and toJSON() unconnected, connected and destroyed", async () => {
  await using scene = new Scene();
  const { udx, a, sockets } = scene;
  const unconnected = udx.createStream(7);
  const blank = {
    id: 7,
    connected: false,
    destroying: false,
    destroyed: false,
    remoteId: 0,
    remoteHost: null,
    remoteFamily: 0,
    remotePort: 0,
    mtu: 1200,
    rtt: 0,
    cwnd: 10,
    inflight: 0,
    socket: null,
  };
  assert.deepEqual(unconnected.toJSON(), blank);
  assert.deepEqual([unconnected.localHost, unconnected.localFamily, unconnected.localPort], [null, 0, 0]);
  assert.deepEqual([unconnected.bbrState, unconnected.bbrBandwidth], [0, 0]);
  assert.equal(unconnected.userData, null);
  const remotePort = sockets[1]!.address()!.port;
  const remote = { remoteId: 2, remoteHost: LOOPBACK, remoteFamily: 4, remotePort };
  assert.deepEqual(a.toJSON(), { ...blank, ...remote, id: 1, connected: true, socket: sockets[0]!.toJSON() });
  assert.deepEqual([a.localHost, a.localFamily, a.localPort], [LOOPBACK, 4, sockets[0]!.address()!.port]);
  const gone = closed(unconnected, a);
  unconnected.destroy();
  a.destroy();
  await gone;
  assert.deepEqual(unconnected.toJSON(), { ...blank, destroying: true, destroyed: true });
  assert.deepEqual(a.toJSON(), { ...blank, ...remote, id: 1, destroying: true, destroyed: true });
});

Deno.test("UDXStream counts bytes in flight with its own headers, and what it sent without those of IP", async () => {
  await using scene = new Scene(MUTE);
  scene.a.write("hello");
  await sleep(0);
  assert.equal(scene.a.inflight, 25);
  assert.equal(scene.a.packetsTransmitted, 1);
  assert.equal(scene.a.bytesTransmitted, 25);
});

Deno.test("UDXStream tells what BBR has found out, by libudx's numbers", async () => {
  await using scene = new Scene();
  const { a, b } = scene;
  b.resume();
  const states = new Set<number>();
  while (!states.has(2)) {
    a.write(new Uint8Array(1_000_000));
    await a.flush();
    states.add(a.bbrState);
  }
  // More than a packet per second, in bytes; and no fractions.
  assert.ok(Number.isInteger(a.bbrBandwidth) && a.bbrBandwidth > 1500, String(a.bbrBandwidth));
  assert.deepEqual([b.bbrState, b.bbrBandwidth], [0, 0], "it sent nothing");
});

Deno.test("UDXStream's events when both sides end", async () => {
  await using scene = new Scene();
  const { a, b, happened } = scene;
  const both = closed(a, b);
  a.end("hi");
  b.on("end", () => b.end("x"));
  a.resume();
  b.resume();
  await both;
  const of = (name: string) => happened.filter((what) => what.startsWith(name)).map((what) => what.slice(2));
  assert.deepEqual(of("a"), ["connect", "finish", "data", "end", "close"]);
  assert.deepEqual(of("b"), ["connect", "data", "end", "finish", "close"]);
});

Deno.test("UDXStream that is destroyed, at any time: its own error or none here, ECONNRESET there", async () => {
  for (const how of ["at once", "after writing", "after end()", "with an error"]) {
    await using scene = new Scene();
    const { a, b, happened } = scene;
    const both = closed(a, b);
    if (how === "after writing") a.write("never waited for");
    if (how === "after end()") a.end("never waited for");
    a.destroy(how === "with an error" ? new Error("mine") : null);
    await both;
    const here = happened.filter((what) => what.startsWith("a"));
    const there = happened.filter((what) => what.startsWith("b"));
    assert.deepEqual(here, ["a connect", ...(how === "with an error" ? ["a mine"] : []), "a close"], how);
    assert.deepEqual(there, ["b connect", "b ECONNRESET", "b close"], how);
  }
});

Deno.test("UDXStream destroyed before it was connected closes without a packet", async () => {
  const udx = new UDX();
  const stream = udx.createStream(1);
  const gone = closed(stream);
  stream.destroy();
  await gone;
  assert.equal(udx.packetsTransmitted, 0);
  stream.connect(udx.createSocket(), 2, 1);
  assert.equal(stream.connected, false);
});

Deno.test("UDXStream.flush(): true when acknowledged, false when closed first or already", async () => {
  {
    await using scene = new Scene();
    scene.b.resume();
    assert.equal(await scene.a.flush(), true, "nothing was written");
    scene.a.write(new Uint8Array(100_000));
    const first = scene.a.flush();
    scene.a.write("more");
    assert.deepEqual(await Promise.all([first, scene.a.flush()]), [true, true]);
    assert.ok(scene.b.bytesReceived > 100_000);
    scene.a.destroy();
    assert.equal(await scene.a.flush(), false);
  }
  await using scene = new Scene(MUTE);
  scene.a.write("into the void");
  const flushed = scene.a.flush();
  await sleep(0);
  scene.a.destroy();
  // udx-native says true, delivered or not.
  assert.equal(await flushed, false);
});

Deno.test("UDXStream.flush(): true also when what acknowledges everything closes the stream", async () => {
  await using scene = new Scene();
  const { a, b } = scene;
  b.resume();
  a.resume();
  const ended = new Promise((resolve) => a.once("end", resolve));
  b.end();
  await ended;
  a.write("the last words");
  const flushes = [a.flush()];
  a.end();
  flushes.push(a.flush());
  await closed(a, b);
  assert.deepEqual(await Promise.all(flushes), [true, true]);
});

Deno.test("UDXStream refuses connections that can't be", async () => {
  await using scene = new Scene();
  const { udx, a, sockets } = scene;
  const stream = udx.createStream(7);
  assert.throws(() => a.connect(sockets[0]!, 2, 1), /Already connected/);
  assert.throws(() => stream.connect(sockets[0]!, 2, 0), /0 is not a valid port/);
  assert.throws(() => stream.connect(sockets[0]!, 2, 65_536), /65536 is not a valid port/);
  assert.throws(() => stream.connect(sockets[0]!, 2, 1, "localhost"), /localhost is not a valid IP address/);
  assert.throws(() => stream.changeRemote(sockets[0]!, 2, 1), /Not yet connected/);
  assert.throws(() => a.changeRemote(new UDX().createSocket(), 2, 1), /another UDX instance/);
  assert.equal(await stream.send(new Uint8Array(1)), false);
  const gone = udx.createSocket();
  await gone.close();
  assert.throws(() => stream.connect(gone, 2, 1), /Socket is closed/);
  assert.throws(() => a.changeRemote(gone, 2, 1), /Socket is closed/);
  stream.destroy();
});

Deno.test("UDXStream connects with the socket's own bind() and the default host", async () => {
  const udx = new UDX();
  const [here, there] = [udx.createSocket(), bound(udx)];
  const [a, b] = [udx.createStream(1, { seq: 5 }), udx.createStream(2)];
  a.connect(here, 2, there.address()!.port);
  assert.equal(here.address()!.family, 6);
  b.connect(there, 1, here.address()!.port, { ack: 5 });
  const data = new Promise<Uint8Array>((resolve) => b.once("data", resolve));
  a.write("over both families");
  assert.equal(String(await data), "over both families");
  const both = closed(a, b);
  b.on("error", () => {});
  a.destroy();
  await both;
  await Promise.all([here.close(), there.close()]);
});

Deno.test("UDXStream from a dual-stack socket reaches an IPv4 peer by its mapped address, and knows it as IPv4", async () => {
  const udx = new UDX();
  const [dual, four] = [bound(udx, "::"), bound(udx)];
  const firewalled: unknown[] = [];
  const a = udx.createStream(1);
  const b = udx.createStream(2, {
    firewall: (_socket, port, host, family) => {
      firewalled.push([host, family, port === dual.address()!.port]);
      return false;
    },
  });
  a.connect(dual, 2, four.address()!.port, "::ffff:127.0.0.1");
  assert.deepEqual([a.remoteHost, a.remoteFamily], ["::ffff:127.0.0.1", 6]);
  const data = new Promise<Uint8Array>((resolve) => b.once("data", resolve));
  a.write("mapped");
  assert.equal(String(await data), "mapped");
  assert.deepEqual(firewalled, [[LOOPBACK, 4, true]]);
  const both = closed(a, b);
  a.on("error", () => {}).destroy();
  b.destroy();
  await both;
  await Promise.all([dual.close(), four.close()]);
});

Deno.test("UDXStream.setKeepalive() keeps an idle stream talking until it is switched off", async () => {
  await using scene = new Scene();
  const { a, b } = scene;
  a.setKeepalive(5);
  while (b.packetsReceived < 3 || a.packetsReceived < 3) await sleep(5);
  a.setKeepalive(0);
  await sleep(20);
  const sent = a.packetsTransmitted;
  await sleep(30);
  assert.equal(a.packetsTransmitted, sent);
  assert.equal(b.listenerCount("message"), 0);
});

Deno.test("UDXStream takes a system that refuses large datagrams (EMSGSIZE) for a path that loses them", async () => {
  const largest = BASE_MTU_BYTES + 100 - 28;
  let refused = 0;
  await using scene = new Scene({
    listenDatagram: (options) => {
      const socket = openDatagramSocket(options);
      return {
        addr: socket.addr,
        receive: (into) => socket.receive(into),
        close: () => socket.close(),
        send: (bytes, to) => {
          if (bytes.length <= largest) return socket.send(bytes, to);
          refused++;
          return Promise.reject(Object.assign(new Error("Message too long (os error 90)"), { code: "EMSGSIZE" }));
        },
      };
    },
  });
  let bytes = 0;
  scene.b.on("data", (data: Uint8Array) => bytes += data.length);
  while (scene.a.mtu < 1296 || refused < 6) {
    scene.a.write(new Uint8Array(20_000));
    assert.equal(await scene.a.flush(), true);
  }
  assert.equal(scene.a.mtu, 1296);
  assert.equal(scene.a.fastRecoveries, 0);
  assert.deepEqual(scene.happened.filter((what) => what.startsWith("a")), ["a connect"]);
  assert.equal(bytes % 20_000, 0);
});

Deno.test("UDXStream moves from IPv4 to IPv6 and back with data in flight, one change after the other", async () => {
  const udx = new UDX();
  const [four, six, there] = [bound(udx), bound(udx, "::1"), udx.createSocket()];
  there.bind(0, "::");
  const [a, b] = [udx.createStream(1), udx.createStream(2, { firewall: () => false })];
  const port = there.address()!.port;
  a.connect(four, 2, port, LOOPBACK);
  b.connect(there, 1, four.address()!.port, LOOPBACK);
  const received: Uint8Array[] = [];
  b.on("data", (data: Uint8Array) => received.push(data));
  const sent = Buffer.from(Array.from({ length: 600_000 }, (_, i) => i * 13));
  let at = 0;
  const write = () => a.write(sent.subarray(at, at += 100_000));
  for (const [socket, host, family] of [[six, "::1", 6], [four, LOOPBACK, 4], [six, "::1", 6]] as const) {
    write();
    await sleep(0);
    const moved = a.changeRemote(socket, 2, port, host);
    assert.deepEqual([a.remoteHost, a.remoteFamily, a.localFamily, a.localHost], [host, family, family, host]);
    await b.changeRemote(there, 1, socket.address()!.port, host);
    write();
    await moved;
    assert.equal(four.busy, socket === four);
    assert.equal(six.busy, socket === six);
  }
  assert.equal(await a.flush(), true);
  assert.ok(Buffer.concat(received).equals(sent));
  const both = closed(a, b);
  b.on("error", () => {});
  a.destroy();
  await both;
  await Promise.all([four.close(), six.close(), there.close()]);
});

Deno.test("UDXStream.changeRemote() is done at once when nothing is in flight, and fails when the stream closes first", async () => {
  await using scene = new Scene();
  const { a, sockets, happened } = scene;
  const port = sockets[1]!.address()!.port;
  // udx-native returns null in this case.
  const moved = a.changeRemote(sockets[0]!, 2, port);
  assert.deepEqual(happened.slice(2), ["a remote-changed"]);
  await moved;
  await using lonely = new Scene(MUTE);
  lonely.a.write("never acknowledged");
  await sleep(0);
  const never = lonely.a.changeRemote(lonely.sockets[1]!, 2, port);
  lonely.a.destroy();
  await assert.rejects(never, /Stream is closed/);
  assert.ok(lonely.sockets[0]!.idle);
});

Deno.test("UDXStreams that relay close with the stream they relay to, and with each other's packets", async () => {
  for (const who of ["the relay's own", "the remote's"]) {
    const udx = new UDX();
    const [middle, outer] = [bound(udx), bound(udx)];
    const [left, right] = [udx.createStream(11), udx.createStream(12)];
    const [a, b] = [udx.createStream(1), udx.createStream(2)];
    const happened: string[] = [];
    for (const [stream, name] of [[left, "left"], [right, "right"], [b, "b"]] as const) note(stream, name, happened);
    const [middlePort, outerPort] = [middle.address()!.port, outer.address()!.port];
    left.connect(middle, 1, outerPort);
    right.connect(middle, 2, outerPort);
    left.relayTo(right);
    right.relayTo(left);
    assert.throws(() => left.relayTo(right), { code: "EINVAL" });
    a.connect(outer, 11, middlePort);
    b.connect(outer, 12, middlePort);
    const gone = closed(left, right);
    if (who === "the relay's own") left.destroy();
    else a.destroy();
    await gone;
    assert.ok(happened.includes("right close"));
    // A relay says nothing itself: its peers talk to each other.
    assert.equal(left.packetsTransmitted + right.packetsTransmitted, 0);
    if (who === "the remote's") {
      while (!happened.includes("b close")) await sleep(1);
      assert.ok(happened.includes("b ECONNRESET") && happened.includes("left ECONNRESET"));
    }
    const rest = [a, b].filter((stream) => !stream.destroyed);
    const others = closed(...rest);
    for (const stream of rest) stream.on("error", () => {}).destroy();
    await others;
    await Promise.all([middle.close(), outer.close()]);
  }
});

Deno.test("UDXStream.relayTo() refuses a closed destination", async () => {
  const udx = new UDX();
  const [stream, gone] = [udx.createStream(1), udx.createStream(2)];
  const isClosed = closed(gone);
  gone.destroy();
  await isClosed;
  assert.throws(() => stream.relayTo(gone), { code: "EINVAL" });
  stream.destroy();
});

Deno.test("UDXSocket tells when it becomes busy and idle, but not when it closes", async () => {
  const scene = new Scene();
  const socket = scene.sockets[0]!;
  const events: string[] = [];
  for (const event of ["busy", "idle", "close"]) socket.on(event, () => events.push(event));
  const both = closed(scene.a, scene.b);
  scene.a.destroy();
  await both;
  const again = scene.udx.createStream(3);
  again.connect(socket, 4, 1);
  const done = closed(again);
  const isClosed = socket.close();
  again.destroy();
  await Promise.all([done, isClosed, scene.sockets[1]!.close()]);
  assert.deepEqual(events, ["idle", "busy", "close"]);
});

Deno.test("UDXSocket that was never bound has closed when close() returns", () => {
  const socket = new UDX().createSocket();
  let isClosed = false;
  socket.on("close", () => isClosed = true);
  void socket.close();
  assert.ok(isClosed && socket.closing);
  assert.throws(() => socket.bind(), /Socket is closed/);
});

Deno.test("UDXSocket with ipv6Only neither hears nor reaches IPv4", async () => {
  const udx = new UDX();
  const six = udx.createSocket({ ipv6Only: true });
  six.bind(0, "::");
  const [four, other] = [bound(udx), bound(udx, "::1")];
  const port = six.address()!.port;
  const heard: unknown[] = [];
  six.on("message", (_message, from) => heard.push(from));
  four.on("message", (_message, from) => heard.push(from));
  assert.equal(await six.send(Uint8Array.of(1), four.address()!.port, LOOPBACK), false);
  assert.equal(await four.send(Uint8Array.of(2), port, LOOPBACK), true);
  assert.equal(await other.send(Uint8Array.of(3), port, "::1"), true);
  while (heard.length === 0) await sleep(1);
  assert.deepEqual(heard, [{ host: "::1", family: 6, port: other.address()!.port }]);
  await Promise.all([six.close(), four.close(), other.close()]);
});

Deno.test("UDXSockets with reuseAddress share an address", async () => {
  const udx = new UDX();
  const [first, second] = [udx.createSocket({ reuseAddress: true }), udx.createSocket({ reuseAddress: true })];
  first.bind(0, LOOPBACK);
  second.bind(first.address()!.port, LOOPBACK);
  assert.deepEqual(second.address(), first.address());
  await Promise.all([first.close(), second.close()]);
});

Deno.test("UDX.lookup() answers and fails as libuv does", async () => {
  const udx = new UDX();
  assert.deepEqual(await udx.lookup("127.0.0.1"), { host: "127.0.0.1", family: 4 });
  assert.deepEqual(await udx.lookup("::1"), { host: "::1", family: 6 });
  assert.deepEqual(await udx.lookup("fe80::1%lo"), { host: "fe80::1", family: 6 });
  assert.deepEqual(await udx.lookup("localhost", { family: 4 }), { host: "127.0.0.1", family: 4 });
  await assert.rejects(udx.lookup("127.0.0.1", { family: 6 }), { code: "EAI_ADDRFAMILY" });
  await assert.rejects(udx.lookup("::1", { family: 4 }), { code: "EAI_ADDRFAMILY" });
  await assert.rejects(udx.lookup(""), { code: "EINVAL" });
  // Without a name server the answer is that there is none to ask.
  await assert.rejects(udx.lookup("nobody.invalid."), ({ code }) => code === "EAI_NONAME" || code === "EAI_AGAIN");
});

Deno.test("NetworkInterfaces tells of changes, not of another order, and stops for good", async () => {
  const lo: NetworkInterface = { name: "lo", host: LOOPBACK, family: 4, internal: true };
  const eth: NetworkInterface = { name: "eth0", host: "192.0.2.1", family: 4, internal: false };
  let now = [lo, eth];
  let asked = 0;
  const watcher = new NetworkInterfaces(() => {
    asked++;
    return now;
  }, 1);
  const events: unknown[] = [];
  watcher.on("change", (interfaces) => events.push(interfaces)).on("close", () => events.push("close"));
  assert.deepEqual([...watcher], [lo, eth]);
  const poll = async () => {
    for (const before = asked; asked < before + 2;) await sleep(1);
  };
  watcher.watch().watch();
  now = [eth, lo];
  await poll();
  assert.deepEqual(events, []);
  now = [lo];
  await poll();
  assert.deepEqual(events, [[lo]]);
  assert.deepEqual(watcher.interfaces, [lo]);
  watcher.unwatch().unwatch();
  const asks = asked;
  await sleep(10);
  assert.equal(asked, asks);
  watcher.watch();
  await poll();
  await Promise.all([watcher.destroy(), watcher.destroy()]);
  assert.deepEqual(events, [[lo], "close"]);
  watcher.watch();
  const last = asked;
  await sleep(10);
  assert.equal(asked, last);
});

Deno.test("UDX takes its list of interfaces from a watcher, until that is destroyed", async () => {
  const udx = new UDX();
  const watcher = udx.watchNetworkInterfaces();
  assert.equal(udx.networkInterfaces(), watcher.interfaces);
  await watcher.destroy();
  assert.notEqual(udx.networkInterfaces(), watcher.interfaces);
});
