import { secp256k1 } from "@noble/curves/secp256k1.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, concatBytes, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { bech32 } from "@scure/base";
import { type Msat, msat } from "../domain/amounts.ts";
import { type NodePubkey, parseNodePubkey, parsePaymentHash, type PaymentHash } from "../domain/ids.ts";
import type { Network } from "../domain/network.ts";

/** Lightning invoices as text: BOLT 11, and LND's zpay32 where it says more (order of fields, words of its errors). */

/** What stands after `ln`. Testnets 3 and 4 share one. */
export type Bolt11Prefix = "bc" | "tb" | "tbs" | "bcrt" | "sb";

const prefixes: Record<Network, Bolt11Prefix> = {
  mainnet: "bc",
  testnet: "tb",
  testnet4: "tb",
  signet: "tbs",
  regtest: "bcrt",
  simnet: "sb",
};

export function bolt11Prefix(network: Network): Bolt11Prefix {
  return prefixes[network];
}

/** An invoice to be written. */
export interface Bolt11Fields {
  readonly prefix: Bolt11Prefix;
  /** 0 leaves the amount open. */
  readonly amountMsat: Msat;
  readonly timestampSec: number;
  readonly paymentHash: PaymentHash;
  readonly description: string;
  readonly expirySec: number;
  readonly minFinalCltvBlocks: number;
  /** 64 hex digits. */
  readonly paymentSecret: string;
  /** Numbers of the feature bits that are set. */
  readonly features: readonly number[];
}

/** An invoice that was read. */
export interface Bolt11Invoice {
  readonly prefix: Bolt11Prefix;
  /** 0 when the invoice leaves the amount open. */
  readonly amountMsat: Msat;
  readonly timestampSec: number;
  /** From the `n` field, or recovered from the signature. */
  readonly payee: NodePubkey;
  readonly paymentHash: PaymentHash;
  /** "" when there is only a hash of one. */
  readonly description: string;
  /** 64 hex digits. */
  readonly descriptionHash: string | undefined;
  /** 3,600 unless the invoice says otherwise. */
  readonly expirySec: number;
  /** 18 unless the invoice says otherwise. */
  readonly minFinalCltvBlocks: number;
  /** 64 hex digits. */
  readonly paymentSecret: string;
  readonly features: readonly number[];
  /** Feature 30 or 31. */
  readonly amp: boolean;
  readonly routeHintCount: number;
}

/** `detail`: what is wrong, in LND's words where LND has some. */
export type Bolt11Decoding =
  | { readonly kind: "invoice"; readonly invoice: Bolt11Invoice }
  | { readonly kind: "invalid"; readonly detail: string };

/** LND's own bound on the length of an invoice. */
const maxLength = 7_089;
const signatureWords = 104;
const timestampWords = 7;
/** A field's length is a 10-bit count of 5-bit words: 639 bytes of text at the most. */
const maxFieldWords = 1_023;
const charset = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

const tag = { p: 1, s: 16, d: 13, n: 19, h: 23, x: 6, c: 24, r: 3, features: 5 } as const;

/**
 * Writes and signs an invoice; the order of the fields is LND's.
 * @param secretKey the payee's 32 bytes
 * @throws RangeError for what the format can't hold (a description beyond 639 bytes, a time beyond 35 bits)
 */
export function encodeBolt11(fields: Bolt11Fields, secretKey: Uint8Array): string {
  const hrp = `ln${fields.prefix}${encodeAmount(fields.amountMsat)}`;
  const data = [
    ...fixedWords(BigInt(fields.timestampSec), timestampWords),
    ...field(tag.p, bech32.toWords(hexToBytes(fields.paymentHash))),
    ...field(tag.d, bech32.toWords(utf8ToBytes(fields.description))),
    ...field(tag.c, minimalWords(fields.minFinalCltvBlocks)),
    ...field(tag.x, minimalWords(fields.expirySec)),
    ...field(tag.s, bech32.toWords(hexToBytes(fields.paymentSecret))),
    ...(fields.features.length === 0 ? [] : field(tag.features, featureWords(fields.features))),
  ];
  // noble leads with the recovery id, BOLT 11 ends with it.
  const recovered = secp256k1.sign(signingHash(hrp, data), secretKey, { prehash: false, format: "recovered" });
  const signature = concatBytes(recovered.subarray(1), recovered.subarray(0, 1));
  return bech32.encode(hrp, [...data, ...bech32.toWords(signature)], false);
}

