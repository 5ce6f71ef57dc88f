import type { DescMessage, DescMethodServerStreaming, DescMethodUnary, MessageInitShape } from "@bufbuild/protobuf";
import type { LndNodeConfig } from "../../config/config.ts";
import { messageOf, TightropeError, unreachable } from "../../domain/errors.ts";
import type { Clock } from "../../env/clock.ts";
import type { Random } from "../../env/random.ts";
import { systemClock, systemRandom } from "../../env/system.ts";
import type { NodeInfo } from "../node.ts";
import type { CheckReport, CheckResult } from "./check_report.ts";
import { LndConnection, RpcFailure, rpcPath } from "./connection.ts";
import { nodeInfo } from "./convert.ts";
import { readCredentials } from "./credential_files.ts";
import type { LndCredentials } from "./credentials.ts";
import { type CallContext, causeOf, lightningError, rpcCode, type RpcStatus } from "./errors.ts";
import { Invoices } from "./gen/invoices_pb.ts";
import { Lightning } from "./gen/lightning_pb.ts";
import { Router } from "./gen/router_pb.ts";
import { State, WalletState } from "./gen/stateservice_pb.ts";
import type { NeededRpc } from "./permissions.ts";

export interface CheckOptions {
  readonly random?: Random;
  readonly clock?: Clock;
  /** Deadline of each call; default 10 s. */
  readonly timeoutMs?: number;
  /** How long a stream that says nothing is waited for before it counts as allowed; default 0.5 s. */
  readonly silenceMs?: number;
}

/** Finds out whether a configured node can be used: reachable, itself, unlocked, and every needed RPC allowed. Changes nothing at the node. */
export async function checkNode(config: LndNodeConfig, options: CheckOptions = {}): Promise<CheckReport> {
  const { socket } = config;
  let credentials: LndCredentials;
  try {
    credentials = await readCredentials(config);
  } catch (error) {
    if (!(error instanceof TightropeError)) throw error;
    const { message, remedy } = error;
    return { socket, info: undefined, results: [{ kind: "config", what: "credentials", message, remedy }] };
  }
  const connection = new LndConnection(credentials, {
    socket,
    tlsServerName: config.tlsServerName,
    // The first failure ends the check.
    reconnectMs: { min: 5, max: 10 },
  });
  try {
    const certificateExpired = credentials.certificate.expiresAtWallMs < (options.clock ?? systemClock).now().wallMs;
    return await new NodeCheck({ socket, certificateExpired }, connection, options).run();
  } finally {
    connection.close();
  }
}

/** A request that can be answered with a plain no, whatever the node's state, and that changes nothing. */
type Probe = (timeoutMs: number) => Promise<RpcStatus>;

class NodeCheck {
  readonly #node: Pick<CallContext, "socket" | "certificateExpired">;
  readonly #connection: LndConnection;
  readonly #options: CheckOptions;
  readonly #timeoutMs: number;
  readonly #results: CheckResult[] = [];

  constructor(
    node: Pick<CallContext, "socket" | "certificateExpired">,
    connection: LndConnection,
    options: CheckOptions,
  ) {
    this.#node = node;
    this.#connection = connection;
    this.#options = options;
    this.#timeoutMs = options.timeoutMs ?? 10_000;
  }

