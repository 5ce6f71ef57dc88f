import type { Ledger, LedgerPayment } from "../audit/ledger.ts";
import { createLedger, lacksPayments } from "../audit/ledger.ts";
import type { Pause } from "../audit/pause.ts";
import type { StatementRecord, TransactionRecord } from "../audit/record.ts";
import type { LimitsConfig } from "../config/config.ts";
import { type Sat, sat } from "../domain/amounts.ts";
import type { ChannelSnapshot } from "../domain/channel.ts";
import { invariant } from "../domain/errors.ts";
import type { ChannelPoint, NodePubkey, PaymentHash, RequestId, ShortChannelId } from "../domain/ids.ts";
import type { DecodedInvoice } from "../domain/invoice.ts";
import type { PaymentSummary } from "../domain/payment.ts";
import type { LeaveReason, ToldReason } from "../domain/reasons.ts";
import type { Statement } from "../domain/statement.ts";
import type { NodeInfo } from "../lightning/node.ts";
import type { AccountMessage, Hello, PayInvoice } from "../protocol/messages.ts";
import type { Session } from "../protocol/session.ts";
import type { ConnectionId } from "../swarm/transport.ts";
import type { NodeRef } from "./io.ts";

/** What the balancer is told at its making. */
export interface BalancerConfig {
  /** 32 bytes: deriveAuthKey of the cluster's secret, and of the previous one while it rotates. */
  readonly authKey: Uint8Array;
  readonly previousAuthKey?: Uint8Array;
  readonly limits: LimitsConfig;
  /** Only these nodes are paid, when given. */
  readonly peers?: readonly NodePubkey[];
  readonly requireNodeProof: boolean;
  /** How often at most a statement of one account is signed (60,000); Infinity: never. */
  readonly accountSpacingMs?: number;
  /** How many Lightning nodes this instance has. */
  readonly nodeCount: number;
  /** Decide and tell, but ask nothing and pay nothing. */
  readonly dryRun: boolean;
}

/**
 * Everything the balancer knows: plain data, changed in place by `stepBalancer` alone. A structuredClone of it is a whole
 * second balancer. Maps are iterated in the order of insertion.
 */
export interface BalancerState {
  readonly config: BalancerConfig;
  /** The transaction log was folded: nothing happens before. */
  started: boolean;
  startedAtMs: number;
  /** Over what the operator, or the breaker of an earlier run, has paused asking and paying. */
  pauses: readonly Pause[];
  draining: boolean;
  drained: boolean;
  /** Why all paying is stopped. */
  breaker: string | undefined;
  ledger: Ledger;
  /**
   * The log held no payment of ours at the start and nothing says why: it is new, or was lost with the whole data directory.
   * What was received since says nothing of what was paid before. True until it holds one.
   */
  logIsBlank: boolean;
  /**
   * The last look at the clocks that showed both going together, and the even wall clock at that moment: the wall clock as
   * limits know it, which goes on with the monotonic one, whatever the wall clock is set to.
   */
  clock: { readonly atMs: number; readonly wallMs: number; readonly evenWallMs: number };
  logHead: { length: number; treeHash: string };
  /** Names calls, appends and requests under way. */
  nextId: number;
  readonly calls: Map<number, CallPurpose>;
  readonly appends: Map<number, AppendPurpose>;
  readonly nodes: NodeState[];
  readonly peers: Map<ConnectionId, PeerSession>;
  /** What the other nodes of our channels last called themselves: they have a name while they are away, too. */
  readonly aliases: Map<NodePubkey, string>;
  /** Our requests: open invoices of ours. */
  readonly asks: Map<RequestId, Ask>;
  /** Requests to us that are being looked into. */
  readonly requests: Map<number, Request>;
  /** Payments of ours that haven't ended. */
  readonly payments: Map<PaymentHash, Payment>;
  /** Payments of which LND says something else than the log, as the operator was told since the last resume. */
  readonly contradictions: Set<PaymentHash>;
  /** Payments of which LND's list says something else than the log, until LND was asked again. */
  readonly suspects: Map<PaymentHash, Suspect>;
  /** What is said of accounts between a node of ours and another operator's, by `pairKey(ours, theirs)`. */
  readonly accountPairs: Map<string, Pair>;
  /** Remote nodes to which payments fail, in a row; `told`: that paying to it rests. */
  readonly troubles: Map<NodePubkey, { failures: number; untilMs: number; told: boolean }>;
  /** When to tell that nobody was found; undefined once somebody was, or it was told. */
  nobodyFoundAtMs: number | undefined;
  /** Settings and pauses that are for nothing of ours were looked for. */
  unmatchedTold: boolean;
  /** What is counted instead of being told one by one. */
  readonly ignored: {
    requests: number;
    strangers: number;
    forgeries: number;
    untold: number;
    reportAtMs: number | undefined;
  };
  /** What may be told of what others cause: their sessions, and our channels with them. */
  readonly lines: { readonly ofSessions: Lines; readonly ofChannels: Lines };
}

