import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { type Msat, msat } from "../../domain/amounts.ts";
import { invariant } from "../../domain/errors.ts";
import { parsePaymentHash, type PaymentHash, type ShortChannelId } from "../../domain/ids.ts";
import { bolt11Prefix, encodeBolt11 } from "../bolt11.ts";
import type { SimFailureDetail, SimInvoice, SimInvoiceHtlc, SimInvoiceRequest, SimRefusal } from "./model.ts";
import { type NodeState, refusal, type World } from "./world.ts";

/** An HTLC that has reached the node which is to be paid. */
export interface Arrival {
  readonly chanId: ShortChannelId;
  readonly htlcIndex: bigint;
  readonly amountMsat: Msat;
  readonly expiryHeight: number;
  readonly paymentHash: PaymentHash;
  readonly paymentAddr: string;
}

export type Resolution =
  | { readonly kind: "settle"; readonly preimage: string }
  | { readonly kind: "fail"; readonly detail: SimFailureDetail; readonly text: string };

const maxExpirySec = 31_536_000;
const maxMemoBytes = 1_024;

/** The invoices of all nodes: making, paying, holding, cancelling, expiring. */
export class InvoiceBook {
  readonly #world: World;
  /** By node and hash: what to do with the HTLCs that a hold invoice keeps. */
  readonly #held = new Map<string, ((resolution: Resolution) => void)[]>();

  constructor(world: World) {
    this.#world = world;
  }

  add(node: NodeState, request: SimInvoiceRequest): SimInvoice | SimRefusal {
    const preimage = request.hash !== undefined ? "" : request.preimage ?? this.#world.randomHex(32);
    if (request.valueMsat < 0n) {
      return refusal(
        "bad-request",
        `payments of negative value are not allowed, value is ${request.valueMsat / 1_000n}`,
      );
    }
    const memo = request.memo ?? "";
    const memoBytes = utf8ToBytes(memo).length;
    if (memoBytes > maxMemoBytes) {
      return refusal("bad-request", `memo too large: ${memoBytes} bytes (maxsize=${maxMemoBytes})`);
    }
    if ((request.expirySec ?? 0) > maxExpirySec) {
      return refusal(
        "bad-request",
        `expiry of ${goFloat(request.expirySec!)} seconds greater than max expiry of 3.1536e+07 seconds`,
      );
    }
    if (preimage !== "" && preimage.length !== 64) {
      return refusal("bad-request", `invalid preimage length of ${preimage.length / 2}, want 32`);
    }
    const paymentHash = parsePaymentHash(request.hash ?? bytesToHex(sha256(hexToBytes(preimage))));
    if (paymentHash === undefined) return refusal("bad-request", "invalid payment hash");
    if (node.invoices.has(paymentHash)) {
      return refusal("invoice-exists", "invoice with payment hash already exists");
    }

    // Zero and less mean LND's default.
    const expirySec = (request.expirySec ?? 0) > 0 ? request.expirySec! : 86_400;
    const cltvExpiryBlocks = request.cltvExpiryBlocks || 80;
    const paymentAddr = this.#world.randomHex(32);
    const createdAtWallMs = this.#world.wallMs;
    let paymentRequest: string;
    try {
      paymentRequest = encodeBolt11({
        prefix: bolt11Prefix(this.#world.network),
        amountMsat: request.valueMsat,
        timestampSec: Math.floor(createdAtWallMs / 1_000),
        paymentHash,
        description: memo,
        expirySec,
        minFinalCltvBlocks: cltvExpiryBlocks,
        paymentSecret: paymentAddr,
        features: node.behaviour.invoiceFeatures,
      }, node.secretKey);
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      return refusal("bad-request", error.message);
    }
    const invoice: SimInvoice = {
      paymentHash,
      preimage,
      hold: request.hash !== undefined,
      memo,
      valueMsat: request.valueMsat,
      paymentRequest,
      paymentAddr,
      createdAtWallMs,
      settledAtWallMs: 0,
      expirySec,
      cltvExpiryBlocks,
      private: request.private ?? false,
      addIndex: ++node.addIndex,
      settleIndex: 0n,
      amountPaidMsat: msat(0n),
      state: "OPEN",
      htlcs: [],
    };
    this.#store(node, invoice);
    this.#world.step(
      expirySec * 1_000 + this.#world.timing.invoiceSweepMs,
      () => this.#world.isAwake(node.pubkey),
      () => {
        const now = node.invoices.get(paymentHash);
        // One that is being paid outlives its expiry, as at LND.
        if (now?.state === "OPEN") this.#store(node, { ...now, state: "CANCELED" });
      },
    );
    return invoice;
  }

