import { bytesToHex } from "@noble/hashes/utils.js";
import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { isNote, type LogRecord, type TransactionRecord } from "../../lib/audit/record.ts";
import type { Effect } from "../../lib/balancer/io.ts";
import { type ChannelSnapshot } from "../../lib/domain/channel.ts";
import type { ChannelPoint, NodePubkey, PaymentHash } from "../../lib/domain/ids.ts";
import type { Now } from "../../lib/env/clock.ts";
import type { NodeReply } from "../../lib/lightning/node.ts";
import type { SimEvent, SimInvoice, SimPayment } from "../../lib/lightning/sim/model.ts";
import { joinFields, u64 } from "../../lib/protocol/fields.ts";
import { deriveSessionId, deriveSessionKey } from "../../lib/protocol/keys.ts";
import { invoiceTag } from "../../lib/protocol/memo.ts";
import { nodeProofText } from "../../lib/protocol/signatures.ts";
import type { ConnectionId, TransportEvent } from "../../lib/swarm/transport.ts";
import type { SimInstance } from "./instance.ts";
import type { SettingsPlan } from "./plan.ts";
import type { World } from "./world.ts";

/** A rule that was broken. */
export class Violation extends Error {
  override readonly name = "Violation";
  readonly rule: string;

  constructor(rule: string, detail: string) {
    super(`${rule}: ${detail}`);
    this.rule = rule;
  }
}

/** One payment of an honest operator, by what the network and the disk say. */
export interface Spend {
  readonly paymentHash: PaymentHash;
  readonly node: NodePubkey;
  readonly peer: NodePubkey;
  readonly channelPoint: ChannelPoint;
  readonly amountSat: bigint;
  /** An intent is written or being written, and no failure of it is on disk. */
  reserved: boolean;
  lnd: SimPayment["status"] | undefined;
  /** When LND settled it: by the world's time, and by the clock that windows age by (the process's own; it begins anew). */
  settledWorldMs: number | undefined;
  settledAtMs: number | undefined;
  readonly reservedWorldMs: number;
  /** When the channel was listed on which it was decided, and the least share that the settings of then wanted to keep. */
  readonly listedWorldMs: number;
  readonly leastShare: number;
}

/** A session as it went over the wire. */
interface Wire {
  readonly opening: Extract<TransportEvent, { kind: "connected" }>;
  localNonce: Uint8Array | undefined;
  remoteNonce: Uint8Array | undefined;
  /** Frames that reached the operator. */
  arrived: number;
  /** Those after the proof that may be messages, with their numbers. */
  readonly frames: { readonly atMs: number; readonly seq: number; readonly bytes: Uint8Array; message?: Body }[];
}

/** What is known of one honest operator. */
interface Books {
  readonly spends: Map<PaymentHash, Spend>;
  /** Hashes for which `pay` was called, in all its lives. */
  readonly sent: Set<PaymentHash>;
  /** What came from other operators' nodes, by our own invoices: per channel. */
  readonly received: {
    readonly peer: NodePubkey;
    readonly channelPoint: ChannelPoint | undefined;
    readonly amountSat: bigint;
  }[];
  readonly lastAttemptAtMs: Map<string, number>;
  readonly wires: Map<ConnectionId, Wire>;
  /** The newest of each node, by when it was asked for. */
  readonly lists: Map<NodePubkey, {
    readonly callId: number;
    readonly askedWorldMs: number;
    readonly channels: readonly ChannelSnapshot[];
  }>;
  readonly listCalls: Map<number, number>;
  /**
   * Its wall clock was set while nobody could note it, or the note was lost: from then on nobody can know how much time has
   * passed by the world's clock.
   */
  timeIsLost: boolean;
  hasJumped: boolean;
  /** Records of it are gone. */
  logWasLost: boolean;
  /** Its wall clock was set, and the note isn't on disk yet. */
  jumpIsUnwritten: boolean;
  /** Its LND has told of what can't be, and the breaker hasn't answered yet. */
  contradicted: boolean;
  /** How often its LNDs have told of what can't be, beyond what the breaker has told. */
  contradictions: number;
}

/** `{`, and the white space that may stand before it. */
const mayBeginObject: ReadonlySet<number> = new Set([0x7b, 0x20, 0x09, 0x0a, 0x0d]);

type Body = Record<string, unknown> | undefined;

const memoPrefix = "tightrope rebalance ";

/**
 * The rules that hold at every moment. Judged by what the network did, what is on the disks and what went over the wires;
 * the limits are reckoned here by themselves, from the plan.
 */
