import {
  create,
  type DescMessage,
  type DescMethodServerStreaming,
  type DescMethodUnary,
  fromBinary,
  type MessageInitShape,
  type MessageShape,
  toBinary,
} from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import { checkServerIdentity, type PeerCertificate } from "node:tls";
import { type LndCredentials, tlsServerName } from "./credentials.ts";
import { rpcCode, type RpcStatus } from "./errors.ts";

/** How a call ended when not well. Only within this folder: callers of a node see LightningError. */
export class RpcFailure extends Error {
  override readonly name = "RpcFailure";
  readonly status: RpcStatus;

  constructor(status: RpcStatus) {
    super(`${status.code} ${status.details}`);
    this.status = status;
  }
}

/** A stream of updates that is being read. */
export interface RpcStream {
  cancel(): void;
  /** Resolves when nothing more will be called. */
  readonly ended: Promise<void>;
}

export interface RpcStreamHandlers<T> {
  onMessage(message: T): void;
  /** Once, after the last message; code 0 is a clean end. */
  onEnd(status: RpcStatus): void;
}

export interface ConnectionOptions {
  /** `host:port` */
  readonly socket: string;
  /** As configured; see credentials.ts. */
  readonly tlsServerName: string;
  readonly reconnectMs: { readonly min: number; readonly max: number };
}

/** 20,000 channels are 6 MB; gRPC's default is 4. */
const maxMessageBytes = 200 * 1024 * 1024;

const scheme = "lnd-socket";

/**
 * Hands the configured name on as it stands. The operating system then resolves it at each connect, so that the right
 * to `host:port` is all that is needed, and an LND that comes back on another address is found.
 */
class SocketResolver implements grpc.experimental.Resolver {
  readonly #target: grpc.experimental.GrpcUri;
  readonly #listener: grpc.experimental.ResolverListener;
  #told = false;

  constructor(target: grpc.experimental.GrpcUri, listener: grpc.experimental.ResolverListener) {
    this.#target = target;
    this.#listener = listener;
  }

