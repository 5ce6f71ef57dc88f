// @deno-types="./hyperdht.d.ts"
import HyperDHT from "hyperdht";
// @deno-types="./hyperswarm.d.ts"
import Hyperswarm, { type Discovery, type SecretStream } from "hyperswarm";
import { bytesToHex } from "@noble/hashes/utils.js";
import { invariant, InvariantError, messageOf, TightropeError } from "../domain/errors.ts";
import { parseSwarmKey, type SwarmKey } from "../domain/ids.ts";
import { UDX } from "../udx/mod.ts";
import { PeerChannel } from "./peer_channel.ts";
import { stopDht } from "./stop_dht.ts";
import type { ConnectionId, Transport, TransportEvent } from "./transport.ts";

/** The name of the Protomux channel. */
const protocol = "tightrope/2";

/**
 * How many connections may wait for their proof; keys that authenticated before don't count. Beyond that the one that waits
 * longest gives way, once it had the time that a proof takes: else whoever knows the topic could keep everybody out.
 */
export const maxStrangers = 64;
export const proofTimeMs = 500;
/** How many keys that authenticated are remembered; the oldest give way. */
const maxKnownKeys = 1_024;
/** How many peers Hyperswarm itself looks for at a time, strangers included. */
const maxPeers = 128;
/** The time for both sides to open the protocol on a fresh connection. */
const openTimeoutMs = 10_000;
/** A connection on which nothing came for so long is dead: each side sends a sign of life every 5 s. */
const silenceTimeoutMs = 20_000;
/** How long leaving waits: for the last frames, then for the DHT to hear that we are gone. */
const farewellMs = 300;
const leaveTimeoutMs = 2_000;

/**
 * When to look for peers again, after the start and after each loss of one. Two instances that start at the same moment
 * look before either has announced; Hyperswarm alone would look again only after ten minutes.
 */
const searchDelaysMs = [100, 1_000, 2_000, 4_000, 8_000, 15_000, 30_000] as const;
/** And from then on, without and with a peer. */
const lonelySearchMs = 60_000;
const contentSearchMs = 300_000;

export interface HyperswarmTransportOptions {
  /** What to announce and look for, 32 bytes each: the cluster's, and the former one while the secret rotates. */
  readonly topics: readonly Uint8Array[];
  /** 32 bytes; the stable key pair by which peers recognise this instance comes from it. */
  readonly seed: Uint8Array;
  /** `host:port` of DHT nodes; undefined = the public DHT. */
  readonly bootstrap?: readonly string[] | undefined;
  /** UDP port; 0 = any. Where it is taken, any is used and a warning says so. */
  readonly port: number;
  /** In place of real datagrams, for tests of loss and silence. */
  readonly udx?: UDX;
}

interface Peer {
  readonly connection: ConnectionId;
  readonly stream: SecretStream;
  readonly channel: PeerChannel;
  readonly key: SwarmKey;
  readonly sinceMs: number;
  /** Whether `connected` was told. */
  told: boolean;
  openTimer: ReturnType<typeof setTimeout> | undefined;
}

/** Connections to the other instances over Hyperswarm, on UDX over UDP. It knows topics and keys, no secret. */
export class HyperswarmTransport implements Transport {
  readonly #options: HyperswarmTransportOptions;
  readonly #peers = new Map<ConnectionId, Peer>();
  /** In the order in which they last authenticated. */
  readonly #knownKeys = new Map<SwarmKey, Uint8Array>();
  #onEvent: (event: TransportEvent) => void = () => {};
  #dht: HyperDHT | undefined;
  #swarm: Hyperswarm | undefined;
  #discoveries: readonly Discovery[] = [];
  #searchTimer: ReturnType<typeof setTimeout> | undefined;
  #searches = 0;
  #reachable: boolean | undefined;
  #announced = false;
  #crowded = false;
  #nextConnection = 1;
  #closing = false;

  constructor(options: HyperswarmTransportOptions) {
    invariant(options.topics.length > 0, "a swarm needs a topic");
    this.#options = options;
  }

