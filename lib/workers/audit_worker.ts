/** Entry of the audit worker: the only part that may touch the data directory. */
import { AuditService } from "../audit/audit_service.ts";
import type { EventRecord, TransactionRecord } from "../audit/record.ts";
import type { AuditConfig } from "../config/config.ts";
import { dataPaths } from "../config/data_paths.ts";
import { InvariantError } from "../domain/errors.ts";
import { systemRandom } from "../env/system.ts";
import type { AuditOpened, PauseEvent } from "./audit_remote.ts";
import { servePort } from "./serve_port.ts";

// How soon `tightrope pause` is obeyed.
const pausePollMs = 500;

let service: AuditService | undefined;
let reading: AsyncGenerator<TransactionRecord> | undefined;
let pausePoll: ReturnType<typeof setInterval> | undefined;

function opened(): AuditService {
  if (service === undefined) throw new InvariantError("the logs aren't open");
  return service;
}

function exists(path: string): boolean {
  try {
    Deno.statSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

const port = servePort({
  async open(config: AuditConfig): Promise<AuditOpened> {
    service = await AuditService.open(config, systemRandom);
    const { pauseFile } = dataPaths(config);
    let paused = exists(pauseFile);
    pausePoll = setInterval(() => {
      if (exists(pauseFile) === paused) return;
      paused = !paused;
      port.emit({ paused } satisfies PauseEvent);
    }, pausePollMs);
    return { head: service.heads.transactions, swarmSeed: service.swarmSeed, paused };
  },
  /** The next `count` transactions, from the first on; fewer at the end. */
  async transactions(count: number): Promise<TransactionRecord[]> {
    reading ??= opened().readTransactions();
    const records: TransactionRecord[] = [];
    while (records.length < count) {
      const { done, value } = await reading.next();
      if (done) break;
      records.push(value);
    }
    return records;
  },
  appendTransaction: (record: TransactionRecord) => opened().appendTransaction(record),
  appendEvent: (record: EventRecord) => opened().appendEvent(record),
  async close(): Promise<void> {
    clearInterval(pausePoll);
    await service?.close();
  },
});
