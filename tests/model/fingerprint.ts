import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { BalancerState } from "../../lib/balancer/balancer.ts";
import type {
  Answer,
  Ask,
  History,
  Introduction,
  NodeState,
  PayerLimit,
  Payment,
  PeerNode,
  PeerSession,
  Request,
  Side,
  Suspect,
} from "../../lib/balancer/state.ts";
import type { LogRecord } from "../../lib/audit/record.ts";
import type { PaymentHash } from "../../lib/domain/ids.ts";
import { type Lnd, type ModelInvoice, type ModelPayment, otherThan, stateAt } from "./lnd.ts";
import { bodyOf, dealsOf, type Link, type Party, type PendingCall, wall, type World } from "./world.ts";

/**
 * What the future of a world depends on, as one short text. Two worlds with the same text behave alike (`explore.ts` can
 * prove it of those that it merges). Every field of the balancer's state is dealt with here, or the types don't fit: those that
 * are left out are said to be, with the reason.
 */
export function fingerprint(world: World): string {
  return digest(JSON.stringify(describe(world)));
}

/** Of millions of texts no two share it by chance. */
export function digest(text: string): string {
  return bytesToHex(sha256(new TextEncoder().encode(text))).slice(0, 32);
}

/** For people: what a fingerprint is made of. */
export function describe(world: World): unknown {
  return new Look(world).describe();
}

type How<T, Of = unknown> = (value: T, look: Look, of: Of) => unknown;
/** How each field of a thing enters; none may be missing. */
type Fields<T> = { readonly [K in keyof T]-?: How<T[K], T> };

/** Doesn't change what happens, for the reason that stands beside it. */
const skip = () => 0;
const same = (value: unknown) => typeof value === "bigint" ? Number(value) : value ?? null;
const isThere = (value: unknown) => value !== undefined;
const name = (value: string | number | undefined, look: Look) => look.name(value);
/** A deadline: how far it is, or that it has passed. */
const due = (atMs: number | undefined, look: Look) =>
  atMs === undefined ? null : Math.max(-1, Math.round(atMs - look.world.atMs));
/** When something was; after so long it doesn't matter any more. */
const since = (windowMs: number) => (atMs: number | undefined, look: Look) =>
  atMs === undefined || atMs - look.world.atMs <= -windowMs ? null : Math.round(atMs - look.world.atMs);
/** A number of failures that makes waits longer, up to where they don't grow any more. */
const upTo = (most: number) => (value: number) => Math.min(most, value);

function of<T extends object>(fields: Fields<T>): How<T | undefined> {
  const entries = Object.entries(fields) as [keyof T, How<unknown, T>][];
  return (value, look) => value === undefined ? null : entries.map(([key, how]) => how(value[key], look, value));
}
const each = <T>(how: How<T>): How<Iterable<T>> => (values, look) =>
  [...values].map((value) => how(value, look, values));
const eachOf = <K extends string | number, T>(how: How<T>): How<ReadonlyMap<K, T>> => (values, look) =>
  [...values].map(([key, value]) => [look.name(key), how(value, look, values)]);

const limit = of<PayerLimit>({
  amountSat: same,
  localSat: same,
  remoteSat: same,
  connection: name,
  untilMs: due,
});

const side = of<Side>({
  channel: ({ localSat, unsettledSat }) => [Number(localSat), Number(unsettledSat)],
  shared: same,
  told: skip, // what the operator reads
  untold: skip, // the same
  lines: skip, // the same
  shownAtMs: skip, // the same
  ask: name,
  notBeforeMs: due,
  failures: upTo(8),
  maxTokens: limit,
  rest: (value, look) => value === undefined ? null : [Number(value.localSat), due(value.untilMs, look)],
  receivedAtMs: skip, // minTimeBetweenPayments is 0
  evaluatedAtMs: since(5_000),
  refusals: skip, // what the operator reads
});

const history = of<History>({
  phase: same,
  busy: same,
  afterIndex: (value, look) => look.newPayments(value),
  readAtMs: since(1_000),
  retryAtMs: due,
  failures: upTo(8),
  doubts: same,
  low: skip, // the list never has a whole page
  high: skip, // the same
  missing: skip, // what the operator reads
  againAfter: (value, look) => value === undefined ? null : look.newPayments(value),
});