/** One of our own Lightning nodes. */
export interface NodeState {
  readonly ref: NodeRef;
  /** What it last said of itself; kept while it is down. */
  info: NodeInfo | undefined;
  up: boolean;
  /** Another entry of the configuration leads to the same node. */
  leftOut: boolean;
  /** Another instance has proven that it speaks for this node. */
  cloned: boolean;
  readonly sides: Map<ChannelPoint, Side>;
  /** How many lists of its channels were asked for, and which of them `sides` is: answers may overtake each other. */
  readonly lists: { asked: number; taken: number };
  /** Its channels were listed since it came up. */
  listed: boolean;
  polling: boolean;
  /** The last list didn't come, and the operator was told. */
  pollFailed: boolean;
  pollAgain: boolean;
  polledAtMs: number;
  /** A list for requests is under way; those that came after it began wait for the next. */
  listingForRequests: boolean;
  /** How long the last list took to come. */
  pollTookMs: number;
  pollAtMs: number | undefined;
  /** How many proofs it may still be asked to sign, and when that was reckoned. */
  readonly proofs: { left: number; atMs: number };
  /** How many of the short polls after a hint have been made. */
  followUps: number;
  history: History;
}

/** How far we have read a node's own list of payments. */
export interface History {
  phase: "unread" | "reading" | "seeking" | "read";
  busy: boolean;
  afterIndex: bigint;
  readAtMs: number;
  retryAtMs: number | undefined;
  failures: number;
  /** How many of the log's doubts it was begun with: a new one has it read again. */
  doubts: number;
  /** While seeking: the payments after `low` begin too early, those after `high` (if known) late enough. */
  low: bigint;
  high: bigint | undefined;
  /** What was found that a repaired log had lost. */
  readonly missing: { count: number; amountSat: Sat };
  /** It is to be read again from here on. */
  againAfter: bigint | undefined;
}

/** A payment that seems to contradict the log. */
export interface Suspect {
  readonly node: NodeRef;
  readonly payment: PaymentSummary;
  busy: boolean;
  retryAtMs: number;
  failures: number;
}

/** Our side of one channel. */
export interface Side {
  channel: ChannelSnapshot;
  /** The other node is in the cluster now. */
  shared: boolean;
  /** What last spoke for or against acting: the reason last told to the operator. */
  told: string | undefined;
  /** There was no line left for it: it is told as soon as there is one. */
  untold: boolean;
  readonly lines: Lines;
  /** When each reason was last told at level "info". */
  readonly shownAtMs: Map<LeaveReason, number>;
  /** The open request of ours. */
  ask: RequestId | undefined;
  /** No request before. */
  notBeforeMs: number;
  failures: number;
  maxTokens: PayerLimit | undefined;
  /** After a payment: rest until the local balance isn't this any more. */
  rest: { readonly localSat: Sat; readonly untilMs: number } | undefined;
  receivedAtMs: number | undefined;
  /** When a request of the other side was last looked into. */
  evaluatedAtMs: number | undefined;
  /** How many refusals may still be told of, and when that was reckoned. */
  readonly refusals: { left: number; atMs: number };
}

/** What the payer said it would pay at most: with those balances, in that session, and not for ever. */
export interface PayerLimit {
  readonly amountSat: Sat;
  readonly localSat: Sat;
  readonly remoteSat: Sat;
  readonly connection: ConnectionId | undefined;
  readonly untilMs: number;
}

