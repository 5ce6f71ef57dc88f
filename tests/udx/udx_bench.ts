/**
 * The speed of UDX over loopback, both ends in one process: ours on this Deno, udx-native under Node, by turns so that a
 * busy machine troubles both. Ends by itself, in about a minute.
 *
 * `deno task bench:udx`
 */
import { percentile, renderTable, type Row } from "../bench_table.ts";
import { NodePeer } from "../interop/node_peer.ts";

const ROUNDS = 3;
const CHUNK_BYTES = 65_536;
const MESSAGE_BYTES = 300;
const TRANSFER_BYTES = 100_000_000;
const ROUND_TRIPS = 10_000;
/** Streams side by side, and what they transfer together. A thousand of udx-native's mostly wait for timeouts. */
const SCALES = [
  { streams: 1, bytes: 100_000_000, rounds: 3 },
  { streams: 10, bytes: 100_000_000, rounds: 3 },
  { streams: 100, bytes: 20_000_000, rounds: 1 },
  { streams: 1000, bytes: 20_000_000, rounds: 1 },
] as const;
/** The memory of fewer is lost in the noise of the process. */
const LEAST_STREAMS_WEIGHED = 100;
/** Round trips per run when all streams are active, shared among them. */
const SHARED_ROUND_TRIPS = 20_000;
/** hyperdht's `connectionKeepAlive`; in that time each stream sends one heartbeat. */
const KEEPALIVE_MS = 5000;

interface Transfer {
  readonly ms: number;
  readonly bytes: number;
  readonly packets: number;
  readonly cpuMs: number;
}

interface Memory {
  readonly heapBytes: number;
  readonly rssBytes: number;
}

interface Table {
  readonly header: Row;
  readonly rows: Row[];
}

/** Both implementations, ready for commands. */
class Contest implements AsyncDisposable {
  private constructor(readonly ours: NodePeer, readonly native: NodePeer) {}

  static async start(): Promise<Contest> {
    const config = new URL("../deno.json", import.meta.url).pathname;
    const ours = NodePeer.startDeno(
      new URL("./udx_bench_peer.ts", import.meta.url),
      ["--config", config, "--no-prompt", "--frozen", "--quiet", "--allow-read", "--allow-net", "--allow-sys"],
    );
    return new Contest(ours, await NodePeer.start("udx_bench.cjs"));
  }

  /** Measurements by each, one after the other. */
  async byTurns<T>(rounds: number, name: string, argument: unknown): Promise<{ ours: T[]; native: T[] }> {
    const results = { ours: [] as T[], native: [] as T[] };
    for (let round = 0; round < rounds; round++) {
      for (const side of ["ours", "native"] as const) {
        results[side].push(await command<T>(this[side], name, argument));
      }
    }
    return results;
  }

  /** One measurement by both at the same time, for those that don't compete. */
  async together<T>(name: string, argument: unknown): Promise<{ ours: T; native: T }> {
    const [ours, native] = await Promise.all([
      command<T>(this.ours, name, argument),
      command<T>(this.native, name, argument),
    ]);
    return { ours, native };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.ours.stop(), this.native.stop()]);
  }
}

async function command<T>(peer: NodePeer, name: string, argument: unknown): Promise<T> {
  await peer.send([name, argument]);
  return await peer.next();
}

function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

/** Rows of ours, udx-native and ours ÷ udx-native. `digits` after the point per column. */
function compare(ours: readonly number[], native: readonly number[], digits: readonly number[], name = ""): Row[] {
  const row = (who: string, values: readonly number[]): Row => ({
    name: `${name}${who}`,
    cells: values.map((value, i) => Number.isNaN(value) ? "" : value.toFixed(digits[i])),
  });
  const ratio = {
    name: `${name}ours / native`,
    cells: ours.map((value, i) => native[i]! > 0 ? (value / native[i]!).toFixed(2) : ""),
  };
  return [row("ours (Deno)", ours), row("udx-native (Node)", native), ratio];
}

