import { type ErrorCode, messageOf, TightropeError } from "../domain/errors.ts";

interface Trouble {
  readonly code: ErrorCode;
  readonly pattern: RegExp;
  /** Empty where the system's own words are plain enough. */
  readonly is: string;
  readonly remedy: string;
}

const troubles: readonly Trouble[] = [
  {
    code: "temporary",
    pattern: /\bENOSPC\b|\bEDQUOT\b|No space left|quota exceeded|not enough space/i,
    is: "the disk is full",
    remedy: "Make room on it, then start Tightrope again",
  },
  {
    code: "temporary",
    pattern: /\bEROFS\b|read-only file system|write.protected/i,
    is: "the disk is read-only",
    remedy: "Find out why (the system makes a disk that fails read-only), make it writable, then start Tightrope again",
  },
  {
    code: "temporary",
    pattern: /\bEMFILE\b|\bENFILE\b|too many open files/i,
    is: "too many files are open",
    remedy: "Raise the limit of open files (ulimit -n), then start Tightrope again",
  },
  {
    code: "temporary",
    pattern: /\bEIO\b|input\/output error/i,
    is: "the disk fails",
    remedy: "Look into the system's log, move the data directory to a disk that is sound, then start Tightrope again",
  },
  {
    code: "permission",
    pattern: /\bEACCES\b|PermissionDenied|NotCapable|permission denied/i,
    is: "",
    remedy: "Let the user that runs Tightrope read and write the data directory",
  },
];

/**
 * What keeps files from being opened, read or written though all that they hold may be whole, and what to do about it.
 * Whoever took it for damage would send the operator to a backup or a repair.
 * @returns undefined for any other error
 */
export function fileTrouble(what: string, error: unknown): TightropeError | undefined {
  if (error instanceof TightropeError) return undefined;
  const { code = "", name = "" } = (error ?? {}) as { readonly code?: unknown; readonly name?: unknown };
  const message = messageOf(error);
  const trouble = troubles.find(({ pattern }) => pattern.test(`${name} ${code} ${message}`));
  if (trouble === undefined) return undefined;
  const why = trouble.is === "" ? message : `${trouble.is} (${message})`;
  return new TightropeError(trouble.code, `Cannot ${what}: ${why}`, trouble.remedy, { cause: error });
}
