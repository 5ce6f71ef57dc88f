import assert from "node:assert/strict";
import { dirname } from "node:path";
import { TextLineStream } from "../interop/text_lines.ts";
import { type CompiledFile, readCompiledFile, type StoredPermissions } from "./compiled_file.ts";

/**
 * The base runtime of executables can't be had everywhere, but compiling type-checks, embeds and stores flags on top of
 * any executable. So what an executable holds is read back from it, and run from there with its own flags.
 */

/** A configuration without mistakes; nothing of what it names exists. */
const hollow = (secret: string) =>
  `secret: ${secret}lightningNodes: [{socket: "127.0.0.1:1", certPath: tls.cert, macaroonPath: tightrope.macaroon}]\n`;

const root = new URL("../../", import.meta.url);
const decoder = new TextDecoder();

interface Tasks {
  readonly tasks: Readonly<Record<string, { readonly command: string }>>;
  readonly compile: { readonly include: readonly string[]; readonly exclude: readonly string[] };
}

const config = JSON.parse(Deno.readTextFileSync(new URL("deno.json", root))) as Tasks;

async function copy(from: URL, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for await (const { name, isDirectory } of Deno.readDir(from)) {
    if (isDirectory) await copy(new URL(`${name}/`, from), `${to}/${name}`);
    else await Deno.copyFile(new URL(name, from), `${to}/${name}`);
  }
}

async function run(args: readonly string[], cwd: string, env: Record<string, string>): Promise<string> {
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), { args: [...args], cwd, env }).output();
  assert.ok(success, decoder.decode(stderr));
  return decoder.decode(stdout);
}

/** A checkout of its own: packages of earlier times don't get in, and node_modules isn't moved under running tests. */
async function compile(folder: string): Promise<CompiledFile> {
  const checkout = `${folder}/checkout`;
  await copy(new URL("lib/", root), `${checkout}/lib`);
  for (const name of ["main.ts", "deno.json", "deno.lock"]) {
    await Deno.copyFile(new URL(name, root), `${checkout}/${name}`);
  }
  const base = `${folder}/base`;
  await Deno.copyFile(Deno.build.os === "windows" ? Deno.execPath() : "/bin/true", base);
  await run(["task", "--quiet", "compile", "--quiet"], checkout, { DENORT_BIN: base, NO_COLOR: "1" });
  for (const path of config.compile.exclude) {
    assert.ok((await Deno.stat(`${checkout}/${path}`)).isDirectory, `compile.exclude names ${path}`);
  }
  const suffix = Deno.build.os === "windows" ? ".exe" : "";
  return readCompiledFile(await Deno.readFile(`${checkout}/tightrope${suffix}`));
}

/** Our files by path, packages by name and version. */
function contents({ files }: CompiledFile): { own: string[]; packages: string[] } {
  const own: string[] = [];
  const packages = new Set<string>();
  for (const [path, file] of files) {
    const [, folder] = /^node_modules\/\.deno\/([^/]+)\/node_modules\//.exec(path) ?? [];
    if (!path.startsWith("node_modules/")) own.push(path);
    else if (folder !== undefined && "bytes" in file) packages.add(folder.replace("+", "/"));
  }
  return { own: own.sort(), packages: [...packages].sort() };
}

/** The flags that `deno run` takes for what an executable stores. */
function flags(permissions: StoredPermissions): string[] {
  return Object.entries(permissions).flatMap(([name, value]) => {
    if (value === null || value === true) return [];
    if (name === "prompt") return ["--no-prompt"];
    const flag = `--${name.replace("_", "-")}`;
    const list = value as readonly string[];
    return [list.length === 0 ? flag : `${flag}=${list.join(",")}`];
  });
}

const isNative = (path: string) => /\.(node|bare|so|dll|dylib|wasm)$/.test(path);

async function extract(compiled: CompiledFile, folder: string): Promise<void> {
  for (const [path, file] of compiled.files) {
    await Deno.mkdir(dirname(`${folder}/${path}`), { recursive: true });
    if ("bytes" in file) await Deno.writeFile(`${folder}/${path}`, file.bytes);
    else await Deno.symlink(`${folder}/${file.target.join("/")}`, `${folder}/${path}`);
  }
  const { json } = compiled.metadata.workspace_resolver.import_map;
  await Deno.writeTextFile(`${folder}/import_map.json`, json);
}

