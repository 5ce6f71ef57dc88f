import assert from "node:assert/strict";
import { type Account, netSat, pairTotals } from "../../lib/audit/accounts.ts";
import { createLedger, foldLedger } from "../../lib/audit/ledger.ts";
import { clockToleranceMs, type LogRecord } from "../../lib/audit/record.ts";
import { node, record, startWallMs } from "./records.ts";

const at = (minutes: number) => ({ atWallMs: startWallMs + minutes * 60_000 });
const fold = (...records: LogRecord[]) => foldLedger(records, { atMs: 0, wallMs: startWallMs + 86_400_000 });
const accounts = (...records: LogRecord[]): Account[] =>
  [...fold(...records).accounts.pairs.values()].flatMap((sides) => [...sides.values()]);
const amounts = ({ paidSat, receivedSat, reservedSat, unknownSat, foreignSat, count }: Account) =>
  [paidSat, receivedSat, reservedSat, unknownSat, foreignSat].map(Number).concat(count);

Deno.test("an account follows each payment from its reservation to its end", () => {
  const story: [LogRecord, number[]][] = [
    [record("intent", 1, { amountSat: 500 }), [0, 0, 500, 0, 0, 0]],
    [record("unknown", 1, { amountSat: 500 }), [0, 0, 0, 500, 0, 0]],
    [record("unknown", 1, { amountSat: 500 }), [0, 0, 0, 500, 0, 0]],
    [record("settled", 1, { amountSat: 500 }), [500, 0, 0, 0, 0, 1]],
    [record("intent", 2, { amountSat: 40 }), [500, 0, 40, 0, 0, 1]],
    [record("failed", 2, { amountSat: 40 }), [500, 0, 0, 0, 0, 1]],
    [record("invoiced", 3, { amountSat: 7 }), [500, 0, 0, 0, 0, 1]],
    [record("received", 3, { amountSat: 7 }), [500, 7, 0, 0, 0, 2]],
    [record("foreign", 4, { amountSat: 60, pending: true }), [500, 7, 60, 0, 60, 2]],
    [record("foreign", 4, { amountSat: 60 }), [560, 7, 0, 0, 60, 3]],
    [record("foreign", 5, { amountSat: 9, pending: true }), [560, 7, 9, 0, 69, 3]],
    [record("foreign", 5, { amountSat: 0 }), [560, 7, 0, 0, 60, 3]],
  ];
  story.forEach(([, expected], index) => {
    const [account] = accounts(...story.slice(0, index + 1).map(([record]) => record));
    assert.deepEqual(amounts(account!), expected, `after ${index}`);
  });
});

Deno.test("the accounts of a log and its positions say the same", () => {
  const ledger = fold(
    record("intent", 1, { amountSat: 500 }),
    record("settled", 1, { amountSat: 500 }),
    record("intent", 2, { amountSat: 40, channel: 2 }),
    record("unknown", 2, { amountSat: 40, channel: 2 }),
    record("invoiced", 3, { amountSat: 7, channel: 2 }),
    record("received", 3, { amountSat: 7, channel: 2 }),
    record("intent", 4, { amountSat: 90, peer: node("C"), ownPeer: true }),
    record("settled", 4, { amountSat: 90, peer: node("C"), ownPeer: true }),
    record("foreign", 5, { amountSat: 3 }),
  );
  const sides = [...ledger.accounts.pairs.values()].flatMap((sides) => [...sides.values()]);
  const nets = new Map<string, bigint>();
  for (const side of sides) if (!side.ownPeer) nets.set(side.peer, (nets.get(side.peer) ?? 0n) + netSat(side));
  assert.deepEqual(nets, new Map(ledger.positions));
  assert.deepEqual(pairTotals(ledger.accounts, node("A"), node("B")), {
    paidSat: 503n,
    receivedSat: 7n,
    openSat: 40n,
    count: 3,
  });
  assert.equal(pairTotals(ledger.accounts, node("A"), node("C")), undefined);
  assert.equal(pairTotals(createLedger().accounts, node("A"), node("B")), undefined);
});

Deno.test("since when somebody owes: from when the settled balance last changed its sign, whatever failed meanwhile", () => {
  const pay = (n: number, minutes: number, amountSat: number) => [
    record("intent", n, { amountSat, ...at(minutes) }),
    record("settled", n, { amountSat, ...at(minutes) }),
  ];
  const receive = (n: number, minutes: number, amountSat: number) => [
    record("invoiced", n, { amountSat, ...at(minutes) }),
    record("received", n, { amountSat, ...at(minutes) }),
  ];
  const since = (...records: LogRecord[]) => {
    const { settledSat, sinceWallMs } = fold(...records).accounts.standings.get(node("B"))!;
    return [Number(settledSat), (sinceWallMs - startWallMs) / 60_000];
  };
  const owes = [...pay(1, 1, 100), ...pay(2, 2, 50)];
  assert.deepEqual(since(...owes), [150, 1]);
  const failure = [
    record("intent", 3, { amountSat: 900, ...at(3) }),
    record("failed", 3, { amountSat: 900, ...at(4) }),
  ];
  assert.deepEqual(since(...owes, ...failure), [150, 1]);
  assert.deepEqual(since(...owes, ...receive(4, 5, 150)), [0, 5]);
  assert.deepEqual(since(...owes, ...receive(4, 5, 150), ...failure, ...receive(6, 7, 1)), [-1, 7]);
  assert.deepEqual(since(...owes, ...receive(4, 5, 151)), [-1, 5]);
  assert.deepEqual(since(...receive(4, 5, 151), ...receive(5, 6, 1), ...pay(6, 7, 153)), [1, 7]);
  const ownPair = pay(1, 1, 100).map((record) => ({ ...record, ownPeer: true }) as LogRecord);
  assert.equal(fold(...ownPair).accounts.standings.size, 0, "nodes of one operator owe each other nothing");
});

Deno.test("an account spans its payments, in whatever order they were found", () => {
  const found = { ...record("foreign", 3, at(9)), paidAtWallMs: at(2).atWallMs + clockToleranceMs } as LogRecord;
  const [account] = accounts(
    record("intent", 1, at(3)),
    record("settled", 1, at(4)),
    record("intent", 2, at(5)),
    record("failed", 2, at(6)),
    found,
    record("intent", 4, at(10)),
    record("settled", 4, at(11)),
    { ...record("foreign", 5, at(12)), paidAtWallMs: at(5).atWallMs + clockToleranceMs } as LogRecord,
  );
  assert.deepEqual([account!.firstAtWallMs, account!.lastAtWallMs], [at(2).atWallMs, at(11).atWallMs]);
});

Deno.test("what LND has paid before is dated as LND dates it, though it counts for a day longer", () => {
  const found = { ...record("foreign", 1, at(9_000)), paidAtWallMs: startWallMs + clockToleranceMs } as LogRecord;
  const [account] = accounts(found);
  assert.deepEqual([account!.firstAtWallMs, account!.lastAtWallMs], [startWallMs, startWallMs]);
  assert.equal(fold(found).accounts.standings.get(node("B"))!.sinceWallMs, startWallMs);
});
