/**
 * Throughput and round trip of UDX over loopback, both ends in one process: ours on this Deno, udx-native under Node.
 * `deno run -A -c tests/deno.json tests/udx/udx_bench.ts`
 */
import { UDX, type UDXStream } from "../../lib/udx/mod.ts";
import { percentile, renderTable, type Row } from "../bench_table.ts";
import { NodePeer } from "../interop/node_peer.ts";

const TRANSFER_BYTES = 200_000_000;
const CHUNK_BYTES = 65_536;
const ROUND_TRIPS = 10_000;
const MESSAGE_BYTES = 300;

interface Result {
  readonly transferMs: number;
  readonly packets: number;
  readonly roundTripsMs: number[];
}

async function measureOurs(): Promise<Result> {
  const udx = new UDX();
  const sockets = [udx.createSocket(), udx.createSocket()] as const;
  for (const socket of sockets) socket.bind(0, "127.0.0.1");
  const [a, b] = [udx.createStream(1), udx.createStream(2)];
  a.connect(sockets[0], 2, sockets[1].address()!.port);
  b.connect(sockets[1], 1, sockets[0].address()!.port);
  const transferMs = await transfer(a, b);
  const packets = a.packetsTransmitted + b.packetsTransmitted;
  const roundTripsMs = await roundTrips(a, b);
  for (const stream of [a, b]) stream.on("error", () => {}).destroy();
  await Promise.all(sockets.map((socket) => socket.close()));
  return { transferMs, packets, roundTripsMs };
}

async function transfer(from: UDXStream, to: UDXStream): Promise<number> {
  const chunk = new Uint8Array(CHUNK_BYTES);
  let received = 0;
  const all = new Promise<void>((resolve) => {
    const count = (data: Uint8Array) => {
      received += data.length;
      if (received < TRANSFER_BYTES) return;
      to.removeListener("data", count);
      resolve();
    };
    to.on("data", count);
  });
  const startedMs = performance.now();
  for (let left = TRANSFER_BYTES; left > 0; left -= CHUNK_BYTES) {
    if (!from.write(chunk.subarray(0, Math.min(left, CHUNK_BYTES)))) {
      await new Promise((resolve) => from.once("drain", resolve));
    }
  }
  await all;
  return performance.now() - startedMs;
}

async function roundTrips(a: UDXStream, b: UDXStream): Promise<number[]> {
  const message = new Uint8Array(MESSAGE_BYTES);
  const timesMs: number[] = [];
  b.on("data", (data: Uint8Array) => b.write(data));
  await new Promise<void>((resolve) => {
    let sentMs = performance.now();
    a.on("data", () => {
      timesMs.push(performance.now() - sentMs);
      if (timesMs.length === ROUND_TRIPS) return resolve();
      sentMs = performance.now();
      a.write(message);
    });
    a.write(message);
  });
  return timesMs;
}

async function measureNative(): Promise<Result> {
  await using node = await NodePeer.start("udx_bench.cjs", [
    String(TRANSFER_BYTES),
    String(CHUNK_BYTES),
    String(ROUND_TRIPS),
    String(MESSAGE_BYTES),
  ]);
  return await node.next();
}

function row(name: string, { transferMs, packets, roundTripsMs }: Result): Row {
  const us = (p: number) => (percentile(roundTripsMs, p) * 1000).toFixed(0);
  return {
    name,
    cells: [(TRANSFER_BYTES / transferMs / 1000).toFixed(0), (packets / transferMs).toFixed(0), us(0.5), us(0.99)],
  };
}

/** One line each for ours and udx-native. */
export async function benchUdx(): Promise<{ header: Row; rows: Row[] }> {
  return {
    header: { name: "UDX over loopback", cells: ["MB/s", "packets/ms", "300 B round trip µs p50", "p99"] },
    rows: [row("ours (Deno)", await measureOurs()), row("udx-native (Node)", await measureNative())],
  };
}

if (import.meta.main) {
  const { header, rows } = await benchUdx();
  console.log(renderTable(header, rows));
}