/** One connection to another instance (or one end of the one to ourselves). */
export interface PeerSession {
  readonly connection: ConnectionId;
  readonly via: "swarm" | "memory";
  readonly session: Session;
  /** Hex, once authenticated. */
  sessionId: string | undefined;
  sessionIdBytes: Uint8Array | undefined;
  /** The nodes that the other end has introduced. */
  readonly nodes: Map<NodePubkey, PeerNode>;
  /** When a hello for a node was last looked into. */
  readonly helloAtMs: Map<NodePubkey, number>;
  /** The newest hello for a node that came too soon after the last, and when the first of them may have its turn. */
  readonly waitingHellos: Map<NodePubkey, Hello>;
  helloDueAtMs: number | undefined;
  /** What we said of our own nodes. */
  readonly introductions: Map<NodeRef, Introduction>;
  /** Requests of the other end, each answered once; the newest last. */
  readonly requestIds: RequestId[];
  refusedAtMs: number | undefined;
  /** When it last asked for a channel that we don't know. */
  strangeAskedAtMs: number | undefined;
  /** The statements of account that it has, by `pairKey`. */
  readonly accountsSaid: Map<string, AccountMessage>;
  /** What was told of its nodes, and when: a peer can't fill our event log. */
  readonly toldAtMs: Map<string, number>;
  skewTold: boolean;
  /** How many messages it may still send, when that was reckoned, and for how many channels with it that allows. */
  readonly allowance: { left: number; atMs: number; channels: number };
}

/** What is said of the account between one node of ours and one of another operator. */
export interface Pair {
  readonly node: NodePubkey;
  readonly peer: NodePubkey;
  /** Our newest statement, when it was signed, and when another may be due. */
  said: AccountMessage | undefined;
  signing: boolean;
  signedAtMs: number;
  dueAtMs: number | undefined;
  failures: number;
  /** When our side last moved, in this run. */
  changedAtMs: number;
  /** Their newest of this run. */
  heard: AccountMessage | undefined;
  /** How many more may be looked into, and when that was reckoned. */
  heardLeft: number;
  heardAtMs: number;
  /** Their newest as it is in the log, or will be at `writeAtMs`. */
  written: StatementRecord | undefined;
  /** When that came, in this run. */
  writtenHeardAtMs: number;
  /** How many more may be written, and when that was reckoned. */
  writesLeft: number;
  writtenAtMs: number;
  writeAtMs: number | undefined;
  /** Since when the two differ with nothing under way, and what was last told of it. */
  differsSinceMs: number | undefined;
  told: string;
}

export interface PeerNode {
  readonly pubkey: NodePubkey;
  readonly alias: string;
  readonly network: string;
  readonly proven: boolean;
  /** What its operator has paused: the node, or some of its channels. */
  readonly paused: boolean;
  readonly pausedChannels: readonly ChannelPoint[];
  readonly logHead: { readonly length: number; readonly treeHash: string };
}

export interface Introduction {
  readonly pubkey: NodePubkey;
  proof: string | undefined;
  signing: boolean;
  failures: number;
  saidAlias: string | undefined;
  /** The pauses that were said, in one text. */
  saidPauses: string;
  saidAtMs: number;
  /** When to sign again or to say hello again. */
  retryAtMs: number | undefined;
}

/** One request of ours, from the invoice to its end at our own node. */
export interface Ask {
  readonly requestId: RequestId;
  readonly node: NodePubkey;
  readonly peer: NodePubkey;
  readonly ownPeer: boolean;
  readonly channelPoint: ChannelPoint;
  readonly channelId: ShortChannelId;
  readonly amountSat: Sat;
  /** Where it was sent; undefined for one of an earlier run. */
  readonly connection: ConnectionId | undefined;
  readonly startedAtMs: number;
  /** When it is cancelled. */
  deadlineAtMs: number;
  /** Our balance when we asked. */
  readonly localSat: Sat | undefined;
  phase: "making" | "recording" | "open" | "ending";
  /** Set from "recording" on. */
  paymentHash: PaymentHash | undefined;
  invoice: string;
  expiresAtWallMs: number;
  /** A look-up or a cancellation is under way; whether to look (again) after it. */
  busy: boolean;
  look: boolean;
  lookedAtMs: number;
  /** Why it is to be cancelled, if it is. */
  cancelReason: string | undefined;
  /** The next attempt after one that failed. */
  retryAtMs: number | undefined;
  failures: number;
  answer: Answer | undefined;
}

/** What the payer said. */
export interface Answer {
  readonly confirmed: boolean;
  readonly reason: ToldReason | undefined;
  /** Its operator has paused the channel. */
  readonly paused: boolean;
  readonly retryAfterMs: number | undefined;
  readonly maxTokensSat: Sat | undefined;
}

