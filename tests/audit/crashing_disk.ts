import { dirname } from "node:path";
import type { SeededRandom } from "../../lib/env/seeded_random.ts";

/**
 * A disk that can lose power: records what this process does to the files below `root`, and afterwards builds the folder
 * as it might look had the power gone at any one moment. What was synced is there; of what was not, any part may be: of
 * written sectors, and of the names that were given, changed and taken away.
 */

/** A file or a folder, whatever it is called. */
type Id = number;

type NameChange =
  | { readonly kind: "create" | "mkdir"; readonly folder: Id; readonly name: string; readonly id: Id }
  | { readonly kind: "rename" | "link"; readonly folder: Id; readonly from: string; readonly to: string }
  | { readonly kind: "remove"; readonly folder: Id; readonly name: string };

type Operation =
  | NameChange
  | { readonly kind: "write"; readonly id: Id; readonly offset: number; readonly data: Uint8Array }
  | { readonly kind: "truncate"; readonly id: Id; readonly size: number }
  /** The disk confirmed everything that was done to the file, or to the names in the folder, before operation `upTo`. */
  | { readonly kind: "synced"; readonly id: Id; readonly upTo: number }
  /** What the tested code told its caller. */
  | { readonly kind: "acknowledged"; readonly count: number };

/** What a folder holds. */
type Folder = Map<string, Id>;

const sectorBytes = 512;
const rootId: Id = 0;

export class CrashingDisk implements Disposable {
  readonly operations: Operation[] = [];
  readonly #root: string;
  readonly #restore: () => void;
  /** Everything as it is now, in memory; files by what they held when watching began. */
  readonly #folders = new Map<Id, Folder>([[rootId, new Map()]]);
  readonly #before = new Map<Id, Uint8Array>();
  readonly #foldersBefore: ReadonlyMap<Id, Folder>;
  #nextId = rootId + 1;

  constructor(root: string) {
    this.#root = root;
    this.#take(root, rootId);
    this.#foldersBefore = new Map([...this.#folders].map(([id, folder]) => [id, new Map(folder)]));
    this.#restore = this.#intercept();
  }

