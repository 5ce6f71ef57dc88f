import { channelPositionSat, lastAttemptAtMs, type LedgerPayment, totalOutflowSat } from "../audit/ledger.ts";
import type { TransactionRecord } from "../audit/record.ts";
import { limitsFor } from "../config/settings.ts";
import { sat } from "../domain/amounts.ts";
import { channelIds } from "../domain/channel.ts";
import { invariant } from "../domain/errors.ts";
import type { NodePubkey } from "../domain/ids.ts";
import { type RefuseReason, refuseSentence, toldReason } from "../domain/reasons.ts";
import { formatSpan } from "../domain/span.ts";
import type { NodeReply } from "../lightning/node.ts";
import { decidePayment, whyUnwilling } from "../policy/payment.ts";
import { invoiceTag, memoTag } from "../protocol/memo.ts";
import type { PayInvoice } from "../protocol/messages.ts";
import { answer, type Reply, tellAnswer } from "./answers.ts";
import { evenWallMsOf } from "./clocks.ts";
import { isHistoryKnown } from "./history.ts";
import { channelName, nameOf, sats } from "./names.ts";
import { applyChannels, facts, pollSoon, settingsOf, targetOf } from "./nodes.ts";
import { isPause, pausedBy, wholePause } from "./pauses.ts";
import { restingMs, stuckPayment, whyStopped } from "./payments.ts";
import { countIgnored, hasProven, peerName, repeatPauses } from "./peers.ts";
import {
  type BalancerState,
  type CallPurpose,
  isOwn,
  lacksHistories,
  maxRefusalsTold,
  msPerRefusalTold,
  type NodeState,
  openPaymentsOf,
  type PeerSession,
  type Request,
  type Side,
} from "./state.ts";
import { append, call, type Step, tell, tellOfSession } from "./step.ts";

/** A channel that we don't know yet may be asked for again so soon: it may be new. */
const soonestRetryMs = 900;
/** One request per channel is looked into per this time. */
const requestSpacingMs = 5_000;
/** A list of channels that is younger isn't read again for a channel that it lacks. */
const freshMs = 1_000;
/** Every request is answered within this time. */
const answerTimeoutMs = 60_000;
/** The requests of one session whose ids are remembered. */
const maxRequestIds = 256;

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
    const sinceMs = now.atMs - (peer.strangeAskedAtMs ?? -Infinity);
    peer.strangeAskedAtMs = now.atMs;
    if (sinceMs < soonestRetryMs) return countIgnored(step);
    const isNews = now.atMs - (peer.refusedAtMs ?? -Infinity) >= requestSpacingMs;
    if (isNews) peer.refusedAtMs = now.atMs;
    return tellOfSession(step, {
      kind: "request-refused",
      level: isNews ? "info" : "debug",
      message: `Refused ${peerName(peer)} a payment of ${sats(message.tokens)}: ${refuseSentence("unknown-channel")}`,
      role: "payer",
      reason: "unknown-channel",
      channelPoint: message.channelPoint,
      amountSat: message.tokens,
      requestId: message.requestId,
    });
  }
  const { node, side } = found;
  const reason = whyNotNow(step, node, side.channel.remotePubkey, side);
  if (reason === undefined) {
    if (now.atMs - (side.evaluatedAtMs ?? -Infinity) < requestSpacingMs) {
      countIgnored(step);
      return answer(step, peer.connection, message, { reason: toldReason("rate-limited") });
    }
    side.evaluatedAtMs = now.atMs;
  }
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
    answerByMs: now.atMs + answerTimeoutMs,
    quiet,
    listing: false,
    listed: false,
    invoice: undefined,
    isNew: false,
  };
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

/** What stops all paying, all from this node, all to that one, or all over this channel. Needs no look-up. */
function whyNotNow(step: Step, node: NodeState, peer: NodePubkey, side: Side | undefined): RefuseReason | undefined {
  const { state } = step;
  if (state.draining) return "draining";
  const paused = side === undefined ? wholePause(state) : pausedBy(state, node, side.channel);
  if (paused !== undefined) return paused;
  const peerListed = isListed(state, peer);
  const unwilling = side && whyUnwilling({ peerListed, ...side, settings: settingsOf(state, node, side.channel) });
  if (unwilling !== undefined) return unwilling;
  if (node.cloned) return "cloned";
  if (!node.up) return "node-down";
  if (!isHistoryKnown(state, node)) return "starting";
  if (!isOwn(state, peer) && lacksHistories(state)) return "rebuilding";
  return whyStopped(step, peer);
}

