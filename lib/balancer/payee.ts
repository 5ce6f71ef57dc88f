import { bytesToHex } from "@noble/hashes/utils.js";
import type { LedgerInvoice } from "../audit/ledger.ts";
import type { TransactionRecord } from "../audit/record.ts";
import { channelIds, type ChannelSnapshot } from "../domain/channel.ts";
import { invariant } from "../domain/errors.ts";
import { parseRequestId, type RequestId, type ShortChannelId } from "../domain/ids.ts";
import type { InvoiceStatus } from "../domain/invoice.ts";
import { type LeaveReason, leaveReasons, toldSentences } from "../domain/reasons.ts";
import { formatSpan } from "../domain/span.ts";
import type { NodeReply } from "../lightning/node.ts";
import { decideRebalance } from "../policy/rebalance.ts";
import { formatMemo, invoiceTag } from "../protocol/memo.ts";
import type { PaymentResult } from "../protocol/messages.ts";
import type { ConnectionId } from "../swarm/transport.ts";
import { channelName, nameOf, sats, standing } from "./names.ts";
import { facts, hint, nodeName, pollSoon, settingsOf } from "./nodes.ts";
import { isPausedByPeer, pausedBy, wholePause } from "./pauses.ts";
import {
  type Ask,
  type BalancerState,
  isOwn,
  nodeByPubkey,
  type NodeState,
  openPaymentsOf,
  type PayerLimit,
  type PeerSession,
  sessionFor,
  type Side,
  sideOf,
} from "./state.ts";
import { append, backOffMs, call, countUntold, send, type Step, tell, tellOfChannel } from "./step.ts";

/** The payer answers within 60 s or says `unknown`, which takes a moment to arrive; then the invoice is cancelled. */
const answerTimeoutMs = 65_000;
/** How long an invoice could be paid if cancelling it failed; room for clocks that differ. */
const invoiceExpirySec = 600;
/** The payer looks into one request per channel and 5 s. */
const askSpacingMs = 6_000;
/** But once, not for a channel that it doesn't know: of a new one it may hear a moment after us. */
const unknownChannelRetryMs = 1_000;
const longestBackOffMs = 600_000;
/** How long a request outlives its session: the payment may be under way. */
const orphanMs = 5_000;
/** How long a stop waits for payments that were asked for: it must be over within 10 s. */
const drainPatienceMs = 4_000;
/** After a list of channels an open request is looked up this often at most; less often while its channel shows nothing. */
const lookSpacingMs = 1_000;
const quietLookMs = 10_000;
/** However long the payer asks us to wait, we come back after an hour. */
const longestRetryMs = 3_600_000;
/** So long what the payer said it would pay at most is taken for true; longer each time that it says so again. */
const firstLimitMs = 60_000;
/** Why a request wasn't fulfilled although its invoice was paid. */
const settledElsewhere = "settled over another channel";
/** So long a reason that comes back to a channel is no news. */
const sameReasonMs = 600_000;
/** After this time the node's numbers have moved, if they ever will. */
const longestRestMs = 60_000;

/** Looks at one side of a channel and asks, or says why not. */
export function considerAsking(step: Step, node: NodeState, side: Side): void {
  if (!side.shared || !node.up || !node.listed || !node.info || side.ask !== undefined) return;
  const { channel } = side;
  const settings = settingsOf(step.state, node, channel);
  if (side.maxTokens && !isOfNow(step, channel, side.maxTokens)) side.maxTokens = undefined;
  if (side.rest && (side.rest.localSat !== channel.localSat || step.now.atMs >= side.rest.untilMs)) {
    side.rest = undefined;
  }
  // Whatever the balances: the operator sees that the pause holds.
  const paused = pausedBy(step.state, node, channel);
  if (paused !== undefined) return leave(step, node, side, paused, undefined);
  const decision = decideRebalance({ channel, settings, maxTokensSat: side.maxTokens?.amountSat });
  const held = decision.kind === "leave"
    ? decision.reason
    : whyNotNow(step, node, side, settings.minTimeBetweenPaymentsMs);
  if (held !== undefined) {
    return leave(step, node, side, held, decision.kind === "ask" ? decision.amountSat : undefined);
  }
  invariant(decision.kind === "ask", "a channel is asked for without a decision to ask");
  const peer = sessionFor(step.state, channel.remotePubkey);
  if (peer === undefined) return leave(step, node, side, "not-shared", undefined);
  ask(step, node, side, peer, decision.amountSat);
}