  #take(path: string, id: Id): void {
    const folder = this.#folders.get(id)!;
    for (const { name, isDirectory } of Deno.readDirSync(path)) {
      const inner = this.#nextId++;
      folder.set(name, inner);
      if (isDirectory) {
        this.#folders.set(inner, new Map());
        this.#take(`${path}/${name}`, inner);
      } else {
        this.#before.set(inner, Deno.readFileSync(`${path}/${name}`));
      }
    }
  }

  [Symbol.dispose](): void {
    this.#restore();
  }

  acknowledge(count: number): void {
    this.operations.push({ kind: "acknowledged", count });
  }

  /** What there is of that name now, as a path below the root. */
  nameOf(id: Id): string | undefined {
    for (const [folderId, folder] of this.#folders) {
      for (const [name, inner] of folder) {
        if (inner !== id) continue;
        const above = folderId === rootId ? "" : this.nameOf(folderId);
        if (above !== undefined) return above === "" ? name : `${above}/${name}`;
      }
    }
    return undefined;
  }

  #isBelow(path: string | URL): boolean {
    return String(path).startsWith(`${this.#root}/`);
  }

  #idOf(path: string | URL): Id | undefined {
    let id: Id | undefined = rootId;
    for (const name of String(path).slice(this.#root.length).split("/").filter((part) => part !== "")) {
      id = id === undefined ? undefined : this.#folders.get(id)?.get(name);
    }
    return id;
  }

  /** The folder that a path is in, and its name there. */
  #placeOf(path: string | URL): { readonly folder: Id; readonly name: string } {
    const text = String(path);
    const folder = this.#idOf(dirname(text));
    if (folder === undefined) throw new Error(`${dirname(text)} was never made`);
    return { folder, name: text.slice(text.lastIndexOf("/") + 1) };
  }

  #change(change: NameChange): void {
    this.operations.push(change);
    apply(this.#folders, change);
  }

  #create(path: string | URL, kind: "create" | "mkdir"): Id {
    const id = this.#nextId++;
    if (kind === "mkdir") this.#folders.set(id, new Map());
    this.#change({ kind, ...this.#placeOf(path), id });
    return id;
  }

  #intercept(): () => void {
    const { operations } = this;
    const opened = new WeakMap<Deno.FsFile, { readonly id: Id; offset: number }>();
    const { openSync, mkdirSync, renameSync, linkSync, removeSync, writeTextFileSync } = Deno;
    const prototype = Deno.FsFile.prototype;
    const { seekSync, writeSync, truncateSync, syncData, syncDataSync, syncSync } = prototype;
    const confirm = (file: Deno.FsFile, upTo: number) => {
      const known = opened.get(file);
      if (known !== undefined) operations.push({ kind: "synced", id: known.id, upTo });
    };
    Deno.openSync = (path, options) => {
      const file = openSync(path, options);
      if (!this.#isBelow(path) && String(path) !== this.#root) return file;
      const existing = this.#idOf(path);
      const id = existing ?? this.#create(path, "create");
      if (existing !== undefined && options?.truncate) operations.push({ kind: "truncate", id, size: 0 });
      opened.set(file, { id, offset: 0 });
      return file;
    };
    Deno.mkdirSync = (path, options) => {
      mkdirSync(path, options);
      const make = (folder: string) => {
        if (!this.#isBelow(folder) || this.#idOf(folder) !== undefined) return;
        make(dirname(folder));
        this.#create(folder, "mkdir");
      };
      make(String(path));
    };
    const move = (kind: "rename" | "link", from: string | URL, to: string | URL) => {
      if (!this.#isBelow(from)) return;
      const { folder, name } = this.#placeOf(from);
      const target = this.#placeOf(to);
      if (target.folder !== folder) throw new Error("from one folder to another nothing is renamed here");
      this.#change({ kind, folder, from: name, to: target.name });
    };
    Deno.renameSync = (from, to) => {
      renameSync(from, to);
      move("rename", from, to);
    };
    Deno.linkSync = (from, to) => {
      linkSync(from, to);
      move("link", from, to);
    };
    Deno.removeSync = (path, options) => {
      removeSync(path, options);
      if (this.#isBelow(path)) this.#change({ kind: "remove", ...this.#placeOf(path) });
    };
    Deno.writeTextFileSync = (path, text, options) => {
      if (!this.#isBelow(path)) return writeTextFileSync(path, text, options);
      using file = Deno.openSync(path, { write: true, create: true, truncate: true, ...options });
      file.writeSync(new TextEncoder().encode(text));
    };
    prototype.seekSync = function (offset, whence) {
      const at = seekSync.call(this, offset, whence);
      const known = opened.get(this);
      if (known !== undefined) known.offset = at;
      return at;
    };
    prototype.writeSync = function (data) {
      const count = writeSync.call(this, data);
      const known = opened.get(this);
      if (known !== undefined) {
        operations.push({ kind: "write", id: known.id, offset: known.offset, data: data.slice(0, count) });
        known.offset += count;
      }
      return count;
    };
    prototype.truncateSync = function (size) {
      truncateSync.call(this, size);
      const known = opened.get(this);
      if (known !== undefined) operations.push({ kind: "truncate", id: known.id, size: size ?? 0 });
    };
    prototype.syncData = async function () {
      const upTo = operations.length;
      await syncData.call(this);
      confirm(this, upTo);
    };
    prototype.syncDataSync = function () {
      const upTo = operations.length;
      syncDataSync.call(this);
      confirm(this, upTo);
    };
    prototype.syncSync = function () {
      const upTo = operations.length;
      syncSync.call(this);
      confirm(this, upTo);
    };
    return () => {
      Object.assign(Deno, { openSync, mkdirSync, renameSync, linkSync, removeSync, writeTextFileSync });
      Object.assign(prototype, { seekSync, writeSync, truncateSync, syncData, syncDataSync, syncSync });
    };
  }

  /** How many records were acknowledged before operation `at`. */
  acknowledgedBefore(at: number): number {
    const counts = this.operations.slice(0, at).flatMap((op) => op.kind === "acknowledged" ? [op.count] : []);
    return Math.max(0, ...counts);
  }

  /** Writes into `target` what is left if the process is killed just before operation `at`: all that it did. */
  kill(at: number, target: string): void {
    this.#build(
      this.operations.slice(0, at),
      () => true,
      (before, { offset, data }) => written(before, offset, data),
      target,
    );
  }

  /** Writes into `target` what may be left if the power goes just before operation `at`. */
  cutPower(at: number, target: string, random: SeededRandom): void {
    const happened = this.operations.slice(0, at);
    const syncedUpTo = new Map<Id, number>();
    for (const op of happened) {
      if (op.kind === "synced") syncedUpTo.set(op.id, Math.max(op.upTo, syncedUpTo.get(op.id) ?? 0));
    }
    // Most file systems keep the order of what is done to names, and lose only the last of it. Others lose any of it.
    const namesUpTo = random.below(2) === 0 ? random.below(at + 1) : undefined;
    const isKept = (op: Operation, index: number) => {
      const isName = "folder" in op;
      const id = isName ? op.folder : "id" in op ? op.id : rootId;
      if (index < (syncedUpTo.get(id) ?? 0)) return true;
      return isName && namesUpTo !== undefined ? index < namesUpTo : random.below(2) === 0;
    };
    this.#build(happened, isKept, (before, write, index) => {
      const isSynced = index < (syncedUpTo.get(write.id) ?? 0);
      return isSynced ? written(before, write.offset, write.data) : partly(before, write, random);
    }, target);
  }

  #build(
    happened: readonly Operation[],
    isKept: (op: Operation, index: number) => boolean,
    write: (before: Uint8Array, op: Extract<Operation, { kind: "write" }>, index: number) => Uint8Array,
    target: string,
  ): void {
    const folders = new Map([...this.#foldersBefore].map(([id, folder]) => [id, new Map(folder)]));
    const files = new Map(this.#before);
    const contentOf = (id: Id) => files.get(id) ?? new Uint8Array(0);
    happened.forEach((op, index) => {
      switch (op.kind) {
        case "write":
          files.set(op.id, write(contentOf(op.id), op, index));
          return;
        case "truncate":
          if (isKept(op, index)) files.set(op.id, resized(contentOf(op.id), op.size));
          return;
        case "synced":
        case "acknowledged":
          return;
        default:
          if (op.kind === "mkdir") folders.set(op.id, new Map());
          if (isKept(op, index)) apply(folders, op);
      }
    });
    const put = (path: string, id: Id) => {
      const folder = folders.get(id);
      if (folder === undefined) return Deno.writeFileSync(path, contentOf(id), { mode: 0o600 });
      Deno.mkdirSync(path, { recursive: true });
      for (const [name, inner] of folder) put(`${path}/${name}`, inner);
    };
    put(target, rootId);
  }
}

/** Does to folders what can be done: what an earlier change that was lost made impossible is lost, too. */
function apply(folders: Map<Id, Folder>, change: NameChange): void {
  const folder = folders.get(change.folder)!;
  switch (change.kind) {
    case "create":
    case "mkdir":
      folder.set(change.name, change.id);
      return;
    case "remove":
      folder.delete(change.name);
      return;
    case "rename":
    case "link": {
      const id = folder.get(change.from);
      const there = folder.get(change.to);
      const isTaken = there !== undefined && (change.kind === "link" || (folders.get(there)?.size ?? 0) > 0);
      if (id === undefined || isTaken) return;
      if (change.kind === "rename") folder.delete(change.from);
      folder.set(change.to, id);
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
