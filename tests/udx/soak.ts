/**
 * Hours of traffic with churn over loopback, part of it through sockets that lose, double and reorder:
 * `deno task udx:soak --minutes 60`. Prints a line a minute and at the end whether memory stayed flat
 * (`memory_verdict.ts`), every stream ended as it should have, and nothing was left open.
 */
import { parseArgs } from "node:util";
import { UDX, type UDXSocket, type UDXStream } from "../../lib/udx/mod.ts";
import { FIVE_PERCENT, lossyListener, seededRandom } from "./lossy.ts";
import { judgeMemory, type MemorySample } from "./memory_verdict.ts";

const LOOPBACK = "127.0.0.1";
const SAMPLE_EVERY_MS = 5000;
const TICK_MS = 50;
const CHUNK_BYTES = 16_384;
/** Keeps it to a small part of a core. */
const BYTES_PER_SECOND = 1_500_000;
const PAIRS_PER_SECOND = 15;
const MAX_PAIRS = 60;
const CHUNK = new Uint8Array(CHUNK_BYTES).map((_, i) => i * 31);

const sleep = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

/** Gives leave to send bytes, so many a second. */
class Budget {
  #bytes = 0;
  #waiting: (() => void)[] = [];

  refill(ms: number): void {
    this.#bytes = Math.min(this.#bytes + (BYTES_PER_SECOND * ms) / 1000, BYTES_PER_SECOND);
    while (this.#bytes > 0 && this.#waiting.length > 0) this.#waiting.shift()!();
  }

  async take(bytes: number): Promise<void> {
    while (this.#bytes <= 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#bytes -= bytes;
  }
}

interface Side {
  readonly udx: UDX;
  readonly socket: UDXSocket;
}

function side(udx: UDX): Side {
  const socket = udx.createSocket();
  socket.bind(0, LOOPBACK);
  return { udx, socket };
}

class Soak {
  readonly #random: () => number;
  readonly #budget = new Budget();
  /** Joined by a plain network and by one that loses packets. */
  readonly #paths: readonly (readonly [Side, Side])[];
  readonly #running = new Set<Promise<void>>();
  readonly samples: MemorySample[] = [];
  #nextId = 1;
  #stopping = false;
  opened = 0;
  finished = 0;
  destroyed = 0;
  bytes = 0;
  messages = 0;
  /** What should not happen, by what it was. */
  readonly failures = new Map<string, number>();

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    const lossy = lossyListener(FIVE_PERCENT, seed).listenDatagram;
    this.#paths = [
      [side(new UDX()), side(new UDX())],
      [side(new UDX({ listenDatagram: lossy })), side(new UDX({ listenDatagram: lossy }))],
    ];
  }

  get packets(): number {
    return this.#paths.flat().reduce((sum, { udx }) => sum + udx.packetsTransmitted, 0);
  }

  get open(): number {
    return this.#running.size;
  }

