// The udx-native side of tests/udx/udx_bench.ts: the same measurements, one JSON line as the result.
const UDX = require("udx-native");

const [transferBytes, chunkBytes, roundTrips, messageBytes] = process.argv.slice(-4).map(Number);

const udx = new UDX();
const sockets = [udx.createSocket(), udx.createSocket()];
for (const socket of sockets) socket.bind(0, "127.0.0.1");
const a = udx.createStream(1);
const b = udx.createStream(2);
a.connect(sockets[0], 2, sockets[1].address().port);
b.connect(sockets[1], 1, sockets[0].address().port);

async function transfer() {
  const chunk = Buffer.alloc(chunkBytes);
  let received = 0;
  const all = new Promise((resolve) => {
    const count = (data) => {
      received += data.length;
      if (received < transferBytes) return;
      b.removeListener("data", count);
      resolve();
    };
    b.on("data", count);
  });
  const startedMs = performance.now();
  for (let left = transferBytes; left > 0; left -= chunkBytes) {
    if (!a.write(chunk.subarray(0, Math.min(left, chunkBytes)))) {
      await new Promise((resolve) => a.once("drain", resolve));
    }
  }
  await all;
  return performance.now() - startedMs;
}

function measureRoundTrips() {
  const message = Buffer.alloc(messageBytes);
  const timesMs = [];
  b.on("data", (data) => b.write(data));
  return new Promise((resolve) => {
    let sentMs = performance.now();
    a.on("data", () => {
      timesMs.push(performance.now() - sentMs);
      if (timesMs.length === roundTrips) return resolve(timesMs);
      sentMs = performance.now();
      a.write(message);
    });
    a.write(message);
  });
}

async function main() {
  const transferMs = await transfer();
  const packets = a.packetsTransmitted + b.packetsTransmitted;
  const roundTripsMs = await measureRoundTrips();
  process.stdout.write(JSON.stringify({ transferMs, packets, roundTripsMs }) + "\n");
  for (const stream of [a, b]) stream.on("error", () => {}).destroy();
  await Promise.all(sockets.map((socket) => socket.close()));
}

main();
