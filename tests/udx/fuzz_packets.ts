import fc from "fast-check";
import {
  DATA,
  DESTROY,
  encodePacket,
  END,
  type Header,
  HEADER_BYTES,
  HEARTBEAT,
  MESSAGE,
  SACK,
  seqAdd,
} from "../../lib/udx/packet.ts";

/** A packet as a peer may write it, numbers relative to what it has seen. */
export interface PeerPacket {
  readonly type: number;
  /** How far from the next number we expect. */
  readonly seqAhead: number;
  /** How far from the oldest number of ours that isn't acknowledged. */
  readonly ackAhead: number;
  readonly window: number;
  /** Pairs of distances from that number. */
  readonly sacks: readonly (readonly [number, number])[];
  readonly mutations: readonly Mutation[];
}

/** A byte that is changed, or a cut or an extension. */
export interface Mutation {
  readonly at: number;
  readonly value: number;
  readonly kind: "set" | "flip" | "cut" | "extend";
}

const mutation: fc.Arbitrary<Mutation> = fc.record({
  at: fc.oneof({ weight: 3, arbitrary: fc.nat(HEADER_BYTES + 16) }, { weight: 1, arbitrary: fc.nat(1200) }),
  value: fc.nat(255),
  kind: fc.constantFrom("set", "flip", "flip", "cut", "extend"),
});

const near = fc.oneof(
  { weight: 6, arbitrary: fc.constant(0) },
  { weight: 4, arbitrary: fc.integer({ min: -3, max: 12 }) },
  { weight: 2, arbitrary: fc.integer({ min: -200, max: 20_000 }) },
  { weight: 1, arbitrary: fc.constantFrom(2 ** 31 - 1, -(2 ** 31), 65_535, 65_536, 65_537, 2 ** 30) },
);

const types = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(0, DATA, SACK, DATA | END, MESSAGE, HEARTBEAT) },
  { weight: 1, arbitrary: fc.constantFrom(DATA | SACK, DATA | MESSAGE, END, DESTROY) },
  { weight: 1, arbitrary: fc.nat(255) },
);

const window = fc.oneof(
  { weight: 4, arbitrary: fc.constant(4_194_304) },
  { weight: 2, arbitrary: fc.constantFrom(0, 1, 1500, 0xffff_ffff) },
  { weight: 1, arbitrary: fc.nat(100_000) },
);

function peerPacketOf(mutations: fc.Arbitrary<readonly Mutation[]>): fc.Arbitrary<PeerPacket> {
  return fc.record({
    type: types,
    seqAhead: near,
    ackAhead: near,
    window,
    sacks: fc.array(fc.tuple(near, near), { maxLength: 6 }),
    mutations,
  });
}

/** Packets that keep to the format. */
export const peerPacket = peerPacketOf(fc.constant([]));
/** Packets that may be damaged anywhere. */
export const damagedPacket = peerPacketOf(fc.array(mutation, { maxLength: 4 }));

/** What a number carries, so that what is delivered can be told from what should be. */
export function contentOf(seq: number): Uint8Array {
  return new Uint8Array(1 + (seq % 61)).fill(seq ^ (seq >>> 8));
}

/** The datagram of a packet. @param expects the number its receiver waits for @param unacked its oldest own number */
export function datagramOf(packet: PeerPacket, streamId: number, expects: number, unacked: number): Uint8Array {
  const seq = seqAdd(expects, packet.seqAhead);
  const header: Header = {
    type: packet.type,
    streamId,
    receiveWindow: packet.window,
    seq,
    ack: seqAdd(unacked, packet.ackAhead),
  };
  const carries = (packet.type & (DATA | MESSAGE)) !== 0;
  const blocks = (packet.type & SACK) === 0
    ? []
    : packet.sacks.flatMap(([start, end]) => [seqAdd(unacked, start), seqAdd(unacked, end)]);
  const bytes = encodePacket(header, carries ? contentOf(seq) : undefined, blocks);
  return packet.mutations.reduce(mutate, bytes);
}

function mutate(bytes: Uint8Array, { at, value, kind }: Mutation): Uint8Array {
  switch (kind) {
    case "set":
    case "flip":
      if (at < bytes.length) bytes[at] = kind === "set" ? value : bytes[at]! ^ (1 << (value & 7));
      return bytes;
    case "cut":
      return bytes.slice(0, at);
    case "extend": {
      const longer = new Uint8Array(bytes.length + value);
      longer.set(bytes);
      return longer.fill(at, bytes.length);
    }
    default: {
      const never: never = kind;
      return never;
    }
  }
}
