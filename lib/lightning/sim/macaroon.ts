import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import type { Random } from "../../env/random.ts";

/** A right: an entity and an action (`offchain`, `write`), or `uri` and the path of one RPC. */
export interface MacaroonOp {
  readonly entity: string;
  readonly action: string;
}

export interface MacaroonSpec {
  /** Which of the node's root keys signs it, as a decimal. LND's own macaroons use "0". */
  readonly rootKeyId: string;
  readonly ops: readonly MacaroonOp[];
  /** First-party caveats, such as `time-before 2026-01-01T00:00:00Z`. */
  readonly caveats?: readonly string[];
}

/** What LND answers to a macaroon that it doesn't accept. */
export type MacaroonVerdict = { readonly kind: "allowed" } | { readonly kind: "refused"; readonly text: string };

/** What each RPC of the simulated LND asks of a macaroon (LND's rpcserver.go, router_server.go and invoices_server.go). */
const rightsOf: Readonly<Record<string, MacaroonOp>> = {
  "/lnrpc.Lightning/GetInfo": { entity: "info", action: "read" },
  "/lnrpc.Lightning/ListChannels": { entity: "offchain", action: "read" },
  "/lnrpc.Lightning/ListPayments": { entity: "offchain", action: "read" },
  "/lnrpc.Lightning/SubscribeChannelEvents": { entity: "offchain", action: "read" },
  "/lnrpc.Lightning/AddInvoice": { entity: "invoices", action: "write" },
  "/lnrpc.Lightning/LookupInvoice": { entity: "invoices", action: "read" },
  "/lnrpc.Lightning/DecodePayReq": { entity: "offchain", action: "read" },
  "/lnrpc.Lightning/SignMessage": { entity: "message", action: "write" },
  "/routerrpc.Router/SendPaymentV2": { entity: "offchain", action: "write" },
  "/routerrpc.Router/TrackPaymentV2": { entity: "offchain", action: "read" },
  "/routerrpc.Router/SubscribeHtlcEvents": { entity: "offchain", action: "read" },
  "/invoicesrpc.Invoices/CancelInvoice": { entity: "invoices", action: "write" },
  "/invoicesrpc.Invoices/SubscribeSingleInvoice": { entity: "invoices", action: "read" },
};

const ops = (entities: readonly string[], ...actions: readonly string[]): MacaroonOp[] =>
  entities.flatMap((entity) => actions.map((action) => ({ entity, action })));
const entities = ["onchain", "offchain", "address", "message", "peers", "info", "invoices", "signer", "macaroon"];

/** The rights of the macaroons that LND makes by itself. */
export const standardMacaroons = {
  admin: [...ops(entities, "read", "write"), { entity: "macaroon", action: "generate" }],
  readonly: ops(entities, "read"),
  invoice: ops(["invoices", "address"], "read", "write").concat({ entity: "onchain", action: "read" }),
} as const satisfies Record<string, readonly MacaroonOp[]>;

/** The rights `uri:…` of a macaroon for single RPCs. */
export function uriOps(paths: readonly string[]): MacaroonOp[] {
  return paths.map((path) => ({ entity: "uri", action: path }));
}

/** One node's macaroon service: its root keys, what it signs with them, and how it judges what it is shown. */
export class MacaroonOven {
  readonly #rootKeys = new Map<string, Uint8Array>();
  readonly #random: Random;

  constructor(random: Random) {
    this.#random = random;
  }

