import assert from "node:assert/strict";
import { limitsFor } from "../../lib/config/settings.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import { decidePayment, payableSat, type PaymentDecision, type PaymentQuestion } from "../../lib/policy/payment.ts";
import { alice, bob, carol, channel, channelId, hash, limits, point, settings, split } from "./fixtures.ts";

const wallMs = Date.UTC(2026, 0, 1);
const target = { alias: "alice", channelPoint: point, channelIds: [channelId] };

/** Bob, who holds 10 %, asks Alice for 400,000 sat: all is well. */
const good: PaymentQuestion = {
  tokensSat: sat(400_000),
  invoice: {
    destination: bob,
    paymentHash: hash("01"),
    amountMsat: msat(400_000_000),
    memo: "",
    createdAtWallMs: wallMs,
    expiresAtWallMs: wallMs + 600_000,
    finalCltvBlocks: 80,
    routeHintCount: 0,
    blindedPathCount: 0,
    amp: false,
  },
  memoTag: "0123456789abcdef",
  expectedTag: "0123456789abcdef",
  channel,
  node: alice,
  settings,
  limits: limitsFor(limits, target),
  peerProven: true,
  peerListed: true,
  ownPeer: false,
  hashKnown: false,
  requestOpen: false,
  paymentOpen: false,
  payments: [],
  lastAttemptAtMs: undefined,
  positionSat: sat(0),
  channelPositionSat: sat(0),
  totalOutflowSat: sat(0),
  atMs: 1_000_000,
  wallMs,
  evenWallMs: wallMs,
};

function asked(tokens: number, over: Partial<PaymentQuestion> = {}): PaymentQuestion {
  return { ...good, tokensSat: sat(tokens), invoice: { ...good.invoice, amountMsat: msat(tokens * 1000) }, ...over };
}
function invoiced(over: Partial<PaymentQuestion["invoice"]>): PaymentQuestion {
  return { ...good, invoice: { ...good.invoice, ...over } };
}

