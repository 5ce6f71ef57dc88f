import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { invariant } from "../domain/errors.ts";
import type { SwarmKey } from "../domain/ids.ts";
import { maxFrameBytes } from "../swarm/transport.ts";
import { equalBytes, joinFields, u64 } from "./fields.ts";
import { deriveSessionId, deriveSessionKey } from "./keys.ts";
import { decodeMessage, encodeMessage } from "./message_codec.ts";
import type { Message } from "./messages.ts";

/**
 * One authenticated session over one connection, as a reducer over plain data: a simulation can fork it with
 * structuredClone. It proves to both ends that the other knows the cluster's secret, then authenticates every message,
 * so that whatever carries the frames can only lose them.
 *
 * Frames before the proof: `1 | nonce (32)`, then `2 | MAC (32)` or `2 | MAC (32) | MAC (32)`: one MAC for each secret
 * the sender knows, the current one first. While a cluster rotates its secret an end may know two. The key of the
 * session is the first in the *initiator's* order that both know. Each end finds it alone from the two confirms, so
 * they agree; and if what carries the frames meddles with a confirm, they end with different keys and the session with
 * its first message.
 * Frames after it: `MAC (32) | JSON`.
 */

/** The time for the proof, from the opening of the connection. */
export const authenticationTimeoutMs = 5_000;

const macBytes = 32;
const nonceBytes = 32;
const authFrame = 1;
const confirmFrame = 2;
/** How far around the expected number a frame's number is looked for, to tell a lost or repeated frame from a forged one. */
const diagnosedFrames = 8;

/** The longest message body that fits a frame, in bytes. */
export const maxBodyBytes = maxFrameBytes - macBytes;

export interface SessionOpening {
  /** 32 bytes: deriveAuthKey. */
  readonly authKey: Uint8Array;
  /** The same of `previousSecret`, while the cluster rotates. */
  readonly previousAuthKey?: Uint8Array;
  readonly initiator: boolean;
  readonly localKey: SwarmKey;
  readonly remoteKey: SwarmKey;
  /** 64 bytes, from the transport. */
  readonly handshakeHash: Uint8Array;
  /** 32 fresh random bytes. */
  readonly nonce: Uint8Array;
  readonly atMs: number;
}

/** Which of the two configured secrets both ends know. */
export type SecretAge = "current" | "previous";

interface KnownKey {
  readonly age: SecretAge;
  readonly key: Uint8Array;
}

type Phase =
  | { readonly kind: "await-auth" }
  | { readonly kind: "await-confirm"; readonly sessionId: Uint8Array; readonly sessionKeys: readonly KnownKey[] }
  | {
    readonly kind: "open";
    readonly sessionId: Uint8Array;
    readonly sessionKey: Uint8Array;
    sent: number;
    received: number;
  }
  | { readonly kind: "closed"; readonly why: string };

/** Plain data. Only the functions of this file read or change its insides. */
export interface Session {
  readonly initiator: boolean;
  readonly localKey: SwarmKey;
  readonly remoteKey: SwarmKey;
  readonly handshakeHash: Uint8Array;
  readonly nonce: Uint8Array;
  readonly authKeys: readonly KnownKey[];
  phase: Phase;
  /** When `expireSession` is due; undefined once the proof is done. */
  deadlineAtMs: number | undefined;
}

export type SessionOutput =
  | { readonly kind: "send"; readonly frame: Uint8Array }
  /** Both ends know a common secret. `sessionId`: 32 bytes. Once, before any message. */
  | { readonly kind: "authenticated"; readonly sessionId: Uint8Array; readonly secret: SecretAge }
  | { readonly kind: "message"; readonly message: Message; readonly sentAtWallMs: number | undefined }
  /** From the peer, but not understood. The session goes on. */
  | { readonly kind: "bad-message"; readonly why: string }
  /** The session is over: disconnect. Nothing follows. */
  | { readonly kind: "failed"; readonly why: string };

/** Starts a session on a fresh connection; send the frames. */
export function openSession(
  opening: SessionOpening,
): { readonly session: Session; readonly frames: readonly Uint8Array[] } {
  invariant(opening.nonce.length === nonceBytes, "a session's nonce has 32 bytes");
  const { authKey, previousAuthKey, atMs, ...facts } = opening;
  const authKeys: KnownKey[] = [{ age: "current", key: authKey }];
  if (previousAuthKey) authKeys.push({ age: "previous", key: previousAuthKey });
  const session: Session = {
    ...facts,
    authKeys,
    phase: { kind: "await-auth" },
    deadlineAtMs: atMs + authenticationTimeoutMs,
  };
  return { session, frames: [concat(Uint8Array.of(authFrame), opening.nonce)] };
}

/** Whether `sealMessage` may be called. */
export function isOpen(session: Session): boolean {
  return session.phase.kind === "open";
}

/** Takes one frame from the peer. Total, whatever the frame; a session that failed takes no more. */
export function receiveFrame(session: Session, frame: Uint8Array, atMs: number): SessionOutput[] {
  const expired = expireSession(session, atMs);
  if (expired.length > 0) return expired;
  const phase = session.phase;
  if (phase.kind === "closed") return [];
  if (frame.length > maxFrameBytes) {
    return fail(session, `frame of ${frame.length} bytes; at most ${maxFrameBytes} pass`);
  }
  switch (phase.kind) {
    case "await-auth":
      return receiveAuth(session, frame);
    case "await-confirm":
      return receiveConfirm(session, phase.sessionId, phase.sessionKeys, frame);
    case "open":
      return receiveSealed(session, phase, frame);
  }
}

