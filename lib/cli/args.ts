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
    readonly kind: "ledger";
    readonly configPath: string;
    readonly format: "text" | "json" | "csv";
  }
  | {
    readonly kind: "resolve";
    readonly configPath: string;
    /** The payment hash in hex, or its first digits. */
    readonly hash: string;
    /** Undefined: only show how it stands. */
    readonly as: "settled" | "failed" | undefined;
  }
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
    const isMisplaced = error.code === "commander.excessArguments" || error.code === "commander.unknownOption";
    const late = isMisplaced ? lateCommand(argv, program) : undefined;
    if (late !== undefined) return { kind: "usage-error", text: late };
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

/** Options before a command's name are taken for those of `run`, and the name for an argument of it. */
function lateCommand(argv: readonly string[], program: Parser): string | undefined {
  const name = argv[0]?.startsWith("-")
    ? argv.find((arg) => program.commands.some((one) => one.name() === arg))
    : undefined;
  if (name === undefined) return undefined;
  return `The command comes first: tightrope ${[name, ...argv.filter((arg) => arg !== name)].join(" ")}\n`;
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

  program.command("ledger")
    .summary("who owes whom, as the log, LND and the other side tell it")
    .description(
      "Prints, for each node and channel, what was paid and received, what is still open, the net position and what " +
        "its limit leaves. Beside it stands what your own LND lists and what the other side has signed. Changes " +
        "nothing, and works beside a running Tightrope and without LND.",
    )
    .addOption(config())
    .addOption(new Option("--json", "print one JSON object").conflicts("csv"))
    .addOption(new Option("--csv", "print one line per node and channel, for a spreadsheet"))
    .addHelpText("after", ledgerHelp)
    .action((given: { config: string; json?: true; csv?: true }) =>
      found({ kind: "ledger", configPath: given.config, format: given.json ? "json" : given.csv ? "csv" : "text" })
    );

  program.command("resolve")
    .summary("look at a payment that hangs, and end it by hand")
    .description(
      "Shows an open payment and what LND says of it. With --as it ends it in the log, which a running Tightrope " +
        "does itself. What LND knows can't be overruled.",
    )
    .addArgument(new Argument("<hash>", "the payment hash; its first 8 digits or more will do").argParser(parseHash))
    .addOption(
      new Option("--as <end>", "how it ended: settled (it counts as paid) or failed (it doesn't)")
        .choices(["settled", "failed"]),
    )
    .addOption(config())
    .addHelpText("after", resolveHelp)
    .action((hash: string, given: { config: string; as?: "settled" | "failed" }) =>
      found({ kind: "resolve", configPath: given.config, hash, as: given.as })
    );

  program.command("repair")
    .summary("begin a damaged log anew, with what can be read of it")
    .description(
      "Reads both logs of a Tightrope that doesn't run. One that is damaged, shortened or gone is set aside, never " +
        "deleted, and begun anew: the transaction log with every record that can be read, the event log empty. The next " +
        "start reads what the Lightning nodes themselves list as paid, and counts it as spent, before it pays anything.",
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

/** The screen and `log` shorten hashes by an ellipsis. */
function parseHash(text: string): string {
  const hash = text.toLowerCase().replace(/…$/, "");
  if (!/^[0-9a-f]{8,64}$/.test(hash)) {
    throw new InvalidArgumentError("Give a payment hash, or 8 or more of its first hex digits.");
  }
  return hash;
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
  tightrope secret                            a new secret for your cluster
  tightrope --config config.yaml --check      is everything right?
  tightrope --config config.yaml              go
  tightrope log transactions                  what was paid and received
  tightrope ledger                            who owes whom

Logs go to stderr, results to stdout. NO_COLOR turns colours off.
Exit codes: 0 done, 64 wrong usage, 69 not reachable, 70 a bug, 75 try again,
77 rights missing, 78 configuration wrong.
`;

const runHelp = `
Examples:
  tightrope --config config.yaml --check      validate, connect, exit 0 if well
  tightrope --config config.yaml --dry-run    watch what it would do
  tightrope --config config.yaml --logformat json --debuglevel debug

SIGINT and SIGTERM finish what is under way and stop; a second one a second
later stops at once.
`;

const demoHelp = `
Examples:
  tightrope demo                              live view, until Ctrl-C
  tightrope demo --seconds 60 --json          a JSON line per event

Exits 0 only if every watched channel ended in balance and no satoshi was lost.
`;

const ledgerHelp = `
Examples:
  tightrope ledger                            who owes whom, and since when
  tightrope ledger --csv                      one line per node and channel
  tightrope ledger --json |
    jq '.peers[].pairs[] | select(.theirs.verdict == "differs")'

A statement of the other side can be checked by anybody who knows its key:
  lncli verifymessage --msg "<theirs.text>" --sig <theirs.signature>
`;

const resolveHelp = `
Examples:
  tightrope resolve HASH                      how it stands, what is possible
  tightrope resolve HASH --as failed          it was never paid, and is free

An open payment counts as spent until LND tells how it ended. End it by hand
only if LND never will: its database was lost, say, or the node is gone for
good.
`;

const pauseHelp = `
Examples:
  tightrope pause                             everything
  tightrope pause --node alice                all channels of this node of yours
  tightrope pause --node 03ab12...            all with that operator's node
  tightrope pause --channel 800000x1x0        one channel, from this side
  tightrope resume                            ends all of it
`;

const logHelp = `
Examples:
  tightrope log transactions                  one line per record
  tightrope log events --follow               like tail -f
  tightrope log transactions --json |
    jq 'select(.kind == "settled") | .amountSat'
`;
