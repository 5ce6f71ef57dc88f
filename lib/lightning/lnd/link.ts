import type { DescMessage, DescMethodUnary, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import type { LndNodeConfig } from "../../config/config.ts";
import { messageOf, TightropeError } from "../../domain/errors.ts";
import type { Clock } from "../../env/clock.ts";
import { LightningError } from "../node.ts";
import { LndConnection, RpcFailure, rpcPath } from "./connection.ts";
import { readCredentials } from "./credential_files.ts";
import type { LndCredentials } from "./credentials.ts";
import { lightningError, type RpcStatus } from "./errors.ts";

/** Bounds in milliseconds on how long things may take, and how often they are tried again. */
export interface LndTimings {
  /** Deadline of a call. */
  readonly callTimeoutMs: number;
  /** Deadline of a call with a long answer (all channels, a page of payments). */
  readonly listTimeoutMs: number;
  /** Wait before connecting again: from the first to the last. */
  readonly backoffMinMs: number;
  readonly backoffMaxMs: number;
  /** How often the certificate and macaroon files are compared with what is in use, and a node without streams is asked whether it is there. */
  readonly checkMs: number;
}

export const defaultLndTimings: LndTimings = {
  callTimeoutMs: 15_000,
  listTimeoutMs: 60_000,
  backoffMinMs: 1_000,
  backoffMaxMs: 60_000,
  checkMs: 10_000,
};

/** grpc-js's own bound on the wait before it connects again. */
const reconnectMaxMs = 10_000;

/**
 * The way to one node: holds the connection in use and replaces it when the credentials change. Every failure comes out
 * as a LightningError, except where an RPC's own status is asked for.
 */
export class LndLink {
  readonly config: LndNodeConfig;
  readonly timings: LndTimings;
  readonly #clock: Clock;
  readonly #closing = new AbortController();
  #current: { readonly credentials: LndCredentials; readonly connection: LndConnection } | undefined;
  #connecting: Promise<LndConnection> | undefined;

  constructor(config: LndNodeConfig, timings: LndTimings, clock: Clock) {
    this.config = config;
    this.timings = timings;
    this.#clock = clock;
  }

  /** Aborted once the link was closed. */
  get closed(): AbortSignal {
    return this.#closing.signal;
  }

  /** How long the certificate in use stays valid (negative: not any more); undefined before the first connection. */
  certificateLeftMs(): number | undefined {
    const expiresAtWallMs = this.#current?.credentials.certificate.expiresAtWallMs;
    return expiresAtWallMs === undefined ? undefined : expiresAtWallMs - this.#clock.now().wallMs;
  }

  /** The connection in use, or the first one. */
  connect(): Promise<LndConnection> {
    if (this.closed.aborted) return Promise.reject(this.#closedError());
    if (this.#current !== undefined) return Promise.resolve(this.#current.connection);
    this.#connecting ??= this.#read()
      .then((credentials) => this.#current?.connection ?? this.#open(credentials))
      .finally(() => this.#connecting = undefined);
    return this.#connecting;
  }

  /** A connection under the credentials as they stand now: the one in use when it is alive and has them. */
  async reconnect(): Promise<LndConnection> {
    const credentials = await this.#read();
    const present = this.#current;
    if (present !== undefined && sameCredentials(present.credentials, credentials) && present.connection.isReady()) {
      return present.connection;
    }
    return this.#open(credentials);
  }

  /** Whether the files hold other credentials than those in use. */
  async credentialsChanged(): Promise<boolean> {
    const credentials = await this.#read();
    return this.#current === undefined || !sameCredentials(this.#current.credentials, credentials);
  }

  /** Makes a call; rejects with a LightningError. */
  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
    timeoutMs = this.timings.callTimeoutMs,
  ): Promise<MessageShape<O>> {
    try {
      const connection = await this.connect();
      return await connection.unary(method, request, timeoutMs);
    } catch (error) {
      throw this.asLightningError(error, rpcPath(method), timeoutMs);
    }
  }

  errorOf(status: RpcStatus, rpc: string, timeoutMs?: number): LightningError {
    const { socket } = this.config;
    const certificateExpired = (this.certificateLeftMs() ?? 0) < 0;
    return lightningError(status, {
      socket,
      rpc,
      certificateExpired,
      ...(timeoutMs === undefined ? {} : { timeoutMs }),
    });
  }

  asLightningError(error: unknown, rpc: string, timeoutMs?: number): LightningError {
    if (error instanceof LightningError) return error;
    if (error instanceof RpcFailure) {
      return this.closed.aborted ? this.#closedError() : this.errorOf(error.status, rpc, timeoutMs);
    }
    return new LightningError("failed", `${rpc}: ${messageOf(error)}`, "This is a defect: please report it.", {
      cause: error,
    });
  }

  /** Cancels every call and closes the connection. */
  close(): void {
    this.#closing.abort();
    this.#current?.connection.close();
  }

  #open(credentials: LndCredentials): LndConnection {
    // Calls that run on the old one go on to their end: a payment's updates must not be lost to a new certificate.
    this.#current?.connection.retire();
    const { backoffMinMs } = this.timings;
    const connection = new LndConnection(credentials, {
      socket: this.config.socket,
      tlsServerName: this.config.tlsServerName,
      reconnectMs: {
        min: backoffMinMs,
        max: Math.max(backoffMinMs, Math.min(this.timings.backoffMaxMs, reconnectMaxMs)),
      },
    });
    this.#current = { credentials, connection };
    // Closed while the credentials were read: what is made now must not stay open.
    if (this.closed.aborted) connection.close();
    return connection;
  }

  async #read(): Promise<LndCredentials> {
    try {
      return await readCredentials(this.config);
    } catch (error) {
      if (!(error instanceof TightropeError)) throw error;
      throw new LightningError("permission", error.message, error.remedy, { cause: error });
    }
  }

  #closedError(): LightningError {
    return new LightningError("unavailable", `The node at ${this.config.socket} was closed`, "Tightrope is stopping.");
  }
}

function sameCredentials(a: LndCredentials, b: LndCredentials): boolean {
  return a.macaroonHex === b.macaroonHex && a.certificate.pem === b.certificate.pem;
}
