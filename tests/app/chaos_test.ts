import assert from "node:assert/strict";
import { msat } from "../../lib/domain/amounts.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { randomFraction } from "../../lib/env/random.ts";
import { Cluster } from "./cluster.ts";
import { type Line, runProgram } from "./program.ts";

/** An hour's traffic in seconds needs an hour's limits. */
const more = `limits:
  maxNetOutflowTotal: 1_000_000_000
  baseSettings:
    minTimeBetweenPayments: 0
    maxNetOutflow: 1_000_000_000
    maxTransactionsPerPeriod: 100_000
    maxAmountPerPeriod: 100_000_000_000
`;

/** All records of one payment at one end, as they should be in the end. */
const whole = /^(intent,(unknown,)*(settled|failed)|invoiced,(received|cancelled))$/;

/** The kinds of the records of each payment, from both logs. */
async function historiesOf(configs: readonly string[]): Promise<Map<string, string[]>> {
  const histories = new Map<string, string[]>();
  for (const config of configs) {
    const { stdout } = await runProgram("log", "transactions", "--json", "--config", config);
    for (const line of stdout.split("\n").filter((text) => text !== "")) {
      const { role, paymentHash, kind } = JSON.parse(line) as Line;
      // Notes and statements move no money.
      if (paymentHash === undefined) continue;
      const key = `${role} ${paymentHash}`;
      histories.set(key, [...histories.get(key) ?? [], String(kind)]);
    }
  }
  return histories;
}

const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

Deno.test("under traffic, kill -9 of both instances and the loss of an LND, every payment is made once and logged to its end", async () => {
  await using cluster = new Cluster({ paymentMs: 300 });
  await cluster.dht();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  const carol = await cluster.node("carol");
  const channels = ([[alice, bob], [bob, carol], [carol, alice]] as const).map(([from, to]) => ({
    ends: [from, to],
    channelPoint: cluster.channel(from, to, 0.5),
    sender: 0,
  }));
  const configs = [
    cluster.configFile({ name: "A", nodes: [alice, bob], more }),
    cluster.configFile({ name: "C", nodes: [carol], more }),
  ];
  const programs = configs.map((config) => cluster.start(config));
  for (const program of programs) await program.event({ kind: "decision", reason: "balanced" });

  const random = new SeededRandom(0x5eed);
  const killAndRestart = async (index: number) => {
    programs[index]!.kill("SIGKILL");
    await programs[index]!.ended();
    programs[index] = cluster.start(configs[index]!);
  };
  const troubles = [
    () => killAndRestart(0),
    () => killAndRestart(1),
    async () => {
      await alice.server.cut();
      await sleep(200);
      await alice.server.restart();
    },
  ];
  const nodes = [alice, bob, carol];
  const begun = () => new Set(nodes.flatMap((node) => cluster.payments(node)).map(({ paymentHash }) => paymentHash));
  // A busy machine takes more rounds to pay something.
  for (let round = 1; round <= 90 || (begun().size <= 3 && round <= 900); round++) {
    for (const channel of channels) {
      if (randomFraction(random) < 0.1) channel.sender = 1 - channel.sender;
      const refused = cluster.run((network) =>
        network.forward({
          channelPoint: channel.channelPoint,
          from: channel.ends[channel.sender]!.pubkey,
          amountMsat: msat(40_000_000n),
        })
      );
      if (refused !== undefined) channel.sender = 1 - channel.sender;
    }
    await sleep(100);
    if (round % 20 === 0 && round <= 90) await troubles[(round / 20 - 1) % 3]!();
  }
  for (const { ends, channelPoint } of channels) {
    for (const end of ends) await cluster.balanced(end, channelPoint);
  }
  let histories = new Map<string, string[]>();
  let open: string[] = [];
  for (let attempt = 0; attempt === 0 || (open.length > 0 && attempt < 50); attempt++) {
    await sleep(attempt === 0 ? 0 : 200);
    histories = await historiesOf(configs);
    const known: ReadonlySet<string> = begun();
    open = [...histories].filter(([key, kinds]) => {
      const text = kinds.join(",");
      // Killed before LND saw it: whether it comes yet is known only when the invoice has expired.
      const unseen = text === "intent" && !known.has(key.split(" ")[1]!);
      return !whole.test(text) && !unseen;
    }).map(([key, kinds]) => `${key}: ${kinds}`);
  }
  assert.deepEqual(open, []);
  const payments = nodes.flatMap((node) => cluster.payments(node));
  assert.ok(payments.length > 3, `${payments.length} payments`);
  for (const { paymentHash, status } of payments) {
    const succeeded = status === "SUCCEEDED";
    assert.equal(histories.get(`payer ${paymentHash}`)?.at(-1), succeeded ? "settled" : "failed", paymentHash);
    assert.equal(histories.get(`payee ${paymentHash}`)?.at(-1), succeeded ? "received" : "cancelled", paymentHash);
  }
  for (const program of programs) {
    const { code, stderr } = await program.stop();
    assert.equal(code, 0, stderr);
    assert.ok(program.events.every(({ level }) => level !== "error"), stderr);
  }
});
