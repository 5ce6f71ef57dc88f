import { secp256k1 } from "@noble/curves/secp256k1.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, concatBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { invariant } from "../../domain/errors.ts";
import { type NodePubkey, parseNodePubkey } from "../../domain/ids.ts";
import type { Random } from "../../env/random.ts";

/** A node's key, and messages signed with it in LND's form. */

export function drawSecretKey(random: Random): Uint8Array {
  for (;;) {
    const key = random.bytes(32);
    if (secp256k1.utils.isValidSecretKey(key)) return key;
  }
}

export function pubkeyOf(secretKey: Uint8Array): NodePubkey {
  const pubkey = parseNodePubkey(bytesToHex(secp256k1.getPublicKey(secretKey)));
  invariant(pubkey !== undefined, "a compressed public key is 66 hex digits");
  return pubkey;
}

/** lnrpc.SignMessage: double SHA-256 over a prefix and the message, compact recoverable ECDSA, z-base-32. */
export function signLndMessage(message: Uint8Array, secretKey: Uint8Array): string {
  const signature = secp256k1.sign(messageHash(message), secretKey, { prehash: false, format: "recovered" });
  // 27 is Bitcoin's base for the recovery id, 4 says that the key is compressed.
  signature[0]! += 31;
  return encodeZBase32(signature);
}

/**
 * lnrpc.VerifyMessage, up to the look-up of the key in the graph.
 * @returns the key that made the signature; "" when there is none; `illegalAt` for text that isn't z-base-32
 */
export function recoverLndMessageKey(
  message: Uint8Array,
  signature: string,
): { readonly pubkey: NodePubkey | "" } | { readonly illegalAt: number } {
  const bytes = decodeZBase32(signature);
  if ("illegalAt" in bytes) return bytes;
  const header = bytes.bytes[0];
  if (bytes.bytes.length !== 65 || header === undefined || header < 31 || header > 34) return { pubkey: "" };
  try {
    const recovered = concatBytes(Uint8Array.of(header - 31), bytes.bytes.subarray(1));
    const key = secp256k1.recoverPublicKey(recovered, messageHash(message), { prehash: false });
    return { pubkey: parseNodePubkey(bytesToHex(key)) ?? "" };
  } catch {
    return { pubkey: "" };
  }
}

function messageHash(message: Uint8Array): Uint8Array {
  return sha256(sha256(concatBytes(utf8ToBytes("Lightning Signed Message:"), message)));
}

const alphabet = "ybndrfg8ejkmcpqxot1uwisza345h769";

function encodeZBase32(bytes: Uint8Array): string {
  let text = "";
  let buffer = 0;
  let bits = 0;
  for (const byte of bytes) {
    buffer = (buffer << 8) | byte;
    for (bits += 8; bits >= 5; bits -= 5) text += alphabet[(buffer >> (bits - 5)) & 31];
    buffer &= 0xff;
  }
  return bits === 0 ? text : text + alphabet[(buffer << (5 - bits)) & 31];
}

function decodeZBase32(text: string): { readonly bytes: Uint8Array } | { readonly illegalAt: number } {
  const bytes: number[] = [];
  let buffer = 0;
  let bits = 0;
  for (const [index, character] of [...text].entries()) {
    const word = alphabet.indexOf(character);
    if (word < 0) return { illegalAt: index };
    buffer = ((buffer << 5) | word) & 0xfff;
    bits += 5;
    if (bits >= 8) {
      bits -= 8;
      bytes.push((buffer >> bits) & 0xff);
    }
  }
  return { bytes: Uint8Array.from(bytes) };
}
