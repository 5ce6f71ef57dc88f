import { InvariantError, messageOf, TightropeError } from "../domain/errors.ts";
import { fileTrouble } from "./file_trouble.ts";

/** What an operator does about a log that can't be used. */
const remedy =
  "Restore the data directory from a backup that is whole. If there is none, stop Tightrope and run `tightrope " +
  "repair` with the same --config: it sets the damaged log aside, keeps what can be read of it, and has the rest read " +
  "from the Lightning nodes before anything is paid";

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
