import assert from "node:assert/strict";
import { applyRecord, createLedger, type Ledger, openPayments } from "../../lib/audit/ledger.ts";
import type { LogRecord } from "../../lib/audit/record.ts";
import { decodeLogRecord, encodeTransaction } from "../../lib/audit/record_codec.ts";
import { resolutionOf } from "../../lib/audit/resolution.ts";
import { node, record, startWallMs } from "./records.ts";

function ledgerOf(...records: LogRecord[]): Ledger {
  const ledger = createLedger();
  for (const record of records) applyRecord(ledger, record, 0);
  return ledger;
}

for (const as of ["settled", "failed"] as const) {
  for (
    const [what, records] of Object.entries({
      reserved: [record("intent", 1)],
      unknown: [record("intent", 1), record("unknown", 1)],
      foreign: [record("foreign", 1, { pending: true })],
    })
  ) {
    Deno.test(`resolutionOf() ends a payment that is ${what} as ${as}, says that it was by hand, and survives the disk`, () => {
      const ledger = ledgerOf(...records);
      const [entry] = openPayments(ledger);
      const written = resolutionOf(entry!, as, "not-found", startWallMs + 1);
      const read = decodeLogRecord(encodeTransaction(written));
      assert.deepEqual(read, written);
      assert.ok("reason" in read && read.reason === "by hand: tightrope resolve; LND: not-found");
      applyRecord(ledger, read, 0);
      assert.deepEqual(openPayments(ledger), []);
      assert.equal(ledger.positions.get(node("B")), as === "settled" ? 1000n : 0n);
    });
  }
}
