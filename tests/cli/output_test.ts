import assert from "node:assert/strict";
import type { EventRecord, NoteRecord, TransactionRecord } from "../../lib/audit/record.ts";
import { recordToJson } from "../../lib/audit/record_codec.ts";
import { exitCodeOf } from "../../lib/cli/exit_codes.ts";
import {
  formatError,
  formatEventLine,
  formatLogLine,
  formatRecordJson,
  formatRecordText,
  isShown,
} from "../../lib/cli/output.ts";
import { fromStored } from "../../lib/cli/stored_record.ts";
import { configError } from "../../lib/config/problem.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import { InvariantError, TightropeError } from "../../lib/domain/errors.ts";
import {
  parseChannelPoint,
  parseNodePubkey,
  parsePaymentHash,
  parseRequestId,
  parseShortChannelId,
} from "../../lib/domain/ids.ts";

const atWallMs = Date.UTC(2026, 0, 2, 3, 4, 5, 678);
const plain = { colour: false };

const base = {
  atWallMs,
  node: parseNodePubkey(`02${"a1".repeat(32)}`)!,
  peer: parseNodePubkey(`03${"b2".repeat(32)}`)!,
  ownPeer: false,
  channelPoint: parseChannelPoint(`${"c3".repeat(32)}:1`)!,
  channelId: parseShortChannelId("800000x1x0")!,
  paymentHash: parsePaymentHash("d4".repeat(32))!,
  amountSat: sat(250_000),
  requestId: parseRequestId("e5".repeat(16))!,
  expiresAtWallMs: atWallMs + 60_000,
};

const transactions: readonly TransactionRecord[] = [
  { ...base, kind: "intent", role: "payer" },
  { ...base, kind: "settled", role: "payer", feeMsat: msat(0) },
  { ...base, kind: "settled", role: "payer", feeMsat: msat(1), ownPeer: true },
  { ...base, kind: "failed", role: "payer", reason: "no-route" },
  { ...base, kind: "unknown", role: "payer", reason: "connection lost\nafter sending" },
  { ...base, kind: "invoiced", role: "payee" },
  { ...base, kind: "received", role: "payee" },
  { ...base, kind: "cancelled", role: "payee", reason: "expired" },
  {
    kind: "foreign",
    role: "payer",
    atWallMs,
    node: base.node,
    peer: base.peer,
    ownPeer: false,
    channelPoint: undefined,
    channelId: undefined,
    paymentHash: base.paymentHash,
    amountSat: base.amountSat,
    pending: true,
  },
];

const notes: readonly NoteRecord[] = [
  { kind: "clock", atWallMs, jumpMs: -3_600_000 },
  {
    ...{ kind: "statement", atWallMs, node: base.peer, alias: "bob", peer: base.node, count: 3 },
    ...{ paidSat: sat(1_000_000), receivedSat: sat(20), openSat: sat(0) },
    ...{ logLength: 9, logTreeHash: "", saidAtWallMs: atWallMs, signature: "dh515omptcy3" },
  },
  {
    ...{ kind: "repaired", atWallMs, reason: "it had 17 records, but had 23", keptRecords: 17 },
    setAside: "transaction-log.damaged-1",
    historyFromWallMs: atWallMs - 1,
  },
  { kind: "rebuilt", atWallMs, node: base.node },
  { kind: "acknowledged", atWallMs, paymentHash: base.paymentHash },
];

Deno.test("notes about the log itself are written for people and as JSON", () => {
  assert.deepEqual(notes.map((note) => formatRecordText(note, { colour: false }).replace(/^\S+ \S+ +/, "")), [
    "log    clock      the clock was set 3600 s back",
    `log    statement  ${base.peer.slice(0, 10)}… says that it has paid ${base.node.slice(0, 10)}… 1,000,000 sat and ` +
    "received 20 sat",
    "log    repaired   begun anew; records kept: 17; the damaged log lies in transaction-log.damaged-1. What was wrong: it " +
    "had 17 records, but had 23",
    `log    rebuilt    all payments that node ${base.node.slice(0, 10)}… lists are in this log`,
    `log    acknowledged  the operator has seen that LND says otherwise of payment ${base.paymentHash.slice(0, 10)}…`,
  ]);
  for (const note of notes) {
    assert.doesNotThrow(() => JSON.parse(formatRecordJson(note)));
    assert.deepEqual(fromStored(recordToJson(note)), note);
  }
});

const event: EventRecord = {
  atWallMs,
  kind: "payment-settled",
  level: "info",
  message: "Paid 250,000 sat to bob over 800000x1x0.",
  role: "payer",
  channelPoint: base.channelPoint,
  channelId: base.channelId,
  amountSat: base.amountSat,
  feeMsat: msat(0),
  paymentHash: base.paymentHash,
  peer: base.peer,
};

