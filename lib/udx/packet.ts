/**
 * The UDX wire format, version 1: a header of 20 bytes, little-endian, then SACK blocks or padding, then payload.
 *
 * ```
 *  0        1        2        3            4           8                12      16      20
 *  magic    version  type     data offset  stream id   receive window   seq     ack     …
 * ```
 *
 * `stream id` is the receiver's id. `seq` counts packets, not bytes: it numbers this packet if it carries DATA or END,
 * else it is the next number to be used. `ack` is the next number expected from the other side. The data offset says
 * how many bytes lie between header and payload (SACK blocks or the padding of an MTU probe). Followed: libudx.
 */

export const HEADER_BYTES = 20;
const MAGIC = 0xff;
const VERSION = 1;

/** Bits of the type byte; a packet may carry several. */
export const DATA = 1;
export const END = 2;
export const SACK = 4;
export const MESSAGE = 8;
export const DESTROY = 16;
export const HEARTBEAT = 32;

/** More blocks than this are neither sent nor read, as in libudx: bounds the work one packet can cause. */
export const MAX_SACK_BLOCKS = 50;

/** A decoded datagram. `payload` and the SACK bytes are views of the datagram, not copies. */
export interface Packet {
  readonly type: number;
  /** The receiver's stream id. */
  readonly streamId: number;
  /** Bytes the sender of this packet is ready to take. */
  readonly receiveWindow: number;
  readonly seq: number;
  readonly ack: number;
  /** Pairs `[start, end)` of acknowledged sequence numbers, flat: start, end, start, end, … Empty without SACK. */
  readonly sacks: readonly number[];
  readonly payload: Uint8Array;
  /** Size of the whole datagram. */
  readonly bytes: number;
}

/** The fields of a header to be written. All numbers are unsigned 32 bit. */
export interface Header {
  readonly type: number;
  readonly streamId: number;
  readonly receiveWindow: number;
  readonly seq: number;
  readonly ack: number;
}

const NO_SACKS: readonly number[] = [];

function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! | (bytes[at + 1]! << 8) | (bytes[at + 2]! << 16) | (bytes[at + 3]! << 24)) >>> 0);
}

export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value;
  bytes[at + 1] = value >>> 8;
  bytes[at + 2] = value >>> 16;
  bytes[at + 3] = value >>> 24;
}

/** Reads a datagram; null when it is no UDX packet (too short, other magic or version, data offset beyond its end). */
export function decodePacket(datagram: Uint8Array): Packet | null {
  const bytes = datagram.length;
  if (bytes < HEADER_BYTES || datagram[0] !== MAGIC || datagram[1] !== VERSION) return null;
  const type = datagram[2]!;
  const dataOffset = datagram[3]!;
  if (HEADER_BYTES + dataOffset > bytes) return null;
  return {
    type,
    streamId: readU32(datagram, 4),
    receiveWindow: readU32(datagram, 8),
    seq: readU32(datagram, 12),
    ack: readU32(datagram, 16),
    sacks: (type & SACK) === 0 ? NO_SACKS : decodeSacks(datagram, dataOffset),
    payload: datagram.subarray(HEADER_BYTES + dataOffset),
    bytes,
  };
}

function decodeSacks(datagram: Uint8Array, dataOffset: number): number[] {
  // Without an offset the blocks fill the packet: libudx sends its acknowledgements like that.
  const sackBytes = dataOffset > 0 ? dataOffset : datagram.length - HEADER_BYTES;
  const blocks = Math.min(Math.floor(sackBytes / 8), MAX_SACK_BLOCKS);
  const sacks: number[] = [];
  for (let i = 0; i < blocks * 2; i++) sacks.push(readU32(datagram, HEADER_BYTES + i * 4));
  return sacks;
}

/** Writes the 20 bytes of a header at the start of `into`. */
export function encodeHeader(
  into: Uint8Array,
  type: number,
  streamId: number,
  receiveWindow: number,
  seq: number,
  ack: number,
): void {
  into[0] = MAGIC;
  into[1] = VERSION;
  into[2] = type;
  into[3] = 0;
  writeU32(into, 4, streamId);
  writeU32(into, 8, receiveWindow);
  writeU32(into, 12, seq);
  writeU32(into, 16, ack);
}

/** A whole datagram: header, then `sacks` (flat pairs) or `payload`. */
export function encodePacket(header: Header, payload?: Uint8Array, sacks: readonly number[] = NO_SACKS): Uint8Array {
  const sackBytes = sacks.length * 4;
  const datagram = new Uint8Array(HEADER_BYTES + sackBytes + (payload?.length ?? 0));
  encodeHeader(datagram, header.type, header.streamId, header.receiveWindow, header.seq, header.ack);
  for (let i = 0; i < sacks.length; i++) writeU32(datagram, HEADER_BYTES + i * 4, sacks[i]!);
  if (payload !== undefined && payload.length > 0) {
    datagram[3] = sackBytes;
    datagram.set(payload, HEADER_BYTES + sackBytes);
  }
  return datagram;
}

/** Advances a sequence number, modulo 2^32. */
export function seqAdd(seq: number, count: number): number {
  return (seq + count) >>> 0;
}

/** `a - b` on the circle of 32-bit sequence numbers: positive when `a` comes after `b`. */
export function seqDiff(a: number, b: number): number {
  return (a - b) | 0;
}
