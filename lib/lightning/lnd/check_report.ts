import type { NodeInfo } from "../node.ts";

/** What one check found. `unavailable`, `permission` and `config` are those of the exit codes 69, 77 and 78. */
export type CheckResult =
  | { readonly kind: "ok"; readonly what: string }
  | {
    readonly kind: "unavailable" | "permission" | "config";
    readonly what: string;
    readonly message: string;
    readonly remedy: string;
  };

export interface CheckReport {
  readonly socket: string;
  /** Undefined unless the node answered GetInfo. */
  readonly info: NodeInfo | undefined;
  /** Credentials, connection, wallet, and each RPC by its path, as far as it came. */
  readonly results: readonly CheckResult[];
}