const node = of<NodeState>({
  ref: skip, // there is one
  info: isThere,
  up: same,
  leftOut: same,
  cloned: same,
  sides: eachOf(side),
  lists: ({ taken }, look, node) => {
    const asking = look.world.parties.find(({ state }) => state.nodes.includes(node))!.state.calls.values();
    return [...asking].map((purpose) => "list" in purpose && purpose.list < taken);
  },
  listed: same,
  polling: same,
  pollFailed: skip, // what the operator reads
  pollAgain: same,
  polledAtMs: (atMs, look, { pollTookMs }) => due(atMs + Math.max(10, pollTookMs * 4), look),
  listingForRequests: same,
  pollTookMs: skip, // above
  pollAtMs: due,
  proofs: skip, // 100 at once
  followUps: same,
  history,
});

const peerNode = of<PeerNode>({
  pubkey: skip, // there is one
  alias: skip, // never changes
  network: skip, // the same
  proven: same,
  paused: same,
  pausedChannels: ({ length }) => length,
  logHead: skip, // nobody looks at it
});

const introduction = of<Introduction>({
  pubkey: skip, // there is one
  proof: isThere,
  signing: same,
  failures: upTo(8),
  saidAlias: isThere,
  saidPauses: same,
  saidAtMs: since(6_000),
  retryAtMs: due,
});

const peer = of<PeerSession>({
  connection: name,
  via: skip, // all the same
  session: ({ phase }) => phase.kind,
  sessionId: skip, // a name
  sessionIdBytes: skip, // the same
  nodes: eachOf(peerNode),
  helloAtMs: each(([, atMs]: [unknown, number], look) => since(5_000)(atMs, look)),
  waitingHellos: each(([, hello]: [unknown, { paused?: true }]) => hello.paused === true),
  helloDueAtMs: due,
  introductions: each(([, value]: [unknown, Introduction], look) => introduction(value, look, value)),
  requestIds: skip, // no frame comes twice
  refusedAtMs: skip, // what the operator reads
  strangeAskedAtMs: skip, // the same
  accountsSaid: skip, // none are
  toldAtMs: skip, // what the operator reads
  skewTold: skip, // the same
  allowance: skip, // 1,500 at once
});

const answer = of<Answer>({
  confirmed: same,
  reason: same,
  paused: skip, // what the operator reads
  retryAfterMs: same,
  maxTokensSat: same,
});

const ask = of<Ask>({
  requestId: name,
  node: skip, // there is one
  peer: skip, // the same
  ownPeer: skip, // the same
  channelPoint: skip, // the same
  channelId: skip, // the same
  amountSat: same,
  connection: name,
  startedAtMs: skip, // the wait after it is longer than what is counted from here
  deadlineAtMs: due,
  localSat: same,
  phase: same,
  paymentHash: name,
  invoice: skip, // goes with the hash
  expiresAtWallMs: skip, // of the record; LND's own is below
  busy: same,
  look: same,
  lookedAtMs: since(10_000),
  cancelReason: isThere,
  retryAtMs: due,
  failures: upTo(8),
  answer,
});

const request = of<Request>({
  id: skip, // a name
  connection: name,
  node: skip, // there is one
  peer: skip, // the same
  message: ({ requestId, tokens }, look) => [look.name(requestId), Number(tokens)],
  answerByMs: due,
  quiet: skip, // what the operator reads
  listing: same,
  listed: same,
  invoice: (value, look) => look.name(value?.paymentHash),
  isNew: same,
});

const payment = of<Payment>({
  paymentHash: name,
  node: skip, // there is one
  peer: skip, // the same
  channelIds: skip, // the same
  invoice: skip, // goes with the hash
  finalCltvBlocks: skip, // never changes
  outgoingChannelId: isThere,
  phase: same,
  asker: (value, look) =>
    value === undefined
      ? null
      : [look.name(value.connection), look.name(value.message.requestId), due(value.answerByMs, look)],
  startedAtMs: skip, // what the operator reads
  rejected: isThere,
  trackedSinceMs: since(60_000),
  trackAtMs: due,
  trackBusy: same,
  tracks: upTo(8),
  index: isThere, // nobody pays a hash again
  replaced: same,
  vanished: skip, // what the operator reads
});

