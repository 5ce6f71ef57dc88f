import assert from "node:assert/strict";
import { reasonByHand, sayLnd } from "../../lib/audit/by_hand.ts";
import {
  applyRecord,
  channelPositionSat,
  createLedger,
  evenWallMsAtStart,
  foldLedger,
  forgetSettled,
  lacksPayments,
  lastAttemptAtMs,
  missingFromWallMs,
  openPayments,
  sideKey,
  totalOutflowSat,
  unknownToLnd,
} from "../../lib/audit/ledger.ts";
import type { LogRecord, TransactionRecord } from "../../lib/audit/record.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import { InvariantError } from "../../lib/domain/errors.ts";
import {
  parseChannelPoint,
  parseNodePubkey,
  parsePaymentHash,
  parseRequestId,
  parseShortChannelId,
} from "../../lib/domain/ids.ts";

const alice = parseNodePubkey("02" + "a1".repeat(32))!;
const bob = parseNodePubkey("03" + "b0".repeat(32))!;
const point = parseChannelPoint("c1".repeat(32) + ":0")!;
const hash = (digits: string) => parsePaymentHash(digits.repeat(32))!;
const base = {
  atWallMs: 1000,
  node: alice,
  peer: bob,
  ownPeer: false,
  channelPoint: point,
  channelId: parseShortChannelId("800x1x0")!,
  amountSat: sat(50_000),
  requestId: parseRequestId("ab".repeat(16))!,
  expiresAtWallMs: 600_000,
};
const payer = { ...base, role: "payer" as const };
const payee = { ...base, role: "payee" as const };

function intent(
  digits: string,
  over: Partial<typeof payer> = {},
): TransactionRecord {
  return { ...payer, kind: "intent", paymentHash: hash(digits), ...over };
}
function settled(
  digits: string,
  over: Partial<typeof payer> = {},
): TransactionRecord {
  return {
    ...payer,
    kind: "settled",
    feeMsat: msat(0),
    paymentHash: hash(digits),
    ...over,
  };
}
function failed(
  digits: string,
  over: Partial<typeof payer> = {},
): TransactionRecord {
  return {
    ...payer,
    kind: "failed",
    reason: "no-route",
    paymentHash: hash(digits),
    ...over,
  };
}
function foreign(
  digits: string,
  over: { pending?: boolean; amountSat?: ReturnType<typeof sat> } = {},
) {
  const { atWallMs, node, peer, ownPeer, channelPoint, channelId, amountSat } = base;
  const common = {
    atWallMs,
    node,
    peer,
    ownPeer,
    channelPoint,
    channelId,
    amountSat,
  };
  return {
    ...common,
    kind: "foreign",
    role: "payer",
    paymentHash: hash(digits),
    pending: false,
    ...over,
  } as const;
}
const now = { atMs: 5_000, wallMs: 61_000 };

Deno.test("a position counts what is paid, reserved and unknown, less what was received", () => {
  const ledger = foldLedger([
    intent("01"),
    settled("01"),
    intent("02", { amountSat: sat(7) }),
    intent("03", { amountSat: sat(11) }),
    {
      ...payer,
      kind: "unknown",
      reason: "lost",
      paymentHash: hash("03"),
      amountSat: sat(11),
    },
    intent("04"),
    failed("04"),
    {
      ...payee,
      kind: "invoiced",
      paymentHash: hash("05"),
      amountSat: sat(20_000),
    },
    {
      ...payee,
      kind: "received",
      paymentHash: hash("05"),
      amountSat: sat(20_000),
    },
  ], now);
  assert.equal(ledger.positions.get(bob), 30_018n);
  assert.equal(ledger.channelPositions.get(sideKey(alice, point)), 30_018n);
  assert.deepEqual(openPayments(ledger).map((payment) => payment.state), [
    "reserved",
    "unknown",
  ]);
  assert.equal(ledger.invoices.size, 0);
});

