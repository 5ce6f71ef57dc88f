import assert from "node:assert/strict";
import { assertSameBytes, conform, conformLossy, connect, type Pair, type Scene, textBytes } from "./udx_ends.ts";

const MAX_PAYLOAD_BYTES = 1200 - 48;

async function echo(scene: Scene): Promise<void> {
  const { a, b } = await connect(scene);
  await Promise.all([a.read(), b.read()]);
  await a.write("hello world");
  await a.end();
  await b.wait("end");
  const { chunks: _, ...heard } = await b.received(11);
  assert.deepEqual(heard, textBytes("hello world"));
  await b.write("echo: hello world");
  await b.end();
  assert.deepEqual(await Promise.all([a.closed(), b.closed()]), [null, null]);
  assert.equal((await a.received(17)).text, "echo: hello world");
  assert.deepEqual([(await a.happened("finish")).length, (await a.happened("end")).length], [1, 1]);
}

conform("a line is echoed and both sides close", echo);

async function exchange({ a, b }: Pair, bytes: number): Promise<void> {
  await Promise.all([a.read(), b.read()]);
  const [sentByA, sentByB] = await Promise.all([a.pour(bytes), b.pour(bytes)]);
  assert.deepEqual(await Promise.all([a.call("flush"), b.call("flush")]), [true, true]);
  assertSameBytes(await a.received(0), sentByB);
  assertSameBytes(await b.received(0), sentByA);
}

async function exchangeAndClose(pair: Pair, bytes: number): Promise<void> {
  await exchange(pair, bytes);
  await Promise.all([pair.a.end(), pair.b.end()]);
  assert.deepEqual(await Promise.all([pair.a.closed(), pair.b.closed()]), [null, null]);
}

conform("6 MB go each way at once", async (scene) => exchangeAndClose(await connect(scene), 6_000_000));
// What becomes of a stream whose last packets get lost, udx_close_test.ts tells.
conformLossy("1 MB goes each way at once", async (scene) => exchange(await connect(scene), 1_000_000));

conform("a write larger than every window arrives whole", async (scene) => {
  const { a, b } = await connect(scene);
  await b.read();
  const sent = await a.pour(5_000_000, 5_000_000);
  assertSameBytes(await b.received(5_000_000), sent);
});

conform("small writes travel together", async (scene) => {
  const { a, b } = await connect(scene);
  await b.read();
  const sent = await a.pour(60 * 100, 60);
  assertSameBytes(await b.received(6_000), sent);
  const packets = await a.get("packetsTransmitted");
  assert.ok(packets <= Math.ceil(6_000 / MAX_PAYLOAD_BYTES) + 2, `${packets} packets`);
});

conform("writes that are strings or empty, and an end with the last of them", async (scene) => {
  const { a, b } = await connect(scene);
  await Promise.all([a.read(), b.read()]);
  await a.write("grüße ");
  await a.write(new Uint8Array());
  await a.end("end");
  await b.end(new Uint8Array());
  assert.deepEqual(await Promise.all([a.closed(), b.closed()]), [null, null]);
  assert.equal((await b.received(0)).text, "grüße end");
  assert.equal((await a.received(0)).bytes, 0);
});

conform("flush tells that the other side has everything", async (scene) => {
  const { a, b } = await connect(scene);
  await b.read();
  for (const word of ["hello", " ", "world"]) await a.write(word);
  assert.equal(await a.call("flush"), true);
  assert.equal((await b.received(0)).text, "hello world");
  assert.equal(await a.call("flush"), true, "with nothing to wait for");
});

conform("flush of a large write waits for all of it", async (scene) => {
  const { a, b } = await connect(scene);
  await b.read();
  const sent = await a.pour(1_000_000, 1_000_000);
  assert.equal(await a.call("flush"), true);
  assertSameBytes(await b.received(0), sent);
});

conform("one side ends without a word, then the other", async (scene) => {
  const { a, b } = await connect(scene);
  await Promise.all([a.read(), b.read()]);
  await a.end();
  await b.wait("end");
  assert.equal((await b.happened("close")).length, 0);
  await b.end();
  assert.deepEqual(await Promise.all([a.closed(), b.closed()]), [null, null]);
  assert.deepEqual([(await a.received(0)).bytes, (await b.received(0)).bytes], [0, 0]);
});

conform("both sides end at once without a word", async (scene) => {
  const { a, b } = await connect(scene);
  await Promise.all([a.read(), b.read()]);
  await Promise.all([a.end(), b.end()]);
  assert.deepEqual(await Promise.all([a.closed(), b.closed()]), [null, null]);
});

conform("a side that has ended still reads all that the other one writes", async (scene) => {
  const { a, b } = await connect(scene);
  await Promise.all([a.read(), b.read()]);
  await a.end("request");
  await b.wait("end");
  const sent = await b.pour(300_000);
  await b.end();
  assert.deepEqual(await Promise.all([a.closed(), b.closed()]), [null, null]);
  assertSameBytes(await a.received(0), sent);
});

conform("what was sent before the end waits for a reader that starts late", async (scene) => {
  const { a, b } = await connect(scene);
  const sent = await a.pour(100_000);
  await a.end();
  assert.equal(await a.call("flush"), true);
  await b.read();
  await b.wait("end");
  assertSameBytes(await b.received(0), sent);
  await a.read();
  await b.end();
  assert.deepEqual(await Promise.all([a.closed(), b.closed()]), [null, null]);
});

const LAST_NUMBERS = { a: { seq: 2 ** 32 - 5 }, b: { seq: 2 ** 32 - 1 } };

conform("numbers wrap around", async (scene) => exchangeAndClose(await connect(scene, LAST_NUMBERS), 200_000));
conformLossy("numbers wrap around", async (scene) => exchange(await connect(scene, LAST_NUMBERS), 200_000));

conform("streams in framed mode exchange frames", async (scene) => {
  const { a, b } = await connect(scene, { a: { framed: true }, b: { framed: true } });
  await Promise.all([a.read(), b.read()]);
  await a.write(Uint8Array.of(2, 0, 0));
  await a.write(Uint8Array.of(0x41, 0x42));
  assert.equal((await b.received(5)).text, "\x02\0\0AB");
  const large = new Uint8Array(3 + 0x20000);
  large[2] = 2;
  await b.end(large);
  await a.wait("end");
  assert.equal((await a.received(0)).bytes, large.length);
});

conform("both sides count the same packets and bytes", async (scene) => {
  const { a, b, sockets } = await connect(scene);
  await Promise.all([a.read(), b.read()]);
  await a.write("hello");
  assert.equal(await a.call("flush"), true);
  await b.write("hello back");
  assert.equal(await b.call("flush"), true);
  await a.received(10);
  for (const [from, to] of [[a, b], [b, a]] as const) {
    assert.equal(await to.get("packetsReceived"), await from.get("packetsTransmitted"));
    assert.equal(await to.get("bytesReceived"), await from.get("bytesTransmitted"));
    assert.ok(await from.get("bytesTransmitted") > 20 && await from.get("packetsTransmitted") > 0);
    for (const counter of ["retransmits", "rtoCount", "fastRecoveries", "inflight"]) {
      assert.equal(await from.get(counter), 0);
    }
  }
  for (const [at, stream] of [[0, a], [1, b]] as const) {
    const counters = ["packetsTransmitted", "bytesTransmitted", "packetsReceived", "bytesReceived"];
    for (const counter of counters) {
      assert.equal(await sockets[at].get(counter), await stream.get(counter));
      assert.equal(await stream.at.get(counter), await stream.get(counter));
    }
  }
});
