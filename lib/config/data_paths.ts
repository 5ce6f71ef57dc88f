import { join } from "node:path";
import type { AuditConfig } from "./config.ts";

/** Where everything in the data directory lies. Absolute paths, as `audit.storage.path` is. */
export interface DataPaths {
  readonly directory: string;
  /** A Hypercore each. */
  readonly eventLogDirectory: string;
  readonly transactionLogDirectory: string;
  /** The one seed from which the instance's keys come; mode 0600. */
  readonly seedFile: string;
  /** Locked by whoever opens the directory for writing, until it has locked the logs; and by a repair, until its end. */
  readonly lockFile: string;
  /** Over what the daemon neither asks nor pays; while it is there and can't be read, over everything. */
  readonly pauseFile: string;
  /** Locked by whoever changes the pause file: an operator's command and the daemon may do so at once. */
  readonly pauseLockFile: string;
  /** How `resume` tells a running daemon; gone as soon as it has seen it. */
  readonly resumeFile: string;
  /** How `resolve` tells a running daemon; gone as soon as it has seen it. */
  readonly resolveFile: string;
}

/** Names that a log may not take. */
export const reservedDataNames: readonly string[] = [
  "seed",
  "lock",
  "paused",
  "paused.lock",
  "paused.new",
  "resumed",
  "resolve",
  "resolve.new",
];

export function dataPaths(audit: Pick<AuditConfig, "storagePath" | "eventLog" | "transactionHistory">): DataPaths {
  const directory = audit.storagePath;
  return {
    directory,
    eventLogDirectory: join(directory, audit.eventLog),
    transactionLogDirectory: join(directory, audit.transactionHistory),
    seedFile: join(directory, "seed"),
    lockFile: join(directory, "lock"),
    pauseFile: join(directory, "paused"),
    pauseLockFile: join(directory, "paused.lock"),
    resumeFile: join(directory, "resumed"),
    resolveFile: join(directory, "resolve"),
  };
}
