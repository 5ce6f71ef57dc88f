/** What `deno compile` put into an executable, read back from the file. */

/** The permission flags as the executable stores them: `null` isn't granted, `[]` is granted whole. */
export type StoredPermissions = Readonly<Record<string, readonly string[] | boolean | null>>;

export interface Metadata {
  /** Arguments that come before the user's own. */
  readonly argv: readonly string[];
  readonly permissions: StoredPermissions;
  readonly entrypoint_key: string;
  readonly unstable_config: { readonly features: readonly string[] };
  readonly code_cache_key: unknown;
  readonly env_vars_from_env_file: Readonly<Record<string, string>>;
  readonly unsafely_ignore_certificate_errors: unknown;
  readonly workspace_resolver: { readonly import_map: { readonly json: string } };
}

/** A file, or where a symbolic link points (parts of a path from the root of the embedded files). */
export type Embedded = { readonly bytes: Uint8Array } | { readonly target: readonly string[] };

export interface CompiledFile {
  readonly metadata: Metadata;
  /** By path, from the root of the embedded files. */
  readonly files: ReadonlyMap<string, Embedded>;
  readonly embeddedBytes: number;
}

type Entry =
  | { readonly Dir: { readonly n: string; readonly e: readonly Entry[] } }
  | { readonly File: { readonly n: string; readonly o: readonly [offset: number, length: number] } }
  | { readonly Symlink: { readonly n: string; readonly p: readonly string[] } };

const magic = "d3n0l4nd";

/**
 * Reads the section that Deno 2.9 writes (cli/standalone in denoland/deno): magic, metadata, npm snapshot, three counts of
 * remote modules, tree of the files, their data. Lengths are little-endian u64.
 * @throws if the file has no such section, or modules from elsewhere
 */
export function readCompiledFile(executable: Uint8Array): CompiledFile {
  // The section's name comes before its content: the magic stands there twice.
  const start = indexOf(executable, new TextEncoder().encode(magic + magic));
  if (start === undefined) throw new Error("nothing is embedded in this file");
  const view = new DataView(executable.buffer, executable.byteOffset, executable.byteLength);
  let at = start + 2 * magic.length;
  const take = (length: number) => executable.subarray(at, at += length);
  const takeSized = () => {
    const length = Number(view.getBigUint64(at, true));
    at += 8;
    return take(length);
  };
  const json = <T>(bytes: Uint8Array) => JSON.parse(new TextDecoder().decode(bytes)) as T;

  const metadata = json<Metadata>(takeSized());
  takeSized();
  if (take(12).some((byte) => byte !== 0)) throw new Error("modules from elsewhere are embedded");
  const root = json<readonly Entry[]>(takeSized());
  const data = takeSized();

  const files = new Map<string, Embedded>();
  const walk = (entries: readonly Entry[], folder: string) => {
    for (const entry of entries) {
      if ("Dir" in entry) walk(entry.Dir.e, `${folder}${entry.Dir.n}/`);
      else if ("Symlink" in entry) files.set(folder + entry.Symlink.n, { target: entry.Symlink.p });
      else {
        const [offset, length] = entry.File.o;
        files.set(folder + entry.File.n, { bytes: data.subarray(offset, offset + length) });
      }
    }
  };
  walk(root, "");
  return { metadata, files, embeddedBytes: data.length };
}

function indexOf(bytes: Uint8Array, wanted: Uint8Array): number | undefined {
  for (let at = bytes.indexOf(wanted[0]!); at >= 0; at = bytes.indexOf(wanted[0]!, at + 1)) {
    if (wanted.every((byte, i) => bytes[at + i] === byte)) return at;
  }
  return undefined;
}
