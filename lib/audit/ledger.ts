import { type Msat, msat, type Sat, sat } from "../domain/amounts.ts";
import { invariant, unreachable } from "../domain/errors.ts";
import type { ChannelPoint, NodePubkey, PaymentHash, RequestId, ShortChannelId } from "../domain/ids.ts";
import type { Now } from "../env/clock.ts";
import type { ForeignRecord, TransactionRecord } from "./record.ts";

/**
 * `reserved`: the intent is in the log, nobody knows yet how it ended. `unknown`: sent, and the answer got lost.
 * Both count as spent until the node itself says otherwise, however old they are.
 */
export type PaymentState = "reserved" | "unknown" | "settled" | "failed";

/** One payment of ours, as the log tells it. */
export interface LedgerPayment {
  readonly paymentHash: PaymentHash;
  readonly node: NodePubkey;
  readonly peer: NodePubkey;
  readonly ownPeer: boolean;
  /** Missing only where a foreign payment couldn't be told to a channel. */
  readonly channelPoint: ChannelPoint | undefined;
  readonly channelId: ShortChannelId | undefined;
  /** Missing where the payment isn't in our log (`foreign`). */
  readonly requestId: RequestId | undefined;
  readonly expiresAtWallMs: number | undefined;
  readonly amountSat: Sat;
  readonly feeMsat: Msat;
  readonly state: PaymentState;
  /** When it was reserved, on the monotonic clock given to `apply`; negative if before this process. */
  readonly startedAtMs: number;
  readonly startedAtWallMs: number;
  readonly foreign: boolean;
}

/** One invoice of ours that a peer was, or is about to be, asked to pay. */
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
  readonly state: "open" | "received" | "cancelled";
}

/**
 * The money as the transaction log tells it: apply every record, in the log's order, exactly as written.
 * Owned and changed by one holder; what it returns is never changed afterwards.
 *
 * Payments and invoices are told apart by role: two nodes of one instance write both sides of one hash into one log.
 */
export class Ledger {
  readonly #payments = new Map<PaymentHash, LedgerPayment>();
  readonly #invoices = new Map<PaymentHash, LedgerInvoice>();
  readonly #openPayments = new Set<PaymentHash>();
  readonly #openInvoices = new Set<PaymentHash>();
  /** Paid + reserved + unknown - received, per node of other instances. */
  readonly #positions = new Map<NodePubkey, bigint>();
  readonly #lastAttemptAtMs = new Map<ChannelPoint, number>();
  readonly #lastSettledAtMs = new Map<ChannelPoint, number>();
  /** Everything that counts as spent or may yet, in the log's order; `forgetSettledBefore` shortens it. */
  #counted: PaymentHash[] = [];

  /**
   * Builds the ledger at start-up. A record's age comes from the wall clock then, and never backwards: the log's order
   * is the truth, so a record is taken to be no older than the one before it and no younger than `now`.
   */
  static fold(records: Iterable<TransactionRecord>, now: Now): Ledger {
    const ledger = new Ledger();
    let latestWallMs = -Infinity;
    for (const record of records) {
      latestWallMs = Math.max(latestWallMs, record.atWallMs);
      ledger.apply(record, now.atMs - Math.max(0, now.wallMs - latestWallMs));
    }
    return ledger;
  }