/** A request of a payee while our own node is asked about it. */
export interface Request {
  readonly id: number;
  readonly connection: ConnectionId;
  readonly node: NodeRef;
  readonly peer: NodePubkey;
  readonly message: PayInvoice;
  readonly answerByMs: number;
  /** So many were refused on this channel that another refusal is only counted. */
  readonly quiet: boolean;
  /** A list that began after it came is under way. */
  listing: boolean;
  /** That list has come. */
  listed: boolean;
  invoice: DecodedInvoice | undefined;
  /** Our node has never tried to pay the invoice's hash. */
  isNew: boolean;
}

/** A payment of ours whose reservation holds. */
export interface Payment {
  readonly paymentHash: PaymentHash;
  readonly node: NodePubkey;
  readonly peer: NodePubkey;
  /** Of the channel, when it was reserved; empty for one of an earlier run. */
  readonly channelIds: readonly ShortChannelId[];
  readonly invoice: string;
  readonly finalCltvBlocks: number;
  readonly outgoingChannelId: ShortChannelId | undefined;
  phase: "recording" | "paying" | "tracking" | "ending";
  /** The request to answer; undefined once answered, or when nobody waits. */
  asker: { readonly connection: ConnectionId; readonly message: PayInvoice; readonly answerByMs: number } | undefined;
  readonly startedAtMs: number;
  /** LND refused to make a payment of it: not found is then its end. */
  rejected: string | undefined;
  trackedSinceMs: number;
  trackAtMs: number | undefined;
  trackBusy: boolean;
  tracks: number;
  /** LND's index of it, once that was heard. */
  index: bigint | undefined;
  /** LND lists a later payment of the same hash: this one has failed, and that one is somebody else's. */
  replaced: boolean;
  /** That was told. */
  vanished: boolean;
}

/** Why a call was made: what its answer continues. */
export type CallPurpose =
  | { readonly kind: "poll"; readonly node: NodeRef; readonly list: number }
  | { readonly kind: "history"; readonly node: NodeRef; readonly limit: number }
  | { readonly kind: "account"; readonly node: NodeRef; readonly statement: Statement }
  | { readonly kind: "resolve"; readonly paymentHash: PaymentHash; readonly as: "settled" | "failed" }
  | { readonly kind: "proof"; readonly node: NodeRef; readonly connection: ConnectionId; readonly pubkey: NodePubkey }
  | { readonly kind: "ask-invoice" | "ask-lookup" | "ask-cancel"; readonly requestId: RequestId }
  | {
    readonly kind: "request-channels";
    readonly ids: readonly number[];
    readonly node: NodeRef;
    readonly list: number;
  }
  | { readonly kind: "request-invoice" | "request-hash"; readonly id: number; readonly node: NodeRef }
  | { readonly kind: "pay" | "track" | "verify"; readonly paymentHash: PaymentHash };

/** What follows once a record is on disk. */
export type AppendPurpose =
  | { readonly kind: "invoiced"; readonly requestId: RequestId }
  | { readonly kind: "ask-ended"; readonly requestId: RequestId; readonly record: TransactionRecord }
  | { readonly kind: "intent"; readonly paymentHash: PaymentHash }
  | { readonly kind: "payment-ended"; readonly paymentHash: PaymentHash; readonly record: TransactionRecord }
  | { readonly kind: "noted" };

/**
 * How many lines may be told at once, and how soon another may be. Three bounds, each for what its own can't use up for the
 * others: sessions, which anybody in the cluster opens as often as it likes; each channel, which its other node stirs; and
 * all channels together (a cluster with thousands of them that comes back). All at once is less than the event log may
 * lag behind.
 */
export const linesOfSessions = { most: 2_000, msPerLine: 10_000 } as const;
export const linesOfChannel = { most: 100, msPerLine: 10_000 } as const;
export const linesOfChannels = { most: 6_000, msPerLine: 1_000 } as const;

/** How many lines may still be told, and when that was reckoned. */
export interface Lines {
  left: number;
  atMs: number;
}

/** Proofs that a node signs at once, and how soon another is: whoever connects again and again must not keep it busy. */
export const maxProofs = 100;
export const msPerProof = 500;

/** Refusals on one channel that are told one by one, and how soon another is. */
export const maxRefusalsTold = 20;
export const msPerRefusalTold = 60_000;

