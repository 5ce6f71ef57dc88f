/** A process that appends to the log in the folder `args[0]` with the seed `args[1]` until it is killed (append_child.ts). */
export function appendChild(args: readonly string[], stderr: "piped" | "null" = "piped"): Deno.Command {
  const folder = args[0]!.slice(0, args[0]!.lastIndexOf("/"));
  return new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-check",
      "--node-modules-dir=manual",
      "--no-prompt",
      `--allow-read=${folder}`,
      `--allow-write=${folder}`,
      new URL("append_child.ts", import.meta.url).pathname,
      ...args,
    ],
    stdout: "piped",
    stderr,
  });
}