  async start(onEvent: (event: TransportEvent) => void): Promise<void> {
    invariant(this.#swarm === undefined, "a transport starts once");
    const { seed, bootstrap, port, topics, udx = new UDX() } = this.#options;
    this.#onEvent = onEvent;
    const keyPair = HyperDHT.keyPair(seed);
    const loopback = bootstrap?.every(isLoopback) ?? false;
    const dht = new HyperDHT({
      udx,
      keyPair,
      port: port === 0 ? [0, 0] : [port, port + 1],
      ...(bootstrap ? { bootstrap } : {}),
      // A DHT on this machine alone is no reason to listen to the world. And no NAT lies between: hyperdht, left to find
      // that out from a few nodes, sometimes guesses wrong and drops a connection that the other side already uses.
      ...(loopback ? { host: "127.0.0.1", firewalled: false } : {}),
    });
    // Known to reach us, so it needs no trial with a timer that outlives a quick close.
    if (loopback) dht._validatedLocalAddresses.set("127.0.0.1", Promise.resolve(true));
    const swarm = new Hyperswarm({ dht, keyPair, maxPeers });
    this.#dht = dht;
    this.#swarm = swarm;
    swarm.on("connection", (stream) => this.#welcome(stream));
    try {
      await dht.bind();
    } catch (cause) {
      throw new TightropeError(
        "unavailable",
        `Cannot open a UDP socket: ${messageOf(cause)}`,
        "Check that this machine has a network and that nothing forbids UDP.",
        { cause },
      );
    }
    const bound = dht.io.serverSocket?.address()?.port ?? 0;
    if (port !== 0 && bound !== port) this.#say("warn", `UDP port ${port} is taken; listening on ${bound} instead`);
    else this.#say("info", `listening on UDP port ${bound}`);
    if (this.#closing) return;
    dht.fullyBootstrapped().then(
      () => this.#assess(false),
      (error: unknown) => this.#say("warn", `cannot join the DHT: ${messageOf(error)}`),
    );
    this.#discoveries = topics.map((topic) => swarm.join(topic, { server: true, client: true }));
    this.#search(Promise.all(this.#discoveries.map((discovery) => discovery.flushed())));
  }

  send(connection: ConnectionId, frame: Uint8Array): void {
    this.#peers.get(connection)?.channel.send(frame);
  }

  markAuthenticated(connection: ConnectionId): void {
    const peer = this.#peers.get(connection);
    if (peer === undefined) return;
    peer.channel.trusted = true;
    this.#crowded = false;
    this.#knownKeys.delete(peer.key);
    this.#knownKeys.set(peer.key, peer.stream.remotePublicKey);
    // Hyperswarm then keeps looking for this key by itself, also when strangers fill its list of peers.
    this.#swarm?.joinPeer(peer.stream.remotePublicKey);
    for (const [key, publicKey] of this.#knownKeys) {
      if (this.#knownKeys.size <= maxKnownKeys) break;
      this.#knownKeys.delete(key);
      this.#swarm?.leavePeer(publicKey);
    }
  }

  disconnect(connection: ConnectionId): void {
    this.#peers.get(connection)?.channel.close("closed by this side");
  }

  /** Says goodbye to peers and DHT, but waits a few seconds at most. */
  async close(): Promise<void> {
    if (this.#closing) return;
    this.#closing = true;
    clearTimeout(this.#searchTimer);
    const swarm = this.#swarm;
    if (swarm === undefined) return;
    const closed = [...this.#peers.values()].map(({ stream, channel }) => {
      const gone = new Promise<void>((resolve) => stream.on("close", resolve));
      channel.close("closing");
      return gone;
    });
    await within(farewellMs, Promise.all(closed));
    const left = await within(leaveTimeoutMs, swarm.destroy());
    if (this.#dht) await stopDht(this.#dht, { force: !left });
  }

  #welcome(stream: SecretStream): void {
    const [localKey, remoteKey] = [keyOf(stream.publicKey), keyOf(stream.remotePublicKey)];
    if (this.#closing) return stream.destroy();
    if (!this.#knownKeys.has(remoteKey) && !this.#makeRoom()) {
      stream.on("error", () => {});
      stream.destroy();
      return;
    }
    stream.setTimeout(silenceTimeoutMs);
    const connection = this.#nextConnection++;
    const channel = new PeerChannel(stream, protocol, {
      onOpen: () => {
        const peer = this.#peers.get(connection);
        if (peer === undefined) return;
        clearTimeout(peer.openTimer);
        peer.told = true;
        this.#onEvent({
          kind: "connected",
          connection,
          via: "swarm",
          initiator: stream.isInitiator,
          localKey,
          remoteKey,
          handshakeHash: new Uint8Array(stream.handshakeHash),
        });
      },
      onFrame: (frame) => this.#onEvent({ kind: "frame", connection, frame }),
      onClose: (reason) => this.#forget(connection, reason),
    });
    const openTimer = setTimeout(() => channel.cut("peer did not open the protocol"), openTimeoutMs);
    this.#peers.set(connection, {
      ...{ connection, stream, channel, key: remoteKey, sinceMs: performance.now() },
      ...{ told: false, openTimer },
    });
  }

  #forget(connection: ConnectionId, reason: string): void {
    const peer = this.#peers.get(connection);
    if (peer === undefined) return;
    this.#peers.delete(connection);
    clearTimeout(peer.openTimer);
    if (peer.told) this.#onEvent({ kind: "disconnected", connection, reason });
    if (peer.channel.trusted && !this.#closing) {
      this.#searches = 0;
      this.#searchSoon();
    }
  }

  /** Whether one more stranger may come in. */
  #makeRoom(): boolean {
    const strangers = [...this.#peers.values()].filter(({ channel, key }) =>
      !channel.trusted && !this.#knownKeys.has(key)
    );
    const [longest] = strangers;
    if (longest === undefined || strangers.length < maxStrangers) return true;
    // Once until somebody authenticates: a flood of connections is no reason for a flood of words.
    if (!this.#crowded) this.#say("warn", `${maxStrangers} strangers are connected; they give way to those who come`);
    this.#crowded = true;
    if (performance.now() - longest.sinceMs < proofTimeMs) return false;
    longest.channel.cut("gave way to another that hasn't proven itself either");
    return true;
  }

  /** Waits for a look-up and announcement, says how it went, and plans the next. */
  #search(attempt: Promise<unknown>): void {
    clearTimeout(this.#searchTimer);
    this.#searchTimer = undefined;
    attempt.then(
      () => this.#assess(true),
      (error: unknown) => this.#say("warn", `cannot announce: ${messageOf(error)}`),
    )
      .then(() => this.#searchSoon());
  }

  #searchSoon(): void {
    if (this.#closing) return;
    clearTimeout(this.#searchTimer);
    const trusted = [...this.#peers.values()].some((peer) => peer.channel.trusted);
    const delayMs = searchDelaysMs[this.#searches] ?? (trusted ? contentSearchMs : lonelySearchMs);
    this.#searches += 1;
    this.#searchTimer = setTimeout(
      () => this.#search(Promise.all(this.#discoveries.map((discovery) => discovery.refresh()))),
      delayMs,
    );
  }

  /** Tells when the DHT answers, or doesn't any more. @param announced whether it has just been asked to list us */
  #assess(announced: boolean): void {
    if (this.#closing) return;
    const reachable = (this.#dht?.nodes.length ?? 0) > 0;
    const nodes = this.#options.bootstrap?.join(", ") ?? "the public DHT";
    if (!reachable && this.#reachable !== false) this.#say("warn", `no DHT node answers (${nodes}); trying again`);
    if (reachable && this.#reachable === false) {
      // It announced its key to nobody then; left alone it would sleep for minutes before it tries again.
      this.#swarm?.server.refresh();
      this.#searches = 0;
    }
    if (announced && reachable && !this.#announced) this.#say("info", `announced on the DHT (${nodes})`);
    this.#announced ||= announced && reachable;
    this.#reachable = reachable;
  }

  #say(level: "info" | "warn", message: string): void {
    if (this.#closing) return;
    this.#onEvent({ kind: "status", level, message });
  }
}

function isLoopback(address: string): boolean {
  return /^(127\.\d+\.\d+\.\d+|localhost):\d+$/.test(address);
}

function keyOf(bytes: Uint8Array): SwarmKey {
  const key = parseSwarmKey(bytesToHex(new Uint8Array(bytes)));
  if (key === undefined) throw new InvariantError("a swarm key has 32 bytes");
  return key;
}

/** Whether it was done in time, and not in vain; the timer doesn't outlive it. */
async function within(timeoutMs: number, task: Promise<unknown>): Promise<boolean> {
  const timeout = Promise.withResolvers<boolean>();
  const timer = setTimeout(() => timeout.resolve(false), timeoutMs);
  try {
    return await Promise.race([task.then(() => true, () => false), timeout.promise]);
  } finally {
    clearTimeout(timer);
  }
}
