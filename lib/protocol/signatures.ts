import { secp256k1 } from "@noble/curves/secp256k1.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { type NodePubkey, parseNodePubkey } from "../domain/ids.ts";
import type { SignedStatement, Statement } from "../domain/statement.ts";
import { utf8 } from "./fields.ts";
import { decodeZbase32 } from "./zbase32.ts";

export type SessionRole = "initiator" | "responder";

/**
 * What a Lightning node signs to let an instance speak for it in one session, in one role.
 * @param sessionIdHex 64 lower-case hex digits
 */
export function nodeProofText(publicKey: NodePubkey, sessionIdHex: string, role: SessionRole): string {
  return `tightrope/2 node ${publicKey} session ${sessionIdHex} ${role}`;
}

/**
 * What a Lightning node signs to say how its account with another stands: one line that anybody can check with
 * `lncli verifymessage`. Amounts in satoshis, the time in ISO 8601 and UTC; `-` where the log has no head yet.
 */
export function accountText(statement: Statement): string {
  const { node, peer, paidSat, receivedSat, openSat, count, logHead, atWallMs } = statement;
  return `tightrope/2 account ${node} with ${peer} paid ${paidSat} received ${receivedSat} open ${openSat} ` +
    `payments ${count} log ${logHead.length} ${logHead.treeHash || "-"} at ${new Date(atWallMs).toISOString()}`;
}

/** Whether the node whose account it is has signed it. */
export function isSigned(statement: SignedStatement): boolean {
  return recoverNodePubkey(accountText(statement), statement.signature) === statement.node;
}

/** A signature is 65 bytes: a header that names the point to recover, then r and s. */
const signatureBytes = 65;

/**
 * The node whose key signed `text` (LND lnrpc.SignMessage: double SHA-256 of "Lightning Signed Message:" and the text,
 * recoverable ECDSA over secp256k1, z-base-32). LND's own VerifyMessage asks its graph too; this needs no node.
 * @returns undefined for anything that isn't a signature. A signature of another text gives another key: compare it.
 */
export function recoverNodePubkey(text: string, signature: string): NodePubkey | undefined {
  if (signature.length !== Math.ceil((signatureBytes * 8) / 5)) return undefined;
  const bytes = decodeZbase32(signature);
  // 31 to 34: 27 + the recovery id + 4 for a compressed key; Lightning nodes have no other.
  if (bytes?.length !== signatureBytes || bytes[0]! < 31 || bytes[0]! > 34) return undefined;
  bytes[0]! -= 31;
  const digest = sha256(sha256(utf8(`Lightning Signed Message:${text}`)));
  try {
    return parseNodePubkey(bytesToHex(secp256k1.recoverPublicKey(bytes, digest, { prehash: false })));
  } catch {
    // The library throws where r or s is out of range or r is on no point: such bytes are nobody's signature.
    return undefined;
  }
}
