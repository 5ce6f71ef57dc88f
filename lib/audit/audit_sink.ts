import type { EventRecord, LogRecord } from "./record.ts";

/** Where a log stands: its length in records and the hash of its Merkle tree (64 hex digits). */
export interface LogHead {
  readonly length: number;
  readonly treeHash: string;
}

/** What the driver needs of the logs. */
export interface AuditSink {
  /** Resolves when the record is on disk, with the log's new head. Records of one caller stay in order. */
  appendTransaction(record: LogRecord): Promise<LogHead>;
  /** Resolves when the record is written. */
  appendEvent(record: EventRecord): Promise<void>;
  /**
   * Pauses all asking and paying, as the breaker does; resolves when that would outlive a crash of this process. Whatever is
   * appended after this call is on disk only after the pause.
   */
  pause(reason: string): Promise<void>;
}
