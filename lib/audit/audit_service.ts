import type { AuditConfig } from "../config/config.ts";
import { type DataPaths, dataPaths } from "../config/data_paths.ts";
import { messageOf, TightropeError } from "../domain/errors.ts";
import type { Random } from "../env/random.ts";
import type { LogHead } from "./audit_sink.ts";
import { DamagedLogError, ofEventLog } from "./damaged_log.ts";
import { fileTrouble } from "./file_trouble.ts";
import { HypercoreLog } from "./hypercore_log.ts";
import { isThere } from "./is_there.ts";
import { openLockFile } from "./lock_file.ts";
import { readyPathOf } from "./mark_file.ts";
import { addPause } from "./pause_file.ts";
import type { EventRecord, LogRecord } from "./record.ts";
import { decodeLogRecord, encodeEvent, encodeTransaction } from "./record_codec.ts";
import { deriveSwarmSeed, loadOrCreateSeed, logKeySeeds } from "./seed_file.ts";
import { LogInUseError } from "./storage.ts";

/**
 * The instance's two logs and its seed, in one data directory: `<storagePath>/<eventLog>`, `<storagePath>/<transactionHistory>`
 * (a Hypercore each), a high-water mark beside each, and `<storagePath>/seed`.
 */
export class AuditService {
  /** 32 bytes that the swarm's key pair is made of. */
  readonly swarmSeed: Uint8Array;
  readonly #paths: DataPaths;
  readonly #maskedKeys: readonly string[];
  readonly #events: HypercoreLog;
  readonly #transactions: HypercoreLog;
  /** Why the breaker's pause isn't on the disk. */
  #unpaused: { readonly error: unknown } | undefined;

  private constructor(
    swarmSeed: Uint8Array,
    paths: DataPaths,
    maskedKeys: readonly string[],
    events: HypercoreLog,
    transactions: HypercoreLog,
  ) {
    this.swarmSeed = swarmSeed;
    this.#paths = paths;
    this.#maskedKeys = maskedKeys;
    this.#events = events;
    this.#transactions = transactions;
  }

  /** @throws TightropeError if the directory can't be used, another process uses it, or a log isn't whole */
  static async open(config: AuditConfig, random: Random): Promise<AuditService> {
    const { storagePath } = config;
    try {
      Deno.mkdirSync(storagePath, { recursive: true, mode: 0o700 });
    } catch (error) {
      const trouble = fileTrouble(`create the data directory "${storagePath}"`, error);
      if (trouble?.code === "temporary") throw trouble;
      throw new TightropeError(
        "permission",
        `Cannot create the data directory "${storagePath}": ${messageOf(error)}`,
        "Create it for the user that runs Tightrope, or name another one (audit.storage.path)",
        { cause: error },
      );
    }
    const paths = dataPaths(config);
    using _lock = lockDirectory(paths);
    const seed = loadOrCreateSeed(paths.seedFile, () => random.bytes(32));
    checkNotMissing(paths);
    const transactions = await HypercoreLog.open(paths.transactionLogDirectory, logKeySeeds(seed, "transactions"));
    try {
      const events = await HypercoreLog.open(paths.eventLogDirectory, logKeySeeds(seed, "events"), { gatherMs: 50 });
      return new AuditService(deriveSwarmSeed(seed, paths.seedFile), paths, config.shouldMask, events, transactions);
    } catch (error) {
      // On a full disk this fails as well; what matters is why.
      await transactions.close().catch(() => {});
      throw ofEventLog(error);
    }
  }

  /** Resolves when the event is on the disk. */
  async appendEvent(record: EventRecord): Promise<void> {
    await this.#events.append(encodeEvent(record, this.#maskedKeys));
  }

  /** Resolves when the transaction is on the disk, with the log's head by then. */
  appendTransaction(record: LogRecord): Promise<LogHead> {
    // What tripped the breaker comes to light again as long as no record of it ends the matter.
    if (this.#unpaused !== undefined) return Promise.reject(this.#unpaused.error);
    return this.#transactions.append(encodeTransaction(record));
  }

  /**
   * The transactions from index `from` up to the head as it is now, oldest first.
   * @throws TightropeError at a record that is damaged or of a newer format
   */
  async *readTransactions(from = 0): AsyncGenerator<LogRecord> {
    for await (const block of this.#transactions.read(from)) yield decodeLogRecord(block);
  }

  /** Where both logs stand on the disk. */
  get heads(): { readonly events: LogHead; readonly transactions: LogHead } {
    return { events: this.#events.head, transactions: this.#transactions.head };
  }

  /** The logs' public keys, in hex: what a replica is verified against. */
  get publicKeys(): { readonly events: string; readonly transactions: string } {
    return { events: this.#events.publicKey, transactions: this.#transactions.publicKey };
  }

  /**
   * The breaker's pause; on the disk when this returns, before any record that is appended later.
   * @throws TightropeError if it can't be written; no transaction is appended then
   */
  pause(reason: string, sinceWallMs: number): void {
    try {
      addPause(this.#paths, { scope: { kind: "all" }, by: "breaker", reason, sinceWallMs });
    } catch (error) {
      this.#unpaused = { error };
      throw error;
    }
  }

  /** Writes what waits and gives the logs free. */
  async close(): Promise<void> {
    for (const closed of await Promise.allSettled([this.#events.close(), this.#transactions.close()])) {
      if (closed.status === "rejected") throw closed.reason;
    }
  }
}

/**
 * Nobody else opens the directory for writing or repairs it while this is held.
 * @throws LogInUseError if somebody does; TightropeError if it can't be used
 */
export function lockDirectory({ directory, lockFile }: DataPaths): Disposable {
  let file: Deno.FsFile;
  try {
    file = openLockFile(lockFile);
  } catch (error) {
    const what = `use the data directory "${directory}"`;
    throw fileTrouble(what, error) ?? new TightropeError(
      "config",
      `Cannot ${what}: ${messageOf(error)}`,
      "Check audit.storage.path: it should name a folder, or none yet",
      { cause: error },
    );
  }
  if (file.tryLockSync(true)) return { [Symbol.dispose]: () => unlock(file) };
  file.close();
  throw new LogInUseError(`The data directory ${directory}`);
}

function unlock(file: Deno.FsFile): void {
  file.unlockSync();
  file.close();
}

/** The transaction log is begun before the event log: a directory that has only the latter has lost it. */
export function checkNotMissing({ transactionLogDirectory, eventLogDirectory }: DataPaths): void {
  if (isThere(transactionLogDirectory) || !isThere(`${eventLogDirectory}/oplog`)) return;
  // A repair was cut short: opening the log says so.
  if (isThere(readyPathOf(transactionLogDirectory))) return;
  throw new DamagedLogError(
    `The transaction log "${transactionLogDirectory}" is gone, though this data directory was in use ` +
      "(or audit.transactionHistory names another one now)",
  );
}
