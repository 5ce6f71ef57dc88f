import assert from "node:assert/strict";
import fc from "fast-check";
import { UDX, type UDXSocket, type UDXStream } from "../../lib/udx/mod.ts";
import { DESTROY, encodePacket } from "../../lib/udx/packet.ts";
import { damagedPacket, datagramOf, type PeerPacket } from "./fuzz_packets.ts";
import { HandSocket } from "./hand_socket.ts";

const STREAMS = 3;

/** Something that happens to one of a few streams of a UDX. */
type Op =
  | {
    readonly kind: "packet";
    readonly to: number;
    readonly packet: PeerPacket;
    readonly expects: number;
    readonly via: number;
  }
  | { readonly kind: "write"; readonly to: number; readonly bytes: number }
  | { readonly kind: "relay" | "change-remote"; readonly to: number; readonly other: number }
  | { readonly kind: "message" | "end" | "destroy" | "pause" | "resume" | "reopen" | "flush"; readonly to: number }
  | { readonly kind: "settle" };

const stream = fc.nat(STREAMS - 1);

const op: fc.Arbitrary<Op> = fc.oneof(
  {
    weight: 10,
    arbitrary: fc.record({
      kind: fc.constant("packet" as const),
      // One that nobody has is among them.
      to: fc.nat(STREAMS),
      packet: damagedPacket,
      expects: fc.nat(6),
      via: fc.nat(1),
    }),
  },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("write" as const), to: stream, bytes: fc.nat(20_000) }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constantFrom("relay" as const, "change-remote" as const),
      to: stream,
      other: stream,
    }),
  },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constantFrom("message", "pause", "resume", "reopen", "reopen", "flush", "end", "destroy"),
      to: stream,
    }),
  },
  { weight: 2, arbitrary: fc.constant({ kind: "settle" as const }) },
);

/** A UDX with two sockets and a few streams, whose errors are expected, but none of which may throw at a packet. */
class FuzzedUdx {
  readonly #hand = [new HandSocket(), new HandSocket()] as const;
  readonly #udx: UDX;
  readonly #sockets: readonly UDXSocket[];
  readonly #streams: UDXStream[] = [];
  #opened = 0;
  #closed = 0;

  constructor() {
    let next = 0;
    this.#udx = new UDX({ listenDatagram: () => this.#hand[next++]! });
    this.#sockets = this.#hand.map(() => this.#udx.createSocket());
    for (const socket of this.#sockets) socket.bind(0, "127.0.0.1");
    for (let id = 0; id < STREAMS; id++) this.#open(id);
  }

  #open(id: number): void {
    const stream = this.#udx.createStream(id, { firewall: () => false });
    stream.on("error", () => {});
    stream.on("close", () => this.#closed++);
    stream.on("data", () => {});
    stream.connect(this.#sockets[0]!, id + 10, 5000, "127.0.0.1");
    this.#streams[id] = stream;
    this.#opened++;
  }

  async do(op: Op): Promise<void> {
    if (op.kind === "settle") return await this.#hand[0].settled();
    const stream = this.#streams[op.to];
    if (op.kind === "packet") {
      const datagram = datagramOf(op.packet, op.to, op.expects, op.expects);
      const from = { host: "127.0.0.1", family: 4, port: 5000 } as const;
      this.#udx.handleDatagram(this.#sockets[op.via]!, datagram, from);
      return;
    }
    if (stream === undefined) return;
    if (op.kind !== "reopen" && stream.destroying) return;
    switch (op.kind) {
      case "reopen":
        if (stream.destroyed) this.#open(op.to);
        return;
      case "write":
        stream.write(new Uint8Array(op.bytes));
        return;
      case "relay":
        // A stream that relays already, or whose destination has gone, refuses.
        try {
          stream.relayTo(this.#streams[op.other]!);
        } catch (error) {
          assert.match(String(error), /relay/i);
        }
        return;
      case "change-remote":
        try {
          stream.changeRemote(this.#sockets[op.other % 2]!, 20, 6000, "127.0.0.1");
        } catch (error) {
          assert.match(String(error), /changing|connected/);
        }
        return;
      case "message":
        stream.trySend(Uint8Array.of(1, 2, 3));
        return;
      case "flush":
        void stream.flush();
        return;
      case "end":
      case "destroy":
      case "pause":
      case "resume":
        stream[op.kind]();
        return;
      default: {
        const never: never = op;
        return never;
      }
    }
  }

  /** Everything closes, and nothing is left. */
  async finish(): Promise<void> {
    for (const stream of this.#streams) {
      stream.destroy();
      // One whose both directions have ended waits for its last acknowledgement, whatever its owner does.
      const last = encodePacket({ type: DESTROY, streamId: stream.id, receiveWindow: 0, seq: 2 ** 30, ack: 0 });
      this.#udx.handleDatagram(this.#sockets[0]!, last, { host: "127.0.0.1", family: 4, port: 5000 });
    }
    await this.#hand[0].settled();
    assert.equal(this.#closed, this.#opened, "every stream closes");
    for (const socket of this.#sockets) {
      assert.equal(socket.streams.size, 0);
      await socket.close();
    }
    await this.#hand[0].settled();
  }
}

/** A few streams of one UDX under any sequence of datagrams and commands. */
export function udxProperty(onRun: (inputs: number) => void): fc.IAsyncProperty<[Op[]]> {
  return fc.asyncProperty(fc.array(op, { maxLength: 60, size: "max" }), async (ops) => {
    const fuzzed = new FuzzedUdx();
    for (const op of ops) await fuzzed.do(op);
    await fuzzed.finish();
    onRun(ops.length);
  });
}
