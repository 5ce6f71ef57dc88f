import assert from "node:assert/strict";
import {
  assertSameBytes,
  conform,
  conformLossy,
  connect,
  type End,
  LOOPBACK,
  type Pair,
  type Scene,
  type Socket,
  type Stream,
} from "./udx_ends.ts";

/** Streams at both ends, with a second socket each to move to. */
async function movable(scene: Scene): Promise<Pair & { moved: readonly [Socket, Socket] }> {
  // Until both have moved, packets reach one of them through a socket that it isn't connected on.
  const open = { firewall: "accept" } as const;
  const pair = await connect(scene, { a: open, b: open });
  await Promise.all([pair.a.read(), pair.b.read()]);
  return { ...pair, moved: [await scene.a.socket(), await scene.b.socket()] };
}

conform("an idle stream moves to another socket at once", async (scene) => {
  const { a, b, sockets, moved } = await movable(scene);
  await a.changeRemote(moved[0], b.id, await sockets[1].port());
  await b.changeRemote(sockets[1], a.id, await moved[0].port());
  await Promise.all([a.wait("remote-changed"), b.wait("remote-changed")]);
  assert.deepEqual([await sockets[0].get("idle"), await moved[0].get("idle")], [true, false]);
  assert.equal(await a.get("localPort"), await moved[0].port());
  await a.write("from the new socket");
  assert.equal((await b.received(19)).bytes, 19);
  await b.write("to it");
  assert.equal((await a.received(5)).text, "to it");
  assert.deepEqual(await b.happened("firewall"), []);
});

async function moveInTransfer(scene: Scene): Promise<void> {
  const { a, b, sockets, moved } = await movable(scene);
  const pouring = Promise.all([a.pour(1_000_000), b.pour(1_000_000)]);
  await b.received(1);
  const changes = [
    a.changeRemote(moved[0], b.id, await moved[1].port()),
    b.changeRemote(moved[1], a.id, await moved[0].port()),
  ];
  await Promise.all(changes);
  const [sentByA, sentByB] = await pouring;
  assertSameBytes(await a.received(sentByB.bytes), sentByB);
  assertSameBytes(await b.received(sentByA.bytes), sentByA);
  assert.deepEqual([await sockets[0].get("idle"), await sockets[1].get("idle")], [true, true]);
  assert.deepEqual([await a.happened("remote-changed"), await b.happened("remote-changed")], [[[]], [[]]]);
}

conform("both sides move at once in the middle of a transfer", moveInTransfer);
conformLossy("both sides move at once in the middle of a transfer", moveInTransfer);

conform("a side moves away and back while data flows", async (scene) => {
  const { a, b, sockets, moved } = await movable(scene);
  const port = await sockets[1].port();
  const pouring = a.pour(1_000_000);
  for (const to of [moved[0], sockets[0]]) {
    const change = a.changeRemote(to, b.id, port);
    await b.changeRemote(sockets[1], a.id, await to.port());
    await change;
  }
  const sent = await pouring;
  assertSameBytes(await b.received(sent.bytes), sent);
  assert.equal((await a.happened("remote-changed")).length, 2);
  assert.deepEqual([await sockets[0].get("idle"), await moved[0].get("idle")], [false, true]);
});

conform("a change of remote fails when the stream closes first", async (scene) => {
  const { a, b, sockets, moved } = await movable(scene);
  await a.pour(200_000);
  const change = a.changeRemote(moved[0], b.id, await sockets[1].port()).then(() => "", (error) => error.message);
  await a.destroy();
  assert.match(await change, /^(Stream is closed)?$/);
  assert.equal(await a.closed(), null);
  await moved[0].call("close");
});

interface Relay {
  /** Far ends. */
  readonly left: Stream;
  readonly right: Stream;
  /** Their relay's. */
  readonly toLeft: Stream;
  readonly toRight: Stream;
  /** Of left, right, toLeft, toRight. */
  readonly sockets: readonly [Socket, Socket, Socket, Socket];
}

/** `a` is at both far ends and `b` passes on what they say; each stream has a socket. */
async function relayed({ a, b }: { a: End; b: End }, far: End = a): Promise<Relay> {
  const sockets = [await a.socket(), await far.socket(), await b.socket(), await b.socket()] as const;
  const open = { firewall: "accept" } as const;
  const [left, right] = [await a.stream(1, open), await far.stream(2, open)];
  const [toLeft, toRight] = [await b.stream(11), await b.stream(12)];
  await toLeft.call("relayTo", toRight);
  await toRight.call("relayTo", toLeft);
  await toLeft.connect(sockets[2], left.id, await sockets[0].port());
  await toRight.connect(sockets[3], right.id, await sockets[1].port());
  await left.connect(sockets[0], toLeft.id, await sockets[2].port());
  await right.connect(sockets[1], toRight.id, await sockets[3].port());
  await Promise.all([left.read(), right.read()]);
  return { left, right, toLeft, toRight, sockets };
}

async function exchangeThrough({ left, right }: Relay, bytes: number): Promise<void> {
  const [sentByLeft, sentByRight] = await Promise.all([left.pour(bytes), right.pour(bytes)]);
  assertSameBytes(await left.received(bytes), sentByRight);
  assertSameBytes(await right.received(bytes), sentByLeft);
}

