import type { PaymentStatus } from "../domain/payment.ts";

/** LND's `not found` is a proof only this long after the invoice expired: it may still be working through a lost request. */
export const notFoundGraceMs = 60_000;

/** How an operator says that an open payment ended. */
export type ResolveAs = "settled" | "failed";

/** What the paying node itself says of the payment, or why it can't be asked. */
export type LndView = PaymentStatus | { readonly kind: "unreachable"; readonly why: string };

export interface ResolveQuestion {
  readonly as: ResolveAs;
  readonly view: LndView;
  /** LND has told of the payment before: if it doesn't know it now, it was deleted there, however it ended. */
  readonly wasMade: boolean;
  readonly wallMs: number;
  readonly expiresAtWallMs: number;
}

/** Why an open payment may not be ended by hand in that way; undefined if it may. What LND knows can't be overruled. */
export function whyNotResolve({ as, view, wasMade, wallMs, expiresAtWallMs }: ResolveQuestion): string | undefined {
  switch (view.kind) {
    case "settled":
      return as === "settled" ? undefined : "LND says that it was paid";
    case "failed":
      return as === "failed" ? undefined : `LND says that it failed (${view.failure})`;
    case "in-flight":
      return "LND says that it is under way: it ends by itself, and nobody can tell how before that";
    case "not-found":
      if (as === "settled") return wasMade ? undefined : "LND knows no such payment";
      return wallMs < expiresAtWallMs + notFoundGraceMs
        ? "LND knows no such payment, but might still begin it: its invoice has not been expired for a minute"
        : undefined;
    case "unreachable":
      return undefined;
  }
}
