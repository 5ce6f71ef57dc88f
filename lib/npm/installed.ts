/**
 * Ends with 0 if `node_modules` holds what deno.lock names, and the stand-ins as they are in this folder.
 *
 * Deno puts the stand-ins there afresh at every start. Of two programs started from one checkout, the second would pull
 * them away from under the first while it loads. So the tasks that start the program install only when something is
 * missing, and otherwise leave `node_modules` alone.
 */
const root = new URL("../../", import.meta.url);

async function textOf(path: URL): Promise<string | undefined> {
  try {
    return await Deno.readTextFile(path);
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Whether the stand-in in `folder` stands in `node_modules` as it is here. */
async function isLinked(folder: URL): Promise<boolean> {
  const { name, version } = JSON.parse((await textOf(new URL("package.json", folder)))!);
  const copy = new URL(`node_modules/.deno/${name.replace("/", "+")}@${version}/node_modules/${name}/`, root);
  for await (const { name: file } of Deno.readDir(folder)) {
    if (await textOf(new URL(file, folder)) !== await textOf(new URL(file, copy))) return false;
  }
  return true;
}

async function isInstalled(): Promise<boolean> {
  const lock = JSON.parse((await textOf(new URL("deno.lock", root)))!);
  const { links } = JSON.parse((await textOf(new URL("deno.json", root)))!) as { links: string[] };
  for (const link of links) if (!await isLinked(new URL(`${link}/`, root))) return false;
  for (const id of Object.keys(lock.npm)) {
    if (`npm:${id}` in lock.workspace.links) continue;
    const marker = new URL(`node_modules/.deno/${id.replace("/", "+")}/.initialized`, root);
    if (await textOf(marker) === undefined) return false;
  }
  return true;
}

if (import.meta.main) Deno.exit(await isInstalled() ? 0 : 1);
