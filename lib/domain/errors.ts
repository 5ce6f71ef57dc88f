/** What a failure is about; the command line turns it into an exit code. */
export type ErrorCode =
  | "usage"
  | "unavailable"
  | "temporary"
  | "permission"
  | "config";

/**
 * A failure of the environment, told to the operator: `message` says what happened to what, `remedy` what to do.
 * Neither ever holds a secret, a macaroon or a preimage.
 */
export class TightropeError extends Error {
  override readonly name = "TightropeError";
  readonly code: ErrorCode;
  readonly remedy: string;

  constructor(code: ErrorCode, message: string, remedy: string, options?: { cause?: unknown }) {
    super(message, options);
    this.code = code;
    this.remedy = remedy;
  }
}

/** A rule of the program itself is broken. The process stops: going on could lose money. */
export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

export function invariant(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}

/** The default case of an exhaustive switch. */
export function unreachable(value: never): never {
  throw new InvariantError(`unexpected case: ${JSON.stringify(value)}`);
}

/** The text of anything thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
