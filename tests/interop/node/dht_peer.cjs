// One hyperdht peer, told what to do by JSON lines on stdin, telling what happens by JSON lines on stdout. The same file
// runs under Node (udx-native) and under Deno (our UDX): who starts it brings the packages along.
const { createHash, randomBytes } = require("node:crypto");
const readline = require("node:readline");

const print = (event) => process.stdout.write(JSON.stringify(event) + "\n");
const hex = (buffer) => Buffer.from(buffer).toString("hex");

module.exports = async function run({ HyperDHT, blindRelay, options }) {
  const dht = new HyperDHT(options);
  await dht.fullyBootstrapped();
  print({ kind: "ready", firewalled: dht.firewalled, host: dht.host });
  const connections = [];
  const startedMs = new Map();
  let bytesUntilMoved = 0;

  function meet(connection) {
    const raw = connection.rawStream;
    const peer = { connection, raw, got: 0, expected: 0, hash: createHash("sha256"), sending: false, moved: false };
    const index = connections.push(peer) - 1;
    // hyperdht moves a relayed stream over to the direct path by this.
    const changeRemote = raw.changeRemote;
    raw.changeRemote = function (socket, id, port, host) {
      print({ kind: "moving", index, from: whereabouts(peer), sending: peer.sending, inFlight: raw.inflight });
      const changed = changeRemote.call(this, socket, id, port, host);
      Promise.resolve(changed).then(() => {
        peer.moved = true;
        print({ kind: "moved", index, ...whereabouts(peer) });
      }, () => {});
      return changed;
    };
    connection.on("error", (error) => print({ kind: "error", index, code: error.code ?? error.message }));
    connection.on("close", () => print({ kind: "closed", index }));
    connection.on("data", (data) => {
      peer.hash.update(data);
      peer.got += data.length;
      tellReceived(index);
    });
    print({
      kind: "connected",
      index,
      ms: Date.now() - (startedMs.get(connection) ?? Date.now()),
      ...whereabouts(peer),
    });
    if (bytesUntilMoved > 0) void send({ index, bytes: bytesUntilMoved, untilMoved: true });
  }

  function tellReceived(index) {
    const peer = connections[index];
    if (peer.expected === 0 || peer.got < peer.expected) return;
    print({ kind: "received", index, bytes: peer.got, sha256: peer.hash.digest("hex"), ...whereabouts(peer) });
    peer.hash = createHash("sha256");
    peer.got = peer.expected = 0;
  }

  const whereabouts = ({ raw }) => ({ host: raw.remoteHost, port: raw.remotePort });

  /** Sends `bytes`; with `untilMoved` goes on until the stream has moved to another path, and then as much again. */
  async function send({ index, bytes, untilMoved = false }) {
    const peer = connections[index];
    const hash = createHash("sha256");
    let sent = 0;
    let end = bytes;
    peer.sending = true;
    while (sent < end && !peer.connection.destroyed) {
      const chunk = randomBytes(Math.min(end - sent, 16_384));
      sent += chunk.length;
      hash.update(chunk);
      if (!peer.connection.write(chunk)) await new Promise((resolve) => peer.connection.once("drain", resolve));
      if (untilMoved && !peer.moved) {
        end = sent + bytes;
        await new Promise((resolve) => setTimeout(resolve, 10));
      }
    }
    peer.sending = false;
    print({ kind: "sent", index, bytes: sent, sha256: hash.digest("hex") });
  }

  const commands = {
    /** Accepts connections; with `relayThrough` proposes that relay to whoever comes. */
    async listen({ relayThrough, onlyRelayed }) {
      const server = dht.createServer({
        ...(relayThrough ? { relayThrough: Buffer.from(relayThrough, "hex") } : {}),
        ...(onlyRelayed ? { holepunch: false, shareLocalAddress: false } : {}),
      }, meet);
      await server.listen();
      print({ kind: "listening", publicKey: hex(server.publicKey) });
    },
    connect({ publicKey, relayThrough, onlyRelayed }) {
      const startMs = Date.now();
      const connection = dht.connect(Buffer.from(publicKey, "hex"), {
        ...(relayThrough ? { relayThrough: Buffer.from(relayThrough, "hex") } : {}),
        ...(onlyRelayed ? { localConnection: false } : {}),
      });
      startedMs.set(connection, startMs);
      const failed = (error) => print({ kind: "failed", code: error.code ?? error.message, ms: Date.now() - startMs });
      connection.once("error", failed);
      connection.once("open", () => {
        connection.off("error", failed);
        meet(connection);
      });
    },
    /** Becomes a blind relay. */
    async relay() {
      const relay = new blindRelay.Server({
        createStream: (options) => dht.createRawStream({ ...options, framed: true }),
      });
      commands.relayStats = () =>
        print({ kind: "relayStats", port: dht.address().port, ...JSON.parse(JSON.stringify(relay.stats)) });
      const server = dht.createServer({ shareLocalAddress: false }, (connection) => {
        connection.on("error", () => {});
        relay.accept(connection, { id: connection.remotePublicKey }).on("error", () => {});
      });
      await server.listen();
      print({ kind: "listening", publicKey: hex(server.publicKey) });
    },
    expect({ index, bytes }) {
      connections[index].expected = bytes;
      tellReceived(index);
    },
    send,
    /** Sends on each connection from its first moment, until it has moved to another path and `bytes` more. */
    sendUntilMoved({ bytes }) {
      bytesUntilMoved = bytes;
    },
    destroy({ index }) {
      connections[index].connection.destroy();
    },
    stats() {
      const { punches, relaying } = dht.stats;
      print({ kind: "stats", punches, relaying, firewalled: dht.firewalled });
    },
  };

  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { command, ...args } = JSON.parse(line);
    Promise.resolve(commands[command](args)).catch((error) => print({ kind: "error", code: String(error) }));
  }
  await dht.destroy({ force: true });
  process.exit(0);
};
