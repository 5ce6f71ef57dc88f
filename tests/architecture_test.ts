import assert from "node:assert/strict";

/**
 * The rules of the house (who may touch the world, and who may import whom), held by reading the source of lib/ and main.ts.
 */

/** Files that may touch sockets, files, timers, clocks, chance or the screen. Every other file is pure. */
const edges = [
  "main.ts",
  "lib/app.ts",
  "lib/env/system.ts",
  "lib/balancer/driver.ts",
  "lib/config/load.ts",
  "lib/lightning/lnd/check.ts",
  "lib/lightning/lnd/client.ts",
  "lib/lightning/lnd/connection.ts",
  "lib/lightning/lnd/credential_files.ts",
  "lib/lightning/lnd/link.ts",
  "lib/lightning/lnd/watch.ts",
  "lib/lightning/sim/clocked_network.ts",
  "lib/lightning/sim/lnd_server.ts",
  "lib/swarm/hyperswarm_transport.ts",
  "lib/swarm/local_dht.ts",
  "lib/udx/socket.ts",
  "lib/udx/interfaces.ts",
  "lib/udx/timed_deadlines.ts",
  "lib/udx/ttl_socket.ts",
  "lib/audit/storage.ts",
  "lib/audit/sync_folder.ts",
  "lib/audit/is_there.ts",
  "lib/audit/core.ts",
  "lib/audit/hypercore_log.ts",
  "lib/audit/lock_file.ts",
  "lib/audit/log_reader.ts",
  "lib/audit/mark_file.ts",
  "lib/audit/pause_file.ts",
  "lib/audit/seed_file.ts",
  "lib/audit/audit_service.ts",
  "lib/audit/repair.ts",
  "lib/audit/resolve_file.ts",
];

/** Whole folders of edges. `lib/npm/` holds stand-ins for npm packages and follows their rules, not ours. */
const edgeFolders = ["lib/workers/", "lib/cli/commands/"];

/** Types that describe a boundary; any file may import them. */
const contracts = [
  "lib/lightning/node.ts",
  "lib/swarm/transport.ts",
  "lib/config/config.ts",
  "lib/audit/record.ts",
];

/** What main may import from npm. Everything else lives in a worker. */
const npmInMain = /^(commander|@noble\/(curves|hashes)(\/.*)?)$/;

