import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { type ListenDatagram, UDX, type UDXOptions } from "../../lib/udx/mod.ts";
import { decodePacket, type Packet } from "../../lib/udx/packet.ts";
import { FIVE_PERCENT, lossyListener } from "../udx/lossy.ts";
import { Driver } from "./node/udx_driver.mjs";
import { installNodePeers } from "./node_install.ts";

export const LOOPBACK = "127.0.0.1";

/** Carries out one command of udx_driver.mjs. */
type Run = (command: Record<string, unknown>) => Promise<unknown>;

/** One Node process with any number of udx-native ends; answers are read only while a command waits for its own. */
class NativeEnds {
  readonly #child: Deno.ChildProcess;
  readonly #reader: ReadableStreamDefaultReader<Uint8Array>;
  readonly #writer: WritableStreamDefaultWriter<Uint8Array>;
  readonly #waiting = new Map<number, PromiseWithResolvers<unknown>>();
  readonly #decoder = new TextDecoder();
  #rest = "";
  #seq = 0;
  #reading = false;

  private constructor(child: Deno.ChildProcess) {
    this.#child = child;
    this.#reader = child.stdout.getReader();
    this.#writer = child.stdin.getWriter();
  }

  static async start(): Promise<NativeEnds> {
    const source = await Deno.readTextFile(new URL("./node/udx_ends.cjs", import.meta.url));
    const driver = new URL("./node/udx_driver.mjs", import.meta.url).href;
    const child = new Deno.Command("node", {
      args: ["--input-type=commonjs", "--eval", source, "--", driver],
      cwd: await installNodePeers(),
      stdin: "piped",
      stdout: "piped",
      stderr: "inherit",
    }).spawn();
    return new NativeEnds(child);
  }

  async run(end: string, command: Record<string, unknown>): Promise<unknown> {
    const seq = this.#seq++;
    const answer = Promise.withResolvers<unknown>();
    this.#waiting.set(seq, answer);
    await this.#writer.write(new TextEncoder().encode(JSON.stringify({ end, seq, ...command }) + "\n"));
    if (!this.#reading) void this.#read();
    return await answer.promise;
  }

  async #read(): Promise<void> {
    this.#reading = true;
    while (this.#waiting.size > 0) {
      const { value, done } = await this.#reader.read();
      if (done) {
        for (const { reject } of this.#waiting.values()) reject(new Error("the Node process has ended"));
        this.#waiting.clear();
        break;
      }
      const lines = (this.#rest + this.#decoder.decode(value, { stream: true })).split("\n");
      this.#rest = lines.pop()!;
      for (const line of lines) this.#answer(JSON.parse(line));
    }
    this.#reading = false;
  }

  #answer({ seq, value, error }: { seq: number; value?: unknown; error?: { message: string; code: string | null } }) {
    const waiting = this.#waiting.get(seq)!;
    this.#waiting.delete(seq);
    if (error === undefined) waiting.resolve(value);
    else waiting.reject(Object.assign(new Error(error.message), { code: error.code }));
  }

  async stop(): Promise<void> {
    await this.#writer.close();
    await this.#child.status;
    await this.#reader.cancel();
  }
}

let native: NativeEnds | null = null;

Deno.test.beforeAll(async () => {
  native = await NativeEnds.start();
});
Deno.test.afterAll(() => native?.stop());

/** Bytes that went one way; `text` is null when there were many, `chunks` counts the reader's data events. */
export interface Bytes {
  readonly bytes: number;
  readonly sha256: string;
  readonly text: string | null;
  readonly chunks?: number;
}

/** What `received()` must tell after exactly this text. */
export function textBytes(text: string): Bytes {
  return { bytes: text.length, sha256: createHash("sha256").update(text).digest("hex"), text };
}

export function assertSameBytes(received: Bytes, sent: Bytes): void {
  assert.deepEqual([received.bytes, received.sha256], [sent.bytes, sent.sha256]);
}

export interface Address {
  readonly host: string;
  readonly family: number;
  readonly port: number;
}

export interface EndStreamOptions {
  readonly firewall?: "accept" | "refuse" | { remoteId: number };
  readonly seq?: number;
  readonly framed?: boolean;
}

/** One UDX, ours or native, that is told what to do. */
export class End {
  #names = 0;

  constructor(readonly is: "UDX" | "udx-native", readonly run: Run) {}

  /** A UDX of ours in this process. */
  static ours(options?: UDXOptions): End {
    const driver = new Driver(new UDX(options), () => assert.fail("ours has no fields to set"));
    // deno-lint-ignore require-await -- what a command throws must reject, as it does from the Node process
    return new End("UDX", async (command) => driver.run(JSON.parse(JSON.stringify(command))));
  }

