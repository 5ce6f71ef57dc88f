import assert from "node:assert/strict";
import { type Line, type Program, runProgram } from "../app/program.ts";
import { ForeignWorld } from "./foreign_world.ts";

/**
 * The transaction log, read beside the running daemon: what was done to which channel, how much, which payment. Notes and
 * statements are left out, and invoices that were cancelled: whoever sees a new channel first may ask before the other one
 * knows it.
 */
async function transactions(config: string): Promise<unknown[][]> {
  const { code, stdout, stderr } = await runProgram("log", "transactions", "--config", config, "--json");
  assert.deepEqual([code, stderr], [0, ""]);
  const records = stdout.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line) as Line);
  const cancelled = records.filter(({ kind }) => kind === "cancelled").map(({ paymentHash }) => paymentHash);
  const payments = records.filter(({ paymentHash }) => paymentHash !== undefined && !cancelled.includes(paymentHash));
  return payments.map((record) => [record.kind, ...paid(record)]);
}

const paid = ({ channelPoint, amountSat, paymentHash }: Line) => [channelPoint, amountSat, paymentHash];

/** The next payment between two instances, as each of them tells it. */
async function nextPayment(payer: Program, payee: Program, seen: number): Promise<Line> {
  const [settled, received] = await Promise.all([
    payer.event({ kind: "payment-settled" }, seen),
    payee.event({ kind: "payment-received" }, seen),
  ]);
  assert.deepEqual(paid(settled), paid(received));
  return settled;
}

Deno.test("two instances balance channels of LND nodes that somebody else wrote, through kill -9 of one of them", async () => {
  await using world = await ForeignWorld.start(
    [
      { name: "ann", alias: "⚡ Änn: 日本 \u202e", certificate: { cn: "lnd.ann.example", dns: ["lnd.ann.example"] } },
      { name: "ben", alias: "", certificate: { cn: "ben", ip: ["192.0.2.7"] } },
    ],
    [
      { from: "ann", to: "ben", capacity: 1_000_000, push: 100_000 },
      { from: "ann", to: "ben", capacity: 1_000_000, push: 450_000 },
    ],
  );
  const [drained, parallel] = world.channels as [ForeignWorld["channels"][0], ForeignWorld["channels"][0]];
  const before = await world.shares(parallel.point);
  const configA = world.config("A", [world.yaml("ann")]);
  const configB = world.config("B", [world.inlineYaml("ben")], "limits:\n  baseSettings:\n    refreshRate: 1s\n");
  const [a, b] = [world.run(configA), world.run(configB)];

  const first = await nextPayment(a, b, 0);
  const opened = await world.ask("open", { from: "ben", to: "ann", capacity: 2_000_000, push: 200_000 });
  const second = await nextPayment(b, a, 0);

  // Ben's node dies with the payment out, and comes back.
  const [seenA, seenB] = [a.events.length, b.events.length];
  await world.ask("set", { name: "ben", options: { paymentMs: 500 } });
  const later = await world.ask("open", { from: "ben", to: "ann", capacity: 1_000_000, push: 100_000 });
  await b.event({ kind: "payment-started" }, seenB);
  // Told before the call: LND has it a little later.
  await world.paying("ben");
  await world.ask("down", { name: "ben" });
  await b.event({ kind: "payment-unknown" }, seenB);
  await b.event({ kind: "node-down" }, seenB);
  await world.ask("up", { name: "ben" });
  const [thirdA, thirdB] = await Promise.all([
    a.event({ kind: "payment-received" }, seenA),
    b.event({ kind: "payment-settled" }, seenB),
  ]);
  assert.deepEqual(paid(thirdA), paid(thirdB));

  for (const { point } of [drained, opened, later]) await world.balanced(point);
  assert.deepEqual(await world.shares(parallel.point), before);
  const payments = [[first, "ann", drained], [second, "ben", opened], [thirdB, "ben", later]] as const;
  for (const [line, , { point }] of payments) assert.equal(line.channelPoint, point);
  for (const payer of ["ann", "ben"]) {
    assert.deepEqual(
      await world.payments(payer),
      payments.filter(([, node]) => node === payer).map(([line, , { chanId }]) => ({
        hash: line.paymentHash,
        status: "SUCCEEDED",
        sat: String(line.amountSat),
        chanIds: [chanId],
      })),
    );
  }
  const asPayer = (line: Line) => [["intent", ...paid(line)], ["settled", ...paid(line)]];
  const asPayee = (line: Line) => [["invoiced", ...paid(line)], ["received", ...paid(line)]];
  assert.deepEqual(await transactions(configA), [first].flatMap(asPayer).concat([second, thirdB].flatMap(asPayee)));
  const logB = (await transactions(configB)).filter(([kind]) => kind !== "unknown");
  assert.deepEqual(logB, [first].flatMap(asPayee).concat([second, thirdB].flatMap(asPayer)));

  for (const program of [a, b]) {
    const { code, signal } = await program.stop();
    assert.deepEqual([code, signal], [0, null], program.stderr.join("\n"));
  }
});

Deno.test("--check of LND nodes that somebody else wrote ends with the right code and a sentence", async (t) => {
  await using world = await ForeignWorld.start(
    [
      { name: "ann", certificate: { cn: "lnd.ann.example", dns: ["lnd.ann.example"] } },
      { name: "ben", certificate: { cn: "ben", ip: ["192.0.2.7"] }, options: { state: false } },
      { name: "cyd", certificate: { cn: "cyd" }, options: { badMacaroon: [2, "invalid macaroon"] } },
    ],
    [],
  );
  const all = ["ann", "ben", "cyd"].map((name) => world.yaml(name));
  const table: readonly [name: string, nodes: readonly string[], code: number, says: RegExp][] = [
    ["in order", all, 0, /3 nodes, everything is in order/],
    [
      "another node's macaroon",
      [world.yaml("ann").replace("ann.mac", "ben.mac")],
      77,
      /macaroon .*\n.*by this very node/,
    ],
    [
      "the same in other words",
      [world.yaml("cyd").replace("cyd.mac", "ben.mac")],
      77,
      /macaroon .*\n.*by this very node/,
    ],
    [
      "another node's certificate",
      [world.yaml("ann").replace("ann.cert", "ben.cert")],
      78,
      /is not the configured one/,
    ],
    ["a closed port", [world.yaml("ann").replace(/127\.0\.0\.1:\d+/, "127.0.0.1:1")], 69, /Nothing listens at/],
  ];
  for (const [name, nodes, code, says] of table) {
    await t.step(name, async () => {
      const output = await runProgram("--config", world.config("check", nodes), "--check");
      assert.equal(output.code, code, output.stdout + output.stderr);
      assert.match(output.stdout, says);
      assert.doesNotMatch(output.stdout + output.stderr, /\bat .*:\d+:\d+\b|bug in Tightrope|undefined/);
    });
  }
});