interface Refused {
  reason: string;
  retryAfterMs?: number;
  maxTokensSat?: bigint;
}
const cases: { name: string; given: PaymentQuestion; want: "pay" | string | Refused }[] = [
  { name: "pays what is asked for", given: good, want: "pay" },
  { name: "refuses a session that hasn't proven the node", given: { ...good, peerProven: false }, want: "not-proven" },
  { name: "refuses a node that isn't listed", given: { ...good, peerListed: false }, want: "peer-not-listed" },
  {
    name: "refuses where it is switched off",
    given: { ...good, settings: { ...settings, enabled: false } },
    want: "disabled",
  },
  {
    name: "refuses a custom channel",
    given: { ...good, channel: { ...channel, customData: true } },
    want: "custom-channel",
  },
  { name: "refuses while it asks on the channel itself", given: { ...good, requestOpen: true }, want: "request-open" },
  { name: "refuses while a payment is open", given: { ...good, paymentOpen: true }, want: "payment-open" },
  { name: "refuses an inactive channel", given: { ...good, channel: { ...channel, active: false } }, want: "inactive" },
  {
    name: "refuses an invoice made by another node",
    given: invoiced({ destination: carol }),
    want: "wrong-destination",
  },
  {
    name: "refuses an invoice for one millisatoshi more",
    given: invoiced({ amountMsat: msat(400_000_001) }),
    want: "wrong-amount",
  },
  { name: "refuses an invoice that leaves the amount open", given: asked(0), want: "wrong-amount" },
  { name: "refuses route hints", given: invoiced({ routeHintCount: 1 }), want: "route-hints" },
  { name: "refuses blinded paths", given: invoiced({ blindedPathCount: 1 }), want: "blinded-paths" },
  { name: "refuses AMP", given: invoiced({ amp: true }), want: "amp" },
  { name: "refuses an invoice that expires now", given: invoiced({ expiresAtWallMs: wallMs }), want: "expired" },
  {
    name: "pays an invoice that expires in one hour",
    given: invoiced({ expiresAtWallMs: wallMs + 3_600_000 }),
    want: "pay",
  },
  {
    name: "refuses one that expires a moment later",
    given: invoiced({ expiresAtWallMs: wallMs + 3_600_001 }),
    want: "expires-too-late",
  },
  { name: "pays one with the longest final CLTV", given: invoiced({ finalCltvBlocks: 144 }), want: "pay" },
  { name: "refuses a long final CLTV", given: invoiced({ finalCltvBlocks: 145 }), want: "cltv-too-long" },
  { name: "refuses a CLTV that is no number", given: invoiced({ finalCltvBlocks: NaN }), want: "cltv-too-long" },
  { name: "refuses another request's tag", given: { ...good, memoTag: "0".repeat(16) }, want: "wrong-purpose" },
  { name: "refuses a memo that isn't ours", given: { ...good, memoTag: undefined }, want: "wrong-purpose" },
  { name: "refuses a hash that it knows", given: { ...good, hashKnown: true }, want: "known-hash" },
  { name: "refuses one satoshi below minTransactionSize", given: asked(9_999), want: "below-minimum" },
  { name: "pays minTransactionSize", given: asked(10_000), want: "pay" },
  {
    name: "refuses dust whatever the settings",
    given: asked(354, { settings: { ...settings, minTransactionSizeSat: sat(1) } }),
    want: "below-minimum",
  },
  {
    name: "pays what is just above dust",
    given: asked(355, { settings: { ...settings, minTransactionSizeSat: sat(1) } }),
    want: "pay",
  },
  {
    name: "pays maxTransactionSize",
    given: asked(400_000, { settings: { ...settings, maxTransactionSizeSat: sat(400_000) } }),
    want: "pay",
  },
  {
    name: "refuses more than maxTransactionSize and says how much it would pay",
    given: asked(400_000, { settings: { ...settings, maxTransactionSizeSat: sat(399_999) } }),
    want: { reason: "above-maximum", maxTokensSat: 399_999n },
  },
  {
    name: "refuses a second attempt too soon, to the minute",
    given: { ...good, lastAttemptAtMs: 999_999 },
    want: { reason: "too-soon", retryAfterMs: 60_000 },
  },
  { name: "pays once the time has passed", given: { ...good, lastAttemptAtMs: 940_000 }, want: "pay" },
  {
    name: "refuses beyond the amount per period and rounds the wait up to minutes",
    given: {
      ...good,
      payments: [{
        ...{ state: "settled", node: alice, channelPoint: point, settledAtMs: 999_000 },
        amountSat: sat(99_600_001),
      }],
    },
    want: { reason: "too-much", retryAfterMs: 14_400_000 },
  },
  {
    name: "says how much it would pay of what no period could ever hold",
    given: { ...good, limits: { ...good.limits, amounts: [{ ...good.limits.amounts[0]!, maxSat: sat(150_000) }] } },
    want: { reason: "too-much", maxTokensSat: 150_000n },
  },
  {
    name: "says how much it would lend at all, whatever was lent",
    given: {
      ...good,
      positionSat: sat(100_000),
      limits: { ...good.limits, netOutflows: [{ scope: "node", maxSat: sat(150_000) }] },
    },
    want: { reason: "net-outflow", maxTokensSat: 150_000n },
  },
  {
    name: "says so of all others together, too",
    given: { ...good, limits: { ...good.limits, netOutflowTotalSat: sat(150_000) } },
    want: { reason: "net-outflow-total", maxTokensSat: 150_000n },
  },
  { name: "pays up to maxNetOutflow", given: { ...good, positionSat: sat(9_600_000) }, want: "pay" },
  { name: "refuses one satoshi more", given: { ...good, positionSat: sat(9_600_001) }, want: "net-outflow" },
  {
    name: "gives its own nodes any credit",
    given: { ...good, ownPeer: true, positionSat: sat(9_600_001) },
    want: "pay",
  },
  {
    name: "refuses beyond a channel's own maxNetOutflow",
    given: {
      ...good,
      channelPositionSat: sat(600_001),
      limits: { ...good.limits, netOutflows: [{ scope: "channel", maxSat: sat(1_000_000) }] },
    },
    want: "net-outflow",
  },
  {
    name: "refuses beyond maxNetOutflowTotal",
    given: { ...good, totalOutflowSat: sat(9_600_001) },
    want: "net-outflow-total",
  },
  {
    name: "pays a debt back whatever others owe",
    given: { ...good, totalOutflowSat: sat(20_000_000), positionSat: sat(-400_000) },
    want: "pay",
  },
  {
    name: "counts only what rises above a debt",
    given: { ...good, totalOutflowSat: sat(10_000_000), positionSat: sat(-399_999) },
    want: "net-outflow-total",
  },
  {
    name: "pays all that the reserve leaves",
    given: asked(400_000, { channel: { ...channel, localReserveSat: sat(500_000) } }),
    want: "pay",
  },
  {
    name: "refuses what the reserve doesn't leave",
    given: asked(400_000, { channel: { ...channel, localReserveSat: sat(500_001) } }),
    want: { reason: "not-spendable", maxTokensSat: 399_999n },
  },
  {
    name: "refuses when its own share isn't above its balance point",
    given: asked(10_000, { channel: split(500_000, 500_000) }),
    want: { reason: "below-balance-point", maxTokensSat: 0n },
  },
  {
    name: "pays down to half a deadzone below its balance point",
    given: asked(450_000),
    want: "pay",
  },
  {
    name: "refuses one satoshi more and says how much it would pay",
    given: asked(450_001),
    want: { reason: "leaves-too-little", maxTokensSat: 450_000n },
  },
  {
    name: "says what the channel allows before what its limits do: nobody asks for less on being told of a limit",
    given: asked(450_001, { positionSat: sat(9_550_000), lastAttemptAtMs: 999_999 }),
    want: { reason: "leaves-too-little", maxTokensSat: 450_000n },
  },
  {
    name: "counts nothing unsettled as its own",
    given: asked(10_000, { channel: split(500_000, 100_000, { unsettledSat: sat(400_000) }) }),
    want: { reason: "below-balance-point", maxTokensSat: 0n },
  },
];
for (const { name, given, want } of cases) {
  Deno.test(`decidePayment() ${name}`, () => {
    const expected = want === "pay"
      ? { kind: "pay", amountSat: given.tokensSat }
      : { kind: "refuse", ...(typeof want === "string" ? { reason: want } : want) };
    assert.deepEqual(decidePayment(given), expected as PaymentDecision);
  });
}

