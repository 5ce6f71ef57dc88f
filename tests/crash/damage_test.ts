import assert from "node:assert/strict";
import { damages, UsedData } from "./damaged_logs.ts";

/** A sample; `deno task crash:damages` tries them all. */
const sample = {
  "the transaction log's data lost its end": "refused",
  "all is an older backup": "recovered",
  "the seed is empty": "refused",
} as const;

Deno.test("damaged data: the daemon refuses until it is repaired as it says, or knows all; no limit is passed", async () => {
  await using used = await UsedData.create();
  for (const [name, wanted] of Object.entries(sample)) {
    assert.equal(await used.survives(damages[name]!), wanted, name);
  }
});
