import assert from "node:assert/strict";
import { DhtPeer, here, type Kind } from "./dht_peer.ts";
import { NodePeer } from "./node_peer.ts";

const ONE_MB = 1024 * 1024;
/** On one machine a peer finds out that others reach it, unless it is kept from asking. */
const firewalled = { quickFirewall: false };

/** Who dials, who listens, who relays. */
const casts: readonly (readonly [Kind, Kind, Kind])[] = [
  ["ours", "native", "native"],
  ["native", "ours", "native"],
  ["native", "native", "ours"],
  ["ours", "ours", "ours"],
];

for (const [dials, listens, relays] of casts) {
  Deno.test(`hyperdht relays through blind-relay: ${dials} to ${listens} by ${relays}`, async () => {
    await using nodes = await NodePeer.start("swarm_peer.cjs");
    const { bootstrap } = await nodes.next();
    const start = (kind: Kind, more = {}) => DhtPeer.start(here, kind, bootstrap, { host: "127.0.0.1", ...more });
    await using relay = await start(relays, { port: [0, 0], firewalled: false });
    const { publicKey: relayThrough } = await relay.ask("relay", {}, "listening");
    await using b = await start(listens, firewalled);
    // And so would the direct way be found.
    const { publicKey } = await b.ask("listen", { relayThrough, onlyRelayed: true }, "listening");
    await using a = await start(dials, firewalled);

    const [atA, atB] = [
      await a.ask("connect", { publicKey, onlyRelayed: true }, "connected", "failed"),
      await b.next("connected"),
    ];
    assert.equal(atA.kind, "connected", JSON.stringify(atA));
    for (const peer of [a, b]) await peer.send("send", { index: 0, bytes: ONE_MB });
    const [fromA, fromB] = [await a.next("sent"), await b.next("sent")];
    for (const peer of [a, b]) await peer.send("expect", { index: 0, bytes: ONE_MB });
    const [toA, toB] = [await a.next("received"), await b.next("received")];
    assert.deepEqual([toA.sha256, toB.sha256], [fromB.sha256, fromA.sha256]);

    const { pairings, port } = await relay.ask("relayStats", {}, "relayStats");
    assert.deepEqual([pairings.matched, pairings.active], [1, 1]);
    for (const end of [atA, atB, toA, toB]) assert.deepEqual([end.host, end.port], ["127.0.0.1", port]);

    await a.send("destroy", { index: 0 });
    await b.next("closed");
  });
}