// Else a peer whose channel has nothing to give could probe them for nothing, amount by amount.
Deno.test("a request that the channel can't fulfil tells nothing of budgets, positions and business with others", () => {
  const business: Partial<PaymentQuestion>[] = [
    {
      payments: [{
        ...{ state: "settled", node: alice, channelPoint: point, settledAtMs: 999_000 },
        amountSat: sat(99_900_000),
      }],
    },
    { positionSat: sat(10_000_000) },
    { totalOutflowSat: sat(10_000_000) },
  ];
  for (const given of [asked(400_000, { channel: split(500_000, 500_000) }), asked(450_001), asked(800_000)]) {
    for (const over of business) assert.deepEqual(decidePayment({ ...given, ...over }), decidePayment(given));
  }
});

Deno.test("payableSat() is never more than decidePayment() pays, and exactly that much is paid", () => {
  for (const local of [500_001, 550_000, 700_000, 900_000, 980_000, 999_000]) {
    const side = split(local, 1_000_000 - local, { initiator: true });
    const most = Number(payableSat(side, settings));
    assert.equal(
      decidePayment(asked(most, { channel: side, settings: { ...settings, minTransactionSizeSat: sat(1) } })).kind,
      "pay",
    );
    assert.equal(decidePayment(asked(most + 1, { channel: side })).kind, "refuse");
  }
});