  async run(untilMs: number): Promise<void> {
    let due = 0;
    let lastMs = performance.now();
    while (performance.now() < untilMs) {
      await sleep(TICK_MS);
      const nowMs = performance.now();
      this.#budget.refill(nowMs - lastMs);
      due = Math.min(due + ((nowMs - lastMs) / 1000) * PAIRS_PER_SECOND, PAIRS_PER_SECOND);
      lastMs = nowMs;
      for (; due >= 1 && this.#running.size < MAX_PAIRS; due--) this.#start();
    }
  }

  /** Waits until all streams have ended, and closes the sockets. */
  async stop(): Promise<void> {
    this.#stopping = true;
    const refill = setInterval(() => this.#budget.refill(TICK_MS), TICK_MS);
    await Promise.all(this.#running);
    clearInterval(refill);
    for (const { socket } of this.#paths.flat()) {
      if (!socket.idle) this.#fail(`${socket.streams.size} streams left on a socket`);
      await socket.close();
    }
  }

  #fail(what: string): void {
    this.failures.set(what, (this.failures.get(what) ?? 0) + 1);
  }

  #start(): void {
    const running = this.#pair().catch((error: Error) => this.#fail(error.message));
    this.#running.add(running);
    running.finally(() => this.#running.delete(running));
  }

  async #pair(): Promise<void> {
    const random = this.#random;
    const [left, right] = this.#paths[random() < 0.7 ? 0 : 1]!;
    const [idA, idB] = [this.#nextId++, this.#nextId++];
    const a = left.udx.createStream(idA);
    const b = right.udx.createStream(idB);
    a.connect(left.socket, idB, right.socket.address()!.port, LOOPBACK);
    b.connect(right.socket, idA, left.socket.address()!.port, LOOPBACK);
    this.opened++;
    const [there, back] = [Math.floor(300_000 * random() ** 3), Math.floor(30_000 * random())];
    const destroys = random() < 0.2;
    for (const stream of [a, b]) {
      stream.on("message", () => this.messages++);
      if (random() < 0.3) stream.setKeepalive(500);
    }
    const closed = [this.#closed(a, b, back, destroys), this.#closed(b, a, there, destroys)];
    await Promise.all([this.#write(a, there), this.#write(b, back)]);
    if (destroys) (random() < 0.5 ? a : b).destroy();
    await Promise.all(closed);
    if (destroys) this.destroyed++;
    else this.finished++;
  }

  async #write(stream: UDXStream, bytes: number): Promise<void> {
    const random = this.#random;
    let goOn = () => {};
    stream.on("drain", () => goOn());
    stream.on("close", () => goOn());
    for (let left = bytes; left > 0 && !stream.destroying; left -= CHUNK_BYTES) {
      await this.#budget.take(Math.min(left, CHUNK_BYTES));
      if (random() < 0.1) stream.trySend(CHUNK.subarray(0, 200));
      if (random() < 0.02 && !this.#stopping) await sleep(2000 * random());
      if (!stream.write(CHUNK.subarray(0, Math.min(left, CHUNK_BYTES)))) {
        await new Promise<void>((resolve) => goOn = resolve);
      }
    }
    if (!stream.destroying) stream.end();
  }

  /** Reads all there is; resolves when the stream has closed the way it should. */
  #closed(stream: UDXStream, other: UDXStream, wanted: number, destroys: boolean): Promise<void> {
    let received = 0;
    let ended = false;
    let code = "";
    stream.on("data", (data: Uint8Array) => {
      if (data.length > 0 && data[0] !== CHUNK[received % CHUNK_BYTES]) this.#fail("wrong bytes");
      received += data.length;
      this.bytes += data.length;
      // Some readers pause now and then.
      if (this.#random() > 0.002 || this.#stopping) return;
      stream.pause();
      setTimeout(() => stream.resume(), 300);
    });
    stream.on("end", () => ended = true);
    stream.on("error", (error: Error & { code?: string }) => code = error.code ?? error.message);
    return new Promise((resolve) => {
      stream.on("close", () => {
        if (!destroys && (received !== wanted || !ended || code !== "")) {
          this.#fail(
            `${code || "closed"} after ${received === wanted ? "all" : "some"} bytes, other ${other.destroying}`,
          );
        } else if (code === "ETIMEDOUT") this.#fail(code);
        resolve();
      });
    });
  }
}

function collectGarbage(): void {
  const { gc } = globalThis as { gc?: () => void };
  if (gc === undefined) throw new Error("run it with --v8-flags=--expose-gc");
  gc();
}

function sample(): MemorySample {
  collectGarbage();
  const { rss, heapUsed, external } = Deno.memoryUsage();
  return { rss, heap: heapUsed, external };
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { minutes: { type: "string" }, seed: { type: "string" } } });
  const minutes = Number(values.minutes ?? 60);
  const soak = new Soak(Number(values.seed ?? 0x50a8));
  const startedMs = performance.now();
  const mb = (bytes: number) => (bytes / 1e6).toFixed(1);
  const report = () => {
    const last = soak.samples.at(-1) ?? sample();
    console.log(
      `${((performance.now() - startedMs) / 60_000).toFixed(1)} min: ${
        mb(soak.bytes)
      } MB, ${soak.opened} pairs opened, ` +
        `${soak.finished} finished, ${soak.destroyed} destroyed, ${soak.open} open, ${soak.packets} packets, ` +
        `${soak.messages} messages; RSS ${mb(last.rss)}, heap ${mb(last.heap)}, external ${mb(last.external)} MB; ` +
        `failures ${JSON.stringify(Object.fromEntries(soak.failures))}`,
    );
  };
  const sampler = setInterval(() => soak.samples.push(sample()), SAMPLE_EVERY_MS);
  const reporter = setInterval(report, 60_000);
  await soak.run(startedMs + minutes * 60_000);
  clearInterval(sampler);
  clearInterval(reporter);
  await soak.stop();
  report();
  const memory = judgeMemory(soak.samples);
  const ok = memory.flat && soak.failures.size === 0;
  console.log(
    `${ok ? "PASS" : "FAIL"}: memory ${memory.flat ? "flat" : "not flat"} (${memory.text}); ` +
      `${[...soak.failures.values()].reduce((sum, count) => sum + count, 0)} failures`,
  );
  if (!ok) Deno.exitCode = 1;
}