Deno.test("what all others owe together is the sum of those who owe, our own nodes left out", () => {
  const [carol, dave, ann] = ["ca", "da", "aa"].map((digits) => parseNodePubkey("03" + digits.repeat(32))!);
  const ledger = foldLedger([
    intent("01"),
    intent("02", { peer: carol!, amountSat: sat(7) }),
    { ...payee, kind: "invoiced", paymentHash: hash("03"), peer: dave! },
    { ...payee, kind: "received", paymentHash: hash("03"), peer: dave! },
    // As long as she was down, nobody knew that she is one of ours.
    intent("04", { peer: ann!, amountSat: sat(900) }),
  ], now);
  assert.equal(totalOutflowSat(ledger, (pubkey) => pubkey === ann), 50_007n);
});

Deno.test("payments between one's own nodes move no position of credit", () => {
  const ledger = foldLedger([
    intent("01", { ownPeer: true }),
    settled("01", { ownPeer: true }),
  ], now);
  assert.equal(ledger.positions.size, 0);
  assert.equal(ledger.payments.get(hash("01"))?.state, "settled");
});

Deno.test("a node that becomes another operator's begins with nothing, over each channel too", () => {
  const own = { ownPeer: true };
  const ledger = foldLedger([intent("01", own), settled("01", own), intent("02", { amountSat: sat(7) })], now);
  assert.equal(ledger.positions.get(bob), 7n);
  assert.equal(channelPositionSat(ledger, alice, bob, point), 7n);
});

Deno.test("foldLedger() dates records by the wall clock across a restart", () => {
  const ledger = foldLedger([
    intent("01", { atWallMs: 1_000 }),
    settled("01", { atWallMs: 31_000 }),
  ], now);
  assert.equal(ledger.payments.get(hash("01"))?.settledAtMs, 5_000 - 30_000);
  assert.equal(
    ledger.lastAttemptAtMs.get(sideKey(alice, point)),
    5_000 - 60_000,
  );
});

Deno.test("foldLedger() never lets a clock that was ahead make the records before it older", () => {
  const aDay = 86_400_000;
  const records = [intent("01"), settled("01", { atWallMs: 2_000 }), intent("02", { atWallMs: aDay })];
  const ledger = foldLedger(records, { atMs: 0, wallMs: 3_000 });
  assert.equal(ledger.payments.get(hash("01"))?.settledAtMs, -1_000);
});

Deno.test("foldLedger() takes away what the clock was set by, and lets no correction of it make a record older", () => {
  const aDay = 86_400_000;
  const first = [intent("01"), settled("01", { atWallMs: 2_000 })];
  const ageAt = (wallMs: number, ...more: LogRecord[]) =>
    -foldLedger([...first, ...more], { atMs: 0, wallMs }).payments.get(hash("01"))!.settledAtMs!;
  const forward: LogRecord = { kind: "clock", atWallMs: aDay + 5_000, jumpMs: aDay };
  const back: LogRecord = { kind: "clock", atWallMs: 9_000, jumpMs: -aDay };
  assert.equal(ageAt(aDay + 7_000, forward), 5_000);
  // It was set forward while nothing ran, and put right while the program ran.
  assert.equal(ageAt(12_000, back), 10_000);
  assert.equal(ageAt(12_000, forward, back), 10_000);
});

Deno.test("foldLedger() lets records age again after a clock that was once a year ahead, whenever it was put right", () => {
  const year = 365 * 86_400_000;
  const ahead = [intent("01", { atWallMs: year }), settled("01", { atWallMs: year })];
  const since = [intent("02", { atWallMs: 10_000 }), settled("02", { atWallMs: 20_000 })];
  const forward: LogRecord = { kind: "clock", atWallMs: year, jumpMs: year };
  const back: LogRecord = { kind: "clock", atWallMs: 9_000, jumpMs: -year };
  const ages = (wallMs: number, ...records: LogRecord[]) =>
    [...foldLedger(records, { atMs: 0, wallMs }).payments.values()].map(({ settledAtMs }) => -settledAtMs!);
  const after = [...ahead, back, ...since];
  assert.deepEqual(ages(50_000, forward, ...after), [50_000, 30_000]);
  // It was ahead at the first start already.
  assert.deepEqual(ages(50_000, ...after), [50_000, 30_000]);
  // It was put right while nothing ran: that isn't noted yet.
  assert.deepEqual(ages(8_000, forward, ...ahead, settled("01", { atWallMs: year + 5_000 })), [5_000]);
});

