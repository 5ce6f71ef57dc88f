/** Entry of the audit worker: the only part that may touch the data directory. */
import { AuditService } from "../audit/audit_service.ts";
import { isPaused, takeResume } from "../audit/pause_file.ts";
import type { EventRecord, TransactionRecord } from "../audit/record.ts";
import type { AuditConfig } from "../config/config.ts";
import { type DataPaths, dataPaths } from "../config/data_paths.ts";
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

/** Reports the operator's commands, one look after the other. */
function pollControl(paths: DataPaths, pausedAtStart: boolean): ReturnType<typeof setInterval> {
  let paused = pausedAtStart;
  let looking = false;
  const look = async () => {
    if (looking) return;
    looking = true;
    const resumed = await takeResume(paths);
    const changed = isPaused(paths) !== paused;
    if (changed) paused = !paused;
    if (changed || resumed) port.emit({ paused } satisfies PauseEvent);
    looking = false;
  };
  // A look that fails ends the worker: an operator's command must not be missed unseen.
  return setInterval(() => void look(), pausePollMs);
}

const port = servePort({
  async open(config: AuditConfig): Promise<AuditOpened> {
    service = await AuditService.open(config, systemRandom);
    const paths = dataPaths(config);
    // One from before this start has nothing to end.
    await takeResume(paths);
    const paused = isPaused(paths);
    pausePoll = pollControl(paths, paused);
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
  pause: () => opened().pause(),
  async close(): Promise<void> {
    clearInterval(pausePoll);
    await service?.close();
  },
});
