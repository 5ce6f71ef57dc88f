/** Entry of the audit worker: the only part that may touch the data directory. */
import { AuditService } from "../audit/audit_service.ts";
import { encodePauses, type Pause } from "../audit/pause.ts";
import { foldLedger } from "../audit/ledger.ts";
import { readPauses, takeResume } from "../audit/pause_file.ts";
import type { EventRecord, LogRecord } from "../audit/record.ts";
import type { LogRepair } from "../audit/log_repair.ts";
import { repairLogs } from "../audit/repair.ts";
import { resolutionOf } from "../audit/resolution.ts";
import { takeResolve } from "../audit/resolve_file.ts";
import { LogInUseError } from "../audit/storage.ts";
import type { AuditConfig } from "../config/config.ts";
import { type DataPaths, dataPaths } from "../config/data_paths.ts";
import { InvariantError } from "../domain/errors.ts";
import { systemClock, systemRandom } from "../env/system.ts";
import type { AuditOpened, ControlEvent, Resolution, ResolveOutcome } from "./audit_remote.ts";
import { servePort } from "./serve_port.ts";

// How soon `tightrope pause` is obeyed.
const pausePollMs = 500;

let service: AuditService | undefined;
let reading: AsyncGenerator<LogRecord> | undefined;
let pausePoll: ReturnType<typeof setInterval> | undefined;

function opened(): AuditService {
  if (service === undefined) throw new InvariantError("the logs aren't open");
  return service;
}

/** Reports the operator's commands. */
function pollControl(paths: DataPaths, pausesAtStart: readonly Pause[]): ReturnType<typeof setInterval> {
  let seen = encodePauses(pausesAtStart);
  // A look that fails ends the worker: an operator's command must not be missed unseen.
  return setInterval(() => {
    const request = takeResolve(paths);
    if (request !== undefined) port.emit({ kind: "resolve", ...request } satisfies ControlEvent);
    const resumed = takeResume(paths);
    const pauses = readPauses(paths);
    const now = encodePauses(pauses);
    if (now === seen && !resumed) return;
    seen = now;
    port.emit({ kind: "pauses", pauses, resumed } satisfies ControlEvent);
  }, pausePollMs);
}

const port = servePort({
  async open(config: AuditConfig): Promise<AuditOpened> {
    service = await AuditService.open(config, systemRandom);
    const paths = dataPaths(config);
    // What was said before this start was said of another state.
    takeResume(paths);
    takeResolve(paths);
    const pauses = readPauses(paths);
    pausePoll = pollControl(paths, pauses);
    return { head: service.heads.transactions, swarmSeed: service.swarmSeed, pauses };
  },
  /** Looks at the logs of a daemon that doesn't run, and begins those anew that are damaged. */
  repair: (config: AuditConfig, change: boolean): Promise<LogRepair[]> =>
    repairLogs(config, systemRandom, systemClock.now().wallMs, change),
  /** `tightrope resolve` where no daemon runs: ends a payment that the log, as it is now, has as open. */
  async resolve(
    config: AuditConfig,
    { paymentHash, as, lndSays, feeMsat, event }: Resolution,
  ): Promise<ResolveOutcome> {
    const now = systemClock.now();
    try {
      service = await AuditService.open(config, systemRandom);
    } catch (error) {
      if (error instanceof LogInUseError) return "in-use";
      throw error;
    }
    const ledger = foldLedger(await Array.fromAsync(service.readTransactions()), now);
    const entry = ledger.payments.get(paymentHash);
    if (entry === undefined || entry.state === "settled") return "not-open";
    await service.appendTransaction(resolutionOf(entry, as, lndSays, now.wallMs, feeMsat));
    await service.appendEvent({ ...event, atWallMs: now.wallMs });
    return "done";
  },
  /** The next `count` transactions, from the first on; fewer at the end. */
  async transactions(count: number): Promise<LogRecord[]> {
    reading ??= opened().readTransactions();
    const records: LogRecord[] = [];
    while (records.length < count) {
      const { done, value } = await reading.next();
      if (done) break;
      records.push(value);
    }
    return records;
  },
  appendTransaction: (record: LogRecord) => opened().appendTransaction(record),
  appendEvent: (record: EventRecord) => opened().appendEvent(record),
  pause: (reason: string) => opened().pause(reason, systemClock.now().wallMs),
  async close(): Promise<void> {
    clearInterval(pausePoll);
    await service?.close();
  },
});
