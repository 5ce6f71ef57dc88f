import { DamagedLogError } from "../audit/damaged_log.ts";
import { applyRecord, foldLedger, forgetSettled, type Ledger, openPayments } from "../audit/ledger.ts";
import { isNote, type LogRecord } from "../audit/record.ts";
import { longestPeriodMs } from "../config/settings.ts";
import { invariant, InvariantError, unreachable } from "../domain/errors.ts";
import type { Now } from "../env/clock.ts";
import type { Random } from "../env/random.ts";
import type { NodeReply } from "../lightning/node.ts";
import { historyDeadlines, historyTimers, onAcquainted, onHistory, onVerified, readHistory } from "./history.ts";
import { startClock, watchClock } from "./clocks.ts";
import {
  accountDeadlines,
  accountTimers,
  onAccount,
  onAccountSigned,
  sayAccounts,
  touchAccount,
  writeStatements,
} from "./accounts.ts";
import type { BalancerEvent, Effect, NodeRef } from "./io.ts";
import { hint, nodeDeadlines, type NodeHandlers, nodeTimers, onNodeEvent, onPolled, refreshShared } from "./nodes.ts";
import {
  considerAsking,
  hurryAsks,
  lookAfterList,
  lookAtAsks,
  onAskEnded,
  onCancelled,
  onInvoiceMade,
  onInvoiceRecorded,
  onLookedUp,
  onPaymentResult,
  onSessionEnded,
  payeeDeadlines,
  payeeTimers,
  resumeAsk,
} from "./payee.ts";
import { sayPauses, setPauses, startPauses } from "./pause_commands.ts";
import { wholePause } from "./pauses.ts";
import {
  onPayInvoice,
  onRequestChannels,
  onRequestHash,
  onRequestInvoice,
  requestDeadlines,
  requestTimers,
} from "./payer.ts";
import {
  onIntentRecorded,
  onPaid,
  onPaymentEnded,
  onTracked,
  paymentDeadlines,
  paymentTimers,
  resumePayment,
  trackNow,
} from "./payments.ts";
import {
  checkClones,
  introduce,
  onProof,
  onTransport,
  peerDeadlines,
  type PeerHandlers,
  peerTimers,
  sayBye,
  startPeers,
} from "./peers.ts";
import { onResolve, onResolveTracked } from "./resolve.ts";
import {
  type AppendPurpose,
  type BalancerConfig,
  type BalancerState,
  type CallPurpose,
  createState,
  nodeByPubkey,
  type NodeState,
} from "./state.ts";
import { type Step, tell } from "./step.ts";
import { tellUnmatchedSettings } from "./unmatched_settings.ts";

export type { BalancerConfig, BalancerState } from "./state.ts";
export { type BalancerView, type ChannelView, viewBalancer } from "./view.ts";

/**
 * The daemon's pure machine: every event goes in with its time, every deed comes out as an effect. It holds no clock, no
 * socket and no file, so that whatever it does can be replayed from a log of its events and a seed.
 *
 * - `peers.ts`: sessions, hellos and proofs: who speaks for which node.
 * - `nodes.ts`: our own nodes and their channels, and which of them are shared.
 * - `payee.ts`: asks on a channel that holds too little, and follows the invoice to its end.
 * - `payer.ts`: looks into requests: checks, reserves or refuses.
 * - `payments.ts`: pays what is reserved, follows it to its end, records that.
 * - `accounts.ts`: says and hears how accounts with other operators stand.
 * - `history.ts`: reads the nodes' own payment lists for what the log doesn't know.
 *
 * Money order: reserve -> append -> durable -> pay -> append the outcome -> settle or release.
 */
export function createBalancer(config: BalancerConfig): BalancerState {
  return createState(config);
}

/**
 * Takes one event and changes `state` in place.
 * @returns what is to be done, in order
 * @throws InvariantError when a rule of the program itself is broken: stop the process
 */
export function stepBalancer(state: BalancerState, event: BalancerEvent, now: Now, random: Random): Effect[] {
  const step: Step = { state, now, random, effects: [] };
  // First, so that it stands before whatever is dated by the clock as it is now.
  if (state.started) watchClock(step);
  handle(step, event);
  if (state.started) {
    peerTimers(step, peerHandlers);
    nodeTimers(step);
    historyTimers(step);
    requestTimers(step);
    paymentTimers(step);
    payeeTimers(step);
    for (const effect of step.effects) if (effect.kind === "append") touchAccount(step, effect.record);
    accountTimers(step);
    finishDrain(step);
  }
  return step.effects;
}

