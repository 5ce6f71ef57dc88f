import { isByHand } from "../audit/by_hand.ts";
import { forgetSettled, type LedgerPayment, unknownToLnd } from "../audit/ledger.ts";
import type { TransactionRecord } from "../audit/record.ts";
import { longestPeriodMs } from "../config/settings.ts";
import { type Msat, msatToSatCeil, type Sat, sat, satToMsat } from "../domain/amounts.ts";
import { channelIds } from "../domain/channel.ts";
import { invariant, unreachable } from "../domain/errors.ts";
import { formatShortChannelId, type NodePubkey, type PaymentHash } from "../domain/ids.ts";
import { failureSentences, isDirect, type PaymentStatus } from "../domain/payment.ts";
import { toldReason } from "../domain/reasons.ts";
import { type NodeReply, noFee } from "../lightning/node.ts";
import { notFoundGraceMs } from "../policy/resolve.ts";
import { answer, type Reply, tellAnswer } from "./answers.ts";
import { tripBreaker } from "./breaker.ts";
import { nameOf, sats } from "./names.ts";
import { hint } from "./nodes.ts";
import { pausedBy, wholePause } from "./pauses.ts";
import { type BalancerState, nodeByPubkey, type NodeState, openPaymentsOf, type Payment, sideOf } from "./state.ts";
import { append, backOffMs, call, type Step, tell } from "./step.ts";

/** A payment that hasn't ended by then stops all paying to its node. */
const stuckMs = 60_000;
/** How long LND may start attempts. */
const payTimeoutSec = 30;
/** Above the invoice's final CLTV: what LND adds to tolerate blocks that come meanwhile. */
const cltvMarginBlocks = 40;
/** After this many failures in a row paying to a node rests. */
const toleratedFailures = 3;

/** A stuck payment or repeated failure stops only that remote node, and a stuck one only until it has ended. */
export function whyStopped(step: Step, peer: NodePubkey): "peer-stuck" | "peer-failing" | undefined {
  if (stuckPayment(step, peer) !== undefined) return "peer-stuck";
  return restingMs(step, peer) === undefined ? undefined : "peer-failing";
}

export function stuckPayment({ state, now }: Step, peer: NodePubkey): PaymentHash | undefined {
  for (const open of openPaymentsOf(state)) {
    if (open.peer !== peer) continue;
    if (open.state === "unknown" || now.atMs - open.reservedAtMs > stuckMs) return open.paymentHash;
  }
  return undefined;
}

/** How much longer paying to a node rests to which payments keep failing. */
export function restingMs({ state, now }: Step, peer: NodePubkey): number | undefined {
  const trouble = state.troubles.get(peer);
  if (trouble === undefined || now.atMs >= trouble.untilMs) return undefined;
  return trouble.untilMs - now.atMs;
}

function isPaused({ state }: Step, node: NodeState, { channelPoint }: LedgerPayment): boolean {
  const side = channelPoint === undefined ? undefined : node.sides.get(channelPoint);
  return (side === undefined ? wholePause(state) : pausedBy(state, node, side.channel)) !== undefined;
}

/** The intent is on disk: pay. */
export function onIntentRecorded(step: Step, paymentHash: PaymentHash): void {
  const { state, now } = step;
  const payment = state.payments.get(paymentHash);
  invariant(payment?.phase === "recording" && payment.outgoingChannelId, "an intent was recorded that nobody made");
  const node = nodeByPubkey(state, payment.node);
  const entry = ledgerEntry(state, paymentHash);
  // Nothing was sent yet, so that giving up here is safe: the disk was slow, or the operator or the breaker stopped us.
  const late = payment.asker === undefined || now.atMs >= payment.asker.answerByMs;
  if (!node || node.cloned || late || state.draining || isPaused(step, node, entry)) {
    const reason = "nothing was sent: it was stopped just before, or the disk was slow";
    return endPayment(step, payment, { kind: "failed", reason, released: true });
  }
  payment.phase = "paying";
  const request = {
    invoice: payment.invoice,
    paymentHash,
    outgoingChannelId: payment.outgoingChannelId,
    timeoutSec: payTimeoutSec,
    cltvLimitBlocks: payment.finalCltvBlocks + cltvMarginBlocks,
  };
  call(step, node.ref, { method: "pay", args: [request] }, { kind: "pay", paymentHash });
  tell(step, {
    kind: "payment-started",
    level: "info",
    message: `Paying ${nameOf(state, payment.peer)} ${sats(entry.amountSat)} from ${nameOf(state, payment.node)}`,
    ...paymentFacts(entry),
  });
}

