import type { Config } from "./config.ts";
import type { ConfigProblem, ConfiguredFile } from "./problem.ts";

/** What `parseConfig` makes of a text. Plain data: it passes a worker's port. */
export type ParsedConfig =
  | {
    readonly ok: true;
    readonly config: Config;
    /** Every certificate and macaroon file that the configuration names, to be looked at before the start. */
    readonly files: readonly ConfiguredFile[];
  }
  | { readonly ok: false; readonly problems: readonly ConfigProblem[] };
