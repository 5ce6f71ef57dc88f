import { lacksPayments, missingFromWallMs } from "../audit/ledger.ts";
import { clockToleranceMs, type ForeignRecord } from "../audit/record.ts";
import { addSat, msatToSatCeil, satToMsat } from "../domain/amounts.ts";
import { channelIds } from "../domain/channel.ts";
import { invariant } from "../domain/errors.ts";
import type { NodePubkey, PaymentHash } from "../domain/ids.ts";
import { type Hop, isDirect, type PaymentStatus, type PaymentSummary } from "../domain/payment.ts";
import type { NodeReply } from "../lightning/node.ts";
import { memoPrefix } from "../protocol/memo.ts";
import { tripBreaker } from "./breaker.ts";
import { nameOf, sats } from "./names.ts";
import { nodeName } from "./nodes.ts";
import { resumePayment } from "./payments.ts";
import { type BalancerState, createHistory, isOwn, type NodeState, type Side } from "./state.ts";
import { append, backOffMs, call, markBlank, note, type Step, tell } from "./step.ts";

/** Payments per page. */
const pageSize = 100;
/** A history once read is looked at for news this often at most: polls may come faster. */
const spacingMs = 1_000;
/** Payments are looked for from this long before the newest record: clocks differ, and a backup lacks its last records. */
const marginMs = 86_400_000;

/** A lost log doesn't tell which payees are nodes of ours: so long after the start the others may come up and say so. */
const acquaintanceMs = 5_000;

/**
 * Reads what the node itself lists as its payments, newer than the last seen, to find those that our log doesn't know: a
 * restored backup or a second daemon can't double a limit. Nothing is paid from the node before the first reading ended.
 *
 * With an empty log the whole history is read. Else the place to begin is found by time (a handful of single look-ups),
 * since a busy node has millions of payments.
 */
export function readHistory(step: Step, node: NodeState): void {
  if (!node.up || !node.listed || !node.info || node.history.busy) return;
  const { count: doubts = 0 } = step.state.ledger.doubts.get(node.info.pubkey) ?? {};
  if (node.history.doubts !== doubts) {
    node.history = { ...createHistory(), doubts, againAfter: node.history.againAfter };
  }
  const { history } = node;
  if (history.phase === "unread" && waitsForOthers(step, node)) {
    history.retryAtMs = step.state.startedAtMs + acquaintanceMs;
    return;
  }
  if (history.againAfter !== undefined && (history.phase === "read" || history.phase === "reading")) {
    if (history.againAfter < history.afterIndex) history.afterIndex = history.againAfter;
    Object.assign(history, { phase: "reading", againAfter: undefined });
  }
  if (history.phase === "read" && step.now.atMs - history.readAtMs < spacingMs) return;
  if (history.retryAtMs !== undefined && step.now.atMs < history.retryAtMs) return;
  history.retryAtMs = undefined;
  history.busy = true;
  const limit = history.phase === "seeking" ? 1 : pageSize;
  const method = "listPayments";
  call(step, node.ref, { method, args: [history.afterIndex, limit] }, { kind: "history", node: node.ref, limit });
}

/** Whether our log holds what the node has paid, as of the last look. Nothing is paid from it otherwise. */
export function isHistoryKnown({ suspects }: BalancerState, { ref, history }: NodeState): boolean {
  if (history.phase !== "read" || history.againAfter !== undefined || history.failures > 0) return false;
  for (const { node } of suspects.values()) if (node === ref) return false;
  return true;
}

/** Whether what it has paid to nodes of ours can't be told yet from what it has lent. */
function waitsForOthers({ state, now }: Step, node: NodeState): boolean {
  return now.atMs < state.startedAtMs + acquaintanceMs && (state.logIsBlank || isRebuilding(state, node)) &&
    state.nodes.some(({ info, leftOut }) => info === undefined && !leftOut);
}

/** A node of ours has said who it is. */
export function onAcquainted(step: Step): void {
  for (const node of step.state.nodes) {
    if (node.history.phase !== "unread" || node.history.failures > 0) continue;
    node.history.retryAtMs = undefined;
    readHistory(step, node);
  }
}