const forbidden: readonly [RegExp, string][] = [
  [/\bDate\.now\b|\bnew Date\(\s*\)/, "the wall clock"],
  [/\bTemporal\.Now\b/, "the wall clock"],
  [/\bperformance\.now\b/, "a clock"],
  [/\bMath\.random\b|\bgetRandomValues\b|\brandomUUID\b|\brandomBytes\b/, "chance"],
  [/\b(setTimeout|setInterval|setImmediate|queueMicrotask)\b/, "a timer"],
  [/\bconsole\b/, "the screen"],
  [/\bDeno\./, "the system"],
  [/\bfrom "node:(fs|net|dgram|http|http2|https|child_process|os|process|dns|timers)/, "the system"],
];

interface Source {
  readonly path: string;
  readonly text: string;
  readonly code: string;
  readonly imports: readonly string[];
}

/** Blanks comments and the insides of strings, so that prose isn't taken for code. Lengths of lines stay. */
function stripComments(text: string): string {
  return text.replace(
    /\/\*[\s\S]*?\*\/|\/\/[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'/g,
    (match) => (match.startsWith("/") ? match.replace(/[^\n]/g, " ") : match),
  );
}

function importsOf(code: string): string[] {
  const found: string[] = [];
  const pattern = /(?:^|\n)\s*(?:import|export)\b(?:[^"';]*?\bfrom\s*)?\s*"([^"]+)"|\bimport\(\s*"([^"]+)"/g;
  for (const match of code.matchAll(pattern)) found.push((match[1] ?? match[2])!);
  return found;
}

function* walk(folder: string): Generator<string> {
  for (const entry of [...Deno.readDirSync(folder)].sort((a, b) => (a.name < b.name ? -1 : 1))) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory && path !== "lib/npm") yield* walk(path);
    // Declarations of other people's packages hold no code.
    else if (entry.isFile && /\.(ts|js|mjs)$/.test(entry.name) && !entry.name.endsWith(".d.ts")) yield path;
  }
}

function resolve(from: string, specifier: string): string {
  const parts = from.split("/").slice(0, -1);
  for (const part of specifier.split("/")) {
    if (part === "..") parts.pop();
    else if (part !== ".") parts.push(part);
  }
  return parts.join("/");
}

const root = new URL("..", import.meta.url);
Deno.chdir(root);
const sources = new Map<string, Source>();
for (const path of ["main.ts", ...walk("lib")]) {
  let text: string;
  try {
    text = Deno.readTextFileSync(path);
  } catch (error) {
    if (path === "main.ts" && error instanceof Deno.errors.NotFound) continue;
    throw error;
  }
  const code = stripComments(text);
  sources.set(path, { path, text, code, imports: importsOf(code) });
}

const isEdge = (path: string) => edges.includes(path) || edgeFolders.some((folder) => path.startsWith(folder));
const isGenerated = (path: string) => path.includes("/gen/");
const roomOf = (path: string) => path.split("/").slice(0, 2).join("/");
const localImports = (source: Source) =>
  source.imports.filter((name) => name.startsWith(".")).map((name) => resolve(source.path, name));

Deno.test("pure files touch no clock, chance, timer, screen or system", () => {
  const found: string[] = [];
  for (const source of sources.values()) {
    if (isEdge(source.path) || isGenerated(source.path)) continue;
    source.code.split("\n").forEach((line, index) => {
      for (const [pattern, what] of forbidden) {
        if (pattern.test(line)) found.push(`${source.path}:${index + 1} uses ${what}: ${line.trim()}`);
      }
    });
  }
  assert.deepEqual(found, []);
});

Deno.test("imports follow the arrows: domain <- env <- pure <- balancer <- edges <- app <- cli <- main", () => {
  const wrong: string[] = [];
  for (const source of sources.values()) {
    if (isGenerated(source.path)) continue;
    const room = roomOf(source.path);
    for (const target of localImports(source)) {
      const targetRoom = roomOf(target);
      const complain = (rule: string) => wrong.push(`${source.path} imports ${target}: ${rule}`);
      if (target === "main.ts") complain("nothing imports main");
      if (room === "lib/udx" && targetRoom !== "lib/udx") complain("lib/udx can be lifted out whole");
      if (room === "lib/domain" && targetRoom !== "lib/domain") complain("domain imports nothing");
      if (room === "lib/env" && !["lib/env", "lib/domain"].includes(targetRoom)) complain("env imports domain only");
      if (target === "lib/app.ts" && !/^(main\.ts|lib\/cli\/)/.test(source.path)) {
        complain("only the command line starts the app");
      }
      if (targetRoom === room || contracts.includes(target)) continue;
      if (isEdge(source.path)) {
        const composes = source.path === "main.ts" || source.path === "lib/app.ts" ||
          edgeFolders.some((folder) => source.path.startsWith(folder));
        if (isEdge(target) && !composes && target !== "lib/env/system.ts") complain("no edge imports another edge");
        continue;
      }
      if (isEdge(target)) complain("a pure file imports no edge");
      else if (room !== "lib/balancer" && room !== "lib/cli" && !["lib/domain", "lib/env"].includes(targetRoom)) {
        complain("a pure file imports domain, env, contracts and its own folder");
      }
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("main and all that it imports use no npm package but those listed", () => {
  const seen = new Set<string>();
  const queue = sources.has("main.ts") ? ["main.ts"] : [];
  const wrong: string[] = [];
  for (let path = queue.pop(); path !== undefined; path = queue.pop()) {
    if (seen.has(path)) continue;
    seen.add(path);
    const source = sources.get(path);
    assert.ok(source, `${path} is imported but doesn't exist`);
    for (const name of source.imports) {
      if (name.endsWith(".json")) continue;
      if (name.startsWith(".")) queue.push(resolve(path, name));
      else if (!name.startsWith("node:") && !npmInMain.test(name)) wrong.push(`${path} imports ${name}`);
    }
  }
  assert.deepEqual(wrong, []);
});

Deno.test("no import is computed: a compiled program would read it from the disk", () => {
  const found = [...sources.values()].filter((source) => /\bimport\((?!\s*")/.test(source.code)).map((s) => s.path);
  assert.deepEqual(found, []);
});

Deno.test("the list of edges names files that exist", () => {
  assert.deepEqual(edges.filter((path) => !sources.has(path)), []);
});

Deno.test("the test configuration holds the program's own imports and compiler options", () => {
  const read = (path: string) => JSON.parse(Deno.readTextFileSync(path));
  const [program, tests] = [read("deno.json"), read("tests/deno.json")];
  assert.deepEqual(tests.compilerOptions, program.compilerOptions);
  assert.deepEqual(tests.unstable, program.unstable);
  for (const [name, target] of Object.entries(program.imports)) assert.equal(tests.imports[name], target, name);
  assert.deepEqual(
    (tests.links ?? []).map((link: string) => link.replace(/^\.\.\//, "./")).sort(),
    [...(program.links ?? [])].sort(),
  );
});
