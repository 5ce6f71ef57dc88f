import { satToMsat } from "../../domain/amounts.ts";
import type { ChannelSnapshot } from "../../domain/channel.ts";
import type { NodePubkey, PaymentHash, ShortChannelId } from "../../domain/ids.ts";
import type { DecodedInvoice, InvoiceStatus } from "../../domain/invoice.ts";
import type { PaymentOutcome, PaymentStatus, PaymentSummary } from "../../domain/payment.ts";
import {
  type InvoiceRequest,
  LightningError,
  type LightningNode,
  type NewInvoice,
  type NodeEvent,
  type NodeInfo,
  type NodeMethod,
  type PaymentRequest,
} from "../node.ts";
import { isRefusal, type SimEvent, type SimHost, type SimNetworkModel, type SimRefusal } from "./model.ts";
import { channelSnapshot, decodedInvoice, invoiceStatus, paymentStatus, paymentSummary } from "./snapshots.ts";

export interface SimNodeOptions {
  readonly host: SimHost;
  readonly pubkey: NodePubkey;
  /** How long each call takes before it acts (0). */
  readonly latencyMs?: number;
  /** How long a call waits for a frozen node (10,000). */
  readonly deadlineMs?: number;
  /**
   * Breaks calls, for tests of what follows. `before`: the call fails and does nothing. `after`: it acts, and its answer
   * is lost.
   */
  readonly sabotage?: (method: NodeMethod) => "before" | "after" | undefined;
}

/**
 * A node of the simulated network as the program sees its nodes, without a wire between. Promises are resolved by the
 * network's own time: nothing here waits for a clock.
 */
export class SimNode implements LightningNode {
  readonly #host: SimHost;
  readonly #pubkey: NodePubkey;
  readonly #latencyMs: number;
  readonly #deadlineMs: number;
  readonly #sabotage: (method: NodeMethod) => "before" | "after" | undefined;
  /** What each pending call does when the node is closed. */
  readonly #onClose = new Set<() => void>();
  #closed = false;

  constructor(options: SimNodeOptions) {
    this.#host = options.host;
    this.#pubkey = options.pubkey;
    this.#latencyMs = options.latencyMs ?? 0;
    this.#deadlineMs = options.deadlineMs ?? 10_000;
    this.#sabotage = options.sabotage ?? (() => undefined);
  }

