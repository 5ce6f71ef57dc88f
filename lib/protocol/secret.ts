import { sha256 } from "@noble/hashes/sha2.js";
import type { Random } from "../env/random.ts";
import { joinFields } from "./fields.ts";
import { encodeZbase32 } from "./zbase32.ts";

/**
 * A generated secret: `tightrope-`, 32 letters of z-base-32 (160 random bits), 6 letters of checksum.
 * The prefix recognises it (in a config, in a leak), the checksum catches a slip of the pen.
 */
const prefix = "tightrope-";
const bodyLength = 32;
const checksumLength = 6;
const wholeLength = prefix.length + bodyLength + checksumLength;

function checksum(body: string): string {
  return encodeZbase32(sha256(joinFields("tightrope/2 secret", body)).subarray(0, 4)).slice(0, checksumLength);
}

/** A fresh secret for a new cluster: 160 bits, one word of 48 characters. */
export function generateSecret(random: Random): string {
  const body = encodeZbase32(random.bytes(20));
  return `${prefix}${body}${checksum(body)}`;
}

export type SecretVerdict =
  | { readonly kind: "generated" }
  /** Meant to be a generated one, but it isn't any more. The message never repeats the secret. */
  | { readonly kind: "typo"; readonly message: string }
  /** Chosen by a person. */
  | { readonly kind: "foreign"; readonly strengthHint: string };

/** Says whether a secret is one that `generateSecret` made. Never echoes it. */
export function checkSecret(text: string): SecretVerdict {
  if (isGenerated(text)) return { kind: "generated" };
  const bare = text.trim();
  if (isGenerated(bare)) return typo("has blanks or line breaks around it");
  if (isGenerated(bare.toLowerCase())) return typo("has upper-case letters; it is all lower case");
  if (isGenerated(`${prefix}${bare}`)) return typo(`has lost its beginning "${prefix}"`);
  if (isGenerated(`${prefix}${bare.slice(-(bodyLength + checksumLength))}`)) {
    return typo(`doesn't begin with "${prefix}"`);
  }
  if (/^tightrope(-|\S{20})/i.test(bare)) {
    return bare.length === wholeLength
      ? typo("has a wrong letter: its checksum doesn't fit")
      : typo(`has ${bare.length} characters instead of ${wholeLength}`);
  }
  return { kind: "foreign", strengthHint: strengthHint(text) };
}

function isGenerated(text: string): boolean {
  if (text.length !== wholeLength || !text.startsWith(prefix)) return false;
  const body = text.slice(prefix.length, -checksumLength);
  return text.endsWith(checksum(body));
}

function typo(what: string): SecretVerdict {
  return { kind: "typo", message: `the secret looks generated but ${what}` };
}

/** An upper bound: what the length and the kinds of characters allow. A person's choice is always weaker. */
function strengthHint(text: string): string {
  const kinds: readonly [RegExp, number][] = [[/[a-z]/, 26], [/[A-Z]/, 26], [/[0-9]/, 10], [/[^a-zA-Z0-9]/, 33]];
  const letters = [...text].length;
  const choices = kinds.reduce((sum, [pattern, count]) => (pattern.test(text) ? sum + count : sum), 0);
  const bits = choices === 0 ? 0 : Math.floor(letters * Math.log2(choices));
  return `${letters} characters, ${bits} bits at the very best; a generated secret has 160`;
}