  settle(node: NodeState, preimage: string): SimRefusal | undefined {
    const hash = parsePaymentHash(bytesToHex(sha256(hexToBytes(preimage))));
    const invoice = hash && node.invoices.get(hash);
    if (invoice === undefined) return refusal("unknown-invoice", "unable to locate invoice");
    if (invoice.state === "SETTLED") return undefined;
    if (invoice.state === "CANCELED") return refusal("bad-request", "invoice already canceled");
    if (invoice.state === "OPEN") return refusal("bad-request", "invoice still open");
    this.#settle(node, invoice, preimage);
    this.#release(node, invoice.paymentHash, { kind: "settle", preimage });
    return undefined;
  }

  cancel(node: NodeState, hash: PaymentHash): SimRefusal | undefined {
    const invoice = node.invoices.get(hash);
    if (invoice === undefined) return refusal("unknown-invoice", "unable to locate invoice");
    if (invoice.state === "SETTLED") return refusal("invoice-settled", "invoice already settled");
    if (invoice.state === "CANCELED") return undefined;
    const resolvedAtWallMs = this.#world.wallMs;
    this.#store(node, {
      ...invoice,
      state: "CANCELED",
      amountPaidMsat: msat(0n),
      htlcs: invoice.htlcs.map((htlc) => ({ ...htlc, state: "CANCELED", resolvedAtWallMs })),
    });
    this.#release(node, hash, { kind: "fail", detail: "INVOICE_CANCELED", text: "canceled" });
    return undefined;
  }

  /** Decides on an HTLC; `resolve` is called at once, or when the holder of the preimage makes up its mind. */
  arrive(node: NodeState, arrival: Arrival, resolve: (resolution: Resolution) => void): void {
    const invoice = node.invoices.get(arrival.paymentHash);
    const fail = (detail: SimFailureDetail, text: string) => resolve({ kind: "fail", detail, text });
    if (invoice === undefined) return fail("UNKNOWN_INVOICE", "invoice not found");
    if (invoice.paymentAddr !== arrival.paymentAddr) return fail("ADDRESS_MISMATCH", "payment address mismatch");
    if (invoice.state !== "OPEN") return fail("INVOICE_NOT_OPEN", "invoice no longer open");
    if (arrival.amountMsat < invoice.valueMsat) return fail("INVOICE_UNDERPAID", "amount too low");

    const htlc: SimInvoiceHtlc = {
      chanId: arrival.chanId,
      htlcIndex: arrival.htlcIndex,
      amountMsat: arrival.amountMsat,
      acceptHeight: this.#world.height,
      acceptedAtWallMs: this.#world.wallMs,
      resolvedAtWallMs: 0,
      expiryHeight: arrival.expiryHeight,
      state: "ACCEPTED",
    };
    const accepted = { ...invoice, amountPaidMsat: arrival.amountMsat, htlcs: [htlc] };
    if (invoice.hold) {
      this.#held.set(key(node, invoice.paymentHash), [resolve]);
      return this.#store(node, { ...accepted, state: "ACCEPTED" });
    }
    this.#settle(node, accepted, invoice.preimage);
    resolve({ kind: "settle", preimage: invoice.preimage });
  }

  #settle(node: NodeState, invoice: SimInvoice, preimage: string): void {
    const settledAtWallMs = this.#world.wallMs;
    this.#store(node, {
      ...invoice,
      preimage,
      state: "SETTLED",
      settledAtWallMs,
      settleIndex: ++node.settleIndex,
      htlcs: invoice.htlcs.map((htlc) => ({ ...htlc, state: "SETTLED", resolvedAtWallMs: settledAtWallMs })),
    });
  }

  #release(node: NodeState, hash: PaymentHash, resolution: Resolution): void {
    const held = this.#held.get(key(node, hash)) ?? [];
    this.#held.delete(key(node, hash));
    for (const resolve of held) resolve(resolution);
  }

  #store(node: NodeState, invoice: SimInvoice): void {
    const before = node.invoices.get(invoice.paymentHash)?.state;
    invariant(before !== "SETTLED" && before !== "CANCELED", "an invoice that has ended doesn't change");
    node.invoices.set(invoice.paymentHash, invoice);
    this.#world.emit(node, { kind: "invoice", invoice });
  }
}

function key(node: NodeState, hash: PaymentHash): string {
  return `${node.pubkey}/${hash}`;
}

/** How Go prints a float64 of this size: 3.456e+07. */
function goFloat(value: number): string {
  const [mantissa, exponent] = value.toExponential().split("e");
  return `${mantissa}e+${exponent!.slice(1).padStart(2, "0")}`;
}
