import assert from "node:assert/strict";
import type { PeriodKind } from "../../lib/config/config.ts";
import { sat } from "../../lib/domain/amounts.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { Harness } from "./harness.ts";
import { Rogue } from "./rogue.ts";

const minuteMs = 60_000;
const countPeriodMs = 10 * minuteMs;
const amountPeriodMs = 7 * minuteMs;
const maxCount = 6;
const maxSat = 90_000;

/** A payment as LND and nobody else knows it, by the real time. */
interface Spent {
  readonly atMs: number;
  readonly amountSat: number;
}

/**
 * A payee that asks all the time, a payer whose clock is set forward and back at will, and that is killed and started
 * again. A clock that is set forward while the payer is down can't be told from time that passed: only that isn't drawn.
 */
async function spend(
  seed: number,
  periodKind: PeriodKind,
): Promise<{ spent: Spent[]; restarts: number; jumps: number }> {
  const dice = new SeededRandom(seed);
  const harness = new Harness(seed);
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const point = harness.channel(alice, mallory, 100_003_470, 1_000_000);
  const settings = {
    minTimeBetweenPaymentsMs: 0,
    maxTransactionsPerPeriod: maxCount,
    maxTransactionsPeriodMs: countPeriodMs,
    maxAmountPerPeriodSat: sat(maxSat),
    maxAmountPeriodMs: amountPeriodMs,
    periodKind,
  };
  const instance = harness.instance({ nodes: [alice], settings });
  const rogue = new Rogue(harness, mallory);
  let restarts = 0;
  let jumps = 0;
  const jump = (leastMs: number, mostMs: number) => {
    // Its invoices are valid for half an hour by the real time; a clock that is further off refuses them all.
    const offsetMs = Math.max(leastMs, Math.min(mostMs, dice.below(50 * minuteMs) - 25 * minuteMs));
    if (offsetMs !== instance.wallOffsetMs) jumps++;
    instance.wallOffsetMs = offsetMs;
  };
  for (let round = 0; round < 60; round++) {
    switch (dice.below(6)) {
      case 0:
        jump(-Infinity, Infinity);
        break;
      case 1: {
        // A jump is seen with the next poll.
        await harness.run(11_000);
        await instance.crash();
        await harness.run(dice.below(4 * minuteMs));
        jump(-Infinity, instance.wallOffsetMs);
        instance.start();
        restarts++;
      }
    }
    for (let i = 0; i < 4; i++) {
      await harness.run(6_000 + dice.below(20_000));
      if (!rogue.isConnected) continue;
      rogue.hello();
      await harness.run(10);
      if (rogue.isConnected) rogue.request(point, 10_000 + dice.below(20_000), { expirySec: 1_800 });
    }
  }
  await harness.run(5_000);
  const spent = harness.paymentsOf(alice).filter(({ status }) => status !== "FAILED")
    .map(({ createdAtWallMs, valueMsat }) => ({
      atMs: createdAtWallMs - harness.startWallMs,
      amountSat: Number(valueMsat / 1_000n),
    }));
  assert.equal(instance.view.breaker, undefined);
  await harness.end();
  return { spent, restarts, jumps };
}

/** The most within any window of that length, by the real time. */
function mostWithin(spent: readonly Spent[], windowMs: number, measure: (spent: readonly Spent[]) => number): number {
  return Math.max(
    ...spent.map(({ atMs }) => measure(spent.filter((other) => other.atMs > atMs - windowMs && other.atMs <= atMs))),
  );
}

const count = (spent: readonly Spent[]) => spent.length;
const amount = (spent: readonly Spent[]) => spent.reduce((sum, { amountSat }) => sum + amountSat, 0);

for (const seed of [1, 2, 3, 1022, 1039]) {
  Deno.test(`no rolling window of real time sees more than the limits, whatever clocks and restarts do (seed ${seed})`, async () => {
    const { spent, restarts, jumps } = await spend(seed, "rolling");
    assert.ok(
      spent.length > 12 && restarts > 2 && jumps > 2,
      `${spent.length} payments, ${restarts} restarts, ${jumps} jumps`,
    );
    // Ages are exact to a second per restart.
    const slackMs = restarts * 1_000;
    assert.ok(mostWithin(spent, countPeriodMs - slackMs, count) <= maxCount);
    assert.ok(mostWithin(spent, amountPeriodMs - slackMs, amount) <= maxSat);
  });

  Deno.test(`fixed periods give one allowance per real period, and two around a boundary (seed ${seed})`, async () => {
    const { spent, restarts } = await spend(seed, "fixed");
    const slackMs = restarts * 1_000;
    for (let periods = 1; periods < 8; periods++) {
      assert.ok(mostWithin(spent, periods * countPeriodMs - slackMs, count) <= (periods + 1) * maxCount);
      assert.ok(mostWithin(spent, periods * amountPeriodMs - slackMs, amount) <= (periods + 1) * maxSat);
    }
  });
}

Deno.test("a clock that is set while the program runs is noted, and moves no window after a restart", async () => {
  const harness = new Harness();
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const point = harness.channel(alice, mallory, 1_003_470, 100_000);
  const settings = { minTimeBetweenPaymentsMs: 0, maxTransactionsPerPeriod: 1, maxTransactionsPeriodMs: 3_600_000 };
  const instance = harness.instance({ nodes: [alice], settings });
  const rogue = new Rogue(harness, mallory);
  const ask = async () => {
    await harness.runUntil(() => rogue.isConnected, 1_000);
    rogue.hello();
    await harness.run(10_000);
    return await rogue.answer(rogue.request(point, 50_000, { expirySec: 600 }));
  };
  assert.equal(await ask(), "paid");
  // A day ahead for a while, and right again.
  for (const offsetMs of [86_400_000, 0]) {
    instance.wallOffsetMs = offsetMs;
    await harness.run(15_000);
    await instance.restart();
    await harness.run(1_000);
  }
  assert.deepEqual(instance.notes.map(({ record }) => record.kind === "clock" && record.jumpMs), [
    86_400_000,
    -86_400_000,
  ]);
  assert.equal(await ask(), "limit");
  await harness.run(3_600_000);
  assert.equal(await ask(), "paid");
  await harness.end();
});
