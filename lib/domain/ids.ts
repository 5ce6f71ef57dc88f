/** Identifiers, each its own type. All are canonical strings, so that they compare, sort and serve as map keys. */

declare const brand: unique symbol;

/** A Lightning node's public key: 66 lower-case hex digits (33 bytes, compressed secp256k1). */
export type NodePubkey = string & { readonly [brand]: "NodePubkey" };

/** A peer's key on the DHT: 64 lower-case hex digits (32 bytes, ed25519). Not a Lightning key. */
export type SwarmKey = string & { readonly [brand]: "SwarmKey" };

/** The funding output of a channel, `txid:index`; both sides of a channel agree on it. */
export type ChannelPoint = string & { readonly [brand]: "ChannelPoint" };

/** A short channel id as the decimal of its uint64 (block 24 bits, transaction 24, output 16); a number would lose digits. */
export type ShortChannelId = string & { readonly [brand]: "ShortChannelId" };

/** SHA-256 of a payment's preimage: 64 lower-case hex digits. */
export type PaymentHash = string & { readonly [brand]: "PaymentHash" };

/** A payee's name for one of its requests: 32 lower-case hex digits. */
export type RequestId = string & { readonly [brand]: "RequestId" };

export function parseNodePubkey(text: unknown): NodePubkey | undefined {
  return typeof text === "string" && /^0[23][0-9a-f]{64}$/.test(text) ? (text as NodePubkey) : undefined;
}

export function parseSwarmKey(text: unknown): SwarmKey | undefined {
  return typeof text === "string" && /^[0-9a-f]{64}$/.test(text) ? (text as SwarmKey) : undefined;
}

export function parsePaymentHash(text: unknown): PaymentHash | undefined {
  return typeof text === "string" && /^[0-9a-f]{64}$/.test(text) ? (text as PaymentHash) : undefined;
}

export function parseRequestId(text: unknown): RequestId | undefined {
  return typeof text === "string" && /^[0-9a-f]{32}$/.test(text) ? (text as RequestId) : undefined;
}

export function parseChannelPoint(text: unknown): ChannelPoint | undefined {
  if (typeof text !== "string") return undefined;
  const match = /^([0-9a-f]{64}):(0|[1-9][0-9]{0,4})$/.exec(text);
  return match && Number(match[2]) <= 0xffff ? (text as ChannelPoint) : undefined;
}

/** Reads `800000x1x0`, `800000:1:0` or the decimal uint64. */
export function parseShortChannelId(text: unknown): ShortChannelId | undefined {
  if (typeof text !== "string") return undefined;
  const parts = /^(\d{1,8})([x:])(\d{1,8})\2(\d{1,5})$/.exec(text);
  if (parts) {
    const [block, tx, output] = [BigInt(parts[1]!), BigInt(parts[3]!), BigInt(parts[4]!)];
    if (block >> 24n || tx >> 24n || output >> 16n) return undefined;
    return ((block << 40n) | (tx << 16n) | output).toString() as ShortChannelId;
  }
  if (!/^(0|[1-9]\d{0,19})$/.test(text)) return undefined;
  return BigInt(text) >> 64n ? undefined : (text as ShortChannelId);
}

/** `879609302286336` -> `800x1x0`, the form that people write. */
export function formatShortChannelId(id: ShortChannelId): string {
  const value = BigInt(id);
  return `${value >> 40n}x${(value >> 16n) & 0xffffffn}x${value & 0xffffn}`;
}