export function onPaid(step: Step, paymentHash: PaymentHash, reply: NodeReply): void {
  const payment = step.state.payments.get(paymentHash);
  invariant(payment?.phase === "paying", "a payment was answered that wasn't sent");
  if (!reply.ok || reply.method !== "pay") {
    return becomeUnknown(step, payment, reply.ok ? "no answer" : reply.message);
  }
  const outcome = reply.value;
  switch (outcome.kind) {
    case "settled":
      return settle(step, payment, outcome);
    case "failed":
      return endPayment(step, payment, {
        ...{ kind: "failed", reason: outcome.failure, released: false },
        index: outcome.index,
      });
    case "rejected":
      // LND made no payment of this call; yet it may know the hash from another. Only a look-up tells.
      payment.rejected = outcome.detail;
      return startTracking(step, payment, 0);
    case "unknown":
      return becomeUnknown(step, payment, outcome.detail);
    default:
      return unreachable(outcome);
  }
}

/** An answer that got lost is never a failure: the reservation stays until LND itself says how it ended. */
function becomeUnknown(step: Step, payment: Payment, detail: string): void {
  const { state } = step;
  const entry = ledgerEntry(state, payment.paymentHash);
  noteUnknown(step, payment, entry, detail);
  tell(step, {
    kind: "payment-unknown",
    level: "warn",
    message: `Lost sight of the payment of ${sats(entry.amountSat)} to ${nameOf(state, payment.peer)}: ${detail}. ` +
      "It counts as spent until LND tells how it ended",
    ...paymentFacts(entry),
    reason: detail,
  });
  answerPayment(step, payment, { reason: toldReason("unanswered") });
  startTracking(step, payment, 500);
}

function noteUnknown(step: Step, payment: Payment, entry: LedgerPayment, reason: string): void {
  const record = { kind: "unknown", ...recordOf(step, entry), reason, ...indexOf(payment.index) } as const;
  append(step, record, { kind: "noted" }, true);
}

function startTracking(step: Step, payment: Payment, inMs: number): void {
  payment.phase = "tracking";
  payment.trackedSinceMs = step.now.atMs;
  payment.trackAtMs = step.now.atMs + inMs;
  trackDue(step, payment);
}

/** Asks LND how a payment stands, when it is time and the node answers. */
function trackDue(step: Step, payment: Payment): void {
  const { state, now } = step;
  const node = nodeByPubkey(state, payment.node);
  // The channel list comes first: it tells by which ids LND may name the channel.
  if (!canTrack(payment, node) || now.atMs < payment.trackAtMs!) return;
  payment.trackBusy = true;
  payment.trackAtMs = undefined;
  const { paymentHash } = payment;
  call(step, node!.ref, { method: "trackPayment", args: [paymentHash] }, { kind: "track", paymentHash });
}

function canTrack(payment: Payment, node: NodeState | undefined): boolean {
  return payment.phase === "tracking" && !payment.trackBusy && payment.trackAtMs !== undefined &&
    node?.up === true && node.listed;
}

