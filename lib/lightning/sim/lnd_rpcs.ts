import { create, type DescMethodUnary, type MessageShape } from "@bufbuild/protobuf";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import { type Msat, msat } from "../../domain/amounts.ts";
import { type NodePubkey, parsePaymentHash, type PaymentHash } from "../../domain/ids.ts";
import { CancelInvoiceRespSchema, Invoices } from "../lnd/gen/invoices_pb.ts";
import {
  AddInvoiceResponseSchema,
  type Invoice,
  Lightning,
  ListChannelsResponseSchema,
  ListPaymentsResponseSchema,
  type Payment,
  SignMessageResponseSchema,
} from "../lnd/gen/lightning_pb.ts";
import { lndBehaviour } from "./lnd_version.ts";
import { channelMessage, getInfoMessage, invoiceMessage, paymentMessage, payReqMessage } from "./lnd_messages.ts";
import { isRefusal, type SimInvoice, type SimNetworkModel, type SimPayment } from "./model.ts";

/** A call that ends with an error: the gRPC code, and LND's words. */
export class RpcRefusal extends Error {
  override readonly name = "RpcRefusal";
  readonly code: number;

  constructor(code: number, details: string) {
    super(details);
    this.code = code;
  }
}

export const unknownCode = 2;
export const notFoundCode = 5;

export const satAndMsat = "sat and msat arguments are mutually exclusive";

/** Answers one unary call to `node`; throws RpcRefusal. */
type Handler<M> = M extends DescMethodUnary<infer I, infer O>
  ? (network: SimNetworkModel, node: NodePubkey, request: MessageShape<I>) => MessageShape<O>
  : never;

/** The unary RPCs of the simulated LND, by service and method. */
export const unaryRpcs: {
  readonly lightning: {
    readonly [
      N in
        | "getInfo"
        | "listChannels"
        | "listPayments"
        | "addInvoice"
        | "lookupInvoice"
        | "decodePayReq"
        | "signMessage"
    ]: Handler<typeof Lightning.method[N]>;
  };
  readonly invoices: { readonly cancelInvoice: Handler<typeof Invoices.method.cancelInvoice> };
} = {
  lightning: {
    getInfo: (network, node) => getInfoMessage(network.nodeInfo(node)),

    listChannels(network, node, request) {
      if (request.peer.length !== 0 && request.peer.length !== 33) {
        throw new RpcRefusal(
          unknownCode,
          `invalid \`peer\` key: invalid vertex length of ${request.peer.length}, want 33`,
        );
      }
      const peer = bytesToHex(request.peer);
      const channels = network.listChannels(node).filter((channel) =>
        !(request.activeOnly && !channel.active) && !(request.inactiveOnly && channel.active) &&
        !(request.publicOnly && channel.private) && !(request.privateOnly && !channel.private) &&
        (peer === "" || channel.remotePubkey === peer)
      );
      const { showsLockedIn } = lndBehaviour(network.nodeInfo(node).version);
      return create(ListChannelsResponseSchema, {
        channels: channels.map((channel) => channelMessage(channel, showsLockedIn)),
      });
    },

    listPayments(network, node, request) {
      const payments = network.listPayments(node, {
        indexOffset: request.indexOffset,
        // 0 asks for all.
        maxPayments: request.maxPayments === 0n ? Number.MAX_SAFE_INTEGER : Number(request.maxPayments),
        reversed: request.reversed,
        includeIncomplete: request.includeIncomplete,
      });
      return create(ListPaymentsResponseSchema, {
        payments: payments.map((payment) => storedPaymentMessage(network, node, payment)),
        firstIndexOffset: payments[0]?.paymentIndex ?? 0n,
        lastIndexOffset: payments.at(-1)?.paymentIndex ?? 0n,
      });
    },

    addInvoice(network, node, request) {
      const invoice = network.addInvoice(node, {
        valueMsat: invoiceAmount(request, network.nodeInfo(node).version),
        memo: request.memo,
        expirySec: Number(request.expiry),
        cltvExpiryBlocks: Number(request.cltvExpiry),
        private: request.private,
        ...(request.rPreimage.length === 0 ? {} : { preimage: preimageHex(request.rPreimage) }),
      });
      if (isRefusal(invoice)) throw new RpcRefusal(invoice.code, invoice.text);
      return create(AddInvoiceResponseSchema, {
        rHash: hexToBytes(invoice.paymentHash),
        paymentRequest: invoice.paymentRequest,
        addIndex: invoice.addIndex,
        paymentAddr: hexToBytes(invoice.paymentAddr),
      });
    },

    lookupInvoice(network, node, request) {
      const bytes = request.rHashStr === "" ? request.rHash : hexToBytes(request.rHashStr);
      if (bytes.length !== 32) {
        throw new RpcRefusal(unknownCode, `payment hash must be exactly 32 bytes, is instead ${bytes.length}`);
      }
      const invoice = network.invoice(node, hashOf(bytes));
      if (invoice === undefined) throw new RpcRefusal(notFoundCode, "unable to locate invoice");
      return ownInvoiceMessage(network, invoice);
    },

    decodePayReq(network, _node, request) {
      const decoded = network.decodeInvoice(request.payReq);
      if (decoded.kind === "invalid") throw new RpcRefusal(unknownCode, decoded.detail);
      return payReqMessage(decoded.invoice);
    },

    signMessage(network, node, request) {
      if (request.msg.length === 0) throw new RpcRefusal(unknownCode, "need a message to sign");
      return create(SignMessageResponseSchema, { signature: network.signMessage(node, request.msg) });
    },
  },

  invoices: {
    cancelInvoice(network, node, request) {
      const refusal = network.cancelInvoice(node, hashOf(request.paymentHash));
      if (refusal !== undefined) throw new RpcRefusal(refusal.code, refusal.text);
      return create(CancelInvoiceRespSchema);
    },
  },
};

