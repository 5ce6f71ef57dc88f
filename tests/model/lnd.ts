import { hexToBytes } from "@noble/hashes/utils.js";
import { sat, satToMsat } from "../../lib/domain/amounts.ts";
import type { ChannelSnapshot } from "../../lib/domain/channel.ts";
import { type NodePubkey, parsePaymentHash, type PaymentHash } from "../../lib/domain/ids.ts";
import type { NodeCall, NodeCalls, NodeReply } from "../../lib/lightning/node.ts";
import { pubkeyOf, signLndMessage } from "../../lib/lightning/sim/node_key.ts";
import { channel as sample } from "../policy/fixtures.ts";
import { secretKeyOf } from "../simulation/node_keys.ts";

/**
 * Two Lightning nodes with one channel between them, as plain data: an explorer copies it thousands of times. It knows as
 * much of LND as the two parties of a rebalance can tell from outside.
 */
export interface Lnd {
  /** What each node holds of the channel, HTLCs that are out included. */
  readonly localSat: [number, number];
  readonly invoices: Map<PaymentHash, ModelInvoice>;
  /** AlreadyExists for a second one with the same hash, unless the first failed. */
  readonly payments: Map<PaymentHash, ModelPayment>;
  /** Other invoices that their node has signed for a hash, by their text. */
  readonly others: Map<string, { readonly paymentHash: PaymentHash; readonly memo: string }>;
  /** How many invoices and payments there ever were. */
  made: number;
  paid: number;
}

export interface ModelInvoice {
  readonly owner: Owner;
  readonly amountSat: number;
  readonly memo: string;
  readonly expiresAtWallMs: number;
  state: "open" | "settled" | "cancelled";
}

/** `claimed`: the payee has the preimage out and the money, the payer hasn't heard of it. */
export interface ModelPayment {
  readonly owner: Owner;
  readonly amountSat: number;
  readonly index: number;
  state: "in-flight" | "claimed" | "settled" | "failed";
  /** The payee's list of channels doesn't show yet that it came. */
  lagging: boolean;
}

/** Which of the two nodes. */
export type Owner = 0 | 1;

export const otherThan = (owner: Owner): Owner => owner === 0 ? 1 : 0;

/** Keys that the simulation's stand-in for the curve knows, too. */
const secretKeys = [hexToBytes(secretKeyOf(0)), hexToBytes(secretKeyOf(1))] as const;
export const pubkeys: readonly [NodePubkey, NodePubkey] = [pubkeyOf(secretKeys[0]), pubkeyOf(secretKeys[1])];
export const channelPoint = sample.channelPoint;
const invoicePrefix = "lnbcrt1";
/** Shorter than what is asked for, but longer than any deadline of a request: what comes in between is the same over and over. */
const invoiceLifeMs = 100_000;
/** The same text is signed in thousands of worlds. */
const signatures = new Map<string, string>();

export function createLnd(localSat: [number, number]): Lnd {
  return { localSat, invoices: new Map(), payments: new Map(), others: new Map(), made: 0, paid: 0 };
}

export function nodeInfo(owner: Owner): NodeCalls["getInfo"]["result"] {
  return { pubkey: pubkeys[owner], alias: owner === 0 ? "first" : "second", network: "regtest", version: "model" };
}

