import assert from "node:assert/strict";
import type { Fault } from "./actions.ts";
import { explore } from "./explore.ts";
import { type Flaw, flaws } from "./flaws.ts";

/** What brings each mistake to light, and the rule that notices. */
const found: Readonly<Record<Flaw, readonly [faults: readonly Fault[], rule: RegExp]>> = {
  "records are on disk before they are": [[], /isn't on disk/],
  "a lost answer counts as a failure": [["lost answer"], /doesn't count as spent/],
  "not found counts as a failure": [["lost answer"], /doesn't count as spent/],
  "under way counts as a failure": [["lost answer"], /doesn't count as spent/],
  "what is reserved doesn't count": [[], /doesn't count as spent/],
  "open payments are sent again after a restart": [["crash"], /sent a second time/],
  "a known hash is paid again": [["failed HTLC", "lie"], /sent a second time/],
  "the payer's word is believed": [["lie"], /as received, and LND its invoice as open/],
  "a cancellation that fails isn't looked up": [["lie"], /as cancelled, and LND its invoice as settled/],
  "what nobody pays isn't cancelled": [["lie"], /as cancelled, and LND its invoice as open/],
  "invoices of an earlier run are forgotten": [["crash"], /2 requests open/],
  "it asks while a request is open": [["cut"], /2 requests open/],
};

for (const flaw of Object.keys(flaws) as Flaw[]) {
  const [faults, rule] = found[flaw];
  Deno.test(`the model's rules notice when ${flaw}`, () => {
    const { broken, states } = explore({ faults: faults.map((fault) => [fault]), flaw });
    assert.match(broken?.message ?? "", rule, `${states} states`);
  });
}
