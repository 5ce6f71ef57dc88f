import assert from "node:assert/strict";
// @deno-types="../../lib/swarm/hyperdht.d.ts"
import HyperDHT from "hyperdht";
// @deno-types="../../lib/swarm/protomux.d.ts"
import Protomux, { type MuxChannel } from "protomux";
import { maxStrangers, proofTimeMs } from "../../lib/swarm/hyperswarm_transport.ts";
import { maxQueuedBytes } from "../../lib/swarm/peer_channel.ts";
import { stopDht } from "../../lib/swarm/stop_dht.ts";
import { maxFrameBytes } from "../../lib/swarm/transport.ts";
import { UDX } from "../../lib/udx/mod.ts";
import { Instance, localDht, seedOf } from "./instance.ts";

/** Somebody on the DHT with our topic and as many keys as it likes. */
class Stranger implements AsyncDisposable {
  readonly #dht: HyperDHT;

  constructor(bootstrap: readonly string[]) {
    this.#dht = new HyperDHT({ udx: new UDX(), bootstrap, host: "127.0.0.1", port: [0, 0] });
  }

  /** Connects to the instance of `seed` under the key of `as`; opens the protocol unless told otherwise. */
  connect(seed: number, as: number, protocol = "tightrope/2") {
    const stream = this.#dht.connect(HyperDHT.keyPair(seedOf(seed)).publicKey, {
      keyPair: HyperDHT.keyPair(new Uint8Array(32).fill(as, 0, 31)),
    });
    stream.on("error", () => {});
    const closed = new Promise<"closed">((resolve) => stream.on("close", () => resolve("closed")));
    const opened = Promise.withResolvers<"opened">();
    let arrive = () => {};
    const frames = { next: () => new Promise<void>((resolve) => arrive = resolve) };
    const channel = Protomux.from(stream).createChannel({
      protocol,
      messages: [{ onmessage: () => arrive() }],
      onopen: () => opened.resolve("opened"),
      onclose: () => {},
      ondrain: () => {},
    });
    assert.ok(channel);
    channel.open();
    return { stream, channel, frames, closed, outcome: Promise.race([opened.promise, closed]) };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await stopDht(this.#dht);
  }
}

/** An instance that can be found. */
async function listening(bootstrap: readonly string[]): Promise<Instance> {
  const instance = await Instance.start(1, bootstrap);
  await instance.status(/^announced/);
  return instance;
}

/** An instance and a connected stranger. */
async function meet(bootstrap: readonly string[], stranger: Stranger) {
  const instance = await listening(bootstrap);
  const peer = stranger.connect(1, 99);
  const { connection } = await instance.until((event) => event.kind === "connected" ? event : undefined);
  return { instance, connection, ...peer };
}

const send = (channel: MuxChannel, bytes: number) => channel.messages[0]?.send(new Uint8Array(bytes));

for (
  const { name, act, why } of [
    {
      name: "sends a frame that is too long",
      act: (channel: MuxChannel) => send(channel, maxFrameBytes + 1),
      why: "frame of 65537 bytes; at most 65536 pass",
    },
    {
      name: "begins a message of a megabyte",
      act: (channel: MuxChannel) => send(channel, 1_000_000),
      why: "message too long for a peer that hasn't proven itself",
    },
  ]
) {
  Deno.test(`HyperswarmTransport cuts a stranger that ${name}`, async () => {
    await using dht = await localDht(1);
    await using stranger = new Stranger(dht.bootstrap);
    const { instance, connection, channel, closed } = await meet(dht.bootstrap, stranger);
    await using _ = instance;
    act(channel);
    assert.equal(await instance.disconnected(connection), why);
    await closed;
    assert.equal(instance.events.some((event) => event.kind === "frame"), false);
  });
}

Deno.test("HyperswarmTransport cuts a peer that doesn't read once its queue is full, not one that does", async () => {
  await using dht = await localDht(1);
  await using stranger = new Stranger(dht.bootstrap);
  const { instance, connection, stream, frames } = await meet(dht.bootstrap, stranger);
  await using _ = instance;
  const longest = new Uint8Array(maxFrameBytes);
  for (let sent = 0; sent < 2 * maxQueuedBytes; sent += maxFrameBytes) {
    instance.transport.send(connection, longest);
    await frames.next();
  }
  stream.pause();
  let gone = false;
  const reason = instance.disconnected(connection).finally(() => gone = true);
  // What the stream and the network take in on the way is bounded too.
  for (let sent = 0; !gone && sent < 64 * maxQueuedBytes; sent += maxFrameBytes) {
    instance.transport.send(connection, longest);
    await new Promise((resolve) => setTimeout(resolve));
  }
  assert.equal(await reason, "peer does not read");
});

Deno.test("HyperswarmTransport doesn't report a peer that speaks something else, and lets it go", async () => {
  await using dht = await localDht(1);
  await using instance = await listening(dht.bootstrap);
  await using stranger = new Stranger(dht.bootstrap);
  assert.equal(await stranger.connect(1, 99, "tightrope/1").outcome, "closed");
  assert.equal(instance.events.some((event) => event.kind !== "status"), false);
});

Deno.test(`HyperswarmTransport: of more than ${maxStrangers} strangers the longest gives way; whoever proved itself once comes in beside them`, async () => {
  await using dht = await localDht(1);
  await using instance = await listening(dht.bootstrap);
  await using stranger = new Stranger(dht.bootstrap);
  const member = stranger.connect(1, 200);
  const known = await instance.until((event) => event.kind === "connected" ? event : undefined);
  instance.transport.markAuthenticated(known.connection);

  const crowd = Array.from({ length: maxStrangers }, (_, i) => stranger.connect(1, i));
  assert.deepEqual(new Set(await Promise.all(crowd.map((peer) => peer.outcome))), new Set(["opened"]));
  await new Promise((resolve) => setTimeout(resolve, proofTimeMs));
  assert.equal(await stranger.connect(1, 201).outcome, "opened");
  assert.match(await instance.status(/strangers/), /^64 strangers are connected; they give way to those who come$/);
  const gone = await instance.until((event) => event.kind === "disconnected" ? event : undefined);
  assert.equal(gone.connection, known.connection + 1);
  await Promise.any(crowd.map((peer) => peer.closed));

  member.stream.destroy();
  await instance.disconnected(known.connection);
  // The instance itself looks for a key that it knows; of two connections that cross, Hyperswarm keeps one.
  let attempts = 1;
  while (attempts <= 20 && await stranger.connect(1, 200).outcome === "closed") {
    attempts++;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  assert.ok(attempts <= 20, "a known key comes in beside 64 strangers");
});