export function createState(config: BalancerConfig): BalancerState {
  return {
    config,
    started: false,
    startedAtMs: 0,
    pauses: [],
    draining: false,
    drained: false,
    breaker: undefined,
    ledger: createLedger(),
    logIsBlank: false,
    clock: { atMs: 0, wallMs: 0, evenWallMs: 0 },
    logHead: { length: 0, treeHash: "" },
    nextId: 1,
    calls: new Map(),
    appends: new Map(),
    nodes: Array.from({ length: config.nodeCount }, (_, ref) => createNode(ref)),
    peers: new Map(),
    aliases: new Map(),
    asks: new Map(),
    requests: new Map(),
    payments: new Map(),
    suspects: new Map(),
    contradictions: new Set(),
    accountPairs: new Map(),
    troubles: new Map(),
    nobodyFoundAtMs: undefined,
    unmatchedTold: false,
    ignored: { requests: 0, strangers: 0, forgeries: 0, untold: 0, reportAtMs: undefined },
    lines: {
      ofSessions: { left: linesOfSessions.most, atMs: 0 },
      ofChannels: { left: linesOfChannels.most, atMs: 0 },
    },
  };
}

function createNode(ref: NodeRef): NodeState {
  return {
    ref,
    info: undefined,
    up: false,
    leftOut: false,
    cloned: false,
    sides: new Map(),
    lists: { asked: 0, taken: 0 },
    listed: false,
    polling: false,
    pollFailed: false,
    pollAgain: false,
    polledAtMs: -Infinity,
    listingForRequests: false,
    pollTookMs: 0,
    pollAtMs: undefined,
    proofs: { left: maxProofs, atMs: 0 },
    followUps: 0,
    history: createHistory(),
  };
}

export function createHistory(): History {
  return {
    phase: "unread",
    busy: false,
    afterIndex: 0n,
    readAtMs: -Infinity,
    retryAtMs: undefined,
    failures: 0,
    doubts: 0,
    low: 0n,
    high: undefined,
    missing: { count: 0, amountSat: sat(0) },
    againAfter: undefined,
  };
}

export function createSide(channel: ChannelSnapshot): Side {
  return {
    channel,
    shared: false,
    told: undefined,
    untold: false,
    lines: { left: linesOfChannel.most, atMs: -Infinity },
    shownAtMs: new Map(),
    ask: undefined,
    notBeforeMs: -Infinity,
    failures: 0,
    maxTokens: undefined,
    rest: undefined,
    receivedAtMs: undefined,
    evaluatedAtMs: undefined,
    refusals: { left: maxRefusalsTold, atMs: -Infinity },
  };
}

/** The node of ours with this key, if it was ever up. */
export function nodeByPubkey(state: BalancerState, pubkey: NodePubkey): NodeState | undefined {
  return state.nodes.find((node) => node.info?.pubkey === pubkey);
}

/** Whether this instance manages the node: one that was up in this run. The log doesn't tell: nodes change hands. */
export function isOwn(state: BalancerState, pubkey: NodePubkey): boolean {
  return nodeByPubkey(state, pubkey) !== undefined;
}

/**
 * Whether a lost log doesn't know yet what all our nodes have paid. What one node may lend to another operator depends on
 * what the others have lent, those that are down too.
 */
export function lacksHistories({ nodes, ledger, logIsBlank }: BalancerState): boolean {
  if (ledger.repairs.length === 0 && !logIsBlank) return false;
  return nodes.some(({ info, history, leftOut }) =>
    !leftOut && !(logIsBlank ? history.phase === "read" : info && !lacksPayments(ledger, info.pubkey))
  );
}

/** Payments of ours whose end isn't recorded: few, while the ledger may hold thousands that count against a limit. */
export function* openPaymentsOf({ payments, ledger }: BalancerState): Generator<LedgerPayment> {
  for (const hash of payments.keys()) {
    const entry = ledger.payments.get(hash);
    invariant(entry, `payment ${hash} is under way without a reservation`);
    yield entry;
  }
}

/** Our side of a channel, if the node lists it. */
export function sideOf(state: BalancerState, node: NodePubkey, channelPoint: ChannelPoint): Side | undefined {
  return nodeByPubkey(state, node)?.sides.get(channelPoint);
}

/** The session in which the other end speaks for a node: the newest that has proven it, else the newest that claims it. */
export function sessionFor(state: BalancerState, pubkey: NodePubkey): PeerSession | undefined {
  let best: PeerSession | undefined;
  for (const peer of state.peers.values()) {
    // Own nodes are reached in memory only: whoever claims one over the swarm is a second daemon.
    const node = peer.nodes.get(pubkey);
    if (node === undefined || (isOwn(state, pubkey) && peer.via !== "memory")) continue;
    if (!node.proven && state.config.requireNodeProof) continue;
    if (best === undefined || node.proven || !best.nodes.get(pubkey)!.proven) best = peer;
  }
  return best;
}
