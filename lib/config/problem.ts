import { TightropeError } from "../domain/errors.ts";

/** One thing that is wrong in a configuration file. Lines and columns count from 1. The message is a whole clause. */
export interface ConfigProblem {
  readonly file: string;
  readonly line: number;
  readonly column: number;
  readonly message: string;
}

/** A file that the configuration names, and the place where it does. */
export interface ConfiguredFile {
  readonly purpose: "certificate" | "macaroon";
  /** Absolute. */
  readonly path: string;
  /** How people find it: `lightningNodes[0].certPath`. */
  readonly setting: string;
  readonly line: number;
  readonly column: number;
}

/** `config.yaml:12:5: message` */
export function formatProblem(problem: ConfigProblem): string {
  return `${problem.file}:${problem.line}:${problem.column}: ${problem.message}`;
}

/**
 * All problems as the one error that ends the start.
 * @param code "permission" when every problem is a file that may not be read
 */
export function configError(
  problems: readonly ConfigProblem[],
  code: "config" | "permission" = "config",
): TightropeError {
  const remedy = problems.length === 1
    ? "Correct it and start again; config.yaml.example explains every setting."
    : `Correct these ${problems.length} places and start again; config.yaml.example explains every setting.`;
  return new TightropeError(code, problems.map(formatProblem).join("\n"), remedy);
}