export function onTracked(step: Step, paymentHash: PaymentHash, reply: NodeReply): void {
  const { state, now } = step;
  const payment = state.payments.get(paymentHash);
  if (payment === undefined || payment.phase !== "tracking") return;
  payment.trackBusy = false;
  const again = () => {
    payment.tracks++;
    payment.trackAtMs = now.atMs + backOffMs(step, payment.tracks, 500, 60_000);
  };
  if (!reply.ok || reply.method !== "trackPayment") return again();
  const status = reply.value;
  const entry = ledgerEntry(state, paymentHash);
  if (status.kind !== "not-found" && isOfAnother(payment, entry, status)) {
    return endReplaced(step, payment, status.index);
  }
  switch (status.kind) {
    case "settled":
      return settle(step, payment, status);
    case "failed":
      return endPayment(step, payment, {
        ...{ kind: "failed", reason: status.failure, released: false },
        index: status.index,
      });
    case "in-flight":
      payment.index ??= status.index;
      // That LND has made it, and as which one, must be known over a restart, too.
      if (entry.index === undefined && !entry.foreign) noteUnknown(step, payment, entry, "LND has it under way");
      return again();
    case "not-found": {
      // One that LND has listed and now doesn't know was deleted from its history: it may have settled, so it counts.
      if (entry.foreign) return endForeign(step, payment, entry, entry.amountSat);
      if (wasMade(payment)) {
        vanished(step, payment);
        return again();
      }
      if (payment.rejected !== undefined) {
        return endPayment(step, payment, { kind: "failed", reason: payment.rejected, released: false });
      }
      const expired = now.wallMs >= entry.expiresAtWallMs + notFoundGraceMs;
      // The wall clock may have jumped: the process must have waited, too.
      const waited = now.atMs >= payment.trackedSinceMs + notFoundGraceMs;
      if (!expired || !waited) return again();
      return endPayment(step, payment, { kind: "failed", reason: unknownToLnd, released: true });
    }
    default:
      return unreachable(status);
  }
}

/**
 * LND takes a hash again once it has failed, and tells of the newer payment alone. Whoever gave us the invoice may have our
 * node pay another with the same hash, as any node does that pays for others: with a fee, say, and over whatever channels.
 */
export function isOfAnother(
  { index, peer }: Payment,
  { amountSat }: LedgerPayment,
  status: Exclude<PaymentStatus, { kind: "not-found" }>,
): boolean {
  if (index !== undefined && status.index !== index) return true;
  // Of an earlier run's payment the number may not be known. It is to whom and over what its invoice says, whatever else LND does.
  return status.kind === "settled" &&
    (msatToSatCeil(status.amountMsat) !== amountSat || status.routes.some((route) => route.at(-1)?.pubkey !== peer));
}

function endReplaced(step: Step, payment: Payment, otherIndex: bigint): void {
  if (payment.index === undefined || payment.index >= otherIndex) payment.index = otherIndex - 1n;
  payment.replaced = true;
  const reason = "LND failed it and has made another payment of its hash since";
  endPayment(step, payment, { kind: "failed", reason, released: false });
}

/** LND has told of it: that it knows nothing of it now is no proof any more that nothing was sent. */
export function wasMade({ index, replaced }: Payment): boolean {
  return index !== undefined && !replaced;
}

/** It may have settled before it was deleted from LND's list: only the operator can know. */
function vanished(step: Step, payment: Payment): void {
  if (payment.vanished) return;
  payment.vanished = true;
  const entry = ledgerEntry(step.state, payment.paymentHash);
  tell(step, {
    kind: "payment-unknown",
    level: "error",
    message: `LND had the payment of ${sats(entry.amountSat)} to ${nameOf(step.state, payment.peer)} under way and ` +
      "doesn't know it any more: was its list of payments deleted? It counts as spent, and nothing more is paid to that " +
      "node, until you say by `tightrope resolve` with its hash how it ended",
    ...paymentFacts(entry),
    reason: "vanished",
  });
}

type Settled = Extract<PaymentStatus, { kind: "settled" }>;