/** Whether the configuration lets us pay a node. */
function isListed(state: BalancerState, peer: NodePubkey): boolean {
  const { peers } = state.config;
  return peers === undefined || isOwn(state, peer) || peers.includes(peer);
}

/** A list that is younger than the request, for all that wait: hundreds may come at once, and a list may take a second. */
function listForRequests(step: Step, node: NodeState): void {
  if (node.listingForRequests) return;
  const waiting = [...step.state.requests.values()].filter((request) => request.node === node.ref && !request.listing);
  if (waiting.length === 0) return;
  node.listingForRequests = true;
  for (const request of waiting) request.listing = true;
  const ids = waiting.map(({ id }) => id);
  const list = ++node.lists.asked;
  call(step, node.ref, { method: "listChannels", args: [] }, { kind: "request-channels", ids, node: node.ref, list });
}

export function onRequestChannels(
  step: Step,
  { ids, list }: Extract<CallPurpose, { kind: "request-channels" }>,
  node: NodeState,
  reply: NodeReply,
): void {
  const { requests } = step.state;
  node.listingForRequests = false;
  const channels = reply.ok && reply.method === "listChannels" ? reply.value : undefined;
  const waiting = ids.flatMap((id) => requests.get(id) ?? []);
  if (channels !== undefined && waiting.length > 0) applyChannels(step, node, list, channels);
  for (const request of waiting) {
    if (channels === undefined) {
      refuse(step, request, "node-failed", {}, whyFailed(reply));
      continue;
    }
    request.listed = true;
    decide(step, request, node);
  }
  listForRequests(step, node);
}

export function onRequestInvoice(step: Step, id: number, node: NodeState, reply: NodeReply): void {
  const request = step.state.requests.get(id);
  if (request === undefined) return;
  if (!reply.ok || reply.method !== "decodeInvoice") {
    const isInvoice = reply.ok || reply.kind !== "invalid-invoice";
    return isInvoice
      ? refuse(step, request, "node-failed", {}, whyFailed(reply))
      : refuse(step, request, "undecodable-invoice");
  }
  request.invoice = reply.value;
  const { paymentHash } = reply.value;
  call(step, node.ref, { method: "trackPayment", args: [paymentHash] }, { kind: "request-hash", id, node: node.ref });
}

/**
 * Our node pays for others, too, and takes no hash twice: what it says of one that it knows would be about another payment,
 * with a fee and over whatever channels.
 */
export function onRequestHash(step: Step, id: number, node: NodeState, reply: NodeReply): void {
  const request = step.state.requests.get(id);
  if (request === undefined) return;
  if (!reply.ok || reply.method !== "trackPayment") return refuse(step, request, "node-failed", {}, whyFailed(reply));
  if (reply.value.kind !== "not-found") return refuse(step, request, "known-hash");
  request.isNew = true;
  decide(step, request, node);
}

