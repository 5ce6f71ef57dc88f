import { satToMsat } from "../../domain/amounts.ts";
import { unreachable } from "../../domain/errors.ts";
import type { NodePubkey, ShortChannelId } from "../../domain/ids.ts";
import type { PaymentOutcome } from "../../domain/payment.ts";
import { LightningError, type NodeCall, type NodeCalls, type NodeEvent, type NodeInfo } from "../node.ts";
import { isRefusal, type SimEvent, type SimNetworkModel, type SimRefusal } from "./model.ts";
import { channelSnapshot, decodedInvoice, invoiceStatus, paymentStatus, paymentSummary } from "./snapshots.ts";

/**
 * What a node of the simulated network answers and reports in the program's own terms, at once and without promises: the
 * one translation behind every simulated node.
 */

type Call = Exclude<NodeCall, { method: "pay" }>;

/** Answers one call. @throws LightningError where the node refuses */
export function answerCall(
  network: SimNetworkModel,
  pubkey: NodePubkey,
  call: Call,
): NodeCalls[Call["method"]]["result"] {
  switch (call.method) {
    case "getInfo":
      return nodeInfo(network, pubkey);
    case "listChannels":
      return network.listChannels(pubkey).map(channelSnapshot);
    case "listPayments": {
      const [indexOffset, maxPayments] = call.args;
      return network.listPayments(pubkey, { indexOffset, maxPayments }).map((payment) =>
        paymentSummary(
          payment,
          payment.paymentRequest === "" ? undefined : network.decodeInvoice(payment.paymentRequest),
        )
      );
    }
    case "addInvoice": {
      const [{ amountSat, memo, expirySec }] = call.args;
      const invoice = accepted(network.addInvoice(pubkey, { valueMsat: satToMsat(amountSat), memo, expirySec }));
      return { paymentHash: invoice.paymentHash, invoice: invoice.paymentRequest };
    }
    case "lookupInvoice": {
      const invoice = network.invoice(pubkey, call.args[0]);
      return invoice && invoiceStatus(invoice);
    }
    case "cancelInvoice":
      return accepted(network.cancelInvoice(pubkey, call.args[0]));
    case "decodeInvoice": {
      const decoding = network.decodeInvoice(call.args[0]);
      if (decoding.kind === "invalid") {
        throw new LightningError("invalid-invoice", `Cannot decode the invoice: ${decoding.detail}`, "");
      }
      return decodedInvoice(decoding.invoice);
    }
    case "signMessage":
      return network.signMessage(pubkey, new TextEncoder().encode(call.args[0]));
    case "trackPayment": {
      const payment = network.payment(pubkey, call.args[0]);
      return payment === undefined ? { kind: "not-found" } : paymentStatus(payment);
    }
    default:
      return unreachable(call);
  }
}

/** Starts a payment; `onEnd` hears its end once, at once if it is refused. @returns the way to stop listening */
export function startPayment(
  network: SimNetworkModel,
  pubkey: NodePubkey,
  [request]: NodeCalls["pay"]["args"],
  onEnd: (outcome: PaymentOutcome) => void,
): () => void {
  const started = network.sendPayment(pubkey, {
    paymentRequest: request.invoice,
    outgoingChanIds: [request.outgoingChannelId],
    timeoutSec: request.timeoutSec,
    cltvLimitBlocks: request.cltvLimitBlocks,
  });
  if (isRefusal(started)) {
    onEnd({ kind: "rejected", detail: started.text });
    return () => {};
  }
  const end = (outcome: PaymentOutcome) => {
    unsubscribe();
    onEnd(outcome);
  };
  const unsubscribe = network.subscribe(pubkey, (event) => {
    if (event.kind === "running") return end(streamEnded);
    if (event.kind !== "payment" || event.payment.paymentHash !== started.paymentHash) return;
    const status = paymentStatus(event.payment);
    if (status.kind !== "in-flight") end(status);
  });
  return unsubscribe;
}

/** What a payer hears whose stream of updates is gone. */
export const streamEnded: PaymentOutcome = {
  kind: "unknown",
  detail: "the stream of the payment's updates ended",
};

/** What the node reports by itself, as far as the program listens to it. */
export function nodeEvent(network: SimNetworkModel, pubkey: NodePubkey, event: SimEvent): NodeEvent | undefined {
  switch (event.kind) {
    case "running":
      return event.running ? { kind: "up", info: nodeInfo(network, pubkey) } : nodeDown;
    case "channel":
      if (event.channel.kind === "pending-open" || event.channel.kind === "fully-resolved") return undefined;
      return { kind: "channel", channelPoint: event.channel.channelPoint };
    case "htlc": {
      const ids = [event.htlc.incomingChannelId, event.htlc.outgoingChannelId];
      return { kind: "htlc", channelIds: ids.filter((id) => id !== ("0" as ShortChannelId)) };
    }
    case "payment":
    case "invoice":
    case "peer":
    case "frozen":
      return undefined;
  }
}

export function nodeInfo(network: SimNetworkModel, pubkey: NodePubkey): NodeInfo {
  const info = network.nodeInfo(pubkey);
  return { pubkey: info.pubkey, alias: info.alias, network: info.network, version: info.version };
}

export const nodeDown: NodeEvent = {
  kind: "down",
  message: "Cannot reach the simulated node: it is not running",
  remedy: "Start the node.",
};

function accepted<T>(result: T | SimRefusal): T {
  if (isRefusal(result)) throw new LightningError("failed", `The simulated node refused: ${result.text}`, "");
  return result;
}