/**
 * Whether a payer's limit may still be what it was: the balances are the same, it wasn't started again since (with other
 * settings, perhaps), and it was asked not long ago. A list that lagged, or an HTLC that we never saw, may have been all
 * that spoke against it.
 */
function isOfNow({ state, now }: Step, channel: ChannelSnapshot, limit: PayerLimit): boolean {
  return limit.localSat === channel.localSat && limit.remoteSat === channel.remoteSat && now.atMs < limit.untilMs &&
    sessionFor(state, channel.remotePubkey)?.connection === limit.connection;
}

/** What speaks against asking now, though the channel needs it. */
function whyNotNow(step: Step, node: NodeState, side: Side, minTimeMs: number): LeaveReason | undefined {
  const { state, now } = step;
  if (state.draining) return "draining";
  if (node.cloned) return "cloned";
  if (isPausedByPeer(state, side.channel)) return "peer-paused";
  const { channelPoint } = side.channel;
  for (const open of openPaymentsOf(state)) {
    if (open.node === node.info?.pubkey && open.channelPoint === channelPoint) return "payment-open";
  }
  if (side.rest) return "resting";
  if (side.receivedAtMs !== undefined && now.atMs - side.receivedAtMs < minTimeMs) return "too-soon";
  if (now.atMs < side.notBeforeMs) return "backing-off";
  if (state.config.dryRun) return "dry-run";
  return undefined;
}

/** Tells the reason once, when it changes. One that comes and goes with the traffic doesn't fill the screen. */
function leave(
  step: Step,
  node: NodeState,
  side: Side,
  reason: LeaveReason,
  amountSat: Ask["amountSat"] | undefined,
): void {
  if (side.told === reason && !side.untold) return;
  side.told = reason;
  const shownAtMs = side.shownAtMs.get(reason);
  const isNews = shownAtMs === undefined || step.now.atMs - shownAtMs >= sameReasonMs;
  const { channel } = side;
  const what = `${standing(nodeName(step.state, node), channel, settingsOf(step.state, node, channel))} of channel ${
    channelName(channel)
  } with ${nameOf(step.state, channel.remotePubkey)}`;
  const amount = amountSat === undefined ? "" : ` (${sats(amountSat)})`;
  const waitMs = heldForMs(step, node, side, reason);
  const wait = waitMs === undefined ? "" : ` ${formatSpan(waitMs)} more`;
  const isTold = tellOfChannel(step, side, {
    kind: "decision",
    level: isNews ? "info" : "debug",
    message: `${what}: ${leaveReasons[reason]}${wait}${amount}`,
    reason,
    ...facts(node, side),
    ...(amountSat === undefined ? {} : { amountSat }),
  });
  if (isTold && isNews) side.shownAtMs.set(reason, step.now.atMs);
  if (!isTold && !side.untold) countUntold(step);
  side.untold = !isTold;
}

/** How long a reason that passes by itself will hold. */
function heldForMs({ state, now }: Step, node: NodeState, side: Side, reason: LeaveReason): number | undefined {
  switch (reason) {
    case "too-soon":
      return side.receivedAtMs! + settingsOf(state, node, side.channel).minTimeBetweenPaymentsMs - now.atMs;
    case "backing-off":
      return side.notBeforeMs - now.atMs;
    default:
      return undefined;
  }
}