/** Checks and reservation in one step, on the newest that our own node has said. */
function decide(step: Step, request: Request, node: NodeState): void {
  const { state, now } = step;
  const { message, listed, invoice, isNew } = request;
  if (!listed || invoice === undefined || !isNew) return;
  const side = node.sides.get(message.channelPoint);
  const reason = whyNotNow(step, node, request.peer, side);
  if (reason !== undefined) return refuse(step, request, reason);
  const peer = state.peers.get(request.connection);
  if (peer?.sessionIdBytes === undefined || !node.info) return refuse(step, request, "not-proven");
  if (side?.channel.remotePubkey !== request.peer) return refuse(step, request, "unknown-channel");
  const { channel } = side;
  const { ledger, config } = state;
  const own = node.info.pubkey;
  const ownPeer = isOwn(state, request.peer);
  const { requestId, channelPoint, tokens } = message;
  const decision = decidePayment({
    tokensSat: tokens,
    invoice,
    memoTag: memoTag(invoice.memo),
    expectedTag: invoiceTag({ sessionId: peer.sessionIdBytes, requestId, channelPoint, tokens }),
    channel,
    node: own,
    settings: settingsOf(state, node, channel),
    limits: limitsFor(config.limits, targetOf(node, channel)),
    peerProven: hasProven(peer, request.peer),
    peerListed: isListed(state, request.peer),
    ownPeer,
    // Between two nodes of ours the invoice is of course one of ours.
    hashKnown: ledger.paidHashes.has(invoice.paymentHash) ||
      (!ownPeer && ledger.invoiceHashes.has(invoice.paymentHash)),
    requestOpen: side.ask !== undefined,
    paymentOpen: [...openPaymentsOf(state)].some((open) => concerns(open, own, request)),
    payments: ledger.payments.values(),
    lastAttemptAtMs: lastAttemptAtMs(ledger, own, request.peer, channel.channelPoint),
    positionSat: ledger.positions.get(request.peer) ?? sat(0),
    channelPositionSat: channelPositionSat(ledger, own, request.peer, channel.channelPoint),
    totalOutflowSat: totalOutflowSat(ledger, (pubkey) => isOwn(state, pubkey)),
    atMs: now.atMs,
    wallMs: now.wallMs,
    evenWallMs: evenWallMsOf(state, now.atMs),
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
    index: undefined,
    replaced: false,
    vanished: false,
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

function whyFailed(reply: NodeReply): string {
  return reply.ok ? "" : `: ${reply.message}${reply.remedy === "" ? "" : `. ${reply.remedy}`}`;
}

/** @param why what our own node said, after the reason's sentence */
function refuse(step: Step, request: Request, reason: RefuseReason, more: Reply = {}, why = ""): void {
  const { state } = step;
  const { message } = request;
  const node = state.nodes[request.node];
  state.requests.delete(request.id);
  const paused = isPause(reason) ? { paused: true } as const : {};
  answer(step, request.connection, message, { reason: toldReason(reason), ...paused, ...more });
  if (isPause(reason) && node) repeatPauses(step, request.connection, node);
  // A peer that asks every five seconds for what it doesn't get must not fill the event log.
  if (request.quiet) return countIgnored(step);
  tellAnswer(step, node?.info?.pubkey, request.peer, message, toldReason(reason));
  const side = node?.sides.get(message.channelPoint);
  if (side) side.refusals.left--;
  tell(step, {
    kind: "request-refused",
    level: reason === "wrong-purpose" || reason === "known-hash" || reason === "wrong-destination" ? "warn" : "info",
    message: `Refused ${nameOf(state, request.peer)} a payment of ${sats(message.tokens)}: ${
      refuseSentence(reason)
    }${why}${whatElse(step, request.peer, reason, more)}`,
    role: "payer",
    ...(node && side ? facts(node, side) : { peer: request.peer, channelPoint: message.channelPoint }),
    amountSat: message.tokens,
    requestId: message.requestId,
    reason,
  });
}

/** Until when it is so, or what to look at. */
function whatElse(step: Step, peer: NodePubkey, reason: RefuseReason, { maxTokens, retryAfterMs }: Reply): string {
  if (maxTokens !== undefined) return ` (at most ${sats(maxTokens)} now)`;
  const stuck = reason === "peer-stuck" ? stuckPayment(step, peer) : undefined;
  if (stuck !== undefined) return `; \`tightrope resolve ${stuck}\` shows how it stands`;
  const restMs = reason === "peer-failing" ? restingMs(step, peer) : undefined;
  if (restMs !== undefined) return `; possible again in ${formatSpan(restMs)}`;
  return retryAfterMs === undefined ? "" : `; possible again within ${formatSpan(retryAfterMs)}`;
}

export function requestTimers(step: Step): void {
  const { state, now } = step;
  for (const request of [...state.requests.values()]) {
    if (now.atMs >= request.answerByMs) refuse(step, request, "node-failed", {}, ": it says nothing");
  }
}

export function* requestDeadlines(state: BalancerState): Generator<number | undefined> {
  for (const request of state.requests.values()) yield request.answerByMs;
}
