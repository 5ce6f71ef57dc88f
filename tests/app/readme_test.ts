import assert from "node:assert/strict";
import { Cluster } from "./cluster.ts";
import { Program, root, runProgram } from "./program.ts";

const readme = Deno.readTextFileSync(new URL("README.md", root));

/** Every command line of the README that begins with the program's name, in blocks and within sentences. */
function commandsOf(text: string): string[] {
  const blocks = [...text.matchAll(/^(?:ExecStart=\S*\/)?(tightrope\b.*)$/gm)].map(([, line]) => line!);
  const inline = [...text.matchAll(/`(tightrope [^`]*)`/g)].map(([, line]) => line!);
  return [...new Set([...blocks, ...inline])];
}

/** How a command ends that works. */
const ends: readonly [RegExp, (config: string, args: readonly string[]) => Promise<void>][] = [
  [/^secret$/, async (_config, args) => {
    const { code, stdout, stderr } = await runProgram(...args);
    assert.deepEqual([code, stderr], [0, ""]);
    assert.match(stdout, /^tightrope-[a-z0-9]{38}\n?$/);
  }],
  // A daemon: it works until it is told to stop.
  [/^--config \S+( --dry-run)?$/, async (_config, args) => {
    await using program = new Program([...args, "--logformat", "json"]);
    await program.event({ kind: "node-up" });
    assert.equal((await program.stop()).code, 0, program.stderr.join("\n"));
  }],
  [
    /^(--config \S+ --check|(log (events|transactions)|pause( --channel \S+)?|resume|ledger( --csv)?|repair --dry-run) --config .*)$/,
    async (_config, args) => {
      const { code, stderr } = await runProgram(...args);
      assert.deepEqual([code, stderr], [0, ""]);
    },
  ],
];

Deno.test("every `tightrope …` command in the README does what it is there for", async (t) => {
  const commands = commandsOf(readme);
  assert.ok(commands.length >= 9, commands.join("\n"));
  await using cluster = new Cluster();
  await cluster.dht();
  const node = await cluster.node("alice");
  cluster.channel(node, await cluster.node("bob"), 0.5);
  const config = cluster.configFile({ name: "readme", nodes: [node] });
  // The logs exist once the daemon has run.
  const daemonFirst = (command: string) => / (log|ledger|pause|resume|repair) /.test(command) ? 1 : 0;
  for (const command of commands.toSorted((a, b) => daemonFirst(a) - daemonFirst(b))) {
    await t.step(command, async () => {
      const text = command.replace(/^tightrope /, "").replace(/\S*config\.yaml/, config)
        .replace("800000x1x0", "472x1x0");
      const run = ends.find(([pattern]) => pattern.test(text))?.[1];
      assert.ok(run, `the README shows a command that this test doesn't know: ${command}`);
      await run(config, text.split(" "));
    });
  }
});

Deno.test("the README's configuration table names every setting of config.yaml.example, and no other", () => {
  const example = Deno.readTextFileSync(new URL("config.yaml.example", root));
  const named = new Set(
    [...readme.matchAll(/^\| (`[^|]*) \|/gm)].flatMap(([, cell]) =>
      [...cell!.matchAll(/`([A-Za-z.[\]]+)`/g)].map(([, name]) => name!.split(".").at(-1)!)
    ),
  );
  const keys = new Set([...example.matchAll(/^\s*(?:# )?(?:- )?([a-z][A-Za-z]+):(?= |$)/gm)].map(([, key]) => key!));
  for (const group of ["lightningNodes", "swarm", "audit", "storage", "limits", "baseSettings", "idSettings", "id"]) {
    keys.delete(group);
  }
  assert.deepEqual([...named].filter((name) => !keys.has(name)), []);
  assert.deepEqual([...keys].filter((key) => !named.has(key)), []);
});
