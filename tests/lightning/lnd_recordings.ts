import type { DescField, DescMessage, DescMethodServerStreaming, DescMethodUnary, Message } from "@bufbuild/protobuf";
import { type MessageInitShape, ScalarType } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import type { RpcStatus } from "../../lib/lightning/lnd/errors.ts";

/**
 * What real LND nodes answered (tests/vectors/lnd/<version>/recordings.jsonl, one recording a line, as their JSON came
 * out of LND's own protos), and how an answer of ours is compared with it.
 */

export interface Recording {
  readonly name: string;
  readonly request?: Json;
  readonly response?: Json;
  readonly updates?: readonly { readonly msg: Json }[];
  readonly error?: RpcStatus;
}

type Json = Readonly<Record<string, unknown>>;

/** One answer, ours or a recorded one. */
export interface Answer {
  readonly messages: readonly unknown[];
  /** Undefined where the call ended well (or was left by the client). */
  readonly error: RpcStatus | undefined;
}

export function readRecordings(version: string): ReadonlyMap<string, Recording> {
  const path = new URL(`../vectors/lnd/${version}/recordings.jsonl`, import.meta.url);
  const lines = Deno.readTextFileSync(path).trimEnd().split("\n");
  const recordings: Recording[] = lines.map((line) => JSON.parse(line));
  return new Map(recordings.map((recording) => [recording.name, recording]));
}

/** A recorded answer in the form in which ours is compared with it. */
export function recordedAnswer(recording: Recording, output: DescMessage): Answer {
  const messages = recording.updates?.map(({ msg }) => msg) ??
    (recording.response === undefined ? [] : [recording.response]);
  const { error } = recording;
  return {
    messages: messages.map((message) => recordedMessage(output, message)),
    // "Cancelled on client" is how the recorder left a stream that went on.
    error: error === undefined || error.code === 1 ? undefined : normalStatus(error),
  };
}

export function ourAnswer(output: DescMessage, messages: readonly Message[], error: RpcStatus | undefined): Answer {
  return {
    messages: messages.map((message) => ourMessage(output, message)),
    error: error === undefined || error.code === 0 || error.code === 1 ? undefined : normalStatus(error),
  };
}

/** A recorded request as ours. */
export function requestOf<D extends DescMessage>(schema: D, request: Json = {}): MessageInitShape<D> {
  const init: Record<string, unknown> = {};
  for (const field of schema.fields) {
    const value = request[field.name];
    if (value === undefined) continue;
    if (field.fieldKind === "list") init[field.localName] = value;
    else if (field.scalar === ScalarType.BYTES) init[field.localName] = bytesOf(String(value));
    else if (field.scalar === ScalarType.INT64 || field.scalar === ScalarType.UINT64) {
      init[field.localName] = BigInt(String(value));
    } else init[field.localName] = value;
  }
  return init as MessageInitShape<D>;
}

export type AnyMethod = DescMethodUnary | DescMethodServerStreaming;

function bytesOf(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** The fields that we know of a recorded message. */
function recordedMessage(schema: DescMessage, message: Json): Json {
  const normal: Record<string, unknown> = {};
  for (const field of schema.fields) {
    const value = message[field.name];
    if (value === undefined) continue;
    normal[field.name] = recordedValue(field, value);
  }
  return normal;
}

function recordedValue(field: DescField, value: unknown): unknown {
  if (field.fieldKind === "message") return value === null ? null : recordedMessage(field.message, value as Json);
  if (field.fieldKind === "list") {
    const { listKind } = field;
    const list = (value as unknown[]).map((one) =>
      listKind === "message" ? recordedMessage(field.message, one as Json) : normalScalar(field.name, one)
    );
    return field.name === "channels" ? sortedChannels(list) : list;
  }
  if (field.fieldKind === "map" && field.mapKind === "message") {
    const { message } = field;
    return Object.fromEntries(
      Object.entries(value as Json).map(([key, one]) => [key, recordedMessage(message, one as Json)]),
    );
  }
  return normalScalar(field.name, value);
}

/** The order of a list of channels is no promise. */
function sortedChannels(channels: unknown[]): unknown[] {
  const capacity = (channel: unknown) => Number((channel as { capacity: string }).capacity);
  return channels.sort((a, b) => capacity(a) - capacity(b));
}

/** Ours, in the form of the recordings: 64-bit numbers as text, bytes as hex, enums by name, absent messages null. */
function ourMessage(schema: DescMessage, message: Message): Json {
  const view = reflect(schema, message);
  const normal: Record<string, unknown> = {};
  for (const field of schema.fields) {
    if (field.oneof !== undefined && !view.isSet(field)) continue;
    switch (field.fieldKind) {
      case "message":
        normal[field.name] = view.isSet(field) ? ourMessage(field.message, view.get(field).message) : null;
        break;
      case "list": {
        const list = Array.from(view.get(field), (one) => {
          if (field.listKind === "message") return ourMessage(field.message, (one as { message: Message }).message);
          return normalScalar(field.name, plainScalar(field, one));
        });
        normal[field.name] = field.name === "channels" ? sortedChannels(list) : list;
        break;
      }
      case "map":
        normal[field.name] = Object.fromEntries(
          Array.from(view.get(field), ([key, one]) => {
            if (field.mapKind !== "message") throw new Error(`no map like ${field.name}`);
            return [String(key), ourMessage(field.message, (one as { message: Message }).message)];
          }),
        );
        break;
      default:
        normal[field.name] = normalScalar(field.name, plainScalar(field, view.get(field)));
    }
  }
  return normal;
}

function plainScalar(field: DescField, value: unknown): unknown {
  if (field.fieldKind === "enum") return field.enum.value[value as number]?.name;
  if (typeof value === "bigint") return String(value);
  if (value instanceof Uint8Array) return Array.from(value, (byte) => byte.toString(16).padStart(2, "0")).join("");
  return value;
}

/** What differs from run to run: keys, hashes, ids, times, and numbers that count what was done before. */
const kinds: readonly [RegExp, string][] = [
  [/^(remote_pubkey|pub_key|identity_pubkey)$/, "key"],
  [/(_hash|^hash_lock|^payment_addr|preimage)$/, "hash"],
  [/(chan_id|channel_id|_scid)$/, "channel id"],
  [/^(channel_point|txid|funding_txid_bytes)$/, "channel point"],
  [/^(payment_request|signature)$/, "text"],
  [/^(creation|settle)_date$|_time(_ns)?$|^timestamp_ns$/, "time"],
  [/^(add|settle|payment)_index$|^attempt_id$|_index_offset$/, "index"],
  [/^(num_(active|inactive|pending)_channels|num_peers|block_height|color)$/, "network"],
];

/** What may be 0 for the first channel, HTLC or close, or not. */
const counts = /^(num_updates|total_satoshis_(sent|received)|htlc_index|(incoming|outgoing)_htlc_id|settled_balance)$/;

function normalScalar(name: string, value: unknown): unknown {
  if (counts.test(name)) return "(count)";
  const kind = kinds.find(([pattern]) => pattern.test(name))?.[1];
  if (kind === undefined || value === "" || value === "0" || /^0+$/.test(String(value))) return value;
  return `(${kind})`;
}

function normalStatus({ code, details }: RpcStatus): RpcStatus {
  return {
    code,
    details: details
      .replace(/Expected \w{6}, got \w{6}/, "Expected (checksum), got (checksum)")
      .replace(/time-before \S+"/, 'time-before (time)"')
      .replace(/Valid until [-0-9: +]+UTC/, "Valid until (time)"),
  };
}
