import assert from "node:assert/strict";
import rsaCertificate from "../vectors/rsa_certificate.json" with { type: "json" };
import { channelIdOf, Cluster } from "./cluster.ts";
import { type Line, runProgram } from "./program.ts";

/** The transaction log, read beside the running daemon. */
async function transactions(config: string): Promise<Line[]> {
  const { code, stdout, stderr } = await runProgram("log", "transactions", "--config", config, "--json");
  assert.deepEqual([code, stderr], [0, ""]);
  return stdout.split("\n").filter((line) => line !== "").map((line) => JSON.parse(line));
}

Deno.test("two instances in two processes bring a channel of 90/10 back by one payment over it, and find a later one", async () => {
  await using cluster = new Cluster();
  await cluster.dht();
  const alice = await cluster.node("alice", { version: "0.17.5-beta" });
  const bob = await cluster.node("bob", { version: "0.19.3-beta", certificate: rsaCertificate });
  const drained = cluster.channel(alice, bob, 0.1);
  const parallel = cluster.channel(alice, bob, 0.45);
  const before = cluster.share(alice, parallel);
  const configs = [
    cluster.configFile({ name: "A", nodes: [alice] }),
    cluster.configFile({ name: "B", nodes: [bob.yaml({ cert: "base64", macaroon: "base64" })] }),
  ] as const;
  const [first, second] = [cluster.start(configs[0]), cluster.start(configs[1])];
  const received = await second.event({ kind: "payment-received" });
  const settled = await first.event({ kind: "payment-settled" });
  assert.equal(received.channelPoint, drained);
  assert.equal(settled.paymentHash, received.paymentHash);

  // Bob opens it, and Alice lacks.
  const opened = cluster.channel(bob, alice, 0.1, { instant: false });
  const receivedLater = await first.event({ kind: "payment-received" });
  const settledLater = await second.event({ kind: "payment-settled" });
  assert.equal(receivedLater.channelPoint, opened);
  assert.equal(settledLater.paymentHash, receivedLater.paymentHash);

  for (const channelPoint of [drained, opened]) {
    await cluster.balanced(alice, channelPoint);
    await cluster.balanced(bob, channelPoint);
  }
  assert.equal(cluster.share(alice, parallel), before);
  for (const [payer, channelPoint] of [[alice, drained], [bob, opened]] as const) {
    const payments = cluster.payments(payer);
    assert.equal(payments.length, 1);
    const [{ status, feeMsat, htlcs }] = payments as [typeof payments[0]];
    assert.equal(status, "SUCCEEDED");
    assert.equal(feeMsat, 0n);
    const chanIds = htlcs.flatMap(({ hops }) => hops.map(({ chanId }) => chanId));
    assert.deepEqual(chanIds, [channelIdOf(cluster, payer, channelPoint)]);
  }

  const logs = await Promise.all(configs.map(transactions));
  // Of the channel opened later the payer may hear a moment after the payee: it is asked again then.
  const refused = new Set(logs.flat().flatMap(({ kind, paymentHash }) => kind === "cancelled" ? [paymentHash] : []));
  const summary = (log: readonly Line[]) =>
    // Two seconds after a payment there is a statement, too.
    log.filter(({ kind, paymentHash }) => kind !== "statement" && !refused.has(paymentHash)).map((
      { kind, role, channelPoint, amountSat, paymentHash },
    ) => [
      kind,
      role,
      channelPoint,
      amountSat,
      paymentHash,
    ]);
  const paid = (line: Line) => [line.channelPoint, line.amountSat, line.paymentHash];
  assert.deepEqual(summary(logs[0]!), [
    ["intent", "payer", ...paid(settled)],
    ["settled", "payer", ...paid(settled)],
    ["invoiced", "payee", ...paid(receivedLater)],
    ["received", "payee", ...paid(receivedLater)],
  ]);
  assert.deepEqual(summary(logs[1]!), [
    ["invoiced", "payee", ...paid(received)],
    ["received", "payee", ...paid(received)],
    ["intent", "payer", ...paid(settledLater)],
    ["settled", "payer", ...paid(settledLater)],
  ]);

  for (const program of [first, second]) {
    const { code, signal } = await program.stop();
    assert.deepEqual([code, signal], [0, null], program.stderr.join("\n"));
  }
  await first.event(/^Stopped$/);
  assert.ok(second.events.every(({ level }) => level === "info"), second.stderr.join("\n"));
});