/** What LND answers to anything but `pay`, at once. */
export function answer(lnd: Lnd, owner: Owner, call: NodeCall, wallMs: number): NodeReply {
  const { method } = call;
  switch (method) {
    case "getInfo":
      return { ok: true, method, value: nodeInfo(owner) };
    case "listChannels":
      return { ok: true, method, value: [snapshot(lnd, owner)] };
    case "listPayments":
      return { ok: true, method, value: listPayments(lnd, owner, call.args[0]) };
    case "addInvoice": {
      const [{ amountSat, memo }] = call.args;
      const paymentHash = parsePaymentHash((++lnd.made).toString(16).padStart(64, "0"))!;
      const expiresAtWallMs = wallMs + invoiceLifeMs;
      lnd.invoices.set(paymentHash, { owner, amountSat: Number(amountSat), memo, expiresAtWallMs, state: "open" });
      return { ok: true, method, value: { paymentHash, invoice: invoicePrefix + paymentHash } };
    }
    case "lookupInvoice": {
      const [paymentHash] = call.args;
      const invoice = lnd.invoices.get(paymentHash);
      if (invoice?.owner !== owner) return { ok: true, method, value: undefined };
      const state = stateAt(invoice, wallMs);
      const settled = state === "settled";
      return {
        ok: true,
        method,
        value: {
          paymentHash,
          state,
          amountPaidMsat: satToMsat(sat(settled ? invoice.amountSat : 0)),
          paidOver: settled ? [sample.shortChannelId] : [],
        },
      };
    }
    case "cancelInvoice": {
      const invoice = lnd.invoices.get(call.args[0]);
      if (invoice?.owner !== owner || invoice.state === "settled") return refused(method, "it can't be cancelled");
      invoice.state = "cancelled";
      return { ok: true, method, value: undefined };
    }
    case "decodeInvoice": {
      const [text] = call.args;
      const other = lnd.others.get(text);
      const paymentHash = other?.paymentHash ?? parsePaymentHash(text.slice(invoicePrefix.length));
      const invoice = paymentHash && lnd.invoices.get(paymentHash);
      if (!paymentHash || !invoice) return refused(method, "it is no invoice");
      const { amountSat, memo, expiresAtWallMs } = invoice;
      return {
        ok: true,
        method,
        value: {
          destination: pubkeys[invoice.owner],
          paymentHash,
          amountMsat: satToMsat(sat(amountSat)),
          memo: other?.memo ?? memo,
          createdAtWallMs: wallMs,
          expiresAtWallMs,
          finalCltvBlocks: 80,
          routeHintCount: 0,
          blindedPathCount: 0,
          amp: false,
        },
      };
    }
    case "signMessage": {
      const key = `${owner} ${call.args[0]}`;
      const value = signatures.get(key) ?? signLndMessage(new TextEncoder().encode(call.args[0]), secretKeys[owner]);
      signatures.set(key, value);
      return { ok: true, method, value };
    }
    case "trackPayment": {
      const payment = lnd.payments.get(call.args[0]);
      return {
        ok: true,
        method,
        value: payment?.owner === owner ? paymentStatus(payment) : { kind: "not-found" },
      };
    }
    case "pay":
      throw new Error("a payment takes more than one step: startPayment()");
  }
}

export function invoiceTextOf(paymentHash: PaymentHash): string {
  return invoicePrefix + paymentHash;
}

/** Its node signs another invoice for a hash of its own. Returns its text. */
export function makeAnother(lnd: Lnd, paymentHash: PaymentHash, memo: string): string {
  const text = `${invoicePrefix}${paymentHash}x${lnd.others.size + 1}`;
  lnd.others.set(text, { paymentHash, memo });
  return text;
}

/** LND took the call: from now on the HTLC is out. @returns why not, if it didn't */
export function startPayment(lnd: Lnd, paymentHash: PaymentHash, owner: Owner, wallMs: number): string | undefined {
  const invoice = lnd.invoices.get(paymentHash);
  if (!invoice || wallMs >= invoice.expiresAtWallMs) return "invoice expired";
  const known = lnd.payments.get(paymentHash);
  if (known && known.state !== "failed") return "AlreadyExists";
  const { amountSat } = invoice;
  // Without enough to send it there is a payment all the same, and no HTLC.
  const state = spendableSat(lnd, owner) < amountSat ? "failed" : "in-flight";
  lnd.payments.set(paymentHash, { owner, amountSat, index: ++lnd.paid, state, lagging: false });
  return undefined;
}