Deno.test("a foreign payment counts from when it was settled, if that is known", () => {
  const { requestId: _requestId, expiresAtWallMs: _expiry, ...rest } = payer;
  const foreign: LogRecord = {
    ...{ ...rest, kind: "foreign", pending: false, paymentHash: hash("01") },
    ...{ atWallMs: 60_000, paidAtWallMs: 20_000 },
  };
  const { payments, lastAttemptAtMs } = foldLedger([foreign], { atMs: 0, wallMs: 60_000 });
  assert.equal([...payments.values()][0]!.settledAtMs, -40_000);
  assert.equal(lastAttemptAtMs.get(sideKey(alice, point)), -40_000);
  // An attempt of our own since then is the last one.
  const later = foldLedger([intent("02", { atWallMs: 50_000 }), foreign], { atMs: 0, wallMs: 60_000 });
  assert.equal(later.lastAttemptAtMs.get(sideKey(alice, point)), -10_000);
});

Deno.test("foldLedger() never lets a clock that was set back make a record older", () => {
  const records = [
    intent("01", { atWallMs: 100_000 }),
    settled("01", { atWallMs: 40_000 }),
  ];
  assert.equal(
    foldLedger(records, now).payments.get(hash("01"))?.settledAtMs,
    5_000,
  );
  assert.equal(
    foldLedger(records, { atMs: 0, wallMs: 130_000 }).payments.get(hash("01"))
      ?.settledAtMs,
    -30_000,
  );
});

Deno.test("a foreign payment counts as spent; seen pending, until it failed", () => {
  const ledger = foldLedger(
    [foreign("01"), foreign("02", { pending: true })],
    now,
  );
  assert.equal(ledger.positions.get(bob), 100_000n);
  assert.deepEqual(openPayments(ledger).map(({ settledAtMs }) => settledAtMs), [undefined], "it doesn't age");
  assert.deepEqual([...ledger.paidHashes.values()], ["settled", "open"]);
  for (let i = 0; i < 2; i++) {
    applyRecord(ledger, foreign("02", { amountSat: sat(0) }), 6_000);
    assert.equal(ledger.positions.get(bob), 50_000n);
    assert.deepEqual([...ledger.payments.keys(), ...ledger.paidHashes.keys()], [hash("01"), hash("01")]);
  }
  applyRecord(ledger, foreign("02"), 7_000);
  assert.equal(ledger.positions.get(bob), 100_000n);
});

Deno.test("what was resolved blindly is doubted from the first invoice's end on, and so is what LND didn't know", () => {
  const blind = reasonByHand(sayLnd({ kind: "unreachable", why: "gone" }));
  const end = (digits: string, reason: string, expiresAtWallMs: number): TransactionRecord[] => [
    intent(digits, { expiresAtWallMs }),
    { ...payer, kind: "failed", paymentHash: hash(digits), reason, expiresAtWallMs },
  ];
  const ledger = foldLedger([
    ...end("01", blind, 9_000),
    ...end("02", blind, 8_000),
    ...end("03", blind, 9_500),
    ...end("04", reasonByHand("not-found"), 1_000),
    ...end("05", unknownToLnd, 1_000),
  ], now);
  assert.deepEqual([...ledger.doubts], [[alice, { count: 3, fromWallMs: 8_000 }]]);
});

Deno.test("a foreign payment that was resolved blindly is doubted from when it may have begun on", () => {
  const reason = reasonByHand(sayLnd({ kind: "unreachable", why: "gone" }));
  const seen = { ...foreign("01", { pending: true }), atWallMs: 5_000 };
  for (const amountSat of [sat(0), seen.amountSat]) {
    const end = { ...seen, pending: false, amountSat, atWallMs: 9_000, reason };
    assert.deepEqual([...foldLedger([seen, end], now).doubts], [[alice, {
      count: 1,
      fromWallMs: 5_000 - 14 * 86_400_000,
    }]]);
  }
  assert.equal(foldLedger([seen, { ...seen, pending: false }], now).doubts.size, 0);
});

