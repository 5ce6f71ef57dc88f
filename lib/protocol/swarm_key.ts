import { ed25519 } from "@noble/curves/ed25519.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { invariant } from "../domain/errors.ts";
import { parseSwarmKey, type SwarmKey } from "../domain/ids.ts";

/** The public key under which an instance appears on the DHT (Ed25519 from a 32-byte seed, RFC 8032). */
export function deriveSwarmKey(seed: Uint8Array): SwarmKey {
  const key = parseSwarmKey(bytesToHex(ed25519.getPublicKey(seed)));
  invariant(key !== undefined, "an Ed25519 public key has 32 bytes");
  return key;
}