  watch(onEvent: (event: NodeEvent) => void): Promise<void> {
    return new Promise((resolve) => {
      if (this.#closed) return resolve();
      const unsubscribe = this.#host.run((network) => {
        if (network.nodeInfo(this.#pubkey).running) onEvent({ kind: "up", info: this.#info(network) });
        else onEvent(down);
        return network.subscribe(this.#pubkey, (event) => {
          const told = this.#translate(network, event);
          if (told !== undefined) onEvent(told);
        });
      });
      this.#onClose.add(() => {
        unsubscribe();
        resolve();
      });
    });
  }

  #translate(network: SimNetworkModel, event: SimEvent): NodeEvent | undefined {
    switch (event.kind) {
      case "running":
        return event.running ? { kind: "up", info: this.#info(network) } : down;
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

  #info(network: SimNetworkModel): NodeInfo {
    const info = network.nodeInfo(this.#pubkey);
    return { pubkey: info.pubkey, alias: info.alias, network: info.network, version: info.version };
  }

  getInfo(): Promise<NodeInfo> {
    return this.#call("getInfo", (network) => this.#info(network));
  }

  listChannels(): Promise<readonly ChannelSnapshot[]> {
    return this.#call("listChannels", (network) => network.listChannels(this.#pubkey).map(channelSnapshot));
  }

  listPayments(afterIndex: bigint, limit: number): Promise<readonly PaymentSummary[]> {
    return this.#call(
      "listPayments",
      (network) =>
        network.listPayments(this.#pubkey, { indexOffset: afterIndex, maxPayments: limit }).map((payment) =>
          paymentSummary(
            payment,
            payment.paymentRequest === "" ? undefined : network.decodeInvoice(payment.paymentRequest),
          )
        ),
    );
  }

  addInvoice(request: InvoiceRequest): Promise<NewInvoice> {
    return this.#call("addInvoice", (network) => {
      const { amountSat, memo, expirySec } = request;
      const invoice = accepted(
        network.addInvoice(this.#pubkey, { valueMsat: satToMsat(amountSat), memo, expirySec }),
      );
      return { paymentHash: invoice.paymentHash, invoice: invoice.paymentRequest };
    });
  }

  lookupInvoice(paymentHash: PaymentHash): Promise<InvoiceStatus | undefined> {
    return this.#call("lookupInvoice", (network) => {
      const invoice = network.invoice(this.#pubkey, paymentHash);
      return invoice && invoiceStatus(invoice);
    });
  }

  cancelInvoice(paymentHash: PaymentHash): Promise<void> {
    return this.#call("cancelInvoice", (network) => accepted(network.cancelInvoice(this.#pubkey, paymentHash)));
  }

  decodeInvoice(invoice: string): Promise<DecodedInvoice> {
    return this.#call("decodeInvoice", (network) => {
      const decoding = network.decodeInvoice(invoice);
      if (decoding.kind === "invalid") {
        throw new LightningError("invalid-invoice", `Cannot decode the invoice: ${decoding.detail}`, "");
      }
      return decodedInvoice(decoding.invoice);
    });
  }

  signMessage(text: string): Promise<string> {
    return this.#call("signMessage", (network) => network.signMessage(this.#pubkey, new TextEncoder().encode(text)));
  }

  trackPayment(paymentHash: PaymentHash): Promise<PaymentStatus> {
    return this.#call("trackPayment", (network) => {
      const payment = network.payment(this.#pubkey, paymentHash);
      return payment === undefined ? { kind: "not-found" } : paymentStatus(payment);
    });
  }

  async pay(request: PaymentRequest): Promise<PaymentOutcome> {
    try {
      return await this.#call("pay", (network) => this.#send(network, request));
    } catch (error) {
      if (!(error instanceof LightningError)) throw error;
      // Whether the request arrived is what nobody knows now.
      return { kind: "unknown", detail: error.message };
    }
  }

  #send(network: SimNetworkModel, request: PaymentRequest): PaymentOutcome | Promise<PaymentOutcome> {
    const started = network.sendPayment(this.#pubkey, {
      paymentRequest: request.invoice,
      outgoingChanIds: [request.outgoingChannelId],
      timeoutSec: request.timeoutSec,
      cltvLimitBlocks: request.cltvLimitBlocks,
    });
    if (isRefusal(started)) return { kind: "rejected", detail: started.text };
    return new Promise((resolve) => {
      const end = (outcome: PaymentOutcome) => {
        unsubscribe();
        this.#onClose.delete(lost);
        resolve(outcome);
      };
      const lost = () => end({ kind: "unknown", detail: "the stream of the payment's updates ended" });
      const unsubscribe = network.subscribe(this.#pubkey, (event) => {
        if (event.kind === "running") return lost();
        if (event.kind !== "payment" || event.payment.paymentHash !== started.paymentHash) return;
        const status = paymentStatus(event.payment);
        if (status.kind !== "in-flight") end(status);
      });
      this.#onClose.add(lost);
    });
  }

  /** Makes a call as over a wire: it may come late, or never, and the node may be gone. */
  #call<T>(method: NodeMethod, action: (network: SimNetworkModel) => T | Promise<T>): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      if (this.#closed) return reject(unavailable("the node was closed"));
      const sabotage = this.#sabotage(method);
      let cancel = () => {};
      const settle = (finish: () => void) => {
        cancel();
        this.#onClose.delete(onClose);
        finish();
      };
      const onClose = () => settle(() => reject(unavailable("the node was closed")));
      this.#onClose.add(onClose);

      const act = (network: SimNetworkModel): void => {
        const { running, frozen } = network.nodeInfo(this.#pubkey);
        if (!running) return settle(() => reject(unavailable("it is not running")));
        if (frozen) return waitForThaw(network);
        if (sabotage === "before") return settle(() => reject(unavailable("the request was lost")));
        try {
          const result = action(network);
          if (sabotage === "after") settle(() => reject(unavailable("the answer was lost")));
          else settle(() => resolve(result));
        } catch (error) {
          settle(() => reject(error));
        }
      };
      const waitForThaw = (network: SimNetworkModel): void => {
        const unsubscribe = network.subscribe(this.#pubkey, (event) => {
          if (event.kind !== "frozen" && event.kind !== "running") return;
          cancel();
          act(network);
        });
        const unschedule = network.schedule(this.#deadlineMs, () => {
          settle(() => reject(unavailable(`no answer within ${this.#deadlineMs} ms`)));
        });
        cancel = () => {
          unsubscribe();
          unschedule();
        };
      };
      this.#host.run((network) => {
        if (this.#latencyMs === 0) act(network);
        else cancel = network.schedule(this.#latencyMs, () => act(network));
      });
    });
  }

  close(): Promise<void> {
    this.#closed = true;
    for (const end of [...this.#onClose]) end();
    this.#onClose.clear();
    return Promise.resolve();
  }
}

const down: NodeEvent = {
  kind: "down",
  message: "Cannot reach the simulated node: it is not running",
  remedy: "Start the node.",
};

function unavailable(reason: string): LightningError {
  return new LightningError("unavailable", `Cannot reach the simulated node: ${reason}`, "Start the node.");
}

function accepted<T>(result: T | SimRefusal): T {
  if (isRefusal(result)) throw new LightningError("failed", `The simulated node refused: ${result.text}`, "");
  return result;
}
