/**
 * The Node side of the interop tests: real hyperdht, hyperswarm, hypercore 11 and sodium-native, native code and all.
 * They are installed outside the checkout, so that neither Deno's node_modules nor a compiled executable can pick them up.
 */

const manifests = new URL("./node/", import.meta.url);
const marker = ".installed";

async function lockHash(): Promise<string> {
  const lock = await Deno.readFile(new URL("package-lock.json", manifests));
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", lock));
  return digest.slice(0, 8).toHex();
}

async function exists(path: string): Promise<boolean> {
  try {
    await Deno.stat(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/**
 * Installs the Node packages once per lock file (`npm ci`, some seconds) and returns their folder: run `node` there.
 * Safe for several processes at once: one installs, the others wait for it.
 */
export async function installNodePeers(): Promise<string> {
  const temp = Deno.env.get("TMPDIR") ?? Deno.env.get("TEMP") ?? "/tmp";
  const folder = `${temp.replace(/[/\\]$/, "")}/tightrope-node-peers-${await lockHash()}`;
  if (await exists(`${folder}/${marker}`)) return folder;
  await Deno.mkdir(folder, { recursive: true });
  using lock = await Deno.open(`${folder}/.lock`, {
    create: true,
    write: true,
  });
  await lock.lock(true);
  try {
    if (await exists(`${folder}/${marker}`)) return folder;
    for (const name of ["package.json", "package-lock.json"]) {
      await Deno.copyFile(new URL(name, manifests), `${folder}/${name}`);
    }
    const { success, stderr } = await new Deno.Command("npm", {
      args: ["ci", "--no-audit", "--no-fund", "--loglevel=error"],
      cwd: folder,
      stdout: "null",
      stderr: "piped",
    }).output();
    if (!success) {
      throw new Error(
        `npm ci in ${folder} failed: ${new TextDecoder().decode(stderr)}`,
      );
    }
    await Deno.writeTextFile(`${folder}/${marker}`, "");
    return folder;
  } finally {
    await lock.unlock();
  }
}

/** Runs a script with Node among those packages: `require` and `import` find them. Fails with what Node said. */
export async function runNode(script: string, input = ""): Promise<string> {
  const folder = await installNodePeers();
  const child = new Deno.Command("node", {
    args: ["--input-type=commonjs", "--eval", script],
    cwd: folder,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  const [{ success, stdout, stderr }] = await Promise.all([
    child.output(),
    writer.write(new TextEncoder().encode(input)).then(() => writer.close()),
  ]);
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return new TextDecoder().decode(stdout);
}
