import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { Sat } from "../domain/amounts.ts";
import { type ChannelPoint, formatShortChannelId, type RequestId, type ShortChannelId } from "../domain/ids.ts";
import { joinFields } from "./fields.ts";

/** What every memo of ours begins with: it also finds our payments in a node's history. */
export const memoPrefix = "tightrope rebalance ";

/** What an invoice is bound to. */
export interface InvoicePurpose {
  /** 32 bytes. */
  readonly sessionId: Uint8Array;
  readonly requestId: RequestId;
  readonly channelPoint: ChannelPoint;
  readonly tokens: Sat;
}

/**
 * 16 hex digits that bind an invoice to one request over one channel in one session: the payee's node signs the memo, so
 * an invoice made for anything else can't be presented as a rebalance.
 */
export function invoiceTag(purpose: InvoicePurpose): string {
  const fields = [purpose.sessionId, purpose.requestId, purpose.channelPoint, purpose.tokens.toString()];
  return bytesToHex(sha256(joinFields("tightrope/2 invoice", ...fields)).subarray(0, 8));
}

/** `tightrope rebalance 800000x1x0 0123456789abcdef`: the id is for people, the tag is what is checked. */
export function formatMemo(channelId: ShortChannelId, tag: string): string {
  return `${memoPrefix}${formatShortChannelId(channelId)} ${tag}`;
}

/** The tag of a whole memo; undefined if it isn't exactly one of ours. */
export function memoTag(memo: string): string | undefined {
  return /^tightrope rebalance [0-9a-zA-Z:]{1,32} ([0-9a-f]{16})$/.exec(memo)?.[1];
}
