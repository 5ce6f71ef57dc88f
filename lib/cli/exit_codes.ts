import { type ErrorCode, TightropeError } from "../domain/errors.ts";

/** How the program ends, as in sysexits.h; a supervisor decides by them whether to start it again. */
export const exitCodes = {
  ok: 0,
  /** A wrong command line. */
  usage: 64,
  /** A one-shot command found a node or service that can't be reached. */
  unavailable: 69,
  /** A bug in the program itself. */
  software: 70,
  /** Try again: a worker died, say. */
  temporary: 75,
  /** A file or a macaroon doesn't give the right that is needed. */
  permission: 77,
  /** The configuration is wrong. */
  config: 78,
} as const;

const codeOf: Readonly<Record<ErrorCode, number>> = {
  usage: exitCodes.usage,
  unavailable: exitCodes.unavailable,
  temporary: exitCodes.temporary,
  permission: exitCodes.permission,
  config: exitCodes.config,
};

/** The exit code for anything thrown. What isn't a TightropeError is a bug. */
export function exitCodeOf(error: unknown): number {
  return error instanceof TightropeError ? codeOf[error.code] : exitCodes.software;
}