Deno.test("the even wall clock goes on where the log left it, without what the clock was set by", () => {
  const clock: LogRecord = { kind: "clock", atWallMs: 91_000, jumpMs: 60_000 };
  const ledger = foldLedger([intent("01"), clock], now);
  assert.equal(evenWallMsAtStart(ledger, 100_000), 40_000);
  assert.equal(evenWallMsAtStart(ledger, 80_000), 31_000);
});

Deno.test("a foreign payment over a channel without a name counts over each channel with that node", () => {
  const elsewhere = parseChannelPoint("c2".repeat(32) + ":0")!;
  const ledger = foldLedger([{ ...foreign("01"), channelPoint: undefined }, intent("02")], now);
  assert.equal(channelPositionSat(ledger, alice, bob, point), 100_000n);
  assert.equal(channelPositionSat(ledger, alice, bob, elsewhere), 50_000n);
  assert.equal(channelPositionSat(ledger, alice, alice, elsewhere), 0n);
});

Deno.test("a foreign payment over a channel without a name is an attempt on each channel with that node", () => {
  const elsewhere = parseChannelPoint("c2".repeat(32) + ":0")!;
  const ledger = foldLedger([intent("02", { atWallMs: 500 }), { ...foreign("01"), channelPoint: undefined }], now);
  assert.equal(lastAttemptAtMs(ledger, alice, bob, point), 5_000 - 60_000);
  assert.equal(lastAttemptAtMs(ledger, alice, bob, elsewhere), 5_000 - 60_000);
  assert.equal(lastAttemptAtMs(ledger, alice, alice, elsewhere), undefined);
});

Deno.test("a foreign payment seen pending settles once", () => {
  const ledger = foldLedger(
    [foreign("02", { pending: true }), foreign("02")],
    now,
  );
  assert.equal(ledger.positions.get(bob), 50_000n);
  assert.equal(ledger.payments.get(hash("02"))?.settledAtMs, now.atMs - 60_000);
  assert.equal(ledger.paidHashes.get(hash("02")), "settled");
  assert.throws(
    () => applyRecord(ledger, foreign("02"), 6_000),
    InvariantError,
  );
});

Deno.test("forgetSettled() keeps positions, hashes and whatever is open", () => {
  const ledger = foldLedger([intent("01"), settled("01"), intent("02")], now);
  forgetSettled(ledger, 1e9);
  assert.deepEqual([...ledger.payments.keys()], [hash("02")]);
  assert.equal(ledger.positions.get(bob), 100_000n);
  assert.equal(ledger.paidHashes.get(hash("01")), "settled");
  assert.throws(() => applyRecord(ledger, foreign("01"), 6_000), InvariantError);
});

Deno.test("a log that was repaired lacks what its nodes have paid until that was read for that very repair", () => {
  const rebuilt: LogRecord = { kind: "rebuilt", atWallMs: 1_000, node: alice };
  const repaired = (keptRecords: number, historyFromWallMs?: number): LogRecord => ({
    ...{ kind: "repaired", atWallMs: 1_000, reason: "damaged", keptRecords, setAside: "" },
    ...(historyFromWallMs === undefined ? {} : { historyFromWallMs }),
  });
  const cases: [what: string, records: LogRecord[], missingFromWallMs: number | undefined][] = [
    ["none", [intent("01")], undefined],
    ["one", [repaired(0, 7)], 7],
    ["one that knows no time", [repaired(0)], -Infinity],
    ["read anew", [repaired(0, 7), rebuilt], undefined],
    ["read anew for an earlier one, whose note was kept", [repaired(2, 7), intent("01"), rebuilt], 7],
    ["read anew after what was kept", [repaired(2, 7), intent("01"), failed("01"), rebuilt], undefined],
    ["a repair among what was kept", [repaired(3, 9), repaired(1, 5), intent("01"), rebuilt], 9],
    ["neither read anew", [repaired(2, 9), repaired(1, 5), intent("01")], 5],
    ["both read anew", [repaired(2, 9), repaired(1, 5), intent("01"), rebuilt], undefined],
    ["a part of a repaired log that was kept", [repaired(2, 9), repaired(5, 5), intent("01"), rebuilt], undefined],
  ];
  for (const [what, records, missing] of cases) {
    const ledger = foldLedger(records, now);
    assert.equal(lacksPayments(ledger, alice), missing !== undefined, what);
    if (missing !== undefined) assert.equal(missingFromWallMs(ledger, alice), missing, what);
    assert.equal(lacksPayments(ledger, bob), records.some(({ kind }) => kind === "repaired"), what);
  }
});

