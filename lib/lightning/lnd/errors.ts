import type { PaymentOutcome } from "../../domain/payment.ts";
import { LightningError } from "../node.ts";

/** How an RPC ended: a gRPC status code and the server's (or grpc-js's) words. */
export interface RpcStatus {
  readonly code: number;
  readonly details: string;
}

/** gRPC status codes that mean something here. */
export const rpcCode = {
  ok: 0,
  cancelled: 1,
  unknown: 2,
  deadlineExceeded: 4,
  notFound: 5,
  alreadyExists: 6,
  permissionDenied: 7,
  resourceExhausted: 8,
  unimplemented: 12,
  internal: 13,
  unavailable: 14,
  unauthenticated: 16,
} as const;

/**
 * What a failed call is about, finer than {@link LightningError}'s kind. LND answers nearly everything with code 2
 * (UNKNOWN), so its words decide.
 */
export type FailureCause =
  | "locked"
  | "starting"
  | "refused"
  | "name"
  | "certificate"
  | "macaroon"
  | "right"
  | "deadline"
  | "closed"
  | "method"
  | "connection"
  | "refusal";

/** One failed call: to which node, which RPC (`/lnrpc.Lightning/GetInfo`), within what time. */
export interface CallContext {
  readonly socket: string;
  readonly rpc: string;
  readonly timeoutMs?: number;
  /** The pinned certificate's time is over: the handshake's own words don't always say so. */
  readonly certificateExpired?: boolean;
}

