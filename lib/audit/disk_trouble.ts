import { messageOf, TightropeError } from "../domain/errors.ts";

const troubles: readonly { readonly code: RegExp; readonly is: string; readonly remedy: string }[] = [
  {
    code: /\bENOSPC\b|\bEDQUOT\b|No space left|quota exceeded|not enough space/i,
    is: "the disk is full",
    remedy: "Make room on it, then start Tightrope again",
  },
  {
    code: /\bEROFS\b|read-only file system|write.protected/i,
    is: "the disk is read-only",
    remedy: "Find out why (the system makes a disk that fails read-only), make it writable, then start Tightrope again",
  },
  {
    code: /\bEMFILE\b|\bENFILE\b|too many open files/i,
    is: "too many files are open",
    remedy: "Raise the limit of open files (ulimit -n), then start Tightrope again",
  },
];

/**
 * What keeps files from being opened or written though all that they hold may be whole, and what to do about it. Whoever
 * took it for damage would send the operator to a backup or a repair.
 * @returns undefined for any other error
 */
export function diskTrouble(what: string, error: unknown): TightropeError | undefined {
  const code = (error as { code?: unknown } | null)?.code;
  const text = `${code === undefined ? "" : String(code)} ${messageOf(error)}`;
  const trouble = troubles.find((known) => known.code.test(text));
  if (trouble === undefined) return undefined;
  return new TightropeError("temporary", `Cannot ${what}: ${trouble.is} (${messageOf(error)})`, trouble.remedy, {
    cause: error,
  });
}
