// The Node end of swarm_test.ts: a DHT of three nodes on 127.0.0.1 and a hyperswarm peer that writes `bytes` to
// whom it meets and tells what it got. Events as JSON lines on stdout; ends when its stdin does.
const { createHash, randomBytes } = require("node:crypto");
const createTestnet = require("hyperdht/testnet");
const Hyperswarm = require("hyperswarm");

const [topic, bytes] = process.argv.slice(-2);
const print = (event) => process.stdout.write(JSON.stringify(event) + "\n");

async function main() {
  const testnet = await createTestnet(3, { host: "127.0.0.1" });
  const dht = testnet.createNode();
  const swarm = new Hyperswarm({ dht });
  swarm.on("connection", (connection) => void meet(connection, Number(bytes)));
  await swarm.join(Buffer.from(topic, "hex"), { server: true, client: true }).flushed();
  print({ kind: "ready", bootstrap: testnet.bootstrap });
  process.stdin.resume();
  await new Promise((resolve) => process.stdin.once("end", resolve));
  await swarm.destroy();
  await testnet.destroy();
}

async function meet(connection, bytes) {
  connection.on("error", () => {});
  connection.on("close", () => print({ kind: "close" }));
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