export function onHistory(step: Step, node: NodeState, limit: number, reply: NodeReply): void {
  const { history } = node;
  history.busy = false;
  if (!reply.ok || reply.method !== "listPayments") {
    history.failures++;
    history.retryAtMs = step.now.atMs + backOffMs(step, history.failures, 1_000, 60_000);
    if (history.failures === 1 && !reply.ok) {
      tell(step, {
        kind: "warning",
        level: "warn",
        message: `${nodeName(step.state, node)} did not list its payments: ${reply.message}. ${reply.remedy} ` +
          "Nothing is paid from it before that.",
        ...(node.info ? { node: node.info.pubkey } : {}),
      });
    }
    return;
  }
  history.failures = 0;
  history.readAtMs = step.now.atMs;
  const page = reply.value;
  if (history.phase === "seeking") return seek(step, node, page);
  const sinceWallMs = beginWallMs(step, node);
  const newest = page.at(-1);
  if (history.phase === "unread" && newest && page.length === limit && newest.createdAtWallMs < sinceWallMs) {
    Object.assign(history, { phase: "seeking", low: newest.index, high: undefined, afterIndex: newest.index * 2n });
    return readHistory(step, node);
  }
  for (const payment of page) {
    if (payment.index > history.afterIndex) history.afterIndex = payment.index;
    examine(step, node, payment);
  }
  if (page.length < limit) {
    history.phase = "read";
    // A long list isn't read whole at each start for want of a payment of ours.
    if (history.afterIndex > pageSize) markBlank(step, true);
    return noteRebuilt(step, node);
  }
  if (history.phase === "unread") history.phase = "reading";
  readHistory(step, node);
}

/** One probe of a binary search for the first payment that is new enough. */
function seek(step: Step, node: NodeState, [found]: readonly PaymentSummary[]): void {
  const { history } = node;
  if (found !== undefined && found.createdAtWallMs < beginWallMs(step, node)) {
    history.low = found.index;
  } else {
    history.high = history.afterIndex;
  }
  const { low, high } = history;
  if (high !== undefined && high - low <= BigInt(pageSize)) {
    history.phase = "reading";
    history.afterIndex = low;
  } else {
    history.afterIndex = high === undefined ? low * 2n : (low + high) / 2n;
  }
  readHistory(step, node);
}

/** Whether the log was begun anew and doesn't hold all yet that the node has paid. */
function isRebuilding({ ledger }: BalancerState, { info }: NodeState): boolean {
  return info !== undefined && lacksPayments(ledger, info.pubkey);
}

/** After a repair: the log knows again what the node has paid. */
function noteRebuilt(step: Step, node: NodeState): void {
  if (!isRebuilding(step.state, node) || !node.info) return;
  note(step, { kind: "rebuilt", atWallMs: step.now.wallMs, node: node.info.pubkey });
  const { count, amountSat } = node.history.missing;
  tell(step, {
    kind: "warning",
    level: count === 0 ? "info" : "warn",
    message: count === 0
      ? `The log was begun anew and lacks none of the payments to rebalance that ${nodeName(step.state, node)} lists`
      : `The log was begun anew: ${nodeName(step.state, node)} lists payments to rebalance that it lacked: ${count} (${
        sats(amountSat)
      }). They count as spent; what was received meanwhile isn't known`,
    node: node.info.pubkey,
  });
}

/** Since when the log may lack payments of the node; always, where the log knows nothing of it. */
function beginWallMs({ state, now }: Step, node: NodeState): number {
  // What a repair left out may be older than the newest record.
  if (node.info && isRebuilding(state, node)) return missingFromWallMs(state.ledger, node.info.pubkey);
  if (state.logIsBlank) return -Infinity;
  const newest = node.info && state.ledger.newestAtWallMs.get(node.info.pubkey);
  if (node.info === undefined || newest === undefined) return -Infinity;
  const doubtedFromWallMs = state.ledger.doubts.get(node.info.pubkey)?.fromWallMs ?? Infinity;
  return Math.min(newest, doubtedFromWallMs, now.wallMs) - marginMs;
}

