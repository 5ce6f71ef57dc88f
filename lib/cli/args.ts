import { Argument, Command as Parser, CommanderError, InvalidArgumentError, Option } from "commander";
import { parseChannelScope, parseNodeScope, type PauseScope } from "../audit/pause.ts";
import { closestKey } from "../config/closest_key.ts";
import type { LogLevel } from "../env/logger.ts";

export type LogFormat = "text" | "json";

/** How logs are written. */
export interface LogOptions {
  readonly logFormat: LogFormat;
  /** The least that is shown. */
  readonly logLevel: LogLevel;
}

/** What the operator asked for. */
export type Command =
  | LogOptions & {
    readonly kind: "run";
    readonly configPath: string;
    /** Validate, connect to every node, then end. */
    readonly check: boolean;
    /** Decide and say so, but ask nobody and pay nothing. */
    readonly dryRun: boolean;
  }
  | {
    readonly kind: "demo";
    /** Undefined: until interrupted. */
    readonly seconds: number | undefined;
    /** One JSON line per event, even on a terminal. */
    readonly json: boolean;
  }
  | {
    readonly kind: "log";
    readonly which: "events" | "transactions";
    readonly configPath: string;
    readonly json: boolean;
    readonly follow: boolean;
  }
  | { readonly kind: "secret" }
  | { readonly kind: "pause"; readonly configPath: string; readonly scope: PauseScope }
  | { readonly kind: "resume"; readonly configPath: string; readonly scope: PauseScope }
  | {
    readonly kind: "repair";
    readonly configPath: string;
    /** Only say what is wrong. */
    readonly dryRun: boolean;
  }
  /** For stdout, ending in a line break. */
  | { readonly kind: "help"; readonly text: string }
  | { readonly kind: "version"; readonly text: string }
  /** For stderr, ending in a line break. */
  | { readonly kind: "usage-error"; readonly text: string };

export interface ArgsOptions {
  /** The program's version. */
  readonly version: string;
  /** Width of the help text. */
  readonly columns?: number;
}

/** The shortest demo: its story needs this long. */
export const leastDemoSeconds = 20;
const mostDemoSeconds = 86_400;
const defaultConfigPath = "config.yaml";

/**
 * Reads a command line.
 * @param argv without the program's own name
 * @returns what is to be done; help, version and mistakes are values too. Nothing is written and nothing ends.
 */
export function parseArgs(argv: readonly string[], options: ArgsOptions): Command {
  let written = "";
  const text = () => `${written.trimEnd()}\n`;
  let result: Command | undefined;
  const program = createParser(options, (text) => written += text, (command) => result = command);
  const misspelt = unknownCommand(argv, program);
  if (misspelt !== undefined) return { kind: "usage-error", text: misspelt };
  try {
    program.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === "commander.version") return { kind: "version", text: text() };
    if (error.exitCode === 0 || error.code === "commander.help") return { kind: "help", text: text() };
    return { kind: "usage-error", text: text() };
  }
  return result ?? { kind: "help", text: program.helpInformation() };
}

/** With `run` as the default command, a misspelt name would count as an argument of it. */
function unknownCommand(argv: readonly string[], program: Parser): string | undefined {
  const first = argv[0];
  const names = [...program.commands.map((command) => command.name()), "help"];
  if (first === undefined || first.startsWith("-") || names.includes(first)) return undefined;
  const meant = closestKey(first, names);
  const hint = meant === undefined ? 'See "tightrope --help".' : `Did you mean "${meant}"?`;
  return `Unknown command ${JSON.stringify(first)}. ${hint}\n`;
}

