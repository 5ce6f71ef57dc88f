import type { AuditSink, LogHead } from "../audit/audit_sink.ts";
import type { Pause } from "../audit/pause.ts";
import type { EventRecord, LogRecord } from "../audit/record.ts";
import type { LogRepair } from "../audit/log_repair.ts";
import type { AuditConfig } from "../config/config.ts";
import type { Random } from "../env/random.ts";
import { auditRights } from "./rights.ts";
import { WorkerHandle } from "./worker_handle.ts";

/** What opening the logs told. */
export interface AuditOpened {
  /** The transaction log's head. */
  readonly head: LogHead;
  /** 32 bytes, derived from the seed file for the swarm's key pair. */
  readonly swarmSeed: Uint8Array;
  /** What was paused before this start. */
  readonly pauses: readonly Pause[];
}

/** The operator paused or resumed while the daemon ran. */
export interface PauseEvent {
  /** What is paused now. */
  readonly pauses: readonly Pause[];
  /** Everything was resumed: the operator has looked, which also ends what stopped by itself. */
  readonly resumed: boolean;
}

const recordsPerCall = 2_000;

/** The two logs, written in a worker that may touch nothing but the data directory. */
export class AuditWorker implements AuditSink {
  readonly handle: WorkerHandle;
  readonly #config: AuditConfig;

  constructor(config: AuditConfig, random: Random) {
    this.#config = config;
    this.handle = new WorkerHandle(
      "audit",
      new URL("./audit_worker.ts", import.meta.url),
      auditRights(config),
      random,
    );
  }

  async open(onPause: (event: PauseEvent) => void): Promise<AuditOpened> {
    this.handle.onEvent((event) => onPause(event as PauseEvent));
    return await this.handle.call("open", this.#config) as AuditOpened;
  }

  /** Every record of the transaction log, oldest first. */
  async readTransactions(): Promise<LogRecord[]> {
    const records: LogRecord[] = [];
    while (true) {
      const batch = await this.handle.call("transactions", recordsPerCall) as LogRecord[];
      records.push(...batch);
      if (batch.length < recordsPerCall) return records;
    }
  }

  async appendTransaction(record: LogRecord): Promise<LogHead> {
    return await this.handle.call("appendTransaction", record) as LogHead;
  }

  async appendEvent(record: EventRecord): Promise<void> {
    await this.handle.call("appendEvent", record);
  }

  async pause(reason: string): Promise<void> {
    await this.handle.call("pause", reason);
  }

  async close(): Promise<void> {
    await this.handle.call("close");
    this.handle.terminate();
  }
}

/** `tightrope repair`, in a worker that may touch nothing but the data directory. */
export async function repairLogsInWorker(config: AuditConfig, change: boolean, random: Random): Promise<LogRepair[]> {
  const { handle } = new AuditWorker(config, random);
  try {
    return await handle.call("repair", config, change) as LogRepair[];
  } finally {
    handle.terminate();
  }
}
