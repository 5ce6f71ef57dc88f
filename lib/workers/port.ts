import { type ErrorCode, InvariantError, messageOf, TightropeError } from "../domain/errors.ts";
import { LightningError, type LightningErrorKind } from "../lightning/node.ts";

/**
 * What passes between main and a worker. Main calls and is answered; the worker reports events, each against a credit
 * that main granted: whoever is behind the worker can't make main's memory grow.
 */
export type ToWorker =
  | { readonly kind: "call"; readonly id: number; readonly method: string; readonly args: readonly unknown[] }
  /** A call that nobody waits for. If it throws, the worker ends. */
  | { readonly kind: "tell"; readonly method: string; readonly args: readonly unknown[] }
  | { readonly kind: "grant"; readonly grant: string; readonly events: number };

export type FromWorker =
  | { readonly kind: "ready" }
  | { readonly kind: "result"; readonly id: number; readonly value: unknown }
  | { readonly kind: "error"; readonly id: number; readonly error: PortableError }
  | { readonly kind: "event"; readonly grant: string; readonly event: unknown };

/** How many events one grant is good for. A new one is given when half of it is used. */
export const eventsPerGrant = 512;

/** An error as it passes a port: structured clones keep neither class nor fields. */
export interface PortableError {
  readonly type: "lightning" | "tightrope" | "invariant" | "other";
  readonly message: string;
  readonly code?: ErrorCode;
  readonly lightningKind?: LightningErrorKind;
  readonly remedy?: string;
  readonly stack?: string;
}

export function toPortableError(error: unknown): PortableError {
  const stack = error instanceof Error && error.stack !== undefined ? { stack: error.stack } : {};
  const message = messageOf(error);
  if (error instanceof LightningError) {
    return { type: "lightning", message, lightningKind: error.kind, remedy: error.remedy };
  }
  if (error instanceof TightropeError) return { type: "tightrope", message, code: error.code, remedy: error.remedy };
  if (error instanceof InvariantError) return { type: "invariant", message, ...stack };
  return { type: "other", message, ...stack };
}

export function fromPortableError(error: PortableError): Error {
  switch (error.type) {
    case "lightning":
      return new LightningError(error.lightningKind ?? "failed", error.message, error.remedy ?? "");
    case "tightrope":
      return new TightropeError(error.code ?? "temporary", error.message, error.remedy ?? "");
    case "invariant":
      return new InvariantError(error.message);
    case "other": {
      const other = new Error(error.message);
      if (error.stack !== undefined) other.stack = error.stack;
      return other;
    }
  }
}
