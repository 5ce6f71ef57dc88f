/** How long a channel stays out of balance: from the traffic that did it to the payment that undid it. */
import { Instance } from "../../lib/app.ts";
import type { EventRecord } from "../../lib/audit/record.ts";
import { loadConfig } from "../../lib/cli/commands/load_config.ts";
import { certificateFile, macaroonFile } from "../../lib/demo/operator_config.ts";
import type { World } from "../../lib/demo/world.ts";
import { systemRandom } from "../../lib/env/system.ts";
import { generateSecret } from "../../lib/protocol/secret.ts";
import { WorkerHandle } from "../../lib/workers/worker_handle.ts";
import { type Row, spread } from "../bench_table.ts";

/** Two nodes of one operator, or of two who meet over the DHT. */
export type Pair = "own" | "far";

/** One imbalance and what followed, in milliseconds of the world's clock. */
export interface Round {
  /** From the traffic to the payer's SUCCEEDED. */
  readonly totalMs: number;
  /** The payment itself at the payer's LND, from the call to SUCCEEDED. */
  readonly paymentMs: number;
  /** From the traffic until both nodes list balances inside their deadzones. */
  readonly bothSidesMs: number;
}

const operators = { Alice: ["A", "B"], Bob: ["C"] } as const;
type Operator = keyof typeof operators;

// The first ones are compiled while they run; and after a change of the payment's duration one is still of the old.
const firstRounds = 20;
const warmUpRounds = 2;

/** Two whole instances with real workers, over a DHT of their own, on LND's gRPC. `refreshRate` is the default, 10 s. */
export async function benchRebalancing(rounds: number): Promise<{ header: Row; rows: Row[] }> {
  const folder = await Deno.makeTempDir({ prefix: "tightrope-bench-" });
  const world = new WorkerHandle(
    "bench world",
    new URL("./bench_world_worker.ts", import.meta.url),
    { net: true, sys: ["networkInterfaces"] },
    systemRandom,
  );
  const instances: Instance[] = [];
  try {
    const scene = await world.call("open") as World;
    const secret = generateSecret(systemRandom);
    const met = Promise.withResolvers<void>();
    const onRecord = (record: EventRecord) => {
      if (record.kind === "node-joined") met.resolve();
    };
    for (const operator of Object.keys(operators) as Operator[]) {
      const path = await writeConfig(`${folder}/${operator}`, operator, secret, scene);
      const config = await loadConfig(path, { credentials: true });
      instances.push(await Instance.start(config, { dryRun: false, onRecord }));
    }
    const failed = Promise.race([world.died, ...instances.map((instance) => instance.failed)]);
    await Promise.race([met.promise, failed]);

    const play = async (pair: Pair, count: number) => {
      const results: Round[] = [];
      for (let i = 0; i < count; i++) {
        results.push(await Promise.race([world.call("round", pair, i % 2 === 0), failed]) as Round);
      }
      return results;
    };
    for (const pair of ["own", "far"] as const) await play(pair, firstRounds);

    const rows: Row[] = [];
    for (const pair of ["own", "far"] as const) {
      for (const paymentMs of [0, 125]) {
        await world.call("setPaymentMs", paymentMs);
        const results = (await play(pair, warmUpRounds + rounds)).slice(warmUpRounds);
        rows.push({
          name: `${pair} pair, payment ${paymentMs} ms`,
          cells: [
            ...spread(results.map((round) => round.totalMs)),
            ...spread(results.map((round) => round.totalMs - round.paymentMs)),
            ...spread(results.map((round) => round.bothSidesMs)),
          ],
        });
      }
    }
    return {
      header: {
        name: `Imbalance to settled, ms (n = ${rounds}, refreshRate 10 s)`,
        cells: ["p50", "p99", "beyond the payment: p50", "p99", "both nodes list it: p50", "p99"],
      },
      rows,
    };
  } finally {
    await Promise.all(instances.map((instance) => instance.stop()));
    await world.call("close");
    world.terminate();
    await Deno.remove(folder, { recursive: true });
  }
}

/** Default settings but for the limits: a day's rebalances in a minute need a day's limits. */
async function writeConfig(folder: string, operator: Operator, secret: string, scene: World): Promise<string> {
  await Deno.mkdir(folder);
  const own: readonly string[] = operators[operator];
  const nodes = scene.nodes.filter((node) => own.includes(node.name));
  for (const node of nodes) {
    await Deno.writeTextFile(`${folder}/${certificateFile(node)}`, node.certPem);
    await Deno.writeFile(`${folder}/${macaroonFile(node)}`, Uint8Array.fromHex(node.macaroonHex), { mode: 0o600 });
  }
  const lines = [
    `secret: ${secret}`,
    "lightningNodes:",
    ...nodes.map((node) =>
      `  - {type: lnd, socket: "${node.socket}", certPath: ${certificateFile(node)}, macaroonPath: ${
        macaroonFile(node)
      }}`
    ),
    `swarm: {bootstrap: [${scene.bootstrap.map((address) => `"${address}"`).join(", ")}]}`,
    "limits:",
    "  baseSettings: {minTimeBetweenPayments: 0s, maxTransactionsPerPeriod: 100000, maxAmountPerPeriod: 100000000000}",
  ];
  const path = `${folder}/config.yaml`;
  await Deno.writeTextFile(path, `${lines.join("\n")}\n`, { mode: 0o600 });
  return path;
}
