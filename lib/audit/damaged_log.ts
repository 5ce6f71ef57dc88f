import { InvariantError, messageOf, TightropeError } from "../domain/errors.ts";
import { fileTrouble } from "./file_trouble.ts";

/** What an operator does about a transaction log that can't be used. */
const remedy =
  "Restore the data directory from a backup that is whole. If there is none, stop Tightrope and run `tightrope " +
  "repair` with the same --config: it sets the damaged log aside, keeps what can be read of it, and has the rest read " +
  "from the Lightning nodes before anything is paid";

/** And about an event log: a backup of the data directory would bring back an older transaction log with it. */
const eventRemedy = "No limit is counted from the event log. Stop Tightrope and run `tightrope repair` with the same " +
  "--config: it sets the damaged log aside, and begins a new one that is empty";

/** A log is damaged, shorter than it was, another one, or gone: nothing may be paid by what it says. */
export class DamagedLogError extends TightropeError {
  /** The log is whole as far as it reaches: only records after its last one are missing. */
  readonly isPrefix: boolean;

  constructor(
    message: string,
    options: { readonly cause?: unknown; readonly isPrefix?: boolean; readonly remedy?: string } = {},
  ) {
    super("config", message, options.remedy ?? remedy, { cause: options.cause });
    this.isPrefix = options.isPrefix === true;
  }
}

/** What kept a log from being opened: trouble with its files, or damage. */
export function asOpenError(path: string, error: unknown): unknown {
  if (error instanceof TightropeError || error instanceof InvariantError) return error;
  return fileTrouble(`open the log "${path}"`, error) ??
    new DamagedLogError(`Cannot open the log "${path}": ${messageOf(error)}`, { cause: error });
}

/** The same failure, of the event log. */
export function ofEventLog(error: unknown): unknown {
  if (!(error instanceof DamagedLogError) || error.remedy !== remedy) return error;
  const { message, cause, isPrefix } = error;
  return new DamagedLogError(message, { cause, isPrefix, remedy: eventRemedy });
}