Deno.test("deno task compile", async (t) => {
  const folder = await Deno.realPath(await Deno.makeTempDir({ prefix: "tightrope-compile-" }));
  try {
    const compiled = await compile(folder);
    const { metadata } = compiled;
    const { own, packages } = contents(compiled);

    await t.step("stores the rights of deno task start, and no other", () => {
      assert.deepEqual(metadata.permissions, {
        allow_env: null,
        allow_ffi: null,
        allow_import: metadata.permissions.allow_import,
        allow_net: [],
        allow_read: [],
        allow_run: null,
        allow_sys: ["networkInterfaces"],
        allow_write: [],
        deny_env: null,
        deny_ffi: null,
        deny_import: [],
        deny_net: null,
        deny_read: null,
        deny_run: null,
        deny_sys: null,
        deny_write: null,
        ignore_env: [],
        ignore_read: null,
        prompt: false,
      });
      const { allow_import: _, ...rest } = metadata.permissions;
      assert.deepEqual(new Set(flags(rest)), permissionFlags("start"));
      assert.deepEqual(metadata.unstable_config.features, ["net", "worker-options"]);
      assert.deepEqual(metadata.argv, []);
      assert.deepEqual(metadata.env_vars_from_env_file, {});
      assert.equal(metadata.code_cache_key, null);
      assert.equal(metadata.unsafely_ignore_certificate_errors, null);
      assert.equal(metadata.entrypoint_key, "main.ts");
    });

    await t.step("embeds the files that are committed here", (t) =>
      // After a look at the difference: deno task test tests/compile -u
      t.assertSnapshot([...own, "", ...packages].join("\n")));

    await t.step("embeds every worker, nothing native and nothing of the tests", () => {
      const workers = [...Deno.readDirSync(new URL("lib/workers/", root))]
        .map(({ name }) => `lib/workers/${name}`).filter((path) => path.endsWith("_worker.ts")).sort();
      assert.deepEqual(own.filter((path) => path.endsWith("_worker.ts")), workers);
      assert.deepEqual([...compiled.files.keys()].filter(isNative), []);
      assert.deepEqual(packages.filter((name) => /^(fast-check|lightning|protobufjs|typescript)@/.test(name)), []);
      assert.deepEqual(own.filter((path) => !/^(main\.ts|deno\.json|lib\/.*\.ts)$/.test(path)), []);
      // What was measured, and a tenth: more is a package that came along unseen.
      assert.ok(compiled.embeddedBytes < 12_600_000, `${compiled.embeddedBytes} bytes are embedded`);
    });

    await t.step("runs from what is embedded alone, every worker included", async () => {
      const [embedded, empty] = [`${folder}/embedded`, `${folder}/empty`];
      await extract(compiled, embedded);
      await Deno.mkdir(empty);
      const program = [
        "run",
        "--quiet",
        "--no-config",
        "--no-lock",
        "--no-remote",
        "--cached-only",
        "--node-modules-dir=manual",
        `--import-map=${embedded}/import_map.json`,
        ...metadata.unstable_config.features.map((feature) => `--unstable-${feature}`),
        ...flags(metadata.permissions),
        `${embedded}/main.ts`,
      ];
      // An empty cache: nothing but what was embedded can be found.
      const asked = `${folder}/permissions.jsonl`;
      const options = {
        cwd: empty,
        env: { DENO_DIR: `${folder}/cache`, NO_COLOR: "1", DENO_AUDIT_PERMISSIONS: asked },
      };
      const start = (...args: readonly string[]) =>
        new Deno.Command(Deno.execPath(), {
          args: [...program, ...args],
          ...options,
          stdout: "piped",
          stderr: "piped",
        });

      const secret = await start("secret").output();
      assert.match(decoder.decode(secret.stdout), /^tightrope-[a-z0-9]+\n$/);

      await Deno.writeTextFile(`${empty}/bad.yaml`, "secret: hello\nlightningNode: []\n");
      const check = await start("--config", "bad.yaml", "--check").output();
      assert.equal(check.code, 78, decoder.decode(check.stderr));
      assert.match(decoder.decode(check.stderr), /bad\.yaml:2:1: .*lightningNodes/);

      await Deno.writeTextFile(`${empty}/config.yaml`, hollow(decoder.decode(secret.stdout)), { mode: 0o600 });
      const log = await start("log", "events", "--config", "config.yaml").output();
      assert.match(decoder.decode(log.stderr), /There is no log/);

      const demo = start("demo", "--json").spawn();
      const stderr = new Response(demo.stderr).text();
      // The simulated LNDs, the real client, both logs and the swarm all had to start for that.
      const wanted = new Set(["started", "node-up", "transport", "payment-settled"]);
      for await (const line of demo.stdout.pipeThrough(new TextLineStream())) {
        if (wanted.delete(JSON.parse(line).kind) && wanted.size === 0) demo.kill("SIGTERM");
      }
      await demo.status;
      assert.equal(await stderr, "");
      assert.deepEqual([...wanted], []);

      // Deno noted each access to anything, granted or not; the environment is ignored.
      const accesses = (await Deno.readTextFile(asked)).trim().split("\n").map((line) => JSON.parse(line).permission);
      assert.deepEqual([...new Set(accesses)].sort(), ["env", "net", "read", "sys", "write"]);
    });
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

/** The permission flags of a task. */
function permissionFlags(task: string): Set<string> {
  const { command } = config.tasks[task]!;
  return new Set(command.split(" ").filter((word) => /^--(allow|deny|ignore|no-prompt)/.test(word)));
}

function sources(folder: URL): URL[] {
  return [...Deno.readDirSync(folder)].flatMap(({ name, isDirectory }) => {
    if (isDirectory) return sources(new URL(`${name}/`, folder));
    return name.endsWith(".ts") ? [new URL(name, folder)] : [];
  });
}

Deno.test("whatever runs the program asks for neither ffi nor run, nor for the environment", () => {
  const want = new Set([
    "--no-prompt",
    "--allow-read",
    "--allow-write",
    "--allow-net",
    "--allow-sys=networkInterfaces",
    "--ignore-env",
    "--deny-import",
  ]);
  for (const task of ["dev", "start", "compile"]) assert.deepEqual(permissionFlags(task), want, task);
  const everything = Object.values(config.tasks).map(({ command }) => command).join("\n");
  assert.doesNotMatch(everything, /ffi|allow-all|\s-\w*A/);
  const [starter, ...others] = sources(new URL("lib/", root)).filter((url) =>
    /\bnew Worker\(/.test(Deno.readTextFileSync(url))
  );
  assert.deepEqual(others, []);
  assert.match(Deno.readTextFileSync(starter!), /env: false,\s+run: false,\s+ffi: false,\s+import: false,/);
});