function examine(step: Step, node: NodeState, payment: PaymentSummary): void {
  const { state } = step;
  const { paymentHash, status, memo } = payment;
  if (!memo.startsWith(memoPrefix)) return;
  const known = state.ledger.paidHashes.get(paymentHash);
  const isOfOther = known !== undefined && !isOf(state, node, paymentHash);
  // Money stands under that hash already, and our own payments have each a hash of their own.
  if (isOfOther && known !== "failed") return;
  if (known === "open") return recognise(state, payment);
  if (known === undefined || (known === "failed" && (isOfOther || isAnother(state, payment)))) {
    // Our node pays for others, too, and anybody may write our memo into an invoice: it must not use up what we would lend.
    if (status.kind === "settled" && !isDirect(status)) return;
    const how = known === undefined ? unknownToLog : "with the hash of one that had failed before";
    return addForeign(step, node, payment, status, how);
  }
  if (state.ledger.acknowledged.has(paymentHash)) return;
  if (contradicts(known, status)) return suspect(step, node, payment);
  const entry = state.ledger.payments.get(paymentHash);
  if (known === "settled" && status.kind === "settled" && entry && !entry.foreign) {
    if (satToMsat(entry.amountSat) === status.amountMsat) return;
    state.contradictions.add(paymentHash);
    tripBreaker(
      step,
      `the log has the payment ${paymentHash} over ${sats(entry.amountSat)} and LND over another amount`,
    );
  }
}

/** LND's list tells the index of a payment of ours that is under way, or that another has taken its place. */
function recognise({ payments, ledger }: BalancerState, listed: PaymentSummary): void {
  const { paymentHash, index, destination, amountMsat } = listed;
  const open = payments.get(paymentHash);
  const entry = ledger.payments.get(paymentHash);
  if (open === undefined || entry === undefined) return;
  const isOurs = destination === entry.peer && msatToSatCeil(amountMsat) === entry.amountSat;
  open.index ??= isOurs ? index : index - 1n;
  if (index > open.index) open.replaced = true;
}

/**
 * LND takes a hash again once it has failed. Whoever gave us the invoice may have our node pay another one with the same hash,
 * as any node does that pays for others: that is money spent, and no contradiction.
 */
function isAnother(state: BalancerState, { paymentHash, createdAtWallMs, index }: PaymentSummary): boolean {
  const failure = state.ledger.failures.get(paymentHash);
  if (failure === undefined) return false;
  return failure.index === undefined ? createdAtWallMs > failure.atWallMs : index > failure.index;
}

/** Whether what our log has of the hash is about this node, and not about another one of ours. */
function isOf({ ledger }: BalancerState, { info }: NodeState, paymentHash: PaymentHash): boolean {
  return ledger.payers.get(paymentHash) === info?.pubkey;
}

/** What ended doesn't begin again, nor end in another way. One that LND doesn't list any more was deleted there. */
function contradicts(known: "open" | "settled" | "failed", { kind }: PaymentStatus): boolean {
  switch (known) {
    case "open":
      return false;
    case "settled":
      return kind === "failed" || kind === "in-flight";
    case "failed":
      return kind === "settled" || kind === "in-flight";
  }
}

/**
 * What a page says against the log may be older than the log's record: the payment ended while LND wrote the page. LND is
 * asked about that payment alone; what it says then is newer than the record, so that it is a contradiction or none.
 */
function suspect(step: Step, node: NodeState, payment: PaymentSummary): void {
  const { suspects } = step.state;
  if (suspects.has(payment.paymentHash)) return;
  suspects.set(payment.paymentHash, { node: node.ref, payment, busy: false, retryAtMs: step.now.atMs, failures: 0 });
  verifyDue(step);
}

function verifyDue(step: Step): void {
  const { state, now } = step;
  for (const [paymentHash, suspect] of state.suspects) {
    if (suspect.busy || now.atMs < suspect.retryAtMs || !state.nodes[suspect.node]?.up) continue;
    suspect.busy = true;
    const method = "trackPayment";
    call(step, suspect.node, { method, args: [paymentHash] }, { kind: "verify", paymentHash });
  }
}

/** The look that began after the log's record. */
export function onVerified(step: Step, paymentHash: PaymentHash, reply: NodeReply): void {
  const { state } = step;
  const suspect = state.suspects.get(paymentHash);
  invariant(suspect, "a payment was verified that nobody suspected");
  suspect.busy = false;
  if (!reply.ok || reply.method !== "trackPayment") {
    suspect.failures++;
    suspect.retryAtMs = step.now.atMs + backOffMs(step, suspect.failures, 1_000, 60_000);
    return;
  }
  state.suspects.delete(paymentHash);
  const known = state.ledger.paidHashes.get(paymentHash);
  if (known === undefined || !contradicts(known, reply.value)) return;
  if (!isOf(state, state.nodes[suspect.node]!, paymentHash)) return;
  // The list will tell of that one.
  const index = reply.value.kind === "not-found" ? undefined : reply.value.index;
  if (known === "failed" && index !== undefined && isAnother(state, { ...suspect.payment, index })) return;
  state.contradictions.add(paymentHash);
  const said = reply.value.kind === "in-flight" ? "under way" : reply.value.kind;
  tripBreaker(step, `the log has the payment ${paymentHash} as ${known} and LND as ${said}`);
  // What LND counts as paid, or may yet, counts here too.
  if (known !== "failed") return;
  addForeign(step, state.nodes[suspect.node]!, suspect.payment, reply.value, "which our log has as failed");
}

