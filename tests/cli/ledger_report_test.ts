import assert from "node:assert/strict";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import { foldLedger } from "../../lib/audit/ledger.ts";
import type { LogRecord, StatementRecord } from "../../lib/audit/record.ts";
import {
  csvField,
  formatLedgerCsv,
  formatLedgerJson,
  formatLedgerText,
  ledgerCsvColumns,
} from "../../lib/cli/ledger_output.ts";
import {
  countedPayments,
  isRebalance,
  type LndNodeReading,
  type LndPair,
  type PeerReport,
  reportLedger,
} from "../../lib/cli/ledger_report.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import type { PaymentSummary } from "../../lib/domain/payment.ts";
import { parseNodePubkey, parseShortChannelId } from "../../lib/domain/ids.ts";
import { accountText } from "../../lib/protocol/signatures.ts";
import { encodeZbase32 } from "../../lib/protocol/zbase32.ts";
import { hash, node, record, startWallMs } from "../audit/records.ts";
import { limits } from "../policy/fixtures.ts";

const secretKey = sha256(new Uint8Array(1));
const peer = parseNodePubkey(bytesToHex(secp256k1.getPublicKey(secretKey)))!;
const us = node("A");
const day = startWallMs + 86_400_000;

const paid = (n: number, amountSat: number, atWallMs = startWallMs): LogRecord[] => [
  record("intent", n, { amountSat, peer, atWallMs }),
  record("settled", n, { amountSat, peer, atWallMs }),
];

/** What the peer says, signed. */
function says(paidSat: number, receivedSat: number, over: Partial<StatementRecord> = {}): StatementRecord {
  const said = {
    ...{ node: peer, peer: us, paidSat: sat(paidSat), receivedSat: sat(receivedSat), openSat: sat(0), count: 1 },
    ...over,
  };
  const text = accountText({ ...said, logHead: { length: 3, treeHash: "" }, atWallMs: startWallMs });
  const digest = sha256(sha256(new TextEncoder().encode(`Lightning Signed Message:${text}`)));
  const signed = secp256k1.sign(digest, secretKey, { prehash: false, format: "recovered" });
  signed[0]! += 31;
  return {
    kind: "statement",
    atWallMs: startWallMs + 60_000,
    alias: "bob",
    ...{ logLength: 3, logTreeHash: "", saidAtWallMs: startWallMs, signature: encodeZbase32(signed) },
    ...said,
    ...over,
  };
}

function reading(pair: Partial<Record<keyof LndPair, number>>, problem?: string): LndNodeReading {
  const { paidSat = 0, receivedSat = 0, openSat = 0 } = pair;
  const pairs = new Map([[peer, { paidSat: sat(paidSat), receivedSat: sat(receivedSat), openSat: sat(openSat) }]]);
  return { socket: "lnd:10009", pubkey: us, alias: "alice", problem, pairs, channelIds: new Map() };
}

function report(records: LogRecord[], readings: LndNodeReading[] = []) {
  return reportLedger(records, foldLedger(records, { atMs: 0, wallMs: day }), limits, readings, day);
}

const pairOf = (records: LogRecord[], readings: LndNodeReading[] = []) => report(records, readings).peers[0]!.pairs[0]!;