export class Watch {
  readonly #world: World;
  readonly #books = new Map<SimInstance, Books>();
  /** Who pays a hash. */
  readonly #payers = new Map<PaymentHash, NodePubkey>();
  /** Until when somebody else's HTLCs move a channel. */
  readonly #movedUntilMs = new Map<ChannelPoint, number>();
  readonly #proofs = new Map<string, string>();
  /** Invoices that operators pay beside the program, with their nodes. */
  readonly #withdrawals = new Set<string>();
  /** The payments over each channel that settled, with their direction. */
  readonly settled: {
    readonly atMs: number;
    readonly from: NodePubkey;
    readonly channelPoint: ChannelPoint;
    readonly amountSat: bigint;
  }[] = [];

  constructor(world: World) {
    this.#world = world;
  }

  books(instance: SimInstance): Books {
    let books = this.#books.get(instance);
    if (books === undefined) {
      this.#books.set(
        instance,
        books = {
          spends: new Map(),
          sent: new Set(),
          received: [],
          lastAttemptAtMs: new Map(),
          wires: new Map(),
          lists: new Map(),
          listCalls: new Map(),
          timeIsLost: false,
          hasJumped: false,
          logWasLost: false,
          jumpIsUnwritten: false,
          contradicted: false,
          contradictions: 0,
        },
      );
    }
    return books;
  }

  #fail(rule: string, instance: SimInstance | undefined, detail: string): never {
    throw new Violation(rule, instance === undefined ? detail : `${instance.name}: ${detail}`);
  }

  // What is told by the world

  /** The wall clock of an operator is about to be set. */
  clockJumped(instance: SimInstance): void {
    this.books(instance).hasJumped = true;
    if (instance.isRunning) this.books(instance).jumpIsUnwritten = true;
    else this.books(instance).timeIsLost = true;
  }

  logRestored(instance: SimInstance): void {
    const books = this.books(instance);
    books.logWasLost = true;
    if (books.hasJumped) books.timeIsLost = true;
  }

  /** Somebody else's payment begins to move a channel, and has moved it for good after so long. */
  traffic(channelPoint: ChannelPoint, forMs: number): void {
    const untilMs = this.#world.atMs + forMs;
    if (untilMs > (this.#movedUntilMs.get(channelPoint) ?? 0)) this.#movedUntilMs.set(channelPoint, untilMs);
  }

  /** An operator's node is about to pay for somebody else, as nodes with customers do. */
  withdraws(node: NodePubkey, paymentRequest: string): void {
    this.#withdrawals.add(`${node}/${paymentRequest}`);
  }

  isWithdrawal(node: NodePubkey, { paymentRequest }: SimPayment): boolean {
    return this.#withdrawals.has(`${node}/${paymentRequest}`);
  }

  get trafficUntilMs(): number {
    return Math.max(0, ...this.#movedUntilMs.values());
  }

  /** A process begins, with what its disk kept. Ages across the restart come from the wall clock, which never counts backwards. */
  started(instance: SimInstance): void {
    const books = this.books(instance);
    const now = instance.now();
    books.wires.clear();
    books.lists.clear();
    books.listCalls.clear();
    books.lastAttemptAtMs.clear();
    for (const spend of books.spends.values()) {
      spend.reserved = false;
      if (spend.lnd === "SUCCEEDED") spend.settledAtMs = now.atMs;
    }
    for (const { record, atMs } of dated(instance.records(), now)) {
      if (record.kind === "intent") {
        const spend = books.spends.get(record.paymentHash);
        if (spend) spend.reserved = true;
        books.lastAttemptAtMs.set(`${record.node}/${record.channelPoint}`, atMs);
      } else if (record.kind === "settled" || (record.kind === "foreign" && !record.pending)) {
        const spend = books.spends.get(record.paymentHash);
        if (spend?.settledAtMs !== undefined) spend.settledAtMs = atMs - paidAgoMs(record);
      } else if (record.kind === "failed") {
        const spend = books.spends.get(record.paymentHash);
        if (spend) spend.reserved = false;
      }
    }
  }

  stopped(instance: SimInstance): void {
    if (this.books(instance).jumpIsUnwritten) this.books(instance).timeIsLost = true;
    this.books(instance).wires.clear();
    // It died of it, or in the middle of stopping.
    this.books(instance).contradicted = false;
    this.books(instance).contradictions = 0;
  }

  connected(instance: SimInstance, opening: Wire["opening"]): void {
    const wire = { opening, localNonce: undefined, remoteNonce: undefined, arrived: 0, frames: [] };
    this.books(instance).wires.set(opening.connection, wire);
  }

  peerOf(instance: SimInstance, connection: ConnectionId): SimInstance | undefined {
    const key = this.books(instance).wires.get(connection)?.opening.remoteKey;
    return this.#world.instances.find((other) => other !== instance && other.swarmKey === key);
  }

  /** A frame has reached an operator. */
  frame(instance: SimInstance, connection: ConnectionId, bytes: Uint8Array): void {
    const wire = this.books(instance).wires.get(connection);
    if (wire === undefined) return;
    if (wire.remoteNonce === undefined && bytes.length === 33) wire.remoteNonce = bytes.slice(1);
    // The first two prove the secret.
    const seq = wire.arrived++ - 2;
    if (seq < 0 || !mayBeginObject.has(bytes[32] ?? 0)) return;
    wire.frames.push({ atMs: this.#world.atMs, seq, bytes: bytes.slice() });
    // `{"type":"payI…` asks, `{"type":"paym…` answers.
    if (bytes[41] === 0x70) this.#world.reached(bytes[44] === 0x49 ? "request-arrives" : "answer-arrives");
  }

  written(instance: SimInstance, record: LogRecord): void {
    if (record.kind === "clock") this.books(instance).jumpIsUnwritten = false;
    if (isNote(record)) return;
    const spend = this.books(instance).spends.get(record.paymentHash);
    if (record.kind === "failed" && spend) spend.reserved = false;
    if (record.kind === "foreign" && !record.pending && spend?.settledAtMs !== undefined) {
      spend.settledAtMs = Math.min(spend.settledAtMs, instance.now().atMs - paidAgoMs(record));
    }
  }

  replied(instance: SimInstance, effect: Extract<Effect, { kind: "call" }>, reply: NodeReply): void {
    if (!reply.ok || reply.method !== "listChannels") return;
    const books = this.books(instance);
    const askedWorldMs = books.listCalls.get(effect.callId);
    books.listCalls.delete(effect.callId);
    const node = instance.nodes[effect.node]!;
    const { callId } = effect;
    if (askedWorldMs === undefined || callId < (books.lists.get(node)?.callId ?? 0)) return;
    books.lists.set(node, { callId, askedWorldMs, channels: reply.value });
  }

  /** An LND tells an operator of a fee or a second hop. */
  contradicted(node: NodePubkey): void {
    const instance = this.#world.instanceOf(node);
    if (!instance?.isRunning) return;
    this.books(instance).contradictions++;
    // One that has stopped already can stop no further.
    if (instance.state!.breaker === undefined) this.books(instance).contradicted = true;
  }

  stepped(instance: SimInstance): void {
    if (!this.books(instance).contradicted) return;
    this.#fail("what contradicts our rules stops all paying", instance, "LND told of a fee or a second hop");
  }

  /** An operator's machine wants something done; it isn't done yet. */
  effect(instance: SimInstance, effect: Effect): void {
    switch (effect.kind) {
      case "send":
        return this.#sent(instance, effect.connection, effect.frame);
      case "append":
        if (effect.record.kind === "intent") return this.#reserves(instance, effect.record);
        if (effect.record.kind === "invoiced") return this.#invoices(instance, effect.record);
        return;
      case "call":
        if (effect.call.method === "listChannels") {
          this.books(instance).listCalls.set(effect.callId, this.#world.atMs);
        } else if (effect.call.method === "pay") {
          this.#pays(instance, instance.nodes[effect.node]!, effect.call.args[0]);
        }
        return;
      case "event":
        if (effect.record.kind !== "breaker") return;
        // One that stopped is told of again by each new process.
        if (instance.pauses.some(({ by }) => by === "breaker")) return;
        if (this.books(instance).contradictions-- === 0) {
          this.#fail("the breaker has a cause", instance, effect.record.message);
        }
        this.books(instance).contradicted = false;
        return;
    }
  }

  // The rules

  #sent(instance: SimInstance, connection: ConnectionId, frame: Uint8Array): void {
    const wire = this.books(instance).wires.get(connection);
    if (wire !== undefined && wire.localNonce === undefined && frame.length === 33) wire.localNonce = frame.slice(1);
    // `{"type":"pay…`
    if (frame.length <= 65 || frame[32] !== 0x7b || frame[41] !== 0x70) return;
    const message = bodyOf(frame);
    if (message?.type === "payInvoice") {
      const asked = instance.log.find((record) => record.kind === "invoiced" && record.requestId === message.requestId);
      if (asked?.kind === "invoiced" && this.#isPaused(instance, asked.node, asked)) {
        this.#fail("nothing is asked for while paused", instance, `request ${message.requestId}`);
      }
      if (asked === undefined) {
        this.#fail("an invoice is on disk before anybody is asked to pay it", instance, `request ${message.requestId}`);
      }
    } else if (message?.type === "paymentResult" && message.confirmed === true) {
      const isWritten = instance.log.some((record) =>
        record.kind === "settled" && record.requestId === message.requestId
      );
      if (!isWritten) {
        this.#fail("a payment is confirmed only once its end is on disk", instance, `request ${message.requestId}`);
      }
    }
  }

  /** One request at a time on each side of a channel. */
  #invoices(instance: SimInstance, record: Extract<TransactionRecord, { kind: "invoiced" }>): void {
    const open = new Set<PaymentHash>();
    for (const other of instance.log) {
      if (other.role !== "payee" || other.node !== record.node || other.channelPoint !== record.channelPoint) continue;
      if (other.kind === "invoiced") open.add(other.paymentHash);
      else open.delete(other.paymentHash);
    }
    if (open.size > 0) this.#fail("one request at a time on each side of a channel", instance, `${open.size} are open`);
  }

  #reserves(instance: SimInstance, record: Extract<TransactionRecord, { kind: "intent" }>): void {
    const books = this.books(instance);
    const { paymentHash, node, peer, channelPoint, amountSat } = record;
    if (books.spends.has(paymentHash)) {
      this.#fail("no hash is paid twice", instance, `a second intent for ${paymentHash}`);
    }
    const arrivedMs = this.#wasAsked(instance, record);
    const list = books.lists.get(node);
    const channel = list?.channels.find((one) => one.channelPoint === channelPoint);
    if (list === undefined || channel === undefined || channel.remotePubkey !== peer) {
      this.#fail("payments go over a channel with the payee", instance, `none is listed at ${channelPoint}`);
    }
    if (list.askedWorldMs < arrivedMs) {
      this.#fail("a payment is decided on a fresh list", instance, `one of ${arrivedMs - list.askedWorldMs} ms before`);
    }
    this.#checkShare(instance, record, channel);
    const { balancePoint, deadzone } = this.settingsOf(instance, node, channelPoint);
    const spend: Spend = {
      ...{ paymentHash, node, peer, channelPoint, amountSat },
      reserved: true,
      lnd: undefined,
      settledWorldMs: undefined,
      settledAtMs: undefined,
      reservedWorldMs: this.#world.atMs,
      listedWorldMs: list.askedWorldMs,
      leastShare: balancePoint - deadzone,
    };
    books.spends.set(paymentHash, spend);
    this.#checkLimits(instance, spend);
    books.lastAttemptAtMs.set(`${node}/${channelPoint}`, instance.now().atMs);
    this.#world.reached("intent-is-written");
  }

  #pays(
    instance: SimInstance,
    node: NodePubkey,
    request: {
      invoice: string;
      paymentHash: PaymentHash;
      outgoingChannelId: string;
      cltvLimitBlocks: number;
      timeoutSec: number;
    },
  ): void {
    const books = this.books(instance);
    const { paymentHash } = request;
    if (books.sent.has(paymentHash)) this.#fail("no hash is paid twice", instance, `${paymentHash} is sent again`);
    books.sent.add(paymentHash);
    this.#world.count("payments-sent");
    const intent = instance.log.find((record) => record.kind === "intent" && record.paymentHash === paymentHash);
    if (intent === undefined) {
      this.#fail("nothing is paid unreserved", instance, `no intent of ${paymentHash} is on disk`);
    }
    if (this.#isPaused(instance, node, intent)) this.#fail("nothing is paid while paused", instance, paymentHash);
    const decoded = this.#world.network.decodeInvoice(request.invoice);
    if (decoded.kind === "invalid" || decoded.invoice.paymentHash !== paymentHash) {
      this.#fail("what is paid is what was reserved", instance, paymentHash);
    }
    const shown = intent.channelPoint && this.#world.network.channel(node, intent.channelPoint);
    // It may have been closed a moment ago.
    if (shown && shown.chanId !== request.outgoingChannelId) {
      this.#fail(
        "payments go over the channel that was reserved",
        instance,
        `${request.outgoingChannelId} instead of ${shown.chanId}`,
      );
    }
    if (!(request.cltvLimitBlocks <= 200) || !(request.timeoutSec > 0)) {
      this.#fail("a payment is bounded in blocks and time", instance, paymentHash);
    }
  }

  #isPaused(
    instance: SimInstance,
    node: NodePubkey,
    { peer, channelPoint }: { readonly peer: NodePubkey; readonly channelPoint: ChannelPoint | undefined },
  ): boolean {
    return instance.pauses.some(({ scope }) =>
      scope.kind === "all" || (scope.kind === "node" && [node, peer].includes(scope.pubkey)) ||
      (scope.kind === "channel-point" && scope.channelPoint === channelPoint)
    );
  }

  /** Something of a Lightning node changed. */
  lnd(node: NodePubkey, event: SimEvent): void {
    if (event.kind === "payment") this.#payment(node, event.payment);
    else if (event.kind === "invoice" && event.invoice.state === "SETTLED") this.#receipt(node, event.invoice);
  }

  #payment(node: NodePubkey, payment: SimPayment): void {
    const { paymentHash, status } = payment;
    this.#payers.set(paymentHash, node);
    const instance = this.#world.instanceOf(node);
    if (instance === undefined || this.isWithdrawal(node, payment)) return;
    const spend = this.books(instance).spends.get(paymentHash);
    if (spend === undefined) {
      // The operator's own business, if it isn't a rebalance.
      const decoded = this.#world.network.decodeInvoice(payment.paymentRequest);
      if (decoded.kind === "invalid" || !decoded.invoice.description.startsWith(memoPrefix)) return;
      this.#fail("nothing is paid unreserved", instance, `LND pays ${paymentHash}`);
    }
    const begins = status === "IN_FLIGHT" && spend.lnd !== "IN_FLIGHT";
    // What a log has lost is found again in LND's list.
    if (begins && !spend.reserved && !this.books(instance).logWasLost) {
      this.#fail("nothing is paid unreserved", instance, `LND pays ${paymentHash}, which was given up`);
    }
    if (status !== spend.lnd) {
      this.#world.tell(`LND of ${this.#world.nameOf(node)}`, () => `payment ${paymentHash.slice(0, 6)} is ${status}`);
    }
    spend.lnd = status;
    if (status === "IN_FLIGHT") return;
    if (status === "FAILED") return this.#world.count("payments-failed");
    this.#world.count("payments-settled");
    this.#world.reached("payment-settles");
    spend.settledWorldMs = this.#world.atMs;
    spend.settledAtMs = instance.isRunning ? instance.now().atMs : 0;
    this.settled.push({
      atMs: this.#world.atMs,
      from: node,
      channelPoint: spend.channelPoint,
      amountSat: spend.amountSat,
    });
    const hops = payment.htlcs.filter((htlc) => htlc.status === "SUCCEEDED").flatMap((htlc) => htlc.hops);
    const shown = this.#world.network.channel(node, spend.channelPoint);
    if (payment.feeMsat !== 0n || hops.some((hop) => hop.feeMsat !== 0n)) {
      this.#fail("no fee is paid", instance, paymentHash);
    }
    if (hops.length !== 1 || (shown && hops[0]!.chanId !== shown.chanId) || hops[0]!.pubkey !== spend.peer) {
      this.#fail(
        "one hop over the channel that was reserved",
        instance,
        `${paymentHash} took ${hops.map((hop) => hop.chanId)}`,
      );
    }
    if (payment.valueMsat !== spend.amountSat * 1000n) {
      this.#fail("what is paid is what was reserved", instance, `${payment.valueMsat} msat for ${spend.amountSat} sat`);
    }
    // By what the network has: true only where nothing else moved the channel since it was listed.
    if (shown === undefined || (this.#movedUntilMs.get(spend.channelPoint) ?? 0) >= spend.listedWorldMs) return;
    const total = Number(shown.localSat + shown.remoteSat + shown.unsettledSat);
    if (Number(shown.localSat) < spend.leastShare * total - 1_000) {
      this.#fail(
        "no payment of ours takes us out of our deadzone",
        instance,
        `${this.#world.nameOf(node)} holds ${shown.localSat} of ${total} sat after ${spend.amountSat} sat`,
      );
    }
  }

  #receipt(node: NodePubkey, invoice: SimInvoice): void {
    const instance = this.#world.instanceOf(node);
    const payer = this.#payers.get(invoice.paymentHash);
    if (instance === undefined || payer === undefined || !invoice.memo.startsWith(memoPrefix)) return;
    const chanId = invoice.htlcs[0]?.chanId;
    const channelPoint = this.#world.network.listChannels(node).find((one) => one.chanId === chanId)?.channelPoint;
    this.books(instance).received.push({ peer: payer, channelPoint, amountSat: invoice.amountPaidMsat / 1000n });
  }

  /** The settings as the plan means them: base, then the node's, then the channel's. */
  settingsOf(instance: SimInstance, node: NodePubkey, channelPoint?: ChannelPoint): SettingsPlan {
    const plan = this.#world.settings[instance.index]!;
    return {
      ...plan.base,
      ...plan.byNode[this.#world.nodes.indexOf(node)],
      ...(channelPoint === undefined ? {} : this.#channelSettings(instance, channelPoint)),
    };
  }

  #channelSettings(instance: SimInstance, channelPoint: ChannelPoint): Partial<SettingsPlan> {
    const plan = this.#world.settings[instance.index]!;
    const index = this.#world.channels.findIndex(({ point }) => point === channelPoint);
    return plan.byChannel[index] ?? {};
  }

  /** The rule of shares, on the list that the payer decided on. */
  #checkShare(
    instance: SimInstance,
    record: Extract<TransactionRecord, { kind: "intent" }>,
    channel: ChannelSnapshot,
  ): void {
    const { node, channelPoint, amountSat } = record;
    const settings = this.settingsOf(instance, node, channelPoint);
    const total = Number(channel.localSat + channel.remoteSat + channel.unsettledSat);
    const after = Number(channel.localSat - amountSat);
    if (
      Number(channel.localSat) <= settings.balancePoint * total ||
      after < (settings.balancePoint - settings.deadzone / 2) * total - 1
    ) {
      this.#fail(
        "a payer stays above half a deadzone below its balance point",
        instance,
        `${channel.localSat} of ${total} sat, ${amountSat} to pay, balance point ${settings.balancePoint}, deadzone ${settings.deadzone}`,
      );
    }
    if (amountSat < settings.minTransactionSize || amountSat > settings.maxTransactionSize) {
      this.#fail("a payment is within minTransactionSize and maxTransactionSize", instance, `${amountSat} sat`);
    }
    // By the world's time, whatever the log has lost since: what LND was asked to pay.
    const books = this.books(instance);
    for (const { node: payer, channelPoint: point, lnd, reservedWorldMs } of books.spends.values()) {
      if (books.timeIsLost || payer !== node || point !== channelPoint || lnd === undefined || lnd === "FAILED") {
        continue;
      }
      const agoMs = this.#world.atMs - reservedWorldMs;
      if (agoMs < settings.minTimeBetweenPaymentsMs * 0.998 - 1_000) {
        this.#fail("minTimeBetweenPayments", instance, `${agoMs} ms after a payment that the log may have lost`);
      }
    }
    const lastMs = this.books(instance).lastAttemptAtMs.get(`${node}/${channelPoint}`);
    const sinceMs = instance.now().atMs - (lastMs ?? -Infinity);
    if (sinceMs < settings.minTimeBetweenPaymentsMs) {
      this.#fail(
        "minTimeBetweenPayments",
        instance,
        `${sinceMs} ms after the last attempt, at least ${settings.minTimeBetweenPaymentsMs}`,
      );
    }
  }

  /** Settled, reserved and unknown together, within every limit. */
  #checkLimits(instance: SimInstance, spend: Spend): void {
    const { node, peer, channelPoint } = spend;
    const books = this.books(instance);
    const nowMs = instance.now().atMs;
    const ofNode = this.settingsOf(instance, node);
    const ofChannel = this.settingsOf(instance, node, channelPoint);
    const own = this.#channelSettings(instance, channelPoint);
    const counting = [...books.spends.values()].filter((one) =>
      one.reserved || one.lnd === "IN_FLIGHT" || one.lnd === "SUCCEEDED"
    );
    const scopes = (...keys: (keyof SettingsPlan)[]) => [
      { scope: "node", settings: ofNode, spends: counting.filter((one) => one.node === node) },
      ...(keys.some((key) => own[key] !== undefined)
        ? [{
          scope: "channel",
          settings: ofChannel,
          spends: counting.filter((one) => one.node === node && one.channelPoint === channelPoint),
        }]
        : []),
    ];
    const worldMs = this.#world.atMs;
    const within = (spends: readonly Spend[], periodMs: number, { periodKind }: SettingsPlan) =>
      spends.filter(({ lnd, settledAtMs, settledWorldMs }) => {
        if (lnd !== "SUCCEEDED" || settledAtMs === undefined || settledWorldMs === undefined) return true;
        // By the world's own time, as far as clocks that drift can tell.
        const toleranceMs = periodMs * 0.002 + 2_000;
        if (periodKind === "rolling") {
          if (nowMs - settledAtMs < periodMs) return true;
          return !books.timeIsLost && worldMs - settledWorldMs < periodMs - toleranceMs;
        }
        const intoPeriodMs = (this.#world.startWallMs + worldMs) % periodMs;
        const isClear = intoPeriodMs > toleranceMs && intoPeriodMs < periodMs - toleranceMs;
        return isClear && !books.timeIsLost && worldMs - settledWorldMs < intoPeriodMs - toleranceMs;
      });
    for (
      const { scope, settings, spends } of scopes("maxTransactionsPerPeriod", "maxTransactionsPeriodMs", "periodKind")
    ) {
      const count = within(spends, settings.maxTransactionsPeriodMs, settings).length;
      if (count > settings.maxTransactionsPerPeriod) {
        this.#fail(
          "maxTransactionsPerPeriod",
          instance,
          `${count} payments of the ${scope}, at most ${settings.maxTransactionsPerPeriod}`,
        );
      }
    }
    for (const { scope, settings, spends } of scopes("maxAmountPerPeriod", "maxAmountPeriodMs", "periodKind")) {
      const amount = sum(within(spends, settings.maxAmountPeriodMs, settings));
      if (amount > settings.maxAmountPerPeriod) {
        this.#fail(
          "maxAmountPerPeriod",
          instance,
          `${amount} sat of the ${scope}, at most ${settings.maxAmountPerPeriod}`,
        );
      }
    }
    if (instance.nodes.includes(peer)) return;
    for (const { scope, settings } of scopes("maxNetOutflow")) {
      const inScope = (one: { peer: NodePubkey; channelPoint: ChannelPoint | undefined }) =>
        one.peer === peer && (scope === "node" || one.channelPoint === channelPoint);
      const position = sum(counting.filter(inScope)) - sum(books.received.filter(inScope));
      if (position > settings.maxNetOutflow) {
        this.#fail(
          "maxNetOutflow",
          instance,
          `${position} sat out over the ${scope} with ${this.#world.nameOf(peer)}, at most ${settings.maxNetOutflow}`,
        );
      }
    }
    const peers = new Set(counting.map((one) => one.peer).filter((one) => !instance.nodes.includes(one)));
    let total = 0;
    for (const one of peers) {
      const out = counting.filter((spent) => spent.peer === one);
      const back = books.received.filter((received) => received.peer === one);
      total += Math.max(0, sum(out) - sum(back));
    }
    const most = this.#world.settings[instance.index]!.maxNetOutflowTotalSat;
    // What was within the total stays so when only a negative position grows towards zero.
    const grows =
      sum(counting.filter((one) => one.peer === peer)) > sum(books.received.filter((one) => one.peer === peer));
    if (grows && total > most) this.#fail("maxNetOutflowTotal", instance, `${total} sat out, at most ${most}`);
  }

  /**
   * The request behind an intent, read again from the wire: a session that knows the secret, in which the channel's other
   * node has signed, asked for this amount over this channel by an invoice of that node made for nothing else.
   * @returns when it came
   */
  #wasAsked(instance: SimInstance, record: Extract<TransactionRecord, { kind: "intent" }>): number {
    const why: string[] = [];
    for (const wire of this.books(instance).wires.values()) {
      const found = this.#findRequest(wire, record, why);
      if (found !== undefined) return found;
    }
    this.#fail(
      "only what the channel's other node asked for is paid",
      instance,
      `${record.amountSat} sat: ${why.join(", ") || "nobody asked"}`,
    );
  }

  #findRequest(wire: Wire, record: Extract<TransactionRecord, { kind: "intent" }>, why: string[]): number | undefined {
    const { opening, localNonce, remoteNonce, frames } = wire;
    if (localNonce === undefined || remoteNonce === undefined) return undefined;
    const { initiator, localKey, remoteKey, handshakeHash } = opening;
    const sessionId = deriveSessionId({
      handshakeHash,
      initiatorKey: initiator ? localKey : remoteKey,
      responderKey: initiator ? remoteKey : localKey,
      initiatorNonce: initiator ? localNonce : remoteNonce,
      responderNonce: initiator ? remoteNonce : localNonce,
    });
    let isProven = false;
    for (const frame of frames) {
      const { atMs, seq, bytes } = frame;
      if (!("message" in frame)) frame.message = bodyOf(bytes);
      const { message } = frame;
      if (message?.type === "hello" && message.publicKey === record.peer) {
        const text = nodeProofText(record.peer, bytesToHex(sessionId), initiator ? "responder" : "initiator");
        // One that proves nothing takes nothing back that was proven before: it may come too soon to be looked into.
        isProven ||= this.#signerOf(text, textOf(message.proof)) === record.peer;
      } else if (message?.type === "bye" && message.publicKey === record.peer) {
        isProven = false;
      } else if (message?.type === "payInvoice" && message.requestId === record.requestId) {
        const key = deriveSessionKey(this.#world.authKey, sessionId);
        const mac = hmac(
          sha256,
          key,
          joinFields("message", Uint8Array.of(initiator ? 0 : 1), u64(seq), bytes.subarray(32)),
        );
        const decoded = this.#world.network.decodeInvoice(textOf(message.invoice));
        const tokens = record.amountSat;
        const tag = invoiceTag({ sessionId, requestId: record.requestId, channelPoint: record.channelPoint, tokens });
        if (bytesToHex(mac) !== bytesToHex(bytes.subarray(0, 32))) why.push("the message isn't authentic");
        else if (!isProven) why.push("the session hasn't proven the node");
        else if (message.channelPoint !== record.channelPoint) why.push("another channel");
        else if (message.tokens !== String(tokens)) why.push("another amount");
        else if (decoded.kind === "invalid") why.push("no invoice");
        else if (decoded.invoice.payee !== record.peer) why.push("another node's invoice");
        else if (decoded.invoice.paymentHash !== record.paymentHash) why.push("another hash");
        else if (decoded.invoice.amountMsat !== tokens * 1000n) why.push("the invoice is over another amount");
        else if (decoded.invoice.routeHintCount > 0) why.push("the invoice has route hints");
        else if (!decoded.invoice.description.endsWith(` ${tag}`)) why.push("the invoice was made for something else");
        else return atMs;
      }
    }
    return undefined;
  }

  #signerOf(text: string, signature: string): string {
    const key = `${text}/${signature}`;
    let signer = this.#proofs.get(key);
    if (signer === undefined) {
      const verified = this.#world.network.verifyMessage(new TextEncoder().encode(text), signature);
      signer = "pubkey" in verified ? verified.pubkey : "";
      this.#proofs.set(key, signer);
    }
    return signer;
  }
}

