import { addSat, type Sat, sat } from "../domain/amounts.ts";
import { invariant, unreachable } from "../domain/errors.ts";
import type { ChannelPoint, NodePubkey, PaymentHash, RequestId, ShortChannelId } from "../domain/ids.ts";
import type { Now } from "../env/clock.ts";
import { type AccountBook, book, createAccountBook, pairKey } from "./accounts.ts";
import { isBlind } from "./by_hand.ts";
import {
  clockToleranceMs,
  type ForeignRecord,
  isNote,
  type LogRecord,
  type NoteRecord,
  type RepairedRecord,
  type StatementRecord,
  type TransactionRecord,
} from "./record.ts";

/**
 * What the transaction log adds up to: money reserved, spent and received, and what is still open.
 * Plain data, since it is part of the balancer's state, which a simulation forks with structuredClone; changed in place by
 * {@link applyRecord} alone. Maps keep the order of the log.
 */
export interface Ledger {
  /** Payments of ours that are open, or settled and not yet forgotten by {@link forgetSettled}. */
  readonly payments: Map<PaymentHash, LedgerPayment>;
  /** Invoices of ours whose end isn't recorded. */
  readonly invoices: Map<PaymentHash, LedgerInvoice>;
  /** Every hash that a node of ours ever meant to pay, and how that went. Never forgotten: no hash is paid twice. */
  readonly paidHashes: Map<PaymentHash, "open" | "settled" | "failed">;
  /** Which node of ours each of them is about: another one may pay for somebody else under the same hash. */
  readonly payers: Map<PaymentHash, NodePubkey>;
  /**
   * Those of them that failed. What LND lists under such a hash with a higher index is another payment, made by somebody
   * else; or, if ours isn't known, what it dates later by the wall clock: it pays no invoice that has expired.
   */
  readonly failures: Map<PaymentHash, { readonly atWallMs: number; readonly index: bigint | undefined }>;
  /** Every hash of an invoice of ours, and how that went. */
  readonly invoiceHashes: Map<PaymentHash, "open" | "received" | "cancelled">;
  /** Net outflow (paid + reserved + unknown - received; may be negative) per remote node of other instances, over all its channels. */
  readonly positions: Map<NodePubkey, Sat>;
  /** The same per channel of ours, keyed by {@link sideKey}. */
  readonly channelPositions: Map<string, Sat>;
  /** What each pair of nodes has paid each other, in full. */
  readonly accounts: AccountBook;
  /** The newest that other operators' nodes have said of their accounts with ours, keyed by `pairKey(ours, theirs)`. */
  readonly statements: Map<string, StatementRecord>;
  /** When a payment was last tried over a channel, whatever came of it, by {@link sideKey}; see {@link lastAttemptAtMs}. Monotonic. */
  readonly lastAttemptAtMs: Map<string, number>;
  /**
   * The wall clock of the newest record of each of our nodes, without those whose date had not come when the log was folded:
   * where the search for foreign payments begins.
   */
  readonly newestAtWallMs: Map<NodePubkey, number>;
  /**
   * Payments that the operator ended while their node couldn't be asked: how many, and since when (by the wall clock)
   * the node's own list may say otherwise.
   */
  readonly doubts: Map<NodePubkey, { readonly count: number; readonly fromWallMs: number }>;
  /** Payments of which LND says otherwise than the log, as the operator has seen. */
  readonly acknowledged: Set<PaymentHash>;
  /** By how much the wall clock was set while the program ran, all in all: {@link foldLedger} takes it away again. */
  clockOffsetMs: number;
  /** The even wall clock at the newest record of what was folded; -Infinity without any. */
  newestEvenWallMs: number;
  /**
   * How often the log was begun in place of one that was damaged or lost: from when on payments may be missing, and of which
   * nodes they were read anew since. Oldest first.
   */
  readonly repairs: { readonly historyFromWallMs: number | undefined; readonly rebuilt: Set<NodePubkey> }[];
}

/** LND locks an HTLC for 2,016 blocks at most (its `max-cltv-expiry`): two weeks. */
const longestHtlcMs = 14 * 86_400_000;

/** Why a payment counts as failed of which LND has never heard. */
export const unknownToLnd = "LND knows no such payment";

