import { channelPositionSat, forgetSettled, type LedgerPayment, sideKey, totalOutflowSat } from "../audit/ledger.ts";
import type { TransactionRecord } from "../audit/record.ts";
import { limitsFor, longestPeriodMs } from "../config/settings.ts";
import { type Msat, type Sat, sat, satToMsat } from "../domain/amounts.ts";
import { channelIds } from "../domain/channel.ts";
import { invariant, unreachable } from "../domain/errors.ts";
import type { NodePubkey, PaymentHash } from "../domain/ids.ts";
import type { PaymentStatus } from "../domain/payment.ts";
import { type RefuseReason, refuseSentence, type ToldReason, toldReason } from "../domain/reasons.ts";
import { type NodeReply, noFee } from "../lightning/node.ts";
import { decidePayment } from "../policy/payment.ts";
import { invoiceTag, parseMemo } from "../protocol/memo.ts";
import type { PayInvoice, PaymentResult } from "../protocol/messages.ts";
import type { ConnectionId } from "../swarm/transport.ts";
import { tripBreaker } from "./breaker.ts";
import { channelName, nameOf, sats } from "./names.ts";
import { applyChannels, facts, hint, pollSoon, settingsOf, targetOf } from "./nodes.ts";
import { countIgnored, hasProven, peerName } from "./peers.ts";
import {
  type BalancerState,
  isOwn,
  maxRefusalsTold,
  msPerRefusalTold,
  nodeByPubkey,
  type NodeState,
  openPaymentsOf,
  type Payment,
  type PeerSession,
  type Request,
  type Side,
  sideOf,
} from "./state.ts";
import { append, backOffMs, call, send, type Step, tell, tellSparingly } from "./step.ts";

/** One request per channel is looked into per this time. */
const requestSpacingMs = 5_000;
/** A list of channels that is younger isn't read again for a channel that it lacks. */
const freshMs = 1_000;
/** Every request is answered within this time. */
const answerTimeoutMs = 60_000;
/** A payment that hasn't ended by then stops all paying to its node. */
const stuckMs = 60_000;
/** How long LND may start attempts. */
const payTimeoutSec = 30;
/** Above the invoice's final CLTV: what LND adds to tolerate blocks that come meanwhile. */
const cltvMarginBlocks = 40;
/** The requests of one session whose ids are remembered. */
const maxRequestIds = 256;
/** After this many failures in a row paying to a node rests. */
const toleratedFailures = 3;
/** `not found` is a proof only this long after the invoice expired: LND may still be working through a lost request. */
const notFoundGraceMs = 60_000;

