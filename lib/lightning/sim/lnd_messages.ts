import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { hexToBytes } from "@noble/hashes/utils.js";
import { msatToSatFloor } from "../../domain/amounts.ts";
import type { Bolt11Invoice } from "../bolt11.ts";
import {
  type Channel,
  ChannelCloseSummary_ClosureType,
  type ChannelConstraintsSchema,
  type ChannelEventUpdate,
  ChannelEventUpdate_UpdateType,
  ChannelEventUpdateSchema,
  type ChannelPointSchema,
  ChannelSchema,
  CommitmentType,
  Failure_FailureCode,
  type FeatureSchema,
  type GetInfoResponse,
  GetInfoResponseSchema,
  HTLCAttempt_HTLCStatus,
  type HTLCAttemptSchema,
  Initiator,
  type Invoice,
  Invoice_InvoiceState,
  InvoiceHTLCState,
  InvoiceSchema,
  type Payment,
  Payment_PaymentStatus,
  PaymentFailureReason,
  PaymentSchema,
  type PayReq,
  PayReqSchema,
} from "../lnd/gen/lightning_pb.ts";
import {
  FailureDetail,
  type HtlcEvent,
  HtlcEvent_EventType,
  HtlcEventSchema,
  type HtlcInfoSchema,
} from "../lnd/gen/router_pb.ts";
import type {
  SimChannel,
  SimChannelEvent,
  SimConstraints,
  SimHtlcAttempt,
  SimHtlcEvent,
  SimHtlcInfo,
  SimInvoice,
  SimNodeInfo,
  SimPayment,
} from "./model.ts";

/** What the simulated network says, as LND's messages. */

const seconds = (wallMs: number) => BigInt(Math.floor(wallMs / 1000));
const nanoseconds = (wallMs: number) => BigInt(Math.floor(wallMs)) * 1_000_000n;

export function getInfoMessage(info: SimNodeInfo): GetInfoResponse {
  return create(GetInfoResponseSchema, {
    identityPubkey: info.pubkey,
    alias: info.alias,
    color: info.color,
    version: info.version,
    chains: [{ chain: "bitcoin", network: info.network }],
    blockHeight: info.blockHeight,
    numPendingChannels: info.pendingChannels,
    numActiveChannels: info.activeChannels,
    numInactiveChannels: info.inactiveChannels,
    numPeers: info.peers.length,
    syncedToChain: true,
    syncedToGraph: true,
  });
}

/** @param showsLockedIn whether its HTLCs say that they are locked in (LND 0.19 and later) */
export function channelMessage(channel: SimChannel, showsLockedIn: boolean): Channel {
  return create(ChannelSchema, {
    active: channel.active,
    remotePubkey: channel.remotePubkey,
    channelPoint: channel.channelPoint,
    chanId: channel.chanId,
    capacity: channel.capacitySat,
    localBalance: channel.localSat,
    remoteBalance: channel.remoteSat,
    commitFee: channel.commitFeeSat,
    commitWeight: BigInt(channel.commitWeight),
    feePerKw: channel.feePerKwSat,
    unsettledBalance: channel.unsettledSat,
    totalSatoshisSent: channel.totalSentSat,
    totalSatoshisReceived: channel.totalReceivedSat,
    numUpdates: channel.numUpdates,
    pendingHtlcs: channel.pendingHtlcs.map((htlc) => ({
      incoming: htlc.incoming,
      amount: htlc.amountSat,
      hashLock: hexToBytes(htlc.paymentHash),
      expirationHeight: htlc.expirationHeight,
      htlcIndex: htlc.htlcIndex,
      lockedIn: showsLockedIn,
    })),
    csvDelay: channel.localConstraints.csvDelayBlocks,
    private: channel.private,
    initiator: channel.initiator,
    chanStatusFlags: "ChanStatusDefault",
    localChanReserveSat: channel.localConstraints.reserveSat,
    remoteChanReserveSat: channel.remoteConstraints.reserveSat,
    commitmentType: CommitmentType.ANCHORS,
    pushAmountSat: channel.pushSat,
    localConstraints: constraints(channel.localConstraints),
    remoteConstraints: constraints(channel.remoteConstraints),
    aliasScids: [...channel.aliasScids],
    zeroConf: channel.zeroConf,
    zeroConfConfirmedScid: channel.zeroConfConfirmedScid,
    peerScidAlias: channel.peerScidAlias,
    customChannelData: hexToBytes(channel.customChannelData),
  });
}

function constraints(limits: SimConstraints): MessageInitShape<typeof ChannelConstraintsSchema> {
  return {
    csvDelay: limits.csvDelayBlocks,
    chanReserveSat: limits.reserveSat,
    dustLimitSat: limits.dustLimitSat,
    maxPendingAmtMsat: limits.maxPendingMsat,
    minHtlcMsat: limits.minHtlcMsat,
    maxAcceptedHtlcs: limits.maxAcceptedHtlcs,
  };
}