  updateResolution(): void {
    // The answer never changes; told again, the balancer would drop its back-off.
    if (this.#told) return;
    this.#told = true;
    queueMicrotask(() => {
      if (!this.#told) return;
      const hostPort = grpc.experimental.splitHostPort(this.#target.path);
      const endpoints = hostPort === null || hostPort.port === undefined
        ? grpc.experimental.statusOrFromError<grpc.experimental.Endpoint[]>({
          code: grpc.status.UNAVAILABLE,
          details: `Name resolution failed for ${this.#target.path}`,
        })
        : grpc.experimental.statusOrFromValue([{ addresses: [{ host: hostPort.host, port: hostPort.port }] }]);
      this.#listener(endpoints, {}, null, "");
    });
  }

  destroy(): void {
    this.#told = false;
  }

  static getDefaultAuthority(target: grpc.experimental.GrpcUri): string {
    return target.path;
  }
}

/**
 * One gRPC channel to one node under one set of credentials: a single HTTP/2 connection, which grpc-js opens with the
 * first call and opens again when it was lost.
 */
export class LndConnection {
  readonly #client: grpc.Client;
  readonly #metadata: grpc.Metadata;
  readonly #calls = new Set<{ cancel(): void }>();
  #retired = false;
  #closed = false;

  constructor(credentials: LndCredentials, options: ConnectionOptions) {
    const { certificate } = credentials;
    grpc.experimental.registerResolver(scheme, SocketResolver);
    // What goes wrong is told by the calls; the library's own lines would stand between the program's.
    grpc.setLogVerbosity(grpc.logVerbosity.NONE);
    this.#metadata = new grpc.Metadata();
    this.#metadata.set("macaroon", credentials.macaroonHex);
    const channelCredentials = grpc.credentials.createSsl(Buffer.from(certificate.pem), null, null, {
      // The pinned certificate itself is the node, whatever its names. One that it only signed must carry the name.
      checkServerIdentity: (_name: string, shown: PeerCertificate) =>
        certificate.fingerprints.includes(shown.fingerprint256)
          ? undefined
          : checkServerIdentity(options.tlsServerName, shown),
    });
    this.#client = new grpc.Client(`${scheme}:${options.socket}`, channelCredentials, {
      "grpc.ssl_target_name_override": tlsServerName(certificate, options.tlsServerName),
      "grpc.max_receive_message_length": maxMessageBytes,
      "grpc.enable_http_proxy": 0,
      "grpc.service_config_disable_resolution": 1,
      "grpc.use_local_subchannel_pool": 1,
      "grpc.keepalive_time_ms": 30_000,
      "grpc.keepalive_timeout_ms": 10_000,
      "grpc.keepalive_permit_without_calls": 0,
      "grpc.initial_reconnect_backoff_ms": options.reconnectMs.min,
      "grpc.max_reconnect_backoff_ms": options.reconnectMs.max,
    });
  }

  /**
   * One request, one answer.
   * @throws RpcFailure
   */
  unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    timeoutMs: number,
  ): Promise<MessageShape<O>> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new RpcFailure(closedStatus));
      const call = this.#client.makeUnaryRequest(
        rpcPath(method),
        encoder(method.input),
        decoder(method.output),
        create(method.input, request),
        this.#metadata,
        { deadline: Date.now() + timeoutMs },
        (error, response) => {
          this.#done(call);
          if (error !== null) reject(new RpcFailure({ code: error.code, details: error.details }));
          else if (response === undefined) reject(new RpcFailure({ code: rpcCode.unknown, details: "empty answer" }));
          else resolve(response);
        },
      );
      this.#calls.add(call);
    });
  }

  /** One request, many answers. Nothing is thrown: a failure is the status at the end. */
  stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    handlers: RpcStreamHandlers<MessageShape<O>>,
    timeoutMs?: number,
  ): RpcStream {
    if (this.#closed) {
      const ended = Promise.resolve().then(() => handlers.onEnd(closedStatus));
      return { cancel() {}, ended };
    }
    const call = this.#client.makeServerStreamRequest(
      rpcPath(method),
      encoder(method.input),
      decoder(method.output),
      create(method.input, request),
      this.#metadata,
      timeoutMs === undefined ? {} : { deadline: Date.now() + timeoutMs },
    );
    this.#calls.add(call);
    const ended = new Promise<void>((resolve) => {
      let status: RpcStatus | undefined;
      let drained = false;
      const finish = () => {
        // The status overtakes messages that are still queued: wait for both.
        if (status === undefined || !drained) return;
        this.#done(call);
        handlers.onEnd(status);
        resolve();
      };
      call.on("data", (message: MessageShape<O>) => handlers.onMessage(message));
      // Told by "status" too; without a listener it would be thrown.
      call.on("error", () => {});
      call.on("end", () => {
        drained = true;
        finish();
      });
      call.on("status", ({ code, details }: grpc.StatusObject) => {
        status = { code, details };
        finish();
      });
    });
    return { cancel: () => call.cancel(), ended };
  }

  /** True as long as an HTTP/2 connection stands. */
  isReady(): boolean {
    return !this.#closed && this.#client.getChannel().getConnectivityState(false) === grpc.connectivityState.READY;
  }

  /** Its place was taken: what runs goes on, and with the last call the connection closes. */
  retire(): void {
    this.#retired = true;
    if (this.#calls.size === 0) this.close();
  }

  /** Cancels what runs and closes the connection. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    for (const call of this.#calls) call.cancel();
    this.#client.close();
  }

  #done(call: { cancel(): void }): void {
    this.#calls.delete(call);
    if (this.#retired && this.#calls.size === 0) this.close();
  }
}

const closedStatus: RpcStatus = { code: rpcCode.cancelled, details: "the connection was closed" };

/** `/lnrpc.Lightning/GetInfo` */
export function rpcPath(method: { readonly name: string; readonly parent: { readonly typeName: string } }): string {
  return `/${method.parent.typeName}/${method.name}`;
}

function encoder<D extends DescMessage>(schema: D): (message: MessageShape<D>) => Buffer {
  return (message) => {
    const bytes = toBinary(schema, message);
    return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  };
}

function decoder<D extends DescMessage>(schema: D): (bytes: Uint8Array) => MessageShape<D> {
  return (bytes) => fromBinary(schema, bytes, { readUnknownFields: false });
}
