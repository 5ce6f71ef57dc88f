import assert from "node:assert/strict";

/**
 * No native code may reach the program: an addon needs --allow-ffi, which voids the sandbox, and several crash Deno.
 * Local stand-ins (lib/npm) replace the packages that bring one. Deno ignores a link silently when its version
 * satisfies nobody, so every link is checked for being used.
 */

const root = new URL("../../", import.meta.url);

interface Tree {
  readonly config: string;
  readonly folder: URL;
  readonly linkPrefix: string;
  /** Stand-ins that a test-only package brings the real one of. */
  readonly unused: readonly string[];
}

const trees: readonly Tree[] = [
  { config: "deno.json", folder: root, linkPrefix: "./lib/npm/", unused: [] },
  {
    config: "tests/deno.json",
    folder: new URL("tests/", root),
    linkPrefix: "../lib/npm/",
    unused: ["grpc-proto-loader"],
  },
];

interface Manifest {
  readonly name: string;
  readonly version: string;
}

function readJson<T>(url: URL): T {
  return JSON.parse(Deno.readTextFileSync(url)) as T;
}

function standIns(): string[] {
  return [...Deno.readDirSync(new URL("lib/npm/", root))].filter((entry) => entry.isDirectory)
    .map((entry) => entry.name).sort();
}

function* filesIn(folder: URL): Generator<string> {
  for (const entry of Deno.readDirSync(folder)) {
    if (entry.isDirectory) yield* filesIn(new URL(`${entry.name}/`, folder));
    else if (entry.isFile) yield new URL(entry.name, folder).pathname;
  }
}

async function importProbe(
  tree: Tree,
  audit: string,
): Promise<Deno.CommandOutput> {
  return await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--quiet",
      "--no-prompt",
      "--no-check",
      "--node-modules-dir=manual",
      "--config",
      tree.config,
      "tests/npm/import_probe.ts",
    ],
    cwd: root,
    env: { DENO_AUDIT_PERMISSIONS: audit },
  }).output();
}

for (const tree of trees) {
  Deno.test(`${tree.config}: hyperswarm, hyperdht and hypercore import without asking for any right`, async () => {
    const folder = await Deno.makeTempDir();
    try {
      const audit = `${folder}/permissions.jsonl`;
      const { code, stdout, stderr } = await importProbe(tree, audit);
      assert.equal(code, 0, new TextDecoder().decode(stderr));
      // BLAKE2b-256 of nothing begins with 0x0e.
      assert.equal(
        new TextDecoder().decode(stdout).trim(),
        '["function","function","function",14]',
      );
      // Deno writes each request for a right into this file, granted or not.
      assert.equal(await Deno.readTextFile(audit), "");
    } finally {
      await Deno.remove(folder, { recursive: true });
    }
  });

  Deno.test(`${tree.config}: every stand-in is linked and used`, () => {
    const { links } = readJson<{ links: string[] }>(new URL(tree.config, root));
    assert.deepEqual(
      [...links].sort(),
      standIns().map((name) => tree.linkPrefix + name),
    );
    for (const name of standIns().filter((name) => !tree.unused.includes(name))) {
      const source = new URL(`lib/npm/${name}/`, root);
      const manifest = readJson<Manifest>(new URL("package.json", source));
      const installed = new URL(
        `node_modules/.deno/${manifest.name.replace("/", "+")}@${manifest.version}/node_modules/${manifest.name}/`,
        tree.folder,
      );
      for (const entry of Deno.readDirSync(source)) {
        assert.equal(
          Deno.readTextFileSync(new URL(entry.name, installed)),
          Deno.readTextFileSync(new URL(entry.name, source)),
          `${name}/${entry.name} is not what ${tree.config} runs`,
        );
      }
    }
  });

  Deno.test(`${tree.config}: node_modules holds no native code`, () => {
    const native = [...filesIn(new URL("node_modules/", tree.folder))].filter((
      path,
    ) => /\.(node|bare|so|dll|dylib)$/.test(path));
    assert.deepEqual(
      native,
      [],
      "delete node_modules if it was installed before a stand-in was added",
    );
  });
}

Deno.test("what only tests need stays out of the program's packages", () => {
  const program = readJson<{ imports: Record<string, string> }>(new URL("deno.json", root))
    .imports;
  const tests = readJson<{ imports: Record<string, string> }>(
    new URL("tests/deno.json", root),
  ).imports;
  for (const [name, specifier] of Object.entries(program)) {
    assert.equal(tests[name], specifier);
  }
  const testOnly = Object.keys(tests).filter((name) => !(name in program));
  assert.ok(testOnly.includes("fast-check"));
  const locked = Deno.readTextFileSync(new URL("deno.lock", root));
  for (const name of testOnly) {
    assert.ok(!locked.includes(`"${name}@`), `${name} is in deno.lock`);
  }
});
