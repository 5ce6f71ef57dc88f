import type { ParsedConfig } from "../config/parsed_config.ts";
import type { Random } from "../env/random.ts";
import { configRights } from "./rights.ts";
import { WorkerHandle } from "./worker_handle.ts";

/** Parses a configuration in a worker without any right, and ends the worker. */
export async function parseConfigInWorker(
  text: string,
  fileName: string,
  directory: string,
  random: Random,
): Promise<ParsedConfig> {
  const handle = new WorkerHandle("config", new URL("./config_worker.ts", import.meta.url), configRights, random);
  try {
    return await handle.call("parse", text, fileName, directory) as ParsedConfig;
  } finally {
    handle.terminate();
  }
}