/** A request of a payee: cheap checks here, then our own node is asked. Answered exactly once. */
export function onPayInvoice(step: Step, peer: PeerSession, message: PayInvoice): void {
  const { state, now } = step;
  // A request that comes again has its answer, or will get it.
  if (peer.requestIds.includes(message.requestId)) return countIgnored(step);
  peer.requestIds.push(message.requestId);
  if (peer.requestIds.length > maxRequestIds) peer.requestIds.shift();

  const found = findSide(state, peer, message);
  if (found === undefined) {
    answer(step, peer.connection, message, { reason: "not-shared" });
    // A new channel, perhaps, of which our node hasn't told us yet: the payee will ask again. One look and no more after it:
    // whoever asks for channels that aren't there must not keep our node busy.
    for (const node of state.nodes) if (now.atMs - node.polledAtMs >= freshMs) pollSoon(step, node, 0);
    if (now.atMs - (peer.refusedAtMs ?? -Infinity) < requestSpacingMs) return countIgnored(step);
    peer.refusedAtMs = now.atMs;
    return tellSparingly(step, {
      kind: "request-refused",
      level: "info",
      message: `Refused ${peerName(peer)} a payment of ${sats(message.tokens)}: ${refuseSentence("unknown-channel")}`,
      role: "payer",
      reason: "unknown-channel",
      channelPoint: message.channelPoint,
      amountSat: message.tokens,
      requestId: message.requestId,
    });
  }
  const { node, side } = found;
  if (now.atMs - (side.evaluatedAtMs ?? -Infinity) < requestSpacingMs) {
    countIgnored(step);
    return answer(step, peer.connection, message, { reason: toldReason("rate-limited") });
  }
  side.evaluatedAtMs = now.atMs;
  const { refusals } = side;
  refusals.left = Math.min(maxRefusalsTold, refusals.left + (now.atMs - refusals.atMs) / msPerRefusalTold);
  refusals.atMs = now.atMs;
  const quiet = refusals.left < 1;
  if (!quiet) {
    tell(step, {
      kind: "message-received",
      level: "debug",
      message: `${nameOf(state, side.channel.remotePubkey)} asks for ${sats(message.tokens)} over ${
        channelName(side.channel)
      }`,
      role: "payer",
      ...facts(node, side),
      amountSat: message.tokens,
      requestId: message.requestId,
      details: { message: "payInvoice" },
    });
  }
  const request: Request = {
    id: state.nextId++,
    connection: peer.connection,
    node: node.ref,
    peer: side.channel.remotePubkey,
    message,
    receivedAtMs: now.atMs,
    answerByMs: now.atMs + answerTimeoutMs,
    quiet,
    listing: false,
    channel: undefined,
    invoice: undefined,
  };
  const reason = whyNotNow(step, node, request.peer);
  if (reason !== undefined) return refuse(step, request, reason);
  state.requests.set(request.id, request);
  const { id } = request;
  listForRequests(step, node);
  const decode = { method: "decodeInvoice", args: [message.invoice] } as const;
  call(step, node.ref, decode, { kind: "request-invoice", id, node: node.ref });
}

/**
 * Our side of the channel that a request names, among those whose other node the session has proven. Between two nodes
 * of ours both sides fit: the payee's own one doesn't pay.
 */
function findSide(
  state: BalancerState,
  peer: PeerSession,
  { channelPoint, requestId }: PayInvoice,
): { node: NodeState; side: Side } | undefined {
  for (const node of state.nodes) {
    const side = node.sides.get(channelPoint);
    if (!side?.shared || side.ask === requestId || !hasProven(peer, side.channel.remotePubkey)) continue;
    // Our own nodes ask in memory: over the swarm it is a clone that does, and own nodes get any credit.
    if (isOwn(state, side.channel.remotePubkey) && peer.via !== "memory") continue;
    return { node, side };
  }
  return undefined;
}

/** What stops all paying, all from this node, or all to that one. Needs no look-up. */
function whyNotNow(step: Step, node: NodeState, peer: NodePubkey): RefuseReason | undefined {
  const { state } = step;
  if (state.draining) return "draining";
  if (state.breaker !== undefined) return "breaker";
  if (state.paused) return "paused";
  if (node.cloned) return "cloned";
  if (!node.up) return "node-down";
  if (node.history.phase !== "read") return "starting";
  if (isStopped(step, peer)) return "peer-stopped";
  return undefined;
}

/** A stuck payment or repeated failure stops only that remote node, and a stuck one only until it has ended. */
function isStopped({ state, now }: Step, peer: NodePubkey): boolean {
  const trouble = state.troubles.get(peer);
  if (trouble && trouble.failures >= toleratedFailures && now.atMs < trouble.untilMs) return true;
  for (const open of openPaymentsOf(state)) {
    if (open.peer === peer && (open.state === "unknown" || now.atMs - open.reservedAtMs > stuckMs)) return true;
  }
  return false;
}

/** A list that is younger than the request, for all that wait: hundreds may come at once, and a list may take a second. */
function listForRequests(step: Step, node: NodeState): void {
  if (node.listingForRequests) return;
  const waiting = [...step.state.requests.values()].filter((request) => request.node === node.ref && !request.listing);
  if (waiting.length === 0) return;
  node.listingForRequests = true;
  for (const request of waiting) request.listing = true;
  const ids = waiting.map(({ id }) => id);
  call(step, node.ref, { method: "listChannels", args: [] }, { kind: "request-channels", ids, node: node.ref });
}

