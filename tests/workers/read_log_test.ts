import assert from "node:assert/strict";
import { AuditService } from "../../lib/audit/audit_service.ts";
import { DamagedLogError } from "../../lib/audit/damaged_log.ts";
import { TightropeError } from "../../lib/domain/errors.ts";
import { systemRandom } from "../../lib/env/system.ts";
import { readLogInWorker } from "../../lib/workers/log_remote.ts";
import { record } from "../audit/records.ts";
import { inTempFolder } from "../audit/temp_folder.ts";

Deno.test("of a damaged log the worker hands out what stands before the damage, and then says it", async () => {
  await inTempFolder(async (folder) => {
    const config = {
      ...{ storagePath: `${folder}/data`, eventLog: "event-log", transactionHistory: "transaction-log" },
      ...{ verboseScreenLogging: false, shouldMask: [] },
    };
    const service = await AuditService.open(config, systemRandom);
    for (let number = 0; number < 5; number++) await service.appendTransaction(record("intent", number));
    await service.close();
    using data = Deno.openSync(`${config.storagePath}/transaction-log/data`, { write: true });
    data.seekSync(-5, Deno.SeekMode.End);
    data.writeSync(new Uint8Array([0]));
    let given = 0;
    await assert.rejects(async () => {
      for await (const _ of readLogInWorker(config, "transactions", false, systemRandom)) given++;
    }, (error) => error instanceof TightropeError && error.remedy === new DamagedLogError("").remedy);
    assert.equal(given, 4);
  });
});