const suspect = of<Suspect>({
  node: skip, // there is one
  payment: ({ paymentHash }, look) => look.name(paymentHash),
  busy: same,
  retryAtMs: due,
  failures: upTo(8),
});

const balancer = of<BalancerState>({
  config: skip, // never changes
  started: same,
  startedAtMs: since(5_000),
  aliases: skip, // what the operator reads
  contradictions: ({ size }) => size,
  pauses: ({ length }) => length,
  draining: same,
  drained: same,
  breaker: isThere,
  // Follows from the log and what is being written to it, but for the times.
  ledger: ({ payments }, look) =>
    [...payments.values()].filter(({ state }) => state !== "settled").map((open) => [
      ...[look.name(open.paymentHash), open.state, Number(open.amountSat), since(60_001)(open.reservedAtMs, look)],
      since(60_001)(open.expiresAtWallMs - wall(look.world) + look.world.atMs, look),
    ]),
  logIsBlank: same,
  clock: skip, // the two go together
  logHead: skip, // nobody looks at it
  nextId: skip, // a name
  calls: skip, // those of the party
  appends: skip, // the same
  nodes: each(node),
  peers: eachOf(peer),
  asks: eachOf(ask),
  requests: each(([, value]: [unknown, Request], look) => request(value, look, value)),
  payments: eachOf(payment),
  suspects: eachOf(suspect),
  accountPairs: skip, // none are said
  troubles: each(([, { failures, untilMs }]: [unknown, { failures: number; untilMs: number }], look) => [
    upTo(10)(failures),
    due(untilMs, look),
  ]),
  nobodyFoundAtMs: skip, // what the operator reads
  unmatchedTold: skip, // the same
  ignored: skip, // the same
  lines: skip, // the same
});

const pendingCall = of<PendingCall>({
  callId: skip, // a name
  call: (call, look) => [call.method, look.hashOf(call)],
  purpose: same,
  stage: same,
  reply: (reply) => reply === undefined ? null : JSON.stringify(reply, (_, value) => same(value)),
});

const party = of<Party>({
  state: balancer,
  disk: (records, look) => look.records(records),
  pauses: ({ length }) => length,
  appends: (appends, look) => look.records(appends.map(({ record }) => record)),
  calls: each(pendingCall),
  hint: same,
  stopsAtMs: due,
  up: same,
  upAtMs: due,
  slow: same,
  isShared: skip, // of the copy
  paid: (hashes, look) => hashes.filter((hash) => !look.isOver(hash)).map((hash) => look.name(hash)),
});

const link = of<Link>({
  id: name,
  alive: same,
  ends: same,
  inboxes: (inboxes, look) => inboxes.map((frames) => frames.map((frame) => look.frame(frame))),
});

const invoice = of<ModelInvoice>({
  owner: same,
  amountSat: same,
  memo: skip, // goes with the hash
  expiresAtWallMs: (expiresAtWallMs, look) => since(60_001)(expiresAtWallMs - wall(look.world) + look.world.atMs, look),
  state: same,
});

const modelPayment = of<ModelPayment>({ owner: same, amountSat: same, index: skip, state: same, lagging: same });

const lnd = of<Lnd>({
  localSat: same,
  invoices: (invoices, look) => look.open(invoices, invoice),
  payments: (payments, look) => look.open(payments, modelPayment),
  others: skip, // nobody keeps one
  made: skip, // a name
  paid: skip, // the same
});

const whole = of<World>({
  atMs: skip, // everything is told from now
  lnd,
  parties: each(party),
  late: each(({ owner, call }, look) => [owner, call.method, look.hashOf(call)]),
  links: each(link),
  linkCount: skip, // a name
  apartUntilMs: due,
  faultsLeft: same,
  moves: same,
  flaw: skip, // never changes
  random: skip, // a name
});

/** One world, and the names that its things get in the order in which they are met. */
class Look {
  readonly world: World;
  readonly #names = new Map<string | number, number>();
  readonly #over = new Map<PaymentHash, boolean>();