conform("the second relays between two streams of the first", async (scene) => {
  const relay = await relayed(scene);
  await exchangeThrough(relay, 500_000);
  const { left, right, toLeft, toRight } = relay;
  await Promise.all([left.end(), right.end()]);
  assert.deepEqual(await Promise.all([left.closed(), right.closed()]), [null, null]);
  assert.ok(await toLeft.get("bytesReceived") > 500_000 && await toRight.get("bytesReceived") > 500_000);
  // A relay doesn't know that its ends are done.
  assert.deepEqual([await toLeft.happened("close"), await toRight.happened("close")], [[], []]);
});

conformLossy("the second relays between two streams of the first", async (scene) => {
  await exchangeThrough(await relayed(scene), 200_000);
});

conform("the second relays between the first and a stream of its own kind", async (scene) => {
  await exchangeThrough(await relayed(scene, scene.b), 500_000);
});

conform("messages and heartbeats pass a relay", async (scene) => {
  const { left, right } = await relayed(scene);
  await left.call("send", Uint8Array.of(1, 2));
  assert.deepEqual(await right.wait("message"), ["0102"]);
  const before = await left.get("packetsReceived");
  await left.call("setKeepalive", 5);
  while (await left.get("packetsReceived") < before + 2) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(await right.get("packetsTransmitted") > 0);
});

conform("a DESTROY passes a relay and closes it", async (scene) => {
  const { left, right, toLeft, toRight, sockets } = await relayed(scene);
  await left.destroy();
  assert.equal(await right.closed(), "ECONNRESET");
  assert.equal(await toLeft.closed(), "ECONNRESET");
  // The other one goes with it. Of that udx-native emits nothing but what its socket says.
  await sockets[3].wait("idle");
  if (toRight.at.is === "UDX") assert.equal(await toRight.closed(), null);
});

conform("a relay that is destroyed tells nobody", async (scene) => {
  const { left, right, toLeft, toRight, sockets } = await relayed(scene);
  await toLeft.destroy();
  await Promise.all([sockets[2].wait("idle"), sockets[3].wait("idle")]);
  if (toRight.at.is === "UDX") assert.equal(await toRight.closed(), null);
  // A stray message behind shows that nothing came before it.
  await sockets[2].call("send", Uint8Array.of(1), await sockets[0].port());
  await sockets[0].wait("message");
  assert.deepEqual([await left.happened("close"), await right.happened("close")], [[], []]);
});

conform("a relay sends from the socket that the receiver is connected to", async (scene) => {
  const { b: relay, a } = scene;
  const [far, near] = [await a.socket(), await a.socket()];
  const [toFar, toNear] = [await relay.socket(), await relay.socket()];
  const hidden = await a.stream(1, { firewall: { remoteId: 11 } });
  const talker = await a.stream(2);
  const [left, right] = [await relay.stream(11), await relay.stream(12)];
  await left.call("relayTo", right);
  await right.call("relayTo", left);
  await left.connect(toFar, hidden.id, await far.port());
  await right.connect(toNear, talker.id, await near.port());
  await hidden.read();
  await talker.connect(near, right.id, await toNear.port());
  const sent = await talker.pour(100_000);
  assertSameBytes(await hidden.received(sent.bytes), sent);
  assert.deepEqual(await hidden.happened("firewall"), [[far.name, await toFar.port(), LOOPBACK, 4]]);
  assert.equal(await talker.call("flush"), true);
});

async function leaveRelay(relay: Relay): Promise<void> {
  const { left, right, toLeft, toRight, sockets } = relay;
  const pouring = right.pour(600_000);
  await left.received(200_000);
  const changes = [
    left.changeRemote(sockets[0], right.id, await sockets[1].port()),
    right.changeRemote(sockets[1], left.id, await sockets[0].port()),
  ];
  await Promise.all(changes);
  const sent = await pouring;
  assertSameBytes(await left.received(sent.bytes), sent);
  const before = await toLeft.get("packetsReceived");
  await Promise.all([toLeft.destroy(), toRight.destroy()]);
  await left.write("direct");
  assert.equal((await right.received(6)).text, "direct");
  assert.equal(await toLeft.get("packetsReceived"), before);
  assert.deepEqual([await left.happened("remote-changed"), await right.happened("remote-changed")], [[[]], [[]]]);
}

conform("two streams leave their relay in the middle of a transfer", async (scene) => {
  await leaveRelay(await relayed(scene));
});

conformLossy("two streams leave their relay in the middle of a transfer", async (scene) => {
  await leaveRelay(await relayed(scene));
});

conform("two streams of different kinds leave their relay in the middle of a transfer", async (scene) => {
  await leaveRelay(await relayed(scene, scene.b));
});

conform("everything at a relay is destroyed at once", async (scene) => {
  const { left, right, toLeft, toRight, sockets } = await relayed(scene);
  const change = left.changeRemote(sockets[0], right.id, await sockets[1].port()).then(() => "", () => "");
  await Promise.all([left, right, toLeft, toRight].map((stream) => stream.destroy()));
  await Promise.all([left, right, toLeft, toRight].map((stream) => stream.closed()));
  await change;
});
