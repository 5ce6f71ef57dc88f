import assert from "node:assert/strict";
import { UDX } from "../../lib/udx/mod.ts";
import { alike, type End, failure, LOOPBACK, type Socket } from "./udx_ends.ts";

const ADDRESSES = [
  "127.0.0.1",
  "0.0.0.0",
  "255.255.255.255",
  "256.0.0.1",
  "0.-1.0.0",
  "1.2.3",
  "1.2.3.4.5",
  "01.2.3.4",
  "::",
  "::1",
  "1::",
  "fe80::1%lo",
  "fe80::1%",
  "::ffff:127.0.0.1",
  "::ffff:256.0.0.1",
  "1:2:3:4:5:6:7:8",
  "1:2:3:4:5:6:7:8:9",
  "1:2:3:4:5:6:7",
  "1::2::3",
  "12345::",
  "g::",
  "localhost",
  "",
  " 127.0.0.1",
];

alike("what is an IP address", async (end) => {
  const answers: unknown[] = [];
  for (const address of ADDRESSES) {
    const asked = ["isIP", "isIPv4", "isIPv6"].map((method) => end.static(method, address));
    answers.push([address, ...await Promise.all(asked)]);
  }
  return answers;
});

const NAMES = [
  ["localhost", 4],
  ["localhost", 6],
  ["localhost", 0],
  ["example.invalid.", 0],
  [LOOPBACK, 0],
  [LOOPBACK, 6],
  [
    "::1",
    0,
  ],
  ["::1", 4],
  ["", 0],
] as const;

alike("names are looked up in either family, or not found", async (end) => {
  const outcomes: unknown[] = [];
  for (const [name, family] of NAMES) {
    const found = end.call("lookup", name, { family });
    outcomes.push([name, family, await found.catch(({ code, message }) => ({ code, message }))]);
  }
  return outcomes;
});

type Interfaces = { name: string; host: string; family: number; internal: boolean }[];

alike("network interfaces are listed, and watched until destroyed twice", async (end) => {
  const key = ({ name, host }: Interfaces[number]) => `${name} ${host}`;
  const sorted = (list: Interfaces) => list.sort((a, b) => key(a) < key(b) ? -1 : 1);
  const watcher = await end.watcher();
  const watched = await watcher.get<Interfaces>("interfaces");
  await watcher.call("watch");
  for (const method of ["unwatch", "unwatch", "destroy", "destroy"]) await watcher.call(method);
  await watcher.wait("close");
  return [sorted(await end.call<Interfaces>("networkInterfaces")), sorted(watched)];
});

/** A description without the port, which differs. */
async function described(socket: Socket): Promise<unknown> {
  const { address, ...rest } = await socket.call<{ address: { port: number } | null }>("toJSON");
  return { ...rest, address: address === null ? null : { ...address, port: address.port > 0 } };
}

alike("a socket describes itself before, during and after its life", async (end) => {
  const socket = await end.socket(null, { reuseAddress: true });
  const descriptions = [await described(socket)];
  for (const counter of ["bytesTransmitted", "packetsTransmitted", "bytesReceived", "packetsReceived"]) {
    descriptions.push(await socket.get(counter));
  }
  await socket.call("bind", 0, LOOPBACK);
  descriptions.push(await described(socket));
  const stream = await end.stream(1);
  await stream.connect(socket, 2, await socket.port());
  descriptions.push(await described(socket));
  const { socket: _, ...itself } = await stream.call<Record<string, unknown>>("toJSON");
  descriptions.push({ ...itself, remotePort: itself.remotePort === await socket.port() });
  await stream.destroy();
  await stream.closed();
  descriptions.push(await described(socket));
  await socket.call("close");
  await socket.call("close");
  for (const event of ["listening", "busy", "idle", "close"]) descriptions.push(await socket.happened(event));
  return descriptions;
});

alike("a stream names its addresses while it is connected", async (end) => {
  const socket = await end.socket();
  const stream = await end.stream(1);
  const names = ["localHost", "localFamily", "remoteHost", "remoteFamily", "remoteId", "connected"];
  const asked = () => Promise.all(names.map((name) => stream.get(name)));
  const answers = [await asked()];
  await stream.connect(socket, 2, await socket.port());
  answers.push(await asked());
  assert.equal(await stream.get("localPort"), await socket.port());
  await stream.destroy();
  await stream.closed();
  return [...answers, await stream.get("localHost"), await stream.get("localPort"), await stream.happened("connect")];
});

alike("connecting tells that a socket is busy, before the stream's own event", async (end) => {
  const socket = await end.socket();
  const stream = await end.stream(1);
  await stream.connect(socket, 2, await socket.port());
  const busy = [await socket.get("busy"), await socket.get("idle"), await socket.happened("busy")];
  await stream.destroy();
  await stream.closed();
  return [busy, await socket.get("busy"), await socket.get("idle"), await socket.happened("idle")];
});

const NO_ADDRESS = "0.-1.0.0";