  /** @returns the macaroon in libmacaroons' binary format, version 2 */
  bake(spec: MacaroonSpec): Uint8Array {
    let rootKey = this.#rootKeys.get(spec.rootKeyId);
    if (rootKey === undefined) this.#rootKeys.set(spec.rootKeyId, rootKey = this.#random.bytes(32));
    const identifier = encodeIdentifier(spec, this.#random.bytes(16));
    const caveats = spec.caveats ?? [];
    return encodeMacaroon({ identifier, caveats, signature: signatureOf(rootKey, identifier, caveats) });
  }

  /** Every macaroon of this root key is refused from now on. */
  revoke(rootKeyId: string): void {
    this.#rootKeys.delete(rootKeyId);
  }

  /**
   * Judges the `macaroon` values of a request's metadata, in LND's order and words.
   * @param path the RPC, `/lnrpc.Lightning/GetInfo`
   */
  judge(values: readonly string[], path: string, nowWallMs: number): MacaroonVerdict {
    const refused = (text: string): MacaroonVerdict => ({ kind: "refused", text });
    if (values.length !== 1) return refused(`expected 1 macaroon, got ${values.length}`);
    const bytes = decodeGoHex(values[0]!);
    if (typeof bytes === "string") return refused(bytes);
    if (bytes.length === 0) return refused("empty macaroon data");
    const macaroon = decodeMacaroon(bytes);
    if (macaroon === undefined) return refused("cannot determine data format of binary-encoded macaroon");
    const identifier = decodeIdentifier(macaroon.identifier);
    const rootKey = this.#rootKeys.get(identifier.rootKeyId);
    if (rootKey === undefined) {
      return refused(
        `cannot retrieve macaroon: cannot get macaroon: root key with id ${identifier.rootKeyId} doesn't exist`,
      );
    }
    const expected = signatureOf(rootKey, macaroon.identifier, macaroon.caveats);
    if (!equalBytes(expected, macaroon.signature)) {
      return refused("verification failed: signature mismatch after caveat verification");
    }
    for (const caveat of macaroon.caveats) {
      const before = /^time-before (.+)$/.exec(caveat);
      if (before === null) return refused(`caveat "${caveat}" not satisfied: caveat not recognized`);
      if (nowWallMs >= Date.parse(before[1]!)) {
        return refused(`caveat "${caveat}" not satisfied: macaroon has expired`);
      }
    }
    const right = rightsOf[path];
    const allowed = identifier.ops.some((op) =>
      op.entity === "uri" ? op.action === path : op.entity === right?.entity && op.action === right.action
    );
    return allowed ? { kind: "allowed" } : refused("permission denied");
  }
}

interface Macaroon {
  readonly identifier: Uint8Array;
  readonly caveats: readonly string[];
  readonly signature: Uint8Array;
}

const text = new TextEncoder();

/** A chain of HMACs: whoever holds a macaroon can add a caveat, and nobody can take one away. */
function signatureOf(rootKey: Uint8Array, identifier: Uint8Array, caveats: readonly string[]): Uint8Array {
  const key = hmac(sha256, text.encode("macaroons-key-generator"), rootKey);
  let signature = hmac(sha256, key, identifier);
  for (const caveat of caveats) signature = hmac(sha256, signature, text.encode(caveat));
  return signature;
}

// The binary format, version 2: packets of a type, a length and data; a section ends with type 0.
const endOfSection = 0;
const locationType = 1;
const identifierType = 2;
const signatureType = 6;

function encodeMacaroon(macaroon: Macaroon): Uint8Array {
  const bytes = [2];
  const packet = (type: number, data: Uint8Array) => bytes.push(type, ...varint(data.length), ...data);
  packet(locationType, text.encode("lnd"));
  packet(identifierType, macaroon.identifier);
  bytes.push(endOfSection);
  for (const caveat of macaroon.caveats) {
    packet(identifierType, text.encode(caveat));
    bytes.push(endOfSection);
  }
  bytes.push(endOfSection);
  packet(signatureType, macaroon.signature);
  return Uint8Array.from(bytes);
}

function decodeMacaroon(bytes: Uint8Array): Macaroon | undefined {
  if (bytes[0] !== 2) return undefined;
  const reader = new Reader(bytes.subarray(1));
  try {
    if (reader.peek() === locationType) reader.packet(locationType);
    const identifier = reader.packet(identifierType);
    reader.byte(endOfSection);
    const caveats: string[] = [];
    while (reader.peek() !== endOfSection) {
      if (reader.peek() === locationType) reader.packet(locationType);
      caveats.push(new TextDecoder().decode(reader.packet(identifierType)));
      reader.byte(endOfSection);
    }
    reader.byte(endOfSection);
    return { identifier, caveats, signature: reader.packet(signatureType) };
  } catch (error) {
    if (error instanceof RangeError) return undefined;
    throw error;
  }
}

// LND's identifier: a version byte (3), then a protobuf of nonce (1), root key id (2) and ops (3: entity 1, actions 2).

function encodeIdentifier(spec: MacaroonSpec, nonce: Uint8Array): Uint8Array {
  const actions = new Map<string, string[]>();
  for (const { entity, action } of spec.ops) {
    const known = actions.get(entity);
    if (known === undefined) actions.set(entity, [action]);
    else known.push(action);
  }
  const bytes = [3, ...field(1, nonce), ...field(2, text.encode(spec.rootKeyId))];
  for (const [entity, names] of actions) {
    const op = [...field(1, text.encode(entity)), ...names.flatMap((name) => field(2, text.encode(name)))];
    bytes.push(...field(3, Uint8Array.from(op)));
  }
  return Uint8Array.from(bytes);
}

function decodeIdentifier(bytes: Uint8Array): { rootKeyId: string; ops: MacaroonOp[] } {
  const decoder = new TextDecoder();
  const found: MacaroonOp[] = [];
  let rootKeyId = "";
  for (const [number, data] of fields(bytes.subarray(1))) {
    if (number === 2) rootKeyId = decoder.decode(data);
    if (number !== 3) continue;
    let entity = "";
    for (const [inner, value] of fields(data)) {
      if (inner === 1) entity = decoder.decode(value);
      else if (inner === 2) found.push({ entity, action: decoder.decode(value) });
    }
  }
  return { rootKeyId, ops: found };
}

function field(number: number, data: Uint8Array): number[] {
  return [(number << 3) | 2, ...varint(data.length), ...data];
}

function* fields(bytes: Uint8Array): Generator<[number, Uint8Array]> {
  const reader = new Reader(bytes);
  while (reader.peek() !== undefined) {
    const key = reader.varint();
    yield [key >> 3, reader.take(reader.varint())];
  }
}

function varint(value: number): number[] {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest >>>= 7) bytes.push((rest & 0x7f) | 0x80);
  return [...bytes, rest];
}