/** LND says that it was paid. */
export function settle(step: Step, payment: Payment, status: Settled): void {
  const entry = ledgerEntry(step.state, payment.paymentHash);
  if (entry.foreign) return endForeign(step, payment, entry, isDirect(status) ? entry.amountSat : sat(0));
  verify(step, payment, entry, status);
  endPayment(step, payment, { kind: "settled", feeMsat: status.feeMsat });
}

/** What we have sent must have gone as we meant it; a foreign payment was meant by somebody else. */
function verify(step: Step, payment: Payment, entry: LedgerPayment, status: Settled): void {
  const wrong = whatIsWrong(step.state, payment, entry, status);
  if (wrong !== undefined) {
    tripBreaker(step, `the payment ${payment.paymentHash} to ${nameOf(step.state, payment.peer)} ${wrong}`);
  } else if (status.routes.length === 0) {
    // No contradiction, but no proof either. Every LND that we know names it.
    tell(step, {
      kind: "warning",
      level: "warn",
      message:
        `LND names no route of the payment of ${sats(entry.amountSat)} to ${nameOf(step.state, payment.peer)}: ` +
        "that it went over its channel alone can't be verified",
      ...paymentFacts(entry),
    });
  }
}

/** What a settled payment of ours must be: the amount, without a fee, in one hop over the channel that was meant. */
function whatIsWrong(
  state: BalancerState,
  payment: Payment,
  entry: LedgerPayment,
  status: Settled,
): string | undefined {
  if (status.feeMsat !== noFee) return `cost a fee of ${status.feeMsat} msat`;
  if (status.amountMsat !== satToMsat(entry.amountSat)) return `was over ${status.amountMsat} msat`;
  const side = entry.channelPoint === undefined ? undefined : sideOf(state, payment.node, entry.channelPoint);
  const listed = side ? channelIds(side.channel) : [];
  const ids = [...payment.channelIds, ...listed];
  for (const route of status.routes) {
    const [hop] = route;
    if (route.length !== 1 || hop === undefined) return `took ${route.length} hops`;
    if (hop.pubkey !== payment.peer) return `went to another node (${hop.pubkey})`;
    // Of a channel that was closed since, only the id in the record is left; LND may name it by an alias.
    if (ids.length > 0 && !ids.includes(hop.channelId) && hop.channelId !== entry.channelId) {
      return `went over another channel (${formatShortChannelId(hop.channelId)})`;
    }
  }
  return undefined;
}

type PaymentEnd =
  | { readonly kind: "settled"; readonly feeMsat: Msat }
  /** `released`: nothing was ever sent, so that it is no fault of the peer's. */
  | { readonly kind: "failed"; readonly reason: string; readonly released: boolean; readonly index?: bigint };

function endPayment(step: Step, payment: Payment, end: PaymentEnd): void {
  const { state } = step;
  const entry = ledgerEntry(state, payment.paymentHash);
  if (entry.foreign) return endForeign(step, payment, entry, sat(0));
  if (end.kind === "settled") state.troubles.delete(payment.peer);
  else if (!end.released) noteFailure(step, payment.peer);
  payment.phase = "ending";
  const record: TransactionRecord = end.kind === "settled"
    ? { kind: "settled", ...recordOf(step, entry), feeMsat: end.feeMsat }
    : { kind: "failed", ...recordOf(step, entry), reason: end.reason, ...indexOf(payment.index ?? end.index) };
  append(step, record, { kind: "payment-ended", paymentHash: payment.paymentHash, record }, false);
}

function indexOf(index: bigint | undefined): { readonly paymentIndex?: bigint } {
  return index === undefined ? {} : { paymentIndex: index };
}

/** The operator says how it ended. */
export function endByHand(step: Step, payment: Payment, record: TransactionRecord): void {
  payment.phase = "ending";
  append(step, record, { kind: "payment-ended", paymentHash: payment.paymentHash, record }, false);
}

