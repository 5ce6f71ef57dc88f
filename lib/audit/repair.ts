import type { AuditConfig } from "../config/config.ts";
import { dataPaths } from "../config/data_paths.ts";
import { InvariantError, messageOf, TightropeError } from "../domain/errors.ts";
import type { Random } from "../env/random.ts";
import { checkNotMissing, lockDirectory } from "./audit_service.ts";
import { Core } from "./core.ts";
import { DamagedLogError } from "./damaged_log.ts";
import { HypercoreLog, keyPairFromSeed } from "./hypercore_log.ts";
import { isThere } from "./is_there.ts";
import { markPathOf, readyPathOf } from "./mark_file.ts";
import { applyRecord, createLedger } from "./ledger.ts";
import type { LogRepair } from "./log_repair.ts";
import type { LogRecord, RepairedRecord } from "./record.ts";
import { decodeEvent, decodeLogRecord, encodeTransaction } from "./record_codec.ts";
import { loadOrCreateSeed, loadSeed, logKeySeeds } from "./seed_file.ts";
import { syncFolder } from "./sync_folder.ts";

/** Payments are read anew from this long before the newest record that was kept: clocks differ. */
const marginMs = 86_400_000;

/**
 * `tightrope repair`: looks at both logs, every record of them. A damaged one is set aside, never deleted, and a new one is
 * begun under a new key. The new transaction log begins by saying so and holds every record that could be read; it makes
 * the next start read the Lightning nodes' own payments before anything is paid.
 * @param change false: only look
 * @throws TightropeError if the data directory isn't there or can't be used, a Tightrope runs on it, or a log was written
 *   by a newer version
 */
export async function repairLogs(
  config: Pick<AuditConfig, "storagePath" | "eventLog" | "transactionHistory">,
  random: Random,
  wallMs: number,
  change: boolean,
): Promise<LogRepair[]> {
  const paths = dataPaths(config);
  if (!isThere(paths.directory)) {
    throw new TightropeError(
      "config",
      `There is no data directory "${paths.directory}"`,
      "Check audit.storage.path; if it is lost, just start Tightrope: it begins with what the Lightning nodes have paid",
    );
  }
  using _lock = lockDirectory(paths);
  const newSeed = () => random.bytes(32);
  const seed = change ? loadOrCreateSeed(paths.seedFile, newSeed) : loadSeed(paths.seedFile) ?? newSeed();
  const transactions = new LogFolder(paths.transactionLogDirectory, logKeySeeds(seed, "transactions"));
  const events = new LogFolder(paths.eventLogDirectory, logKeySeeds(seed, "events"));
  const checkTransactions = () => transactions.problem(decodeLogRecord, () => checkNotMissing(paths));
  const checkEvents = () => events.problem(decodeEvent, () => {});
  const transactionsEnded = change && await transactions.endCutShort(checkTransactions, wallMs);
  const eventsEnded = change && await events.endCutShort(checkEvents, wallMs);

  const lostTransactions = await checkTransactions();
  const lostEvents = await checkEvents();
  const found: LogRepair[] = [];
  if (lostTransactions === undefined) {
    const records = await transactions.count();
    found.push({ log: "transactions", problem: undefined, records, setAside: undefined, ended: transactionsEnded });
  } else if (transactions.isCutShort) {
    found.push(await transactions.cutShort("transactions"));
  } else {
    const kept = await transactions.salvage();
    const reason = withoutStop(lostTransactions.message);
    const note: RepairedRecord = {
      kind: "repaired",
      atWallMs: wallMs,
      reason,
      keptRecords: kept.records.length,
      setAside: transactions.isThere ? transactions.asideName(wallMs) : "",
      ...historyFrom(kept, lostTransactions, wallMs),
    };
    if (change) await transactions.replace([note, ...kept.records].map(encodeTransaction), wallMs);
    found.push({
      log: "transactions",
      problem: reason,
      records: kept.records.length,
      setAside: change && note.setAside !== "" ? note.setAside : undefined,
      ended: false,
    });
  }
  if (lostEvents === undefined) {
    const records = await events.count();
    found.push({ log: "events", problem: undefined, records, setAside: undefined, ended: eventsEnded });
  } else if (events.isCutShort) {
    found.push(await events.cutShort("events"));
  } else {
    const setAside = change && events.isThere ? events.asideName(wallMs) : undefined;
    if (change) await events.replace([], wallMs);
    found.push({ log: "events", problem: withoutStop(lostEvents.message), records: 0, setAside, ended: false });
  }
  return found;
}

