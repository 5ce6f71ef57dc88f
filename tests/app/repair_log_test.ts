import assert from "node:assert/strict";
import { Cluster } from "./cluster.ts";
import { runProgram } from "./program.ts";

/** Makes the newest record of a log vanish, as a damaged header does: it opens silently, and shorter. */
function damage(log: string): void {
  using oplog = Deno.openSync(`${log}/oplog`, { write: true });
  for (const at of [20, 4_116]) {
    oplog.seekSync(at, Deno.SeekMode.Start);
    oplog.writeSync(new Uint8Array([0xde, 0xad]));
  }
}

const losses: Record<string, (log: string) => void> = {
  "is damaged": damage,
  "is gone": (log) => Deno.removeSync(log, { recursive: true }),
};

for (const [name, lose] of Object.entries(losses)) {
  Deno.test(`a transaction log that ${name}: the daemon refuses, repair explains and mends, and the limit holds`, async () => {
    await using cluster = new Cluster();
    const alice = await cluster.node("alice");
    const bob = await cluster.node("bob");
    const point = cluster.channel(alice, bob, 0.1);
    const config = cluster.configFile({
      name: "own",
      nodes: [alice, bob],
      more: "limits:\n  baseSettings:\n    maxTransactionsPerPeriod: 1\n    minTimeBetweenPayments: 0\n",
    });
    const program = cluster.start(config);
    await program.event({ kind: "payment-received" });
    assert.equal((await program.stop()).code, 0);
    lose(`${cluster.folder}/own-data/transaction-log`);

    const refused = await cluster.start(config).ended();
    assert.equal(refused.code, 78);
    assert.match(refused.stderr, /transaction-log/);
    assert.match(refused.stderr, /`tightrope repair`/);

    const looked = await runProgram("repair", "--dry-run", "--config", config);
    assert.equal(looked.code, 78);
    assert.match(looked.stdout, /The transaction log can't be used\..*\n.*Nothing was changed/s);
    const repaired = await runProgram("repair", "--config", config);
    assert.equal(repaired.code, 0);
    assert.match(repaired.stdout, /is whole: \d+ records\nNow start Tightrope as usual$/);
    assert.equal(/nothing was deleted/.test(repaired.stdout), name === "is damaged");
    const whole = await runProgram("repair", "--config", config);
    assert.match(whole.stdout, /There is nothing to repair$/);

    const again = cluster.start(config);
    await again.event({ kind: "warning", message: /The log was begun anew: alice .* that it lacked: 1 \(/ });
    const { localSat } = cluster.run((network) => network.channel(bob.pubkey, point))!;
    cluster.run((network) => network.shift(point, bob.pubkey, (localSat - 100_000n) * 1_000n as never));
    await again.event({ kind: "request-refused", reason: "too-many" });
    assert.equal((await again.stop()).code, 0);
    assert.equal(cluster.payments(alice).length, 1);
    const log = await runProgram("log", "transactions", "--config", config);
    assert.match(log.stdout, /^.* log +repaired +begun anew; .*transaction-log.*\n/);
    assert.match(log.stdout, /log +rebuilt +all payments that node/);
  });
}