  async run(): Promise<CheckReport> {
    let info: NodeInfo | undefined;
    if (await this.#serves()) {
      info = await this.#identity();
      if (info !== undefined) {
        for (const [rpc, probe] of Object.entries(this.#probes())) this.#judge(rpc, await probe(this.#timeoutMs));
      }
    }
    return { socket: this.#node.socket, info, results: this.#results };
  }

  /** Connects and asks for the wallet's state. */
  async #serves(): Promise<boolean> {
    const method = State.method.getState;
    try {
      const { state } = await this.#connection.unary(method, {}, this.#timeoutMs);
      if (state === WalletState.LOCKED) {
        return this.#fail("wallet", { code: rpcCode.unknown, details: "wallet locked" }, rpcPath(method));
      }
    } catch (error) {
      const status = statusOf(error);
      // A proxy may let only the other services through.
      if (status.code !== rpcCode.unimplemented) return this.#fail("connection", status, rpcPath(method));
    }
    this.#results.push({ kind: "ok", what: "connection" });
    return true;
  }

  async #identity(): Promise<NodeInfo | undefined> {
    const method = Lightning.method.getInfo;
    try {
      const info = nodeInfo(await this.#connection.unary(method, {}, this.#timeoutMs));
      this.#results.push({ kind: "ok", what: rpcPath(method) });
      return info;
    } catch (error) {
      if (error instanceof TightropeError) {
        const { message, remedy } = error;
        this.#results.push({ kind: "config", what: rpcPath(method), message, remedy });
      } else this.#fail(rpcPath(method), statusOf(error), rpcPath(method));
      return undefined;
    }
  }

  #probes(): Readonly<Record<Exclude<NeededRpc, "/lnrpc.Lightning/GetInfo">, Probe>> {
    const unknownHash = (this.#options.random ?? systemRandom).bytes(32);
    const { method: lightning } = Lightning;
    const { method: router } = Router;
    return {
      "/lnrpc.Lightning/ListChannels": this.#unary(lightning.listChannels, {}),
      "/lnrpc.Lightning/ListPayments": this.#unary(lightning.listPayments, { maxPayments: 1n }),
      "/lnrpc.Lightning/SubscribeChannelEvents": this.#stream(lightning.subscribeChannelEvents, {}),
      // Negative, and with a memo longer than any invoice can hold.
      "/lnrpc.Lightning/AddInvoice": this.#unary(lightning.addInvoice, { value: -1n, memo: "x".repeat(2000) }),
      "/lnrpc.Lightning/LookupInvoice": this.#unary(lightning.lookupInvoice, { rHash: unknownHash }),
      "/lnrpc.Lightning/DecodePayReq": this.#unary(lightning.decodePayReq, { payReq: "x" }),
      "/lnrpc.Lightning/SignMessage": this.#unary(lightning.signMessage, {
        msg: new TextEncoder().encode("tightrope check"),
      }),
      "/routerrpc.Router/SendPaymentV2": this.#stream(router.sendPaymentV2, { paymentRequest: "x", timeoutSeconds: 1 }),
      "/routerrpc.Router/TrackPaymentV2": this.#stream(router.trackPaymentV2, { paymentHash: unknownHash }),
      "/routerrpc.Router/SubscribeHtlcEvents": this.#stream(router.subscribeHtlcEvents, {}),
      "/invoicesrpc.Invoices/CancelInvoice": this.#unary(Invoices.method.cancelInvoice, { paymentHash: unknownHash }),
    };
  }

  #unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I>,
  ): Probe {
    return async (timeoutMs) => {
      try {
        await this.#connection.unary(method, request, timeoutMs);
        return answered;
      } catch (error) {
        return statusOf(error);
      }
    };
  }

  /** A macaroon is refused at once; a subscription that is allowed may stay silent. */
  #stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
  ): Probe {
    return async () => {
      let status: RpcStatus | undefined;
      const stream = this.#connection.stream(method, request, {
        onMessage: () => {
          status ??= answered;
          stream.cancel();
        },
        onEnd: (end) => status ??= end,
      }, this.#options.silenceMs ?? 500);
      await stream.ended;
      return status === undefined || status.code === rpcCode.deadlineExceeded ? answered : status;
    };
  }

  /** Any answer but these proves that the call is allowed: a refusal of its content comes after the macaroon's check. */
  #judge(rpc: string, status: RpcStatus): void {
    const cause = causeOf(status);
    if (status.code === rpcCode.ok || cause === "refusal") this.#results.push({ kind: "ok", what: rpc });
    else this.#fail(rpc, status, rpc);
  }

  #fail(what: string, status: RpcStatus, rpc: string): false {
    const { message, remedy } = lightningError(status, { ...this.#node, rpc, timeoutMs: this.#timeoutMs });
    this.#results.push({ kind: kindOf(status), what, message, remedy });
    return false;
  }
}

const answered: RpcStatus = { code: rpcCode.ok, details: "" };

function kindOf(status: RpcStatus): "unavailable" | "permission" | "config" {
  const cause = causeOf(status);
  switch (cause) {
    case "macaroon":
    case "right":
      return "permission";
    case "certificate":
    case "method":
      return "config";
    case "locked":
    case "starting":
    case "refused":
    case "name":
    case "deadline":
    case "closed":
    case "connection":
    case "refusal":
      return "unavailable";
    default:
      return unreachable(cause);
  }
}

function statusOf(error: unknown): RpcStatus {
  return error instanceof RpcFailure ? error.status : { code: rpcCode.unknown, details: messageOf(error) };
}
