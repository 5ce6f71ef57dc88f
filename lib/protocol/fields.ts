import { invariant } from "../domain/errors.ts";

const encoder = new TextEncoder();

/** Text as UTF-8 bytes. */
export function utf8(text: string): Uint8Array {
  return encoder.encode(text);
}

/** A uint64, big-endian. */
export function u64(value: number): Uint8Array {
  invariant(Number.isSafeInteger(value) && value >= 0, "a counter left the safe integers");
  const out = new Uint8Array(8);
  new DataView(out.buffer).setBigUint64(0, BigInt(value));
  return out;
}

/**
 * Joins fields for hashing, each led by its length as u16 big-endian, so that no two lists of fields give the same bytes.
 * Text is UTF-8.
 */
export function joinFields(...fields: readonly (string | Uint8Array)[]): Uint8Array {
  const parts = fields.map((field) => (typeof field === "string" ? utf8(field) : field));
  const out = new Uint8Array(parts.reduce((sum, part) => sum + 2 + part.length, 0));
  let at = 0;
  for (const part of parts) {
    invariant(part.length <= 0xffff, "a hashed field is longer than 65,535 bytes");
    out[at] = part.length >> 8;
    out[at + 1] = part.length & 0xff;
    out.set(part, at + 2);
    at += 2 + part.length;
  }
  return out;
}

/** Compares in a time that depends on the lengths only, so that a MAC can't be guessed byte by byte. */
export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false;
  let difference = 0;
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!;
  return difference === 0;
}
