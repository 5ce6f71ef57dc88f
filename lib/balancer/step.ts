import { applyRecord } from "../audit/ledger.ts";
import type { EventRecord, NoteRecord, TransactionRecord } from "../audit/record.ts";
import type { Now } from "../env/clock.ts";
import { type Random, randomFraction } from "../env/random.ts";
import type { NodeCall } from "../lightning/node.ts";
import type { Message } from "../protocol/messages.ts";
import { isOpen, sealMessage } from "../protocol/session.ts";
import type { Effect, NodeRef } from "./io.ts";
import {
  type AppendPurpose,
  type BalancerState,
  type CallPurpose,
  lacksHistories,
  type Lines,
  linesOfChannel,
  linesOfChannels,
  linesOfSessions,
  type PeerSession,
  type Side,
} from "./state.ts";

/** One step of the machine: what is known, when it is, where chance comes from, and what is to be done. */
export interface Step {
  readonly state: BalancerState;
  readonly now: Now;
  readonly random: Random;
  readonly effects: Effect[];
}

/** Asks a node; `purpose` says what the answer continues. */
export function call(step: Step, node: NodeRef, call: NodeCall, purpose: CallPurpose): void {
  const callId = step.state.nextId++;
  step.state.calls.set(callId, purpose);
  step.effects.push({ kind: "call", callId, node, call });
}

/**
 * Writes a record. What takes from a budget counts from now on (`enter`); what gives back only once it is on disk, which
 * is for whoever continues `purpose`.
 */
export function append(step: Step, record: TransactionRecord, purpose: AppendPurpose, enter: boolean): void {
  if (record.role === "payer") markBlank(step, lacksHistories(step.state));
  if (enter) applyRecord(step.state.ledger, record, step.now.atMs);
  const appendId = step.state.nextId++;
  step.state.appends.set(appendId, purpose);
  step.effects.push({ kind: "append", appendId, record });
}

/** Writes a record about the log itself. */
export function note(step: Step, record: NoteRecord): void {
  applyRecord(step.state.ledger, record, step.now.atMs);
  step.effects.push({ kind: "note", record });
}

/**
 * A log that is blank says of itself that it is, before the first payment is recorded in it: the next start must not take
 * what is in it by then for all that our nodes have ever paid.
 * @param needed false: all of that was read
 */
export function markBlank(step: Step, needed: boolean): void {
  const { state, now } = step;
  if (!state.logIsBlank) return;
  if (needed) {
    const reason = "no payment was in it, and what the nodes had paid was not read yet";
    note(step, { kind: "repaired", atWallMs: now.wallMs, reason, keptRecords: 0, setAside: "" });
    for (const { info, history } of state.nodes) {
      if (info && history.phase === "read") note(step, { kind: "rebuilt", atWallMs: now.wallMs, node: info.pubkey });
    }
  }
  state.logIsBlank = false;
}

/** Tells the operator. */
export function tell(step: Step, record: Omit<EventRecord, "atWallMs">): void {
  step.effects.push({ kind: "event", record: { atWallMs: step.now.wallMs, ...record } });
}

/**
 * Tells what others can cause as often as they like by coming and going: a peer that connects again and again must not fill
 * the disk. What isn't told is counted.
 */
export function tellOfSession(step: Step, record: Omit<EventRecord, "atWallMs">): void {
  const { ofSessions } = step.state.lines;
  if (refill(step, ofSessions, linesOfSessions) < 1) return countUntold(step);
  ofSessions.left--;
  tell(step, record);
}

/**
 * Tells of a channel of ours what its other node can cause as often as it likes; without a side, of what is our own affair
 * and may be thousandfold.
 * @returns whether there was a line left for it
 */
export function tellOfChannel(step: Step, side: Side | undefined, record: Omit<EventRecord, "atWallMs">): boolean {
  const { ofChannels } = step.state.lines;
  const left = Math.min(
    refill(step, ofChannels, linesOfChannels),
    side === undefined ? Infinity : refill(step, side.lines, linesOfChannel),
  );
  if (left < 1) return false;
  ofChannels.left--;
  if (side !== undefined) side.lines.left--;
  tell(step, record);
  return true;
}

function refill({ now }: Step, lines: Lines, { most, msPerLine }: { most: number; msPerLine: number }): number {
  lines.left = Math.min(most, lines.left + (now.atMs - lines.atMs) / msPerLine);
  lines.atMs = now.atMs;
  return lines.left;
}

export function countUntold(step: Step): void {
  step.state.ignored.untold++;
  armReport(step);
}

/** What is only counted is told of within a minute. */
export function armReport({ state, now }: Step): void {
  state.ignored.reportAtMs ??= now.atMs + 60_000;
}

/** Sends a message if the session still stands. */
export function send(step: Step, peer: PeerSession, message: Message): void {
  if (!isOpen(peer.session)) return;
  const frame = sealMessage(peer.session, message, step.now.wallMs);
  step.effects.push({ kind: "send", connection: peer.connection, frame });
}

/** Doubles with each failure, from `firstMs` to `mostMs`, with up to a tenth more by chance so that peers don't march in step. */
export function backOffMs(step: Step, failures: number, firstMs: number, mostMs: number): number {
  const plainMs = Math.min(mostMs, firstMs * 2 ** Math.min(30, Math.max(0, failures - 1)));
  return plainMs * (1 + randomFraction(step.random) / 10);
}
