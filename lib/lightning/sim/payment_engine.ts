import { type Msat, msat } from "../../domain/amounts.ts";
import { invariant } from "../../domain/errors.ts";
import type { NodePubkey, PaymentHash, ShortChannelId } from "../../domain/ids.ts";
import { type Bolt11Decoding, decodeBolt11, unknownRequiredFeatures } from "../bolt11.ts";
import { type Channel, type Htlc, otherSide } from "./channel.ts";
import type { InvoiceBook, Resolution } from "./invoice_book.ts";
import type {
  SimForward,
  SimHtlcAttempt,
  SimHtlcFailure,
  SimHtlcInfo,
  SimPayment,
  SimPaymentFailureReason,
  SimPaymentRequest,
  SimRefusal,
} from "./model.ts";
import { type NodeState, refusal, type World } from "./world.ts";

/**
 * When the steps of a payment come, in parts of its whole time (measured: first attempt 26 ms, locked in by about 75,
 * invoice settled 119, SUCCEEDED 125).
 */
const attemptPart = 0.2;
const lockInPart = 0.4;
const arrivePart = 0.35;
const answerPart = 0.05;
/** From the last update to FAILED. */
const failedPart = 0.1;

/** LND adds three blocks to the final expiry, for those that may be found while the payment is on its way. */
const blockPadding = 3;

const none = "0" as ShortChannelId;
const noPreimage = "0".repeat(64);

/** What a request comes down to. */
interface Intent {
  readonly paymentRequest: string;
  readonly destination: NodePubkey;
  readonly paymentHash: PaymentHash;
  readonly paymentAddr: string;
  readonly amountMsat: Msat;
  readonly finalCltvBlocks: number;
  readonly cltvLimitBlocks: number;
  readonly outgoingChanIds: readonly ShortChannelId[];
  readonly deadlineAtMs: number;
  /** The life of the payer's process in which it began. */
  readonly life: number;
}

/** An HTLC of ours that is out. */
interface Flight {
  readonly intent: Intent;
  readonly payer: NodeState;
  readonly payee: NodeState;
  readonly channel: Channel;
  readonly htlc: Htlc;
  readonly attemptId: bigint;
}

/** Payments of all nodes over direct channels, and the traffic of others. Longer routes cost a fee, and none is ever allowed here. */
export class PaymentEngine {
  readonly #world: World;
  readonly #invoices: InvoiceBook;
  readonly #decoded = new Map<string, Bolt11Decoding>();

  constructor(world: World, invoices: InvoiceBook) {
    this.#world = world;
    this.#invoices = invoices;
  }