  constructor(world: World) {
    this.world = world;
  }

  describe(): unknown {
    return whole(this.world, this, this.world);
  }

  name(value: string | number | undefined): number {
    if (value === undefined) return -1;
    const known = this.#names.get(value);
    if (known !== undefined) return known;
    this.#names.set(value, this.#names.size);
    return this.#names.size - 1;
  }

  hashOf(call: PendingCall["call"]): number | string {
    switch (call.method) {
      case "pay":
        return this.name(call.args[0].paymentHash);
      case "lookupInvoice":
      case "cancelInvoice":
      case "trackPayment":
        return this.name(call.args[0]);
      case "addInvoice":
        return Number(call.args[0].amountSat);
      default:
        return "";
    }
  }

  records(records: readonly LogRecord[]): unknown {
    return records.map((record) => "paymentHash" in record ? record : { ...record, paymentHash: undefined })
      .filter(({ paymentHash }) => paymentHash === undefined || !this.isOver(paymentHash))
      .map(({ kind, paymentHash }) => [kind, this.name(paymentHash)]);
  }

  frame(frame: Uint8Array): unknown {
    const body = bodyOf(frame);
    if (body === undefined) return frame[0];
    const { type, requestId, confirmed, reason, tokens, maxTokens, retryAfterMs, paused, pausedChannels } = body;
    const what = [type, confirmed, reason, tokens, maxTokens, retryAfterMs, paused, pausedChannels];
    return [this.name(requestId as string | undefined), ...what.map((value) => value ?? null)];
  }

  /** How many payments of a node its list has that it hasn't read: of the party that is looked at just now. */
  newPayments(afterIndex: bigint): number {
    return [...this.world.lnd.payments.values()].filter(({ index }) => index > afterIndex).length;
  }

  open<T>(things: ReadonlyMap<PaymentHash, T>, how: How<T | undefined>): unknown {
    return [...things].filter(([hash]) => !this.isOver(hash)).map(([hash, thing]) => [
      this.name(hash),
      how(thing, this, things),
    ]);
  }

  /** Nothing about it can change any more, and everybody has recorded its end: only the balances tell that it was. */
  isOver(hash: PaymentHash): boolean {
    let over = this.#over.get(hash);
    if (over === undefined) this.#over.set(hash, over = this.#isOver(hash));
    return over;
  }

  #isOver(hash: PaymentHash): boolean {
    const { world } = this;
    const invoice = world.lnd.invoices.get(hash);
    const payment = world.lnd.payments.get(hash);
    if (invoice === undefined || stateAt(invoice, wall(world)) === "open" || payment?.lagging) return false;
    // While it hasn't expired an HTLC may go out for it, or somebody may ask again.
    if (invoice.expiresAtWallMs > wall(world)) return false;
    if (payment !== undefined && payment.state !== "settled" && payment.state !== "failed") return false;
    if (world.late.some(({ call }) => "args" in call && JSON.stringify(call.args, replacer).includes(hash))) {
      return false;
    }
    return world.parties.every(({ disk, appends, calls, state }, owner) => {
      const isOf = (record: LogRecord) => "paymentHash" in record && record.paymentHash === hash;
      if (appends.some(({ record }) => isOf(record)) || state.payments.has(hash) || state.suspects.has(hash)) {
        return false;
      }
      if (calls.some(({ call }) => JSON.stringify(call.args, replacer).includes(hash))) return false;
      if ([...state.asks.values()].some(({ paymentHash }) => paymentHash === hash)) return false;
      if ([...state.requests.values()].some(({ message }) => message.invoice.includes(hash))) return false;
      const kinds = dealsOf(disk).filter(isOf).map(({ kind }) => kind);
      const ends = owner === otherThan(invoice.owner) ? ["settled", "failed"] : ["received", "cancelled"];
      return kinds.length === 0 || kinds.some((kind) => ends.includes(kind));
    }) && !world.links.some(({ inboxes }) =>
      inboxes.flat().some((frame) => `${bodyOf(frame)?.invoice}`.includes(hash))
    );
  }
}

const replacer = (_key: string, value: unknown) => typeof value === "bigint" ? Number(value) : value;