/** A payment as a look-up tells it, after its stream: some versions have dropped a failed one's attempts by then. */
export function storedPaymentMessage(network: SimNetworkModel, node: NodePubkey, payment: SimPayment): Payment {
  const { keepsFailedAttempts } = lndBehaviour(network.nodeInfo(node).version);
  return paymentMessage(payment.status === "FAILED" && !keepsFailedAttempts ? { ...payment, htlcs: [] } : payment);
}

/** A node's own invoice; its features are those in its text. */
export function ownInvoiceMessage(network: SimNetworkModel, invoice: SimInvoice): Invoice {
  const decoded = network.decodeInvoice(invoice.paymentRequest);
  return invoiceMessage(invoice, decoded.kind === "invoice" ? decoded.invoice.features : []);
}

/** The 32 bytes of a hash, as the network names payments. */
export function hashOf(bytes: Uint8Array): PaymentHash {
  const hash = parsePaymentHash(bytesToHex(bytes));
  if (hash === undefined) throw new RpcRefusal(unknownCode, `invalid hash length of ${bytes.length}, want 32`);
  return hash;
}

/** Of two fields for one amount only one may be given. */
export function amountOf(sats: bigint, msats: bigint): Msat {
  if (sats !== 0n && msats !== 0n) throw new RpcRefusal(unknownCode, satAndMsat);
  return msat(msats === 0n ? sats * 1000n : msats);
}

function invoiceAmount(request: Invoice, version: string): Msat {
  const amountMsat = amountOf(request.value, request.valueMsat);
  if (amountMsat >= 0n) return amountMsat;
  throw new RpcRefusal(unknownCode, lndBehaviour(version).negativeAmountText(amountMsat));
}

function preimageHex(bytes: Uint8Array): string {
  if (bytes.length !== 32) throw new RpcRefusal(unknownCode, `invalid preimage length of ${bytes.length}, want 32`);
  return bytesToHex(bytes);
}