async function socketMistakes(end: End): Promise<Record<string, string>> {
  const [bound, unbound, closed] = [await end.socket(), await end.socket(null), await end.socket()];
  await closed.call("close");
  const word = Uint8Array.of(1);
  return {
    bindTwice: await failure(bound.call("bind", 0, LOOPBACK)),
    bindAfterClose: await failure(closed.call("bind", 0, LOOPBACK)),
    bindNowhere: await failure(unbound.call("bind", 0, NO_ADDRESS)),
    sendNowhere: await failure(bound.call("send", word, 1, NO_ADDRESS)),
    trySendNowhere: await failure(bound.call("trySend", word, 1, NO_ADDRESS)),
    sendAfterClose: String(await closed.call("send", word, 1)),
    trySendAfterClose: String(await closed.call("trySend", word, 1)),
    closedAddress: String(await unbound.address()),
  };
}

async function streamMistakes(end: End): Promise<Record<string, string>> {
  const [socket, closed] = [await end.socket(), await end.socket()];
  await closed.call("close");
  const [stream, idle, gone] = [await end.stream(1), await end.stream(2), await end.stream(3)];
  await gone.destroy();
  await gone.closed();
  const mistakes: Record<string, string> = {
    connectNowhere: await failure(stream.connect(socket, 9, 1, NO_ADDRESS)),
    connectPort0: await failure(stream.connect(socket, 9, 0)),
    connectPort65536: await failure(stream.connect(socket, 9, 65_536)),
    connectOverClosed: await failure(stream.connect(closed, 9, 1)),
    changeUnconnected: await failure(idle.changeRemote(socket, 9, 1)),
    sendUnconnected: String(await idle.call("send", Uint8Array.of(1))),
    trySendUnconnected: String(await idle.call("trySend", Uint8Array.of(1))),
    relayToClosed: await failure(idle.call("relayTo", gone)) === "" ? "taken" : "refused",
    connectAfterClose: await failure(gone.connect(socket, 9, 1)),
    sendAfterClose: String(await gone.call("send", Uint8Array.of(1))),
    flushAfterClose: String(await gone.call("flush")),
  };
  const port = await socket.port();
  await stream.connect(socket, 9, port);
  const foreign = { port: await failure(stream.changeRemote(socket, 9, 0)), host: "" };
  foreign.host = await failure(stream.changeRemote(socket, 9, 1, NO_ADDRESS));
  return {
    ...mistakes,
    connectTwice: await failure(stream.connect(socket, 9, port)),
    changePort0: foreign.port,
    changeNowhere: foreign.host,
    changeToClosed: await failure(stream.changeRemote(closed, 9, port)),
    flushWithNothing: String(await stream.call("flush")),
  };
}

alike("mistakes with sockets are answered in the same words", socketMistakes);
alike("mistakes with streams are answered in the same words", streamMistakes);

Deno.test("a mistake in send() is a rejection, as in udx-native", async () => {
  const socket = new UDX().createSocket();
  await assert.rejects(socket.send(Uint8Array.of(1), 1, NO_ADDRESS), /not a valid IP address/);
});

alike("a second relay from the same stream is refused", async (end) => {
  const [a, b, c] = [await end.stream(1), await end.stream(2), await end.stream(3)];
  await a.call("relayTo", b);
  return [await failure(a.call("relayTo", c)) === ""];
});

alike("sockets open and close in a row and at once", async (end) => {
  const closes: number[] = [];
  for (let i = 0; i < 5; i++) {
    const socket = await end.socket();
    await socket.call("close");
    closes.push((await socket.happened("close")).length);
  }
  const sockets = await Promise.all(Array.from({ length: 5 }, () => end.socket()));
  await Promise.all(sockets.map((socket) => socket.call("close")));
  for (const socket of sockets) closes.push((await socket.happened("close")).length);
  return closes;
});

/** The next error that nobody catches. */
function uncaught(): Promise<{ message: string; code?: string }> {
  return new Promise((resolve) => {
    globalThis.addEventListener("error", (event) => {
      event.preventDefault();
      resolve(event.error);
    }, { once: true });
  });
}

// udx-native's go to Node's uncaughtException, which would end the other process.
Deno.test("what a listener throws is uncaught, and the socket goes on", async () => {
  const udx = new UDX();
  const socket = udx.createSocket();
  socket.bind(0, LOOPBACK);
  const { port } = socket.address()!;
  const [a, b] = [udx.createStream(1), udx.createStream(2)];
  a.connect(socket, 2, port);
  b.connect(socket, 1, port);
  const boom = () => {
    throw new Error("boom");
  };
  for (
    const [emitter, event, provoke] of [
      [socket, "message", () => socket.trySend(Uint8Array.of(1), port)],
      [a, "message", () => b.trySend(Uint8Array.of(1))],
      [a, "data", () => b.write("hello")],
    ] as const
  ) {
    emitter.once(event, boom);
    const thrown = uncaught();
    provoke();
    assert.equal((await thrown).message, "boom");
  }
  b.write("again");
  assert.equal(await b.flush(), true);
  const thrown = uncaught();
  const unconnected = udx.createStream(3);
  unconnected.write("nowhere");
  assert.equal((await thrown).code, "ERR_ASSERTION");
  for (const stream of [a, b, unconnected]) stream.on("error", () => {}).destroy();
  await socket.close();
});
