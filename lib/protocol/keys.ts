import { hkdf } from "@noble/hashes/hkdf.js";
import { scrypt } from "@noble/hashes/scrypt.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { hexToBytes } from "@noble/hashes/utils.js";
import type { SwarmKey } from "../domain/ids.ts";
import { joinFields, utf8 } from "./fields.ts";

/**
 * All that follows from the shared secret. The topic is public on the DHT, so it would let anybody test guesses of the
 * secret at home: hence the costly master key (RFC 7914), and keys that don't follow from each other (HKDF, RFC 5869).
 */

function expand(key: Uint8Array, info: Uint8Array): Uint8Array {
  return hkdf(sha256, key, undefined, info, 32);
}

/**
 * Stretches the secret into the 32-byte master key of the cluster. Takes about 0.2 s and 64 MiB: once, at start-up.
 * @param secret the text shared by the cluster; forms that look alike count as one (NFKC)
 */
export function deriveMaster(secret: string): Uint8Array {
  const options = { N: 2 ** 16, r: 8, p: 1, dkLen: 32 };
  return scrypt(utf8(secret.normalize("NFKC")), utf8("tightrope/2 cluster"), options);
}

/** What the cluster announces on the DHT (32 bytes). All that the swarm worker learns. */
export function deriveTopic(master: Uint8Array): Uint8Array {
  return expand(master, utf8("tightrope/2 topic"));
}

/** What proves membership of the cluster (32 bytes). Never leaves main. */
export function deriveAuthKey(master: Uint8Array): Uint8Array {
  return expand(master, utf8("tightrope/2 auth"));
}

/** What names one session: both ends compute the same from what each saw of the connection. */
export interface SessionFacts {
  /** 64 bytes, from the transport. */
  readonly handshakeHash: Uint8Array;
  readonly initiatorKey: SwarmKey;
  readonly responderKey: SwarmKey;
  /** 32 bytes each. */
  readonly initiatorNonce: Uint8Array;
  readonly responderNonce: Uint8Array;
}

/** The 32 bytes that name one session and no other. */
export function deriveSessionId(facts: SessionFacts): Uint8Array {
  return sha256(joinFields(
    "tightrope/2 session",
    facts.handshakeHash,
    hexToBytes(facts.initiatorKey),
    hexToBytes(facts.responderKey),
    facts.initiatorNonce,
    facts.responderNonce,
  ));
}

/** The key (32 bytes) under which the messages of one session are authenticated. */
export function deriveSessionKey(authKey: Uint8Array, sessionId: Uint8Array): Uint8Array {
  return expand(authKey, joinFields("tightrope/2 session key", sessionId));
}
