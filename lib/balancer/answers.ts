import type { Sat } from "../domain/amounts.ts";
import type { NodePubkey, PaymentHash } from "../domain/ids.ts";
import type { ToldReason } from "../domain/reasons.ts";
import type { PayInvoice, PaymentResult } from "../protocol/messages.ts";
import type { ConnectionId } from "../swarm/transport.ts";
import { nameOf, sats } from "./names.ts";
import { send, type Step, tell } from "./step.ts";

/** What the payer says of a request, besides what names it. */
export interface Reply {
  readonly confirmed?: true;
  readonly paymentHash?: PaymentHash;
  readonly reason?: ToldReason;
  readonly paused?: true;
  readonly retryAfterMs?: number;
  readonly maxTokens?: Sat;
}

/** Sends the one answer to a request, if the session that asked is still there. */
export function answer(step: Step, connection: ConnectionId, message: PayInvoice, reply: Reply): void {
  const peer = step.state.peers.get(connection);
  if (peer === undefined) return;
  const { confirmed, paymentHash, reason, paused, retryAfterMs, maxTokens } = reply;
  const result: PaymentResult = {
    type: "paymentResult",
    requestId: message.requestId,
    channelPoint: message.channelPoint,
    channelId: message.channelId,
    paymentId: paymentHash ?? "",
    confirmed: confirmed === true,
    confirmedAtWallMs: step.now.wallMs,
    ...(reason === undefined ? {} : { reason }),
    ...(paused === undefined ? {} : { paused }),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
    ...(maxTokens === undefined ? {} : { maxTokens }),
  };
  send(step, peer, result);
}

/** Says in the event log what was answered. */
export function tellAnswer(
  step: Step,
  node: NodePubkey | undefined,
  peer: NodePubkey,
  message: PayInvoice,
  reason: ToldReason | undefined,
): void {
  tell(step, {
    kind: "message-sent",
    level: "debug",
    message: `Answered ${nameOf(step.state, peer)} about ${sats(message.tokens)}: ${reason ?? "paid"}`,
    role: "payer",
    ...(node === undefined ? {} : { node }),
    peer,
    channelPoint: message.channelPoint,
    amountSat: message.tokens,
    requestId: message.requestId,
    ...(reason === undefined ? {} : { reason }),
    details: { message: "paymentResult" },
  });
}
