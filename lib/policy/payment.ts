import type { BalanceSettings, ScopedLimits } from "../config/config.ts";
import { addSat, maxSat, minSat, type Sat, sat, satToMsat, subSat } from "../domain/amounts.ts";
import type { ChannelSnapshot } from "../domain/channel.ts";
import type { NodePubkey } from "../domain/ids.ts";
import type { DecodedInvoice } from "../domain/invoice.ts";
import type { RefuseReason } from "../domain/reasons.ts";
import { checkBudget, type SpentPayment } from "./budget.ts";
import { leastSat } from "./rebalance.ts";
import { shareToSatCeil, totalSat } from "./share.ts";
import { spendableSat } from "./spendable.ts";

/** The furthest ahead that an invoice may expire. */
export const longestExpiryMs = 3_600_000;

/** The longest final CLTV of an invoice, in blocks (LND's own invoices ask for 80). */
export const longestFinalCltvBlocks = 144;

/** Everything that the payer's verdict on one request depends on, gathered before it is asked. */
export interface PaymentQuestion {
  /** What the request asks for. */
  readonly tokensSat: Sat;
  /** As our own node decoded it. */
  readonly invoice: DecodedInvoice;
  /** The tag in the invoice's memo, if the memo has our form, and the tag that binds it to this request. */
  readonly memoTag: string | undefined;
  readonly expectedTag: string;
  /** The channel as our own node reports it now, and our node. */
  readonly channel: ChannelSnapshot;
  readonly node: NodePubkey;
  readonly settings: BalanceSettings;
  readonly limits: ScopedLimits;
  /** The session has proven that it speaks for the channel's remote node, and the configuration lets us pay that node. */
  readonly peerProven: boolean;
  readonly peerListed: boolean;
  /** Both nodes are this instance's: no credit is given. */
  readonly ownPeer: boolean;
  readonly hashKnown: boolean;
  /** A request of ours on this channel is open, or a payment of ours over it. */
  readonly requestOpen: boolean;
  readonly paymentOpen: boolean;
  readonly payments: Iterable<SpentPayment>;
  readonly lastAttemptAtMs: number | undefined;
  /** Net outflow to the remote node, over this channel alone, and the sum of all positive ones. */
  readonly positionSat: Sat;
  readonly channelPositionSat: Sat;
  readonly totalOutflowSat: Sat;
  readonly atMs: number;
  readonly wallMs: number;
  /** The wall clock as limits know it; see BudgetQuestion. */
  readonly evenWallMs: number;
}

export type PaymentDecision =
  | { readonly kind: "pay"; readonly amountSat: Sat }
  | {
    readonly kind: "refuse";
    readonly reason: RefuseReason;
    /** Whole minutes. */
    readonly retryAfterMs?: number;
    /** The most that we would pay on this channel now; tells nothing of budgets and positions. */
    readonly maxTokensSat?: Sat;
  };

/**
 * The payer's rule. Every check must hold; the first that doesn't is the reason. What the channel allows comes before what
 * depends on business with others: with it the payee hears how much would be paid, while one that hears of a limit goes on
 * asking for as much; and only a request that would be paid otherwise is told of a limit.
 */
export function decidePayment(question: PaymentQuestion): PaymentDecision {
  return checkParties(question) ?? checkInvoice(question) ?? checkSize(question) ?? checkBalance(question) ??
    checkLimits(question) ?? checkPositions(question) ?? { kind: "pay", amountSat: question.tokensSat };
}

type Check = (question: PaymentQuestion) => Extract<PaymentDecision, { kind: "refuse" }> | undefined;

/** Why nothing is ever paid over a channel, whatever is asked for: what the configuration and the channel's kind say. */
export function whyUnwilling(
  { peerListed, settings, channel }: Pick<PaymentQuestion, "peerListed" | "settings" | "channel">,
): RefuseReason | undefined {
  if (!peerListed) return "peer-not-listed";
  if (!settings.enabled) return "disabled";
  return channel.customData ? "custom-channel" : undefined;
}

const checkParties: Check = (question) => {
  const { channel, peerProven, requestOpen, paymentOpen } = question;
  if (!peerProven) return refuse("not-proven");
  const unwilling = whyUnwilling(question);
  if (unwilling !== undefined) return refuse(unwilling);
  if (requestOpen) return refuse("request-open");
  if (paymentOpen) return refuse("payment-open");
  if (!channel.active) return refuse("inactive");
  return undefined;
};

const checkInvoice: Check = ({ invoice, channel, tokensSat, memoTag, expectedTag, hashKnown, wallMs }) => {
  if (invoice.destination !== channel.remotePubkey) return refuse("wrong-destination");
  if (tokensSat <= 0n || invoice.amountMsat !== satToMsat(tokensSat)) return refuse("wrong-amount");
  if (invoice.routeHintCount > 0) return refuse("route-hints");
  if (invoice.blindedPathCount > 0) return refuse("blinded-paths");
  if (invoice.amp) return refuse("amp");
  if (invoice.expiresAtWallMs <= wallMs) return refuse("expired");
  if (invoice.expiresAtWallMs > wallMs + longestExpiryMs) return refuse("expires-too-late");
  if (!(invoice.finalCltvBlocks <= longestFinalCltvBlocks)) return refuse("cltv-too-long");
  if (memoTag !== expectedTag) return refuse("wrong-purpose");
  if (hashKnown) return refuse("known-hash");
  return undefined;
};

