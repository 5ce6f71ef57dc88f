import { type Msat, msat, type Sat, sat } from "../../domain/amounts.ts";
import type { ChannelSnapshot } from "../../domain/channel.ts";
import {
  type ChannelPoint,
  type NodePubkey,
  parseChannelPoint,
  parseNodePubkey,
  parsePaymentHash,
  parseShortChannelId,
  type PaymentHash,
  type ShortChannelId,
} from "../../domain/ids.ts";
import type { DecodedInvoice, InvoiceState, InvoiceStatus } from "../../domain/invoice.ts";
import { parseNetwork } from "../../domain/network.ts";
import type { Hop, PaymentFailure, PaymentStatus, PaymentSummary } from "../../domain/payment.ts";
import { LightningError, type NodeEvent, type NodeInfo } from "../node.ts";
import { decodeHex, encodeHex } from "./credentials.ts";
import {
  type Channel,
  type ChannelEventUpdate,
  type ChannelPoint as RpcChannelPoint,
  type GetInfoResponse,
  HTLCAttempt_HTLCStatus,
  type Invoice,
  Invoice_InvoiceState,
  InvoiceHTLCState,
  type Payment,
  Payment_PaymentStatus,
  PaymentFailureReason,
  type PayReq,
} from "./gen/lightning_pb.ts";
import type { HtlcEvent } from "./gen/router_pb.ts";

/** BOLT 2's bound on max_accepted_htlcs. */
const maxHtlcsOfProtocol = 483;

/** An answer that LND never gives: its sense can't be guessed, so it is an error and never an empty value. */
function malformed(what: string): LightningError {
  return new LightningError("failed", `LND answered with ${what}`, "Look whether the node at `socket` is an LND.");
}

function pubkeyOf(text: string, where: string): NodePubkey {
  const pubkey = parseNodePubkey(text.toLowerCase());
  if (pubkey === undefined) throw malformed(`no node key in ${where}`);
  return pubkey;
}

function hashOf(text: string, where: string): PaymentHash {
  const hash = parsePaymentHash(text.toLowerCase());
  if (hash === undefined) throw malformed(`no payment hash in ${where}`);
  return hash;
}

function channelIdOf(text: string, where: string): ShortChannelId {
  const id = parseShortChannelId(text);
  if (id === undefined) throw malformed(`no channel id in ${where}`);
  return id;
}

function channelPointOf(text: string): ChannelPoint {
  const point = parseChannelPoint(text.toLowerCase());
  if (point === undefined) throw malformed("no channel point in a channel");
  return point;
}

function satOf(value: bigint, where: string): Sat {
  if (value < 0n) throw malformed(`a negative amount in ${where}`);
  return sat(value);
}

function msatOf(value: bigint, where: string): Msat {
  if (value < 0n) throw malformed(`a negative amount in ${where}`);
  return msat(value);
}

/** lnrpc.GetInfoResponse */
export function nodeInfo(response: GetInfoResponse): NodeInfo {
  const network = parseNetwork(response.chains[0]?.network);
  if (network === undefined) throw malformed("no network in GetInfo");
  return {
    pubkey: pubkeyOf(response.identityPubkey, "GetInfo"),
    alias: response.alias,
    network,
    version: response.version,
  };
}

/**
 * lnrpc.Channel. The limits on what this node may send are its own (`local_constraints`): LND keeps there what the
 * other side imposed on it.
 */