function createParser(options: ArgsOptions, write: (text: string) => void, found: (command: Command) => void): Parser {
  const program = new Parser("tightrope")
    .exitOverride()
    .configureOutput({
      writeOut: write,
      writeErr: write,
      outputError: (text, output) => output(capitalised(text.replace(/^error: /, ""))),
      getOutHelpWidth: () => options.columns ?? 80,
      getErrHelpWidth: () => options.columns ?? 80,
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .description("Keeps the channels between the Lightning nodes of a cluster in balance.")
    .version(`tightrope ${options.version}`, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .usage("[run] --config FILE [--check] [--dry-run]\n       tightrope <command> [options]")
    // Choices and defaults stand in the descriptions, in words.
    .configureHelp({
      optionDescription: (option) => option.description,
      argumentDescription: (argument) => argument.description,
    })
    .allowExcessArguments(false)
    .addHelpText("after", programHelp);

  const config = () =>
    new Option("-c, --config <file>", `the configuration, YAML (${defaultConfigPath})`).default(defaultConfigPath);
  const logFormat = () =>
    new Option("--logformat <format>", "of log lines: text or json (text)").choices(["text", "json"]).default("text");
  const logLevel = () =>
    new Option("-d, --debuglevel <level>", "the least that is logged: debug, info, warn or error (info)").choices([
      "debug",
      "info",
      "warn",
      "error",
    ])
      .default("info");

  program.command("run", { isDefault: true })
    .summary("balance the channels of the configured nodes (default)")
    .description("Balances the channels of the configured nodes until SIGINT or SIGTERM. The default command.")
    .addOption(config())
    .option("--check", "validate, connect to every node, then exit")
    .option("--dry-run", "say what would be asked and paid, but ask and pay nothing")
    .addOption(logFormat())
    .addOption(logLevel())
    .addHelpText("after", runHelp)
    .action((given: { config: string; check?: true; dryRun?: true; logformat: LogFormat; debuglevel: LogLevel }) =>
      found({
        kind: "run",
        configPath: given.config,
        check: given.check ?? false,
        dryRun: given.dryRun ?? false,
        logFormat: given.logformat,
        logLevel: given.debuglevel,
      })
    );

  program.command("demo")
    .summary("watch it work on simulated nodes; needs nothing")
    .description(
      "Alice and Bob, each with an instance of their own, keep the channels between five simulated Lightning nodes " +
        "in balance. No node, no network and no configuration is needed, and no real money moves.",
    )
    .addOption(
      new Option("--seconds <n>", `end after this time (${leastDemoSeconds} or more); the story scales to it`)
        .argParser(parseSeconds),
    )
    .option("--json", "print one JSON line per event and a summary, also on a terminal")
    .addHelpText("after", demoHelp)
    .action((given: { seconds?: number; json?: true }) =>
      found({
        kind: "demo",
        seconds: given.seconds,
        json: given.json ?? false,
      })
    );

  program.command("log")
    .summary("print the log of events or of transactions")
    .description("Prints one of the two logs, oldest first, also while Tightrope runs.")
    .addArgument(new Argument("<which>", "events or transactions").choices(["events", "transactions"]))
    .addOption(config())
    .option("--json", "print one JSON object per line")
    .option("-f, --follow", "keep printing as the log grows")
    .addHelpText("after", logHelp)
    .action((which: "events" | "transactions", given: { config: string; json?: true; follow?: true }) =>
      found({ kind: "log", which, configPath: given.config, json: given.json ?? false, follow: given.follow ?? false })
    );

  program.command("secret")
    .summary("print a new secret for a cluster")
    .description(
      "Prints one line: a new secret of 160 random bits, for the configuration of every instance of a cluster.",
    )
    .action(() => found({ kind: "secret" }));

  const node = () =>
    new Option("--node <alias|pubkey>", "one of your nodes, or another operator's by its public key")
      .argParser(parseNode);
  const channel = () =>
    new Option("--channel <id|point>", "one channel: 800000x1x0, LND's number, or txid:index").argParser(parseChannel)
      .conflicts("node");
  type Given = { config: string; node?: PauseScope; channel?: PauseScope };
  const scopeOf = ({ node, channel }: Given): PauseScope => node ?? channel ?? { kind: "all" };

  program.command("pause")
    .summary("stop asking and paying until resume")
    .description(
      "Makes a running Tightrope stop asking and paying, everywhere or over one node or channel, and one that starts " +
        "later begin so. Payments under way end first. The other side is told.",
    )
    .addOption(config())
    .addOption(node())
    .addOption(channel())
    .addHelpText("after", pauseHelp)
    .action((given: Given) => found({ kind: "pause", configPath: given.config, scope: scopeOf(given) }));

  program.command("resume")
    .summary("ask and pay again")
    .description(
      "Ends one pause; without --node and --channel all of them, and also what Tightrope has stopped by itself.",
    )
    .addOption(config())
    .addOption(node())
    .addOption(channel())
    .action((given: Given) => found({ kind: "resume", configPath: given.config, scope: scopeOf(given) }));

  program.command("repair")
    .summary("begin a damaged log anew, with what can be read of it")
    .description(
      "Reads both logs of a Tightrope that doesn't run. One that is damaged, shortened or gone is set aside, never " +
        "deleted, and begun anew with every record that can be read. The next start reads what the Lightning nodes " +
        "themselves list as paid, and counts it as spent, before it pays anything.",
    )
    .addOption(config())
    .option("--dry-run", "say what is wrong, and change nothing")
    .action((given: { config: string; dryRun?: true }) =>
      found({ kind: "repair", configPath: given.config, dryRun: given.dryRun ?? false })
    );

  for (const command of program.commands) {
    command.helpOption("-h, --help", "print this help");
    command.showHelpAfterError(`See "tightrope ${command.name()} --help".`);
  }
  program.showHelpAfterError('See "tightrope --help".');
  return program;
}

function parseNode(text: string): PauseScope {
  const scope = parseNodeScope(text);
  if (scope === undefined) throw new InvalidArgumentError("Give a node's alias or its public key.");
  return scope;
}

function parseChannel(text: string): PauseScope {
  const scope = parseChannelScope(text);
  if (scope === undefined) throw new InvalidArgumentError("Write it as 800000x1x0, as LND's number, or as txid:index.");
  return scope;
}

function parseSeconds(text: string): number {
  const seconds = /^\d{1,6}$/.test(text) ? Number(text) : NaN;
  if (seconds >= leastDemoSeconds && seconds <= mostDemoSeconds) return seconds;
  throw new InvalidArgumentError(`Give a whole number from ${leastDemoSeconds} to ${mostDemoSeconds}.`);
}

export const capitalised = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

const programHelp = `
Examples:
  tightrope demo                              see it work, without a node
  tightrope secret                            a secret to share with your cluster
  tightrope --config config.yaml --check      is everything right?
  tightrope --config config.yaml              go
  tightrope log transactions                  what was paid and received

Logs go to stderr, results to stdout. NO_COLOR turns colours off.
Exit codes: 0 done, 64 wrong usage, 69 not reachable, 70 a bug, 75 try again,
77 rights missing, 78 configuration wrong.
`;

const runHelp = `
Examples:
  tightrope --config config.yaml --check      validate, connect, exit 0 if all is well
  tightrope --config config.yaml --dry-run    watch what it would do
  tightrope --config config.yaml --logformat json --debuglevel debug

SIGINT and SIGTERM finish what is under way and stop; a second one a second later
stops at once.
`;

const demoHelp = `
Examples:
  tightrope demo                              live view, until Ctrl-C
  tightrope demo --seconds 60 --json          one JSON line per event, then a summary

Exits 0 only if every watched channel ended in balance and no satoshi was lost.
`;

const pauseHelp = `
Examples:
  tightrope pause                             everything
  tightrope pause --node alice                whatever this node of yours has to do
  tightrope pause --node 03ab12...            whatever has to do with that operator's node
  tightrope pause --channel 800000x1x0        one channel, from this side
  tightrope resume                            ends all of it
`;

const logHelp = `
Examples:
  tightrope log transactions                  one line per record
  tightrope log events --follow               like tail -f
  tightrope log transactions --json | jq 'select(.kind == "settled") | .amountSat'
`;
