import assert from "node:assert/strict";
import { runProgram } from "../app/program.ts";
import type { CrashWorld, Provocation } from "./crash_world.ts";
import type { Moment } from "./windows.ts";

/** Within this time a payer pays, or never. */
const answerMs = 60_000;

/**
 * Stops a daemon at a moment (SIGSTOP), as a suspended machine does. While it stands still, the Lightning network and the
 * other daemon go on; then it wakes and finds out.
 * @param stopMs how long it stands still
 * @param skipMs how much more time passes on the Lightning network meanwhile
 */
export async function stopDaemon(
  world: CrashWorld,
  moment: Moment,
  provocation: Provocation,
  stopMs: number,
  skipMs: number,
): Promise<void> {
  for (const operator of world.operators) await operator.startWell();
  for (const operator of world.operators) await world.reconciled(operator);
  await world.watched(provocation);
  const victim = moment.victim(provocation, world);
  const over = new AbortController();
  await new Promise<void>((resolve) => {
    moment.arm(world, victim, () => {
      if (over.signal.aborted) return;
      victim.program.kill("SIGSTOP");
      over.abort();
      resolve();
    }, over.signal);
    world.provoke(provocation);
  });
  const wakesAtMs = performance.now() + stopMs;
  // What stands still holds its lock.
  for (const command of [["run"], ["repair"]]) {
    const { code, stderr } = await runProgram(...command, "--config", victim.config);
    assert.equal(code, 75, stderr);
    assert.match(stderr, /in use by another process|is running|runs/);
  }
  world.cluster.skip(skipMs);
  await new Promise((resolve) => setTimeout(resolve, Math.max(0, wakesAtMs - performance.now())));
  victim.program.kill("SIGCONT");
  const ended = /^(payment-settled|payment-failed|payment-received|request-ended|request-refused)$/;
  await victim.program.event({ kind: ended });
  world.calm(provocation);
  for (const operator of world.operators) await operator.stop();
  for (const operator of world.operators) world.assertSafe(operator);
  world.assertReconciled();
  for (const { kind, details, paymentHash, at } of world.operators.flatMap(({ program }) => program.events)) {
    if (kind !== "message-sent" || (details as { message?: unknown }).message !== "payInvoice") continue;
    for (const payment of world.nodes.flatMap((node) => world.cluster.payments(node))) {
      if (payment.paymentHash !== paymentHash) continue;
      const lateMs = payment.createdAtWallMs - world.cluster.skippedMs - Date.parse(String(at));
      assert.ok(lateMs < answerMs, `${paymentHash} was paid ${lateMs} ms after it was asked for`);
    }
  }
}
