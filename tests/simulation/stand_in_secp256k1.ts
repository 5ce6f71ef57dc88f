import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, concatBytes, hexToBytes } from "@noble/hashes/utils.js";
import { publicKeys, secretKeyOf } from "./node_keys.ts";

/**
 * Stands in for `@noble/curves/secp256k1.js` while thousands of worlds are simulated (import_map.json): the curve alone took
 * half of their time, and no rule of a simulation depends on how hard it is to forge a signature. Keys and signatures have
 * the same form and every codec around them is the real one; what nobody signed has no signer. The test command runs its
 * seeds with the real curve.
 */

const known = new Map(publicKeys.map((pubkey, index) => [secretKeyOf(index), hexToBytes(pubkey)]));

/** Of the nodes of simulated worlds. */
function getPublicKey(secretKey: Uint8Array): Uint8Array {
  const pubkey = known.get(bytesToHex(secretKey));
  if (pubkey === undefined) throw new RangeError("a simulated node has one of the keys of node_keys.ts");
  return pubkey;
}

/** 65 bytes: the parity of the key as a recovery id, what binds digest and key, and the rest of the key. */
function sign(digest: Uint8Array, secretKey: Uint8Array): Uint8Array {
  const pubkey = getPublicKey(secretKey);
  return concatBytes(Uint8Array.of(pubkey[0]! - 2), bond(digest, pubkey), pubkey.subarray(1));
}

/** Of other bytes than a signature the signer is nobody, as on the curve. */
function recoverPublicKey(signature: Uint8Array, digest: Uint8Array): Uint8Array {
  const pubkey = concatBytes(Uint8Array.of(2 + (signature[0]! & 1)), signature.subarray(33));
  if (equal(bond(digest, pubkey), signature.subarray(1, 33))) return pubkey;
  return concatBytes(Uint8Array.of(3), sha256(concatBytes(signature, digest)));
}

/** Of a compact signature: without the recovery id. */
function verify(signature: Uint8Array, digest: Uint8Array, pubkey: Uint8Array): boolean {
  return equal(bond(digest, pubkey), signature.subarray(0, 32));
}

function bond(digest: Uint8Array, pubkey: Uint8Array): Uint8Array {
  return sha256(concatBytes(digest, pubkey));
}

function equal(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}

export const secp256k1 = {
  getPublicKey,
  sign,
  recoverPublicKey,
  verify,
  utils: { isValidSecretKey: () => true },
};