/** Ends a session whose peer hasn't proven itself by `deadlineAtMs`. */
export function expireSession(session: Session, atMs: number): SessionOutput[] {
  if (session.deadlineAtMs === undefined || atMs < session.deadlineAtMs) return [];
  return fail(session, `peer did not prove the secret within ${authenticationTimeoutMs / 1000} s`);
}

/**
 * The frame that carries a message; send frames in the order they were sealed.
 * @throws {InvariantError} unless `isOpen(session)`
 */
export function sealMessage(session: Session, message: Message, sentAtWallMs?: number): Uint8Array {
  const phase = session.phase;
  invariant(phase.kind === "open", "a message was sealed for a session that isn't open");
  const body = encodeMessage(message, sentAtWallMs);
  invariant(body.length <= maxBodyBytes, "a message is longer than a frame may be");
  const mac = messageMac(phase.sessionKey, session.initiator, phase.sent, body);
  phase.sent += 1;
  return concat(mac, body);
}

function receiveAuth(session: Session, frame: Uint8Array): SessionOutput[] {
  if (frame.length !== 1 + nonceBytes || frame[0] !== authFrame) return fail(session, "peer did not begin with auth");
  const remoteNonce = frame.slice(1);
  // Nobody draws our 32 random bytes again: this is our own frame coming back.
  if (equalBytes(remoteNonce, session.nonce)) return fail(session, "peer reflects our own frames");
  const { initiator, localKey, remoteKey, nonce, handshakeHash } = session;
  const sessionId = deriveSessionId({
    handshakeHash,
    initiatorKey: initiator ? localKey : remoteKey,
    responderKey: initiator ? remoteKey : localKey,
    initiatorNonce: initiator ? nonce : remoteNonce,
    responderNonce: initiator ? remoteNonce : nonce,
  });
  const sessionKeys = session.authKeys.map(({ age, key }) => ({ age, key: deriveSessionKey(key, sessionId) }));
  session.phase = { kind: "await-confirm", sessionId, sessionKeys };
  const macs = sessionKeys.map(({ key }) => confirmMac(key, initiator));
  return [{ kind: "send", frame: concat(Uint8Array.of(confirmFrame), ...macs) }];
}

function receiveConfirm(
  session: Session,
  sessionId: Uint8Array,
  sessionKeys: readonly KnownKey[],
  frame: Uint8Array,
): SessionOutput[] {
  const count = (frame.length - 1) / macBytes;
  if (frame[0] !== confirmFrame || (count !== 1 && count !== 2)) {
    return fail(session, "peer sent no confirm after auth");
  }
  const remoteMacs = Array.from({ length: count }, (_, i) => frame.slice(1 + i * macBytes, 1 + (i + 1) * macBytes));
  const candidates = sessionKeys.map((known) => ({ known, mac: confirmMac(known.key, !session.initiator) }));
  const pairs = session.initiator
    ? candidates.flatMap((ours) => remoteMacs.map((theirs) => ({ ours, theirs })))
    : remoteMacs.flatMap((theirs) => candidates.map((ours) => ({ ours, theirs })));
  const common = pairs.filter(({ ours, theirs }) => equalBytes(ours.mac, theirs))[0]?.ours.known;
  if (common === undefined) return fail(session, "peer does not know our secret");
  session.phase = { kind: "open", sessionId, sessionKey: common.key, sent: 0, received: 0 };
  session.deadlineAtMs = undefined;
  return [{ kind: "authenticated", sessionId, secret: common.age }];
}

function receiveSealed(session: Session, phase: Extract<Phase, { kind: "open" }>, frame: Uint8Array): SessionOutput[] {
  if (frame.length < macBytes) return fail(session, "frame too short for a message");
  const mac = frame.subarray(0, macBytes);
  const body = frame.subarray(macBytes);
  const isNumber = (seq: number) => equalBytes(messageMac(phase.sessionKey, !session.initiator, seq, body), mac);
  if (!isNumber(phase.received)) return fail(session, diagnose(phase.received, isNumber));
  phase.received += 1;
  const decoded = decodeMessage(body);
  if (!decoded.ok) return [{ kind: "bad-message", why: decoded.why }];
  return [{ kind: "message", message: decoded.message, sentAtWallMs: decoded.sentAtWallMs }];
}

/** Says for the operator why a frame isn't the expected one; the session ends in any case. */
function diagnose(expected: number, isNumber: (seq: number) => boolean): string {
  for (let distance = 1; distance <= diagnosedFrames; distance++) {
    if (isNumber(expected + distance)) {
      return `frames are missing: got number ${expected + distance} instead of ${expected}`;
    }
    const earlier = expected - distance;
    if (earlier >= 0 && isNumber(earlier)) return `frame number ${earlier} came again instead of ${expected}`;
  }
  return "frame with a wrong MAC";
}

function fail(session: Session, why: string): SessionOutput[] {
  session.phase = { kind: "closed", why };
  session.deadlineAtMs = undefined;
  return [{ kind: "failed", why }];
}

function confirmMac(sessionKey: Uint8Array, senderIsInitiator: boolean): Uint8Array {
  return hmac(sha256, sessionKey, joinFields("confirm", roleByte(senderIsInitiator)));
}

function messageMac(sessionKey: Uint8Array, senderIsInitiator: boolean, seq: number, body: Uint8Array): Uint8Array {
  return hmac(sha256, sessionKey, joinFields("message", roleByte(senderIsInitiator), u64(seq), body));
}

function roleByte(initiator: boolean): Uint8Array {
  return Uint8Array.of(initiator ? 1 : 0);
}

function concat(...parts: readonly Uint8Array[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}
