import { type Msat, msat, parseSat } from "../domain/amounts.ts";
import { TightropeError } from "../domain/errors.ts";
import {
  parseChannelPoint,
  parseNodePubkey,
  parsePaymentHash,
  parseRequestId,
  parseShortChannelId,
} from "../domain/ids.ts";
import type { LogLevel } from "../env/logger.ts";
import { DamagedLogError } from "./damaged_log.ts";
import { maskKeys, redactSecrets } from "./mask.ts";
import {
  type EventKind,
  eventKinds,
  type EventRecord,
  type LogRecord,
  type NoteRecord,
  recordVersion,
  type TransactionRecord,
} from "./record.ts";

/**
 * Records on disk: one line of JSON per Hypercore block, times as ISO 8601 in UTC, amounts as decimal strings, channel
 * ids as the decimal of their uint64. `v` is the format; a newer one is refused rather than half understood.
 */

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });
const logLevels = ["debug", "info", "warn", "error"] as const satisfies readonly LogLevel[];
/** 21 million bitcoin. */
const maxMsat = 2_100_000_000_000_000_000n;

/**
 * What is free text in a transaction. Everything else must be read back as it was, and has a form that holds no secret,
 * whatever it looks like: a peer draws its ids as it likes.
 */
const freeTexts = ["reason", "alias", "setAside"];

export function encodeTransaction(record: LogRecord): Uint8Array {
  const json = recordToJson(record);
  for (const key of freeTexts) if (key in json) json[key] = redactSecrets(json[key]);
  return encodeJson(json);
}

/** @param maskedKeys the configuration's `audit.shouldMask` */
export function encodeEvent(record: EventRecord, maskedKeys: readonly string[]): Uint8Array {
  return encodeJson(maskKeys(redactSecrets(recordToJson(record)), maskedKeys));
}

function encodeJson(json: unknown): Uint8Array {
  return encoder.encode(JSON.stringify(json));
}

/** The record as plain JSON, in the order in which people read it: what the log holds and `log --json` prints. */
export function recordToJson(record: LogRecord | EventRecord): Record<string, unknown> {
  const { atWallMs, kind, ...rest } = record;
  const json: Record<string, unknown> = { v: recordVersion, at: isoOf(atWallMs), kind };
  for (const [key, value] of Object.entries(rest)) {
    if (value === undefined) continue;
    const time = /^(.*(?:At|From))WallMs$/.exec(key)?.[1];
    if (time !== undefined) json[time] = isoOf(value as number);
    else json[key] = typeof value === "bigint" ? value.toString() : value;
  }
  return json;
}

function isoOf(wallMs: number): string {
  return new Date(wallMs).toISOString();
}

/** @throws TightropeError if the bytes are no record of a transaction log, or one of a newer format */
export function decodeLogRecord(bytes: Uint8Array): LogRecord {
  const fields = readFields(bytes);
  const kind = fields.text("kind");
  const decoded = (): NoteRecord | undefined => {
    switch (kind) {
      case "clock":
        return { kind, atWallMs: fields.time("at"), jumpMs: fields.parsed("jumpMs", parseWhole) };
      case "repaired": {
        const historyFromWallMs = fields.optionalTime("historyFrom");
        return {
          kind,
          atWallMs: fields.time("at"),
          reason: fields.text("reason"),
          keptRecords: fields.parsed("keptRecords", parseWhole),
          setAside: fields.text("setAside"),
          ...(historyFromWallMs === undefined ? {} : { historyFromWallMs }),
        };
      }
      case "rebuilt":
        return { kind, atWallMs: fields.time("at"), node: fields.parsed("node", parseNodePubkey) };
      case "acknowledged":
        return { kind, atWallMs: fields.time("at"), paymentHash: fields.parsed("paymentHash", parsePaymentHash) };
      case "statement":
        return {
          kind,
          atWallMs: fields.time("at"),
          node: fields.parsed("node", parseNodePubkey),
          alias: fields.text("alias"),
          peer: fields.parsed("peer", parseNodePubkey),
          paidSat: fields.parsed("paidSat", parseSat),
          receivedSat: fields.parsed("receivedSat", parseSat),
          openSat: fields.parsed("openSat", parseSat),
          count: fields.parsed("count", parseWhole),
          logLength: fields.parsed("logLength", parseWhole),
          logTreeHash: fields.text("logTreeHash"),
          saidAtWallMs: fields.time("saidAt"),
          signature: fields.text("signature"),
        };
      default:
        return undefined;
    }
  };
  const note = decoded();
  if (note === undefined) return decodeTransaction(bytes);
  fields.assertNothingLeft();
  return note;
}