Deno.test("the other side's word beside the log: agrees, differs, outdated, open, forged, none", () => {
  const open = record("intent", 2, { amountSat: 50, peer });
  const table: [string, LogRecord[]][] = [
    ["none", paid(1, 100)],
    ["agrees", [...paid(1, 100), says(0, 100)]],
    ["differs", [...paid(1, 100), says(0, 90)]],
    ["differs", [...paid(1, 100), says(5, 100)]],
    ["open", [...paid(1, 100), open, says(0, 150)]],
    ["open", [...paid(1, 100), says(0, 90, { openSat: sat(10) })]],
    ["open", [...paid(1, 100), record("invoiced", 2, { amountSat: 30, peer }), says(30, 100)]],
    ["outdated", [...paid(1, 100), says(0, 100), ...paid(3, 7, startWallMs + 120_000)]],
    ["outdated", [...paid(1, 100), says(0, 100), record("foreign", 4, { amountSat: 7, peer })]],
    // What came to nothing changes no sum, so that the other side has nothing to say anew.
    ["differs", [...paid(1, 100), says(0, 90), open, record("failed", 2, { amountSat: 50, peer })]],
    ["differs", [
      ...[...paid(1, 100), says(0, 90)],
      ...[record("invoiced", 2, { amountSat: 30, peer }), record("cancelled", 2, { amountSat: 30, peer })],
    ]],
    ["open", [...paid(1, 100), says(0, 90), open]],
    ["forged", [...paid(1, 100), { ...says(0, 90), receivedSat: sat(100) }]],
  ];
  for (const [verdict, records] of table) assert.equal(pairOf(records).theirs.verdict, verdict);
  const { theirs } = pairOf([...paid(1, 100), says(5, 90)]);
  assert.ok(theirs.verdict === "differs");
  assert.deepEqual([theirs.paidDifferenceSat, theirs.receivedDifferenceSat], [-10n, 5n]);
});

