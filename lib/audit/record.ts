import type { Msat, Sat } from "../domain/amounts.ts";
import type { ChannelPoint, NodePubkey, PaymentHash, RequestId, ShortChannelId } from "../domain/ids.ts";
import type { LogLevel } from "../env/logger.ts";

/** The format that this program writes, and the newest that it reads. */
export const recordVersion = 1;

export type Role = "payer" | "payee";

/** What every line of the transaction log names. */
interface TransactionBase {
  readonly atWallMs: number;
  readonly role: Role;
  /** Our own node. */
  readonly node: NodePubkey;
  /** The Lightning node at the other end of the channel. */
  readonly peer: NodePubkey;
  /** Whether this instance manages the peer too: then no credit is given, only bookkeeping done. */
  readonly ownPeer: boolean;
  readonly channelPoint: ChannelPoint;
  readonly channelId: ShortChannelId;
  readonly paymentHash: PaymentHash;
  readonly amountSat: Sat;
  readonly requestId: RequestId;
  /** When the invoice expires. */
  readonly expiresAtWallMs: number;
}

/**
 * One line of the transaction log, the record from which money is accounted after any crash.
 * Payer: `intent` is durable before anything is sent, then one of `settled`, `failed`, or `unknown` (once more when LND
 * tells its number of the payment) followed by either.
 * Payee: `invoiced` is durable before anybody is asked, then `received` or `cancelled`.
 */
export type TransactionRecord =
  | TransactionBase & { readonly kind: "intent"; readonly role: "payer" }
  /** `reason`: only where the operator ended it by hand. */
  | TransactionBase & {
    readonly kind: "settled";
    readonly role: "payer";
    readonly feeMsat: Msat;
    readonly reason?: string;
  }
  /**
   * `paymentIndex`: LND's own number of the payment, as far as it was heard, or the highest that it can have: a failed hash may be
   * paid again, by somebody else.
   */
  | TransactionBase & {
    readonly kind: "failed" | "unknown";
    readonly role: "payer";
    readonly reason: string;
    readonly paymentIndex?: bigint;
  }
  | TransactionBase & { readonly kind: "invoiced"; readonly role: "payee" }
  | TransactionBase & { readonly kind: "received"; readonly role: "payee" }
  | TransactionBase & { readonly kind: "cancelled"; readonly role: "payee"; readonly reason: string }
  | ForeignRecord;

/** What was paid counts as a day younger than the node says: its clock isn't ours, nor need ours be right. */
export const clockToleranceMs = 86_400_000;

/** A rebalance payment that our node made and this log doesn't know: a restored backup or a second daemon. It counts as spent. */
export interface ForeignRecord {
  readonly kind: "foreign";
  readonly role: "payer";
  readonly atWallMs: number;
  readonly node: NodePubkey;
  readonly peer: NodePubkey;
  readonly ownPeer: boolean;
  readonly channelPoint: ChannelPoint | undefined;
  readonly channelId: ShortChannelId | undefined;
  readonly paymentHash: PaymentHash;
  readonly amountSat: Sat;
  /** Settled, or still in flight when it was seen. */
  readonly pending: boolean;
  /** {@link clockToleranceMs} after the node says it was settled, if that is longer ago than the record; windows count from then. */
  readonly paidAtWallMs?: number;
  /** Only where the operator ended it by hand. */
  readonly reason?: string;
}

/** A line of the transaction log that moves nothing: about the log itself, or what another operator says of an account. */
export type NoteRecord = ClockRecord | RepairedRecord | RebuiltRecord | AcknowledgedRecord | StatementRecord;

/** Everything that a transaction log holds. */
export type LogRecord = TransactionRecord | NoteRecord;

/** The wall clock was set while the program ran, or the machine slept, or it went back while nothing ran: no period ages by that. */
export interface ClockRecord {
  readonly kind: "clock";
  /** By the clock as it is now. */
  readonly atWallMs: number;
  /** By how much it is ahead of where it would be by itself; negative: it was set back. */
  readonly jumpMs: number;
}

/** `tightrope repair` began this log in place of a damaged one. */
export interface RepairedRecord {
  readonly kind: "repaired";
  readonly atWallMs: number;
  /** What was wrong. */
  readonly reason: string;
  /** How many of the damaged log's records follow here. */
  readonly keptRecords: number;
  /** Where the damaged log lies now: the name of a folder in the data directory; empty if there was none. */
  readonly setAside: string;
  /** Payments since then may be missing here and are read from the Lightning nodes; absent: from the first on. */
  readonly historyFromWallMs?: number;
}

/** After a repair: all that a node of ours lists as its payments is in this log now. */
export interface RebuiltRecord {
  readonly kind: "rebuilt";
  readonly atWallMs: number;
  readonly node: NodePubkey;
}

/** The operator has resumed after the breaker told that LND says otherwise of this payment than the log: it isn't told again. */
export interface AcknowledgedRecord {
  readonly kind: "acknowledged";
  readonly atWallMs: number;
  readonly paymentHash: PaymentHash;
}

/**
 * The newest word of another operator's node about its account with one of ours, signed by that node: evidence that outlives
 * the session. It is never a reason to trust or to pay.
 */
export interface StatementRecord {
  readonly kind: "statement";
  /** When it was written: soon after it came, or ten minutes later at most. */
  readonly atWallMs: number;
  /** Whose account it is, and who signed: the remote node. */
  readonly node: NodePubkey;
  /** What that node calls itself; anybody's word. */
  readonly alias: string;
  /** With whom: our node. */
  readonly peer: NodePubkey;
  readonly paidSat: Sat;
  readonly receivedSat: Sat;
  readonly openSat: Sat;
  readonly count: number;
  /** The head of its transaction log then. */
  readonly logLength: number;
  readonly logTreeHash: string;
  /** When it was signed, by the signer's clock. */
  readonly saidAtWallMs: number;
  readonly signature: string;
}

/** Whether a record moves nothing. */
export function isNote(record: LogRecord): record is NoteRecord {
  return record.kind === "clock" || record.kind === "repaired" || record.kind === "rebuilt" ||
    record.kind === "acknowledged" || record.kind === "statement";
}

/** What the event log tells of. */
export const eventKinds = [
  "started",
  "stopped",
  "node-up",
  "node-down",
  "warning",
  "transport",
  "peer-authenticated",
  "peer-disconnected",
  "node-joined",
  "node-left",
  "channel-watched",
  "channel-unwatched",
  "decision",
  "message-sent",
  "message-received",
  "request-refused",
  "requests-ignored",
  "payment-started",
  "payment-settled",
  "payment-failed",
  "payment-unknown",
  "payment-received",
  "request-ended",
  "paused",
  "resumed",
  "peer-paused",
  "peer-resumed",
  "breaker",
  "account-differs",
  "resolved",
  "resolve-refused",
] as const;

export type EventKind = (typeof eventKinds)[number];

/** One line of the event log; also what the screen and the demo show. `message` is a whole sentence for the operator. */
export interface EventRecord {
  readonly atWallMs: number;
  readonly kind: EventKind;
  readonly level: LogLevel;
  readonly message: string;
  readonly role?: Role;
  readonly node?: NodePubkey;
  readonly peer?: NodePubkey;
  readonly channelPoint?: ChannelPoint;
  readonly channelId?: ShortChannelId;
  readonly amountSat?: Sat;
  readonly feeMsat?: Msat;
  readonly paymentHash?: PaymentHash;
  readonly requestId?: RequestId;
  /** One of the closed lists in lib/domain/reasons.ts, or LND's words. */
  readonly reason?: string;
  readonly details?: Readonly<Record<string, string | number | boolean>>;
}