  /** A udx-native in the Node process of this file. */
  static native(name: string): End {
    return new End("udx-native", (command) => native!.run(name, command));
  }

  #name(kind: string): string {
    return `${kind} ${++this.#names}`;
  }

  /** A socket, bound unless `host` is null. */
  async socket(host: string | null = LOOPBACK, options: object = {}): Promise<Socket> {
    const name = this.#name("socket");
    await this.run({ op: "socket", name, options });
    const socket = new Socket(this, name);
    if (host !== null) await socket.call("bind", 0, host);
    return socket;
  }

  async stream(id: number, options: EndStreamOptions = {}): Promise<Stream> {
    const name = this.#name("stream");
    await this.run({ op: "stream", name, id, options });
    return new Stream(this, name, id);
  }

  async watcher(): Promise<Actor> {
    const name = this.#name("watcher");
    await this.run({ op: "watcher", name });
    return new Actor(this, name);
  }

  call<T = unknown>(method: string, ...args: unknown[]): Promise<T> {
    return this.run({ op: "call", method, args }) as Promise<T>;
  }

  static<T = unknown>(method: string, ...args: unknown[]): Promise<T> {
    return this.run({ op: "static", method, args }) as Promise<T>;
  }

  get<T = number>(property: string): Promise<T> {
    return this.run({ op: "get", property }) as Promise<T>;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.run({ op: "clear" });
  }
}

/** Something of an `End` that has methods, properties and events. */
export class Actor {
  constructor(readonly at: End, readonly name: string) {}

  call<T = unknown>(method: string, ...args: unknown[]): Promise<T> {
    const wire = args.map((arg) => {
      if (arg instanceof Actor) return { ref: arg.name };
      return arg instanceof Uint8Array ? { hex: arg.toHex() } : arg;
    });
    return this.at.run({ op: "call", of: this.name, method, args: wire }) as Promise<T>;
  }

  get<T = number>(property: string): Promise<T> {
    return this.at.run({ op: "get", of: this.name, property }) as Promise<T>;
  }

  /** The arguments of an event that has happened `nth` times, since the beginning. */
  wait<T extends unknown[] = unknown[]>(event: string, nth = 1): Promise<T> {
    return this.at.run({ op: "wait", of: this.name, event, nth }) as Promise<T>;
  }

  /** The arguments of each time that an event has happened. */
  happened<T extends unknown[] = unknown[]>(event: string): Promise<T[]> {
    return this.at.run({ op: "happened", of: this.name, event }) as Promise<T[]>;
  }
}

export class Socket extends Actor {
  address(): Promise<Address> {
    return this.call<Address>("address");
  }

  async port(): Promise<number> {
    return (await this.address()).port;
  }
}

export class Stream extends Actor {
  constructor(at: End, name: string, readonly id: number) {
    super(at, name);
  }

  connect(socket: Socket, remoteId: number, port: number, host = LOOPBACK, options: { ack?: number } = {}) {
    return this.call("connect", socket, remoteId, port, host, options);
  }

  changeRemote(socket: Socket, remoteId: number, port: number, host = LOOPBACK) {
    return this.call("changeRemote", socket, remoteId, port, host);
  }

  write(data: string | Uint8Array): Promise<boolean> {
    return this.call<boolean>("write", data);
  }

  end(data?: string | Uint8Array): Promise<unknown> {
    return data === undefined ? this.call("end") : this.call("end", data);
  }

  destroy(): Promise<unknown> {
    return this.call("destroy");
  }

  /** Starts reading: what comes is counted and hashed. */
  read(): Promise<unknown> {
    return this.at.run({ op: "read", of: this.name });
  }

  /** What was read, once it is that much or the stream has closed. */
  received(bytes: number): Promise<Bytes> {
    return this.at.run({ op: "received", of: this.name, bytes }) as Promise<Bytes>;
  }

  /** Writes pseudo-random bytes under back-pressure; resolves when the stream has taken them. */
  pour(bytes: number, chunkBytes = 65_536): Promise<Bytes> {
    return this.at.run({ op: "pour", of: this.name, bytes, chunkBytes }) as Promise<Bytes>;
  }

  /** The code of the error it closed with, or null. */
  async closed(): Promise<string | null> {
    await this.wait("close");
    const [error] = await this.happened<[{ code: string }]>("error");
    return error === undefined ? null : error[0].code;
  }