export function onRequestChannels(step: Step, ids: readonly number[], node: NodeState, reply: NodeReply): void {
  const { requests } = step.state;
  node.listingForRequests = false;
  const channels = reply.ok && reply.method === "listChannels" ? reply.value : undefined;
  const waiting = ids.flatMap((id) => requests.get(id) ?? []);
  if (channels !== undefined && waiting.length > 0) applyChannels(step, node, channels);
  const fresh = new Map(channels?.map((channel) => [channel.channelPoint, channel]));
  for (const request of waiting) {
    if (channels === undefined) {
      refuse(step, request, "node-failed");
      continue;
    }
    request.channel = fresh.get(request.message.channelPoint) ?? "gone";
    decide(step, request, node);
  }
  listForRequests(step, node);
}

export function onRequestInvoice(step: Step, id: number, node: NodeState, reply: NodeReply): void {
  const request = step.state.requests.get(id);
  if (request === undefined) return;
  if (!reply.ok || reply.method !== "decodeInvoice") {
    const isInvoice = reply.ok || reply.kind !== "invalid-invoice";
    return refuse(step, request, isInvoice ? "node-failed" : "undecodable-invoice");
  }
  request.invoice = reply.value;
  decide(step, request, node);
}

/** Checks and reservation in one step, on what our own node just said. */
function decide(step: Step, request: Request, node: NodeState): void {
  const { state, now } = step;
  const { message, channel, invoice } = request;
  if (channel === undefined || invoice === undefined) return;
  const reason = whyNotNow(step, node, request.peer);
  if (reason !== undefined) return refuse(step, request, reason);
  const peer = state.peers.get(request.connection);
  const side = node.sides.get(message.channelPoint);
  if (peer?.sessionIdBytes === undefined || !node.info) return refuse(step, request, "not-proven");
  if (channel === "gone" || side === undefined || channel.remotePubkey !== request.peer) {
    return refuse(step, request, "unknown-channel");
  }
  const { ledger, config } = state;
  const own = node.info.pubkey;
  const key = sideKey(own, channel.channelPoint);
  const ownPeer = isOwn(state, request.peer);
  const { requestId, channelPoint, tokens } = message;
  const decision = decidePayment({
    tokensSat: tokens,
    invoice,
    memoTag: parseMemo(invoice.memo)?.tag,
    expectedTag: invoiceTag({ sessionId: peer.sessionIdBytes, requestId, channelPoint, tokens }),
    channel,
    node: own,
    settings: settingsOf(state, node, channel),
    limits: limitsFor(config.limits, targetOf(node, channel)),
    peerProven: hasProven(peer, request.peer),
    peerListed: ownPeer || config.peers === undefined || config.peers.includes(request.peer),
    ownPeer,
    // Between two nodes of ours the invoice is of course one of ours.
    hashKnown: ledger.paidHashes.has(invoice.paymentHash) ||
      (!ownPeer && ledger.invoiceHashes.has(invoice.paymentHash)),
    requestOpen: side.ask !== undefined,
    paymentOpen: [...openPaymentsOf(state)].some((open) => concerns(open, own, request)),
    payments: ledger.payments.values(),
    lastAttemptAtMs: ledger.lastAttemptAtMs.get(key),
    positionSat: ledger.positions.get(request.peer) ?? sat(0),
    channelPositionSat: channelPositionSat(ledger, own, request.peer, channel.channelPoint),
    totalOutflowSat: totalOutflowSat(ledger, (pubkey) => isOwn(state, pubkey)),
    atMs: now.atMs,
    wallMs: now.wallMs,
  });
  if (decision.kind === "refuse") {
    const { retryAfterMs, maxTokensSat } = decision;
    return refuse(step, request, decision.reason, {
      ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
      ...(maxTokensSat === undefined ? {} : { maxTokens: maxTokensSat }),
    });
  }
  if (config.dryRun) return refuse(step, request, "dry-run");
  reserve(step, request, node, side, ownPeer);
}