function ask(step: Step, node: NodeState, side: Side, peer: PeerSession, amountSat: Ask["amountSat"]): void {
  const { state, now } = step;
  const { channel } = side;
  invariant(node.info && peer.sessionIdBytes, "a request needs a node that is up and an authenticated session");
  const requestId = parseRequestId(bytesToHex(step.random.bytes(16)))!;
  state.asks.set(requestId, {
    requestId,
    node: node.info.pubkey,
    peer: channel.remotePubkey,
    ownPeer: isOwn(state, channel.remotePubkey),
    channelPoint: channel.channelPoint,
    channelId: channel.shortChannelId,
    amountSat,
    connection: peer.connection,
    startedAtMs: now.atMs,
    deadlineAtMs: now.atMs + answerTimeoutMs,
    localSat: channel.localSat,
    phase: "making",
    paymentHash: undefined,
    invoice: "",
    expiresAtWallMs: now.wallMs + invoiceExpirySec * 1000,
    busy: false,
    look: false,
    lookedAtMs: now.atMs,
    cancelReason: undefined,
    retryAtMs: undefined,
    failures: 0,
    answer: undefined,
  });
  side.ask = requestId;
  side.told = "asking";
  side.untold = false;
  const { sessionIdBytes: sessionId } = peer;
  const tag = invoiceTag({ sessionId, requestId, channelPoint: channel.channelPoint, tokens: amountSat });
  const memo = formatMemo(channel.shortChannelId, tag);
  const args = [{ amountSat, memo, expirySec: invoiceExpirySec }] as const;
  call(step, node.ref, { method: "addInvoice", args }, { kind: "ask-invoice", requestId });
  tell(step, {
    kind: "decision",
    level: "info",
    message: `Asking ${nameOf(state, channel.remotePubkey)} to pay ${sats(amountSat)} over ${channelName(channel)}: ${
      standing(nodeName(state, node), channel, settingsOf(state, node, channel))
    }`,
    reason: "asking",
    role: "payee",
    amountSat,
    requestId,
    ...facts(node, side),
  });
}

export function onInvoiceMade(step: Step, requestId: RequestId, reply: NodeReply): void {
  const ask = step.state.asks.get(requestId);
  invariant(ask?.phase === "making", "an invoice was made that nobody asked for");
  if (!reply.ok || reply.method !== "addInvoice") {
    const why = reply.ok ? "" : `${reply.message}. ${reply.remedy}`;
    // If the node made it all the same, nobody knows that invoice: it expires unpaid.
    step.state.asks.delete(requestId);
    const side = sideOf(step.state, ask.node, ask.channelPoint);
    if (side) failed(step, ask, side);
    return tell(step, {
      kind: "request-ended",
      level: "warn",
      message: `${nameOf(step.state, ask.node)} made no invoice: ${why}`,
      role: "payee",
      ...askFacts(ask),
    });
  }
  ask.paymentHash = reply.value.paymentHash;
  ask.invoice = reply.value.invoice;
  ask.phase = "recording";
  append(step, { kind: "invoiced", ...recordOf(step, ask) }, { kind: "invoiced", requestId }, true);
}

/** The invoice is on disk: now the payer may know of it. */
export function onInvoiceRecorded(step: Step, requestId: RequestId): void {
  const { state } = step;
  const ask = state.asks.get(requestId);
  invariant(ask?.phase === "recording", "an invoice was recorded that nobody made");
  ask.phase = "open";
  const peer = ask.connection === undefined ? undefined : state.peers.get(ask.connection);
  const node = nodeByPubkey(state, ask.node);
  const side = node?.sides.get(ask.channelPoint);
  const paused = node && side ? pausedBy(state, node, side.channel) : wholePause(state);
  if (peer === undefined || state.draining || paused !== undefined) {
    return cancelAsk(step, ask, peer === undefined ? "the session ended" : "not asking any more");
  }
  const { channelPoint, channelId, invoice, amountSat: tokens } = ask;
  send(step, peer, { type: "payInvoice", requestId, channelPoint, channelId, invoice, tokens });
  tell(step, {
    kind: "message-sent",
    level: "debug",
    message: `Sent ${nameOf(state, ask.peer)} an invoice over ${sats(tokens)}`,
    role: "payee",
    ...askFacts(ask),
    details: { message: "payInvoice" },
  });
}

/** The payer's answer: a reason to look at our own node, never the truth about our money. */
export function onPaymentResult(step: Step, peer: PeerSession, result: PaymentResult): void {
  const ask = step.state.asks.get(result.requestId);
  if (ask === undefined || ask.connection === undefined || ask.answer !== undefined) return;
  if (peer.connection !== ask.connection || ask.channelPoint !== result.channelPoint) return;
  ask.answer = {
    confirmed: result.confirmed,
    reason: result.reason,
    paused: result.paused === true,
    retryAfterMs: result.retryAfterMs,
    maxTokensSat: result.maxTokens,
  };
  const why = ask.answer.paused
    ? "it is paused on its side, until its operator resumes"
    : result.reason && toldSentences[result.reason];
  const said = result.confirmed ? "paid" : `not paid: ${why ?? "no reason given"}`;
  tell(step, {
    kind: "message-received",
    level: "debug",
    message: `${nameOf(step.state, ask.peer)} says of ${sats(ask.amountSat)}: ${said}`,
    role: "payee",
    ...askFacts(ask),
    ...(result.reason === undefined ? {} : { reason: result.reason }),
    details: { message: "paymentResult" },
  });
  if (ask.phase !== "open") return;
  if (!result.confirmed && result.reason !== "unknown") {
    return cancelAsk(step, ask, `refused: ${why ?? "no reason given"}`);
  }
  lookAt(step, ask);
}

