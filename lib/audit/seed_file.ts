import { hkdf } from "@noble/hashes/hkdf.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { messageOf, TightropeError } from "../domain/errors.ts";
import { fileTrouble } from "./file_trouble.ts";
import { isThere } from "./is_there.ts";
import { syncFolder } from "./sync_folder.ts";

const seedBytes = 32;
const ownerOnly = 0o600;

/** What keys are derived for. Each has a key of its own; none tells anything of the others or of the cluster's secret. */
export type KeyPurpose = "events" | "transactions" | "swarm";

/**
 * 32 bytes for one purpose: HKDF-SHA256(seed, info "tightrope/2 <purpose> key").
 * @param generation of a log: one that a repair began in place of another has a key of its own (info "… key 1", and so on),
 *   since two logs of one key would look like a forgery to whoever holds a copy of the first
 */
export function deriveKeySeed(seed: Uint8Array, purpose: KeyPurpose, generation = 0): Uint8Array {
  const info = `tightrope/2 ${purpose} key${generation === 0 ? "" : ` ${generation}`}`;
  return hkdf(sha256, seed, undefined, new TextEncoder().encode(info), 32);
}

/**
 * 32 bytes that the swarm's key pair is made of. A copy of the data directory has another, by its seed file's number and
 * birth on the disk: two instances with one key would push each other out of every peer's connections, and never meet to
 * find out that both speak for the same node.
 */
export function deriveSwarmSeed(seed: Uint8Array, seedFile: string): Uint8Array {
  const { ino, birthtime } = Deno.statSync(seedFile);
  const copy = new TextEncoder().encode(`tightrope/2 copy ${ino} ${birthtime?.getTime()}`);
  return hkdf(sha256, deriveKeySeed(seed, "swarm"), undefined, copy, 32);
}

/** How often a log can have been begun anew. */
const maxGenerations = 100;

/** The seeds of all keys that a log may have, the first one's first. */
export function logKeySeeds(seed: Uint8Array, purpose: KeyPurpose): readonly Uint8Array[] {
  return Array.from({ length: maxGenerations }, (_, generation) => deriveKeySeed(seed, purpose, generation));
}

/**
 * The instance's seed: 32 random bytes in hex, readable by its owner only, made on first start.
 * Everything that identifies this instance comes from it, so it belongs into the same backup as the logs.
 * @throws TightropeError if the file is open to others, damaged or out of reach
 */
export function loadOrCreateSeed(path: string, newSeed: () => Uint8Array): Uint8Array {
  const existing = loadSeed(path);
  if (existing !== undefined) return existing;
  const seed = newSeed();
  if (seed.length !== seedBytes) throw new Error(`a seed has ${seedBytes} bytes`);
  const temporary = `${path}.${Deno.pid}.new`;
  try {
    try {
      writeWhole(temporary, `${seed.toHex()}\n`);
      // A link, not a rename: of two processes that start at once the second must not replace the first one's seed.
      Deno.linkSync(temporary, path);
    } catch (error) {
      if (!(error instanceof Deno.errors.AlreadyExists)) throw error;
    } finally {
      // On a full disk, too: a supervisor may try for days.
      if (isThere(temporary)) Deno.removeSync(temporary);
    }
    syncFolder(path.replace(/[/\\][^/\\]+$/, ""));
  } catch (error) {
    throw unreachableSeed(path, error);
  }
  const made = loadSeed(path);
  if (made === undefined) throw unreachableSeed(path, new Error("it is a symbolic link that leads nowhere"));
  return made;
}

function writeWhole(path: string, text: string): void {
  using file = Deno.openSync(path, { write: true, create: true, truncate: true, mode: ownerOnly });
  const bytes = new TextEncoder().encode(text);
  let at = 0;
  while (at < bytes.length) at += file.writeSync(bytes.subarray(at));
  file.syncSync();
}

/**
 * The instance's seed, or undefined where there is none yet.
 * @throws TightropeError if the file is open to others, damaged or out of reach
 */
export function loadSeed(path: string): Uint8Array | undefined {
  let text: string;
  let mode: number | null;
  try {
    text = Deno.readTextFileSync(path);
    mode = Deno.statSync(path).mode;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw unreachableSeed(path, error);
  }
  if (Deno.build.os !== "windows" && mode !== null && (mode & 0o077) !== 0) {
    throw new TightropeError(
      "permission",
      `Others may read the seed file "${path}"`,
      `Run: chmod 600 "${path}"`,
    );
  }
  const match = /^([0-9a-f]{64})\n?$/.exec(text);
  if (match === null) {
    throw new TightropeError(
      "config",
      `The seed file "${path}" is damaged: it should hold 64 hex digits`,
      "Restore it from a backup. If there is none, move it away and run `tightrope repair` with the same --config: it makes " +
        "a new one, and begins the logs anew with what they hold",
    );
  }
  return Uint8Array.fromHex(match[1]!);
}

function unreachableSeed(path: string, error: unknown): TightropeError {
  return fileTrouble(`use the seed file "${path}"`, error) ?? new TightropeError(
    "config",
    `Cannot use the seed file "${path}": ${messageOf(error)}`,
    "Check the data directory (audit.storage.path): it should hold a file of that name, or none yet",
    { cause: error },
  );
}