export function channelSnapshot(channel: Channel): ChannelSnapshot {
  const local = channel.localConstraints;
  const remote = channel.remoteConstraints;
  const capacitySat = satOf(channel.capacity, "a channel");
  const aliases = [...channel.aliasScids, channel.zeroConfConfirmedScid].filter((id) => id !== "0" && id !== "");
  return {
    channelPoint: channelPointOf(channel.channelPoint),
    shortChannelId: channelIdOf(channel.chanId, "a channel"),
    aliasIds: aliases.map((id) => channelIdOf(id, "a channel's aliases")),
    remotePubkey: pubkeyOf(channel.remotePubkey, "a channel"),
    active: channel.active,
    initiator: channel.initiator,
    capacitySat,
    localSat: satOf(channel.localBalance, "a channel"),
    remoteSat: satOf(channel.remoteBalance, "a channel"),
    unsettledSat: satOf(channel.unsettledBalance, "a channel"),
    commitFeeSat: satOf(channel.commitFee, "a channel"),
    feePerKwSat: satOf(channel.feePerKw, "a channel"),
    localReserveSat: satOf(local?.chanReserveSat ?? channel.localChanReserveSat, "a channel"),
    remoteReserveSat: satOf(remote?.chanReserveSat ?? channel.remoteChanReserveSat, "a channel"),
    dustLimitSat: satOf(local?.dustLimitSat ?? 0n, "a channel"),
    // Without a stated limit only the channel itself limits.
    maxInFlightSat: local !== undefined && local.maxPendingAmtMsat > 0n
      ? satOf(local.maxPendingAmtMsat / 1000n, "a channel")
      : capacitySat,
    maxHtlcs: local !== undefined && local.maxAcceptedHtlcs > 0 ? local.maxAcceptedHtlcs : maxHtlcsOfProtocol,
    pendingHtlcs: channel.pendingHtlcs.map((htlc) => ({
      incoming: htlc.incoming,
      amountSat: satOf(htlc.amount, "an HTLC"),
      paymentHash: hashOf(encodeHex(htlc.hashLock), "an HTLC"),
    })),
    customData: channel.customChannelData.length > 0,
  };
}

/** lnrpc.Payment; decided on `status` alone (`failure_reason` is set early from 0.18 on). */
export function paymentStatus(payment: Payment): Exclude<PaymentStatus, { kind: "not-found" }> {
  const index = payment.paymentIndex;
  switch (payment.status) {
    case Payment_PaymentStatus.SUCCEEDED:
      return {
        kind: "settled",
        index,
        amountMsat: msatOf(payment.valueMsat, "a payment"),
        feeMsat: msatOf(payment.feeMsat, "a payment"),
        routes: routesOf(payment),
      };
    case Payment_PaymentStatus.FAILED:
      return { kind: "failed", index, failure: paymentFailure(payment.failureReason) };
    default:
      return { kind: "in-flight", index, routes: routesOf(payment) };
  }
}

/** Of the HTLCs that are out or have arrived. */
function routesOf({ htlcs }: Payment): Hop[][] {
  return htlcs
    .filter((htlc) => htlc.status !== HTLCAttempt_HTLCStatus.FAILED)
    .map((htlc) =>
      (htlc.route?.hops ?? []).map((hop) => ({
        channelId: channelIdOf(hop.chanId, "a hop"),
        pubkey: pubkeyOf(hop.pubKey, "a hop"),
      }))
    );
}

function paymentFailure(reason: PaymentFailureReason): PaymentFailure {
  switch (reason) {
    case PaymentFailureReason.FAILURE_REASON_TIMEOUT:
      return "timeout";
    case PaymentFailureReason.FAILURE_REASON_NO_ROUTE:
      return "no-route";
    case PaymentFailureReason.FAILURE_REASON_INCORRECT_PAYMENT_DETAILS:
      return "incorrect-details";
    case PaymentFailureReason.FAILURE_REASON_INSUFFICIENT_BALANCE:
      return "insufficient-balance";
    case PaymentFailureReason.FAILURE_REASON_CANCELED:
      return "canceled";
    default:
      return "error";
  }
}

/**
 * lnrpc.Payment as a line of the history.
 * @param invoice what LND decoded from its payment_request; undefined where there was none
 */
export function paymentSummary(payment: Payment, invoice: DecodedInvoice | undefined): PaymentSummary {
  const paying = payment.htlcs.filter((htlc) => htlc.status === HTLCAttempt_HTLCStatus.SUCCEEDED);
  const resolvedAtWallMs = Math.max(0, ...paying.map((htlc) => Number(htlc.resolveTimeNs / 1_000_000n)));
  return {
    index: payment.paymentIndex,
    paymentHash: hashOf(payment.paymentHash, "a payment"),
    status: paymentStatus(payment),
    amountMsat: msatOf(payment.valueMsat, "a payment"),
    createdAtWallMs: payment.creationTimeNs > 0n
      ? Number(payment.creationTimeNs / 1_000_000n)
      : Number(payment.creationDate) * 1000,
    ...(resolvedAtWallMs === 0 ? {} : { resolvedAtWallMs }),
    destination: invoice?.destination,
    memo: invoice?.memo ?? "",
  };
}