/** LND's words when the macaroon itself is refused, whatever the RPC. */
const macaroonTexts: readonly [RegExp, string][] = [
  [/^verification failed|signature mismatch/, "is not of this node, or was changed"],
  [/root key with id \S+ doesn't exist|^cannot retrieve macaroon/, "was revoked, or is not of this node"],
  [/macaroon has expired/, "has expired"],
  [/^caveat .* not satisfied/, "has a condition that isn't met"],
  [/^cannot determine data format|^empty macaroon data|^encoding\/hex|^expected 1 macaroon/, "is not a macaroon"],
];

/** Tells the kind of a failure from code and words. */
export function causeOf(status: RpcStatus): FailureCause {
  const { code, details } = status;
  switch (code) {
    case rpcCode.cancelled:
      return "closed";
    case rpcCode.deadlineExceeded:
      return "deadline";
    case rpcCode.unimplemented:
      return "method";
    case rpcCode.permissionDenied:
      return "right";
    case rpcCode.unauthenticated:
      return "macaroon";
    case rpcCode.unavailable:
      return connectionCause(details);
  }
  // grpc-js's words when the server sent the connection away (HTTP/2's ENHANCE_YOUR_CALM).
  if (code === rpcCode.resourceExhausted && /^Bandwidth exhausted/.test(details)) return "connection";
  // And when it breaks while a request is being written.
  if (code === rpcCode.internal && /RST_STREAM|internal client error|EPIPE|ECONNRESET/.test(details)) {
    return "connection";
  }
  if (/^wallet locked|^wallet not created/.test(details)) return "locked";
  if (/RPC server is in the process of starting up|^waiting to start/.test(details)) return "starting";
  if (/^permission denied/.test(details)) return "right";
  if (code === rpcCode.unknown && macaroonTexts.some(([pattern]) => pattern.test(details))) return "macaroon";
  // In words that LND doesn't use yet, or a proxy's: nothing else that is asked of a node is about macaroons.
  return /\bmacaroon\b/i.test(details) ? "macaroon" : "refusal";
}

function connectionCause(details: string): FailureCause {
  if (/certificate|ALTNAME|UnknownIssuer|CERT_|altnames/i.test(details)) return "certificate";
  if (/wrong version number|InvalidContentType|corrupt message|packet length too long/i.test(details)) {
    return "certificate";
  }
  if (/ECONNREFUSED|os error 111\b|Connection refused/i.test(details)) return "refused";
  if (
    /ENOTFOUND|EAI_AGAIN|getaddrinfo|failed to lookup address|Name resolution failed|name or service/i.test(details)
  ) {
    return "name";
  }
  return "connection";
}

/** Turns the status of a failed call into the error that the operator reads. */
export function lightningError(status: RpcStatus, context: CallContext): LightningError {
  const { socket, rpc } = context;
  const words = plainText(status.details);
  const cause = causeOf(status);
  switch (cause) {
    case "locked":
      return /not created/.test(words)
        ? new LightningError(
          "unavailable",
          `LND at ${socket} has no wallet yet`,
          "Create it with `lncli create`; Tightrope goes on by itself.",
        )
        : new LightningError(
          "unavailable",
          `The wallet of LND at ${socket} is locked`,
          "Unlock it with `lncli unlock`; Tightrope goes on by itself.",
        );
    case "starting":
      return new LightningError(
        "unavailable",
        `LND at ${socket} is still starting`,
        "Nothing to do: Tightrope goes on as soon as it is ready.",
      );
    case "refused":
      return new LightningError(
        "unavailable",
        `Nothing listens at ${socket}`,
        "Start LND, or correct `socket` (LND's rpclisten).",
      );
    case "name":
      return new LightningError(
        "unavailable",
        `The name in ${socket} is not known to this machine`,
        "Correct `socket`, or the machine's name resolution.",
      );
    case "certificate":
      return certificateError(socket, words, context.certificateExpired ?? false);
    case "macaroon":
      return new LightningError(
        "permission",
        `The macaroon for LND at ${socket} ${
          macaroonTexts.find(([pattern]) => pattern.test(words))?.[1] ?? "is refused"
        }`,
        "Give a macaroon baked by this very node; the README has the command.",
      );
    case "right":
      return new LightningError(
        "permission",
        `The macaroon for LND at ${socket} does not allow ${rpc}`,
        `Bake one that has uri:${rpc} too; the README has the command.`,
      );
    case "deadline":
      return new LightningError(
        "unavailable",
        `LND at ${socket} did not answer ${rpc}${
          context.timeoutMs === undefined ? "" : ` within ${Math.ceil(context.timeoutMs / 1000)} s`
        }`,
        "If it lasts, look into LND's log: its chain backend may be gone.",
      );
    case "closed":
      return new LightningError(
        "unavailable",
        `The connection to LND at ${socket} was closed`,
        "Nothing to do: Tightrope connects again unless it is stopping.",
      );
    case "method":
      return new LightningError(
        "failed",
        `LND at ${socket} does not offer ${rpc}`,
        "Update LND to 0.17 or later, built with its usual subservers.",
      );
    case "connection":
      return new LightningError(
        "unavailable",
        `The connection to LND at ${socket} failed: ${words}`,
        "Look whether LND runs and the network to it works.",
      );
    case "refusal":
      return new LightningError("failed", words === "" ? `LND at ${socket} refused ${rpc}` : words, "See LND's log.");
  }
}

function certificateError(socket: string, words: string, expired: boolean): LightningError {
  if (expired || /expired/i.test(words)) {
    return new LightningError(
      "unavailable",
      `The certificate of LND at ${socket} has expired`,
      "Restart LND: it makes a new one at start. With certPath the new one is found by itself, otherwise give it as cert.",
    );
  }
  if (/wrong version number|InvalidContentType|corrupt message|packet length/i.test(words)) {
    return new LightningError(
      "unavailable",
      `What listens at ${socket} does not speak TLS`,
      "Correct `socket`: it must be LND's gRPC address (rpclisten), not the REST or peer port.",
    );
  }
  return new LightningError(
    "unavailable",
    `The certificate of LND at ${socket} is not the configured one`,
    "Give this node's own tls.cert as certPath or cert, with its issuer's if an authority signed it (LND makes a new " +
      "one when it is renewed or deleted).",
  );
}

/** Refusals of SendPaymentV2 that LND gives before it makes a payment (as recorded from 0.17 to 0.19). */
const refusedBeforePayment: readonly RegExp[] = [
  /^invoice is already paid$/,
  /^payment is in transition$/,
  /^payment already exists$/,
  /^invoice expired\./,
  /^timeout_seconds must be specified/,
  /^amount must (not )?be specified when paying a/,
  /^self-payments not allowed/,
  /^sat and msat arguments are mutually exclusive/,
  /^invoice not for current active network/,
  /^checksum failed\./,
  /^invalid index of /,
  /^invalid bech32 string/,
  /^invalid character/,
  /^string not all lowercase or all uppercase/,
];

/**
 * What the end of SendPaymentV2's stream says when it brought no final state.
 * Only words known to come before a payment exists are `rejected`; everything else is `unknown`, and the node's own
 * look-up must tell.
 * @param sawUpdate whether any state of the payment arrived: then it exists, whatever the end says
 */
export function lostPaymentOutcome(status: RpcStatus, sawUpdate: boolean, context: CallContext): PaymentOutcome {
  const detail = status.code === rpcCode.ok
    ? `LND at ${context.socket} ended the payment's updates before the payment`
    : lightningError(status, context).message;
  if (sawUpdate) return { kind: "unknown", detail };
  switch (causeOf(status)) {
    case "locked":
    case "starting":
    case "method":
      return { kind: "rejected", detail };
    case "right":
    case "macaroon":
      // LND's own words come from its interceptor, ahead of the RPC; a proxy's 7 and 16 may come at any time.
      return { kind: isInterceptors(status) ? "rejected" : "unknown", detail };
    case "refused":
    case "name":
    case "certificate":
    case "connection":
      // grpc-js's words for a call that it never handed to a connection.
      return { kind: /^No connection established/.test(status.details) ? "rejected" : "unknown", detail };
    case "refusal":
      return {
        kind: refusedBeforePayment.some((pattern) => pattern.test(status.details)) ? "rejected" : "unknown",
        detail,
      };
    case "deadline":
    case "closed":
      return { kind: "unknown", detail };
  }
}

/** Whether a refusal of the macaroon or its rights is in words that are known to be LND's own. */
function isInterceptors({ code, details }: RpcStatus): boolean {
  return code === rpcCode.unknown &&
    (/^permission denied/.test(details) || macaroonTexts.some(([pattern]) => pattern.test(details)));
}

/** One line of printable text: a server's words go into logs and onto terminals. */
function plainText(details: string): string {
  // deno-lint-ignore no-control-regex
  return details.replace(/[\u0000-\u001f\u007f-\u009f]+/g, " ").trim().slice(0, 300);
}