export function paymentMessage(payment: SimPayment): Payment {
  return create(PaymentSchema, {
    paymentHash: payment.paymentHash,
    value: msatToSatFloor(payment.valueMsat),
    valueSat: msatToSatFloor(payment.valueMsat),
    valueMsat: payment.valueMsat,
    fee: msatToSatFloor(payment.feeMsat),
    feeSat: msatToSatFloor(payment.feeMsat),
    feeMsat: payment.feeMsat,
    creationDate: seconds(payment.createdAtWallMs),
    creationTimeNs: nanoseconds(payment.createdAtWallMs),
    paymentPreimage: payment.preimage,
    paymentRequest: payment.paymentRequest,
    status: Payment_PaymentStatus[payment.status],
    failureReason: PaymentFailureReason[`FAILURE_REASON_${payment.failureReason}`],
    paymentIndex: payment.paymentIndex,
    htlcs: payment.htlcs.map(attempt),
  });
}

function attempt(htlc: SimHtlcAttempt): MessageInitShape<typeof HTLCAttemptSchema> {
  return {
    attemptId: htlc.attemptId,
    status: HTLCAttempt_HTLCStatus[htlc.status],
    attemptTimeNs: nanoseconds(htlc.attemptedAtWallMs),
    resolveTimeNs: nanoseconds(htlc.resolvedAtWallMs),
    preimage: hexToBytes(htlc.preimage),
    route: {
      totalTimeLock: htlc.totalTimeLock,
      totalFees: msatToSatFloor(htlc.totalFeesMsat),
      totalFeesMsat: htlc.totalFeesMsat,
      totalAmt: msatToSatFloor(htlc.totalMsat),
      totalAmtMsat: htlc.totalMsat,
      hops: htlc.hops.map((hop) => ({
        chanId: hop.chanId,
        chanCapacity: hop.chanCapacitySat,
        amtToForward: msatToSatFloor(hop.amountToForwardMsat),
        amtToForwardMsat: hop.amountToForwardMsat,
        fee: msatToSatFloor(hop.feeMsat),
        feeMsat: hop.feeMsat,
        expiry: hop.expiryHeight,
        pubKey: hop.pubkey,
        tlvPayload: true,
        ...(hop.mpp === undefined ? {} : {
          mppRecord: { totalAmtMsat: hop.mpp.totalMsat, paymentAddr: hexToBytes(hop.mpp.paymentAddr) },
        }),
      })),
    },
    ...(htlc.failure === undefined ? {} : {
      failure: {
        code: Failure_FailureCode[htlc.failure.code],
        failureSourceIndex: htlc.failure.failureSourceIndex,
        height: htlc.failure.height,
      },
    }),
  };
}

/** @param features the feature bits in the invoice's text */
export function invoiceMessage(invoice: SimInvoice, features: readonly number[]): Invoice {
  const settled = invoice.state === "SETTLED";
  return create(InvoiceSchema, {
    memo: invoice.memo,
    rHash: hexToBytes(invoice.paymentHash),
    // Whoever made a hold invoice keeps the preimage until it settles.
    rPreimage: hexToBytes(invoice.hold && !settled ? "" : invoice.preimage),
    value: msatToSatFloor(invoice.valueMsat),
    valueMsat: invoice.valueMsat,
    settled,
    creationDate: seconds(invoice.createdAtWallMs),
    settleDate: seconds(invoice.settledAtWallMs),
    paymentRequest: invoice.paymentRequest,
    expiry: BigInt(invoice.expirySec),
    cltvExpiry: BigInt(invoice.cltvExpiryBlocks),
    private: invoice.private,
    addIndex: invoice.addIndex,
    settleIndex: invoice.settleIndex,
    amtPaid: invoice.amountPaidMsat,
    amtPaidSat: msatToSatFloor(invoice.amountPaidMsat),
    amtPaidMsat: invoice.amountPaidMsat,
    state: Invoice_InvoiceState[invoice.state],
    paymentAddr: hexToBytes(invoice.paymentAddr),
    features: featureMap(features),
    htlcs: invoice.htlcs.map((htlc) => ({
      chanId: htlc.chanId,
      htlcIndex: htlc.htlcIndex,
      amtMsat: htlc.amountMsat,
      mppTotalAmtMsat: htlc.amountMsat,
      acceptHeight: htlc.acceptHeight,
      acceptTime: seconds(htlc.acceptedAtWallMs),
      resolveTime: seconds(htlc.resolvedAtWallMs),
      expiryHeight: htlc.expiryHeight,
      state: InvoiceHTLCState[htlc.state],
    })),
  });
}

export function payReqMessage(invoice: Bolt11Invoice): PayReq {
  return create(PayReqSchema, {
    destination: invoice.payee,
    paymentHash: invoice.paymentHash,
    numSatoshis: msatToSatFloor(invoice.amountMsat),
    numMsat: invoice.amountMsat,
    timestamp: BigInt(invoice.timestampSec),
    expiry: BigInt(invoice.expirySec),
    description: invoice.description,
    cltvExpiry: BigInt(invoice.minFinalCltvBlocks),
    paymentAddr: hexToBytes(invoice.paymentSecret),
    features: featureMap(invoice.features),
    routeHints: Array.from({ length: invoice.routeHintCount }, () => ({})),
  });
}

