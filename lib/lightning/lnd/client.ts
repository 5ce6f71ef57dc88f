import type { DescMessage, DescMethodServerStreaming, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { LndNodeConfig } from "../../config/config.ts";
import type { ChannelSnapshot } from "../../domain/channel.ts";
import { invariant, messageOf } from "../../domain/errors.ts";
import { parsePaymentHash, type PaymentHash } from "../../domain/ids.ts";
import type { DecodedInvoice, InvoiceStatus } from "../../domain/invoice.ts";
import type { PaymentOutcome, PaymentStatus, PaymentSummary } from "../../domain/payment.ts";
import type { Clock } from "../../env/clock.ts";
import type { Random } from "../../env/random.ts";
import { systemClock, systemRandom } from "../../env/system.ts";
import {
  type InvoiceRequest,
  LightningError,
  type LightningNode,
  type NewInvoice,
  type NodeEvent,
  type NodeInfo,
  type PaymentRequest,
} from "../node.ts";
import { type LndConnection, RpcFailure, rpcPath, type RpcStream } from "./connection.ts";
import {
  channelSnapshot,
  decodedInvoice,
  hashBytes,
  invoiceStatus,
  nodeInfo,
  paymentStatus,
  paymentSummary,
} from "./convert.ts";
import { encodeHex } from "./credentials.ts";
import { causeOf, lostPaymentOutcome, rpcCode, type RpcStatus } from "./errors.ts";
import { Invoices } from "./gen/invoices_pb.ts";
import { Lightning, type Payment } from "./gen/lightning_pb.ts";
import { Router } from "./gen/router_pb.ts";
import { defaultLndTimings, LndLink, type LndTimings } from "./link.ts";
import { NodeWatch } from "./watch.ts";

export interface LndNodeOptions {
  readonly timings?: Partial<LndTimings>;
  readonly clock?: Clock;
  readonly random?: Random;
}

/** How many invoices of a page of payments are decoded at a time. */
const decodeParallel = 16;

/**
 * A Lightning node run by LND (0.17 or later), over gRPC with a pinned certificate and a macaroon.
 *
 * Calls share one HTTP/2 connection, made by the first of them. `watch` keeps it alive: it takes a new one after each
 * loss and whenever the certificate or macaroon file changed, while calls on the old one run to their end.
 */
export class LndNode implements LightningNode {
  readonly #link: LndLink;
  readonly #random: Random;
  #watching: Promise<void> | undefined;

  constructor(config: LndNodeConfig, options: LndNodeOptions = {}) {
    const timings = { ...defaultLndTimings, ...options.timings };
    this.#link = new LndLink(config, timings, options.clock ?? systemClock);
    this.#random = options.random ?? systemRandom;
  }

  watch(onEvent: (event: NodeEvent) => void): Promise<void> {
    invariant(this.#watching === undefined, "a node is watched once");
    this.#watching = new NodeWatch(this.#link, this.#random, onEvent).run();
    return this.#watching;
  }

  async getInfo(): Promise<NodeInfo> {
    return nodeInfo(await this.#link.unary(Lightning.method.getInfo, {}));
  }

  async listChannels(): Promise<readonly ChannelSnapshot[]> {
    const { channels } = await this.#link.unary(Lightning.method.listChannels, {}, this.#link.timings.listTimeoutMs);
    return channels.map(channelSnapshot);
  }

  async listPayments(afterIndex: bigint, limit: number): Promise<readonly PaymentSummary[]> {
    if (limit <= 0) return [];
    const { payments } = await this.#link.unary(
      Lightning.method.listPayments,
      { includeIncomplete: true, indexOffset: afterIndex, maxPayments: BigInt(limit) },
      this.#link.timings.listTimeoutMs,
    );
    const summaries: PaymentSummary[] = [];
    for (let start = 0; start < payments.length; start += decodeParallel) {
      const page = payments.slice(start, start + decodeParallel);
      const invoices = await Promise.all(page.map((payment) => this.#decodePaid(payment.paymentRequest)));
      page.forEach((payment, index) => summaries.push(paymentSummary(payment, invoices[index])));
    }
    return summaries;
  }

  async addInvoice(request: InvoiceRequest): Promise<NewInvoice> {
    const response = await this.#link.unary(Lightning.method.addInvoice, {
      value: request.amountSat,
      memo: request.memo,
      expiry: BigInt(request.expirySec),
    });
    const paymentHash = parsePaymentHash(encodeHex(response.rHash));
    if (paymentHash === undefined || response.paymentRequest === "") {
      throw new LightningError("failed", "LND made an invoice without hash or text", "See LND's log.");
    }
    return { paymentHash, invoice: response.paymentRequest };
  }

  async lookupInvoice(paymentHash: PaymentHash): Promise<InvoiceStatus | undefined> {
    const method = Lightning.method.lookupInvoice;
    try {
      const connection = await this.#link.connect();
      return invoiceStatus(
        await connection.unary(method, { rHash: hashBytes(paymentHash) }, this.#link.timings.callTimeoutMs),
      );
    } catch (error) {
      if (error instanceof RpcFailure && isUnknownInvoice(error.status)) return undefined;
      throw this.#link.asLightningError(error, rpcPath(method), this.#link.timings.callTimeoutMs);
    }
  }

  async cancelInvoice(paymentHash: PaymentHash): Promise<void> {
    await this.#link.unary(Invoices.method.cancelInvoice, { paymentHash: hashBytes(paymentHash) });
  }

  async decodeInvoice(invoice: string): Promise<DecodedInvoice> {
    const method = Lightning.method.decodePayReq;
    try {
      const connection = await this.#link.connect();
      return decodedInvoice(await connection.unary(method, { payReq: invoice }, this.#link.timings.callTimeoutMs));
    } catch (error) {
      if (error instanceof RpcFailure && causeOf(error.status) === "refusal") {
        const { message } = this.#link.errorOf(error.status, rpcPath(method));
        throw new LightningError("invalid-invoice", message, "Ask the payee for another invoice.");
      }
      throw this.#link.asLightningError(error, rpcPath(method), this.#link.timings.callTimeoutMs);
    }
  }

  async signMessage(text: string): Promise<string> {
    const response = await this.#link.unary(Lightning.method.signMessage, { msg: new TextEncoder().encode(text) });
    return response.signature;
  }

  async pay(request: PaymentRequest): Promise<PaymentOutcome> {
    const method = Router.method.sendPaymentV2;
    let connection: LndConnection;
    try {
      connection = await this.#link.connect();
    } catch (error) {
      // Nothing was sent: there was nothing to send it over.
      return { kind: "rejected", detail: messageOf(this.#link.asLightningError(error, rpcPath(method))) };
    }
    const context = { socket: this.#link.config.socket, rpc: rpcPath(method) };
    return await new Promise((resolve) => {
      let sawUpdate = false;
      connection.stream(method, {
        paymentRequest: request.invoice,
        outgoingChanIds: [request.outgoingChannelId],
        timeoutSeconds: request.timeoutSec,
        cltvLimit: request.cltvLimitBlocks,
        feeLimitSat: 0n,
        maxParts: 1,
        allowSelfPayment: false,
        amp: false,
        // The first update proves that the payment exists: an error after it can't be a refusal.
        noInflightUpdates: false,
      }, {
        onMessage: (payment) => {
          sawUpdate = true;
          resolveWhenEnded(payment, request.paymentHash, resolve);
        },
        onEnd: (status) => resolve(lostPaymentOutcome(status, sawUpdate, context)),
      });
    });
  }

  async trackPayment(paymentHash: PaymentHash): Promise<PaymentStatus> {
    const method = Router.method.trackPaymentV2;
    try {
      const connection = await this.#link.connect();
      const payment = await firstUpdate(
        connection,
        method,
        { paymentHash: hashBytes(paymentHash), noInflightUpdates: false },
        this.#link.timings.callTimeoutMs,
      );
      return paymentStatus(payment);
    } catch (error) {
      if (error instanceof RpcFailure && isUnknownPayment(error.status)) return { kind: "not-found" };
      throw this.#link.asLightningError(error, rpcPath(method), this.#link.timings.callTimeoutMs);
    }
  }

  async close(): Promise<void> {
    this.#link.close();
    await this.#watching;
  }

  /** The invoice of a payment made; undefined where there was none (a keysend) or LND reads it no more. */
  async #decodePaid(paymentRequest: string): Promise<DecodedInvoice | undefined> {
    if (paymentRequest === "") return undefined;
    try {
      return await this.decodeInvoice(paymentRequest);
    } catch (error) {
      if (error instanceof LightningError && error.kind === "invalid-invoice") return undefined;
      throw error;
    }
  }
}

function isUnknownInvoice(status: RpcStatus): boolean {
  return status.code === rpcCode.notFound ||
    /^unable to locate invoice|^there are no existing invoices/.test(status.details);
}

function isUnknownPayment(status: RpcStatus): boolean {
  return status.code === rpcCode.notFound || /^payment isn't initiated/.test(status.details);
}

/** The first message of a stream, which is then cancelled. */
function firstUpdate<I extends DescMessage, O extends DescMessage>(
  connection: LndConnection,
  method: DescMethodServerStreaming<I, O>,
  request: MessageInitShape<I>,
  timeoutMs: number,
): Promise<MessageShape<O>> {
  return new Promise((resolve, reject) => {
    const stream: RpcStream = connection.stream(method, request, {
      onMessage: (message) => {
        resolve(message);
        stream.cancel();
      },
      onEnd: (status) =>
        // Without effect after a message. A clean end without one is a connection that went away.
        reject(new RpcFailure(status.code === rpcCode.ok ? endedEarly : status)),
    }, timeoutMs);
  });
}

const endedEarly: RpcStatus = { code: rpcCode.unavailable, details: "the stream ended before its first message" };

/** Resolves `pay` once the payment has ended. */
function resolveWhenEnded(payment: Payment, asked: PaymentHash, resolve: (outcome: PaymentOutcome) => void): void {
  if (payment.paymentHash.toLowerCase() !== asked) {
    return resolve({ kind: "unknown", detail: "LND reported on another payment than the one it was asked for" });
  }
  try {
    const status = paymentStatus(payment);
    if (status.kind !== "in-flight") resolve(status);
  } catch (error) {
    resolve({ kind: "unknown", detail: messageOf(error) });
  }
}
