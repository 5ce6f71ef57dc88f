import assert from "node:assert/strict";
import { type Command, parseArgs } from "../../lib/cli/args.ts";

const parse = (line: string): Command =>
  parseArgs(line === "" ? [] : line.split(" "), { version: "1.2.3", columns: 100 });

Deno.test("parseArgs() reads every command", () => {
  const run = {
    kind: "run",
    configPath: "config.yaml",
    check: false,
    dryRun: false,
    logFormat: "text",
    logLevel: "info",
  };
  const table: Record<string, unknown> = {
    "": run,
    "run": run,
    "--config a.yaml": { ...run, configPath: "a.yaml" },
    "run -c a.yaml --check": { ...run, configPath: "a.yaml", check: true },
    "--config=a.yaml --dry-run --logformat json --debuglevel debug": {
      ...run,
      configPath: "a.yaml",
      dryRun: true,
      logFormat: "json",
      logLevel: "debug",
    },
    "demo": { kind: "demo", seconds: undefined, json: false },
    "demo --seconds 60 --json": { kind: "demo", seconds: 60, json: true },
    "log events": { kind: "log", which: "events", configPath: "config.yaml", json: false, follow: false },
    "log transactions --config a --json -f": {
      kind: "log",
      which: "transactions",
      configPath: "a",
      json: true,
      follow: true,
    },
    "secret": { kind: "secret" },
    "pause --config a": { kind: "pause", configPath: "a", scope: { kind: "all" } },
    "pause --node alice": { kind: "pause", configPath: "config.yaml", scope: { kind: "alias", alias: "alice" } },
    "resume --channel 800000x1x0": {
      kind: "resume",
      configPath: "config.yaml",
      scope: { kind: "channel-id", channelId: "879609302220865536" },
    },
    "repair": { kind: "repair", configPath: "config.yaml", dryRun: false },
    "repair --config a --dry-run": { kind: "repair", configPath: "a", dryRun: true },
    "ledger": { kind: "ledger", configPath: "config.yaml", format: "text" },
    "ledger --json -c a": { kind: "ledger", configPath: "a", format: "json" },
    "ledger --csv": { kind: "ledger", configPath: "config.yaml", format: "csv" },
    [`resolve ${"AB".repeat(32)}`]: {
      kind: "resolve",
      configPath: "config.yaml",
      hash: "ab".repeat(32),
      as: undefined,
    },
    "resolve A7137dd972…": { kind: "resolve", configPath: "config.yaml", hash: "a7137dd972", as: undefined },
    [`resolve ${"ab".repeat(32)} --as settled --config a`]: {
      kind: "resolve",
      configPath: "a",
      hash: "ab".repeat(32),
      as: "settled",
    },
    "resume": { kind: "resume", configPath: "config.yaml", scope: { kind: "all" } },
    "--version": { kind: "version", text: "tightrope 1.2.3\n" },
    "-V": { kind: "version", text: "tightrope 1.2.3\n" },
  };
  for (const [line, want] of Object.entries(table)) assert.deepEqual(parse(line), want, line);
});

Deno.test("parseArgs() explains what is wrong with a command line", () => {
  const table: Record<string, RegExp> = {
    "demon": /^Unknown command "demon"\. Did you mean "demo"\?\n$/,
    "balance": /^Unknown command "balance"\. See "tightrope --help"\.\n$/,
    "--confg x": /^Unknown option '--confg'\n\(Did you mean --config\?\)\nSee "tightrope run --help"\.\n$/,
    "--config": /argument missing\nSee "tightrope run --help"/,
    "--config x y": /^Too many arguments for 'run'/,
    "--config x pause": /^The command comes first: tightrope pause --config x\n$/,
    "--config x log events --json": /^The command comes first: tightrope log --config x events --json\n$/,
    "run --logformat xml": /Allowed choices are text, json/,
    "--debuglevel loud": /Allowed choices are debug, info, warn, error/,
    "demo --seconds 19": /Give a whole number from 20 to 86400\.\nSee "tightrope demo --help"/,
    "demo --seconds 2e3": /Give a whole number/,
    "pause --channel 12": /Write it as 800000x1x0, as LND's number, or as txid:index/,
    "pause --node a --channel 800000x1x0": /cannot be used with/,
    "log": /^Missing required argument 'which'\nSee "tightrope log --help"/,
    "log event": /Allowed choices are events, transactions/,
    "ledger --json --csv": /cannot be used with/,
    "resolve": /^Missing required argument 'hash'/,
    "resolve 5ab7": /Give a payment hash, or 8 or more/,
    [`resolve ${"ab".repeat(33)}`]: /Give a payment hash/,
    "resolve alice123": /Give a payment hash/,
    [`resolve ${"ab".repeat(32)} --as paid`]: /Allowed choices are settled, failed/,
    "secret now": /^Too many arguments for 'secret'/,
  };
  for (const [line, want] of Object.entries(table)) {
    const command = parse(line);
    assert.equal(command.kind, "usage-error", line);
    assert.match("text" in command ? command.text : "", want, line);
  }
});

for (
  const line of [
    ...["--help", "run --help", "demo --help", "log --help", "secret -h", "pause -h", "resume -h", "ledger -h"],
    ...["resolve -h", "repair -h"],
  ]
) {
  Deno.test(`parseArgs() prints the help of: ${line}`, async (t) => {
    const command = parse(line);
    assert.equal(command.kind, "help");
    const text = "text" in command ? command.text : "";
    await t.assertSnapshot(text);
    for (const part of text.split("\n")) assert.ok(part.length <= 100, part);
    const narrow = parseArgs(line.split(" "), { version: "1.2.3" });
    for (const part of ("text" in narrow ? narrow.text : "").split("\n")) assert.ok(part.length <= 80, part);
    assert.deepEqual(parse(`help ${line.split(" ")[0]}`).kind, "help");
  });
}

Deno.test("every example in a help text is a command that parseArgs() understands", () => {
  const examples = new Set<string>();
  for (const line of ["--help", "run --help", "demo --help", "log --help", "pause --help", "ledger --help"]) {
    const command = parse(line);
    const text = "text" in command ? command.text : "";
    for (
      const match of text.slice(text.indexOf("Examples:")).matchAll(/^ {2}tightrope ([^|\n]*?)(?: {2,}.*| \|.*)?$/gm)
    ) {
      examples.add(match[1]!);
    }
  }
  assert.ok(examples.size >= 9, [...examples].join("\n"));
  for (const example of examples) {
    assert.ok(!["usage-error", "help"].includes(parse(example).kind), example);
  }
});

Deno.test({
  name: "parseArgs() needs no rights",
  permissions: "none",
  fn() {
    assert.equal(parse("--check").kind, "run");
  },
});
