import assert from "node:assert/strict";
import { systemRandom } from "../../lib/env/system.ts";
import { AuditWorker } from "../../lib/workers/audit_remote.ts";
import { readLogInWorker } from "../../lib/workers/log_remote.ts";
import { record } from "../audit/records.ts";
import { inTempFolder } from "../audit/temp_folder.ts";

const ignore = Deno.build.os === "windows";

Deno.test("the data directory may be a symbolic link, at the first start and at every other", { ignore }, async () => {
  await inTempFolder(async (folder) => {
    Deno.mkdirSync(`${folder}/real`);
    Deno.symlinkSync(`${folder}/real`, `${folder}/link`);
    const config = {
      ...{ storagePath: `${folder}/link`, eventLog: "event-log", transactionHistory: "transaction-log" },
      ...{ verboseScreenLogging: false, shouldMask: [] },
    };
    for (let start = 0; start < 3; start++) {
      const audit = new AuditWorker(config, systemRandom);
      try {
        await audit.open(() => {});
        assert.equal((await audit.readTransactions()).length, start);
        await audit.appendTransaction(record("intent", start));
      } finally {
        await audit.close();
      }
    }
    assert.equal((await Array.fromAsync(readLogInWorker(config, "transactions", false, systemRandom))).length, 3);
  });
});
