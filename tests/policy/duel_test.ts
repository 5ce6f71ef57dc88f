import assert from "node:assert/strict";
import { BrokenPromise, Duel, type Mistake, pairOf } from "./duel.ts";
import { runDuel } from "./duels.ts";

/** More with `deno task duels`. */
const pairs = 1_000;

Deno.test("no pair of settings duels, whatever the channel and its traffic", () => {
  for (let seed = 1; seed <= pairs; seed++) {
    try {
      runDuel(seed);
    } catch (cause) {
      throw new Error(`seed ${seed} fails; again with: deno task duels --pairs 1 --seed ${seed}`, { cause });
    }
  }
});

const mistakes: readonly [name: string, Mistake, promise: RegExp][] = [
  ["the payer gives all its deadzone", {
    payer: ({ deadzone }) => ({ deadzone: deadzone * 2 + 0.01 }),
  }, /out of its own deadzone/],
  ["the payer pays below its balance point", {
    payer: ({ balancePoint }) => ({ balancePoint: balancePoint - 0.2 }),
  }, /isn't above its balance point/],
  ["the payee doesn't ask for what it lacks", {
    payee: ({ deadzone }) => ({ deadzone: deadzone + 0.2 }),
  }, /is left alone/],
  ["nobody hears what the payer would pay", { deaf: true }, /is left alone/],
];
for (const [name, mistake, promise] of mistakes) {
  Deno.test(`the duels notice when ${name}`, () => {
    const run = () => {
      for (let seed = 1; seed <= 100; seed++) runDuel(seed, mistake);
    };
    assert.throws(run, (error) => error instanceof BrokenPromise && promise.test(error.message));
  });
}

Deno.test("with equal settings that add up, the first payment brings both to their balance point", () => {
  for (const balancePoint of [0.2, 0.5, 0.8]) {
    const duel = new Duel(pairOf({ balancePoint }, { balancePoint: 1 - balancePoint }));
    duel.settle();
    assert.equal(duel.paid.length, 1);
    const share = duel.localSat[0] / (duel.localSat[0] + duel.localSat[1]);
    assert.ok(Math.abs(share - balancePoint) < 1e-5);
  }
});
