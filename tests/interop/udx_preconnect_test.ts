import assert from "node:assert/strict";
import { conform, type EndStreamOptions, LOOPBACK, type Scene, type Socket, type Stream } from "./udx_ends.ts";

const A_ID = 1;
const B_ID = 2;

interface Half {
  readonly a: Stream;
  readonly b: Stream;
  readonly here: Socket;
  readonly there: Socket;
  connectB(): Promise<unknown>;
}

/** `a` is connected to where `b` will be. */
async function half(scene: Scene, options?: EndStreamOptions): Promise<Half> {
  const [here, there] = [await scene.a.socket(), await scene.b.socket()];
  const [a, b] = [await scene.a.stream(A_ID), await scene.b.stream(B_ID, options)];
  await b.read();
  await a.connect(here, B_ID, await there.port());
  const port = await here.port();
  return { a, b, here, there, connectB: () => b.connect(there, A_ID, port) };
}

async function finish({ a, b }: Half): Promise<void> {
  await a.read();
  await Promise.all([a.end(), b.end()]);
  assert.deepEqual(await Promise.all([a.closed(), b.closed()]), [null, null]);
}

conform("data is read before connecting where the firewall lets it in, and acknowledged after", async (scene) => {
  const pair = await half(scene, { firewall: "accept" });
  const { a, b, here, there, connectB } = pair;
  await a.write("hello");
  assert.equal((await b.received(5)).text, "hello");
  const [asked] = await b.happened("firewall");
  assert.deepEqual(asked, [there.name, await here.port(), LOOPBACK, 4]);
  assert.equal(await b.get("connected"), false);
  assert.equal(await there.get("packetsTransmitted"), 0);
  await connectB();
  assert.equal(await a.call("flush"), true);
  assert.equal(await a.get("retransmits"), 0);
  await finish(pair);
});

conform("messages are read before connecting where the firewall lets them in", async (scene) => {
  const pair = await half(scene, { firewall: "accept" });
  await pair.a.call("send", Uint8Array.of(1, 2, 3));
  assert.deepEqual(await pair.b.wait("message"), ["010203"]);
  await pair.connectB();
  await finish(pair);
});

conform("a stream connects to whoever its firewall hears of first", async (scene) => {
  const pair = await half(scene, { firewall: { remoteId: A_ID } });
  await pair.a.write("hello");
  assert.equal((await pair.b.received(5)).text, "hello");
  assert.equal(await pair.b.get("remotePort"), await pair.here.port());
  assert.equal(await pair.a.call("flush"), true);
  assert.equal((await pair.b.happened("firewall")).length, 1);
  await finish(pair);
});

conform("data and end before connecting end the stream after it", async (scene) => {
  const { a, b, connectB } = await half(scene, { firewall: "accept" });
  await a.read();
  await a.end("all");
  assert.equal((await b.received(3)).text, "all");
  await connectB();
  await b.wait("end");
  await b.end();
  assert.deepEqual(await Promise.all([a.closed(), b.closed()]), [null, null]);
});

for (const options of [{}, { firewall: "refuse" }] as const) {
  const who = options.firewall === undefined ? "the default firewall" : "a firewall";
  conform(`${who} keeps packets out until the stream connects`, async (scene) => {
    const pair = await half(scene, options);
    const { a, b, there } = pair;
    if (a.at.is === "udx-native") await a.poke("rto", 20);
    await a.call("trySend", Uint8Array.of(1));
    await a.write("hello");
    // A stray message behind the packets shows that they have been through.
    await pair.here.call("trySend", Uint8Array.of(2), await there.port());
    assert.equal((await there.wait("message"))[0], "02");
    assert.equal((await b.received(0)).bytes, 0);
    assert.deepEqual(await b.happened("message"), []);
    assert.equal((await b.happened("firewall")).length > 0, options.firewall === "refuse");
    await pair.connectB();
    assert.equal((await b.received(5)).text, "hello");
    assert.ok(await a.get("retransmits") > 0);
    await finish(pair);
  });
}

conform("a stream that isn't connected yet hears that the other side was destroyed", async (scene) => {
  const { a, b, connectB } = await half(scene, { firewall: "accept" });
  await a.destroy();
  assert.deepEqual([await a.closed(), await b.closed()], [null, "ECONNRESET"]);
  await connectB();
  await b.destroy();
});

conform("a connected stream asks its firewall about packets that reach it through another socket", async (scene) => {
  const pair = await half(scene, { firewall: "accept" });
  const { a, b, here } = pair;
  await pair.connectB();
  const other = await scene.b.socket();
  const second = await scene.a.stream(7);
  await second.connect(here, B_ID, await other.port());
  await second.call("trySend", Uint8Array.of(9));
  assert.deepEqual(await b.wait("message"), ["09"]);
  assert.deepEqual(await b.happened("firewall"), [[other.name, await here.port(), LOOPBACK, 4]]);
  await a.write("hello");
  await b.received(5);
  assert.equal((await b.happened("firewall")).length, 1);
  await finish(pair);
});
