import type { ChannelSnapshot } from "../../domain/channel.ts";
import type { NodePubkey, PaymentHash } from "../../domain/ids.ts";
import type { DecodedInvoice, InvoiceStatus } from "../../domain/invoice.ts";
import type { PaymentOutcome, PaymentStatus, PaymentSummary } from "../../domain/payment.ts";
import {
  type InvoiceRequest,
  LightningError,
  type LightningNode,
  type NewInvoice,
  type NodeCall,
  type NodeCalls,
  type NodeEvent,
  type NodeInfo,
  type NodeMethod,
  type PaymentRequest,
} from "../node.ts";
import type { SimHost, SimNetworkModel } from "./model.ts";
import { answerCall, nodeDown, nodeEvent, nodeInfo, startPayment, streamEnded } from "./node_answers.ts";

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
        const up = network.nodeInfo(this.#pubkey).running;
        onEvent(up ? { kind: "up", info: nodeInfo(network, this.#pubkey) } : nodeDown);
        return network.subscribe(this.#pubkey, (event) => {
          const told = nodeEvent(network, this.#pubkey, event);
          if (told !== undefined) onEvent(told);
        });
      });
      this.#onClose.add(() => {
        unsubscribe();
        resolve();
      });
    });
  }

  getInfo(): Promise<NodeInfo> {
    return this.#ask("getInfo");
  }

  listChannels(): Promise<readonly ChannelSnapshot[]> {
    return this.#ask("listChannels");
  }

  listPayments(afterIndex: bigint, limit: number): Promise<readonly PaymentSummary[]> {
    return this.#ask("listPayments", afterIndex, limit);
  }

  addInvoice(request: InvoiceRequest): Promise<NewInvoice> {
    return this.#ask("addInvoice", request);
  }

  lookupInvoice(paymentHash: PaymentHash): Promise<InvoiceStatus | undefined> {
    return this.#ask("lookupInvoice", paymentHash);
  }

  cancelInvoice(paymentHash: PaymentHash): Promise<void> {
    return this.#ask("cancelInvoice", paymentHash);
  }

  decodeInvoice(invoice: string): Promise<DecodedInvoice> {
    return this.#ask("decodeInvoice", invoice);
  }

  signMessage(text: string): Promise<string> {
    return this.#ask("signMessage", text);
  }

  trackPayment(paymentHash: PaymentHash): Promise<PaymentStatus> {
    return this.#ask("trackPayment", paymentHash);
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

  #send(network: SimNetworkModel, request: PaymentRequest): Promise<PaymentOutcome> {
    return new Promise((resolve) => {
      let unsubscribe = () => {};
      const end = (outcome: PaymentOutcome) => {
        unsubscribe();
        this.#onClose.delete(lost);
        resolve(outcome);
      };
      const lost = () => end(streamEnded);
      this.#onClose.add(lost);
      unsubscribe = startPayment(network, this.#pubkey, [request], end);
    });
  }

  #ask<M extends Exclude<NodeMethod, "pay">>(
    method: M,
    ...args: NodeCalls[M]["args"]
  ): Promise<NodeCalls[M]["result"]> {
    // A call is correlated (method with its arguments and its result), which TypeScript can't follow through an index.
    const call = { method, args } as Exclude<NodeCall, { method: "pay" }>;
    return this.#call(method, (network) => answerCall(network, this.#pubkey, call) as NodeCalls[M]["result"]);
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

function unavailable(reason: string): LightningError {
  return new LightningError("unavailable", `Cannot reach the simulated node: ${reason}`, "Start the node.");
}
