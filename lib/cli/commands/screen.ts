import { redactSecrets } from "../../audit/mask.ts";
import type { EventRecord } from "../../audit/record.ts";
import { messageOf, TightropeError } from "../../domain/errors.ts";
import type { LogFields, Logger, LogLevel } from "../../env/logger.ts";
import { systemClock } from "../../env/system.ts";
import type { LogOptions } from "../args.ts";
import { formatError, formatEventLine, formatLogLine, isShown } from "../output.ts";

const encoder = new TextEncoder();

function write(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  const bytes = encoder.encode(text);
  for (let at = 0; at < bytes.length;) at += stream.writeSync(bytes.subarray(at));
}

/** Results go to stdout. @throws TightropeError when they can't: a full disk behind it, say */
export function print(text: string): void {
  try {
    write(Deno.stdout, text);
  } catch (error) {
    // Whoever read our output went away (`| head`); there is nobody left to tell.
    if (error instanceof Deno.errors.BrokenPipe) return;
    throw new TightropeError(
      "temporary",
      `Cannot write the output: ${messageOf(error)}`,
      "Make room where it goes, and run the command again",
      { cause: error },
    );
  }
}

/** Logs and errors go to stderr. If they can't (a closed terminal, a full disk) nobody is left to tell; the event log has it all. */
export function printError(text: string): void {
  try {
    write(Deno.stderr, text);
  } catch {
    return;
  }
}

/** Colours only on a terminal, and never against NO_COLOR. */
export function wantsColour(stream: { isTerminal(): boolean }): boolean {
  return stream.isTerminal() && !Deno.noColor;
}

/** What went wrong, on stderr. */
export function reportError(error: unknown): void {
  printError(formatError(error, { colour: wantsColour(Deno.stderr) }));
}

/** Log lines on stderr. `everything`: the operator wants every event (verboseScreenLogging). */
export class ScreenLogger implements Logger {
  readonly #options: LogOptions;
  readonly #everything: boolean;
  readonly #colour = wantsColour(Deno.stderr);

  constructor(options: LogOptions, everything: boolean) {
    this.#options = options;
    this.#everything = everything;
  }

  log(level: LogLevel, message: string, fields?: LogFields): void {
    if (!isShown(level, this.#options.logLevel)) return;
    const line = { atWallMs: systemClock.now().wallMs, level, message, ...(fields === undefined ? {} : { fields }) };
    printError(`${formatLogLine(line, this.#options.logFormat, { colour: this.#colour })}\n`);
  }

  /** What ends a running daemon. A bug of ours comes with its stack, outside of the log's form. */
  failure(error: unknown): void {
    if (error instanceof TightropeError) this.log("error", `${error.message}. ${error.remedy}`);
    else reportError(error);
  }

  record(record: EventRecord): void {
    if (!this.#everything && !isShown(record.level, this.#options.logLevel)) return;
    // Words of LND and of peers pass through here; the log on disk has the same net.
    const line = formatEventLine(redactSecrets(record), this.#options.logFormat, { colour: this.#colour });
    printError(`${line}\n`);
  }
}