Deno.test("what a repair has kept is as old as it was", () => {
  const note: LogRecord = { kind: "repaired", atWallMs: 60_000, reason: "damaged", keptRecords: 2, setAside: "" };
  const ledger = foldLedger([note, intent("01"), settled("01", { atWallMs: 31_000 })], now);
  assert.equal(ledger.payments.get(hash("01"))?.settledAtMs, 5_000 - 30_000);
});

const impossible: { name: string; records: TransactionRecord[] }[] = [
  { name: "an outcome without an intent", records: [settled("01")] },
  {
    name: "a second intent for a hash",
    records: [intent("01"), failed("01"), intent("01")],
  },
  {
    name: "a second outcome",
    records: [intent("01"), settled("01"), failed("01")],
  },
  {
    name: "another amount in the outcome",
    records: [intent("01"), settled("01", { amountSat: sat(1) })],
  },
  {
    name: "another peer in the outcome",
    records: [intent("01"), settled("01", { peer: alice })],
  },
  {
    name: "another channel in the outcome",
    records: [intent("01"), settled("01", { channelPoint: parseChannelPoint("c2".repeat(32) + ":0")! })],
  },
  {
    name: "another node of ours in the outcome",
    records: [intent("01"), settled("01", { node: parseNodePubkey("02" + "a2".repeat(32))! })],
  },
  {
    name: "an outcome of our own for a foreign payment",
    records: [foreign("01", { pending: true }), settled("01")],
  },
  {
    name: "a foreign payment that is seen pending twice",
    records: [foreign("01", { pending: true }), foreign("01", { pending: true })],
  },
  {
    name: "a foreign payment that ends over another amount",
    records: [foreign("01", { pending: true }), foreign("01", { amountSat: sat(1) })],
  },
  { name: "an own open payment as foreign", records: [intent("01"), foreign("01")] },
  {
    name: "another amount received than asked for",
    records: [
      { ...payee, kind: "invoiced", paymentHash: hash("01") },
      { ...payee, kind: "received", paymentHash: hash("01"), amountSat: sat(1) },
    ],
  },
  {
    name: "an intent for nothing",
    records: [intent("01", { amountSat: sat(0) })],
  },
  {
    name: "money received that wasn't asked for",
    records: [{ ...payee, kind: "received", paymentHash: hash("01") }],
  },
  {
    name: "an invoice recorded twice",
    records: [1, 2].map(() => ({
      ...payee,
      kind: "invoiced",
      paymentHash: hash("01"),
    })),
  },
  {
    name: "an own settled payment as foreign",
    records: [intent("01"), settled("01"), foreign("01")],
  },
];
for (const { name, records } of impossible) {
  Deno.test(`applyRecord() stops at ${name}`, () => {
    assert.throws(() => foldLedger(records, now), InvariantError);
  });
}

Deno.test("the same end told twice is one end", () => {
  const once: TransactionRecord[] = [
    ...[intent("01"), settled("01"), intent("02"), failed("02")],
    { ...payee, kind: "invoiced", paymentHash: hash("03") },
    { ...payee, kind: "received", paymentHash: hash("03") },
  ];
  const twice = once.flatMap((record) => /intent|invoiced/.test(record.kind) ? [record] : [record, record]);
  assert.deepEqual(foldLedger(twice, now), foldLedger(once, now));
});

Deno.test("a ledger is plain data", () => {
  const ledger = foldLedger([intent("01"), foreign("02")], now);
  assert.deepEqual(structuredClone(ledger), ledger);
  assert.equal(createLedger().payments.size, 0);
});
