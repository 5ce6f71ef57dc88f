import { sha256 } from "@noble/hashes/sha2.js";
import type { LogHead } from "./audit_sink.ts";

/**
 * How far a log was known to reach, kept outside of it: damage or an old backup can make Hypercore open a log silently
 * at a shorter length, and the next append would then fork it under the same key.
 *
 * The file has two slots, written in turn, so that a torn write leaves the other one whole. A mark may lag behind its
 * log (it isn't synced with every append), but never runs ahead of it.
 */
export const slotBytes = 256;

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** One slot: a line of JSON with its own checksum, padded with blanks. */
export function encodeMark(head: LogHead): Uint8Array {
  const body = bodyOf(head);
  return encoder.encode(JSON.stringify({ ...head, checksum: checksum(body) }).padEnd(slotBytes - 1) + "\n");
}

/** The furthest mark in the file's two slots, or undefined if neither is whole. */
export function decodeMarks(bytes: Uint8Array): LogHead | undefined {
  const marks = [0, 1].map((slot) => decodeMark(bytes.subarray(slot * slotBytes, (slot + 1) * slotBytes)));
  return marks.reduce(
    (best, mark) => mark !== undefined && mark.length >= (best?.length ?? 0) ? mark : best,
    undefined,
  );
}

function decodeMark(slot: Uint8Array): LogHead | undefined {
  try {
    const { length, treeHash, checksum: given } = JSON.parse(decoder.decode(slot));
    if (!Number.isSafeInteger(length) || length < 0 || typeof treeHash !== "string") return undefined;
    return given === checksum(bodyOf({ length, treeHash })) ? { length, treeHash } : undefined;
  } catch {
    // A torn slot is expected after a power cut, and the other one holds then.
    return undefined;
  }
}

function bodyOf({ length, treeHash }: LogHead): string {
  return `tightrope high-water mark ${length} ${treeHash}`;
}

function checksum(body: string): string {
  return sha256(encoder.encode(body)).slice(0, 8).toHex();
}