  decode(text: string): Bolt11Decoding {
    let decoding = this.#decoded.get(text);
    if (decoding === undefined) {
      decoding = decodeBolt11(text, this.#world.network);
      // Recovering a key is slow, and one invoice is decoded several times.
      if (this.#decoded.size >= 1_000) this.#decoded.clear();
      this.#decoded.set(text, decoding);
    }
    return decoding;
  }

  send(node: NodeState, request: SimPaymentRequest): SimPayment | SimRefusal {
    const intent = this.#intentOf(node, request);
    if ("kind" in intent) return intent;
    const duplicate = this.#duplicate(node, intent.paymentHash);
    if (duplicate !== undefined) return duplicate;

    const payment: SimPayment = {
      paymentHash: intent.paymentHash,
      status: "IN_FLIGHT",
      failureReason: "NONE",
      valueMsat: intent.amountMsat,
      feeMsat: msat(0n),
      preimage: noPreimage,
      paymentRequest: intent.paymentRequest,
      createdAtWallMs: this.#world.wallMs,
      paymentIndex: ++node.paymentIndex,
      htlcs: [],
    };
    this.#store(node, payment);
    this.#step(attemptPart, () => this.#canAttempt(node), () => this.#attempt(node, intent));
    return payment;
  }

  #intentOf(node: NodeState, request: SimPaymentRequest): Intent | SimRefusal {
    const timeoutSec = request.timeoutSec || node.behaviour.defaultTimeoutSec;
    if (timeoutSec === undefined) return refusal("no-timeout", "timeout_seconds must be specified");
    const common = {
      outgoingChanIds: request.outgoingChanIds ?? [],
      cltvLimitBlocks: request.cltvLimitBlocks || Infinity,
      deadlineAtMs: this.#world.now().atMs + timeoutSec * 1_000,
      life: node.life,
    };
    const given = request.amountMsat ?? msat(0n);
    if (request.paymentRequest === undefined) {
      const { destination, paymentHash, paymentAddr = "", finalCltvDelta = 80 } = request;
      if (destination === undefined || paymentHash === undefined || given === 0n) {
        return refusal("bad-request", "destination, payment hash and amount must be specified");
      }
      return {
        ...common,
        destination,
        paymentHash,
        paymentAddr,
        amountMsat: given,
        finalCltvBlocks: finalCltvDelta,
        paymentRequest: "",
      };
    }

    const decoding = this.decode(request.paymentRequest);
    if (decoding.kind === "invalid") return refusal("bad-invoice", decoding.detail);
    const { invoice } = decoding;
    const expiresAtWallSec = invoice.timestampSec + invoice.expirySec;
    if (this.#world.wallMs > expiresAtWallSec * 1_000) {
      return refusal("expired", `invoice expired. Valid until ${goTime(expiresAtWallSec)}`);
    }
    if (invoice.amountMsat > 0n && given > 0n) {
      // Two blanks, as LND says it.
      return refusal("amount-given", "amount must not be specified when paying a non-zero  amount invoice");
    }
    if (invoice.amountMsat === 0n && given === 0n) {
      return refusal("amount-missing", "amount must be specified when paying a zero amount invoice");
    }
    const unknown = unknownRequiredFeatures(invoice);
    if (unknown.length > 0) {
      return refusal("bad-invoice", `feature vector contains unknown required features: [${unknown.join(" ")}]`);
    }
    if (invoice.payee === node.pubkey && request.allowSelfPayment !== true) {
      return refusal("self-payment", "self-payments not allowed");
    }
    return {
      ...common,
      destination: invoice.payee,
      paymentHash: invoice.paymentHash,
      paymentAddr: invoice.paymentSecret,
      amountMsat: invoice.amountMsat > 0n ? invoice.amountMsat : given,
      finalCltvBlocks: invoice.minFinalCltvBlocks,
      paymentRequest: request.paymentRequest,
    };
  }

  #duplicate(node: NodeState, hash: PaymentHash): SimRefusal | undefined {
    const payment = node.payments.get(hash);
    const code = node.behaviour.duplicatePaymentCode;
    switch (payment?.status) {
      case undefined:
      case "FAILED":
        return undefined;
      case "SUCCEEDED":
        return refusal("already-paid", "invoice is already paid", code);
      case "IN_FLIGHT":
        return payment.htlcs.length === 0 && node.behaviour.knowsInitiated
          ? refusal("already-exists", "payment already exists", code)
          : refusal("in-transition", "payment is in transition", code);
    }
  }

