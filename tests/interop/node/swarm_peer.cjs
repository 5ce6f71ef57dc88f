// The Node end of swarm_test.ts: a DHT of six nodes on 127.0.0.1 and a hyperswarm peer that joins the topic it is given
// as server or client, writes `bytes` to whom it meets and tells what it got. Commands as JSON lines on stdin, events as
// JSON lines on stdout.
const { createHash, randomBytes } = require("node:crypto");
const readline = require("node:readline");
const createTestnet = require("hyperdht/testnet");
const Hyperswarm = require("hyperswarm");

// With fewer nodes hyperdht can't tell what kind of NAT it is behind, and now and then gives up a connection that the
// other side believes to have.
const DHT_NODES = 6;

const print = (event) => process.stdout.write(JSON.stringify(event) + "\n");

async function main() {
  const testnet = await createTestnet(DHT_NODES, { host: "127.0.0.1" });
  const swarm = new Hyperswarm({ dht: testnet.createNode() });
  print({ kind: "ready", bootstrap: testnet.bootstrap });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { topic, role, bytes } = JSON.parse(line);
    swarm.on("connection", (connection) => void meet(connection, bytes));
    await swarm.join(Buffer.from(topic, "hex"), { server: role === "server", client: role === "client" }).flushed();
    print({ kind: "joined" });
  }
  await swarm.destroy();
  await testnet.destroy();
}

async function meet(connection, bytes) {
  connection.on("error", () => {});
  const received = createHash("sha256");
  let got = 0;
  connection.on("data", (data) => {
    received.update(data);
    got += data.length;
    if (got === bytes) print({ kind: "received", bytes: got, sha256: received.digest("hex") });
  });
  const sent = createHash("sha256");
  for (let left = bytes; left > 0;) {
    const chunk = randomBytes(Math.min(left, 65_536));
    left -= chunk.length;
    sent.update(chunk);
    if (!connection.write(chunk)) await new Promise((resolve) => connection.once("drain", resolve));
  }
  print({ kind: "sent", sha256: sent.digest("hex") });
}

main();
