// What tests/udx/udx_bench.ts measures, the same code for both: Node runs it with udx-native, Deno with lib/udx.
// Reads one command per line of stdin, [name, argument], and answers each with a line of JSON.
const readline = require("node:readline");
const v8 = require("node:v8");
const vm = require("node:vm");

const HOST = "127.0.0.1";

v8.setFlagsFromString("--expose-gc");
const collectGarbage = vm.runInNewContext("gc");

/** Pairs of connected streams between two sockets of one UDX. */
class Pairs {
  constructor(UDX) {
    this.udx = new UDX();
    this.sockets = [this.udx.createSocket(), this.udx.createSocket()];
    for (const socket of this.sockets) socket.bind(0, HOST);
    this.pairs = [];
  }

  growTo(count) {
    const ports = this.sockets.map((socket) => socket.address().port);
    for (let i = this.pairs.length; i < count; i++) {
      const a = this.udx.createStream(2 * i + 1);
      const b = this.udx.createStream(2 * i + 2);
      a.connect(this.sockets[0], b.id, ports[1], HOST);
      b.connect(this.sockets[1], a.id, ports[0], HOST);
      for (const stream of [a, b]) stream.on("error", () => {});
      this.pairs.push([a, b]);
    }
  }

  async close() {
    for (const pair of this.pairs) for (const stream of pair) stream.destroy();
    await Promise.all(this.sockets.map((socket) => socket.close()));
  }
}

async function withPairs(UDX, count, measure) {
  const scene = new Pairs(UDX);
  scene.growTo(count);
  try {
    return await measure(scene.pairs);
  } finally {
    await scene.close();
  }
}

async function write(stream, bytes, chunk) {
  for (let left = bytes; left > 0; left -= chunk.length) {
    if (!stream.write(chunk.subarray(0, Math.min(left, chunk.length)))) {
      await new Promise((resolve) => stream.once("drain", resolve));
    }
  }
}

/** All streams at once send their share of `bytes`. */
function transfer(UDX, { streams, bytes, chunkBytes }) {
  return withPairs(UDX, streams, async (pairs) => {
    const chunk = Buffer.alloc(chunkBytes);
    const share = Math.ceil(bytes / streams);
    const cpu = process.cpuUsage();
    const startedMs = performance.now();
    await Promise.all(pairs.map(([a, b]) => {
      let received = 0;
      const all = new Promise((resolve) =>
        b.on("data", (data) => {
          received += data.length;
          if (received === share) resolve();
        })
      );
      return Promise.all([write(a, share, chunk), all]);
    }));
    const ms = performance.now() - startedMs;
    const { user, system } = process.cpuUsage(cpu);
    let packets = 0;
    for (const [a, b] of pairs) packets += a.packetsTransmitted + b.packetsTransmitted;
    return { ms, bytes: share * streams, packets, cpuMs: (user + system) / 1000 };
  });
}

/** `active` of `streams` pairs throw a message to and fro `count` times, the others stay idle. */
function roundTrips(UDX, { streams, active, count, bytes }) {
  return withPairs(UDX, streams, async (pairs) => {
    const message = Buffer.alloc(bytes);
    const timesMs = [];
    await Promise.all(
      pairs.slice(0, active).map(([a, b]) => {
        b.on("data", (data) => b.write(data));
        return new Promise((resolve) => {
          let left = count;
          let sentMs = performance.now();
          a.on("data", () => {
            timesMs.push(performance.now() - sentMs);
            if (--left === 0) return resolve();
            sentMs = performance.now();
            a.write(message);
          });
          a.write(message);
        });
      }),
    );
    return timesMs;
  });
}

function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function memory() {
  for (let i = 0; i < 3; i++) {
    await sleep(10);
    collectGarbage();
  }
  const { rss, heapUsed, external } = process.memoryUsage();
  return { rss, heap: heapUsed + external };
}

/** What idle streams, which have said hello, keep in memory: for each number of pairs the growth per single stream. */
async function idleMemory(UDX, { streams, bytes }) {
  // The first ones bring compiled code and caches with them.
  await roundTrips(UDX, { streams: 50, active: 50, count: 20, bytes });
  const scene = new Pairs(UDX);
  const results = [];
  try {
    const before = await memory();
    for (const count of streams) {
      const first = scene.pairs.length;
      scene.growTo(count);
      for (const [a, b] of scene.pairs.slice(first)) {
        const heard = new Promise((resolve) => b.once("data", resolve));
        b.resume();
        a.write(Buffer.alloc(bytes));
        await heard;
      }
      await sleep(50);
      const after = await memory();
      results.push({
        heapBytes: (after.heap - before.heap) / (2 * count),
        rssBytes: (after.rss - before.rss) / (2 * count),
      });
    }
    return results;
  } finally {
    await scene.close();
  }
}

/** CPU time that idle streams with a keepalive take in `forMs`. */
function idleCpu(UDX, { streams, keepaliveMs, forMs }) {
  return withPairs(UDX, streams, async (pairs) => {
    for (const pair of pairs) for (const stream of pair) stream.setKeepalive(keepaliveMs);
    await sleep(100);
    const cpu = process.cpuUsage();
    await sleep(forMs);
    const { user, system } = process.cpuUsage(cpu);
    return (user + system) / 1000;
  });
}

const measurements = { transfer, roundTrips, idleMemory, idleCpu };

module.exports = async function serve(UDX) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [name, argument] = JSON.parse(line);
    process.stdout.write(JSON.stringify(await measurements[name](UDX, argument)) + "\n");
  }
};

if (typeof Deno === "undefined") module.exports(require("udx-native"));
