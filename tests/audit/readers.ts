/** Who may read a file: the bits of its mode that say so. */
export function readers(path: string): number | undefined {
  const { mode } = Deno.statSync(path);
  return mode === null ? undefined : mode & 0o444;
}

/** Who may read a file that nobody hides, by the settings of whoever runs the tests. */
export function plainReaders(folder: string): number | undefined {
  Deno.writeTextFileSync(`${folder}/plain`, "");
  return readers(`${folder}/plain`);
}