/** LND's names of the features that invoices have, by their even bit. */
const featureNames: Readonly<Record<number, string>> = {
  8: "tlv-onion",
  14: "payment-addr",
  16: "multi-path-payments",
  24: "route-blinding",
  30: "amp",
};

function featureMap(bits: readonly number[]): Record<number, MessageInitShape<typeof FeatureSchema>> {
  return Object.fromEntries(bits.map((bit) => {
    const name = featureNames[bit & ~1];
    return [bit, { name: name ?? "unknown", isRequired: bit % 2 === 0, isKnown: name !== undefined }];
  }));
}

/** What SubscribeHtlcEvents begins with. */
export const htlcGreeting: HtlcEvent = create(HtlcEventSchema, {
  incomingChannelId: "0",
  outgoingChannelId: "0",
  eventType: HtlcEvent_EventType.UNKNOWN,
  event: { case: "subscribedEvent", value: {} },
});

export function htlcEventMessage(htlc: SimHtlcEvent): HtlcEvent {
  return create(HtlcEventSchema, {
    incomingChannelId: htlc.incomingChannelId,
    outgoingChannelId: htlc.outgoingChannelId,
    incomingHtlcId: htlc.incomingHtlcId,
    outgoingHtlcId: htlc.outgoingHtlcId,
    timestampNs: nanoseconds(htlc.atWallMs),
    eventType: HtlcEvent_EventType[htlc.eventType],
    event: htlcEventCase(htlc.event),
  });
}

function htlcEventCase(event: SimHtlcEvent["event"]): NonNullable<MessageInitShape<typeof HtlcEventSchema>["event"]> {
  switch (event.kind) {
    case "forward":
      return { case: "forwardEvent", value: { info: htlcInfo(event.info) } };
    case "forward-fail":
      return { case: "forwardFailEvent", value: {} };
    case "settle":
      return { case: "settleEvent", value: { preimage: hexToBytes(event.preimage) } };
    case "link-fail":
      return {
        case: "linkFailEvent",
        value: {
          info: htlcInfo(event.info),
          wireFailure: Failure_FailureCode[event.wireFailure],
          failureDetail: FailureDetail[event.failureDetail],
          failureString: event.failureString,
        },
      };
    case "final":
      return { case: "finalHtlcEvent", value: { settled: event.settled, offchain: event.offchain } };
  }
}

function htlcInfo(info: SimHtlcInfo): MessageInitShape<typeof HtlcInfoSchema> {
  return {
    incomingTimelock: info.incomingTimelock,
    outgoingTimelock: info.outgoingTimelock,
    incomingAmtMsat: info.incomingMsat,
    outgoingAmtMsat: info.outgoingMsat,
  };
}

const initiators = { INITIATOR_LOCAL: Initiator.LOCAL, INITIATOR_REMOTE: Initiator.REMOTE } as const;

export function channelEventMessage(event: SimChannelEvent): ChannelEventUpdate {
  const type = ChannelEventUpdate_UpdateType;
  const [txid, index] = event.channelPoint.split(":");
  const txidBytes = hexToBytes(txid!).reverse();
  const outputIndex = Number(index);
  const point: MessageInitShape<typeof ChannelPointSchema> = {
    fundingTxid: { case: "fundingTxidBytes", value: txidBytes },
    outputIndex,
  };
  switch (event.kind) {
    case "pending-open":
      return create(ChannelEventUpdateSchema, {
        type: type.PENDING_OPEN_CHANNEL,
        channel: { case: "pendingOpenChannel", value: { txid: txidBytes, outputIndex } },
      });
    case "open":
      return create(ChannelEventUpdateSchema, {
        type: type.OPEN_CHANNEL,
        // A new channel has no HTLC.
        channel: { case: "openChannel", value: channelMessage(event.channel, false) },
      });
    case "active":
      return create(ChannelEventUpdateSchema, {
        type: type.ACTIVE_CHANNEL,
        channel: { case: "activeChannel", value: point },
      });
    case "inactive":
      return create(ChannelEventUpdateSchema, {
        type: type.INACTIVE_CHANNEL,
        channel: { case: "inactiveChannel", value: point },
      });
    case "closed": {
      const { summary } = event;
      return create(ChannelEventUpdateSchema, {
        type: type.CLOSED_CHANNEL,
        channel: {
          case: "closedChannel",
          value: {
            channelPoint: summary.channelPoint,
            chanId: summary.chanId,
            remotePubkey: summary.remotePubkey,
            capacity: summary.capacitySat,
            settledBalance: summary.settledSat,
            timeLockedBalance: summary.timeLockedSat,
            closeType: ChannelCloseSummary_ClosureType[summary.closeType],
            openInitiator: initiators[summary.openInitiator],
            closeInitiator: initiators[summary.closeInitiator],
          },
        },
      });
    }
    case "fully-resolved":
      return create(ChannelEventUpdateSchema, {
        type: type.FULLY_RESOLVED_CHANNEL,
        channel: { case: "fullyResolvedChannel", value: point },
      });
  }
}