/** A payment that may be over this very channel. */
function concerns(open: LedgerPayment, node: NodePubkey, { message, peer }: Request): boolean {
  if (open.node !== node) return false;
  return open.channelPoint === undefined ? open.peer === peer : open.channelPoint === message.channelPoint;
}

/** Reserve before paying: a crash after sending must not free the budget. */
function reserve(step: Step, request: Request, node: NodeState, side: Side, ownPeer: boolean): void {
  const { state, now } = step;
  const { message, invoice, connection, answerByMs } = request;
  invariant(invoice && node.info, "a payment is reserved without its invoice");
  const { channel } = side;
  const { paymentHash } = invoice;
  state.requests.delete(request.id);
  state.payments.set(paymentHash, {
    paymentHash,
    node: node.info.pubkey,
    peer: request.peer,
    channelIds: channelIds(channel),
    invoice: message.invoice,
    finalCltvBlocks: invoice.finalCltvBlocks,
    outgoingChannelId: channel.shortChannelId,
    phase: "recording",
    asker: { connection, message, answerByMs },
    startedAtMs: now.atMs,
    rejected: undefined,
    trackedSinceMs: now.atMs,
    trackAtMs: undefined,
    trackBusy: false,
    tracks: 0,
  });
  const record: TransactionRecord = {
    kind: "intent",
    atWallMs: now.wallMs,
    role: "payer",
    node: node.info.pubkey,
    peer: request.peer,
    ownPeer,
    channelPoint: channel.channelPoint,
    channelId: channel.shortChannelId,
    paymentHash,
    amountSat: message.tokens,
    requestId: message.requestId,
    expiresAtWallMs: invoice.expiresAtWallMs,
  };
  append(step, record, { kind: "intent", paymentHash }, true);
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
  if (!node || node.cloned || late || state.draining || state.paused || state.breaker !== undefined) {
    return endPayment(step, payment, { kind: "failed", reason: "not sent", released: true });
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
  if (payment === undefined || payment.phase !== "paying") return;
  if (!reply.ok || reply.method !== "pay") {
    return becomeUnknown(step, payment, reply.ok ? "no answer" : reply.message);
  }
  const outcome = reply.value;
  switch (outcome.kind) {
    case "settled":
      return settle(step, payment, outcome);
    case "failed":
      return endPayment(step, payment, { kind: "failed", reason: outcome.failure, released: false });
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
  append(step, { kind: "unknown", ...recordOf(step, entry), reason: detail }, { kind: "noted" }, true);
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
  switch (status.kind) {
    case "settled":
      return settle(step, payment, status);
    case "failed":
      return endPayment(step, payment, { kind: "failed", reason: status.failure, released: false });
    case "in-flight":
      return again();
    case "not-found": {
      if (payment.rejected !== undefined) {
        return endPayment(step, payment, { kind: "failed", reason: payment.rejected, released: false });
      }
      const entry = ledgerEntry(state, paymentHash);
      // One that LND has listed and now doesn't know was deleted from its history: it may have settled, so it counts.
      if (entry.foreign) return endForeign(step, payment, entry, entry.amountSat);
      const expired = now.wallMs >= entry.expiresAtWallMs + notFoundGraceMs;
      // The wall clock may have jumped: the process must have waited, too.
      const waited = now.atMs >= payment.trackedSinceMs + notFoundGraceMs;
      if (!expired || !waited) return again();
      return endPayment(step, payment, { kind: "failed", reason: "LND knows no such payment", released: true });
    }
    default:
      return unreachable(status);
  }
}

type Settled = Extract<PaymentStatus, { kind: "settled" }>;

function settle(step: Step, payment: Payment, status: Settled): void {
  const entry = ledgerEntry(step.state, payment.paymentHash);
  if (entry.foreign) return endForeign(step, payment, entry, entry.amountSat);
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
  endPayment(step, payment, { kind: "settled", feeMsat: status.feeMsat });
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
      return `went over another channel (${hop.channelId})`;
    }
  }
  return undefined;
}