interface Salvaged {
  readonly records: readonly LogRecord[];
  /** Whether every record up to the last one was kept. */
  readonly isWhole: boolean;
}

/** From when on payments may be missing: shortly before the end of what is left, if nothing is missing before that. */
function historyFrom(
  { records, isWhole }: Salvaged,
  error: DamagedLogError,
  wallMs: number,
): Pick<RepairedRecord, "historyFromWallMs"> {
  const isPrefix = isWhole && error.isPrefix;
  // A record from a clock that was ahead must not hide what was paid since.
  const last = records.findLast(({ atWallMs }) => atWallMs <= wallMs);
  return !isPrefix || last === undefined ? {} : { historyFromWallMs: last.atWallMs - marginMs };
}

/** One log's folder, its high-water mark, and what a repair makes beside them. */
class LogFolder {
  readonly #folder: string;
  readonly #keySeeds: readonly Uint8Array[];

  constructor(folder: string, keySeeds: readonly Uint8Array[]) {
    this.#folder = folder;
    this.#keySeeds = keySeeds;
  }

  /** Where a new log lies while it is written, and once it is whole. */
  get #fresh(): string {
    return `${this.#folder}.new`;
  }

  get #ready(): string {
    return readyPathOf(this.#folder);
  }

  /** Whether a repair has left a new log that is whole and not in its place. */
  get isCutShort(): boolean {
    return isThere(this.#ready);
  }

  /**
   * Ends a repair that was cut short: what was whole is put in its place, what wasn't is written anew.
   * @returns whether a new log is in its place now
   */
  async endCutShort(problem: () => Promise<DamagedLogError | undefined>, wallMs: number): Promise<boolean> {
    const replaces = this.isCutShort && await problem() !== undefined;
    if (replaces) this.#putInPlace(wallMs);
    // The operator has put a whole log there meanwhile, which may have grown since.
    else if (this.isCutShort) this.#setReadyAside(wallMs);
    if (isThere(this.#fresh)) Deno.removeSync(this.#fresh, { recursive: true });
    if (isThere(markPathOf(this.#fresh))) Deno.removeSync(markPathOf(this.#fresh));
    return replaces;
  }

  #setReadyAside(wallMs: number): void {
    const aside = `${parentOf(this.#folder)}/${this.asideName(wallMs)}`;
    if (isThere(markPathOf(this.#ready))) Deno.renameSync(markPathOf(this.#ready), markPathOf(aside));
    Deno.renameSync(this.#ready, aside);
    syncFolder(parentOf(this.#folder));
  }

  /** What there is to say of it. */
  async cutShort(log: LogRepair["log"]): Promise<LogRepair> {
    const records = await countOf(this.#ready);
    return { log, problem: `A repair of it was cut short`, records, setAside: undefined, ended: false };
  }

  /** What is wrong with the log, found by reading all of it. */
  async problem(decode: (block: Uint8Array) => unknown, check: () => void): Promise<DamagedLogError | undefined> {
    try {
      check();
      // It was never begun.
      if (!isThere(this.#folder) && !isThere(markPathOf(this.#folder)) && !this.isCutShort) return undefined;
      const log = await HypercoreLog.open(this.#folder, this.#keySeeds);
      try {
        const ledger = createLedger();
        for await (const block of log.read()) {
          const record = decode(block);
          if (decode === decodeLogRecord) follow(ledger, record as LogRecord);
        }
      } finally {
        await log.close();
      }
      return undefined;
    } catch (error) {
      if (error instanceof DamagedLogError) return error;
      throw error;
    }
  }

  count(): Promise<number> {
    return countOf(this.#folder);
  }

  /** Every record that can be read and follows those before it. */
  async salvage(): Promise<Salvaged> {
    const records: LogRecord[] = [];
    const ledger = createLedger();
    let isWhole = true;
    const core = await this.#open();
    if (core === undefined) return { records, isWhole: false };
    try {
      for (let index = 0; index < core.length; index++) {
        try {
          for await (const block of core.read(index, index + 1)) {
            const record = decodeLogRecord(block);
            follow(ledger, record);
            records.push(record);
          }
        } catch (error) {
          // Written by a newer version: that one can read it, and no repair is needed.
          if (error instanceof TightropeError && !(error instanceof DamagedLogError)) throw error;
          isWhole = false;
        }
      }
    } finally {
      await core.close();
    }
    return { records, isWhole };
  }

  /** The log as far as it can be read, or undefined if it can't at all. */
  async #open(): Promise<Core | undefined> {
    try {
      return await Core.open(this.#folder, "read", null);
    } catch (error) {
      // No damage, but a disk that fails, say: then nothing is given up.
      if (error instanceof TightropeError) throw error;
      return undefined;
    }
  }

  get isThere(): boolean {
    return isThere(this.#folder);
  }

  /** The name that the damaged log gets. */
  asideName(wallMs: number): string {
    const stamp = new Date(wallMs).toISOString().replace(/[-:.]/g, "");
    const name = `${nameOf(this.#folder)}.damaged-${stamp}`;
    const parent = parentOf(this.#folder);
    let free = name;
    // One repair can set two aside: the log that an earlier one had made, too.
    for (let number = 2; isThere(`${parent}/${free}`) || isThere(markPathOf(`${parent}/${free}`)); number++) {
      free = `${name}-${number}`;
    }
    return free;
  }

  /** Begins a log with these records in place of the damaged one. Whenever this is cut short, nothing is lost. */
  async replace(blocks: readonly Uint8Array[], wallMs: number): Promise<void> {
    const generation = await this.#nextGeneration();
    const log = await HypercoreLog.open(this.#fresh, this.#keySeeds.slice(generation, generation + 1));
    await Promise.all(blocks.map((block) => log.append(block)));
    await log.close();
    Deno.renameSync(markPathOf(this.#fresh), markPathOf(this.#ready));
    Deno.renameSync(this.#fresh, this.#ready);
    syncFolder(parentOf(this.#folder));
    this.#putInPlace(wallMs);
  }

  /** Each step can be the last before a crash, and the next repair goes on from there. */
  #putInPlace(wallMs: number): void {
    const aside = `${parentOf(this.#folder)}/${this.asideName(wallMs)}`;
    const hasFreshMark = isThere(markPathOf(this.#ready));
    if (isThere(this.#folder)) Deno.renameSync(this.#folder, aside);
    if (hasFreshMark && isThere(markPathOf(this.#folder))) Deno.renameSync(markPathOf(this.#folder), markPathOf(aside));
    if (hasFreshMark) Deno.renameSync(markPathOf(this.#ready), markPathOf(this.#folder));
    Deno.renameSync(this.#ready, this.#folder);
    syncFolder(parentOf(this.#folder));
  }

  /** A key that no log before has had. */
  async #nextGeneration(): Promise<number> {
    const prefix = `${nameOf(this.#folder)}.damaged-`;
    let latest = [...Deno.readDirSync(parentOf(this.#folder))]
      .filter(({ name, isDirectory }) => isDirectory && name.startsWith(prefix)).length;
    const core = await this.#open();
    if (core !== undefined) {
      const { publicKey } = core;
      latest = Math.max(
        latest,
        this.#keySeeds.findIndex((seed) => keyPairFromSeed(seed).publicKey.toHex() === publicKey),
      );
      await core.close();
    }
    if (latest + 1 >= this.#keySeeds.length) {
      throw new TightropeError(
        "config",
        `The log "${this.#folder}" has been repaired ${latest} times`,
        "Find out what damages the disk; then move the data directory away as a whole and start Tightrope with a new one",
      );
    }
    return latest + 1;
  }
}

async function countOf(folder: string): Promise<number> {
  if (!isThere(folder)) return 0;
  const core = await Core.open(folder, "read", null);
  const { length } = core;
  await core.close();
  return length;
}

/** @throws DamagedLogError if the record can't follow those before it */
function follow(ledger: ReturnType<typeof createLedger>, record: LogRecord): void {
  try {
    applyRecord(ledger, record, 0);
  } catch (error) {
    if (!(error instanceof InvariantError)) throw error;
    throw new DamagedLogError(`The transaction log contradicts itself: ${messageOf(error)}`, { cause: error });
  }
}

const nameOf = (folder: string) => folder.replace(/^.*[/\\]/, "");
const parentOf = (folder: string) => folder.replace(/[/\\][^/\\]+$/, "");
const withoutStop = (sentence: string) => sentence.replace(/\.$/, "");