/** @throws TightropeError if the bytes are no record of a payment, or one of a newer format */
export function decodeTransaction(bytes: Uint8Array): TransactionRecord {
  const fields = readFields(bytes);
  const kind = fields.text("kind");
  const common = () => ({
    atWallMs: fields.time("at"),
    node: fields.parsed("node", parseNodePubkey),
    peer: fields.parsed("peer", parseNodePubkey),
    ownPeer: fields.flag("ownPeer"),
    paymentHash: fields.parsed("paymentHash", parsePaymentHash),
    amountSat: fields.parsed("amountSat", parseSat),
  });
  const request = () => ({
    ...common(),
    channelPoint: fields.parsed("channelPoint", parseChannelPoint),
    channelId: fields.parsed("channelId", parseShortChannelId),
    requestId: fields.parsed("requestId", parseRequestId),
    expiresAtWallMs: fields.time("expiresAt"),
  });
  const decoded = (): TransactionRecord => {
    switch (kind) {
      case "intent":
        return { ...request(), kind, role: fields.exactly("role", "payer") };
      case "settled":
        return {
          ...request(),
          kind,
          role: fields.exactly("role", "payer"),
          feeMsat: fields.parsed("feeMsat", parseMsat),
          ...fields.optionalText("reason"),
        };
      case "failed":
      case "unknown": {
        const paymentIndex = fields.optional("paymentIndex", parseIndex);
        return {
          ...request(),
          kind,
          role: fields.exactly("role", "payer"),
          reason: fields.text("reason"),
          ...(paymentIndex === undefined ? {} : { paymentIndex }),
        };
      }
      case "invoiced":
      case "received":
        return { ...request(), kind, role: fields.exactly("role", "payee") };
      case "cancelled":
        return { ...request(), kind, role: fields.exactly("role", "payee"), reason: fields.text("reason") };
      case "foreign": {
        const paidAtWallMs = fields.optionalTime("paidAt");
        return {
          ...common(),
          kind,
          role: fields.exactly("role", "payer"),
          channelPoint: fields.optional("channelPoint", parseChannelPoint),
          channelId: fields.optional("channelId", parseShortChannelId),
          pending: fields.flag("pending"),
          ...(paidAtWallMs === undefined ? {} : { paidAtWallMs }),
          ...fields.optionalText("reason"),
        };
      }
      default:
        throw fields.damaged(`kind is ${JSON.stringify(kind)}`);
    }
  };
  const record = decoded();
  fields.assertNothingLeft();
  return record;
}

/** One line of the event log as it was written: the record's fields as JSON, some of them masked. */
export interface LoggedEvent extends Readonly<Record<string, unknown>> {
  /** ISO 8601 in UTC. */
  readonly at: string;
  readonly kind: EventKind;
  readonly level: LogLevel;
  readonly message: string;
}

/** @throws TightropeError if the bytes are no record, or one of a newer format */
export function decodeEvent(bytes: Uint8Array): LoggedEvent {
  const fields = readFields(bytes);
  fields.time("at");
  const known = {
    at: fields.text("at"),
    kind: fields.parsed("kind", (value) => eventKinds.find((kind) => kind === value)),
    level: fields.parsed("level", (value) => logLevels.find((level) => level === value)),
    message: fields.text("message"),
  };
  return { ...fields.all, ...known };
}

