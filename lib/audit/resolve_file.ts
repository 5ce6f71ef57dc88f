import type { DataPaths } from "../config/data_paths.ts";
import { messageOf, TightropeError } from "../domain/errors.ts";
import { parsePaymentHash, type PaymentHash } from "../domain/ids.ts";

type ResolveFile = Pick<DataPaths, "resolveFile">;

/** The operator's word about one open payment. */
export interface ResolveRequest {
  readonly paymentHash: PaymentHash;
  readonly as: "settled" | "failed";
}

/**
 * Readable by others, where the folder lets them in: the daemon runs as another user than `sudo tightrope resolve`, and the
 * file holds no secret.
 */
const mode = 0o644;
/** A longer file was not written by this program. */
const maxBytes = 4_096;
const version = 1;

/**
 * `tightrope resolve`: leaves word for a running daemon, which takes it within moments.
 * @throws {TightropeError} "temporary" while another word waits, or the file can't be written; "permission"
 */
export function requestResolve({ resolveFile }: ResolveFile, { paymentHash, as }: ResolveRequest): void {
  try {
    // The daemon never sees half of it.
    const temporary = `${resolveFile}.new`;
    Deno.writeTextFileSync(temporary, `${JSON.stringify({ v: version, paymentHash, as })}\n`, { mode });
    Deno.renameSync(temporary, resolveFile);
  } catch (error) {
    throw new TightropeError(
      error instanceof Deno.errors.PermissionDenied ? "permission" : "temporary",
      `Cannot resolve: writing "${resolveFile}" failed: ${messageOf(error)}`,
      "Run this as the user that Tightrope runs as, and check the disk.",
      { cause: error },
    );
  }
}

/** Whether a daemon has not taken it yet. */
export function isResolveWaiting({ resolveFile }: ResolveFile): boolean {
  try {
    Deno.statSync(resolveFile);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Takes the request back. */
export function withdrawResolve({ resolveFile }: ResolveFile): void {
  try {
    Deno.removeSync(resolveFile);
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
}

/** The daemon's end: what the operator has said since the last call. What isn't understood is dropped: it changes nothing. */
export function takeResolve(paths: ResolveFile): ResolveRequest | undefined {
  if (!isResolveWaiting(paths)) return undefined;
  const text = read(paths);
  withdrawResolve(paths);
  try {
    const { v, paymentHash: hash, as } = JSON.parse(text);
    const paymentHash = parsePaymentHash(hash);
    const isKnown = v === version && paymentHash !== undefined && (as === "settled" || as === "failed");
    return isKnown ? { paymentHash, as } : undefined;
  } catch {
    return undefined;
  }
}

/** Empty for a file that can't be read, or that its operator takes back just now. */
function read({ resolveFile }: ResolveFile): string {
  try {
    return Deno.statSync(resolveFile).size > maxBytes ? "" : Deno.readTextFileSync(resolveFile);
  } catch (error) {
    if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotFound) return "";
    throw error;
  }
}