  /**
   * @param atMs when the record was written, on this process's monotonic clock
   * @throws InvariantError where no honest sequence of steps leads from the records before to this one; the same end
   *   told twice is no such case
   */
  apply(record: TransactionRecord, atMs: number): void {
    switch (record.kind) {
      case "intent":
        invariant(!this.#payments.has(record.paymentHash), `${record.paymentHash} is paid a second time`);
        this.#begin(
          {
            paymentHash: record.paymentHash,
            node: record.node,
            peer: record.peer,
            ownPeer: record.ownPeer,
            channelPoint: record.channelPoint,
            channelId: record.channelId,
            requestId: record.requestId,
            expiresAtWallMs: record.expiresAtWallMs,
            amountSat: record.amountSat,
            feeMsat: msat(0),
            state: "reserved",
            startedAtMs: atMs,
            startedAtWallMs: record.atWallMs,
            foreign: false,
          },
        );
        return;
      case "unknown":
        this.#move(record, "unknown", msat(0), atMs);
        return;
      case "settled":
        this.#move(record, "settled", record.feeMsat, atMs);
        return;
      case "failed":
        this.#move(record, "failed", msat(0), atMs);
        return;
      case "foreign":
        this.#applyForeign(record, atMs);
        return;
      case "invoiced":
        invariant(!this.#invoices.has(record.paymentHash), `${record.paymentHash} is invoiced a second time`);
        this.#invoices.set(record.paymentHash, {
          paymentHash: record.paymentHash,
          node: record.node,
          peer: record.peer,
          ownPeer: record.ownPeer,
          channelPoint: record.channelPoint,
          channelId: record.channelId,
          requestId: record.requestId,
          amountSat: record.amountSat,
          expiresAtWallMs: record.expiresAtWallMs,
          state: "open",
        });
        this.#openInvoices.add(record.paymentHash);
        return;
      case "received":
      case "cancelled":
        this.#endInvoice(record.paymentHash, record.kind, record.amountSat);
        return;
      default:
        unreachable(record);
    }
  }

  /** Payments whose end isn't known, oldest first: to be tracked at their node, never sent again. */
  get openPayments(): LedgerPayment[] {
    return [...this.#openPayments].map((hash) => this.#payments.get(hash)!);
  }

  /** Invoices that are neither paid nor cancelled, oldest first. */
  get openInvoices(): LedgerInvoice[] {
    return [...this.#openInvoices].map((hash) => this.#invoices.get(hash)!);
  }

  /** All that budgets count, in the log's order: reserved, unknown and settled payments, foreign ones too; no failed ones. */
  get countedPayments(): LedgerPayment[] {
    return this.#counted.map((hash) => this.#payments.get(hash)!);
  }

  payment(hash: PaymentHash): LedgerPayment | undefined {
    return this.#payments.get(hash);
  }

  invoice(hash: PaymentHash): LedgerInvoice | undefined {
    return this.#invoices.get(hash);
  }

  /**
   * What `peer` owes us: paid + reserved + unknown - received, over all channels and all time. Negative: we owe.
   * Always 0 for nodes of this instance.
   */
  netPositionSat(peer: NodePubkey): Sat {
    return sat(this.#positions.get(peer) ?? 0n);
  }

  /** Every net position that isn't 0, ordered by key. */
  get netPositions(): { readonly peer: NodePubkey; readonly netSat: Sat }[] {
    return [...this.#positions]
      .filter(([, netSat]) => netSat !== 0n)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([peer, netSat]) => ({ peer, netSat: sat(netSat) }));
  }

  /** The sum of all positive net positions: what others owe us. */
  get totalNetOutflowSat(): Sat {
    let total = 0n;
    for (const netSat of this.#positions.values()) if (netSat > 0n) total += netSat;
    return sat(total);
  }

  /** The open payment over this channel, if there is one. */
  openPaymentOn(channelPoint: ChannelPoint): LedgerPayment | undefined {
    return this.openPayments.find((payment) => payment.channelPoint === channelPoint);
  }

  /** The open invoice for this channel, if there is one. */
  openInvoiceOn(channelPoint: ChannelPoint): LedgerInvoice | undefined {
    return this.openInvoices.find((invoice) => invoice.channelPoint === channelPoint);
  }

  /** When we last tried to pay over the channel, however it ended. */
  lastAttemptAtMs(channelPoint: ChannelPoint): number | undefined {
    return this.#lastAttemptAtMs.get(channelPoint);
  }

  /** When a payment of ours over the channel last settled. */
  lastSettledAtMs(channelPoint: ChannelPoint): number | undefined {
    return this.#lastSettledAtMs.get(channelPoint);
  }

  /**
   * Leaves settled payments from before `atMs` out of `countedPayments`: older than every budget's window.
   * Hashes, positions and whatever is still open are kept for ever.
   */
  forgetSettledBefore(atMs: number): void {
    this.#counted = this.#counted.filter((hash) => {
      const payment = this.#payments.get(hash)!;
      return payment.state !== "settled" || payment.startedAtMs >= atMs;
    });
  }

  #begin(payment: LedgerPayment): void {
    this.#payments.set(payment.paymentHash, payment);
    if (payment.state !== "settled") this.#openPayments.add(payment.paymentHash);
    this.#counted.push(payment.paymentHash);
    this.#addPosition(payment, payment.amountSat);
    if (payment.channelPoint !== undefined) this.#lastAttemptAtMs.set(payment.channelPoint, payment.startedAtMs);
  }

  #move(
    record: TransactionRecord & { kind: "unknown" | "settled" | "failed" },
    state: "unknown" | "settled" | "failed",
    feeMsat: Msat,
    atMs: number,
  ): void {
    const { paymentHash } = record;
    const payment = this.#payments.get(paymentHash);
    invariant(payment !== undefined, `${paymentHash} is ${state} but was never begun`);
    invariant(payment.amountSat === record.amountSat, `${paymentHash} changes its amount`);
    if (payment.state === state) return;
    const ended = payment.state === "settled" || payment.state === "failed";
    invariant(!ended, `${paymentHash} is ${state} after it was ${payment.state}`);
    this.#payments.set(paymentHash, { ...payment, state, feeMsat });
    if (state === "unknown") return;
    this.#openPayments.delete(paymentHash);
    if (state === "settled") {
      if (payment.channelPoint !== undefined) this.#lastSettledAtMs.set(payment.channelPoint, atMs);
      return;
    }
    this.#counted = this.#counted.filter((hash) => hash !== paymentHash);
    this.#addPosition(payment, -payment.amountSat);
  }

  #applyForeign(record: ForeignRecord, atMs: number): void {
    const state = record.pending ? "unknown" : "settled";
    const known = this.#payments.get(record.paymentHash);
    if (known !== undefined) {
      invariant(known.foreign, `${record.paymentHash} is foreign but was begun here`);
      invariant(known.amountSat === record.amountSat, `${record.paymentHash} changes its amount`);
      if (known.state === state) return;
      invariant(known.state === "unknown", `${record.paymentHash} is ${state} after it was ${known.state}`);
      this.#payments.set(record.paymentHash, { ...known, state });
      this.#openPayments.delete(record.paymentHash);
      return;
    }
    this.#begin({
      paymentHash: record.paymentHash,
      node: record.node,
      peer: record.peer,
      ownPeer: record.ownPeer,
      channelPoint: record.channelPoint,
      channelId: record.channelId,
      requestId: undefined,
      expiresAtWallMs: undefined,
      amountSat: record.amountSat,
      feeMsat: msat(0),
      state,
      startedAtMs: atMs,
      startedAtWallMs: record.atWallMs,
      foreign: true,
    });
  }

  #endInvoice(hash: PaymentHash, state: "received" | "cancelled", amountSat: Sat): void {
    const invoice = this.#invoices.get(hash);
    invariant(invoice !== undefined, `${hash} is ${state} but was never invoiced`);
    invariant(invoice.amountSat === amountSat, `${hash} changes its amount`);
    if (invoice.state === state) return;
    invariant(invoice.state === "open", `${hash} is ${state} after it was ${invoice.state}`);
    this.#invoices.set(hash, { ...invoice, state });
    this.#openInvoices.delete(hash);
    if (state === "received") this.#addPosition(invoice, -invoice.amountSat);
  }

  #addPosition({ peer, ownPeer }: { peer: NodePubkey; ownPeer: boolean }, amountSat: bigint): void {
    if (ownPeer) return;
    this.#positions.set(peer, (this.#positions.get(peer) ?? 0n) + amountSat);
  }
}
