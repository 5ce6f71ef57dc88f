import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { UDX, type UDXSocket, type UDXStream } from "../../lib/udx/mod.ts";
import { FIVE_PERCENT, lossyListener } from "../udx/lossy.ts";
import { NodePeer } from "./node_peer.ts";

const OUR_ID = 7;
const NATIVE_ID = 9;
const TEN_MB = 10 * 1024 * 1024;

/** One stream between our UDX and udx-native in a Node process. */
class Link implements AsyncDisposable {
  private constructor(
    readonly node: NodePeer,
    readonly socket: UDXSocket,
    readonly stream: UDXStream,
    readonly nodePort: number,
  ) {}

  static async open(udx = new UDX()): Promise<Link> {
    const node = await NodePeer.start("udx_peer.cjs");
    const { port } = await node.next();
    const socket = udx.createSocket();
    socket.bind(0, "127.0.0.1");
    // After a change of remote our socket isn't the one that the peer knows, until it changes too.
    const stream = udx.createStream(OUR_ID, { firewall: () => false });
    await node.send({
      kind: "open",
      id: NATIVE_ID,
      remoteId: OUR_ID,
      port: socket.address()!.port,
    });
    await node.next();
    stream.connect(socket, NATIVE_ID, port, "127.0.0.1");
    return new Link(node, socket, stream, port);
  }

  command(kind: string, more: object = {}): Promise<void> {
    return this.node.send({ kind, id: NATIVE_ID, ...more });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stream.destroy();
    await this.socket.close();
    await this.node.stop();
  }
}

/** Writes pseudo-random bytes and ends; gives their hash. */
async function writeAll(stream: UDXStream, bytes: number): Promise<string> {
  const hash = createHash("sha256");
  let block = createHash("sha512").update("ours").digest();
  for (let left = bytes; left > 0;) {
    block = createHash("sha512").update(block).digest();
    const chunk = new Uint8Array(Math.min(left, 32_768)).map((_, at) => block[at % 64]! ^ at);
    hash.update(chunk);
    left -= chunk.length;
    if (!stream.write(chunk)) {
      await new Promise((resolve) => stream.once("drain", resolve));
    }
  }
  stream.end();
  return hash.digest("hex");
}

async function readAll(
  stream: UDXStream,
): Promise<{ bytes: number; sha256: string }> {
  const hash = createHash("sha256");
  let bytes = 0;
  stream.on("data", (data: Uint8Array) => {
    hash.update(data);
    bytes += data.length;
  });
  await new Promise((resolve) => stream.once("end", resolve));
  return { bytes, sha256: hash.digest("hex") };
}

async function exchange(link: Link): Promise<void> {
  const closed = new Promise((resolve) => link.stream.once("close", resolve));
  const reading = readAll(link.stream);
  await link.command("write", { bytes: TEN_MB });
  const ours = await writeAll(link.stream, TEN_MB);
  const seen = new Map<
    string,
    { bytes?: number; sha256?: string; code?: string | null }
  >();
  while (!seen.has("written") || !seen.has("end")) {
    const event = await link.node.next();
    seen.set(event.kind, event);
  }
  await link.command("end");
  assert.deepEqual({ ...seen.get("end") }, {
    kind: "end",
    id: NATIVE_ID,
    bytes: TEN_MB,
    sha256: ours,
  });
  assert.deepEqual(await reading, {
    bytes: TEN_MB,
    sha256: seen.get("written")!.sha256,
  });
  await closed;
  assert.deepEqual(await link.node.next(), {
    kind: "close",
    id: NATIVE_ID,
    code: null,
  });
}

Deno.test("UDX and udx-native exchange 10 MB each way and close cleanly", async () => {
  await using link = await Link.open();
  await exchange(link);
});

Deno.test("UDX and udx-native exchange 10 MB each way over a network that loses, doubles and reorders 5 %", async () => {
  const { listenDatagram, counts } = lossyListener(FIVE_PERCENT, 0x5eed);
  await using link = await Link.open(new UDX({ listenDatagram }));
  await exchange(link);
  assert.ok(
    counts.dropped > 100 && counts.duplicated > 100 && counts.reordered > 100,
    JSON.stringify(counts),
  );
});