Deno.test("formatRecordJson() prints one object per line with the promised names", () => {
  assert.deepEqual(Object.entries(JSON.parse(formatRecordJson(transactions[1]!))), [
    ["at", "2026-01-02T03:04:05.678Z"],
    ["kind", "settled"],
    ["role", "payer"],
    ["channelPoint", base.channelPoint],
    ["channelId", "879609302220865536"],
    ["amountSat", 250_000],
    ["feeMsat", 0],
    ["paymentHash", base.paymentHash],
    ["peer", base.peer],
    ["node", base.node],
    ["ownPeer", false],
    ["requestId", base.requestId],
    ["expiresAt", "2026-01-02T03:05:05.678Z"],
  ]);
  for (const record of [...transactions, event]) {
    const line = formatRecordJson(record);
    assert.ok(!line.includes("\n") && !line.includes("atWallMs"), line);
    const parsed = JSON.parse(line);
    assert.equal(parsed.kind, record.kind);
    assert.equal(parsed.reason, "reason" in record ? record.reason : undefined);
  }
});

Deno.test("formatRecordJson() keeps every digit", () => {
  const all = { ...event, amountSat: sat(2_100_000_000_000_000n), feeMsat: msat(2n ** 60n) };
  assert.match(formatRecordJson(all), /"amountSat":2100000000000000,"feeMsat":"1152921504606846976"/);
});

Deno.test("formatRecordText() prints a log for people", async (t) => {
  await t.assertSnapshot([...transactions, event].map((record) => formatRecordText(record, plain)).join("\n"));
});

Deno.test("formatEventLine() and formatLogLine() print log lines", () => {
  assert.equal(
    formatEventLine(event, "text", plain),
    "2026-01-02 03:04:05.678 [INF] Paid 250,000 sat to bob over 800000x1x0. hash=d4d4d4d4d4…",
  );
  assert.equal(
    formatEventLine({ ...event, message: "Paid 250,000 sat." }, "text", plain),
    "2026-01-02 03:04:05.678 [INF] Paid 250,000 sat. channel=800000x1x0 hash=d4d4d4d4d4…",
  );
  assert.deepEqual(
    JSON.parse(formatEventLine(event, "json", plain)).message,
    "Paid 250,000 sat to bob over 800000x1x0.",
  );
  const line = {
    atWallMs,
    level: "warn" as const,
    message: "Two\nlines",
    fields: { a: 1n, b: "x y", c: undefined, d: true },
  };
  assert.equal(formatLogLine(line, "text", plain), '2026-01-02 03:04:05.678 [WRN] Two lines a=1 b="x y" d=true');
  assert.equal(
    formatLogLine(line, "json", plain),
    '{"at":"2026-01-02T03:04:05.678Z","level":"warn","message":"Two\\nlines","a":1,"b":"x y","d":true}',
  );
  assert.ok(formatLogLine(line, "text", { colour: true }).includes("[\u001b[33mWRN\u001b[0m]"));
  assert.deepEqual((["debug", "info", "warn", "error"] as const).map((level) => isShown(level, "warn")), [
    false,
    false,
    true,
    true,
  ]);
});

Deno.test("no text from elsewhere can write codes to the terminal", () => {
  const hostile = { ...event, message: "\u001b[2J\u009bmi\u202ell\u0007\r\ned" };
  for (const colour of [false, true]) {
    for (const line of [formatEventLine(hostile, "text", { colour }), formatRecordText(hostile, { colour })]) {
      assert.match(line, /\[2Jmill ed/);
      for (const bad of ["\u009b", "\u0007", "\r", "\n", "\u202e", "\u001b[2J"]) {
        assert.ok(!line.includes(bad), JSON.stringify(line));
      }
    }
  }
});

Deno.test("a masked id prints as it was written", () => {
  const masked = { ...event, channelId: "***", amountSat: "***" } as unknown as EventRecord;
  assert.match(formatRecordText(masked, plain), / {2}\*\*\* {2}/);
  assert.match(formatEventLine(masked, "text", plain), /channel=\*\*\*/);
  assert.equal(JSON.parse(formatRecordJson(masked)).amountSat, "***");
});

Deno.test("formatError() tells what happened and what to do, and shows a stack only for a bug", () => {
  const error = new TightropeError("permission", 'Cannot read macaroon "/x": permission denied', "Let it be read.");
  assert.equal(formatError(error, plain), 'Cannot read macaroon "/x": permission denied\nLet it be read.\n');
  const problem = { file: "c.yaml", line: 1, column: 2, message: "secret is missing" };
  assert.equal(
    formatError(configError([problem, { ...problem, line: 3 }]), plain),
    "c.yaml:1:2: secret is missing\nc.yaml:3:2: secret is missing\n" +
      "Correct these 2 places and start again; config.yaml.example explains every setting.\n",
  );
  assert.match(formatError(new InvariantError("sats vanished"), plain), /^This is a bug.*\n.*sats vanished\n +at /);
  assert.match(formatError("thrown text", plain), /^This is a bug.*\nthrown text\n/);
});

Deno.test("exitCodeOf() follows sysexits", () => {
  const codes = (["usage", "unavailable", "temporary", "permission", "config"] as const)
    .map((code) => exitCodeOf(new TightropeError(code, "m", "r")));
  assert.deepEqual(codes, [64, 69, 75, 77, 78]);
  assert.equal(exitCodeOf(new Error("?")), 70);
});
