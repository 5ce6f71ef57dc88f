import type { DescMessage, DescMethodServerStreaming, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { messageOf } from "../../domain/errors.ts";
import { type Random, randomFraction } from "../../env/random.ts";
import { LightningError, type NodeEvent } from "../node.ts";
import { backoffMs } from "./backoff.ts";
import { type LndConnection, RpcFailure, rpcPath } from "./connection.ts";
import { channelEvent, htlcEvent, nodeInfo } from "./convert.ts";
import { causeOf, rpcCode, type RpcStatus } from "./errors.ts";
import { Lightning } from "./gen/lightning_pb.ts";
import { Router } from "./gen/router_pb.ts";
import { State, WalletState } from "./gen/stateservice_pb.ts";
import type { LndLink } from "./link.ts";

type Warning = NodeEvent & { readonly kind: "warning" };

/** LND's certificates live 14 months; whoever renews one by hand needs some notice. */
const expiryNoticeMs = 14 * 86_400_000;

/** Connects to a node, tells what happens, and connects again until the link is closed. */
export class NodeWatch {
  readonly #link: LndLink;
  readonly #random: Random;
  readonly #tell: (event: NodeEvent) => void;
  /** What was told last: `up` and `down` alternate. */
  #told: "nothing" | "up" | "down" = "nothing";
  #lastTrouble = "";
  readonly #warned = new Set<string>();

  constructor(link: LndLink, random: Random, onEvent: (event: NodeEvent) => void) {
    this.#link = link;
    this.#random = random;
    this.#tell = onEvent;
  }

  /** Resolves when the link was closed. */
  async run(): Promise<void> {
    const { closed } = this.#link;
    for (let attempt = 0; !closed.aborted;) {
      try {
        await this.#session(() => attempt = 0);
      } catch (error) {
        if (closed.aborted) break;
        this.#trouble(error instanceof LightningError ? error : wrapped(error));
        await sleep(this.#backoffMs(attempt++), closed);
      }
    }
  }

  /** From a connection to its loss (rejects) or to new credentials (resolves). */
  async #session(onUp: () => void): Promise<void> {
    const connection = await this.#link.reconnect();
    this.#warn(this.#expiryWarning());
    await this.#assertServing(connection);
    const stop = new AbortController();
    const signal = AbortSignal.any([stop.signal, this.#link.closed]);
    const tasks = [
      this.#follow(connection, Lightning.method.subscribeChannelEvents, channelEvent, signal),
      this.#follow(connection, Router.method.subscribeHtlcEvents, htlcEvent, signal),
      this.#untilRenewed(signal),
    ];
    try {
      const getInfo = this.#link.unary(Lightning.method.getInfo, {});
      const answer = await Promise.race([getInfo, ...tasks.map((task) => task.then(() => undefined))]);
      if (answer === undefined) return;
      const info = nodeInfo(answer);
      onUp();
      this.#lastTrouble = "";
      // Renewed credentials are no loss; but what happened between two subscriptions was missed.
      const event: NodeEvent = this.#told === "up" ? { kind: "channel" } : { kind: "up", info };
      this.#told = "up";
      this.#tell(event);
      await Promise.race(tasks);
    } finally {
      stop.abort();
      await Promise.allSettled(tasks);
    }
  }

  /** Reads one stream of hints and opens it again when it ends; rejects when the node itself is gone. */
  async #follow<I extends DescMessage, O extends DescMessage>(
    connection: LndConnection,
    method: DescMethodServerStreaming<I, O>,
    convert: (message: MessageShape<O>) => NodeEvent | undefined,
    signal: AbortSignal,
  ): Promise<void> {
    const rpc = rpcPath(method);
    let reopened = false;
    for (let attempt = 0; !signal.aborted; attempt++) {
      const reading = this.#read(connection, method, (message) => {
        attempt = 0;
        if (this.#told !== "up") return;
        const event = convert(message);
        if (event !== undefined) this.#tell(event);
      }, signal);
      // What happened between two streams was missed; said with the new one open, so that nothing falls in between.
      if (reopened && this.#told === "up") this.#tell({ kind: "channel" });
      reopened = true;
      const status = await reading;
      if (signal.aborted) return;
      const cause = causeOf(status);
      if (status.code !== rpcCode.ok && (cause === "right" || cause === "method")) {
        const { message, remedy } = this.#link.errorOf(status, rpc);
        this.#warn({
          kind: "warning",
          message,
          remedy: `${remedy} Until then changes are seen with the next poll only.`,
        });
        return await this.#untilGone(connection, signal);
      }
      if (status.code !== rpcCode.ok && cause === "macaroon") throw this.#link.errorOf(status, rpc);
      // LND's streams also end without an error: only a question tells whether the node is gone.
      await this.#assertServing(connection);
      await sleep(this.#backoffMs(attempt), signal);
    }
  }

  /** Without the stream nothing tells of a loss but the answer to a question. */
  async #untilGone(connection: LndConnection, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await sleep(this.#link.timings.checkMs, signal);
      if (!signal.aborted) await this.#assertServing(connection);
    }
  }

  async #read<I extends DescMessage, O extends DescMessage>(
    connection: LndConnection,
    method: DescMethodServerStreaming<I, O>,
    onMessage: (message: MessageShape<O>) => void,
    signal: AbortSignal,
  ): Promise<RpcStatus> {
    let end: RpcStatus = { code: rpcCode.ok, details: "" };
    const stream = connection.stream(method, {} as MessageInitShape<I>, {
      onMessage: (message) => {
        if (!signal.aborted) onMessage(message);
      },
      onEnd: (status) => end = status,
    });
    const cancel = () => stream.cancel();
    signal.addEventListener("abort", cancel);
    if (signal.aborted) cancel();
    await stream.ended;
    signal.removeEventListener("abort", cancel);
    return end;
  }

  /** Resolves when the certificate or macaroon file holds something new. */
  async #untilRenewed(signal: AbortSignal): Promise<void> {
    for (let unreadable = 0; !signal.aborted;) {
      await sleep(this.#link.timings.checkMs, signal);
      if (signal.aborted) return;
      this.#warn(this.#expiryWarning());
      try {
        if (await this.#link.credentialsChanged()) return;
        unreadable = 0;
      } catch (error) {
        if (!(error instanceof LightningError)) throw error;
        // What is in use still works, and a file that is being replaced is unreadable for a moment.
        if (++unreadable > 1) this.#warn({ kind: "warning", message: error.message, remedy: error.remedy });
      }
    }
  }

  #trouble(error: LightningError): void {
    const { message, remedy } = error;
    if (this.#told !== "down") {
      this.#told = "down";
      this.#tell({ kind: "down", message, remedy });
    } else if (message !== this.#lastTrouble && needsOperator(error)) {
      // Still the same loss, but now for a reason that doesn't go away by itself (started, and now locked).
      this.#tell({ kind: "warning", message, remedy });
    }
    this.#lastTrouble = message;
  }

  #warn(event: Warning | undefined): void {
    if (event === undefined || this.#warned.has(event.message)) return;
    this.#warned.add(event.message);
    this.#tell(event);
  }

  /** Asks GetState: rejects while LND is locked or starting, and when it can't be reached. */
  async #assertServing(connection: LndConnection): Promise<void> {
    const method = State.method.getState;
    const { callTimeoutMs } = this.#link.timings;
    let state: WalletState;
    try {
      ({ state } = await connection.unary(method, {}, callTimeoutMs));
    } catch (error) {
      // A proxy may let only the other services through; then GetInfo tells.
      if (error instanceof RpcFailure && error.status.code === rpcCode.unimplemented) return;
      throw this.#link.asLightningError(error, rpcPath(method), callTimeoutMs);
    }
    const details = walletStateTexts[state];
    if (details !== undefined) throw this.#link.errorOf({ code: rpcCode.unknown, details }, rpcPath(method));
  }

  #expiryWarning(): Warning | undefined {
    const leftMs = this.#link.certificateLeftMs();
    if (leftMs === undefined || leftMs > expiryNoticeMs || leftMs <= 0) return undefined;
    const days = Math.floor(leftMs / 86_400_000);
    return {
      kind: "warning",
      message: `The certificate of LND at ${this.#link.config.socket} expires in ${days} ${
        days === 1 ? "day" : "days"
      }`,
      remedy: "Restart LND once it has expired (or delete its tls.cert and tls.key before): it makes a new one at " +
        "start. With certPath the new one is found by itself, otherwise give it as cert.",
    };
  }

  #backoffMs(attempt: number): number {
    const { backoffMinMs, backoffMaxMs } = this.#link.timings;
    return backoffMs(attempt, backoffMinMs, backoffMaxMs, randomFraction(this.#random));
  }
}

/** What LND would say to any call in these states of its wallet. */
const walletStateTexts: Readonly<Partial<Record<WalletState, string>>> = {
  [WalletState.LOCKED]: "wallet locked, unlock it to enable full RPC access",
  [WalletState.UNLOCKED]: "the RPC server is in the process of starting up",
  [WalletState.RPC_ACTIVE]: "the RPC server is in the process of starting up",
  [WalletState.WAITING_TO_START]: "waiting to start, RPC services not available",
};

function needsOperator(error: LightningError): boolean {
  return error.kind === "permission" || /locked|no wallet|certificate/.test(error.message);
}

function wrapped(error: unknown): LightningError {
  return new LightningError("failed", messageOf(error), "This is a defect: please report it.", { cause: error });
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener("abort", done);
  });
}
