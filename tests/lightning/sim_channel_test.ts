import assert from "node:assert/strict";
import { msat, msatToSatFloor, sat, satToMsat } from "../../lib/domain/amounts.ts";
import type { ChannelPoint, NodePubkey, PaymentHash, ShortChannelId } from "../../lib/domain/ids.ts";
import { Channel, type ChannelTerms, type Side } from "../../lib/lightning/sim/channel.ts";
import { lndBehaviour } from "../../lib/lightning/sim/lnd_version.ts";
import recorded from "../vectors/lnd_channels.json" with { type: "json" };

const hash = "00".repeat(32) as PaymentHash;

function openChannel(terms: Partial<ChannelTerms> = {}): Channel {
  return new Channel({
    channelPoint: `${"ab".repeat(32)}:0` as ChannelPoint,
    nodes: [`02${"11".repeat(32)}` as NodePubkey, `03${"22".repeat(32)}` as NodePubkey],
    capacitySat: sat(1_000_000),
    pushSat: sat(100_000),
    feePerKwSat: sat(2_500),
    confirmedScid: "502476813959168" as ShortChannelId,
    aliases: undefined,
    private: false,
    memo: "",
    customChannelData: "",
    maxAcceptedHtlcs: 483,
    openedAtWallMs: 0,
    ...terms,
  });
}

for (const given of recorded.cases) {
  const name = `${given.node}'s ${given.capacity} sat ${given.initiator ? "to" : "from"} its peer, ${given.scene}`;
  Deno.test(`a channel looks as LND ${given.version} shows it: ${name}`, () => {
    const [capacity, push] = [BigInt(given.capacity), BigInt(given.push)];
    const channel = openChannel({
      capacitySat: sat(capacity),
      pushSat: sat(push),
      feePerKwSat: sat(BigInt(given.fee_per_kw)),
    });
    const side: Side = given.initiator ? 0 : 1;
    const accepterSat = BigInt(given.initiator ? given.remote_balance : given.local_balance);
    // Fees of routed payments had left half a satoshi here or there: the sum of what is shown tells where.
    const openerSat = BigInt(given.initiator ? given.local_balance : given.remote_balance);
    const outputs = given.htlcs.filter((htlc) => Number(htlc.amount) >= 354);
    const allHtlcsSat = given.htlcs.reduce((sum, htlc) => sum + BigInt(htlc.amount), 0n);
    const feeSat = (BigInt(given.fee_per_kw) * (1_124n + 172n * BigInt(outputs.length))) / 1_000n;
    const isFractional = openerSat + accepterSat + allHtlcsSat + feeSat + 660n === capacity - 1n;
    channel.shift(0, msat((accepterSat - push) * 1_000n + (isFractional ? 500n : 0n)));
    for (const htlc of given.htlcs) {
      channel.lockIn(channel.offer(0, satToMsat(sat(BigInt(htlc.amount))), hash, 555));
    }

    const view = channel.view(side);
    assert.deepEqual({
      local_balance: view.localSat.toString(),
      remote_balance: view.remoteSat.toString(),
      commit_fee: view.commitFeeSat.toString(),
      commit_weight: view.commitWeight.toString(),
      unsettled_balance: view.unsettledSat.toString(),
      csv_delay: channel.constraints.csvDelayBlocks,
      reserve: channel.constraints.reserveSat.toString(),
      maxPendingMsat: channel.constraints.maxPendingMsat.toString(),
      htlcs: view.pendingHtlcs.map((htlc) => ({ amount: htlc.amountSat.toString(), incoming: htlc.incoming })),
    }, {
      local_balance: given.local_balance,
      remote_balance: given.remote_balance,
      commit_fee: given.commit_fee,
      commit_weight: given.commit_weight,
      unsettled_balance: given.unsettled_balance,
      csv_delay: given.csv_delay,
      reserve: given.reserve,
      maxPendingMsat: given.maxPendingMsat,
      htlcs: given.htlcs,
    });
    channel.assertConserved();
  });
}

// Bisected with real payments (lnd.md): one satoshi more was refused.
const largest = [
  { version: "0.17.5", feePerKwSat: 2_500, moved: 10_000_500n, opener: 876_099n, accepter: 100_000n },
  { version: "0.18.5", feePerKwSat: 2_500, moved: 10_000_500n, opener: 871_999n, accepter: 100_000n },
  { version: "0.19.3", feePerKwSat: 1_250, moved: 0n, opener: 885_670n, accepter: 90_000n },
];
for (const { version, feePerKwSat, moved, opener, accepter } of largest) {
  Deno.test(`spendableMsat() is to the satoshi what LND ${version} sent at the most`, () => {
    const channel = openChannel({ feePerKwSat: sat(feePerKwSat) });
    channel.shift(0, msat(moved));
    assert.equal(msatToSatFloor(channel.spendableMsat(0, lndBehaviour(version))), opener);
    assert.equal(msatToSatFloor(channel.spendableMsat(1, lndBehaviour(version))), accepter);
  });
}

Deno.test("spendableMsat() counts what is offered but not yet to be seen", () => {
  const channel = openChannel();
  const before = channel.spendableMsat(1, lndBehaviour("0.18"));
  channel.offer(1, msat(40_000_000), hash, 555);
  assert.equal(channel.spendableMsat(1, lndBehaviour("0.18")), before - 40_000_000n);
  assert.equal(channel.view(1).localSat, 100_000n);
});

Deno.test("spendableMsat() collapses to dust when the opener can't pay for one more output", () => {
  const channel = openChannel({ pushSat: sat(0) });
  const openers = lndBehaviour("0.17");
  channel.shift(0, channel.spendableMsat(0, openers));
  // What is left above the reserve pays for exactly one HTLC; with one out, there is nothing for the next.
  assert.ok(channel.spendableMsat(1, openers) > 354_000n);
  channel.lockIn(channel.offer(1, msat(1_000_000), hash, 555));
  assert.equal(channel.spendableMsat(1, openers), 353_999n);
});

Deno.test("spendableMsat() is nothing once the other side's limit of HTLCs is reached", () => {
  const channel = openChannel({ maxAcceptedHtlcs: 2 });
  for (let i = 0; i < 2; i++) channel.offer(0, msat(1_000_000), hash, 555);
  assert.equal(channel.spendableMsat(0, lndBehaviour("0.18")), 0n);
  assert.notEqual(channel.spendableMsat(1, lndBehaviour("0.18")), 0n);
});

Deno.test("the receiver's commitment lags: money is unsettled there until it resolves too", () => {
  const channel = openChannel();
  const htlc = channel.offer(0, msat(25_000_000), hash, 555);
  channel.lockIn(htlc);
  channel.resolve(htlc, 0, "settled");
  assert.deepEqual([channel.view(0).remoteSat, channel.view(0).unsettledSat], [125_000n, 0n]);
  assert.deepEqual([channel.view(1).localSat, channel.view(1).unsettledSat], [100_000n, 25_000n]);
  channel.resolve(htlc, 1, "settled");
  assert.deepEqual([channel.view(1).localSat, channel.view(1).unsettledSat], [125_000n, 0n]);
  assert.deepEqual([channel.view(0).numUpdates, channel.view(1).numUpdates, channel.htlcCount], [2n, 2n, 0]);
});

Deno.test("a commitment doesn't settle what the other one failed", () => {
  const channel = openChannel();
  const htlc = channel.offer(0, msat(25_000_000), hash, 555);
  channel.lockIn(htlc);
  channel.resolve(htlc, 0, "failed");
  assert.throws(() => channel.resolve(htlc, 1, "settled"), { name: "InvariantError" });
});