/** lnrpc.PayReq. Feature bits 30 and 31 mark an AMP invoice (BOLT 11, field 9). */
export function decodedInvoice(response: PayReq): DecodedInvoice {
  const createdAtWallMs = Number(response.timestamp) * 1000;
  const amountMsat = response.numMsat > 0n ? response.numMsat : response.numSatoshis * 1000n;
  return {
    destination: pubkeyOf(response.destination, "an invoice"),
    paymentHash: hashOf(response.paymentHash, "an invoice"),
    amountMsat: msatOf(amountMsat, "an invoice"),
    memo: response.description,
    createdAtWallMs,
    expiresAtWallMs: createdAtWallMs + Number(response.expiry) * 1000,
    finalCltvBlocks: Number(response.cltvExpiry),
    routeHintCount: response.routeHints.length,
    blindedPathCount: response.blindedPaths.length,
    amp: response.features[30] !== undefined || response.features[31] !== undefined,
  };
}

const invoiceStates: Readonly<Record<Invoice_InvoiceState, InvoiceState>> = {
  [Invoice_InvoiceState.OPEN]: "open",
  [Invoice_InvoiceState.SETTLED]: "settled",
  [Invoice_InvoiceState.CANCELED]: "cancelled",
  [Invoice_InvoiceState.ACCEPTED]: "accepted",
};

/** lnrpc.Invoice */
export function invoiceStatus(invoice: Invoice): InvoiceStatus {
  const state = invoiceStates[invoice.state];
  if (state === undefined) throw malformed(`the unknown invoice state ${invoice.state}`);
  const paid = state === "accepted" || state === "settled";
  return {
    paymentHash: hashOf(encodeHex(invoice.rHash), "an invoice"),
    state,
    amountPaidMsat: paid ? msatOf(invoice.amtPaidMsat, "an invoice") : msat(0n),
    paidOver: paid
      ? invoice.htlcs
        .filter((htlc) => htlc.state !== InvoiceHTLCState.CANCELED)
        .map((htlc) => channelIdOf(htlc.chanId, "an invoice's HTLC"))
      : [],
  };
}

/** lnrpc.ChannelEventUpdate; undefined for types that are no news of a channel, or are newer than this program. */
export function channelEvent(update: ChannelEventUpdate): NodeEvent | undefined {
  const { channel } = update;
  switch (channel.case) {
    case "openChannel":
    case "closedChannel":
      return channelHint(parseChannelPoint(channel.value.channelPoint));
    case "activeChannel":
    case "inactiveChannel":
    case "fullyResolvedChannel":
    case "channelFundingTimeout":
      return channelHint(outpointOf(channel.value));
    case "pendingOpenChannel":
    case undefined:
      return undefined;
  }
}

function channelHint(channelPoint: ChannelPoint | undefined): NodeEvent {
  return channelPoint === undefined ? { kind: "channel" } : { kind: "channel", channelPoint };
}

function outpointOf(point: RpcChannelPoint): ChannelPoint | undefined {
  const txid = point.fundingTxid.case === "fundingTxidBytes"
    // The bytes of a transaction id are written in reverse.
    ? encodeHex(point.fundingTxid.value.toReversed())
    : point.fundingTxid.value ?? "";
  return parseChannelPoint(`${txid}:${point.outputIndex}`);
}

/** routerrpc.HtlcEvent; undefined for the greeting and for events that name no channel. */
export function htlcEvent(event: HtlcEvent): NodeEvent | undefined {
  if (event.event.case === "subscribedEvent") return undefined;
  const channelIds = [event.incomingChannelId, event.outgoingChannelId]
    .filter((id) => id !== "0" && id !== "")
    .map((id) => channelIdOf(id, "an HTLC event"));
  return channelIds.length === 0 ? undefined : { kind: "htlc", channelIds };
}

/** A payment hash as LND's requests want it. */
export function hashBytes(paymentHash: PaymentHash): Uint8Array<ArrayBuffer> {
  const bytes = decodeHex(paymentHash);
  if (bytes === undefined) throw malformed("a payment hash that is no hex");
  return bytes;
}
