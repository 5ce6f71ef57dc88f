import type { AuditConfig } from "../config/config.ts";
import type { Random } from "../env/random.ts";
import { logReaderRights } from "./rights.ts";
import { WorkerHandle } from "./worker_handle.ts";

const recordsPerCall = 500;

/**
 * The records of one log as plain data, oldest first, read in a worker that may read the data directory and no more.
 * @throws TightropeError if there is no log, or it is damaged or of a newer format
 */
export async function* readLogInWorker(
  config: AuditConfig,
  log: "events" | "transactions",
  follow: boolean,
  random: Random,
): AsyncGenerator<Readonly<Record<string, unknown>>> {
  const handle = new WorkerHandle(
    "log",
    new URL("./log_worker.ts", import.meta.url),
    logReaderRights(config),
    random,
  );
  try {
    await handle.call("open", config, log, follow);
    while (true) {
      const batch = await handle.call("next", recordsPerCall) as Readonly<Record<string, unknown>>[];
      if (batch.length === 0) return;
      yield* batch;
    }
  } finally {
    handle.terminate();
  }
}