  #canAttempt(node: NodeState): boolean {
    return this.#world.isAwake(node.pubkey) && node.chainUp;
  }

  #attempt(node: NodeState, intent: Intent): void {
    // LND resumes HTLCs after a restart, not the search for a route.
    if (intent.life !== node.life) return this.#fail(node, intent.paymentHash, "ERROR");
    if (this.#world.now().atMs > intent.deadlineAtMs) return this.#fail(node, intent.paymentHash, "TIMEOUT");

    const route = this.#findChannel(node, intent);
    if (typeof route === "string") return this.#fail(node, intent.paymentHash, route);
    const channel = route;
    const side = channel.sideOf(node.pubkey);
    const payee = this.#world.node(intent.destination);
    const expiryHeight = this.#world.height + intent.finalCltvBlocks + blockPadding;
    const htlc = channel.offer(side, intent.amountMsat, intent.paymentHash, expiryHeight);
    const attempt: SimHtlcAttempt = {
      attemptId: ++node.attemptId,
      status: "IN_FLIGHT",
      attemptedAtWallMs: this.#world.wallMs,
      resolvedAtWallMs: 0,
      hops: [{
        chanId: channel.chanId(side),
        chanCapacitySat: channel.terms.capacitySat,
        amountToForwardMsat: intent.amountMsat,
        feeMsat: msat(0n),
        expiryHeight,
        pubkey: payee.pubkey,
        mpp: { totalMsat: intent.amountMsat, paymentAddr: intent.paymentAddr },
      }],
      totalTimeLock: expiryHeight,
      totalMsat: intent.amountMsat,
      totalFeesMsat: msat(0n),
      failure: undefined,
      preimage: "",
    };
    this.#change(node, intent.paymentHash, (payment) => ({ ...payment, htlcs: [...payment.htlcs, attempt] }));
    const flight: Flight = { intent, payer: node, payee, channel, htlc, attemptId: attempt.attemptId };
    this.#emitSend(flight, {
      kind: "forward",
      info: htlcInfo({ outgoingTimelock: expiryHeight, outgoingMsat: intent.amountMsat }),
    });
    this.#step(lockInPart, () => this.#world.isLive(channel), () => {
      channel.lockIn(htlc);
      const sabotage = node.attemptsToFail;
      if (sabotage.count > 0) {
        sabotage.count--;
        this.#world.step(sabotage.afterMs, () => this.#world.isLive(channel), () => this.#comesBack(flight, true));
        return;
      }
      this.#step(arrivePart, () => this.#world.isLive(channel), () => this.#arrive(flight));
    });
  }

  /** The channel to pay over, or why there is none. Balance is judged over the allowed channels only, as LND does. */
  #findChannel(node: NodeState, intent: Intent): Channel | "INSUFFICIENT_BALANCE" | "NO_ROUTE" {
    const allowed = this.#world.channelsOf(node.pubkey).filter((channel) => {
      const side = channel.sideOf(node.pubkey);
      return channel.active[side] &&
        (intent.outgoingChanIds.length === 0 || intent.outgoingChanIds.some((id) => channel.isNamed(side, id)));
    });
    const spendable = allowed.map((channel) =>
      channel.spendableMsat(channel.sideOf(node.pubkey), node.behaviour) as bigint
    );
    if (spendable.reduce((sum, amount) => sum + amount, 0n) < intent.amountMsat) return "INSUFFICIENT_BALANCE";
    if (intent.finalCltvBlocks + blockPadding > intent.cltvLimitBlocks) return "NO_ROUTE";
    return allowed.find((channel, index) =>
      channel.terms.nodes.includes(intent.destination) && intent.destination !== node.pubkey &&
      spendable[index]! >= intent.amountMsat
    ) ?? "NO_ROUTE";
  }

  #arrive(flight: Flight): void {
    const { channel, htlc, payee, intent } = flight;
    const arrival = {
      chanId: channel.chanId(otherSide(htlc.from)),
      htlcIndex: htlc.index,
      amountMsat: htlc.amountMsat,
      expiryHeight: htlc.expiryHeight,
      paymentHash: htlc.paymentHash,
      paymentAddr: intent.paymentAddr,
    };
    this.#invoices.arrive(payee, arrival, (resolution) => this.#answer(flight, resolution));
  }

  /** The payee has decided. Its own balance shows it last. */
  #answer(flight: Flight, resolution: Resolution): void {
    const { channel, htlc } = flight;
    const live = () => this.#world.isLive(channel);
    switch (resolution.kind) {
      case "settle": {
        const { preimage } = resolution;
        this.#emitReceive(flight, { kind: "settle", preimage });
        this.#step(answerPart, live, () => {
          channel.resolve(htlc, htlc.from, "settled");
          this.#emitSend(flight, { kind: "settle", preimage });
          this.#succeed(flight, preimage);
        });
        this.#world.step(this.#world.randomBetween(this.#world.timing.receiverLagMs), live, () => {
          channel.resolve(htlc, otherSide(htlc.from), "settled");
          this.#emitFinal(flight, true);
        });
        return;
      }
      case "fail":
        this.#emitReceive(flight, {
          kind: "link-fail",
          info: htlcInfo({ incomingTimelock: htlc.expiryHeight, incomingMsat: htlc.amountMsat }),
          wireFailure: "INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS",
          failureDetail: resolution.detail,
          failureString: resolution.text,
        });
        this.#step(answerPart, live, () => this.#comesBack(flight, false));
        return;
    }
  }

  #comesBack(flight: Flight, retriable: boolean): void {
    const { channel, htlc, payer, intent } = flight;
    channel.resolve(htlc, htlc.from, "failed");
    channel.resolve(htlc, otherSide(htlc.from), "failed");
    this.#emitFinal(flight, false);
    this.#emitSend(flight, { kind: "forward-fail" });

    const failure: SimHtlcFailure = {
      code: retriable ? "TEMPORARY_CHANNEL_FAILURE" : "INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS",
      failureSourceIndex: 1,
      height: retriable ? 0 : this.#world.height,
    };
    const resolvedAtWallMs = this.#world.wallMs;
    const failAttempt = (payment: SimPayment): SimPayment => ({
      ...payment,
      htlcs: payment.htlcs.map((attempt) =>
        attempt.attemptId === flight.attemptId ? { ...attempt, status: "FAILED", resolvedAtWallMs, failure } : attempt
      ),
    });
    if (retriable) {
      this.#change(payer, intent.paymentHash, failAttempt);
      this.#step(failedPart, () => this.#canAttempt(payer), () => this.#attempt(payer, intent));
      return;
    }
    const failureReason: SimPaymentFailureReason = "INCORRECT_PAYMENT_DETAILS";
    this.#change(
      payer,
      intent.paymentHash,
      payer.behaviour.reasonBeforeStatus ? (payment) => ({ ...payment, failureReason }) : failAttempt,
    );
    this.#step(failedPart, () => this.#world.isAwake(payer.pubkey), () => {
      this.#change(payer, intent.paymentHash, (payment) => ({
        ...failAttempt(payment),
        status: "FAILED",
        failureReason,
      }));
    });
  }

  #succeed(flight: Flight, preimage: string): void {
    const resolvedAtWallMs = this.#world.wallMs;
    this.#change(flight.payer, flight.intent.paymentHash, (payment) => ({
      ...payment,
      status: "SUCCEEDED",
      preimage,
      htlcs: payment.htlcs.map((attempt) =>
        attempt.attemptId === flight.attemptId
          ? { ...attempt, status: "SUCCEEDED", resolvedAtWallMs, preimage }
          : attempt
      ),
    }));
  }

  #fail(node: NodeState, hash: PaymentHash, failureReason: SimPaymentFailureReason): void {
    this.#change(node, hash, (payment) => ({ ...payment, status: "FAILED", failureReason }));
  }

  #change(node: NodeState, hash: PaymentHash, change: (payment: SimPayment) => SimPayment): void {
    const payment = node.payments.get(hash);
    invariant(payment?.status === "IN_FLIGHT", "only a payment under way changes");
    this.#store(node, change(payment));
  }

  #store(node: NodeState, payment: SimPayment): void {
    // A retried hash gets a new place in the history.
    node.payments.delete(payment.paymentHash);
    node.payments.set(payment.paymentHash, payment);
    this.#world.emit(node, { kind: "payment", payment });
  }

  /** One step of a payment: the part of its time, and not before it is possible. */
  #step(part: number, ready: () => boolean, action: () => void): void {
    this.#world.step(part * this.#world.timing.paymentMs, ready, action);
  }

  // Traffic

  forward(request: SimForward): SimRefusal | undefined {
    const channel = this.#trafficChannel(request);
    if (!("terms" in channel)) return channel;
    const from = channel.sideOf(request.from);
    const durationMs = request.durationMs ?? this.#world.timing.paymentMs;
    const hash = this.#world.randomHex(32) as PaymentHash;
    const preimage = this.#world.randomHex(32);
    const expiryHeight = this.#world.height + 80 + blockPadding;
    const htlc = channel.offer(from, request.amountMsat, hash, expiryHeight);
    const live = () => this.#world.isLive(channel);
    const info = htlcInfo({
      incomingTimelock: expiryHeight + 80,
      outgoingTimelock: expiryHeight,
      incomingMsat: request.amountMsat,
      outgoingMsat: request.amountMsat,
    });
    this.#emitTraffic(channel, htlc, "sender", { kind: "forward", info });
    this.#world.step(durationMs * 0.5, live, () => {
      channel.lockIn(htlc);
      this.#emitTraffic(channel, htlc, "receiver", { kind: "forward", info });
      this.#world.step(durationMs * 0.5, live, () => {
        const settled = request.fails !== true;
        for (const side of [0, 1] as const) channel.resolve(htlc, side, settled ? "settled" : "failed");
        for (const end of ["receiver", "sender"] as const) {
          this.#emitTraffic(channel, htlc, end, settled ? { kind: "settle", preimage } : { kind: "forward-fail" });
        }
      });
    });
    return undefined;
  }

  shift(request: SimForward): SimRefusal | undefined {
    const channel = this.#trafficChannel(request);
    if (!("terms" in channel)) return channel;
    channel.shift(channel.sideOf(request.from), request.amountMsat);
    return undefined;
  }

  #trafficChannel(request: SimForward): Channel | SimRefusal {
    const channel = this.#world.channels.get(request.channelPoint);
    if (channel === undefined) return refusal("unknown-channel", "channel not found");
    const side = channel.sideOf(request.from);
    if (!channel.active[side]) return refusal("channel-inactive", "channel is inactive");
    const { behaviour } = this.#world.node(request.from);
    if (request.amountMsat > channel.spendableMsat(side, behaviour)) {
      return refusal("no-balance", "insufficient bandwidth to route htlc");
    }
    return channel;
  }

  // Events

  #emitSend(flight: Flight, event: Parameters<World["emitHtlc"]>[1]["event"]): void {
    this.#world.emitHtlc(flight.payer.pubkey, {
      eventType: "SEND",
      incomingChannelId: none,
      outgoingChannelId: flight.channel.chanId(flight.htlc.from),
      incomingHtlcId: 0n,
      outgoingHtlcId: flight.htlc.index,
      event,
    });
  }

  #emitReceive(flight: Flight, event: Parameters<World["emitHtlc"]>[1]["event"]): void {
    this.#world.emitHtlc(flight.payee.pubkey, {
      eventType: "RECEIVE",
      incomingChannelId: flight.channel.chanId(otherSide(flight.htlc.from)),
      outgoingChannelId: none,
      incomingHtlcId: flight.htlc.index,
      outgoingHtlcId: 0n,
      event,
    });
  }

  #emitFinal(flight: Flight, settled: boolean): void {
    this.#world.emitHtlc(flight.payee.pubkey, {
      eventType: "UNKNOWN",
      incomingChannelId: flight.channel.chanId(otherSide(flight.htlc.from)),
      outgoingChannelId: none,
      incomingHtlcId: flight.htlc.index,
      outgoingHtlcId: 0n,
      event: { kind: "final", settled, offchain: true },
    });
  }

  /** The rest of the route lies outside the simulation, over a channel 1x1x1 that nobody has. */
  #emitTraffic(
    channel: Channel,
    htlc: Htlc,
    end: "sender" | "receiver",
    event: Parameters<World["emitHtlc"]>[1]["event"],
  ): void {
    const outside = ((1n << 40n) | (1n << 16n) | 1n).toString() as ShortChannelId;
    const side = end === "sender" ? htlc.from : otherSide(htlc.from);
    const own = channel.chanId(side);
    this.#world.emitHtlc(channel.terms.nodes[side], {
      eventType: "FORWARD",
      incomingChannelId: end === "sender" ? outside : own,
      outgoingChannelId: end === "sender" ? own : outside,
      incomingHtlcId: htlc.index,
      outgoingHtlcId: htlc.index,
      event,
    });
  }
}

function htlcInfo(info: Partial<SimHtlcInfo>): SimHtlcInfo {
  return { incomingTimelock: 0, outgoingTimelock: 0, incomingMsat: msat(0n), outgoingMsat: msat(0n), ...info };
}

/** How Go prints a time: 2026-11-22 15:44:54 +0000 UTC. */
function goTime(wallSec: number): string {
  return `${new Date(wallSec * 1_000).toISOString().slice(0, 19).replace("T", " ")} +0000 UTC`;
}
