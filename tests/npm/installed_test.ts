import assert from "node:assert/strict";

const root = new URL("../../", import.meta.url);

/** A folder like a checkout whose node_modules holds what deno.lock names, and the script that looks at it. */
async function checkout(change: (folder: string) => Promise<void>): Promise<number> {
  const folder = await Deno.makeTempDir();
  const write = async (path: string, text: string) => {
    await Deno.mkdir(`${folder}/${path.replace(/[^/]+$/, "")}`, { recursive: true });
    await Deno.writeTextFile(`${folder}/${path}`, text);
  };
  try {
    await write("lib/npm/installed.ts", await Deno.readTextFile(new URL("lib/npm/installed.ts", root)));
    await write("deno.json", JSON.stringify({ links: ["./lib/npm/mine"] }));
    await write(
      "deno.lock",
      JSON.stringify({ npm: { "@a/b@1.0.0": {} }, workspace: { links: { "npm:mine@2.0.0": {} } } }),
    );
    await write("node_modules/.deno/@a+b@1.0.0/.initialized", "");
    for (const copy of ["lib/npm/mine", "node_modules/.deno/mine@2.0.0/node_modules/mine"]) {
      await write(`${copy}/package.json`, JSON.stringify({ name: "mine", version: "2.0.0" }));
      await write(`${copy}/index.js`, "module.exports = 1;\n");
    }
    await change(folder);
    const args = [
      "run",
      "-q",
      "--no-lock",
      "--node-modules-dir=manual",
      `--allow-read=${folder}`,
      "lib/npm/installed.ts",
    ];
    return (await new Deno.Command(Deno.execPath(), { args, cwd: folder, stderr: "inherit" }).output()).code;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

for (
  const [name, change, code] of [
    ["a whole node_modules needs no installation", () => Promise.resolve(), 0],
    [
      "a package that isn't there does",
      (folder) => Deno.remove(`${folder}/node_modules/.deno/@a+b@1.0.0/.initialized`),
      1,
    ],
    ["a stand-in that was changed does", (folder) => Deno.writeTextFile(`${folder}/lib/npm/mine/index.js`, "2"), 1],
    ["a checkout without node_modules does", (folder) => Deno.remove(`${folder}/node_modules`, { recursive: true }), 1],
  ] satisfies [string, (folder: string) => Promise<void>, number][]
) {
  Deno.test(`installed: ${name}`, async () => {
    assert.equal(await checkout(change), code);
  });
}