/** When the machine wants a `timeout` (monotonic), if at all. */
export function nextTimeoutMs(state: BalancerState): number | undefined {
  if (!state.started || state.drained) return undefined;
  let next: number | undefined;
  for (
    const deadlines of [
      peerDeadlines,
      nodeDeadlines,
      historyDeadlines,
      requestDeadlines,
      paymentDeadlines,
      payeeDeadlines,
      accountDeadlines,
    ]
  ) {
    for (const atMs of deadlines(state)) {
      if (atMs !== undefined && (next === undefined || atMs < next)) next = atMs;
    }
  }
  return next;
}

const peerHandlers: PeerHandlers = {
  payInvoice: onPayInvoice,
  paymentResult: onPaymentResult,
  account: onAccount,
  sessionEnded: onSessionEnded,
  membersChanged: (step, remote) => {
    for (const node of step.state.nodes) if (refreshShared(step, node, remote)) hint(step, node);
    sayAccounts(step, remote);
  },
  pausesChanged: (step, remote) => {
    for (const node of step.state.nodes) {
      for (const side of node.sides.values()) {
        if (side.channel.remotePubkey === remote) considerAsking(step, node, side);
      }
    }
  },
};

const nodeHandlers: NodeHandlers = {
  cameUp: (step, node) => {
    checkClones(step, node);
    for (const peer of step.state.peers.values()) introduce(step, peer, node);
    lookAtAsks(step, node, undefined);
    trackNow(step, node);
    onAcquainted(step);
    peerHandlers.membersChanged(step);
  },
  listed: (step, node) => {
    lookAfterList(step, node);
    for (const side of node.sides.values()) considerAsking(step, node, side);
    readHistory(step, node);
    tellUnmatchedSettings(step);
    // A channel that is new may be one that is paused.
    if (step.state.pauses.length > 0) sayPauses(step);
  },
  htlc: lookAtAsks,
};

function handle(step: Step, event: BalancerEvent): void {
  const { state, now } = step;
  if (event.kind === "log-head") {
    state.logHead = { length: event.length, treeHash: event.treeHash };
    return;
  }
  if (event.kind === "started") {
    invariant(!state.started, "the balancer was started twice");
    return start(step, event);
  }
  invariant(state.started, "the balancer was used before its log was read");
  switch (event.kind) {
    case "node":
      return onNodeEvent(step, nodeAt(state, event.node), event.event, nodeHandlers);
    case "reply": {
      const purpose = state.calls.get(event.callId);
      invariant(purpose, `an answer to no call (${event.callId})`);
      state.calls.delete(event.callId);
      return onReply(step, purpose, event.reply);
    }
    case "appended": {
      const purpose = state.appends.get(event.appendId);
      invariant(purpose, `an append that nobody made (${event.appendId})`);
      state.appends.delete(event.appendId);
      // What gives back counts only now that it is on disk.
      if ("record" in purpose) {
        applyRecord(state.ledger, purpose.record, now.atMs);
        touchAccount(step, purpose.record);
      }
      return onAppended(step, purpose);
    }
    case "transport":
      return onTransport(step, event.event, peerHandlers);
    case "timeout":
      return;
    case "paused":
      return setPauses(step, event.pauses, event.resumed);
    case "resolve":
      return onResolve(step, event.paymentHash, event.as);
    case "drain":
      return drain(step);
    default:
      return unreachable(event);
  }
}

function start(step: Step, { transactions, pauses }: Extract<BalancerEvent, { kind: "started" }>): void {
  const { state, now } = step;
  state.started = true;
  state.startedAtMs = now.atMs;
  state.ledger = foldWhole(transactions, now);
  state.logIsBlank = transactions.every((record) =>
    isNote(record) ? record.kind !== "repaired" : record.role === "payee"
  );
  startClock(step);
  forgetSettled(state.ledger, now.atMs - longestPeriodMs(state.config.limits));
  for (const { node, alias } of state.ledger.statements.values()) state.aliases.set(node, alias);
  const payments = openPayments(state.ledger);
  // Never sent again: LND is asked how each one stands.
  for (const payment of payments) resumePayment(step, payment);
  for (const invoice of state.ledger.invoices.values()) resumeAsk(step, invoice);
  startPeers(step);
  startPauses(step, pauses);
  const open = payments.length + state.ledger.invoices.size;
  tell(step, {
    kind: "started",
    level: "info",
    message: `Started${wholePause(state) === undefined ? "" : ", paused"}${state.config.dryRun ? ", dry run" : ""}: ` +
      (open === 0
        ? "no payment is open"
        : `${count(payments.length, "payment")} and ${
          count(state.ledger.invoices.size, "invoice")
        } of an earlier run ` +
          "will be looked up"),
    details: { records: transactions.length, payments: payments.length, invoices: state.ledger.invoices.size },
  });
}

