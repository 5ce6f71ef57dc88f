import type { Config } from "../../config/config.ts";
import { checkConfiguredFiles, readConfigFile } from "../../config/load.ts";
import { configError } from "../../config/problem.ts";
import { systemRandom } from "../../env/system.ts";
import { parseConfigInWorker } from "../../workers/config_remote.ts";

/**
 * Reads a configuration file, checks it in the config worker, and looks at the certificate and macaroon files that it names.
 * @param options `credentials: false` for a command that speaks to no node
 * @throws {TightropeError} with every problem found; code "config" or "permission"
 */
export async function loadConfig(path: string, options: { readonly credentials: boolean }): Promise<Config> {
  const { text, fileName, directory, warnings } = await readConfigFile(path);
  const parsed = await parseConfigInWorker(text, fileName, directory, systemRandom);
  if (!parsed.ok) throw configError(parsed.problems);
  if (options.credentials) await checkConfiguredFiles(parsed.files, fileName);
  return { ...parsed.config, warnings: [...warnings, ...parsed.config.warnings] };
}