Deno.test("LND beside the log: agrees, open, differs and why, unread", () => {
  const log = [
    ...paid(1, 100),
    record("invoiced", 2, { amountSat: 30, peer }),
    record("received", 2, { amountSat: 30, peer }),
  ];
  const open = [...log, record("intent", 3, { amountSat: 20, peer })];
  const invoiced = [...log, record("invoiced", 4, { amountSat: 20, peer })];
  const table: [string, RegExp, LogRecord[], LndNodeReading[]][] = [
    ["agrees", /^$/, log, [reading({ paidSat: 100, receivedSat: 30 })]],
    ["open", /still has as open/, open, [reading({ paidSat: 120, receivedSat: 30 })]],
    ["open", /still has as open/, invoiced, [reading({ paidSat: 100, receivedSat: 50 })]],
    ["differs", /received more/, invoiced, [reading({ paidSat: 100, receivedSat: 51 })]],
    ["differs", /a second daemon, or a restored log/, log, [reading({ paidSat: 120, receivedSat: 30 })]],
    ["differs", /a second daemon, or a restored log/, open, [reading({ paidSat: 121, receivedSat: 30 })]],
    ["differs", /doesn't list all that the log has paid/, log, [reading({ paidSat: 99, receivedSat: 30 })]],
    ["differs", /doesn't know all that the log has received/, log, [reading({ paidSat: 100 })]],
    ["differs", /received more/, log, [reading({ paidSat: 100, receivedSat: 31 })]],
    ["unread", /it is locked/, log, [reading({}, "it is locked")]],
    ["unread", /no node of this configuration/, log, []],
  ];
  for (const [verdict, meaning, records, readings] of table) {
    const { lnd } = pairOf(records, readings);
    assert.equal(lnd.verdict, verdict);
    assert.match(lnd.meaning, meaning);
  }
});

Deno.test("positions, limits and what they leave, of a node and of a channel with a limit of its own", () => {
  const records = [...paid(1, 100), record("intent", 2, { amountSat: 40, peer, channel: 2 }), says(0, 100)];
  const own: typeof limits = {
    ...limits,
    maxNetOutflowTotalSat: sat(1_000),
    baseSettings: { ...limits.baseSettings, maxNetOutflowSat: sat(500) },
    idSettings: [
      { id: { kind: "alias", alias: "alice" }, settings: { maxNetOutflowSat: sat(400) } },
      { id: { kind: "channel", channelId: record("intent", 1).channelId! }, settings: { maxNetOutflowSat: sat(90) } },
    ],
  };
  const ledger = foldLedger(records, { atMs: 0, wallMs: day });
  const { peers: [bob], total } = reportLedger(records, ledger, own, [reading({})], day);
  assert.deepEqual([bob!.alias, bob!.netSat, bob!.limitSat, bob!.leftSat], ["bob", 140n, 400n, 260n]);
  assert.deepEqual(bob!.pairs[0]!.channels.map(({ netSat, limitSat, leftSat }) => [netSat, limitSat, leftSat]), [
    [100n, 90n, 0n],
    [40n, undefined, undefined],
  ]);
  assert.deepEqual(total, { owedToYouSat: 140n, limitSat: 1_000n, leftSat: 860n, youOweSat: 0n });
  // Without LND nobody knows which alias it is: the base holds.
  assert.equal(reportLedger(records, ledger, own, [], day).peers[0]!.limitSat, 500n);
});

Deno.test("a statement is outdated by the order of the log, whatever clock its records were dated by", () => {
  const ahead = [...paid(1, 100, startWallMs + 365 * 86_400_000), says(0, 90)];
  assert.equal(pairOf(ahead).theirs.verdict, "differs");
  const behind = [...paid(1, 100), says(0, 100), ...paid(2, 7, startWallMs - 86_400_000)];
  assert.equal(pairOf(behind).theirs.verdict, "outdated");
});

Deno.test("since when is told only where what is settled and what is open say the same of who owes", () => {
  const owed = [record("invoiced", 1, { amountSat: 100, peer }), record("received", 1, { amountSat: 100, peer })];
  const since = (...records: LogRecord[]) => {
    const [{ netSat, sinceWallMs }] = report([...owed, ...records]).peers as [PeerReport];
    return [netSat, sinceWallMs];
  };
  assert.deepEqual(since(), [-100n, startWallMs]);
  assert.deepEqual(since(record("intent", 2, { amountSat: 40, peer })), [-60n, startWallMs]);
  assert.deepEqual(since(record("intent", 2, { amountSat: 100, peer })), [0n, undefined]);
  assert.deepEqual(since(record("intent", 2, { amountSat: 500, peer })), [400n, undefined]);
});

Deno.test("a node that changed hands: what is own now stands with the own, and what was own isn't held against LND", () => {
  const bob = { ...reading({}), socket: "bob:10009", pubkey: peer, alias: "bob" };
  const own = (n: number, amountSat: number): LogRecord[] => [
    record("intent", n, { amountSat, peer, ownPeer: true }),
    record("settled", n, { amountSat, peer, ownPeer: true }),
  ];
  const bought = report([...paid(1, 100), ...own(2, 30)], [reading({ paidSat: 130 }), bob]);
  assert.deepEqual(bought.peers, []);
  assert.deepEqual(bought.own.map(({ paidSat, netSat, payments }) => [paidSat, netSat, payments]), [[130n, 130n, 2]]);
  assert.deepEqual([bought.total.owedToYouSat, bought.total.youOweSat], [0n, 0n]);
  const sold = report([...own(1, 100), ...paid(2, 30)], [reading({ paidSat: 130 })]);
  assert.deepEqual(sold.own.map(({ paidSat }) => paidSat), [100n]);
  const [{ netSat, pairs: [pair] }] = sold.peers as [PeerReport];
  assert.deepEqual([netSat, sold.total.owedToYouSat], [30n, 30n]);
  const { lnd } = pair!;
  assert.ok(lnd.verdict === "agrees", lnd.meaning);
  assert.equal(lnd.paidSat, 30n);
});

Deno.test("the limit of a channel is found by each id that LND has for it", () => {
  const aliasId = parseShortChannelId("16000000x1x0")!;
  const own: typeof limits = {
    ...limits,
    idSettings: [{ id: { kind: "channel", channelId: aliasId }, settings: { maxNetOutflowSat: sat(90) } }],
  };
  const records = paid(1, 50);
  const { channelPoint, channelId } = record("intent", 1);
  const ledger = foldLedger(records, { atMs: 0, wallMs: day });
  const known = { ...reading({}), channelIds: new Map([[channelPoint!, [channelId!, aliasId]]]) };
  const [channel] = reportLedger(records, ledger, own, [known], day).peers[0]!.pairs[0]!.channels;
  assert.deepEqual([channel!.limitSat, channel!.leftSat], [90n, 40n]);
});

Deno.test("what LND lists with our memo is a rebalance if it was direct, or if the log counts it", () => {
  const hop = { channelId: record("intent", 1).channelId!, pubkey: peer };
  const settled = (...route: (typeof hop)[]) =>
    ({ kind: "settled", index: 1n, amountMsat: msat(1), feeMsat: msat(0), routes: [route] }) as const;
  const table: [boolean, number, PaymentSummary["status"], string?][] = [
    [true, 9, settled(hop)],
    [false, 9, settled(hop, hop)],
    [false, 9, { ...settled(hop), feeMsat: msat(1) }],
    [true, 9, { kind: "in-flight", index: 1n, routes: [] }],
    [true, 1, settled(hop, hop)],
    [true, 2, settled(hop, hop)],
    [false, 3, settled(hop, hop)],
    [false, 9, settled(hop), "a withdrawal"],
  ];
  const counted = countedPayments([
    record("intent", 1),
    record("foreign", 2),
    record("foreign", 3, { pending: true }),
    record("foreign", 3, { amountSat: 0 }),
  ]);
  for (const [want, n, status, memo = "tightrope rebalance 800000x1x0 0123456789abcdef"] of table) {
    const payment = { index: 1n, paymentHash: hash(n), status, amountMsat: msat(1), createdAtWallMs: 0, memo };
    assert.equal(isRebalance({ ...payment, destination: peer }, counted), want, `${n} ${JSON.stringify(status.kind)}`);
  }
});

/** RFC 4180, read back. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = [];
  for (const [, field, end] of text.matchAll(/("(?:[^"]|"")*"|[^,\r\n]*)(,|\r\n)/g)) {
    rows.at(-1)?.push("");
    if (rows.length === 0) rows.push([""]);
    rows.at(-1)![rows.at(-1)!.length - 1] = field!.startsWith('"') ? field!.slice(1, -1).replaceAll('""', '"') : field!;
    if (end === "\r\n") rows.push([]);
  }
  return rows.slice(0, -1);
}

Deno.test("the CSV form has one header, quotes as RFC 4180 says, and no alias is a formula", () => {
  const records = [...paid(1, 1_234_567), says(0, 1_234_567, { alias: 'Bob, "the" builder' })];
  const [header, ...rows] = parseCsv(formatLedgerCsv(report(records, [reading({ paidSat: 1_234_567 })])));
  assert.deepEqual(header, ledgerCsvColumns);
  assert.deepEqual(rows.map((row) => row.length), rows.map(() => ledgerCsvColumns.length));
  const cell = (row: number, name: typeof ledgerCsvColumns[number]) => rows[row]![ledgerCsvColumns.indexOf(name)];
  assert.deepEqual(rows.map(([kind]) => kind), ["peer", "pair", "channel"]);
  assert.equal(cell(0, "peer_alias"), 'Bob, "the" builder');
  assert.equal(cell(0, "net_sat"), "1234567");
  assert.deepEqual([cell(1, "lnd_verdict"), cell(1, "theirs_verdict")], ["agrees", "agrees"]);
  assert.equal(cell(2, "channel_id"), "800000x1x0");
  const table: [string | bigint, string][] = [
    ["=1+1", "'=1+1"],
    ["+49", "'+49"],
    ["-2", "'-2"],
    ["@cmd", "'@cmd"],
    [" =1+1", "' =1+1"],
    ["\t=1", "' =1"],
    ["'=1", "''=1"],
    ['"=1', `"'""=1"`],
    ['=HYPERLINK("a","b")', `"'=HYPERLINK(""a"",""b"")"`],
    ["a\r\nb", "a b"],
    ["plain", "plain"],
    [-5n, "-5"],
  ];
  for (const [value, want] of table) assert.equal(csvField(value), want, String(value));
});

Deno.test("the JSON form has numbers and ISO times; the text form names both sides and the difference", () => {
  const records = [...paid(1, 100), says(0, 90, { alias: "\u001b[31mbob" })];
  const whole = report(records, [reading({ paidSat: 100 })]);
  const json = JSON.parse(formatLedgerJson(whole));
  assert.equal(json.at, "2026-01-02T00:00:00.000Z");
  assert.equal(json.peers[0].netSat, 100);
  assert.equal(json.peers[0].since, "2026-01-01T00:00:00.000Z");
  assert.equal(json.peers[0].pairs[0].theirs.saidAt, "2026-01-01T00:00:00.000Z");
  const text = formatLedgerText(whole, { colour: false });
  assert.match(text, /owes you 100 sat since 2026-01-01 00:00/);
  assert.match(text, /log +100 +0\n/);
  assert.match(text, /LND +100 +0 +agrees\n/);
  assert.match(text, /theirs +90 +0 +differs by -10 and 0 sat\n +one of the two logs/);
  assert.deepEqual(text.split("\n").filter((line) => line.length > 80), []);
  assert.ok(!text.includes("\u001b"));
});

Deno.test("the text form fits 80 columns, whatever amounts, aliases and troubles there are", () => {
  const alias = "W".repeat(40);
  const amountSat = 21_000_000_00000000;
  const foreign = record("foreign", 9, { amountSat, peer });
  const own = record("intent", 5, { amountSat, peer: node("B"), ownPeer: true });
  const records = [
    ...paid(1, amountSat),
    record("intent", 2, { amountSat, peer }),
    record("intent", 3, { amountSat, peer }),
    record("unknown", 3, { amountSat, peer }),
    foreign,
    own,
    says(amountSat, 5, { alias }),
  ];
  const ledger = foldLedger(records, { atMs: 0, wallMs: day });
  const limited: typeof limits = {
    ...limits,
    idSettings: [{
      id: { kind: "channel", channelId: record("intent", 1).channelId! },
      settings: { maxNetOutflowSat: sat(amountSat) },
    }],
  };
  const readings = [
    { ...reading({ paidSat: 1 }), alias },
    { ...reading({}, `it says ${"why ".repeat(60)}`), socket: `${"lnd.".repeat(10)}example:10009`, pubkey: undefined },
  ];
  const text = formatLedgerText(reportLedger(records, ledger, limited, readings, day), { colour: false });
  assert.deepEqual(text.split("\n").filter((line) => [...line].length > 80), []);
  assert.match(text, /reserved/);
  assert.match(text, /unknown/);
  assert.match(text, /not paid by this log's writer/);
});

Deno.test("a limit that another alias's setting may override isn't said for certain while LND doesn't answer", () => {
  const own: typeof limits = {
    ...limits,
    idSettings: [{ id: { kind: "alias", alias: "alice" }, settings: { maxNetOutflowSat: sat(400) } }],
  };
  const records = paid(1, 100);
  const ledger = foldLedger(records, { atMs: 0, wallMs: day });
  const whole = (readings: LndNodeReading[], settings = own) => reportLedger(records, ledger, settings, readings, day);
  const text = (...given: Parameters<typeof whole>) => formatLedgerText(whole(...given), { colour: false });
  assert.equal(whole([reading({})]).peers[0]!.limitIsKnown, true);
  assert.ok(text([reading({})]).includes("\n  limit 400 sat, 300 left\n"));
  assert.equal(whole([]).peers[0]!.limitIsKnown, false);
  assert.match(text([]), /limit 10,000,000 sat, 9,999,900 left, if no alias in limits\.idSettings/);
  assert.ok(text([], limits).includes("\n  limit 10,000,000 sat, 9,999,900 left\n"));
});