/** A payment of ours. `foreign` ones weren't made by this log's writer and count all the same. */
export interface LedgerPayment {
  readonly paymentHash: PaymentHash;
  state: "reserved" | "unknown" | "settled";
  readonly foreign: boolean;
  readonly node: NodePubkey;
  readonly peer: NodePubkey;
  readonly ownPeer: boolean;
  readonly channelPoint: ChannelPoint | undefined;
  readonly channelId: ShortChannelId | undefined;
  readonly requestId: RequestId | undefined;
  readonly amountSat: Sat;
  /** 0 for a foreign payment: its invoice isn't known. */
  readonly expiresAtWallMs: number;
  /** When its first record was written: its intent, or the news of a foreign one. */
  readonly recordedAtWallMs: number;
  /** When it was reserved; monotonic, of this process (negative: before it began). */
  readonly reservedAtMs: number;
  /** When its settlement was recorded; monotonic. Windows count from here. */
  settledAtMs: number | undefined;
  /** LND's index of it, as far as the log knows. */
  index: bigint | undefined;
}

/** An invoice that we gave away and whose end isn't recorded. */
export interface LedgerInvoice {
  readonly paymentHash: PaymentHash;
  readonly node: NodePubkey;
  readonly peer: NodePubkey;
  readonly ownPeer: boolean;
  readonly channelPoint: ChannelPoint;
  readonly channelId: ShortChannelId;
  readonly requestId: RequestId;
  readonly amountSat: Sat;
  readonly expiresAtWallMs: number;
}

/** One side of a channel as a map key. */
export function sideKey(node: NodePubkey, channelPoint: ChannelPoint): string {
  return `${node}/${channelPoint}`;
}

/** What went to a node over channels that can't be named, beside the sides of its channels: it could have been any of them. */
function unnamedKey(node: NodePubkey, peer: NodePubkey): string {
  return `${node}/${peer}`;
}

function sideOrUnnamedKey({ node, peer, channelPoint }: {
  readonly node: NodePubkey;
  readonly peer: NodePubkey;
  readonly channelPoint: ChannelPoint | undefined;
}): string {
  return channelPoint === undefined ? unnamedKey(node, peer) : sideKey(node, channelPoint);
}

/** Net outflow over one side of a channel, with all that may have gone over it. */
export function channelPositionSat(
  { channelPositions }: Ledger,
  node: NodePubkey,
  peer: NodePubkey,
  channelPoint: ChannelPoint,
): Sat {
  const named = channelPositions.get(sideKey(node, channelPoint)) ?? sat(0);
  return addSat(named, channelPositions.get(unnamedKey(node, peer)) ?? sat(0));
}

/** When a payment was last tried that went over one side of a channel, or may have. */
export function lastAttemptAtMs(
  ledger: Ledger,
  node: NodePubkey,
  peer: NodePubkey,
  channelPoint: ChannelPoint,
): number | undefined {
  const named = ledger.lastAttemptAtMs.get(sideKey(node, channelPoint)) ?? -Infinity;
  const latest = Math.max(named, ledger.lastAttemptAtMs.get(unnamedKey(node, peer)) ?? -Infinity);
  return latest === -Infinity ? undefined : latest;
}

export function createLedger(): Ledger {
  return {
    payments: new Map(),
    invoices: new Map(),
    paidHashes: new Map(),
    payers: new Map(),
    failures: new Map(),
    invoiceHashes: new Map(),
    positions: new Map(),
    channelPositions: new Map(),
    accounts: createAccountBook(),
    statements: new Map(),
    lastAttemptAtMs: new Map(),
    newestAtWallMs: new Map(),
    doubts: new Map(),
    acknowledged: new Set(),
    clockOffsetMs: 0,
    newestEvenWallMs: -Infinity,
    repairs: [],
  };
}

/**
 * The ledger of a whole log, oldest record first, as it stands at `now`.
 * Ages across the restart come from the wall clock, which never counts backwards: a record dated before an earlier one is
 * taken to be as young as that one. They are reckoned twice, with the clock as it stood and with what it was set by while
 * the program ran taken away (the even wall clock, which is never behind its newest record), and the younger age counts:
 * a clock that was set may have been wrong before or after. A date that has not come yet says that the clock was wrong
 * then or is now, so that only the even clock tells its record's age: else a clock that was once a year ahead would make
 * each start take all payments since for new, for a year. A clock that was set forward while nothing ran, and stays so,
 * can't be told from time that passed.
 * @throws InvariantError when the records can't follow each other
 */
