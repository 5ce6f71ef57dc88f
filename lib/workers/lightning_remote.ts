import type { CheckReport } from "../lightning/lnd/check_report.ts";
import type { LndNodeConfig } from "../config/config.ts";
import { InvariantError } from "../domain/errors.ts";
import type { Random } from "../env/random.ts";
import {
  type InvoiceRequest,
  LightningError,
  type LightningNode,
  type NodeCall,
  type NodeCalls,
  type NodeEvent,
  type NodeMethod,
  type NodeReply,
  type PaymentRequest,
} from "../lightning/node.ts";
import type { PaymentHash } from "../domain/ids.ts";
import { lightningRights } from "./rights.ts";
import { WorkerHandle } from "./worker_handle.ts";

/** A node's event as the lightning worker reports it. */
export interface RemoteNodeEvent {
  readonly node: number;
  readonly event: NodeEvent;
}

/** Starts the one worker that holds macaroons and speaks gRPC. */
export class LightningWorker {
  readonly handle: WorkerHandle;
  /** The configured nodes, in order. */
  readonly nodes: readonly LightningNode[];

  constructor(configs: readonly LndNodeConfig[], random: Random) {
    this.handle = new WorkerHandle(
      "lightning",
      new URL("./lightning_worker.ts", import.meta.url),
      lightningRights(configs),
      random,
    );
    const listeners: ((event: NodeEvent) => void)[] = [];
    const opened = this.handle.call("open", configs);
    // Seen by the first call of any node.
    opened.catch(() => {});
    this.nodes = configs.map((_, index) =>
      new RemoteNode(this.handle, index, opened, (listener) => listeners[index] = listener)
    );
    this.handle.onEvent((event) => {
      const { node, event: what } = event as RemoteNodeEvent;
      listeners[node]?.(what);
    });
  }

  /** What the macaroon of each node allows and who the nodes are, for `--check`. */
  async check(config: LndNodeConfig): Promise<CheckReport> {
    return await this.handle.call("check", config) as CheckReport;
  }

  async close(): Promise<void> {
    await this.handle.call("close");
    this.handle.terminate();
  }
}

/** A node whose calls are made in the lightning worker. */
class RemoteNode implements LightningNode {
  readonly #handle: WorkerHandle;
  readonly #index: number;
  readonly #opened: Promise<unknown>;
  readonly #listen: (listener: (event: NodeEvent) => void) => void;

  constructor(
    handle: WorkerHandle,
    index: number,
    opened: Promise<unknown>,
    listen: (listener: (event: NodeEvent) => void) => void,
  ) {
    this.#handle = handle;
    this.#index = index;
    this.#opened = opened;
    this.#listen = listen;
  }

  async watch(onEvent: (event: NodeEvent) => void): Promise<void> {
    await this.#opened;
    this.#listen(onEvent);
    await this.#handle.call("watch", this.#index);
  }

  async #call<M extends NodeMethod>(method: M, ...args: NodeCalls[M]["args"]): Promise<NodeCalls[M]["result"]> {
    await this.#opened;
    const call = { method, args } as NodeCall;
    const reply = await this.#handle.call("call", this.#index, call) as NodeReply;
    if (!reply.ok) throw new LightningError(reply.kind, reply.message, reply.remedy);
    if (reply.method !== method) throw new InvariantError(`asked for ${method}, answered ${reply.method}`);
    return reply.value as NodeCalls[M]["result"];
  }

  getInfo() {
    return this.#call("getInfo");
  }
  listChannels() {
    return this.#call("listChannels");
  }
  listPayments(afterIndex: bigint, limit: number) {
    return this.#call("listPayments", afterIndex, limit);
  }
  addInvoice(request: InvoiceRequest) {
    return this.#call("addInvoice", request);
  }
  lookupInvoice(paymentHash: PaymentHash) {
    return this.#call("lookupInvoice", paymentHash);
  }
  cancelInvoice(paymentHash: PaymentHash) {
    return this.#call("cancelInvoice", paymentHash);
  }
  decodeInvoice(invoice: string) {
    return this.#call("decodeInvoice", invoice);
  }
  signMessage(text: string) {
    return this.#call("signMessage", text);
  }
  pay(request: PaymentRequest) {
    return this.#call("pay", request);
  }
  trackPayment(paymentHash: PaymentHash) {
    return this.#call("trackPayment", paymentHash);
  }
  async close(): Promise<void> {
    await this.#handle.call("closeNode", this.#index);
  }
}
