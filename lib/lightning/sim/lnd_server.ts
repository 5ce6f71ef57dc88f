import {
  create,
  type DescMethod,
  type DescService,
  fromBinary,
  type Message,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import { createServer, type Server, type Socket } from "node:net";
import { invariant } from "../../domain/errors.ts";
import { type NodePubkey, parseShortChannelId } from "../../domain/ids.ts";
import type { Clock } from "../../env/clock.ts";
import type { Random } from "../../env/random.ts";
import { systemClock } from "../../env/system.ts";
import { Invoices } from "../lnd/gen/invoices_pb.ts";
import { Lightning } from "../lnd/gen/lightning_pb.ts";
import { Router } from "../lnd/gen/router_pb.ts";
import { GetStateResponseSchema, State, WalletState } from "../lnd/gen/stateservice_pb.ts";
import { type CertificatePair, lndCertificateSpec, makeCertificate } from "./certificate.ts";
import { channelEventMessage, htlcEventMessage, htlcGreeting, paymentMessage } from "./lnd_messages.ts";
import {
  amountOf,
  hashOf,
  notFoundCode,
  ownInvoiceMessage,
  RpcRefusal,
  storedPaymentMessage,
  unaryRpcs,
  unknownCode,
} from "./lnd_rpcs.ts";
import { MacaroonOven, type MacaroonSpec, standardMacaroons } from "./macaroon.ts";
import { isRefusal, type SimEvent, type SimHost, type SimPayment } from "./model.ts";

export type WalletStateName = "NON_EXISTING" | "LOCKED" | "UNLOCKED" | "RPC_ACTIVE" | "SERVER_ACTIVE";

export interface LndServerOptions {
  readonly host: SimHost;
  /** Whose LND this is. Its version in the network decides how it answers. */
  readonly node: NodePubkey;
  /** Decides keys, certificate and macaroons. */
  readonly random: Random;
  /** Tells validity of certificates and macaroons. */
  readonly clock?: Clock;
  /** 0 (the default) takes a free one; it stays the same through restarts. */
  readonly port?: number;
  /** From a stop of the node until its sockets close; 110 as recorded. */
  readonly shutdownMs?: number;
  /** The wallet's state when the server starts, and starts again. Default `SERVER_ACTIVE`. */
  readonly startState?: WalletStateName;
  /** Instead of one like LND's. */
  readonly certificate?: CertificatePair;
}

/** What a call's side of the server can do with its caller. */
interface Caller {
  readonly metadata: grpc.Metadata;
  readonly cancelled: boolean;
}

interface OpenStream {
  onEvent(event: SimEvent): void;
  /** The process ends cleanly: each stream goes in its own way. */
  onShutdown(): void;
}

interface FollowedStream {
  /** Hears no more events. */
  leave(): void;
  /** The same, and ends the call well. */
  end(): void;
}

/** How long a call that gets no answer is looked at again. */
const heldCheckMs = 10;

/** How many turns of 2 ms close() leaves to clients that are closing their connections. */
const leavingTurns = 50;

const services: readonly DescService[] = [Lightning, Router, Invoices, State];

const lockedTexts: Readonly<Partial<Record<WalletStateName, string>>> = {
  NON_EXISTING: "wallet not created, create one to enable full RPC access",
  LOCKED: "wallet locked, unlock it to enable full RPC access",
  UNLOCKED: "the RPC server is in the process of starting up, but not yet ready to accept calls",
};

/**
 * The gRPC interface of one simulated node, as LND serves it: TLS with a certificate of its own, macaroons, the wallet's
 * states, streams, and the recorded words and codes of its version. It follows the node: stopped, started and frozen with
 * the network's `stopNode`, `startNode` and `freezeNode`.
 */
export class LndServer {
  readonly node: NodePubkey;
  readonly #options: LndServerOptions;
  readonly #host: SimHost;
  readonly #clock: Clock;
  readonly #oven: MacaroonOven;
  readonly #streams = new Set<OpenStream>();
  readonly #sockets = new Set<Socket>();
  readonly #held = new Set<Promise<unknown>>();
  #unsubscribe: () => void = () => {};
  #grpc: grpc.Server | undefined;
  #injector: ReturnType<grpc.Server["createConnectionInjector"]> | undefined;
  #listener: Server | undefined;
  #port: number;
  #certificate: CertificatePair;
  #walletState: WalletStateName;
  #transition: Promise<void> = Promise.resolve();
  #cutting = false;
  #closed = false;

  /** The macaroon with every right, in hex. */
  readonly adminMacaroonHex: string;

  private constructor(options: LndServerOptions) {
    this.#options = options;
    this.#host = options.host;
    this.node = options.node;
    this.#clock = options.clock ?? systemClock;
    this.#oven = new MacaroonOven(options.random);
    this.#port = options.port ?? 0;
    this.#certificate = options.certificate ?? this.#newCertificate();
    this.#walletState = options.startState ?? "SERVER_ACTIVE";
    this.adminMacaroonHex = this.bakeMacaroon({ rootKeyId: "0", ops: standardMacaroons.admin });
  }

  /** Serves on 127.0.0.1 when it resolves. */
  static async start(options: LndServerOptions): Promise<LndServer> {
    const server = new LndServer(options);
    server.#unsubscribe = server.#host.network.subscribe(server.node, (event) => server.#onEvent(event));
    await server.#open();
    return server;
  }

  /** `127.0.0.1:port` */
  get socket(): string {
    return `127.0.0.1:${this.#port}`;
  }

  /** The certificate that it shows, or will show from the next start on. */
  get certificatePem(): string {
    return this.#certificate.certificatePem;
  }

  /** @returns the macaroon in hex */
  bakeMacaroon(spec: MacaroonSpec): string {
    return Buffer.from(this.#oven.bake(spec)).toString("hex");
  }

  /** LND's DeleteMacaroonID: macaroons of this root key are refused from now on. */
  revokeRootKey(rootKeyId: string): void {
    this.#oven.revoke(rootKeyId);
  }

  get walletState(): WalletStateName {
    return this.#walletState;
  }

  setWalletState(state: WalletStateName): void {
    this.#walletState = state;
  }

  /** Makes a new certificate, which is shown from the next start on (LND's tls.cert was renewed). */
  renewCertificate(): void {
    this.#certificate = this.#newCertificate();
  }

  /** SIGINT: the node stops, streams end as LND ends them, and then nothing listens any more. */
  async stop(): Promise<void> {
    this.#host.run((network) => network.stopNode(this.node));
    await this.#transition;
  }

  /** SIGKILL: every connection breaks at once. */
  async cut(): Promise<void> {
    this.#cutting = true;
    this.#host.run((network) => network.stopNode(this.node));
    await this.#transition;
    this.#cutting = false;
  }

  /** Starts the node again, on the same port. */
  async restart(): Promise<void> {
    this.#host.run((network) => network.startNode(this.node));
    await this.#transition;
  }

  /** Breaks the connections that stand; the node goes on and takes new ones. */
  dropConnections(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Stops serving; the node itself stays as it is. Clients that are just leaving have a moment to do so. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#unsubscribe();
    await this.#transition;
    for (let turn = 0; turn < leavingTurns && this.#sockets.size > 0; turn++) await sleep(2);
    await this.#shut();
    await Promise.allSettled(this.#held);
  }

  #newCertificate(): CertificatePair {
    const { alias } = this.#host.network.nodeInfo(this.#options.node);
    const host = /^[A-Za-z0-9-]+$/.test(alias) ? alias : "lnd";
    return makeCertificate(lndCertificateSpec(host, this.#clock.now().wallMs), this.#options.random);
  }

  #onEvent(event: SimEvent): void {
    if (event.kind === "running") {
      const cutting = this.#cutting;
      this.#transition = this.#transition.then(() => event.running ? this.#open() : this.#stop(cutting));
      return;
    }
    for (const stream of [...this.#streams]) stream.onEvent(event);
  }

  async #open(): Promise<void> {
    if (this.#listener !== undefined || this.#closed) return;
    this.#walletState = this.#options.startState ?? "SERVER_ACTIVE";
    this.#grpc = this.#makeGrpcServer();
    const { certificatePem, privateKeyPem } = this.#certificate;
    const injector = this.#grpc.createConnectionInjector(
      // The roots are never null: an environment variable could otherwise add some and break the handshake.
      grpc.ServerCredentials.createSsl(Buffer.from(certificatePem), [
        { cert_chain: Buffer.from(certificatePem), private_key: Buffer.from(privateKeyPem) },
      ]),
    );
    this.#injector = injector;
    // A listener of our own: only so can connections break as those of a process that died.
    const listener = createServer((socket) => {
      this.#sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => this.#sockets.delete(socket));
      socket.setNoDelay(true);
      injector.injectConnection(socket);
    });
    this.#listener = listener;
    await new Promise<void>((resolve, reject) => {
      listener.once("error", reject);
      listener.listen(this.#port, "127.0.0.1", () => resolve());
    });
    const address = listener.address();
    invariant(address !== null && typeof address === "object", "a TCP server listens on a port");
    this.#port = address.port;
  }

  async #stop(cutting: boolean): Promise<void> {
    if (this.#closed) return;
    if (!cutting) {
      await sleep(this.#options.shutdownMs ?? 110);
      for (const stream of [...this.#streams]) stream.onShutdown();
      // The last words leave before the connection does.
      await sleep(1);
    }
    await this.#shut();
  }

  async #shut(): Promise<void> {
    const listener = this.#listener;
    if (listener === undefined) return;
    this.#listener = undefined;
    const closed = new Promise<void>((resolve) => listener.close(() => resolve()));
    this.#streams.clear();
    // HTTP/2 goes before the sockets under it: a session that still writes to one that is gone can panic Deno 2.9.3.
    this.#injector?.destroy();
    this.#grpc?.forceShutdown();
    this.dropConnections();
    await closed;
  }

  #makeGrpcServer(): grpc.Server {
    const server = new grpc.Server({
      "grpc.max_receive_message_length": 200 * 1024 * 1024,
      "grpc.max_send_message_length": 200 * 1024 * 1024,
    });
    const { lightning, invoices } = unaryRpcs;
    const unary = {
      [path(Lightning.method.getInfo)]: this.#unary(Lightning.method.getInfo, lightning.getInfo),
      [path(Lightning.method.listChannels)]: this.#unary(Lightning.method.listChannels, lightning.listChannels),
      [path(Lightning.method.listPayments)]: this.#unary(Lightning.method.listPayments, lightning.listPayments),
      [path(Lightning.method.addInvoice)]: this.#unary(Lightning.method.addInvoice, lightning.addInvoice),
      [path(Lightning.method.lookupInvoice)]: this.#unary(Lightning.method.lookupInvoice, lightning.lookupInvoice),
      [path(Lightning.method.decodePayReq)]: this.#unary(Lightning.method.decodePayReq, lightning.decodePayReq),
      [path(Lightning.method.signMessage)]: this.#unary(Lightning.method.signMessage, lightning.signMessage),
      [path(Invoices.method.cancelInvoice)]: this.#unary(Invoices.method.cancelInvoice, invoices.cancelInvoice),
      [path(State.method.getState)]: this.#getState,
    };
    const streams = {
      [path(Lightning.method.subscribeChannelEvents)]: this.#stream(this.#subscribeChannelEvents),
      [path(Router.method.subscribeHtlcEvents)]: this.#stream(this.#subscribeHtlcEvents),
      [path(Router.method.sendPaymentV2)]: this.#stream(this.#sendPayment),
      [path(Router.method.trackPaymentV2)]: this.#stream(this.#trackPayment),
      [path(Invoices.method.subscribeSingleInvoice)]: this.#stream(this.#subscribeSingleInvoice),
    };
    for (const service of services) {
      const definition: Record<string, grpc.MethodDefinition<Message, Message>> = {};
      const handlers: grpc.UntypedServiceImplementation = {};
      for (const method of service.methods) {
        definition[method.name] = methodDefinition(method);
        const handler = unary[path(method)] ?? streams[path(method)];
        invariant(handler !== undefined, `the simulated LND answers ${path(method)}`);
        handlers[method.name] = handler as grpc.UntypedHandleCall;
      }
      server.addService(definition, handlers);
    }
    return server;
  }

  readonly #getState = (
    call: grpc.ServerUnaryCall<Message, Message>,
    callback: grpc.sendUnaryData<Message>,
  ): void => {
    this.#hold(async () => {
      if (!await this.#whileFrozen(call)) return;
      callback(null, create(GetStateResponseSchema, { state: WalletState[this.#walletState] }));
    });
  };

  #unary<M extends DescMethod>(
    method: M,
    answer: (
      network: SimHost["network"],
      node: NodePubkey,
      request: MessageShape<M["input"]>,
    ) => MessageShape<M["output"]>,
  ) {
    return (
      call: grpc.ServerUnaryCall<MessageShape<M["input"]>, Message>,
      callback: grpc.sendUnaryData<Message>,
    ): void => {
      this.#hold(async () => {
        try {
          if (!await this.#admit(call, path(method))) return;
          // GetInfo asks the chain backend, and waits for it as long as it takes.
          const needsChain = path(method) === path(Lightning.method.getInfo);
          const isUp = () => !needsChain || this.#host.network.nodeInfo(this.node).chainUp;
          if (!await this.#until(call, isUp)) return;
          callback(null, this.#host.run((network) => answer(network, this.node, call.request)));
        } catch (error) {
          callback(statusOf(error));
        }
      });
    };
  }

  #stream<I extends Message>(
    serve: (this: LndServer, call: grpc.ServerWritableStream<I, Message>) => void,
  ) {
    return (call: grpc.ServerWritableStream<I, Message>): void => {
      this.#hold(async () => {
        try {
          if (await this.#admit(call, call.getPath())) serve.call(this, call);
        } catch (error) {
          call.emit("error", statusOf(error));
        }
      });
    };
  }

  /** Frozen, wallet, macaroon: what stands before every RPC, in LND's order. @returns false when the caller left */
  async #admit(call: Caller, rpc: string): Promise<boolean> {
    if (!await this.#whileFrozen(call)) return false;
    const locked = lockedTexts[this.#walletState];
    if (locked !== undefined) throw new RpcRefusal(unknownCode, locked);
    const values = call.metadata.get("macaroon").map(String);
    const verdict = this.#oven.judge(values, rpc, this.#clock.now().wallMs);
    if (verdict.kind === "refused") throw new RpcRefusal(unknownCode, verdict.text);
    return true;
  }

  #whileFrozen(call: Caller): Promise<boolean> {
    return this.#until(call, () => !this.#host.network.nodeInfo(this.node).frozen);
  }

  /** Waits while the caller does. @returns false when it left, or the server stopped */
  async #until(call: Caller, condition: () => boolean): Promise<boolean> {
    while (!call.cancelled && this.#listener !== undefined) {
      if (condition()) return true;
      await sleep(heldCheckMs);
    }
    return false;
  }

  /** Remembers work that is under way, so that close() leaves nothing behind. */
  #hold(work: () => Promise<void>): void {
    const held = work().finally(() => this.#held.delete(held));
    this.#held.add(held);
  }

  /** Adds a stream until its call ends; `onEvent` may end it. */
  #follow(
    call: grpc.ServerWritableStream<Message, Message>,
    onEvent: (event: SimEvent) => void,
    shutdownText: string | undefined,
  ): FollowedStream {
    const stream: OpenStream = {
      onEvent,
      onShutdown: () => {
        this.#streams.delete(stream);
        if (shutdownText === undefined) call.end();
        else call.emit("error", statusOf(new RpcRefusal(unknownCode, shutdownText)));
      },
    };
    this.#streams.add(stream);
    call.on("cancelled", () => this.#streams.delete(stream));
    const leave = () => void this.#streams.delete(stream);
    return {
      leave,
      end: () => {
        leave();
        call.end();
      },
    };
  }

  #subscribeChannelEvents(call: grpc.ServerWritableStream<Message, Message>): void {
    this.#follow(call, (event) => {
      if (event.kind === "channel") call.write(channelEventMessage(event.channel));
    }, undefined);
  }

  #subscribeHtlcEvents(call: grpc.ServerWritableStream<Message, Message>): void {
    call.write(htlcGreeting);
    this.#follow(call, (event) => {
      if (event.kind === "htlc") call.write(htlcEventMessage(event.htlc));
    }, "htlc event subscription terminated");
  }

  #subscribeSingleInvoice(
    call: grpc.ServerWritableStream<MessageShape<typeof Invoices.method.subscribeSingleInvoice.input>, Message>,
  ): void {
    const { network } = this.#host;
    const hash = hashOf(call.request.rHash);
    const invoice = network.invoice(this.node, hash);
    if (invoice === undefined) throw new RpcRefusal(unknownCode, "unable to locate invoice");
    const isFinal = (state: string) => state === "SETTLED" || state === "CANCELED";
    call.write(ownInvoiceMessage(network, invoice));
    if (isFinal(invoice.state)) return void call.end();
    const stream = this.#follow(call, (event) => {
      if (event.kind !== "invoice" || event.invoice.paymentHash !== hash) return;
      call.write(ownInvoiceMessage(network, event.invoice));
      if (isFinal(event.invoice.state)) stream.end();
    }, undefined);
  }

  #sendPayment(
    call: grpc.ServerWritableStream<MessageShape<typeof Router.method.sendPaymentV2.input>, Message>,
  ): void {
    const { request } = call;
    const amountMsat = amountOf(request.amt, request.amtMsat);
    const feeLimitMsat = amountOf(request.feeLimitSat, request.feeLimitMsat);
    const outgoingChanIds = request.outgoingChanIds.map((id) => {
      const parsed = parseShortChannelId(id);
      invariant(parsed !== undefined, "a uint64 is a channel id");
      return parsed;
    });
    // The first updates may come while the payment is being made: they are kept until its hash is known.
    const early: SimPayment[] = [];
    let show = (payment: SimPayment): void => void early.push(payment);
    const stream = this.#follow(call, (event) => {
      if (event.kind === "payment") show(event.payment);
    }, "routerrpc server shutting down");
    const payment = this.#host.run((network) =>
      network.sendPayment(this.node, {
        paymentRequest: request.paymentRequest,
        amountMsat,
        timeoutSec: request.timeoutSeconds,
        feeLimitMsat,
        outgoingChanIds,
        cltvLimitBlocks: request.cltvLimit,
        allowSelfPayment: request.allowSelfPayment,
      })
    );
    if (isRefusal(payment)) {
      stream.leave();
      throw new RpcRefusal(payment.code, payment.text);
    }
    show = this.#paymentUpdates(call, stream, payment, request.noInflightUpdates);
    early.forEach(show);
  }

  #trackPayment(
    call: grpc.ServerWritableStream<MessageShape<typeof Router.method.trackPaymentV2.input>, Message>,
  ): void {
    const { paymentHash, noInflightUpdates } = call.request;
    const payment = this.#host.network.payment(this.node, hashOf(paymentHash));
    if (payment === undefined) throw new RpcRefusal(notFoundCode, "payment isn't initiated");
    let show = (_payment: SimPayment): void => {};
    const stream = this.#follow(call, (event) => {
      if (event.kind === "payment") show(event.payment);
    }, "routerrpc server shutting down");
    if (payment.status !== "IN_FLIGHT") {
      call.write(storedPaymentMessage(this.#host.network, this.node, payment));
      stream.end();
      return;
    }
    show = this.#paymentUpdates(call, stream, payment, noInflightUpdates);
    show(payment);
  }

  /** Writes the states of one payment until the last. */
  #paymentUpdates(
    call: grpc.ServerWritableStream<Message, Message>,
    stream: FollowedStream,
    { paymentHash, paymentIndex }: SimPayment,
    onlyFinal: boolean,
  ): (payment: SimPayment) => void {
    return (payment) => {
      // A failed hash may be tried again: that is another payment, with another index.
      if (payment.paymentHash !== paymentHash || payment.paymentIndex !== paymentIndex) return;
      const final = payment.status !== "IN_FLIGHT";
      if (final || !onlyFinal) call.write(paymentMessage(payment));
      if (final) stream.end();
    };
  }
}

function path(method: DescMethod): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function methodDefinition(method: DescMethod): grpc.MethodDefinition<Message, Message> {
  const serialize = (schema: DescMethod["input"]) => (message: Message) => {
    const bytes = toBinary(schema, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
  const deserialize = (schema: DescMethod["input"]) => (bytes: Buffer) => fromBinary(schema, bytes);
  return {
    path: path(method),
    requestStream: false,
    responseStream: method.methodKind === "server_streaming",
    requestSerialize: serialize(method.input),
    requestDeserialize: deserialize(method.input),
    responseSerialize: serialize(method.output),
    responseDeserialize: deserialize(method.output),
  };
}

/** A refusal as gRPC's error; anything else is a defect of the network, and ends the process. */
function statusOf(error: unknown): grpc.ServiceError {
  if (!(error instanceof RpcRefusal)) throw error;
  return Object.assign(new Error(error.message), {
    code: error.code,
    details: error.message,
    metadata: new grpc.Metadata(),
  });
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
