import assert from "node:assert/strict";
import { sat } from "../../lib/domain/amounts.ts";
import { receivableSat, spendableSat } from "../../lib/policy/spendable.ts";
import { channel, hash, split } from "./fixtures.ts";

const htlc = (amountSat: number, incoming = false) => ({
  incoming,
  amountSat: sat(amountSat),
  paymentHash: hash("01"),
});

const cases = [
  { name: "all above the reserve when the other side pays the fees", given: channel, want: 890_000n },
  {
    name: "4,530 sat less for the initiator at 2,500 sat/kw (as LND 0.18 was measured)",
    given: { ...channel, initiator: true },
    want: 885_470n,
  },
  {
    name: "2,265 sat less for the initiator at 1,250 sat/kw (as LND 0.19 was measured)",
    given: { ...channel, initiator: true, feePerKwSat: sat(1_250), commitFeeSat: sat(1_405) },
    want: 887_735n,
  },
  {
    name: "more than that less for the initiator while an HTLC is in flight, whose fee counts too",
    given: { ...channel, initiator: true, commitFeeSat: sat(3_240), pendingHtlcs: [htlc(50_000)] },
    want: 885_040n,
  },
  {
    name: "no more where a missing anchor swells the commitment fee",
    given: split(900_000, 0, { initiator: true, commitFeeSat: sat(3_140) }),
    want: 885_470n,
  },
  { name: "nothing below the reserve", given: split(9_000, 991_000), want: 0n },
  {
    name: "nothing while the other side, who pays the fees, can't pay for one more HTLC",
    given: split(989_600, 10_400),
    want: 0n,
  },
  {
    name: "all above the reserve while it can pay for just one",
    given: split(989_570, 10_430),
    want: 979_570n,
  },
  {
    name: "what is left of the amount in flight",
    given: { ...channel, maxInFlightSat: sat(300_000), pendingHtlcs: [htlc(250_000), htlc(40_000, true)] },
    want: 50_000n,
  },
  {
    name: "nothing once all HTLC slots are taken",
    given: { ...channel, maxHtlcs: 1, pendingHtlcs: [htlc(1)] },
    want: 0n,
  },
];
for (const { name, given, want } of cases) {
  Deno.test(`spendableSat() is ${name}`, () => assert.equal(spendableSat(given), want));
}

Deno.test("receivableSat() is what the mirrored channel could send", () => {
  assert.equal(receivableSat(split(100_000, 900_000)), 885_470n);
  assert.equal(receivableSat(split(100_000, 900_000, { initiator: true })), 890_000n);
  const full = { maxHtlcs: 1, pendingHtlcs: [htlc(1, true)] };
  assert.equal(receivableSat(split(100_000, 900_000, full)), 0n, "the other side has no slot left");
});
