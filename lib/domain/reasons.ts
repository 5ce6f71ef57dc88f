/**
 * Why a channel was left alone and why a request wasn't paid: closed lists, each reason with its sentence for the operator.
 * Every channel that isn't acted on has exactly one of them.
 */

/** Why this node doesn't ask on a channel. */
export const leaveReasons = {
  balanced: "inside its deadzone",
  "other-side": "above its deadzone: it is for the other side to ask",
  disabled: "switched off by the settings (enabled: false)",
  breaker: "everything is stopped until the operator has looked and resumes",
  paused: "paused by the operator",
  "node-paused": "its node is paused by the operator",
  "channel-paused": "this channel is paused by the operator",
  "peer-paused": "the other side has paused it, until its operator resumes",
  "dry-run": "would ask, but this is a dry run",
  cloned: "another instance speaks for our own node: this node is paused until the operator resumes",
  draining: "the program is stopping",
  "node-down": "our own node is not reachable",
  inactive: "the channel is not active: its peer is offline",
  "custom-channel": "a custom channel (it carries other assets), which is not for us",
  "not-shared": "the other node is not in the cluster now",
  "not-proven": "the other node's instance has not proven that it speaks for it",
  "no-room": "the other side can't send anything over this channel",
  "too-small": "what is missing is below minTransactionSize",
  "peer-limit": "the other side pays at most less than minTransactionSize now",
  "request-open": "a request is open",
  "payment-open": "a payment of ours over this channel is open",
  "too-soon": "the last payment was less than minTimeBetweenPayments ago; the next one waits",
  resting: "a payment arrived; waiting for the node to report the new balance",
  "backing-off": "the last request failed; the next one waits",
} as const;

export type LeaveReason = keyof typeof leaveReasons;

/** What a payee is told of a refusal; the details stay with the payer. */
export type ToldReason = "invalid" | "not-shared" | "busy" | "limit" | "balance" | "failed" | "unknown";

/** What a payer has said of a request that it didn't pay, as the payee's operator reads it. */
export const toldSentences: Readonly<Record<ToldReason, string>> = {
  invalid: "it doesn't take the request or its invoice as valid",
  "not-shared": "it doesn't balance this channel with us",
  busy: "it can't just now",
  limit: "its limits don't allow it now",
  balance: "it can't send so much, or would lack it itself",
  failed: "the payment, or its own node, failed",
  unknown: "it doesn't know yet whether it has paid",
};

/** Why this node doesn't pay a request: the sentence for our own operator, and the word for the payee. */
export const refuseReasons = {
  starting: ["still reading the node's own payment history", "busy"],
  rebuilding: [
    "the log is new or was lost, and not every node of ours has listed yet what it has paid (is one of them down?)",
    "busy",
  ],
  paused: ["paused by the operator", "busy"],
  "node-paused": ["the node is paused by the operator", "busy"],
  "channel-paused": ["the channel is paused by the operator", "busy"],
  breaker: ["all paying is stopped until the operator resumes", "busy"],
  cloned: ["another instance speaks for our own node", "busy"],
  draining: ["the program is stopping", "busy"],
  "dry-run": ["this is a dry run", "busy"],
  "node-down": ["our own node is not reachable", "busy"],
  "rate-limited": ["requests for this channel come too fast", "busy"],
  "peer-stuck": ["a payment to this node hasn't ended", "busy"],
  "peer-failing": ["payments to this node keep failing, and paying to it rests", "busy"],
  "request-open": ["a request of ours on this channel is open", "busy"],
  "payment-open": ["a payment of ours over this channel is open", "busy"],
  inactive: ["the channel is not active", "busy"],
  "unknown-channel": ["no such channel with a node that the session has proven", "not-shared"],
  "not-proven": ["the session has not proven the channel's other node", "not-shared"],
  "peer-not-listed": ["the node is not in the configuration's `peers`", "not-shared"],
  disabled: ["switched off by the settings (enabled: false)", "not-shared"],
  "custom-channel": ["a custom channel, which is not for us", "not-shared"],
  "undecodable-invoice": ["our own node can't read the invoice", "invalid"],
  "wrong-destination": ["the invoice was made by another node", "invalid"],
  "wrong-amount": ["the invoice is for another amount than the request", "invalid"],
  "wrong-purpose": ["the invoice's memo doesn't bind it to this request", "invalid"],
  "route-hints": ["the invoice has route hints", "invalid"],
  "blinded-paths": ["the invoice has blinded paths", "invalid"],
  amp: ["the invoice is for a payment in parts of its own (AMP)", "invalid"],
  expired: ["the invoice has expired", "invalid"],
  "expires-too-late": ["the invoice is valid for longer than an hour", "invalid"],
  "cltv-too-long": ["the invoice's final CLTV is too long", "invalid"],
  "known-hash": ["the invoice's payment hash has been used before", "invalid"],
  "below-minimum": ["below minTransactionSize", "limit"],
  "above-maximum": ["above maxTransactionSize", "limit"],
  "too-soon": ["the last attempt was less than minTimeBetweenPayments ago", "limit"],
  "too-many": ["maxTransactionsPerPeriod is reached", "limit"],
  "too-much": ["maxAmountPerPeriod would be exceeded", "limit"],
  "net-outflow": ["maxNetOutflow with this node would be exceeded, until it has paid back or you raise it", "limit"],
  "net-outflow-total": ["maxNetOutflowTotal would be exceeded, until others have paid back or you raise it", "limit"],
  "not-spendable": ["more than the channel can send above its reserve and fees", "balance"],
  "below-balance-point": ["our own share is not above our balance point", "balance"],
  "leaves-too-little": ["it would leave us further than half a deadzone below our balance point", "balance"],
  "node-failed": ["our own node gave no answer that could be used", "failed"],
  "payment-failed": ["the payment failed", "failed"],
  unanswered: ["the payment hasn't ended yet", "unknown"],
} as const satisfies Record<string, readonly [string, ToldReason]>;

export type RefuseReason = keyof typeof refuseReasons;

/** What the payee may know of a refusal. */
export function toldReason(reason: RefuseReason): ToldReason {
  return refuseReasons[reason][1];
}

/** The sentence for our own operator. */
export function refuseSentence(reason: RefuseReason): string {
  return refuseReasons[reason][0];
}