/** The session of these requests is gone: no answer comes any more. */
export function onSessionEnded(step: Step, connection: ConnectionId): void {
  for (const ask of step.state.asks.values()) {
    if (ask.connection === connection) ask.deadlineAtMs = Math.min(ask.deadlineAtMs, step.now.atMs + orphanMs);
  }
}

/** HTLCs moved over these channels of a node: open requests may be settled. */
export function lookAtAsks(step: Step, node: NodeState, ids: readonly ShortChannelId[] | undefined): void {
  for (const ask of step.state.asks.values()) {
    if (ask.node !== node.info?.pubkey || ask.phase !== "open") continue;
    const side = node.sides.get(ask.channelPoint);
    const own = side ? channelIds(side.channel) : [ask.channelId];
    if (ids === undefined || own.some((id) => ids.includes(id))) lookAt(step, ask);
  }
}

/**
 * The channels of a node were listed: open requests may be settled without an event that said so. One whose channel shows
 * nothing is looked up seldom: there may be hundreds, and lists come several times a second.
 */
export function lookAfterList(step: Step, node: NodeState): void {
  for (const ask of step.state.asks.values()) {
    if (ask.node !== node.info?.pubkey || ask.phase !== "open") continue;
    const channel = node.sides.get(ask.channelPoint)?.channel;
    const still = channel !== undefined && channel.localSat === ask.localSat && channel.unsettledSat === 0n;
    if (step.now.atMs - ask.lookedAtMs >= (still ? quietLookMs : lookSpacingMs)) lookAt(step, ask);
  }
}

function lookAt(step: Step, ask: Ask): void {
  ask.look = true;
  drive(step, ask);
}

/** Ends a request that isn't settled: the invoice is cancelled, so that it can't be paid any more. */
function cancelAsk(step: Step, ask: Ask, reason: string): void {
  ask.cancelReason ??= reason;
  ask.retryAtMs = undefined;
  drive(step, ask);
}

/** The next call for a request, one at a time. */
function drive(step: Step, ask: Ask): void {
  const node = nodeByPubkey(step.state, ask.node);
  if (ask.phase !== "open" || ask.busy || !node?.up || ask.paymentHash === undefined) return;
  const { requestId, paymentHash } = ask;
  ask.retryAtMs = undefined;
  // A look comes before a cancellation: what is settled can't be cancelled any more.
  if (ask.look) {
    ask.look = false;
    ask.lookedAtMs = step.now.atMs;
    ask.busy = true;
    call(step, node.ref, { method: "lookupInvoice", args: [paymentHash] }, { kind: "ask-lookup", requestId });
  } else if (ask.cancelReason !== undefined) {
    ask.busy = true;
    call(step, node.ref, { method: "cancelInvoice", args: [paymentHash] }, { kind: "ask-cancel", requestId });
  }
}

export function onLookedUp(step: Step, requestId: RequestId, reply: NodeReply): void {
  const ask = step.state.asks.get(requestId);
  invariant(ask?.busy, "an invoice was looked up that nobody asked for");
  ask.busy = false;
  if (!reply.ok || reply.method !== "lookupInvoice") return retry(step, ask);
  const status = reply.value;
  if (status === undefined) return end(step, ask, "cancelled", "the node knows no such invoice");
  switch (status.state) {
    case "settled":
      return paidOverChannel(step, ask, status)
        ? end(step, ask, "received", undefined)
        : end(step, ask, "cancelled", settledElsewhere);
    case "cancelled":
      return end(step, ask, "cancelled", ask.cancelReason ?? "cancelled or expired");
    case "open":
    case "accepted":
      return drive(step, ask);
  }
}

