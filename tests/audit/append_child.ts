// Started by append_process.ts and killed by tests: appends until then, and says on stdout what is on the disk.
import { HypercoreLog } from "../../lib/audit/hypercore_log.ts";

const [folder, seedHex] = Deno.args;
const log = await HypercoreLog.open(folder!, Uint8Array.fromHex(seedHex!));
const encoder = new TextEncoder();
let next = log.head.length;

async function append(): Promise<never> {
  while (true) {
    const index = next++;
    await log.append(encoder.encode(`record ${index}`));
    Deno.stdout.writeSync(encoder.encode(`${index}\n`));
  }
}

// Several at once, so that the kill hits batches as well as single records.
await Promise.all([append(), append(), append()]);