type PaymentEnd =
  | { readonly kind: "settled"; readonly feeMsat: Msat }
  /** `released`: nothing was ever sent, so that it is no fault of the peer's. */
  | { readonly kind: "failed"; readonly reason: string; readonly released: boolean };

function endPayment(step: Step, payment: Payment, end: PaymentEnd): void {
  const { state } = step;
  const entry = ledgerEntry(state, payment.paymentHash);
  if (entry.foreign) return endForeign(step, payment, entry, end.kind === "settled" ? entry.amountSat : sat(0));
  if (end.kind === "settled") state.troubles.delete(payment.peer);
  else if (!end.released) noteFailure(step, payment.peer);
  payment.phase = "ending";
  const record: TransactionRecord = end.kind === "settled"
    ? { kind: "settled", ...recordOf(step, entry), feeMsat: end.feeMsat }
    : { kind: "failed", ...recordOf(step, entry), reason: end.reason };
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
  const failures = (step.state.troubles.get(peer)?.failures ?? 0) + 1;
  const over = failures - toleratedFailures + 1;
  const untilMs = over < 1 ? step.now.atMs : step.now.atMs + backOffMs(step, over, 60_000, 3_600_000);
  step.state.troubles.set(peer, { failures, untilMs });
  if (over === 1) {
    tell(step, {
      kind: "warning",
      level: "warn",
      message: `${failures} payments to ${
        nameOf(step.state, peer)
      } failed in a row: paying to it rests for a minute, then longer`,
      peer,
    });
  }
}

/** The outcome is on disk: the payee may hear of it, and the reservation is settled or released. */
export function onPaymentEnded(step: Step, paymentHash: PaymentHash, record: TransactionRecord): void {
  const { state, now } = step;
  const payment = state.payments.get(paymentHash);
  invariant(payment?.phase === "ending", "a payment ended that wasn't ending");
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
      level: "info",
      message: `Paid ${nameOf(state, payment.peer)} ${sats(record.amountSat)} from ${
        nameOf(state, payment.node)
      } in ${tookMs} ms`,
      ...paymentFacts(record),
      feeMsat: record.feeMsat,
      details: { tookMs },
    });
  } else if (record.kind === "failed") {
    answerPayment(step, payment, { reason: toldReason("payment-failed") });
    tell(step, {
      kind: "payment-failed",
      level: "warn",
      message: `The payment of ${sats(record.amountSat)} to ${nameOf(state, payment.peer)} failed: ${record.reason}`,
      ...paymentFacts(record),
      reason: record.reason,
    });
  }
  const node = nodeByPubkey(state, payment.node);
  if (node) hint(step, node);
}

/** A payment of an earlier run: LND is asked how it stands, and nothing is ever sent again. */
export function resumePayment(step: Step, entry: LedgerPayment): void {
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
    startedAtMs: step.now.atMs,
    rejected: undefined,
    trackedSinceMs: step.now.atMs,
    trackAtMs: step.now.atMs,
    trackBusy: false,
    tracks: 0,
  });
}

/** A node answers again: look at its payments at once. */
export function trackNow(step: Step, node: NodeState): void {
  for (const payment of step.state.payments.values()) {
    if (payment.node !== node.info?.pubkey || payment.phase !== "tracking" || payment.trackBusy) continue;
    payment.trackAtMs = Math.min(payment.trackAtMs ?? Infinity, step.now.atMs);
    trackDue(step, payment);
  }
}

