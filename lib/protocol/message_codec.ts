import { invariant, messageOf, unreachable } from "../domain/errors.ts";
import { parseSat } from "../domain/amounts.ts";
import {
  parseChannelPoint,
  parseNodePubkey,
  parsePaymentHash,
  parseRequestId,
  parseShortChannelId,
} from "../domain/ids.ts";
import { maxPausedChannels, type Message, resultReasons } from "./messages.ts";
import { utf8 } from "./fields.ts";

/**
 * Messages as UTF-8 JSON. A message comes from a member of the cluster, yet nothing in it is trusted: every field has a
 * form and a length, unknown fields are dropped, and what doesn't fit is refused as a whole.
 * Amounts are decimal strings of satoshis, times ISO 8601.
 */

/** The longest texts that pass, in characters. LND allows 32 bytes for an alias. */
const maxAlias = 64;
const maxVersion = 32;
const maxNetwork = 16;
const maxProof = 128;
const maxInvoice = 8_192;

export type DecodedMessage =
  | {
    readonly ok: true;
    readonly message: Message;
    /** When the sender says it sent it: informative, to notice clocks that differ. */
    readonly sentAtWallMs: number | undefined;
  }
  | { readonly ok: false; readonly why: string };

/** @param sentAtWallMs the wall clock now, if the other side is to compare it with its own */
export function encodeMessage(message: Message, sentAtWallMs?: number): Uint8Array {
  const sentAt = sentAtWallMs === undefined ? {} : { sentAt: isoTime(sentAtWallMs) };
  return utf8(JSON.stringify({ ...plainFields(message), ...sentAt }));
}

function plainFields(message: Message): Record<string, unknown> {
  switch (message.type) {
    case "hello":
      return {
        ...message,
        alias: cleanText(message.alias, maxAlias),
        version: cleanText(message.version, maxVersion),
        network: cleanText(message.network, maxNetwork),
      };
    case "bye":
      return { ...message };
    case "payInvoice":
      invariant(message.invoice.length <= maxInvoice, "our own invoice is longer than a message may hold");
      return { ...message, tokens: message.tokens.toString() };
    case "paymentResult": {
      const { confirmedAtWallMs, maxTokens, ...rest } = message;
      const hint = maxTokens === undefined ? {} : { maxTokens: maxTokens.toString() };
      return { ...rest, confirmedAt: isoTime(confirmedAtWallMs), ...hint };
    }
    case "account": {
      const { atWallMs, paidSat, receivedSat, openSat, ...rest } = message;
      const amounts = { paid: paidSat.toString(), received: receivedSat.toString(), open: openSat.toString() };
      return { ...rest, ...amounts, at: isoTime(atWallMs) };
    }
    default:
      return unreachable(message);
  }
}

/** Reads one message; total, whatever the bytes. `why` is fit for a log: it holds no text of the peer's but field names of ours. */
export function decodeMessage(bytes: Uint8Array): DecodedMessage {
  let value: unknown;
  try {
    value = JSON.parse(new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes));
  } catch (error) {
    return { ok: false, why: error instanceof SyntaxError ? "it isn't JSON" : "it isn't UTF-8 text" };
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    return { ok: false, why: "it isn't an object" };
  }
  try {
    const fields = new Fields(value);
    const message = readMessage(fields);
    return { ok: true, message, sentAtWallMs: fields.has("sentAt") ? fields.time("sentAt") : undefined };
  } catch (error) {
    if (error instanceof FieldError) return { ok: false, why: messageOf(error) };
    throw error;
  }
}

function readMessage(fields: Fields): Message {
  const type = fields.read("type", "a known message type", (value) => messageTypes.find((known) => known === value));
  switch (type) {
    case "hello":
      return {
        type,
        publicKey: fields.read("publicKey", "a node's public key", parseNodePubkey),
        alias: fields.text("alias", maxAlias),
        network: fields.text("network", maxNetwork),
        proof: fields.read("proof", "a z-base-32 signature", matching(/^[a-z0-9]*$/, maxProof)),
        version: fields.text("version", maxVersion),
        logHead: readLogHead(fields),
        ...readPaused(fields),
        ...fields.optional(
          "pausedChannels",
          (name) => fields.read(name, "a list of channel points", parseChannelPoints),
        ),
      };
    case "bye":
      return { type, publicKey: fields.read("publicKey", "a node's public key", parseNodePubkey) };
    case "payInvoice":
      return {
        type,
        ...readRequestFields(fields),
        invoice: fields.read("invoice", "a BOLT 11 invoice", matching(/^ln[0-9a-z]+$/, maxInvoice)),
        tokens: fields.read("tokens", "an amount in satoshis", parseSat),
      };
    case "paymentResult":
      return {
        type,
        ...readRequestFields(fields),
        paymentId: fields.read("paymentId", "a payment hash or empty", (v) => (v === "" ? v : parsePaymentHash(v))),
        confirmed: fields.read("confirmed", "true or false", (v) => (typeof v === "boolean" ? v : undefined)),
        confirmedAtWallMs: fields.time("confirmedAt"),
        ...readPaused(fields),
        ...fields.optional("reason", (name) => fields.read(name, "a known reason", parseReason)),
        ...fields.optional("retryAfterMs", (name) => fields.read(name, "a count of milliseconds", parseCount)),
        ...fields.optional("maxTokens", (name) => fields.read(name, "an amount in satoshis", parseSat)),
      };
    case "account":
      return {
        type,
        node: fields.read("node", "a node's public key", parseNodePubkey),
        peer: fields.read("peer", "a node's public key", parseNodePubkey),
        paidSat: fields.read("paid", "an amount in satoshis", parseSat),
        receivedSat: fields.read("received", "an amount in satoshis", parseSat),
        openSat: fields.read("open", "an amount in satoshis", parseSat),
        count: fields.read("count", "a count", parseCount),
        logHead: readLogHead(fields),
        atWallMs: fields.time("at"),
        signature: fields.read("signature", "a z-base-32 signature", matching(/^[a-z0-9]*$/, maxProof)),
      };
    default:
      return unreachable(type);
  }
}