function endForeign(step: Step, payment: Payment, entry: LedgerPayment, amountSat: Sat): void {
  const { node, peer, ownPeer, channelPoint, channelId, paymentHash } = entry;
  payment.phase = "ending";
  const record: TransactionRecord = {
    kind: "foreign",
    atWallMs: step.now.wallMs,
    role: "payer",
    ...{ node, peer, ownPeer, channelPoint, channelId, paymentHash, amountSat },
    pending: false,
  };
  append(step, record, { kind: "payment-ended", paymentHash, record }, false);
}

function noteFailure(step: Step, peer: NodePubkey): void {
  const { failures: before = 0, told = false } = step.state.troubles.get(peer) ?? {};
  const failures = before + 1;
  const over = failures - toleratedFailures + 1;
  const untilMs = over < 1 ? step.now.atMs : step.now.atMs + backOffMs(step, over, 60_000, 3_600_000);
  step.state.troubles.set(peer, { failures, untilMs, told });
}

/** Once, when paying to a node begins to rest. */
function tellRest(step: Step, peer: NodePubkey): void {
  const trouble = step.state.troubles.get(peer);
  if (trouble === undefined || trouble.told || trouble.failures < toleratedFailures) return;
  trouble.told = true;
  tell(step, {
    kind: "warning",
    level: "warn",
    message: `${trouble.failures} payments to ${nameOf(step.state, peer)} failed in a row: paying to it rests for a ` +
      "minute, then longer",
    peer,
  });
}

/** The outcome is on disk: the payee may hear of it, and the reservation is settled or released. */
export function onPaymentEnded(step: Step, paymentHash: PaymentHash, record: TransactionRecord): void {
  const { state, now } = step;
  const payment = state.payments.get(paymentHash);
  invariant(payment?.phase === "ending", "a payment ended that wasn't ending");
  const name = nameOf(state, payment.peer);
  const tookMs = Math.round(now.atMs - payment.startedAtMs);
  state.payments.delete(paymentHash);
  if (record.kind === "settled") {
    answerPayment(step, payment, { confirmed: true });
    forgetSettled(state.ledger, now.atMs - longestPeriodMs(state.config.limits));
    // The spacing bounds what requests cost that bring nothing; one that was paid is bounded by the limits.
    const side = record.channelPoint && sideOf(state, payment.node, record.channelPoint);
    if (side) side.evaluatedAtMs = undefined;
    tell(step, {
      kind: "payment-settled",
      level: isByHand(record.reason) ? "debug" : "info",
      message: isByHand(record.reason)
        ? `The payment of ${sats(record.amountSat)} to ${name} counts as settled by the operator's word`
        : `Paid ${name} ${sats(record.amountSat)} from ${nameOf(state, payment.node)} in ${tookMs} ms`,
      ...paymentFacts(record),
      feeMsat: record.feeMsat,
      details: { tookMs },
    });
  } else if (record.kind === "failed") {
    answerPayment(step, payment, { reason: toldReason("payment-failed") });
    tell(step, {
      kind: "payment-failed",
      level: isByHand(record.reason) ? "debug" : "warn",
      message: `The payment of ${sats(record.amountSat)} to ${name} ` +
        (isByHand(record.reason)
          ? "counts as failed by the operator's word"
          : `failed: ${failureSentence(record.reason)}`),
      ...paymentFacts(record),
      reason: record.reason,
    });
    tellRest(step, payment.peer);
  }
  const node = nodeByPubkey(state, payment.node);
  if (node === undefined) return;
  // What took its place was passed over as ours.
  const { replaced, index = 0n } = payment;
  if (replaced && index < (node.history.againAfter ?? index + 1n)) node.history.againAfter = index;
  hint(step, node);
}

function failureSentence(reason: string): string {
  const known: Readonly<Record<string, string>> = failureSentences;
  return known[reason] ?? reason;
}