export function foldLedger(records: readonly LogRecord[], now: Now): Ledger {
  const ledger = createLedger();
  let offsetMs = 0;
  let wallMs = -Infinity;
  let evenWallMs = -Infinity;
  const dates = records.map((record) => {
    if (record.kind === "clock") offsetMs += record.jumpMs;
    // It stands before the older records that the repair kept.
    if (record.kind === "repaired") return { wallMs, evenWallMs };
    if (record.atWallMs <= now.wallMs) wallMs = Math.max(wallMs, record.atWallMs);
    evenWallMs = Math.max(evenWallMs, record.atWallMs - offsetMs);
    return { wallMs, evenWallMs };
  });
  const evenNowMs = Math.max(evenWallMs, now.wallMs - offsetMs);
  // That a repair was done stands before the older records that it kept. What those say was read anew was read for an earlier one.
  const repairs: { readonly note: RepairedRecord; readonly endsAt: number }[] = [];
  records.forEach((record, index) => {
    while (repairs.length > 0 && repairs.at(-1)!.endsAt <= index) applyNote(ledger, repairs.pop()!.note);
    if (record.kind === "repaired") {
      const endsAt = Math.min(index + 1 + record.keptRecords, repairs.at(-1)?.endsAt ?? Infinity);
      repairs.push({ note: record, endsAt });
      return;
    }
    const date = dates[index]!;
    const ageMs = Math.min(now.wallMs - date.wallMs, evenNowMs - date.evenWallMs);
    applyRecord(ledger, record, now.atMs - Math.max(0, ageMs));
  });
  for (const { note } of repairs.reverse()) applyNote(ledger, note);
  // A record from a clock that was ahead must not hide what was paid since.
  for (const node of ledger.newestAtWallMs.keys()) {
    const newest = records.findLast((record) =>
      !isNote(record) && record.node === node && record.atWallMs <= now.wallMs
    );
    if (newest === undefined) ledger.newestAtWallMs.delete(node);
    else ledger.newestAtWallMs.set(node, newest.atWallMs);
  }
  ledger.newestEvenWallMs = evenWallMs;
  return ledger;
}

/** The even wall clock at a start: with the wall clock, as far as that didn't go back since the newest record. */
export function evenWallMsAtStart({ clockOffsetMs, newestEvenWallMs }: Ledger, wallMs: number): number {
  return Math.max(newestEvenWallMs, wallMs - clockOffsetMs);
}

/**
 * Enters one record, made at `atMs` (monotonic; may be negative for one of an earlier run).
 * The same end told twice is one end.
 * @throws InvariantError when it can't follow what is there: an outcome without its intent, a second intent for a hash, …
 */
export function applyRecord(ledger: Ledger, record: LogRecord, atMs: number): void {
  if (isNote(record)) return applyNote(ledger, record);
  ledger.newestAtWallMs.set(record.node, record.atWallMs);
  switch (record.kind) {
    case "intent": {
      const { paymentHash, node, peer, ownPeer, channelPoint, channelId, requestId, amountSat, expiresAtWallMs } =
        record;
      invariant(!ledger.paidHashes.has(paymentHash), `payment ${paymentHash} has a second intent`);
      invariant(amountSat > 0n, `the intent of payment ${paymentHash} is for nothing`);
      ledger.paidHashes.set(paymentHash, "open");
      ledger.payers.set(paymentHash, node);
      ledger.payments.set(paymentHash, {
        ...{ paymentHash, node, peer, ownPeer, channelPoint, channelId, requestId, amountSat, expiresAtWallMs },
        state: "reserved",
        foreign: false,
        recordedAtWallMs: record.atWallMs,
        reservedAtMs: atMs,
        settledAtMs: undefined,
        index: undefined,
      });
      ledger.lastAttemptAtMs.set(sideKey(node, channelPoint), atMs);
      move(ledger, record, amountSat);
      book(ledger.accounts, record, record.atWallMs, { reservedSat: amountSat });
      break;
    }
    case "settled": {
      if (ledger.paidHashes.get(record.paymentHash) === "settled") break;
      const payment = openPayment(ledger, record);
      book(ledger.accounts, record, record.atWallMs, { ...ending(payment), paidSat: payment.amountSat }, true);
      payment.state = "settled";
      payment.settledAtMs = atMs;
      ledger.paidHashes.set(record.paymentHash, "settled");
      noteDoubt(ledger, record, record.expiresAtWallMs);
      break;
    }
    case "failed": {
      if (ledger.paidHashes.get(record.paymentHash) === "failed") break;
      const payment = openPayment(ledger, record);
      ledger.payments.delete(record.paymentHash);
      ledger.paidHashes.set(record.paymentHash, "failed");
      noteDoubt(ledger, record, record.expiresAtWallMs);
      const index = record.paymentIndex ?? payment.index;
      ledger.failures.set(record.paymentHash, { atWallMs: record.atWallMs, index });
      move(ledger, payment, sat(-payment.amountSat));
      book(ledger.accounts, record, record.atWallMs, ending(payment));
      break;
    }
    case "unknown": {
      const payment = openPayment(ledger, record);
      const { state, amountSat } = payment;
      payment.index ??= record.paymentIndex;
      if (state === "unknown") break;
      book(ledger.accounts, record, record.atWallMs, { reservedSat: -amountSat, unknownSat: amountSat });
      payment.state = "unknown";
      break;
    }
    case "foreign":
      applyForeign(ledger, record, atMs);
      break;
    case "invoiced": {
      const { paymentHash, node, peer, ownPeer, channelPoint, channelId, requestId, amountSat, expiresAtWallMs } =
        record;
      invariant(!ledger.invoiceHashes.has(paymentHash), `invoice ${paymentHash} was recorded twice`);
      ledger.invoiceHashes.set(paymentHash, "open");
      ledger.invoices.set(paymentHash, {
        ...{ paymentHash, node, peer, ownPeer, channelPoint, channelId, requestId, amountSat, expiresAtWallMs },
      });
      break;
    }
    case "received":
    case "cancelled": {
      if (ledger.invoiceHashes.get(record.paymentHash) === record.kind) break;
      const invoice = ledger.invoices.get(record.paymentHash);
      invariant(invoice, `invoice ${record.paymentHash} is ${record.kind} without being open`);
      sameDeal(record, invoice);
      ledger.invoices.delete(record.paymentHash);
      ledger.invoiceHashes.set(record.paymentHash, record.kind);
      if (record.kind === "cancelled") break;
      move(ledger, invoice, sat(-invoice.amountSat));
      book(ledger.accounts, record, record.atWallMs, { receivedSat: invoice.amountSat }, true);
      break;
    }
    default:
      unreachable(record);
  }
}