Deno.test("UDX and udx-native exchange messages", async () => {
  await using link = await Link.open();
  link.stream.trySend(Uint8Array.of(1, 2, 3));
  assert.deepEqual(await link.node.next(), {
    kind: "message",
    id: NATIVE_ID,
    hex: "010203",
  });
  const got = new Promise<Uint8Array>((resolve) => link.stream.once("message", resolve));
  await link.command("message", { hex: "040506" });
  assert.deepEqual([...await got], [4, 5, 6]);
});

Deno.test("UDX reports a reset when udx-native destroys its stream", async () => {
  await using link = await Link.open();
  const failed = new Promise<Error & { code?: string }>((resolve) => link.stream.once("error", resolve));
  await link.command("destroy");
  assert.equal((await failed).code, "ECONNRESET");
});

Deno.test("udx-native reports a reset when UDX destroys its stream", async () => {
  await using link = await Link.open();
  link.stream.on("error", () => {});
  link.stream.destroy();
  assert.deepEqual(await link.node.next(), {
    kind: "close",
    id: NATIVE_ID,
    code: "ECONNRESET",
  });
});

Deno.test("udx-native answers our heartbeats and we answer its", async () => {
  await using link = await Link.open();
  const before = link.stream.packetsReceived;
  link.stream.setKeepalive(5);
  while (link.stream.packetsReceived < before + 3) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
});

Deno.test("udx-native waits while our reader pauses, and goes on with it", async () => {
  await using link = await Link.open();
  const { stream } = link;
  stream.pause();
  await link.command("write", { bytes: TEN_MB });
  let before = -1;
  while (stream.bytesReceived === 0 || stream.bytesReceived !== before) {
    before = stream.bytesReceived;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  // What the full window dropped and was sent again counts too: some way above the window's 4 MiB.
  assert.ok(before < TEN_MB, "everything was sent though nobody read");
  const reading = readAll(stream);
  const { sha256 } = await link.node.next();
  await link.command("end");
  assert.deepEqual(await reading, { bytes: TEN_MB, sha256 });
});

Deno.test("UDX and udx-native change their remotes in the middle of a transfer", async () => {
  const udx = new UDX();
  await using link = await Link.open(udx);
  const { stream } = link;
  const moved = udx.createSocket();
  moved.bind(0, "127.0.0.1");
  const closed = new Promise((resolve) => stream.once("close", resolve));
  const reading = readAll(stream);
  await link.command("write", { bytes: TEN_MB });
  const writing = writeAll(stream, TEN_MB);
  await new Promise((resolve) => stream.once("data", resolve));
  const changed = stream.changeRemote(moved, NATIVE_ID, link.nodePort, "127.0.0.1");
  await link.command("changeRemote", { remoteId: OUR_ID, port: moved.address()!.port });
  await changed;
  assert.equal(link.socket.idle, true);
  const seen = new Map<string, { sha256?: string; bytes?: number }>();
  while (!["written", "end", "remote-changed"].every((kind) => seen.has(kind))) {
    const event = await link.node.next();
    seen.set(event.kind, event);
  }
  await link.command("end");
  assert.equal(seen.get("end")!.sha256, await writing);
  assert.deepEqual(await reading, { bytes: TEN_MB, sha256: seen.get("written")!.sha256 });
  await closed;
  await moved.close();
});

Deno.test("udx-native relays between two of our streams", async () => {
  const udx = new UDX();
  await using node = await NodePeer.start("udx_peer.cjs");
  const { port } = await node.next();
  const socket = udx.createSocket();
  socket.bind(0, "127.0.0.1");
  const [a, b] = [udx.createStream(1), udx.createStream(2)];
  const here = socket.address()!.port;
  await node.send({
    kind: "relay",
    streams: [{ id: 11, remoteId: 1, port: here }, { id: 12, remoteId: 2, port: here }],
  });
  assert.equal((await node.next()).kind, "relaying");
  a.connect(socket, 11, port, "127.0.0.1");
  b.connect(socket, 12, port, "127.0.0.1");
  const reading = readAll(b);
  const closed = Promise.all([a, b].map((stream) => new Promise((resolve) => stream.once("close", resolve))));
  const sha256 = await writeAll(a, 1_000_000);
  assert.deepEqual(await reading, { bytes: 1_000_000, sha256 });
  a.resume();
  b.end();
  await closed;
  await socket.close();
});
