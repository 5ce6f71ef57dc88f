import assert from "node:assert/strict";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { CrashWorld } from "./crash_world.ts";
import { stopDaemon } from "./stop_daemon.ts";
import { atCall, atPayment, ofPayer } from "./windows.ts";

Deno.test("a daemon that stands still for minutes keeps its lock, pays nothing too late and finds out what happened", async () => {
  await using world = await CrashWorld.create(new SeededRandom(3));
  const [, , toCarol] = world.provocations;
  world.watchCalls();
  // The invoice has expired when the payer wakes up; or is paid.
  const minutes = 11 * 60_000;
  await stopDaemon(world, atCall("decodeInvoice", "unanswered", ofPayer), toCarol!, 1_000, minutes);
  await stopDaemon(world, atPayment("an HTLC out", (htlcs) => htlcs > 0, ofPayer), toCarol!, 1_000, minutes);
  const statuses = world.nodes.flatMap((node) => world.cluster.payments(node)).map(({ status }) => status);
  assert.ok(statuses.includes("SUCCEEDED"), statuses.join());
});
