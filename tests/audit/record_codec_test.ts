import assert from "node:assert/strict";
import fc from "fast-check";
import { msat, sat } from "../../lib/domain/amounts.ts";
import { TightropeError } from "../../lib/domain/errors.ts";
import {
  parseChannelPoint,
  parseNodePubkey,
  parsePaymentHash,
  parseRequestId,
  parseShortChannelId,
} from "../../lib/domain/ids.ts";
import type { EventRecord, LogRecord, TransactionRecord } from "../../lib/audit/record.ts";
import {
  decodeEvent,
  decodeLogRecord,
  decodeTransaction,
  encodeEvent,
  encodeTransaction,
  recordToJson,
} from "../../lib/audit/record_codec.ts";
import { channel, hash, node, record, startWallMs } from "./records.ts";

const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
const bytes = (json: unknown) => new TextEncoder().encode(typeof json === "string" ? json : JSON.stringify(json));

const amountSat = fc.bigInt({ min: 0n, max: 2_100_000_000_000_000n }).map(sat);
const wallMs = fc.integer({ min: 0, max: 4_102_444_800_000 });
const base = {
  atWallMs: wallMs,
  node: fc.constantFrom(node("A"), node("C")),
  peer: fc.constantFrom(node("B"), node("D")),
  ownPeer: fc.boolean(),
  paymentHash: fc.nat().map(hash),
  amountSat,
};
const request = {
  ...base,
  channelPoint: fc.nat().map(channel),
  channelId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }).map((id) => parseShortChannelId(id.toString())!),
  requestId: fc.nat().map((n) => parseRequestId(n.toString(16).padStart(32, "0"))!),
  expiresAtWallMs: wallMs,
};
const payer = fc.constant("payer" as const);
const payee = fc.constant("payee" as const);
const transaction: fc.Arbitrary<TransactionRecord> = fc.oneof(
  fc.record({ ...request, kind: fc.constant("intent" as const), role: payer }),
  fc.record({
    ...request,
    kind: fc.constant("settled" as const),
    role: payer,
    feeMsat: amountSat.map((value) => msat(value)),
  }),
  fc.record({
    ...request,
    kind: fc.constantFrom("failed" as const, "unknown" as const),
    role: payer,
    reason: fc.string(),
  }),
  fc.record({
    ...request,
    kind: fc.constantFrom("failed" as const, "unknown" as const),
    role: payer,
    reason: fc.string(),
    paymentIndex: fc.bigInt({ min: 0n, max: 10n ** 18n }),
  }),
  fc.record({ ...request, kind: fc.constantFrom("invoiced" as const, "received" as const), role: payee }),
  fc.record({
    ...request,
    kind: fc.constant("cancelled" as const),
    role: payee,
    reason: fc.string({ unit: "binary" }),
  }),
  fc.record({
    ...base,
    kind: fc.constant("foreign" as const),
    role: payer,
    pending: fc.boolean(),
    channelPoint: fc.option(request.channelPoint, { nil: undefined }),
    channelId: fc.option(request.channelId, { nil: undefined }),
  }),
);

Deno.test("decodeTransaction() gives back what encodeTransaction() was given", () => {
  fc.assert(fc.property(transaction, (given) => {
    assert.deepEqual(decodeTransaction(encodeTransaction(given)), { ...given });
  }));
});

// A peer chooses its request's id, and its hash and its node's key as far as it has the patience to draw them.
Deno.test("ids that look like the beginning of a macaroon are read back as they were written", () => {
  const like = (digits: number) => "0201036c6e64".padEnd(digits, "0");
  const ids = {
    requestId: parseRequestId(like(32))!,
    paymentHash: parsePaymentHash(like(64))!,
    peer: parseNodePubkey(like(66))!,
    channelPoint: parseChannelPoint(`${like(64)}:0`)!,
  };
  for (const kind of ["intent", "settled", "failed", "unknown", "invoiced", "received", "cancelled"] as const) {
    const given = { ...record(kind, 1), ...ids } as TransactionRecord;
    assert.deepEqual(decodeTransaction(encodeTransaction(given)), given);
  }
  const statement: LogRecord = {
    ...{ kind: "statement", atWallMs: startWallMs, node: ids.peer, alias: "bob", peer: node("A") },
    ...{ paidSat: sat(1), receivedSat: sat(2), openSat: sat(0), count: 2, logLength: 7, logTreeHash: like(64) },
    ...{ saidAtWallMs: startWallMs, signature: "agedbg5k".padEnd(104, "y") },
  };
  assert.deepEqual(decodeLogRecord(encodeTransaction(statement)), statement);
});

Deno.test("a transaction reads as one line of plain JSON", () => {
  assert.equal(
    text(encodeTransaction(record("settled", 1, { amountSat: 2_000_000_000_000, feeMsat: 3 }))),
    `{"v":1,"at":"2026-01-01T00:00:00.000Z","kind":"settled","node":"${node("A")}","peer":"${
      node("B")
    }","ownPeer":false,` +
      `"channelPoint":"${channel(1)}","channelId":"879609302220865536","paymentHash":"${hash(1)}",` +
      `"amountSat":"2000000000000","requestId":"00000000000000000000000000000001","expiresAt":"2026-01-01T01:00:00.000Z",` +
      `"role":"payer","feeMsat":"3"}`,
  );
});

