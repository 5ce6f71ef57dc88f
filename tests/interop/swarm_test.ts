import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import HyperDHT from "hyperdht";
import Hyperswarm from "hyperswarm";
import { UDX } from "../../lib/udx/mod.ts";
import { FIVE_PERCENT, lossyListener } from "../udx/lossy.ts";
import { NodePeer } from "./node_peer.ts";

const TEN_MB = 10 * 1024 * 1024;
/** hyperdht tries its own addresses before it connects, with a timer of 500 ms that it never stops. */
const ADDRESS_PROBE_MS = 500;

/** The part of an encrypted connection that is used here. */
interface Connection {
  on(event: "data", listener: (data: Uint8Array) => void): void;
  on(event: "error", listener: (error: Error) => void): void;
  once(event: "drain" | "close", listener: () => void): void;
  write(data: Uint8Array): boolean;
  readonly handshakeHash: Uint8Array;
  readonly rawStream: unknown;
}

/** Meets a Node hyperswarm peer over a local DHT of Node nodes, and exchanges 10 MB each way. */
async function meetAndExchange(udx: UDX, ourRole: "client" | "server"): Promise<void> {
  const topic = randomBytes(32);
  await using node = await NodePeer.start("swarm_peer.cjs");
  const { bootstrap } = await node.next();
  const swarm = new Hyperswarm({ dht: new HyperDHT({ udx, bootstrap, host: "127.0.0.1" }) });
  try {
    const met = new Promise<Connection>((resolve) => swarm.once("connection", resolve));
    // Whoever is to be found joins first; one of each, since two dialling at once would drop one connection of two.
    const nodeJoins = async () => {
      const role = ourRole === "client" ? "server" : "client";
      await node.send({ topic: topic.toString("hex"), role, bytes: TEN_MB });
    };
    const weJoin = () => swarm.join(topic, { server: ourRole === "server", client: ourRole === "client" });
    if (ourRole === "client") {
      await nodeJoins();
      assert.equal((await node.next()).kind, "joined");
      weJoin();
    } else {
      await weJoin().flushed();
      await nodeJoins();
    }
    const connection = await met;
    const probesEnd = new Promise((resolve) => setTimeout(resolve, ADDRESS_PROBE_MS));
    connection.on("error", () => {});
    assert.equal(connection.handshakeHash.length, 64);

    const received = createHash("sha256");
    const receivedAll = new Promise<void>((resolve) => {
      let bytes = 0;
      connection.on("data", (data) => {
        received.update(data);
        bytes += data.length;
        if (bytes === TEN_MB) resolve();
      });
    });
    const sent = createHash("sha256");
    for (let left = TEN_MB; left > 0;) {
      const chunk = randomBytes(Math.min(left, 65_536));
      left -= chunk.length;
      sent.update(chunk);
      if (!connection.write(chunk)) await new Promise<void>((resolve) => connection.once("drain", resolve));
    }
    const told = new Map<string, { sha256: string }>();
    while (!told.has("sent") || !told.has("received")) {
      const event = await node.next();
      told.set(event.kind, event);
    }
    await receivedAll;
    await probesEnd;
    assert.equal(told.get("received")!.sha256, sent.digest("hex"), "what Node received is what we sent");
    assert.equal(received.digest("hex"), told.get("sent")!.sha256, "what we received is what Node sent");
  } finally {
    await swarm.destroy();
  }
}

Deno.test("hyperswarm over our UDX finds a Node hyperswarm peer and exchanges 10 MB each way", async () => {
  await meetAndExchange(new UDX(), "client");
});

Deno.test("hyperswarm over our UDX is found by a Node hyperswarm peer and exchanges 10 MB each way", async () => {
  await meetAndExchange(new UDX(), "server");
});

Deno.test("hyperswarm over our UDX does both when 5 % of its packets are lost, doubled and reordered", async () => {
  for (const role of ["client", "server"] as const) {
    const { listenDatagram, counts } = lossyListener(FIVE_PERCENT, 0x5eed);
    await meetAndExchange(new UDX({ listenDatagram }), role);
    assert.ok(counts.dropped > 100 && counts.duplicated > 100 && counts.reordered > 100, JSON.stringify(counts));
  }
});