/** Reads any text; never throws. An invoice for another network than `network`, where that is given, is invalid. */
export function decodeBolt11(text: string, network?: Network): Bolt11Decoding {
  try {
    return { kind: "invoice", invoice: decode(text, network) };
  } catch (error) {
    if (!(error instanceof Bolt11Error)) throw error;
    return { kind: "invalid", detail: error.message };
  }
}

/** The compulsory (even) features that nobody here knows; an invoice with one must not be paid. */
export function unknownRequiredFeatures(invoice: Bolt11Invoice): readonly number[] {
  return invoice.features.filter((bit) => bit % 2 === 0 && !knownFeatures.includes(bit));
}

/** tlv_onion, payment_secret, mpp, route blinding, AMP, payment metadata: what LND takes in an invoice. */
const knownFeatures: readonly number[] = [8, 14, 16, 24, 30, 48];

/** Thrown and caught within this file: what is wrong with a text. */
class Bolt11Error extends Error {}

/** 21 million bitcoin, in tenths of a millisatoshi (the unit of the multiplier p). */
const mostPicoBitcoin = 21_000_000n * 1_000_000_000_000n;

const picoBitcoinPer: Readonly<Record<string, bigint>> = {
  "": 1_000_000_000_000n,
  m: 1_000_000_000n,
  u: 1_000_000n,
  n: 1_000n,
  p: 1n,
};

function decodeAmount(text: string): Msat {
  if (text === "") return msat(0n);
  const match = /^(0|[1-9][0-9]{0,19})([munp]?)$/.exec(text);
  if (!match) throw new Bolt11Error(/[0-9]$/.test(text) ? "invalid amount" : `unknown multiplier ${text.slice(-1)}`);
  const picoBitcoin = BigInt(match[1]!) * picoBitcoinPer[match[2]!]!;
  if (picoBitcoin > mostPicoBitcoin) throw new Bolt11Error("amount beyond 21 million bitcoin");
  if (picoBitcoin % 10n !== 0n) throw new Bolt11Error("amount has a fraction of a millisatoshi");
  return msat(picoBitcoin / 10n);
}

function encodeAmount(amountMsat: Msat): string {
  if (amountMsat === 0n) return "";
  const units = [["", 100_000_000_000n], ["m", 100_000_000n], ["u", 100_000n], ["n", 100n]] as const;
  for (const [letter, unit] of units) {
    if (amountMsat % unit === 0n) return `${amountMsat / unit}${letter}`;
  }
  return `${amountMsat * 10n}p`;
}

function decode(text: string, network: Network | undefined): Bolt11Invoice {
  if (text.length > maxLength) throw new Bolt11Error("invoice is too large");
  const [hrp, words] = decodeBech32(text);
  if (hrp.length < 3) throw new Bolt11Error("hrp too short");
  if (!hrp.startsWith("ln")) throw new Bolt11Error('prefix should be "ln"');
  // The longest first: "bcrt" begins with "bc", "tbs" with "tb".
  const prefix = (["bcrt", "tbs", "bc", "tb", "sb"] as const).find((known) => hrp.startsWith(known, 2));
  if (network !== undefined && prefix !== prefixes[network]) {
    throw new Bolt11Error(`invoice not for current active network '${network}'`);
  }
  if (prefix === undefined) throw new Bolt11Error("unknown network");
  const amountMsat = decodeAmount(hrp.slice(2 + prefix.length));
  if (words.length < signatureWords + timestampWords) throw new Bolt11Error("short invoice");

  const data = words.slice(0, -signatureWords);
  const fields = readFields(data.slice(timestampWords));
  if (fields.paymentHash === undefined) throw new Bolt11Error("no payment hash found");
  if ((fields.description === undefined) === (fields.descriptionHash === undefined)) {
    throw new Bolt11Error(
      fields.description === undefined
        ? "neither description nor description hash set"
        : "both description and description hash set",
    );
  }
  if (fields.paymentSecret === undefined) throw new Bolt11Error("no payment address found");
  return {
    prefix,
    amountMsat,
    timestampSec: wordsToNumber(data.slice(0, timestampWords)),
    payee: verifySigner(signingHash(hrp, data), bytesOf(words.slice(-signatureWords)), fields.payee),
    paymentHash: fields.paymentHash,
    description: fields.description ?? "",
    descriptionHash: fields.descriptionHash,
    expirySec: fields.expirySec ?? 3_600,
    minFinalCltvBlocks: fields.minFinalCltvBlocks ?? 18,
    paymentSecret: fields.paymentSecret,
    features: fields.features ?? [],
    amp: (fields.features ?? []).some((bit) => bit === 30 || bit === 31),
    routeHintCount: fields.routeHintCount,
  };
}

