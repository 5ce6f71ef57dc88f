import assert from "node:assert/strict";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { maxFrameBytes } from "../../lib/swarm/transport.ts";
import { frame, Instance, keyOf, localDht, Plug, textOf } from "./instance.ts";

for (const nodes of [1, 3]) {
  Deno.test(`HyperswarmTransport: two that start at the same moment find each other over a DHT of ${nodes}`, async () => {
    await using dht = await localDht(nodes);
    const [first, second] = await Promise.all([Instance.start(1, dht.bootstrap), Instance.start(2, dht.bootstrap)]);
    await using a = first;
    await using b = second;
    const [left, right] = await Promise.all([a.connected(2), b.connected(1)]);
    assert.notEqual(left.initiator, right.initiator);
    assert.deepEqual([left.via, left.localKey, right.localKey], ["swarm", keyOf(1), keyOf(2)]);
    assert.equal(left.handshakeHash.length, 64);
    assert.deepEqual(left.handshakeHash, right.handshakeHash);
    assert.match(await a.status(/^listening/), /^listening on UDP port \d+$/);
    assert.match(await a.status(/^announced/), /^announced on the DHT \(127\.0\.0\.1:\d+\)$/);
  });
}

Deno.test("HyperswarmTransport carries frames both ways, whole, in order, up to 64 KiB", async () => {
  await using dht = await localDht();
  await using a = await Instance.start(1, dht.bootstrap);
  await using b = await Instance.start(2, dht.bootstrap);
  const [left, right] = await Promise.all([a.connected(2), b.connected(1)]);
  const random = new SeededRandom(0x5eed);
  const sizes = [1, maxFrameBytes, 0, 100, maxFrameBytes - 1, 1_200, 3];
  const [fromA, fromB] = [sizes.map((size) => random.bytes(size)), sizes.map((size) => random.bytes(size))];
  for (const sent of fromA) a.transport.send(left.connection, sent);
  for (const sent of fromB) b.transport.send(right.connection, sent);
  const [gotB, gotA] = await Promise.all([b.frames(sizes.length), a.frames(sizes.length)]);
  assert.deepEqual(gotB, fromA);
  assert.deepEqual(gotA, fromB);
  for (const got of [...gotA, ...gotB]) {
    assert.equal(got.buffer.byteLength, got.length, "a view would drag its slab along");
  }
});

Deno.test("HyperswarmTransport: either end disconnects, both are told, what was sent before still arrives", async () => {
  await using dht = await localDht();
  await using a = await Instance.start(1, dht.bootstrap);
  await using b = await Instance.start(2, dht.bootstrap);
  const [left, right] = await Promise.all([a.connected(2), b.connected(1)]);
  a.transport.send(left.connection, frame("last words"));
  a.transport.disconnect(left.connection);
  a.transport.send(left.connection, frame("too late"));
  assert.equal(await a.disconnected(left.connection), "closed by this side");
  assert.equal(await b.disconnected(right.connection), "closed by the peer");
  assert.deepEqual((await b.frames(1)).map(textOf), ["last words"]);
  const again = await a.connected(2, a.events.findIndex((event) => event.kind === "disconnected"));
  assert.notEqual(again.connection, left.connection, "they find each other again, under a fresh id");
});

Deno.test("HyperswarmTransport: an instance that restarts under its key is found again, clean stop or not", async () => {
  await using dht = await localDht();
  await using a = await Instance.start(1, dht.bootstrap);
  const b = await Instance.start(2, dht.bootstrap);
  a.transport.markAuthenticated((await a.connected(2)).connection);
  await b.connected(1);
  let skip = a.events.length;
  await b.transport.close();

  // The second one is cut off without a word, as by kill -9 or a pulled cable.
  const plug = new Plug();
  const c = await Instance.start(2, dht.bootstrap, { udx: plug.udx });
  const alive = await a.connected(2, skip);
  a.transport.markAuthenticated(alive.connection);
  const late = await c.connected(1);
  c.transport.send(late.connection, frame("alive"));
  await a.until((event) => event.kind === "frame" ? true : undefined, skip);
  skip = a.events.length;
  plug.pull();
  await using d = await Instance.start(2, dht.bootstrap);
  const reborn = await a.connected(2, skip);
  await d.connected(1);
  assert.equal(typeof await a.disconnected(alive.connection), "string", "the dead connection is reported as gone");
  a.transport.send(reborn.connection, frame("welcome back"));
  assert.deepEqual((await d.frames(1)).map(textOf), ["welcome back"]);
  await c.transport.close();
});

Deno.test("HyperswarmTransport: with the former topic too, both generations of a rotating cluster are met", async () => {
  await using dht = await localDht();
  const [oldTopic, newTopic] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  await using rotating = await Instance.start(1, dht.bootstrap, { topics: [newTopic, oldTopic] });
  await using old = await Instance.start(2, dht.bootstrap, { topics: [oldTopic] });
  await using fresh = await Instance.start(3, dht.bootstrap, { topics: [newTopic] });
  await Promise.all([rotating.connected(2), rotating.connected(3), old.connected(1), fresh.connected(1)]);
  assert.equal(old.events.some((event) => event.kind === "connected" && event.remoteKey === keyOf(3)), false);
});

Deno.test("HyperswarmTransport takes the UDP port it is given, and says so when that is taken", async () => {
  await using dht = await localDht(1);
  await using a = await Instance.start(1, dht.bootstrap);
  const port = Number((await a.status(/^listening/)).split(" ").pop());
  await using b = await Instance.start(2, dht.bootstrap, { port });
  assert.match(await b.status(/UDP port/), new RegExp(`^UDP port ${port} is taken; listening on \\d+ instead$`));
  await a.transport.close();
  await using c = await Instance.start(3, dht.bootstrap, { port });
  assert.equal(await c.status(/UDP port/), `listening on UDP port ${port}`);
});