const intent = recordToJson(record("intent", 1));

const damaged: readonly (readonly [string, unknown])[] = [
  ["no JSON", "{"],
  ["no object", "[]"],
  ["null", "null"],
  ["bytes that are no UTF-8", new Uint8Array([0xff, 0xfe])],
  ["no version", { ...intent, v: undefined }],
  ["a version that is text", { ...intent, v: "1" }],
  ["an unknown kind", { ...intent, kind: "gift" }],
  ["the role of the other side", { ...intent, role: "payee" }],
  ["a missing field", { ...intent, requestId: undefined }],
  ["an unknown field", { ...intent, note: "x" }],
  ["an amount that is a number", { ...intent, amountSat: 1000 }],
  ["an amount with a sign", { ...intent, amountSat: "-1" }],
  ["an amount beyond all bitcoin", { ...intent, amountSat: "2100000000000001" }],
  ["a time that is no time", { ...intent, at: "yesterday" }],
  ["a time in local form", { ...intent, at: "2026-01-01T00:00:00Z" }],
  ["a channel id that lost digits", { ...intent, channelId: 879609302220865536 }],
  ["an upper-case hash", { ...intent, paymentHash: "AB".repeat(32) }],
];

for (const [name, json] of damaged) {
  Deno.test(`decodeTransaction() refuses ${name}`, () => {
    assert.throws(
      () => decodeTransaction(json instanceof Uint8Array ? json : bytes(json)),
      (error) => error instanceof TightropeError && error.code === "config" && error.remedy !== "",
    );
  });
}

const event: EventRecord = {
  atWallMs: startWallMs,
  kind: "payment-settled",
  level: "info",
  message: "Paid 1,000 sat to bob",
  peer: node("B"),
  amountSat: sat(1000),
  details: { attempts: 2 },
};

Deno.test("a newer format is refused with what to do, in both logs", () => {
  for (const decode of [decodeTransaction, decodeEvent]) {
    assert.throws(
      () => decode(bytes({ ...intent, v: 2, anything: "new" })),
      (error) =>
        error instanceof TightropeError && /newer Tightrope.*format 2/.test(error.message) &&
        /Start the newer version/.test(error.remedy),
    );
  }
});

Deno.test("events keep their fields, masked where the configuration says so", () => {
  assert.deepEqual(decodeEvent(encodeEvent(event, [])), {
    v: 1,
    at: "2026-01-01T00:00:00.000Z",
    kind: "payment-settled",
    level: "info",
    message: "Paid 1,000 sat to bob",
    peer: node("B"),
    amountSat: "1000",
    details: { attempts: 2 },
  });
  const masked = decodeEvent(encodeEvent(event, ["peer", "attempts"]));
  assert.equal(masked["peer"], "***");
  assert.deepEqual(masked["details"], { attempts: "***" });
  assert.equal(masked["amountSat"], "1000");
});

Deno.test("decodeEvent() refuses what is no event", () => {
  for (
    const json of [{ ...intent, level: "info" }, {
      v: 1,
      at: "2026-01-01T00:00:00.000Z",
      kind: "started",
      level: "info",
    }]
  ) {
    assert.throws(() => decodeEvent(bytes(json)), TightropeError);
  }
});

Deno.test("notes about the log itself are read back as they were written", () => {
  const notes: readonly LogRecord[] = [
    { kind: "clock", atWallMs: startWallMs, jumpMs: -86_400_000 },
    {
      ...{ kind: "statement", atWallMs: startWallMs, node: node("B"), alias: "bob", peer: node("A"), count: 3 },
      ...{ paidSat: sat(0), receivedSat: sat(2_100_000_000_000_000n), openSat: sat(7) },
      ...{ logLength: 9, logTreeHash: "", saidAtWallMs: startWallMs + 1, signature: "dh515omptcy3" },
    },
    { ...record("settled", 1), reason: "by hand" } as LogRecord,
    { ...record("foreign", 1), reason: "by hand" } as LogRecord,
    { kind: "repaired", atWallMs: startWallMs, reason: "it was short", keptRecords: 17, setAside: "log.damaged-1" },
    {
      ...{ kind: "repaired", atWallMs: startWallMs, reason: "it was short", keptRecords: 0, setAside: "" },
      historyFromWallMs: startWallMs - 1,
    },
    { kind: "rebuilt", atWallMs: startWallMs, node: node("A") },
    { kind: "acknowledged", atWallMs: startWallMs, paymentHash: hash(1) },
    { ...record("foreign", 1), paidAtWallMs: startWallMs - 5 } as LogRecord,
    record("intent", 2),
  ];
  for (const note of notes) assert.deepEqual(decodeLogRecord(encodeTransaction(note)), note);
  const unknown = new TextEncoder().encode('{"v":1,"at":"2026-01-01T00:00:00.000Z","kind":"clock","jumpMs":1,"x":1}');
  assert.throws(() => decodeLogRecord(unknown), /unknown field x/);
});