/**
 * The node may say one day that it ended otherwise: its list is read again.
 * @param fromWallMs when the payment was made, or somewhat before or after (the search begins a day earlier)
 */
function noteDoubt(
  ledger: Ledger,
  { node, reason }: { readonly node: NodePubkey; readonly reason?: string },
  fromWallMs: number,
): void {
  if (reason === undefined || !isBlind(reason)) return;
  const { count = 0, fromWallMs: earliestWallMs = Infinity } = ledger.doubts.get(node) ?? {};
  ledger.doubts.set(node, { count: count + 1, fromWallMs: Math.min(earliestWallMs, fromWallMs) });
}

function applyNote(ledger: Ledger, note: NoteRecord): void {
  switch (note.kind) {
    case "clock":
      ledger.clockOffsetMs += note.jumpMs;
      break;
    case "repaired":
      ledger.repairs.push({ historyFromWallMs: note.historyFromWallMs, rebuilt: new Set() });
      break;
    case "rebuilt":
      for (const { rebuilt } of ledger.repairs) rebuilt.add(note.node);
      break;
    case "acknowledged":
      ledger.acknowledged.add(note.paymentHash);
      break;
    case "statement":
      ledger.statements.set(pairKey(note.peer, note.node), note);
      break;
    default:
      unreachable(note);
  }
}

/**
 * A foreign payment is recorded when it is seen, and once more when one seen pending has ended: with its amount if it
 * settled, with none if it failed. One that the log has as failed and LND as settled is counted too.
 */
function applyForeign(ledger: Ledger, record: ForeignRecord, atMs: number): void {
  const { paymentHash, node, peer, ownPeer, channelPoint, channelId, amountSat, pending, paidAtWallMs } = record;
  // Never in the future, whatever the clock was when it was paid.
  const paidAtMs = atMs - Math.max(0, record.atWallMs - (paidAtWallMs ?? record.atWallMs));
  const known = ledger.payments.get(paymentHash);
  if (known) {
    invariant(known.foreign && known.state === "reserved" && !pending, `foreign payment ${paymentHash} is in the log`);
    // It was under way when it was seen, for as long as an HTLC may be.
    noteDoubt(ledger, record, known.recordedAtWallMs - longestHtlcMs);
    if (amountSat === 0n) {
      ledger.payments.delete(paymentHash);
      // Whoever made it may try the same hash again: that would be another payment to count.
      ledger.paidHashes.delete(paymentHash);
      ledger.payers.delete(paymentHash);
      move(ledger, known, sat(-known.amountSat));
      book(ledger.accounts, known, record.atWallMs, { ...ending(known), foreignSat: -known.amountSat });
    } else {
      invariant(amountSat === known.amountSat, `foreign payment ${paymentHash} changed its amount`);
      book(ledger.accounts, known, record.atWallMs, { ...ending(known), paidSat: amountSat }, true);
      known.state = "settled";
      known.settledAtMs = paidAtMs;
      ledger.paidHashes.set(paymentHash, "settled");
    }
    return;
  }
  // The failure of one told twice.
  if (amountSat === 0n) return;
  invariant(
    ledger.paidHashes.get(paymentHash) !== "settled",
    `foreign payment ${paymentHash} is in the log as our own`,
  );
  ledger.paidHashes.set(paymentHash, pending ? "open" : "settled");
  ledger.payers.set(paymentHash, node);
  ledger.payments.set(paymentHash, {
    ...{ paymentHash, node, peer, ownPeer, channelPoint, channelId, amountSat },
    state: pending ? "reserved" : "settled",
    foreign: true,
    requestId: undefined,
    expiresAtWallMs: 0,
    recordedAtWallMs: record.atWallMs,
    reservedAtMs: atMs,
    settledAtMs: pending ? undefined : paidAtMs,
    index: undefined,
  });
  const key = sideOrUnnamedKey(record);
  ledger.lastAttemptAtMs.set(key, Math.max(paidAtMs, ledger.lastAttemptAtMs.get(key) ?? -Infinity));
  move(ledger, record, amountSat);
  const countedSat = pending ? { reservedSat: amountSat } : { paidSat: amountSat };
  const datedWallMs = paidAtWallMs === undefined ? record.atWallMs : paidAtWallMs - clockToleranceMs;
  book(ledger.accounts, record, datedWallMs, { ...countedSat, foreignSat: amountSat }, !pending);
}