/** Whether it came over the channel it was for. A node that names no HTLC says nothing against it, and the money is there. */
function paidOverChannel(step: Step, ask: Ask, status: InvoiceStatus): boolean {
  const side = sideOf(step.state, ask.node, ask.channelPoint);
  const ids: readonly ShortChannelId[] = side ? channelIds(side.channel) : [ask.channelId];
  return status.paidOver.every((id) => ids.includes(id));
}

export function onCancelled(step: Step, requestId: RequestId, reply: NodeReply): void {
  const ask = step.state.asks.get(requestId);
  invariant(ask?.busy, "an invoice was cancelled that nobody wanted cancelled");
  ask.busy = false;
  if (reply.ok) return end(step, ask, "cancelled", ask.cancelReason ?? "cancelled");
  // Refused: it may be settled. Lost: it may be cancelled. Either way our node knows; but it isn't asked without pause.
  if (reply.kind === "failed" && ask.failures++ === 0) return lookAt(step, ask);
  retry(step, ask);
}

function retry(step: Step, ask: Ask): void {
  ask.failures++;
  ask.look = false;
  ask.retryAtMs = step.now.atMs + backOffMs(step, ask.failures, 1_000, 60_000);
}

function end(step: Step, ask: Ask, kind: "received" | "cancelled", reason: string | undefined): void {
  ask.phase = "ending";
  const record: TransactionRecord = kind === "received"
    ? { kind, ...recordOf(step, ask) }
    : { kind, ...recordOf(step, ask), reason: reason ?? "" };
  append(step, record, { kind: "ask-ended", requestId: ask.requestId, record }, false);
}

/** The end is on disk: the channel may act again. */
export function onAskEnded(step: Step, requestId: RequestId, record: TransactionRecord): void {
  const { state, now } = step;
  const ask = state.asks.get(requestId);
  invariant(ask?.phase === "ending", "a request ended that wasn't ending");
  state.asks.delete(requestId);
  const node = nodeByPubkey(state, ask.node);
  const side = sideOf(state, ask.node, ask.channelPoint);
  const received = record.kind === "received";
  // When one of an earlier run was begun isn't known.
  const isOfThisRun = ask.connection !== undefined;
  const tookMs = Math.round(now.atMs - ask.startedAtMs);
  const reason = record.kind === "cancelled" ? record.reason : undefined;
  const wrongWay = reason === settledElsewhere;
  if (side?.ask === requestId) side.ask = undefined;
  let next = "";
  if (!received && side !== undefined && isOfThisRun) {
    failed(step, ask, side);
    next = whatNext(step, ask, side);
  }
  tell(step, {
    kind: received ? "payment-received" : "request-ended",
    level: received || !wrongWay ? "info" : "warn",
    message: received
      ? `Received ${sats(ask.amountSat)} from ${nameOf(state, ask.peer)} over ${
        side ? channelName(side.channel) : "a closed channel"
      }${isOfThisRun ? ` after ${tookMs} ms` : ""}`
      : `Request for ${sats(ask.amountSat)} to ${nameOf(state, ask.peer)} ${
        wrongWay ? "was paid, but over another channel" : `ended unpaid: ${reason ?? ""}`
      }${next}`,
    role: "payee",
    ...askFacts(ask),
    ...(reason === undefined ? {} : { reason: ask.answer?.paused ? "peer-paused" : ask.answer?.reason ?? reason }),
    ...(isOfThisRun ? { details: { tookMs } } : {}),
  });
  if (side === undefined || node === undefined) return;
  if (!received) {
    if (!isOfThisRun) hint(step, node);
    return;
  }
  side.failures = 0;
  side.maxTokens = undefined;
  side.receivedAtMs = now.atMs;
  // The channel is looked at then, however seldom it is read.
  side.notBeforeMs = now.atMs + settingsOf(state, node, side.channel).minTimeBetweenPaymentsMs;
  if (ask.localSat !== undefined) side.rest = { localSat: ask.localSat, untilMs: now.atMs + longestRestMs };
  hint(step, node);
}