/** Of a payment that LND lists. */
const unknownToLog = "and our log doesn't know of it: a second daemon, or a log restored from a backup?";

/** @param remark what our log has of it, for the operator */
function addForeign(
  step: Step,
  node: NodeState,
  payment: PaymentSummary,
  status: PaymentStatus,
  remark: string,
): void {
  const { state } = step;
  const { paymentHash, destination } = payment;
  if (status.kind !== "settled" && status.kind !== "in-flight") return;
  const amountSat = msatToSatCeil(payment.amountMsat);
  if (destination === undefined || amountSat <= 0n || !node.info) return;
  markBlank(step, true);
  const side = channelOf(node, destination, status);
  const rebuilding = isRebuilding(state, node);
  if (rebuilding) node.history.missing.count++;
  if (rebuilding) node.history.missing.amountSat = addSat(node.history.missing.amountSat, amountSat);
  const paidAtWallMs = (payment.resolvedAtWallMs ?? Infinity) + clockToleranceMs;
  const record: ForeignRecord = {
    kind: "foreign",
    role: "payer",
    atWallMs: step.now.wallMs,
    node: node.info.pubkey,
    peer: destination,
    ownPeer: isOwn(state, destination),
    channelPoint: side?.channel.channelPoint,
    channelId: side?.channel.shortChannelId,
    paymentHash,
    amountSat,
    pending: status.kind === "in-flight",
    ...(status.kind === "settled" && paidAtWallMs < step.now.wallMs ? { paidAtWallMs } : {}),
  };
  append(step, record, { kind: "noted" }, true);
  tell(step, {
    kind: "warning",
    // Hundreds may be missing after a repair; they are told of together.
    level: rebuilding ? "debug" : "warn",
    message: `${nodeName(state, node)} ${record.pending ? "is paying" : "has paid"} ${nameOf(state, destination)} ${
      sats(amountSat)
    } to rebalance, ${remark}${remark.endsWith("?") ? "" : "."} It counts as spent`,
    role: "payer",
    ...{ node: node.info.pubkey, peer: destination, paymentHash, amountSat },
    ...(side ? { channelPoint: side.channel.channelPoint, channelId: side.channel.shortChannelId } : {}),
    reason: "foreign",
  });
  const entry = state.ledger.payments.get(paymentHash);
  if (record.pending && entry) resumePayment(step, entry, payment.index);
}

/**
 * The channel with the payee that the payment went over, as LND tells. What the memo names is the payee's word, and would
 * have a payment count for another channel; without a channel it counts for each of theirs.
 */
function channelOf(node: NodeState, destination: NodePubkey, status: PaymentStatus): Side | undefined {
  if ((status.kind !== "settled" && status.kind !== "in-flight") || status.routes.length === 0) return undefined;
  for (const side of node.sides.values()) {
    const ids = channelIds(side.channel);
    const isOver = ([hop]: readonly Hop[]) => hop !== undefined && ids.includes(hop.channelId);
    if (side.channel.remotePubkey === destination && status.routes.every(isOver)) return side;
  }
  return undefined;
}

export function historyTimers(step: Step): void {
  verifyDue(step);
  for (const node of step.state.nodes) {
    if (node.history.retryAtMs !== undefined && step.now.atMs >= node.history.retryAtMs) readHistory(step, node);
  }
}

export function* historyDeadlines(state: BalancerState): Generator<number | undefined> {
  for (const suspect of state.suspects.values()) {
    if (!suspect.busy && state.nodes[suspect.node]?.up) yield suspect.retryAtMs;
  }
  for (const node of state.nodes) if (node.up && node.listed && !node.history.busy) yield node.history.retryAtMs;
}