const checkSize: Check = (question) => {
  const { tokensSat, channel, settings } = question;
  if (tokensSat < leastSat(channel, settings)) return refuse("below-minimum");
  if (tokensSat > settings.maxTransactionSizeSat) return refuseBalance("above-maximum", question);
  return undefined;
};

const checkBalance: Check = (question) => {
  const { channel, tokensSat, settings } = question;
  if (tokensSat > spendableSat(channel)) return refuseBalance("not-spendable", question);
  // Unsettled HTLCs are none of ours when paying.
  const total = totalSat(channel);
  if (channel.localSat <= shareToSatCeil(settings.balancePoint, total)) {
    return refuseBalance("below-balance-point", question);
  }
  if (subSat(channel.localSat, tokensSat) < leastLeftSat(channel, settings)) {
    return refuseBalance("leaves-too-little", question);
  }
  return undefined;
};

const checkLimits: Check = (question) => {
  const { node, channel, tokensSat, settings, limits, payments, lastAttemptAtMs, atMs, evenWallMs } = question;
  const waitMs = lastAttemptAtMs === undefined ? 0 : lastAttemptAtMs + settings.minTimeBetweenPaymentsMs - atMs;
  if (waitMs > 0) return refuseUntil("too-soon", waitMs);
  const { channelPoint } = channel;
  const budget = checkBudget({ node, channelPoint, amountSat: tokensSat, limits, payments, atMs, evenWallMs });
  if (budget.kind === "within") return undefined;
  const amounts = limits.amounts.map(({ maxSat }) => maxSat);
  return budget.reason === "too-much" && amounts.some((maxSat) => tokensSat > maxSat)
    ? refuseBalance("too-much", question, ...amounts)
    : refuseUntil(budget.reason, budget.retryAfterMs);
};

const checkPositions: Check = (question) => {
  if (question.ownPeer) return undefined;
  const { tokensSat, limits, positionSat, channelPositionSat, totalOutflowSat } = question;
  const outflows = [...limits.netOutflows.map(({ maxSat }) => maxSat), limits.netOutflowTotalSat];
  const refuseOutflow = (reason: RefuseReason) =>
    outflows.some((maxSat) => tokensSat > maxSat) ? refuseBalance(reason, question, ...outflows) : refuse(reason);
  for (const { scope, maxSat: limitSat } of limits.netOutflows) {
    if (addSat(scope === "node" ? positionSat : channelPositionSat, tokensSat) > limitSat) {
      return refuseOutflow("net-outflow");
    }
  }
  // Only what lifts this position above zero adds to the sum of the positive ones.
  const growthSat = subSat(maxSat(sat(0), addSat(positionSat, tokensSat)), maxSat(sat(0), positionSat));
  if (growthSat > 0n && addSat(totalOutflowSat, growthSat) > limits.netOutflowTotalSat) {
    return refuseOutflow("net-outflow-total");
  }
  return undefined;
};

/** What must be left on our side: half a deadzone below the balance point, so that paying never makes us ask. */
function leastLeftSat(channel: ChannelSnapshot, settings: BalanceSettings): Sat {
  return shareToSatCeil(settings.balancePoint - settings.deadzone / 2, totalSat(channel));
}

/** The most that this node would pay over the channel by its size limit, its spendable balance and the rule of shares. */
export function payableSat(channel: ChannelSnapshot, settings: BalanceSettings): Sat {
  if (channel.localSat <= shareToSatCeil(settings.balancePoint, totalSat(channel))) return sat(0);
  const aboveLeastSat = subSat(channel.localSat, leastLeftSat(channel, settings));
  return maxSat(sat(0), minSat(settings.maxTransactionSizeSat, spendableSat(channel), aboveLeastSat));
}

function refuse(reason: RefuseReason): Extract<PaymentDecision, { kind: "refuse" }> {
  return { kind: "refuse", reason };
}

/**
 * Says what the payee may ask for instead.
 * @param limits that it is above as well, as they are written: else it would ask in vain for ever. What is spent of them
 *   already tells of our business with others
 */
function refuseBalance(reason: RefuseReason, { channel, settings }: PaymentQuestion, ...limits: readonly Sat[]) {
  return { kind: "refuse", reason, maxTokensSat: minSat(payableSat(channel, settings), ...limits) } as const;
}

function refuseUntil(reason: RefuseReason, waitMs: number | undefined) {
  return waitMs === undefined ? refuse(reason) : {
    kind: "refuse",
    reason,
    // Whole minutes: the exact time would tell the peer of our business with others.
    retryAfterMs: Math.max(1, Math.ceil(waitMs / 60_000)) * 60_000,
  } as const;
}
