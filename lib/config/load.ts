import { dirname, resolve } from "node:path";
import { type ErrorCode, messageOf, TightropeError } from "../domain/errors.ts";
import { decodeCertificate } from "./credentials.ts";
import { configError, type ConfigProblem, type ConfiguredFile } from "./problem.ts";

/** A configuration as it lies on the disk, and what `parseConfig` wants to know beside it. */
export interface ConfigText {
  readonly text: string;
  /** As the operator named it. */
  readonly fileName: string;
  /** Absolute. */
  readonly directory: string;
  /** Sentences for the log. */
  readonly warnings: readonly string[];
}

const maxBytes = 1_000_000;

/**
 * Reads the configuration file.
 * @param path relative to the working directory, or absolute
 * @throws {TightropeError} "config" when it isn't there or isn't text, "permission" when it may not be read
 */
export async function readConfigFile(path: string): Promise<ConfigText> {
  const absolute = resolve(Deno.cwd(), path);
  let bytes: Uint8Array;
  const warnings: string[] = [];
  try {
    const info = await Deno.stat(absolute);
    if (info.isDirectory) {
      throw new TightropeError(
        "config",
        `Cannot read the configuration "${path}": it is a directory`,
        "Name the file in it, for example --config " + `${path.replace(/[/\\]+$/, "")}/config.yaml`,
      );
    }
    if (info.size > maxBytes) {
      throw new TightropeError(
        "config",
        `Cannot read the configuration "${path}": it has ${info.size} bytes, a configuration at most ${maxBytes}`,
        "Check that --config names the right file.",
      );
    }
    if (info.mode !== null && (info.mode & 0o004) !== 0) {
      warnings.push(`Every user of this machine can read "${path}", and with it the secret: chmod 600 "${path}"`);
    }
    bytes = await Deno.readFile(absolute);
  } catch (error) {
    if (error instanceof TightropeError) throw error;
    throw unreadable(`the configuration "${path}"`, error, {
      missing: "Copy config.yaml.example to config.yaml, edit it, and name it with --config FILE.",
      denied: `Run Tightrope as the user that owns "${path}", or let its user read it.`,
    });
  }
  let text: string;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    throw new TightropeError(
      "config",
      `Cannot read the configuration "${path}": it isn't UTF-8 text`,
      "Save it as UTF-8, and check that --config names the right file.",
      { cause: error },
    );
  }
  return { text, fileName: path, directory: dirname(absolute), warnings };
}

function unreadable(
  what: string,
  error: unknown,
  remedies: { readonly missing: string; readonly denied: string },
): TightropeError {
  const { code, reason } = reasonOf(error);
  const remedy = reason === "it doesn't exist" ? remedies.missing : remedies.denied;
  return new TightropeError(code, `Cannot read ${what}: ${reason}`, remedy, { cause: error });
}

function reasonOf(error: unknown): { code: ErrorCode; reason: string } {
  // A path through something that isn't a directory doesn't exist either.
  if (error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotADirectory) {
    return { code: "config", reason: "it doesn't exist" };
  }
  if (error instanceof Deno.errors.PermissionDenied || error instanceof Deno.errors.NotCapable) {
    return { code: "permission", reason: "permission denied" };
  }
  return { code: "config", reason: messageOf(error) };
}

/**
 * Looks at every certificate and macaroon file that a configuration names, before a worker depends on them.
 * @throws {TightropeError} naming each file that is missing, unreadable, empty or not what it should be, with the place
 * in the configuration; "permission" if rights are all that is missing
 */
export async function checkConfiguredFiles(files: readonly ConfiguredFile[], fileName: string): Promise<void> {
  const problems: ConfigProblem[] = [];
  let onlyPermission = true;
  for (const file of files) {
    const fault = await faultOf(file);
    if (fault === undefined) continue;
    onlyPermission &&= fault.code === "permission";
    const message = `${file.setting}: cannot use the ${file.purpose} "${file.path}": ${fault.reason}`;
    problems.push({ file: fileName, line: file.line, column: file.column, message });
  }
  if (problems.length > 0) throw configError(problems, onlyPermission ? "permission" : "config");
}

async function faultOf(file: ConfiguredFile): Promise<{ code: ErrorCode; reason: string } | undefined> {
  const config = (reason: string) => ({ code: "config" as const, reason });
  let bytes: Uint8Array;
  try {
    const info = await Deno.stat(file.path);
    if (info.isDirectory) return config(`it is a directory; name the file, such as ${expectedName(file)}, in it`);
    if (info.size > maxBytes) return config(`it is too large (${info.size} bytes)`);
    bytes = await Deno.readFile(file.path);
  } catch (error) {
    const { code, reason } = reasonOf(error);
    return { code, reason: code === "permission" ? `${reason}; let this user read it` : reason };
  }
  if (bytes.length === 0) return config("it is empty");
  if (file.purpose === "certificate") {
    const decoded = decodeCertificate(new TextDecoder().decode(bytes));
    return decoded.ok ? undefined : config(`it ${decoded.message}`);
  }
  // A certificate where the macaroon belongs is a slip that LND would answer with a riddle.
  const beginsLikePem = new TextDecoder().decode(bytes.subarray(0, 10)) === "-----BEGIN";
  return beginsLikePem ? config("it holds PEM text, not a macaroon") : undefined;
}

function expectedName(file: ConfiguredFile): string {
  return file.purpose === "certificate" ? "tls.cert" : "tightrope.macaroon";
}
