import type { AuditSink, LogHead } from "../audit/audit_sink.ts";
import type { Pause } from "../audit/pause.ts";
import type { EventRecord, LogRecord } from "../audit/record.ts";
import type { LogRepair } from "../audit/log_repair.ts";
import type { ResolveRequest } from "../audit/resolve_file.ts";
import type { AuditConfig } from "../config/config.ts";
import type { Msat } from "../domain/amounts.ts";
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

/** The operator gave a command while the daemon ran. */
export type ControlEvent = PauseEvent | ResolveEvent;

/** The operator paused or resumed. */
export interface PauseEvent {
  readonly kind: "pauses";
  /** What is paused now. */
  readonly pauses: readonly Pause[];
  /** Everything was resumed: the operator has looked, which also ends what stopped by itself. */
  readonly resumed: boolean;
}

/** The operator says how an open payment ended. */
export interface ResolveEvent extends ResolveRequest {
  readonly kind: "resolve";
}

/** The same where no daemon runs, with what LND said. */
export interface Resolution extends ResolveRequest {
  readonly lndSays: string;
  readonly feeMsat: Msat;
  /** For the event log. */
  readonly event: Omit<EventRecord, "atWallMs">;
}

/** `in-use`: a daemon runs. `not-open`: the payment has ended meanwhile. */
export type ResolveOutcome = "done" | "in-use" | "not-open";

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

  async open(onControl: (event: ControlEvent) => void): Promise<AuditOpened> {
    this.handle.onEvent((event) => onControl(event as ControlEvent));
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

/** `tightrope resolve` where no daemon runs, in a worker that may touch nothing but the data directory. */
export async function resolveInWorker(
  config: AuditConfig,
  resolution: Resolution,
  random: Random,
): Promise<ResolveOutcome> {
  const worker = new AuditWorker(config, random);
  try {
    return await worker.handle.call("resolve", config, resolution) as ResolveOutcome;
  } finally {
    await worker.close();
  }
}
