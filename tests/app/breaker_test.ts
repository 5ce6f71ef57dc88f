import assert from "node:assert/strict";
import { AuditService } from "../../lib/audit/audit_service.ts";
import type { LogRecord, TransactionRecord } from "../../lib/audit/record.ts";
import { systemRandom } from "../../lib/env/system.ts";
import { Cluster } from "./cluster.ts";
import { runProgram } from "./program.ts";

/** Another log in the place of an instance's: what it says and what LND says are two things. */
async function rewrite(folder: string, change: (records: readonly LogRecord[]) => readonly LogRecord[]): Promise<void> {
  const config = (storagePath: string) => ({
    ...{ storagePath, eventLog: "event-log", transactionHistory: "transaction-log" },
    ...{ verboseScreenLogging: false, shouldMask: [] },
  });
  const before = await AuditService.open(config(folder), systemRandom);
  const records = await Array.fromAsync(before.readTransactions());
  await before.close();
  await Deno.remove(folder, { recursive: true });
  const after = await AuditService.open(config(folder), systemRandom);
  for (const record of change(records)) await after.appendTransaction(record);
  await after.close();
}

Deno.test("a log that contradicts LND stops all paying, over a restart too, until the operator resumes", async () => {
  await using cluster = new Cluster();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  const point = cluster.channel(alice, bob, 0.1);
  const config = cluster.configFile({
    name: "own",
    nodes: [alice, bob],
    more: "limits:\n  baseSettings:\n    minTimeBetweenPayments: 0\n",
  });
  const program = cluster.start(config);
  await program.event({ kind: "payment-received" });
  assert.equal((await program.stop()).code, 0);
  await rewrite(`${cluster.folder}/own-data`, (records) =>
    records.map((record): LogRecord => {
      if (record.kind !== "settled") return record;
      const { feeMsat: _feeMsat, ...rest } = record;
      return { ...rest, kind: "failed", reason: "no-route" } satisfies TransactionRecord;
    }));
  const { localSat } = cluster.run((network) => network.channel(bob.pubkey, point))!;
  cluster.run((network) => network.shift(point, bob.pubkey, (localSat - 100_000n) * 1_000n as never));

  const stopped = cluster.start(config);
  await stopped.event({ kind: "breaker", level: "error", message: /as failed and LND as settled.*tightrope resume/ });
  await stopped.event({ kind: "decision", reason: "breaker", node: bob.pubkey });
  assert.equal((await stopped.stop()).code, 0);
  const again = cluster.start(config);
  await again.event({ kind: "breaker", message: /since an earlier run: the log has the payment/ });
  assert.equal(cluster.payments(alice).length, 1);
  const one = await runProgram("resume", "--channel", "472x1x0", "--config", config);
  assert.match(one.stdout, /wasn't paused by that name\nStill paused: everything, since the log has the payment/);
  assert.equal((await runProgram("resume", "--config", config)).stdout, "Resumed");
  await again.event({ kind: "payment-received" });
  assert.equal((await again.stop()).code, 0);
});