/** The checks of BIP 173 in the order and words of LND. */
function decodeBech32(text: string): [hrp: string, words: number[]] {
  if (text.length < 8) throw new Bolt11Error(`invalid bech32 string length ${text.length}`);
  const strange = [...text].find((character) => character < "!" || character > "~");
  if (strange !== undefined) throw new Bolt11Error(`invalid character in string: '${strange}'`);
  const lower = text.toLowerCase();
  if (text !== lower && text !== text.toUpperCase()) {
    throw new Bolt11Error("string not all lowercase or all uppercase");
  }
  const separator = lower.lastIndexOf("1");
  if (separator < 1 || separator + 7 > lower.length) throw new Bolt11Error("invalid index of 1");
  const hrp = lower.slice(0, separator);
  const words = [...lower.slice(separator + 1)].map((character) => {
    const word = charset.indexOf(character);
    if (word < 0) {
      throw new Bolt11Error(
        `failed converting data to bytes: invalid character not part of charset: ${character.codePointAt(0)}`,
      );
    }
    return word;
  });
  const data = words.slice(0, -6);
  const expected = bech32.encode(hrp, data, false).slice(-6);
  const got = lower.slice(-6);
  if (expected !== got) throw new Bolt11Error(`checksum failed. Expected ${expected}, got ${got}.`);
  return [hrp, data];
}

interface ReadFields {
  paymentHash?: PaymentHash;
  paymentSecret?: string;
  description?: string;
  descriptionHash?: string;
  payee?: NodePubkey;
  expirySec?: number;
  minFinalCltvBlocks?: number;
  features?: readonly number[];
  routeHintCount: number;
}

/** Unknown fields, and known ones of another length, are skipped; of a field that comes twice the first counts. */
function readFields(words: readonly number[]): ReadFields {
  const read: ReadFields = { routeHintCount: 0 };
  for (let at = 0; at < words.length;) {
    // What is shorter than a field's head is padding.
    if (words.length - at < 3) break;
    const type = words[at]!;
    const length = words[at + 1]! * 32 + words[at + 2]!;
    const data = words.slice(at + 3, at + 3 + length);
    if (data.length < length) throw new Bolt11Error("invalid field length");
    at += 3 + length;
    switch (type) {
      case tag.p:
        if (length === 52) read.paymentHash ??= hashOf(data);
        break;
      case tag.s:
        if (length === 52) read.paymentSecret ??= bytesToHex(bytesOf(data));
        break;
      case tag.h:
        if (length === 52) read.descriptionHash ??= bytesToHex(bytesOf(data));
        break;
      case tag.d:
        read.description ??= new TextDecoder().decode(bytesOf(data));
        break;
      case tag.n:
        if (length === 53) read.payee ??= pubkeyOf(bytesOf(data));
        break;
      case tag.x:
        read.expirySec ??= wordsToNumber(data);
        break;
      case tag.c:
        read.minFinalCltvBlocks ??= wordsToNumber(data);
        break;
      case tag.r:
        read.routeHintCount++;
        break;
      case tag.features:
        read.features ??= readFeatures(data);
        break;
    }
  }
  return read;
}

