import { msatToSatFloor } from "../../domain/amounts.ts";
import type { ChannelSnapshot } from "../../domain/channel.ts";
import { unreachable } from "../../domain/errors.ts";
import type { ShortChannelId } from "../../domain/ids.ts";
import type { DecodedInvoice, InvoiceState, InvoiceStatus } from "../../domain/invoice.ts";
import type { Hop, PaymentFailure, PaymentStatus, PaymentSummary } from "../../domain/payment.ts";
import type { Bolt11Decoding, Bolt11Invoice } from "../bolt11.ts";
import type { SimChannel, SimInvoice, SimPayment, SimPaymentFailureReason } from "./model.ts";

/** LND's model as the program's own, for the simulated node that answers without a wire. */

export function channelSnapshot(channel: SimChannel): ChannelSnapshot {
  const ids = [channel.chanId, ...channel.aliasScids, channel.zeroConfConfirmedScid, channel.peerScidAlias];
  return {
    channelPoint: channel.channelPoint,
    shortChannelId: channel.chanId,
    aliasIds: [...new Set(ids)].filter((id) => id !== channel.chanId && id !== ("0" as ShortChannelId)),
    remotePubkey: channel.remotePubkey,
    active: channel.active,
    initiator: channel.initiator,
    capacitySat: channel.capacitySat,
    localSat: channel.localSat,
    remoteSat: channel.remoteSat,
    unsettledSat: channel.unsettledSat,
    commitFeeSat: channel.commitFeeSat,
    feePerKwSat: channel.feePerKwSat,
    localReserveSat: channel.localConstraints.reserveSat,
    remoteReserveSat: channel.remoteConstraints.reserveSat,
    dustLimitSat: channel.localConstraints.dustLimitSat,
    maxInFlightSat: msatToSatFloor(channel.remoteConstraints.maxPendingMsat),
    maxHtlcs: channel.remoteConstraints.maxAcceptedHtlcs,
    pendingHtlcs: channel.pendingHtlcs.map(({ incoming, amountSat, paymentHash }) => ({
      incoming,
      amountSat,
      paymentHash,
    })),
    customData: channel.customChannelData !== "",
  };
}

const invoiceStates: Record<SimInvoice["state"], InvoiceState> = {
  OPEN: "open",
  ACCEPTED: "accepted",
  SETTLED: "settled",
  CANCELED: "cancelled",
};

export function invoiceStatus(invoice: SimInvoice): InvoiceStatus {
  return {
    paymentHash: invoice.paymentHash,
    state: invoiceStates[invoice.state],
    amountPaidMsat: invoice.amountPaidMsat,
    paidOver: invoice.htlcs.filter((htlc) => htlc.state !== "CANCELED").map((htlc) => htlc.chanId),
  };
}

export function decodedInvoice(invoice: Bolt11Invoice): DecodedInvoice {
  return {
    destination: invoice.payee,
    paymentHash: invoice.paymentHash,
    amountMsat: invoice.amountMsat,
    memo: invoice.description,
    createdAtWallMs: invoice.timestampSec * 1_000,
    expiresAtWallMs: (invoice.timestampSec + invoice.expirySec) * 1_000,
    finalCltvBlocks: invoice.minFinalCltvBlocks,
    routeHintCount: invoice.routeHintCount,
    blindedPathCount: 0,
    amp: invoice.amp,
  };
}

const failures: Record<SimPaymentFailureReason, PaymentFailure> = {
  NONE: "error",
  TIMEOUT: "timeout",
  NO_ROUTE: "no-route",
  ERROR: "error",
  INCORRECT_PAYMENT_DETAILS: "incorrect-details",
  INSUFFICIENT_BALANCE: "insufficient-balance",
  CANCELED: "canceled",
};

export function paymentStatus(payment: SimPayment): Exclude<PaymentStatus, { kind: "not-found" }> {
  const index = payment.paymentIndex;
  switch (payment.status) {
    case "IN_FLIGHT":
      return { kind: "in-flight", index, routes: routesOf(payment) };
    case "FAILED":
      return { kind: "failed", index, failure: failures[payment.failureReason] };
    case "SUCCEEDED":
      return {
        kind: "settled",
        index,
        amountMsat: payment.valueMsat,
        feeMsat: payment.feeMsat,
        routes: routesOf(payment),
      };
    default:
      return unreachable(payment.status);
  }
}

function routesOf({ htlcs }: SimPayment): Hop[][] {
  return htlcs.filter((htlc) => htlc.status !== "FAILED").map((htlc) =>
    htlc.hops.map((hop) => ({ channelId: hop.chanId, pubkey: hop.pubkey }))
  );
}

/** @param decoding of the payment's own invoice; undefined for a payment to a bare hash */
export function paymentSummary(payment: SimPayment, decoding: Bolt11Decoding | undefined): PaymentSummary {
  const invoice = decoding?.kind === "invoice" ? decoding.invoice : undefined;
  const paying = payment.htlcs.filter((htlc) => htlc.status === "SUCCEEDED");
  const resolvedAtWallMs = Math.floor(Math.max(0, ...paying.map((htlc) => htlc.resolvedAtWallMs)));
  return {
    index: payment.paymentIndex,
    paymentHash: payment.paymentHash,
    status: paymentStatus(payment),
    amountMsat: payment.valueMsat,
    createdAtWallMs: Math.floor(payment.createdAtWallMs),
    ...(resolvedAtWallMs === 0 ? {} : { resolvedAtWallMs }),
    destination: invoice?.payee,
    memo: invoice?.description ?? "",
  };
}