/** Reads forward; a RangeError tells that the data ended or was something else. */
class Reader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  peek(): number | undefined {
    return this.#bytes[this.#offset];
  }

  byte(expected: number): void {
    if (this.peek() !== expected) throw new RangeError(`expected byte ${expected}`);
    this.#offset++;
  }

  varint(): number {
    let value = 0;
    for (let shift = 0; shift < 28; shift += 7) {
      const byte = this.peek();
      if (byte === undefined) break;
      this.#offset++;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError("bad varint");
  }

  take(length: number): Uint8Array {
    if (this.#offset + length > this.#bytes.length) throw new RangeError("data ends early");
    return this.#bytes.subarray(this.#offset, this.#offset += length);
  }

  packet(type: number): Uint8Array {
    this.byte(type);
    return this.take(this.varint());
  }
}

/** Go's encoding/hex: the bytes, or its error. */
function decodeGoHex(value: string): Uint8Array | string {
  const bad = /[^0-9a-fA-F]/.exec(value);
  if (bad !== null) {
    const code = bad[0].charCodeAt(0).toString(16).toUpperCase().padStart(4, "0");
    return `encoding/hex: invalid byte: U+${code} '${bad[0]}'`;
  }
  if (value.length % 2 === 1) return "encoding/hex: odd length hex string";
  return Uint8Array.from(value.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && a.every((byte, index) => byte === b[index]);
}
