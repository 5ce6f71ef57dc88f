/** What one log was found to be, and what was done. */
export interface LogRepair {
  readonly log: "transactions" | "events";
  /** A sentence without its full stop; undefined for a log that is whole. */
  readonly problem: string | undefined;
  /** Records of a log that is whole; of a damaged one those that can be read. */
  readonly records: number;
  /** Where the damaged log lies now: a name in the data directory. */
  readonly setAside: string | undefined;
  /** An earlier repair had been cut short, and its new log is now in place. */
  readonly ended: boolean;
}