/** A payment of an earlier run: LND is asked how it stands, and nothing is ever sent again. */
export function resumePayment(step: Step, entry: LedgerPayment, index = entry.index): void {
  step.state.payments.set(entry.paymentHash, {
    paymentHash: entry.paymentHash,
    node: entry.node,
    peer: entry.peer,
    channelIds: [],
    invoice: "",
    finalCltvBlocks: 0,
    outgoingChannelId: undefined,
    phase: "tracking",
    asker: undefined,
    startedAtMs: entry.reservedAtMs,
    rejected: undefined,
    trackedSinceMs: step.now.atMs,
    trackAtMs: step.now.atMs,
    trackBusy: false,
    tracks: 0,
    index,
    replaced: false,
    vanished: false,
  });
}

/** A node answers again: look at its payments at once. */
export function trackNow(step: Step, node: NodeState): void {
  for (const payment of step.state.payments.values()) {
    if (payment.node !== node.info?.pubkey || payment.phase !== "tracking" || payment.trackBusy) continue;
    payment.trackAtMs = step.now.atMs;
    trackDue(step, payment);
  }
}

export function paymentTimers(step: Step): void {
  const { state, now } = step;
  for (const payment of state.payments.values()) {
    if (payment.asker && now.atMs >= payment.asker.answerByMs) {
      const entry = ledgerEntry(state, payment.paymentHash);
      tell(step, {
        kind: "payment-unknown",
        level: "warn",
        message: `The payment of ${sats(entry.amountSat)} to ${nameOf(state, payment.peer)} hasn't ended after 60 s: ` +
          "it counts as spent, and nothing more is paid to that node until it has ended. " +
          "`tightrope resolve` with its hash shows what our node says",
        ...paymentFacts(entry),
        reason: "unanswered",
      });
      // Which one it is must be known over a restart: by then somebody may have paid its hash again.
      if (payment.phase === "paying") noteUnknown(step, payment, entry, "it hasn't ended after 60 s");
      answerPayment(step, payment, { reason: toldReason("unanswered") });
    }
    if (payment.trackAtMs !== undefined && now.atMs >= payment.trackAtMs) trackDue(step, payment);
  }
}

export function* paymentDeadlines(state: BalancerState): Generator<number | undefined> {
  for (const payment of state.payments.values()) {
    yield payment.asker?.answerByMs;
    if (canTrack(payment, nodeByPubkey(state, payment.node))) yield payment.trackAtMs;
  }
}

function answerPayment(step: Step, payment: Payment, reply: Reply): void {
  if (payment.asker === undefined) return;
  const { connection, message } = payment.asker;
  payment.asker = undefined;
  answer(step, connection, message, { ...reply, paymentHash: payment.paymentHash });
  tellAnswer(step, payment.node, payment.peer, message, reply.reason);
}

function ledgerEntry(state: BalancerState, paymentHash: PaymentHash): LedgerPayment {
  const entry = state.ledger.payments.get(paymentHash);
  invariant(entry, `payment ${paymentHash} is under way without a reservation`);
  return entry;
}

function recordOf(step: Step, entry: LedgerPayment) {
  const { node, peer, ownPeer, channelPoint, channelId, paymentHash, amountSat, requestId, expiresAtWallMs } = entry;
  invariant(channelPoint && channelId && requestId, `payment ${paymentHash} lacks its channel`);
  return {
    atWallMs: step.now.wallMs,
    role: "payer",
    ...{ node, peer, ownPeer, channelPoint, channelId, paymentHash, amountSat, requestId, expiresAtWallMs },
  } as const;
}

function paymentFacts(
  entry: Pick<LedgerPayment, "node" | "peer" | "paymentHash" | "amountSat"> & Partial<LedgerPayment>,
) {
  const { node, peer, channelPoint, channelId, paymentHash, amountSat, requestId } = entry;
  return {
    role: "payer" as const,
    ...{ node, peer, paymentHash, amountSat },
    ...(channelPoint === undefined ? {} : { channelPoint }),
    ...(channelId === undefined ? {} : { channelId }),
    ...(requestId === undefined ? {} : { requestId }),
  };
}