function verifySigner(hash: Uint8Array, signature: Uint8Array, claimed: NodePubkey | undefined): NodePubkey {
  const compact = signature.subarray(0, 64);
  const recovery = signature[64]!;
  if (recovery > 3) throw new Bolt11Error("signature is not recoverable");
  if (claimed !== undefined) {
    if (!secp256k1.verify(compact, hash, hexToBytes(claimed), { prehash: false })) {
      throw new Bolt11Error("invalid invoice signature");
    }
    return claimed;
  }
  const recoverable = concatBytes(Uint8Array.of(recovery), compact);
  let key: Uint8Array;
  try {
    key = secp256k1.recoverPublicKey(recoverable, hash, { prehash: false });
  } catch {
    throw new Bolt11Error("signature is not recoverable");
  }
  return pubkeyOf(key);
}

function pubkeyOf(bytes: Uint8Array): NodePubkey {
  const pubkey = parseNodePubkey(bytesToHex(bytes));
  if (pubkey === undefined) throw new Bolt11Error("invalid public key");
  return pubkey;
}

function hashOf(words: number[]): PaymentHash {
  const hash = parsePaymentHash(bytesToHex(bytesOf(words)));
  if (hash === undefined) throw new Bolt11Error("invalid payment hash");
  return hash;
}

/** Signed is SHA-256 over the readable part and the data as bytes, padded with zeros to a whole byte. */
function signingHash(hrp: string, words: readonly number[]): Uint8Array {
  return sha256(concatBytes(utf8ToBytes(hrp), packWords(words, Math.ceil((words.length * 5) / 8))));
}

/** The whole bytes in words; what is left over is padding. */
function bytesOf(words: readonly number[]): Uint8Array {
  return packWords(words, Math.floor((words.length * 5) / 8));
}

function packWords(words: readonly number[], byteLength: number): Uint8Array {
  const bytes = new Uint8Array(byteLength);
  words.forEach((word, index) => {
    for (let bit = 0; bit < 5; bit++) {
      const at = index * 5 + bit;
      if (((word >> (4 - bit)) & 1) === 1 && at >> 3 < byteLength) bytes[at >> 3]! |= 0x80 >> (at & 7);
    }
  });
  return bytes;
}

function field(type: number, words: readonly number[]): number[] {
  if (words.length > maxFieldWords) {
    throw new RangeError(`data length too big to fit within 10 bits: ${words.length}`);
  }
  return [type, words.length >> 5, words.length & 31, ...words];
}

function fixedWords(value: bigint, length: number): number[] {
  const words: number[] = [];
  for (let index = length - 1; index >= 0; index--) words.push(Number((value >> BigInt(index * 5)) & 31n));
  if (value < 0n || value >> BigInt(length * 5)) throw new RangeError(`${value} doesn't fit within ${length * 5} bits`);
  return words;
}

function minimalWords(value: number): number[] {
  const length = Math.max(1, Math.ceil(value.toString(2).length / 5));
  return value === 0 ? [] : fixedWords(BigInt(value), length);
}

function wordsToNumber(words: readonly number[]): number {
  // 10 words are 50 bits; more could lose digits.
  const significant = words.slice(words.findIndex((word) => word !== 0));
  if (significant.length > 10) throw new Bolt11Error("number too large");
  return significant.reduce((sum, word) => sum * 32 + word, 0);
}

function featureWords(bits: readonly number[]): number[] {
  const words = new Array<number>(Math.floor(Math.max(...bits) / 5) + 1).fill(0);
  for (const bit of bits) words[words.length - 1 - Math.floor(bit / 5)]! |= 1 << (bit % 5);
  return words;
}

function readFeatures(words: readonly number[]): number[] {
  const bits: number[] = [];
  for (let bit = 0; bit < words.length * 5; bit++) {
    if (((words[words.length - 1 - Math.floor(bit / 5)]! >> (bit % 5)) & 1) === 1) bits.push(bit);
  }
  return bits;
}