/** Whether the payee's node would take the HTLC now. */
export function canClaim(lnd: Lnd, paymentHash: PaymentHash, wallMs: number): boolean {
  const invoice = lnd.invoices.get(paymentHash);
  return invoice !== undefined && stateAt(invoice, wallMs) === "open";
}

/** The payee's node takes the HTLC: the money has moved, whether the payer knows or not. */
export function claim(lnd: Lnd, paymentHash: PaymentHash): void {
  const payment = lnd.payments.get(paymentHash)!;
  payment.state = "claimed";
  payment.lagging = true;
  lnd.invoices.get(paymentHash)!.state = "settled";
  move(lnd, payment.owner, payment.amountSat);
}

/** What the node could send now. */
export function spendableSat(lnd: Lnd, owner: Owner): number {
  let spendableSat = lnd.localSat[owner];
  for (const payment of lnd.payments.values()) {
    if (payment.owner === owner && payment.state === "in-flight") spendableSat -= payment.amountSat;
    if (payment.owner !== owner && payment.lagging) spendableSat -= payment.amountSat;
  }
  return spendableSat;
}

export function move(lnd: Lnd, from: Owner, amountSat: number): void {
  lnd.localSat[from] -= amountSat;
  lnd.localSat[otherThan(from)] += amountSat;
}

export function paymentStatus(payment: ModelPayment): NodeCalls["trackPayment"]["result"] {
  const index = BigInt(payment.index);
  switch (payment.state) {
    case "in-flight":
    case "claimed":
      return { kind: "in-flight", index, routes: [] };
    case "failed":
      return { kind: "failed", index, failure: "incorrect-details" };
    case "settled":
      return {
        kind: "settled",
        index,
        amountMsat: satToMsat(sat(payment.amountSat)),
        feeMsat: satToMsat(sat(0)),
        routes: [[{ channelId: sample.shortChannelId, pubkey: pubkeys[otherThan(payment.owner)] }]],
      };
  }
}

export function stateAt(invoice: ModelInvoice, wallMs: number): ModelInvoice["state"] {
  return invoice.state === "open" && wallMs >= invoice.expiresAtWallMs ? "cancelled" : invoice.state;
}

function listPayments(lnd: Lnd, owner: Owner, afterIndex: bigint): NodeCalls["listPayments"]["result"] {
  return [...lnd.payments].filter(([, payment]) => payment.owner === owner && payment.index > afterIndex)
    .sort(([, a], [, b]) => a.index - b.index)
    .map(([paymentHash, payment]) => {
      const invoice = lnd.invoices.get(paymentHash)!;
      return {
        index: BigInt(payment.index),
        paymentHash,
        status: paymentStatus(payment),
        amountMsat: satToMsat(sat(payment.amountSat)),
        createdAtWallMs: invoice.expiresAtWallMs,
        destination: pubkeys[invoice.owner],
        memo: invoice.memo,
      };
    });
}

/** The channel as one of the two lists it now. */
export function snapshot(lnd: Lnd, owner: Owner): ChannelSnapshot {
  let unsettledSat = 0;
  let localSat = lnd.localSat[owner];
  for (const payment of lnd.payments.values()) {
    const isOurs = payment.owner === owner;
    const isOut = payment.state === "in-flight" || (isOurs ? payment.state === "claimed" : payment.lagging);
    if (!isOut) continue;
    unsettledSat += payment.amountSat;
    if (isOurs ? payment.state === "in-flight" : payment.lagging) localSat -= payment.amountSat;
  }
  const totalSat = lnd.localSat[0] + lnd.localSat[1];
  return {
    ...sample,
    remotePubkey: pubkeys[otherThan(owner)],
    initiator: owner === 0,
    localSat: sat(localSat),
    remoteSat: sat(totalSat - localSat - unsettledSat),
    unsettledSat: sat(unsettledSat),
  };
}

function refused(method: NodeCall["method"], message: string): NodeReply {
  return { ok: false, method, kind: "failed", message, remedy: "" };
}
