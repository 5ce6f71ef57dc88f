import assert from "node:assert/strict";
import { runCrashes } from "./run_crashes.ts";

Deno.test("killed at chosen moments, two daemons lose nothing, pay nothing twice and keep their limits", async () => {
  const { kills, byMoment, payments } = await runCrashes({ seed: 7, kills: 4, killsPerWorld: 4 });
  assert.equal(kills, 4);
  assert.ok(byMoment.size > 0, "moments came");
  assert.ok(payments > 0, "something was paid");
});
