import assert from "node:assert/strict";
import type { BalanceSettings } from "../../lib/config/config.ts";
import { limitsFor } from "../../lib/config/settings.ts";
import { type Sat, sat, satToMsat } from "../../lib/domain/amounts.ts";
import type { ChannelSnapshot } from "../../lib/domain/channel.ts";
import { decidePayment } from "../../lib/policy/payment.ts";
import { decideRebalance } from "../../lib/policy/rebalance.ts";
import { alice, bob, channelId, hash, limits, point, settings as defaults, split } from "./fixtures.ts";

/** Two sides of one channel, each with its own settings, without anything in between: every request is heard at once. */
class Duel {
  readonly sides: readonly [Partial<BalanceSettings>, Partial<BalanceSettings>];
  readonly maxTokens: [Sat | undefined, Sat | undefined] = [undefined, undefined];
  localSat: [number, number];
  payments = 0;

  constructor(first: Partial<BalanceSettings>, second: Partial<BalanceSettings>, firstSat: number) {
    this.sides = [first, second];
    this.localSat = [firstSat, 1_000_000 - firstSat];
  }

  settings(side: 0 | 1): BalanceSettings {
    return { ...defaults, ...this.sides[side] };
  }

  /** The channel as one side sees it; the first opened it. */
  channel(side: 0 | 1): ChannelSnapshot {
    const over = { remotePubkey: side === 0 ? bob : alice, initiator: side === 0 };
    return split(this.localSat[side], this.localSat[side === 0 ? 1 : 0], over);
  }

  move(from: 0 | 1, amountSat: number): void {
    this.localSat[from] -= amountSat;
    this.localSat[from === 0 ? 1 : 0] += amountSat;
    // What a payer said holds only for the balances of then.
    this.maxTokens.fill(undefined);
  }

  /** Both sides ask and pay until neither does any more. */
  settle(): void {
    for (let quiet = 0; quiet < 2;) {
      quiet = this.#ask(0) ? 0 : quiet + 1;
      quiet = this.#ask(1) ? 0 : quiet + 1;
      assert.ok(this.payments < 1_000, "they never come to rest");
    }
  }

  /** Whether something changed: a payment, or what the payee knows of the payer. */
  #ask(payee: 0 | 1): boolean {
    const payer = payee === 0 ? 1 : 0;
    const wish = decideRebalance({
      channel: this.channel(payee),
      settings: this.settings(payee),
      maxTokensSat: this.maxTokens[payee],
    });
    if (wish.kind === "leave") return false;
    const decision = decidePayment({
      tokensSat: wish.amountSat,
      invoice: {
        destination: this.channel(payer).remotePubkey,
        paymentHash: hash("01"),
        amountMsat: satToMsat(wish.amountSat),
        memo: "",
        createdAtWallMs: 0,
        expiresAtWallMs: 600_000,
        finalCltvBlocks: 80,
        routeHintCount: 0,
        blindedPathCount: 0,
        amp: false,
      },
      memoTag: "tag",
      expectedTag: "tag",
      channel: this.channel(payer),
      node: payer === 0 ? alice : bob,
      settings: this.settings(payer),
      limits: limitsFor(limits, { alias: "", channelPoint: point, channelIds: [channelId] }),
      ...{
        peerProven: true,
        peerListed: true,
        ownPeer: false,
        hashKnown: false,
        requestOpen: false,
        paymentOpen: false,
      },
      ...{ payments: [], lastAttemptAtMs: undefined, atMs: 0, wallMs: 0, evenWallMs: 0 },
      ...{ positionSat: sat(0), channelPositionSat: sat(0), totalOutflowSat: sat(0) },
    });
    if (decision.kind === "pay") {
      const { balancePoint, deadzone } = this.settings(payer);
      this.move(payer, Number(decision.amountSat));
      this.payments++;
      const trigger = (balancePoint - deadzone) * 1_000_000;
      assert.ok(this.localSat[payer] >= Math.floor(trigger), "a payment took the payer out of its own deadzone");
      return true;
    }
    const told = decision.maxTokensSat;
    if (told === undefined || told === this.maxTokens[payee]) return false;
    this.maxTokens[payee] = told;
    return true;
  }
}

const points = [0.1, 0.3, 0.5, 0.7, 0.9];
const zones = [0.01, 0.1, 0.3];

Deno.test("no pair of settings duels: without traffic they rest, and one-satoshi traffic brings no flood of payments", () => {
  let most = 0;
  for (const balancePoint of points) {
    for (const deadzone of zones) {
      for (const otherPoint of points) {
        for (const otherZone of zones) {
          for (const firstSat of [20_000, 350_000, 500_000, 980_000]) {
            const own = { balancePoint, deadzone, minTransactionSizeSat: sat(1) };
            const duel = new Duel(
              own,
              { balancePoint: otherPoint, deadzone: otherZone, minTransactionSizeSat: sat(1) },
              firstSat,
            );
            duel.settle();
            assert.ok(
              duel.payments <= 3,
              `${[balancePoint, deadzone, otherPoint, otherZone, firstSat]}: ${duel.payments}`,
            );
            duel.payments = 0;
            for (let i = 0; i < 200; i++) {
              duel.move(i % 100 < 50 ? 0 : 1, 1);
              duel.settle();
            }
            most = Math.max(most, duel.payments);
            assert.ok(
              duel.payments <= 2,
              `${[balancePoint, deadzone, otherPoint, otherZone, firstSat]}: ${duel.payments}`,
            );
          }
        }
      }
    }
  }
  assert.ok(most <= 2);
});

Deno.test("with equal settings that add up, the first payment brings both to their balance point", () => {
  for (const balancePoint of [0.2, 0.5, 0.8]) {
    const duel = new Duel({ balancePoint }, { balancePoint: 1 - balancePoint }, 990_000);
    duel.settle();
    assert.equal(duel.payments, 1);
    assert.ok(Math.abs(duel.localSat[0] - balancePoint * 1_000_000) <= 1);
  }
});