/** Reads the fields of one record strictly, and remembers which were read. */
class Fields {
  readonly all: Readonly<Record<string, unknown>>;
  readonly #left: Set<string>;

  constructor(all: Readonly<Record<string, unknown>>) {
    this.all = all;
    this.#left = new Set(Object.keys(all));
    this.#left.delete("v");
  }

  parsed<T>(key: string, parse: (value: unknown) => T | undefined): T {
    const value = this.optional(key, parse);
    if (value === undefined) throw this.damaged(`it has no ${key}`);
    return value;
  }

  optional<T>(key: string, parse: (value: unknown) => T | undefined): T | undefined {
    this.#left.delete(key);
    const value = this.all[key];
    if (value === undefined) return undefined;
    const result = parse(value);
    if (result === undefined) throw this.damaged(`${key} is ${JSON.stringify(value)}`);
    return result;
  }

  text(key: string): string {
    return this.parsed(key, (value) => typeof value === "string" ? value : undefined);
  }

  /** `{[key]: text}`, or `{}` where the field is absent. */
  optionalText<const Key extends string>(key: Key): { readonly [K in Key]?: string } {
    const text = this.optional(key, (value) => typeof value === "string" ? value : undefined);
    return text === undefined ? {} : ({ [key]: text } as { [K in Key]: string });
  }

  flag(key: string): boolean {
    return this.parsed(key, (value) => typeof value === "boolean" ? value : undefined);
  }

  exactly<const T extends string>(key: string, wanted: T): T {
    return this.parsed(key, (value) => value === wanted ? wanted : undefined);
  }

  /** Milliseconds since 1970 of an ISO time exactly as this program writes it. */
  time(key: string): number {
    return this.parsed(key, parseTime);
  }

  optionalTime(key: string): number | undefined {
    return this.optional(key, parseTime);
  }

  /** A field that this format doesn't have would be lost when the ledger is built from what was read. */
  assertNothingLeft(): void {
    if (this.#left.size > 0) throw this.damaged(`it has the unknown field ${[...this.#left].join(", ")}`);
  }

  damaged(detail: string): TightropeError {
    return damagedRecord(`A record in the log cannot be read: ${detail}`);
  }
}

function readFields(bytes: Uint8Array): Fields {
  let json: unknown;
  try {
    json = JSON.parse(decoder.decode(bytes));
  } catch (error) {
    throw damagedRecord("A record in the log cannot be read: it is no JSON", error);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw damagedRecord("A record in the log cannot be read: it is no object");
  }
  const all = json as Readonly<Record<string, unknown>>;
  const version = all["v"];
  if (typeof version !== "number" || !Number.isSafeInteger(version) || version < 1) {
    throw damagedRecord("A record in the log cannot be read: it names no format version");
  }
  if (version > recordVersion) {
    throw new TightropeError(
      "config",
      `The log was written by a newer Tightrope: it has records of format ${version}, this program reads up to ${recordVersion}`,
      "Start the newer version again; this one would misjudge what was already paid",
    );
  }
  return new Fields(all);
}

function damagedRecord(message: string, cause?: unknown): TightropeError {
  return new DamagedLogError(message, { cause });
}

function parseTime(value: unknown): number | undefined {
  const wallMs = typeof value === "string" ? Date.parse(value) : NaN;
  return Number.isNaN(wallMs) || isoOf(wallMs) !== value ? undefined : wallMs;
}

function parseWhole(value: unknown): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) ? value : undefined;
}

function parseIndex(text: unknown): bigint | undefined {
  return typeof text === "string" && /^(0|[1-9][0-9]{0,18})$/.test(text) ? BigInt(text) : undefined;
}

function parseMsat(text: unknown): Msat | undefined {
  if (typeof text !== "string" || !/^(0|[1-9][0-9]{0,18})$/.test(text)) return undefined;
  const value = msat(BigInt(text));
  return value <= maxMsat ? value : undefined;
}
