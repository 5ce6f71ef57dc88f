import assert from "node:assert/strict";
import type { LogRepair } from "../../lib/audit/log_repair.ts";
import { formatRepair } from "../../lib/cli/repair_output.ts";

const whole = (log: LogRepair["log"], ended = false): LogRepair => ({
  ...{ log, problem: undefined, records: 1, setAside: undefined, ended },
});
const damaged = (log: LogRepair["log"]): LogRepair => ({
  ...{ log, records: 17, ended: false, setAside: `${log}.damaged-20260101T000000000Z` },
  problem: `Record 9 of the log "/var/lib/tightrope/${"deep/".repeat(20)}${log}" is damaged on the disk`,
});

Deno.test("formatRepair() says what is wrong, what becomes of it, and what to do, within 80 columns", () => {
  assert.equal(
    formatRepair([whole("transactions"), whole("events")], true),
    "The transaction log is whole: 1 record\nThe event log is whole: 1 record\nThere is nothing to repair\n",
  );
  assert.equal(
    formatRepair([whole("transactions", true)], false),
    "The transaction log is whole: 1 record. A repair that was cut short is ended\nNow start Tightrope as usual\n",
  );
  const table: [LogRepair, boolean, RegExp[]][] = [
    [damaged("transactions"), true, [/17 records of it can be read\./, /counts as spent/, /\nNothing was changed\./]],
    [damaged("transactions"), false, [/can be read and kept\./, /begun anew/, /damaged-2026/, /\nNow start Tightrope/]],
    // Its records don't matter to anything, and aren't carried over.
    [damaged("events"), false, [/begins empty/, /begun anew/, /nothing was deleted/]],
  ];
  for (const [log, dryRun, wanted] of table) {
    const text = formatRepair([log], dryRun);
    const oneLine = text.replace(/\n +/g, " ");
    for (const pattern of wanted) assert.match(oneLine, pattern);
    assert.equal(/begun anew/.test(text), !dryRun);
    assert.deepEqual(text.split("\n").filter((line) => line.length > 80), []);
  }
});