const messageTypes = ["hello", "bye", "payInvoice", "paymentResult", "account"] as const;

function readLogHead(fields: Fields): { readonly length: number; readonly treeHash: string } {
  const logHead = fields.inner("logHead");
  return {
    length: logHead.read("length", "a count", parseCount),
    treeHash: logHead.read("treeHash", "64 hex digits or empty", matching(/^([0-9a-f]{64})?$/, 64)),
  };
}

function readRequestFields(fields: Fields) {
  return {
    requestId: fields.read("requestId", "32 hex digits", parseRequestId),
    channelPoint: fields.read("channelPoint", "txid:index", parseChannelPoint),
    channelId: fields.read("channelId", "a channel id", parseShortChannelId),
  };
}

/** `paused`, where it is true: that it isn't needs no word. */
function readPaused(fields: Fields): { readonly paused?: true } {
  const { paused } = fields.optional(
    "paused",
    (name) => fields.read(name, "true or false", (v) => (typeof v === "boolean" ? v : undefined)),
  );
  return paused === true ? { paused } : {};
}

function parseChannelPoints(value: unknown) {
  if (!Array.isArray(value) || value.length > maxPausedChannels) return undefined;
  const points = value.flatMap((item) => parseChannelPoint(item) ?? []);
  return points.length === value.length ? points : undefined;
}

function parseReason(value: unknown) {
  return resultReasons.find((reason) => reason === value);
}

function parseCount(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined;
}

function matching(pattern: RegExp, maxLength: number) {
  return (value: unknown) =>
    typeof value === "string" && value.length <= maxLength && pattern.test(value) ? value : undefined;
}

function isoTime(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

/**
 * A peer's text made fit for a screen and a log: no control, formatting or unpaired characters (they could redraw a
 * terminal, reverse the reading direction or forge a line), and at most `maxLength` characters.
 */
export function cleanText(text: string, maxLength: number): string {
  const clean = text.replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Co}\u2028\u2029]/gu, "").trim();
  return [...clean].slice(0, maxLength).join("");
}

class FieldError extends Error {}

/** The named fields of one JSON object; inherited ones don't count. */
class Fields {
  readonly #object: object;

  constructor(object: object) {
    this.#object = object;
  }

  has(name: string): boolean {
    return Object.hasOwn(this.#object, name);
  }

  /** @throws {FieldError} where the field is missing or `parse` gives undefined */
  read<T>(name: string, form: string, parse: (value: unknown) => T | undefined): T {
    const value: unknown = this.has(name) ? Reflect.get(this.#object, name) : undefined;
    const parsed = parse(value);
    if (parsed === undefined) throw new FieldError(`${name} is ${value === undefined ? "missing" : `not ${form}`}`);
    return parsed;
  }

  text(name: string, maxLength: number): string {
    return this.read(name, "text", (value) => (typeof value === "string" ? cleanText(value, maxLength) : undefined));
  }

  /** @returns wall clock milliseconds */
  time(name: string): number {
    return this.read(name, "a time in ISO 8601", (value) => {
      if (typeof value !== "string") return undefined;
      if (!/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/.test(value)) return undefined;
      const wallMs = Date.parse(value);
      return Number.isNaN(wallMs) ? undefined : wallMs;
    });
  }

  inner(name: string): Fields {
    return this.read(
      name,
      "an object",
      (value) => (typeof value === "object" && value !== null && !Array.isArray(value) ? new Fields(value) : undefined),
    );
  }

  /** `{[name]: value}`, or `{}` where the field is absent. */
  optional<Name extends string, T>(name: Name, read: (name: Name) => T): { readonly [K in Name]?: T } {
    return this.has(name) ? ({ [name]: read(name) } as { [K in Name]: T }) : {};
  }
}
