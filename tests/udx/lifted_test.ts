import assert from "node:assert/strict";

const udx = new URL("../../lib/udx/", import.meta.url);

Deno.test("lib/udx says hello in an empty folder, with what the first page of its README names", async () => {
  const folder = await Deno.makeTempDir();
  try {
    await Deno.mkdir(`${folder}/udx`);
    for await (const { name } of Deno.readDir(udx)) await Deno.copyFile(new URL(name, udx), `${folder}/udx/${name}`);
    const readme = await Deno.readTextFile(new URL("README.md", udx));
    const block = (language: string) => readme.split(`\n\`\`\`${language}\n`)[1]!.split("\n```\n")[0]!;
    await Deno.writeTextFile(`${folder}/deno.json`, block("json"));
    // The versions that this checkout has installed: a cache holds those, and not always the registry's lists of versions.
    await Deno.copyFile(new URL("../../deno.lock", import.meta.url), `${folder}/deno.lock`);
    await Deno.writeTextFile(`${folder}/hello.ts`, block("ts"));
    const deno = new Deno.Command(Deno.execPath(), {
      cwd: folder,
      args: ["run", "--check", "--quiet", "--cached-only", "--no-prompt", "--allow-net", "hello.ts"],
    });
    const { stdout, stderr } = await deno.output();
    const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
    assert.deepEqual([text(stdout), text(stderr)], ["hello\n", ""]);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});