export function payerTimers(step: Step): void {
  const { state, now } = step;
  for (const request of [...state.requests.values()]) {
    if (now.atMs >= request.answerByMs) refuse(step, request, "node-failed");
  }
  for (const payment of state.payments.values()) {
    if (payment.asker && now.atMs >= payment.asker.answerByMs) {
      const entry = ledgerEntry(state, payment.paymentHash);
      tell(step, {
        kind: "payment-unknown",
        level: "warn",
        message: `The payment of ${sats(entry.amountSat)} to ${nameOf(state, payment.peer)} hasn't ended after 60 s: ` +
          "it counts as spent, and nothing more is paid to that node until it has ended",
        ...paymentFacts(entry),
        reason: "unanswered",
      });
      answerPayment(step, payment, { reason: toldReason("unanswered") });
    }
    if (payment.trackAtMs !== undefined && now.atMs >= payment.trackAtMs) trackDue(step, payment);
  }
}

export function* payerDeadlines(state: BalancerState): Generator<number | undefined> {
  for (const request of state.requests.values()) yield request.answerByMs;
  for (const payment of state.payments.values()) {
    yield payment.asker?.answerByMs;
    if (canTrack(payment, nodeByPubkey(state, payment.node))) yield payment.trackAtMs;
  }
}

interface Reply {
  readonly confirmed?: true;
  readonly paymentHash?: PaymentHash;
  readonly reason?: ToldReason;
  readonly retryAfterMs?: number;
  readonly maxTokens?: Sat;
}

function refuse(step: Step, request: Request, reason: RefuseReason, more: Reply = {}): void {
  const { state } = step;
  const { message } = request;
  state.requests.delete(request.id);
  answer(step, request.connection, message, { reason: toldReason(reason), ...more });
  // A peer that asks every five seconds for what it doesn't get must not fill the event log.
  if (request.quiet) return countIgnored(step);
  tellAnswer(step, state.nodes[request.node]?.info?.pubkey, request.peer, message, toldReason(reason));
  const node = state.nodes[request.node];
  const side = node?.sides.get(message.channelPoint);
  if (side) side.refusals.left--;
  const most = more.maxTokens === undefined ? "" : ` (at most ${sats(more.maxTokens)} now)`;
  tell(step, {
    kind: "request-refused",
    level: reason === "wrong-purpose" || reason === "known-hash" || reason === "wrong-destination" ? "warn" : "info",
    message: `Refused ${nameOf(state, request.peer)} a payment of ${sats(message.tokens)}: ${
      refuseSentence(reason)
    }${most}`,
    role: "payer",
    ...(node && side ? facts(node, side) : { peer: request.peer, channelPoint: message.channelPoint }),
    amountSat: message.tokens,
    requestId: message.requestId,
    reason,
  });
}

function answerPayment(step: Step, payment: Payment, reply: Reply): void {
  if (payment.asker === undefined) return;
  const { connection, message } = payment.asker;
  payment.asker = undefined;
  answer(step, connection, message, { ...reply, paymentHash: payment.paymentHash });
  tellAnswer(step, payment.node, payment.peer, message, reply.reason);
}

function tellAnswer(
  step: Step,
  node: NodePubkey | undefined,
  peer: NodePubkey,
  message: PayInvoice,
  reason: ToldReason | undefined,
): void {
  tell(step, {
    kind: "message-sent",
    level: "debug",
    message: `Answered ${nameOf(step.state, peer)} about ${sats(message.tokens)}: ${reason ?? "paid"}`,
    role: "payer",
    ...(node === undefined ? {} : { node }),
    peer,
    channelPoint: message.channelPoint,
    amountSat: message.tokens,
    requestId: message.requestId,
    ...(reason === undefined ? {} : { reason }),
    details: { message: "paymentResult" },
  });
}

function answer(step: Step, connection: ConnectionId, message: PayInvoice, reply: Reply): void {
  const peer = step.state.peers.get(connection);
  if (peer === undefined) return;
  const { confirmed, paymentHash, reason, retryAfterMs, maxTokens } = reply;
  const result: PaymentResult = {
    type: "paymentResult",
    requestId: message.requestId,
    channelPoint: message.channelPoint,
    channelId: message.channelId,
    paymentId: paymentHash ?? "",
    confirmed: confirmed === true,
    confirmedAtWallMs: step.now.wallMs,
    ...(reason === undefined ? {} : { reason }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
  };
  send(step, peer, result);
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