/** @throws DamagedLogError when the records can't follow each other: no limit can be counted from them */
function foldWhole(records: readonly LogRecord[], now: Now): Ledger {
  try {
    return foldLedger(records, now);
  } catch (error) {
    if (!(error instanceof InvariantError)) throw error;
    throw new DamagedLogError(`The transaction log contradicts itself: ${error.message}`, { cause: error });
  }
}

function count(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? "" : "s"}`;
}

function onReply(step: Step, purpose: CallPurpose, reply: NodeReply): void {
  const { state } = step;
  switch (purpose.kind) {
    case "poll":
      return onPolled(step, nodeAt(state, purpose.node), purpose.list, reply, nodeHandlers);
    case "history":
      return onHistory(step, nodeAt(state, purpose.node), purpose.limit, reply);
    case "proof":
      onProof(step, purpose, nodeAt(state, purpose.node), reply);
      return sayAccounts(step);
    case "resolve":
      return onResolveTracked(step, purpose.paymentHash, purpose.as, reply);
    case "account":
      return onAccountSigned(step, purpose.statement, reply);
    case "ask-invoice":
      return onInvoiceMade(step, purpose.requestId, reply);
    case "ask-lookup":
      return onLookedUp(step, purpose.requestId, reply);
    case "ask-cancel":
      return onCancelled(step, purpose.requestId, reply);
    case "request-channels":
      return onRequestChannels(step, purpose, nodeAt(state, purpose.node), reply);
    case "request-invoice":
      return onRequestInvoice(step, purpose.id, nodeAt(state, purpose.node), reply);
    case "request-hash":
      return onRequestHash(step, purpose.id, nodeAt(state, purpose.node), reply);
    case "pay":
      return onPaid(step, purpose.paymentHash, reply);
    case "track":
      return onTracked(step, purpose.paymentHash, reply);
    case "verify":
      return onVerified(step, purpose.paymentHash, reply);
    default:
      return unreachable(purpose);
  }
}

function onAppended(step: Step, purpose: AppendPurpose): void {
  switch (purpose.kind) {
    case "invoiced":
      return onInvoiceRecorded(step, purpose.requestId);
    case "ask-ended":
      return onAskEnded(step, purpose.requestId, purpose.record);
    case "intent":
      return onIntentRecorded(step, purpose.paymentHash);
    case "payment-ended":
      return onPaymentEnded(step, purpose.paymentHash, purpose.record);
    case "noted":
      return;
    default:
      return unreachable(purpose);
  }
}

function drain(step: Step): void {
  const { state } = step;
  if (state.draining) return;
  state.draining = true;
  sayBye(step);
  hurryAsks(step);
  writeStatements(step);
  const open = [...state.payments.values()].filter(({ phase }) => phase !== "tracking").length;
  if (open + state.asks.size === 0) return;
  // So that the log has it, whatever LND takes.
  tell(step, {
    kind: "stopped",
    level: "info",
    message: `Stopping: waiting for ${count(open, "payment")} and ${count(state.asks.size, "invoice")}`,
  });
}

/** Nothing is under way that this process must see the end of; the rest stands in the log and is looked up at the next start. */
function finishDrain(step: Step): void {
  const { state } = step;
  if (!state.draining || state.drained || state.appends.size > 0 || state.requests.size > 0) return;
  for (const ask of state.asks.values()) if (nodeByPubkey(state, ask.node)?.up) return;
  for (const payment of state.payments.values()) if (payment.phase !== "tracking") return;
  state.drained = true;
  const open = state.payments.size + state.asks.size;
  tell(step, {
    kind: "stopped",
    level: "info",
    message: open === 0
      ? "Stopping: nothing is under way"
      : `Stopping: ${count(state.payments.size, "payment")} and ${
        count(state.asks.size, "invoice")
      } are still open and looked up at the next start`,
  });
  step.effects.push({ kind: "drained" });
}

function nodeAt(state: BalancerState, ref: NodeRef): NodeState {
  const node = state.nodes[ref];
  invariant(node, `there is no node ${ref}`);
  return node;
}
