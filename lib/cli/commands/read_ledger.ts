import { DamagedLogError } from "../../audit/damaged_log.ts";
import { foldLedger, type Ledger } from "../../audit/ledger.ts";
import type { LogRecord } from "../../audit/record.ts";
import { decodeLogRecord } from "../../audit/record_codec.ts";
import type { Config } from "../../config/config.ts";
import { InvariantError } from "../../domain/errors.ts";
import type { Now } from "../../env/clock.ts";
import { systemRandom } from "../../env/system.ts";
import { LightningError, type LightningNode, type NodeInfo } from "../../lightning/node.ts";
import { readLogInWorker } from "../../workers/log_remote.ts";

/** The transaction log as it is on the disk now, and what it adds up to. A daemon may run meanwhile. */
export async function readLedger(config: Config, now: Now): Promise<{ records: LogRecord[]; ledger: Ledger }> {
  const records: LogRecord[] = [];
  const encoder = new TextEncoder();
  for await (const json of readLogInWorker(config.audit, "transactions", false, systemRandom)) {
    records.push(decodeLogRecord(encoder.encode(JSON.stringify(json))));
  }
  return { records, ledger: folded(records, now) };
}

function folded(records: readonly LogRecord[], now: Now): Ledger {
  try {
    return foldLedger(records, now);
  } catch (error) {
    if (!(error instanceof InvariantError)) throw error;
    throw new DamagedLogError(`The transaction log contradicts itself: ${error.message}`, { cause: error });
  }
}

/** One of the configured nodes, and who it says it is. */
export type ReachedNode =
  | { readonly socket: string; readonly node: LightningNode; readonly info: NodeInfo }
  | { readonly socket: string; readonly node: LightningNode; readonly info: undefined; readonly why: string };

/** Asks every configured node who it is. */
export async function reachNodes(config: Config, nodes: readonly LightningNode[]): Promise<ReachedNode[]> {
  return await Promise.all(nodes.map(async (node, index) => {
    const { socket } = config.lightningNodes[index]!;
    const info = await tried(() => node.getInfo());
    return typeof info === "string" ? { socket, node, info: undefined, why: info } : { socket, node, info };
  }));
}

/** What a node answers, or in a sentence why it doesn't. */
export async function tried<T extends object>(ask: () => Promise<T>): Promise<T | string> {
  try {
    return await ask();
  } catch (error) {
    if (error instanceof LightningError) return error.message;
    throw error;
  }
}