/**
 * When each deal of a log was made, by the process that now begins: by the wall clock, which never counts backwards, as it
 * stood (where that date has come) and with what it was set by taken away; the younger age counts.
 */
/** How long ago a payment was made that was found only when its record was written. */
function paidAgoMs(record: TransactionRecord): number {
  return record.kind === "foreign" ? Math.max(0, record.atWallMs - (record.paidAtWallMs ?? record.atWallMs)) : 0;
}

function* dated(
  records: readonly LogRecord[],
  now: Now,
): Generator<{ readonly record: TransactionRecord; readonly atMs: number }> {
  let jumpedMs = 0;
  let wallMs = -Infinity;
  let evenMs = -Infinity;
  const deals: { readonly record: TransactionRecord; readonly wallMs: number; readonly evenMs: number }[] = [];
  for (const record of records) {
    if (record.kind === "clock") jumpedMs += record.jumpMs;
    if (record.kind === "repaired") continue;
    if (record.atWallMs <= now.wallMs) wallMs = Math.max(wallMs, record.atWallMs);
    evenMs = Math.max(evenMs, record.atWallMs - jumpedMs);
    if (!isNote(record)) deals.push({ record, wallMs, evenMs });
  }
  const evenNowMs = Math.max(evenMs, now.wallMs - jumpedMs);
  for (const { record, ...date } of deals) {
    const ageMs = Math.max(0, Math.min(now.wallMs - date.wallMs, evenNowMs - date.evenMs));
    yield { record, atMs: now.atMs - ageMs };
  }
}

function sum(items: readonly { readonly amountSat: bigint }[]): number {
  return items.reduce((total, { amountSat }) => total + Number(amountSat), 0);
}

function bodyOf(frame: Uint8Array): Record<string, unknown> | undefined {
  try {
    return JSON.parse(new TextDecoder().decode(frame.subarray(32)));
  } catch {
    return undefined;
  }
}

/** What isn't text has nothing to say, and may not even be printable. */
function textOf(value: unknown): string {
  return typeof value === "string" ? value : "";
}