/** What the payee's operator can expect after a request that brought nothing. */
function whatNext({ state, now }: Step, { answer }: Ask, side: Side): string {
  const most = answer?.maxTokensSat === undefined ? "" : `; it would pay ${sats(answer.maxTokensSat)} now`;
  const isOver = state.draining || answer?.paused === true;
  return isOver ? most : `${most}; not asking again for ${formatSpan(side.notBeforeMs - now.atMs)}`;
}

/** Back off after a request that brought nothing. */
function failed(step: Step, ask: Ask, side: Side): void {
  const { state, now } = step;
  if (side.ask === ask.requestId) side.ask = undefined;
  side.failures++;
  const node = nodeByPubkey(state, ask.node);
  const { answer } = ask;
  if (answer?.maxTokensSat !== undefined) {
    const { channel: { localSat, remoteSat } } = side;
    const { connection } = ask;
    const untilMs = now.atMs + backOffMs(step, side.failures, firstLimitMs, longestRetryMs);
    side.maxTokens = { amountSat: answer.maxTokensSat, localSat, remoteSat, connection, untilMs };
  }
  const firstMs = answer?.reason === "not-shared" && side.failures === 1 ? unknownChannelRetryMs : askSpacingMs;
  const waitMs = Math.max(
    backOffMs(step, side.failures, firstMs, longestBackOffMs),
    Math.min(longestRetryMs, answer?.retryAfterMs ?? 0),
  );
  side.notBeforeMs = now.atMs + waitMs;
  if (node) pollSoon(step, node, side.notBeforeMs - now.atMs);
}

/** Invoices of an earlier run: nobody is waited for any more, so they are looked up and cancelled. */
export function resumeAsk(step: Step, invoice: LedgerInvoice): void {
  step.state.asks.set(invoice.requestId, {
    ...invoice,
    connection: undefined,
    startedAtMs: step.now.atMs,
    deadlineAtMs: step.now.atMs,
    localSat: undefined,
    phase: "open",
    invoice: "",
    busy: false,
    look: true,
    lookedAtMs: -Infinity,
    cancelReason: "the program was restarted",
    retryAtMs: undefined,
    failures: 0,
    answer: undefined,
  });
}

/** The program stops: what the payer may be paying just now gets a moment to arrive, then it is cancelled. */
export function hurryAsks(step: Step): void {
  for (const ask of step.state.asks.values()) {
    if (ask.phase === "open") ask.deadlineAtMs = Math.min(ask.deadlineAtMs, step.now.atMs + drainPatienceMs);
  }
}

export function payeeTimers(step: Step): void {
  for (const ask of step.state.asks.values()) {
    if (ask.phase !== "open") continue;
    if (ask.cancelReason === undefined && step.now.atMs >= ask.deadlineAtMs) {
      const isUnknown = ask.answer?.reason === "unknown";
      cancelAsk(
        step,
        ask,
        isUnknown ? "the payer doesn't know yet whether it has paid" : "the payer didn't pay in time",
      );
    } else if (mayRetry(step.state, ask) && step.now.atMs >= ask.retryAtMs!) {
      ask.retryAtMs = undefined;
      lookAt(step, ask);
    }
  }
}

export function* payeeDeadlines(state: BalancerState): Generator<number | undefined> {
  for (const ask of state.asks.values()) {
    if (ask.phase === "open" && ask.cancelReason === undefined) yield ask.deadlineAtMs;
    if (mayRetry(state, ask)) yield ask.retryAtMs;
  }
}

function mayRetry(state: BalancerState, ask: Ask): boolean {
  return ask.phase === "open" && ask.retryAtMs !== undefined && !ask.busy && nodeByPubkey(state, ask.node)?.up === true;
}

function recordOf(step: Step, ask: Ask) {
  const { node, peer, ownPeer, channelPoint, channelId, amountSat, requestId, expiresAtWallMs, paymentHash } = ask;
  invariant(paymentHash !== undefined, "a request without an invoice can't be recorded");
  return {
    atWallMs: step.now.wallMs,
    role: "payee",
    ...{ node, peer, ownPeer, channelPoint, channelId, paymentHash, amountSat, requestId, expiresAtWallMs },
  } as const;
}

function askFacts({ node, peer, channelPoint, channelId, amountSat, requestId, paymentHash }: Ask) {
  const facts = { node, peer, channelPoint, channelId, amountSat, requestId };
  return paymentHash === undefined ? facts : { ...facts, paymentHash };
}
