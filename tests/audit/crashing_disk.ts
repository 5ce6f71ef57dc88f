import { SeededRandom } from "../../lib/env/seeded_random.ts";

/**
 * A disk that can lose power: records what this process does to the files below `root`, and afterwards builds the folder
 * as it might look had the power gone at any one moment. What was synced is there; of what was not, any part may be.
 */

type Operation =
  | { readonly kind: "write"; readonly path: string; readonly offset: number; readonly data: Uint8Array }
  | { readonly kind: "truncate"; readonly path: string; readonly size: number }
  | { readonly kind: "create"; readonly path: string }
  /** The disk confirmed everything that was done to the file before operation `upTo`. */
  | { readonly kind: "synced"; readonly path: string; readonly upTo: number }
  | { readonly kind: "folder-synced"; readonly path: string; readonly upTo: number }
  /** What the tested code told its caller. */
  | { readonly kind: "acknowledged"; readonly count: number };

const sectorBytes = 512;

export class CrashingDisk implements Disposable {
  readonly operations: Operation[] = [];
  readonly #root: string;
  readonly #restore: () => void;

  constructor(root: string) {
    this.#root = root;
    this.#restore = this.#intercept();
  }

  [Symbol.dispose](): void {
    this.#restore();
  }

  acknowledge(count: number): void {
    this.operations.push({ kind: "acknowledged", count });
  }

  #intercept(): () => void {
    const { operations } = this;
    const root = this.#root;
    const paths = new WeakMap<Deno.FsFile, { path: string; offset: number }>();
    const originalOpen = Deno.openSync;
    const prototype = Deno.FsFile.prototype;
    const original = {
      seekSync: prototype.seekSync,
      writeSync: prototype.writeSync,
      truncateSync: prototype.truncateSync,
      syncData: prototype.syncData,
      syncDataSync: prototype.syncDataSync,
      syncSync: prototype.syncSync,
    };
    const isFolder = (file: Deno.FsFile) => file.statSync().isDirectory;
    const confirmed = (file: Deno.FsFile, upTo: number) => {
      const known = paths.get(file);
      if (known === undefined) return;
      const kind = isFolder(file) ? "folder-synced" : "synced";
      operations.push({ kind, path: known.path, upTo });
    };
    Deno.openSync = (path, options) => {
      const name = String(path);
      let isNew = false;
      if (name.startsWith(root) && options?.create) {
        try {
          Deno.statSync(name);
        } catch {
          isNew = true;
        }
      }
      const file = originalOpen(path, options);
      if (name.startsWith(root)) {
        const relative = name.slice(root.length + 1);
        paths.set(file, { path: relative, offset: 0 });
        if (isNew) operations.push({ kind: "create", path: relative });
      }
      return file;
    };
    prototype.seekSync = function (offset, whence) {
      const known = paths.get(this);
      if (known !== undefined && whence === Deno.SeekMode.Start) known.offset = Number(offset);
      return original.seekSync.call(this, offset, whence);
    };
    prototype.writeSync = function (data) {
      const count = original.writeSync.call(this, data);
      const known = paths.get(this);
      if (known !== undefined) {
        operations.push({ kind: "write", path: known.path, offset: known.offset, data: data.slice(0, count) });
        known.offset += count;
      }
      return count;
    };
    prototype.truncateSync = function (size) {
      original.truncateSync.call(this, size);
      const known = paths.get(this);
      if (known !== undefined) operations.push({ kind: "truncate", path: known.path, size: size ?? 0 });
    };
    prototype.syncData = async function () {
      const upTo = operations.length;
      await original.syncData.call(this);
      confirmed(this, upTo);
    };
    prototype.syncDataSync = function () {
      const upTo = operations.length;
      original.syncDataSync.call(this);
      confirmed(this, upTo);
    };
    prototype.syncSync = function () {
      const upTo = operations.length;
      original.syncSync.call(this);
      confirmed(this, upTo);
    };
    return () => {
      Deno.openSync = originalOpen;
      Object.assign(prototype, original);
    };
  }

  /** How many records were acknowledged before operation `at`. */
  acknowledgedBefore(at: number): number {
    const counts = this.operations.slice(0, at).flatMap((op) => op.kind === "acknowledged" ? [op.count] : []);
    return Math.max(0, ...counts);
  }

  /** Writes into `target` what may be left if the power goes just before operation `at`. */
  cutPower(at: number, target: string, random: SeededRandom): void {
    const happened = this.operations.slice(0, at);
    const syncedUpTo = new Map<string, number>();
    let namesUpTo = new Map<string, number>();
    for (const op of happened) {
      if (op.kind === "synced") syncedUpTo.set(op.path, Math.max(op.upTo, syncedUpTo.get(op.path) ?? 0));
      else if (op.kind === "folder-synced") namesUpTo = new Map(namesUpTo).set(op.path, op.upTo);
    }
    const files = new Map<string, Uint8Array>();
    const lost = new Set<string>();
    happened.forEach((op, index) => {
      switch (op.kind) {
        case "create": {
          const folder = op.path.includes("/") ? op.path.slice(0, op.path.lastIndexOf("/")) : "";
          const durable = index < (namesUpTo.get(folder) ?? 0);
          if (!durable && random.below(2) === 0) lost.add(op.path);
          else files.set(op.path, new Uint8Array(0));
          return;
        }
        case "write":
        case "truncate": {
          if (lost.has(op.path)) return;
          const durable = index < (syncedUpTo.get(op.path) ?? 0);
          const before = files.get(op.path) ?? new Uint8Array(0);
          if (op.kind === "truncate") {
            if (durable || random.below(2) === 0) files.set(op.path, resized(before, op.size));
            return;
          }
          files.set(op.path, durable ? written(before, op.offset, op.data) : partly(before, op, random));
          return;
        }
      }
    });
    for (const [path, data] of files) {
      const whole = `${target}/${path}`;
      Deno.mkdirSync(whole.slice(0, whole.lastIndexOf("/")), { recursive: true });
      Deno.writeFileSync(whole, data, { mode: 0o600 });
    }
  }
}

function resized(bytes: Uint8Array, size: number): Uint8Array {
  const out = new Uint8Array(size);
  out.set(bytes.subarray(0, size));
  return out;
}

function written(bytes: Uint8Array, offset: number, data: Uint8Array): Uint8Array {
  const out = resized(bytes, Math.max(bytes.length, offset + data.length));
  out.set(data, offset);
  return out;
}

/** Any of the write's sectors may have reached the disk, in any order. */
function partly(
  bytes: Uint8Array,
  { offset, data }: { readonly offset: number; readonly data: Uint8Array },
  random: SeededRandom,
): Uint8Array {
  let out = bytes;
  const mood = random.below(3);
  if (mood === 0) return out;
  for (let start = 0; start < data.length;) {
    const end = Math.min(data.length, start + sectorBytes - ((offset + start) % sectorBytes));
    if (mood === 1 || random.below(2) === 0) out = written(out, offset + start, data.subarray(start, end));
    start = end;
  }
  return out;
}