const megabytesPerSecond = (transfers: readonly Transfer[]) =>
  median(transfers.map(({ bytes, ms }) => bytes / ms / 1e3));

async function oneStream(contest: Contest): Promise<Table> {
  const transfers = await contest.byTurns<Transfer>(ROUNDS, "transfer", {
    streams: 1,
    bytes: TRANSFER_BYTES,
    chunkBytes: CHUNK_BYTES,
  });
  const trips = await contest.byTurns<number[]>(ROUNDS, "roundTrips", {
    streams: 1,
    active: 1,
    count: ROUND_TRIPS,
    bytes: MESSAGE_BYTES,
  });
  const values = (side: "ours" | "native") => [
    megabytesPerSecond(transfers[side]),
    median(transfers[side].map(({ packets, ms }) => packets / ms * 1000)),
    median(transfers[side].map(({ cpuMs, bytes }) => cpuMs / bytes * 1e6)),
    median(trips[side].map((timesMs) => percentile(timesMs, 0.5) * 1000)),
    median(trips[side].map((timesMs) => percentile(timesMs, 0.99) * 1000)),
  ];
  return {
    header: {
      name: "UDX over loopback, one stream",
      cells: ["MB/s", "packets/s", "CPU s/GB", `${MESSAGE_BYTES} B round trip µs p50`, "p99"],
    },
    rows: compare(values("ours"), values("native"), [0, 0, 2, 0, 0]),
  };
}

async function manyStreams(contest: Contest, memory: { ours: Memory[]; native: Memory[] }): Promise<Table> {
  const rows: Row[] = [];
  for (const [i, { streams, bytes, rounds }] of SCALES.entries()) {
    const transfers = await contest.byTurns<Transfer>(rounds, "transfer", { streams, bytes, chunkBytes: CHUNK_BYTES });
    const trips = { streams, bytes: MESSAGE_BYTES };
    const alone = await contest.byTurns<number[]>(rounds, "roundTrips", { ...trips, active: 1, count: 2000 });
    const all = await contest.byTurns<number[]>(rounds, "roundTrips", {
      ...trips,
      active: streams,
      count: SHARED_ROUND_TRIPS / streams,
    });
    const idle = await contest.together<number>("idleCpu", { streams, keepaliveMs: KEEPALIVE_MS, forMs: KEEPALIVE_MS });
    const values = (side: "ours" | "native") => [
      megabytesPerSecond(transfers[side]),
      median(alone[side].map((timesMs) => median(timesMs) * 1000)),
      median(all[side].map((timesMs) => median(timesMs) * 1000)),
      streams < LEAST_STREAMS_WEIGHED ? NaN : memory[side][i]!.heapBytes,
      streams < LEAST_STREAMS_WEIGHED ? NaN : memory[side][i]!.rssBytes,
      idle[side] * 60_000 / KEEPALIVE_MS / 1000,
    ];
    rows.push(...compare(values("ours"), values("native"), [0, 0, 0, 0, 0, 2], `${streams}: `));
  }
  return {
    header: {
      name: "streams in both directions",
      cells: [
        "MB/s",
        "round trip µs p50, others idle",
        "all active",
        "heap B per idle stream",
        "RSS B",
        `CPU s/min idle, ${KEEPALIVE_MS / 1000} s keepalive`,
      ],
    },
    rows,
  };
}

/** One stream in detail, then how it grows up to 1,000. */
export async function benchUdx(): Promise<Table[]> {
  await using contest = await Contest.start();
  // First, while the processes are fresh: memory that others left would be used instead of asking for more.
  const memory = await contest.together<Memory[]>("idleMemory", {
    streams: SCALES.map(({ streams }) => streams),
    bytes: MESSAGE_BYTES,
  });
  return [await oneStream(contest), await manyStreams(contest, memory)];
}

if (import.meta.main) {
  for (const { header, rows } of await benchUdx()) console.log(`${renderTable(header, rows)}\n`);
}
