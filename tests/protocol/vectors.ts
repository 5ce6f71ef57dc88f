import vectors from "../vectors/protocol_vectors.json" with { type: "json" };
import signatures from "../vectors/protocol_lnd_signatures.json" with {
  type: "json",
};
import { hexToBytes } from "@noble/hashes/utils.js";
import {
  parseChannelPoint,
  parseNodePubkey,
  parseRequestId,
  parseShortChannelId,
  parseSwarmKey,
} from "../../lib/domain/ids.ts";
import { parseSat } from "../../lib/domain/amounts.ts";

/** Fixed values, computed by tests/vectors/protocol_vectors.py from the protocol's text and recorded from LND. */
export { signatures, vectors };

export const hex = hexToBytes;

/** Brands a value of a vector or a literal of a test. */
function known<T>(value: T | undefined): T {
  if (value === undefined) {
    throw new Error("a literal of this test is malformed");
  }
  return value;
}

export const nodePubkey = (text: string) => known(parseNodePubkey(text));
export const swarmKey = (text: string) => known(parseSwarmKey(text));
export const channelPoint = (text: string) => known(parseChannelPoint(text));
export const shortChannelId = (text: string) => known(parseShortChannelId(text));
export const requestId = (text: string) => known(parseRequestId(text));
export const sats = (text: string) => known(parseSat(text));