  /** Sets a field inside a native stream. @returns what it was */
  poke(field: "rto" | "receiveWindow", value: number): Promise<number> {
    return this.at.run({ op: "poke", of: this.name, field, value }) as Promise<number>;
  }
}

/** The two ends of a scene. */
export interface Scene {
  readonly a: End;
  readonly b: End;
  /** Ours, whichever role it plays; null in the control. */
  readonly ours: End | null;
}

export interface ConformOptions {
  /** Opens our sockets. */
  readonly listenDatagram?: () => ListenDatagram;
  /** Leave out the control, where udx-native has a limit that ours hasn't: say which. */
  readonly withoutControl?: string;
}

/**
 * Registers a scene once for each role of ours, and once between two udx-natives: the control, which shows that it is
 * the original's behaviour that is tested.
 */
export function conform(name: string, play: (scene: Scene) => Promise<void>, options: ConformOptions = {}): void {
  const listening = () => options.listenDatagram === undefined ? {} : { listenDatagram: options.listenDatagram() };
  Deno.test(`${name}: UDX and udx-native`, async () => {
    await using a = End.ours(listening());
    await using b = End.native("b");
    await play({ a, b, ours: a });
  });
  Deno.test(`${name}: udx-native and UDX`, async () => {
    await using a = End.native("a");
    await using b = End.ours(listening());
    await play({ a, b, ours: b });
  });
  if (options.withoutControl !== undefined) return;
  Deno.test(`${name}: udx-native and udx-native`, async () => {
    await using a = End.native("a");
    await using b = End.native("b");
    await play({ a, b, ours: null });
  });
}

/**
 * Plays the same on one end of each kind, and compares what it returns: what both do alike without a partner of the
 * other kind.
 */
export function alike(name: string, play: (end: End) => Promise<unknown>): void {
  Deno.test(`${name}: UDX as udx-native`, async () => {
    await using ours = End.ours();
    await using original = End.native("original");
    assert.deepEqual(await play(ours), await play(original));
  });
}

/** The message of what an action throws or rejects with, "" if it doesn't. */
export async function failure(action: Promise<unknown>): Promise<string> {
  return await action.then(() => "", (error: Error) => error.message);
}

export type Direction = "out" | "in";

/**
 * Opens real sockets, and asks about each packet that passes ours: true loses it. `packet` is null for a datagram that
 * is none.
 */
export function filteredListener(lose: (packet: Packet | null, direction: Direction) => boolean): ListenDatagram {
  return (options) => {
    const real = Deno.listenDatagram({ transport: "udp", ...options });
    return {
      addr: real.addr,
      close: () => real.close(),
      send: (bytes, to) => lose(decodePacket(bytes), "out") ? Promise.resolve(bytes.length) : real.send(bytes, to),
      async receive(into) {
        for (;;) {
          const [bytes, from] = await real.receive(into);
          if (!lose(decodePacket(bytes), "in")) return [bytes, from];
        }
      },
    };
  };
}

/**
 * The same over a network that loses, doubles and reorders 5 % each. Both roles play at once, since they mostly wait:
 * udx-native's timeouts are a second at least, and so are ours.
 */
export function conformLossy(name: string, play: (scene: Scene) => Promise<void>, seed = 0x5eed): void {
  Deno.test(`${name}, with 5 % lost, doubled and reordered: UDX and udx-native in both roles`, async () => {
    const lossy = () => End.ours({ listenDatagram: lossyListener(FIVE_PERCENT, seed).listenDatagram });
    await using first = lossy();
    await using second = lossy();
    await using a = End.native("a");
    await using b = End.native("b");
    await Promise.all([play({ a: first, b, ours: first }), play({ a, b: second, ours: second })]);
  });
}

export interface Pair {
  readonly a: Stream;
  readonly b: Stream;
  readonly sockets: readonly [Socket, Socket];
}

/** A stream at each end, connected over loopback. */
export async function connect(
  { a, b }: Pick<Scene, "a" | "b">,
  options: { a?: EndStreamOptions; b?: EndStreamOptions; id?: number; host?: string } = {},
): Promise<Pair> {
  const { host = LOOPBACK, id = 1 } = options;
  const sockets = [await a.socket(host), await b.socket(host)] as const;
  const [left, right] = [await a.stream(id, options.a), await b.stream(id + 1, options.b)];
  await left.connect(sockets[0], right.id, await sockets[1].port(), host, ackOf(options.b));
  await right.connect(sockets[1], left.id, await sockets[0].port(), host, ackOf(options.a));
  return { a: left, b: right, sockets };
}

function ackOf(options: EndStreamOptions = {}): { ack?: number } {
  return options.seq === undefined ? {} : { ack: options.seq };
}