/** What an account loses when an open payment ends. */
function ending({ state, amountSat }: LedgerPayment): { reservedSat?: bigint; unknownSat?: bigint } {
  return state === "unknown" ? { unknownSat: -amountSat } : { reservedSat: -amountSat };
}

/** Whether the log was begun anew and doesn't hold all yet that the node has paid. */
export function lacksPayments({ repairs }: Ledger, node: NodePubkey): boolean {
  return repairs.some(({ rebuilt }) => !rebuilt.has(node));
}

/** From when on payments of such a node may be missing; -Infinity: from the first on. */
export function missingFromWallMs({ repairs }: Ledger, node: NodePubkey): number {
  return Math.min(
    ...repairs.filter(({ rebuilt }) => !rebuilt.has(node)).map(({ historyFromWallMs = -Infinity }) =>
      historyFromWallMs
    ),
  );
}

/** Drops settled payments that no window can count any more; positions and hashes stay. */
export function forgetSettled(ledger: Ledger, settledBeforeMs: number): void {
  for (const [hash, { settledAtMs }] of ledger.payments) {
    if (settledAtMs !== undefined && settledAtMs < settledBeforeMs) ledger.payments.delete(hash);
  }
}

/** Payments of ours whose end isn't recorded, oldest first. */
export function openPayments(ledger: Ledger): LedgerPayment[] {
  return [...ledger.payments.values()].filter((payment) => payment.state !== "settled");
}

function openPayment(ledger: Ledger, record: Exclude<TransactionRecord, ForeignRecord>): LedgerPayment {
  const payment = ledger.payments.get(record.paymentHash);
  invariant(
    payment && payment.state !== "settled" && !payment.foreign,
    `payment ${record.paymentHash} is ${record.kind} without an open intent`,
  );
  sameDeal(record, payment);
  return payment;
}

/** An outcome that names another amount or party than its opening would move somebody else's position. */
function sameDeal(
  record: Exclude<TransactionRecord, ForeignRecord>,
  opening: Pick<LedgerPayment, "node" | "peer" | "amountSat" | "channelPoint">,
): void {
  invariant(
    record.node === opening.node && record.peer === opening.peer && record.amountSat === opening.amountSat &&
      record.channelPoint === opening.channelPoint,
    `the ${record.kind} of ${record.paymentHash} differs from its opening`,
  );
}

function move(
  ledger: Ledger,
  deal: Pick<LedgerPayment, "node" | "peer" | "ownPeer" | "channelPoint">,
  outflowSat: Sat,
): void {
  if (deal.ownPeer) return;
  ledger.positions.set(deal.peer, addSat(ledger.positions.get(deal.peer) ?? sat(0), outflowSat));
  const key = sideOrUnnamedKey(deal);
  ledger.channelPositions.set(key, addSat(ledger.channelPositions.get(key) ?? sat(0), outflowSat));
}

/** What we have out with other instances' nodes: the sum of all positive positions. */
export function totalOutflowSat(ledger: Ledger, isOwn: (peer: NodePubkey) => boolean): Sat {
  let totalSat = sat(0);
  for (const [peer, positionSat] of ledger.positions) {
    if (positionSat > 0n && !isOwn(peer)) totalSat = addSat(totalSat, positionSat);
  }
  return totalSat;
}
