/** Durable appends to the transaction log: one after the other, and many at once, which one write takes together. */
import { AuditService } from "../../lib/audit/audit_service.ts";
import { systemRandom } from "../../lib/env/system.ts";
import { percentile, type Row } from "../bench_table.ts";
import { record } from "./records.ts";
import { inTempFolder } from "./temp_folder.ts";

const singles = 500;
const together = 20_000;

export async function benchAudit(): Promise<{ header: Row; rows: Row[] }> {
  const timesMs: number[] = [];
  let togetherMs = 0;
  await inTempFolder(async (storagePath) => {
    const service = await AuditService.open({
      storagePath,
      eventLog: "event-log",
      transactionHistory: "transaction-log",
      verboseScreenLogging: false,
      shouldMask: [],
    }, systemRandom);
    for (let n = 0; n < singles; n++) {
      const startedMs = performance.now();
      await service.appendTransaction(record("intent", n));
      timesMs.push(performance.now() - startedMs);
    }
    const startedMs = performance.now();
    await Promise.all(Array.from({ length: together }, (_, n) => service.appendTransaction(record("settled", n))));
    togetherMs = performance.now() - startedMs;
    await service.close();
  });
  const perSecond = (count: number, ms: number) => (count / ms * 1000).toFixed(0);
  return {
    header: { name: "Transaction log, synced", cells: ["records/s", "ms p50", "p99"] },
    rows: [
      {
        name: "one by one",
        cells: [
          perSecond(singles, timesMs.reduce((sum, ms) => sum + ms, 0)),
          percentile(timesMs, 0.5).toFixed(2),
          percentile(timesMs, 0.99).toFixed(2),
        ],
      },
      { name: `${together} at once`, cells: [perSecond(together, togetherMs), "", ""] },
    ],
  };
}
