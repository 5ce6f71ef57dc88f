import { parseArgs } from "./lib/cli/args.ts";
import { check } from "./lib/cli/commands/check.ts";
import { demo } from "./lib/cli/commands/demo.ts";
import { ledger } from "./lib/cli/commands/ledger.ts";
import { log } from "./lib/cli/commands/log.ts";
import { pause, resume } from "./lib/cli/commands/pause.ts";
import { repair } from "./lib/cli/commands/repair.ts";
import { resolve } from "./lib/cli/commands/resolve.ts";
import { run } from "./lib/cli/commands/run.ts";
import { print, printError, reportError } from "./lib/cli/commands/screen.ts";
import { secret } from "./lib/cli/commands/secret.ts";
import { exitCodeOf, exitCodes } from "./lib/cli/exit_codes.ts";
import { version } from "./lib/cli/version.ts";
import { unreachable } from "./lib/domain/errors.ts";

/** Does what the command line asks for. @returns the exit code */
async function main(argv: readonly string[]): Promise<number> {
  const command = parseArgs(argv, { version });
  switch (command.kind) {
    case "run":
      return command.check ? await check(command) : await run(command);
    case "demo":
      return await demo(command);
    case "log":
      return await log(command);
    case "secret":
      secret();
      return exitCodes.ok;
    case "pause":
      return await pause(command);
    case "resume":
      return await resume(command);
    case "repair":
      return await repair(command);
    case "ledger":
      return await ledger(command);
    case "resolve":
      return await resolve(command);
    case "help":
    case "version":
      print(command.text);
      return exitCodes.ok;
    case "usage-error":
      printError(command.text);
      return exitCodes.usage;
    default:
      return unreachable(command);
  }
}

let code: number;
try {
  code = await main(Deno.args);
} catch (error) {
  reportError(error);
  code = exitCodeOf(error);
}
Deno.exit(code);
