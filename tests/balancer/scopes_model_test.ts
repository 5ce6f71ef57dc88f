import assert from "node:assert/strict";
import fc from "fast-check";
import { channelPositionSat, foldLedger, totalOutflowSat } from "../../lib/audit/ledger.ts";
import type { TransactionRecord } from "../../lib/audit/record.ts";
import { limitsFor, settingsFor } from "../../lib/config/settings.ts";
import { sat, satToMsat } from "../../lib/domain/amounts.ts";
import { formatShortChannelId, type NodePubkey, parseShortChannelId } from "../../lib/domain/ids.ts";
import { decidePayment } from "../../lib/policy/payment.ts";
import { channel as pointOf, hash, node, record, startWallMs } from "../audit/records.ts";
import { configOf, generatedSecret } from "../config/sample_config.ts";
import { channel as sample } from "../policy/fixtures.ts";

/**
 * How much may be paid over each side of each channel: reckoned from what the operator has written and from who has paid whom,
 * by nothing else, and beside it what the program decides.
 */

const aliases = new Map([[node("A"), "alice"], [node("B"), "al:ice"]]);
const others = [node("C"), node("D")];

/** One side of a channel, by a number; some channels have a second id. */
function side(own: NodePubkey, peer: NodePubkey, n: number, ...moreIds: string[]) {
  const ids = [`80000${n}x1x0`, ...moreIds].map((id) => parseShortChannelId(id)!);
  return { own, peer, point: pointOf(n), ids };
}
type Side = ReturnType<typeof side>;
const sides = [
  side(node("A"), node("C"), 1),
  side(node("A"), node("C"), 2, "16000000x1x0"),
  side(node("B"), node("C"), 3),
  side(node("B"), node("D"), 4),
  side(node("A"), node("B"), 5),
  side(node("B"), node("A"), 5),
];

const defaults = {
  maxTransactionsPerPeriod: 20,
  maxTransactionsPeriod: "4h",
  maxAmountPerPeriod: 100_000_000,
  maxAmountPeriod: "4h",
  periodKind: "rolling",
  maxNetOutflow: 10_000_000,
  maxTransactionSize: 1_000_000,
};
const hours = fc.constantFrom("1h", "2h", "5h", "9h");
const settings = fc.record({
  maxTransactionsPerPeriod: fc.integer({ min: 0, max: 7 }),
  maxTransactionsPeriod: hours,
  maxAmountPerPeriod: fc.integer({ min: 0, max: 400_000 }),
  maxAmountPeriod: hours,
  periodKind: fc.constantFrom("rolling", "fixed"),
  maxNetOutflow: fc.integer({ min: 0, max: 600_000 }),
  maxTransactionSize: fc.integer({ min: 1_000, max: 500_000 }),
}, { requiredKeys: [] });

/** An entry of idSettings: for a node, a channel by one of its ids, or one side of it. */
const entry = fc.record({
  of: fc.constantFrom("node", "channel", "side"),
  at: fc.constantFrom(...sides),
  byLastId: fc.boolean(),
  asNumber: fc.boolean(),
  settings,
});
type Entry = typeof entry extends fc.Arbitrary<infer T> ? T : never;

const fact = fc.record({
  at: fc.constantFrom(...sides),
  amountSat: fc.constantFrom(1, 999, 10_000, 50_000, 123_456),
  way: fc.constantFrom("settled", "settled", "failed", "intent", "unknown", "foreign", "received", "cancelled"),
  /** When it came to that. */
  minutesAgo: fc.integer({ min: 0, max: 900 }),
  /** Of a foreign payment: over a channel that can't be named. */
  isUnnamed: fc.boolean(),
});
type Fact = typeof fact extends fc.Arbitrary<infer T> ? T : never;

const course = fc.record({
  // The base binds seldom, so that what is written for a node or a channel does.
  base: fc.oneof({ weight: 3, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: settings }),
  entries: fc.uniqueArray(entry, { maxLength: 6, size: "max", selector: (one) => idOf({ ...one, asNumber: false }) }),
  totalSat: fc.integer({ min: 0, max: 900_000 }),
  facts: fc.array(fact, { maxLength: 14, size: "max" }),
  nowMinutes: fc.integer({ min: 1_000, max: 3_000 }),
});
type Course = typeof course extends fc.Arbitrary<infer T> ? T : never;

function idOf({ of, at, byLastId, asNumber }: Entry): string {
  const id = at.ids.at(byLastId ? -1 : 0)!;
  const channel = asNumber ? id : formatShortChannelId(id);
  return of === "channel" ? channel : `${aliases.get(at.own)}${of === "node" ? "" : `:${channel}`}`;
}

/** The most that may be paid over a side now; less than nothing where a limit is passed already. */
function mostSat({ base, entries, totalSat, facts, nowMinutes }: Course, at: Side): number {
  const merged = (chosen: readonly Entry[]): typeof defaults =>
    Object.assign({}, defaults, base, ...chosen.map(({ settings }) => settings));
  const ofNode = entries.filter((one) => one.of === "node" && one.at.own === at.own);
  const here = entries.filter((one) => one.at.point === at.point);
  const ofChannel = [
    ...here.filter(({ of }) => of === "channel"),
    ...here.filter((one) => one.of === "side" && one.at.own === at.own),
  ];
  /** The node's limit, and the channel's own where something of it is written for the channel. */
  const limits = (...names: (keyof Entry["settings"])[]) => {
    const isWritten = ofChannel.some(({ settings }) => names.some((name) => settings[name] !== undefined));
    const isHere = (one: Fact) => one.at.point === at.point || (one.way === "foreign" && one.isUnnamed);
    return [
      { ...merged(ofNode), covers: (one: Fact) => one.at.own === at.own },
      ...(isWritten
        ? [{ ...merged([...ofNode, ...ofChannel]), covers: (one: Fact) => one.at.own === at.own && isHere(one) }]
        : []),
    ];
  };
  const isSpent = ({ way }: Fact) => !["failed", "received", "cancelled"].includes(way);
  const isIn = ({ way, minutesAgo }: Fact, period: string, kind: string) => {
    const minutes = parseInt(period) * 60;
    const intoFixed = (startWallMs / 60_000 + nowMinutes) % minutes;
    return way === "intent" || way === "unknown" ||
      (kind === "rolling" ? minutesAgo < minutes : minutesAgo <= intoFixed);
  };
  const sum = (some: readonly Fact[]) => some.reduce((total, { amountSat }) => total + amountSat, 0);
  const spent = facts.filter(isSpent);

  let most = merged([...ofNode, ...ofChannel]).maxTransactionSize;
  for (const limit of limits("maxTransactionsPerPeriod", "maxTransactionsPeriod", "periodKind")) {
    const { covers, maxTransactionsPeriod, periodKind } = limit;
    const counted = spent.filter((one) => covers(one) && isIn(one, maxTransactionsPeriod, periodKind));
    if (counted.length >= limit.maxTransactionsPerPeriod) most = 0;
  }
  for (
    const { covers, maxAmountPerPeriod, maxAmountPeriod, periodKind } of limits(
      "maxAmountPerPeriod",
      "maxAmountPeriod",
      "periodKind",
    )
  ) {
    most = Math.min(
      most,
      maxAmountPerPeriod - sum(spent.filter((one) => covers(one) && isIn(one, maxAmountPeriod, periodKind))),
    );
  }
  if (aliases.has(at.peer)) return most;
  const lentSat = (peer: NodePubkey, covers: (one: Fact) => boolean) => {
    const between = facts.filter((one) => one.at.peer === peer && covers(one));
    return sum(between.filter(isSpent)) - sum(between.filter(({ way }) => way === "received"));
  };
  const anywhere = () => true;
  limits("maxNetOutflow").forEach(({ maxNetOutflow, covers }, index) => {
    most = Math.min(most, maxNetOutflow - lentSat(at.peer, index === 0 ? anywhere : covers));
  });
  const lent = lentSat(at.peer, anywhere);
  const toOthers = others.filter((peer) => peer !== at.peer).map((peer) => Math.max(0, lentSat(peer, anywhere)));
  // What is owed may be paid back, whatever others owe.
  return Math.min(most, Math.max(-lent, totalSat - toOthers.reduce((a, b) => a + b, 0) - lent));
}

function recordsOf({ facts, nowMinutes }: Course): TransactionRecord[] {
  const records = facts.flatMap(({ at, amountSat, way, minutesAgo, isUnnamed }, index) => {
    const made = (kind: TransactionRecord["kind"]) => {
      const atWallMs = startWallMs + (nowMinutes - minutesAgo) * 60_000;
      const entry = record(kind, index + 1, { atWallMs, amountSat, peer: at.peer, ownPeer: aliases.has(at.peer) });
      const over = kind === "foreign" && isUnnamed
        ? { channelPoint: undefined, channelId: undefined }
        : { channelPoint: at.point, channelId: at.ids[0] };
      return { ...entry, node: at.own, ...over } as TransactionRecord;
    };
    if (way === "foreign" || way === "intent") return [made(way)];
    return [made(way === "received" || way === "cancelled" ? "invoiced" : "intent"), made(way)];
  });
  return records.sort((a, b) => a.atWallMs - b.atWallMs);
}

/** Whether the program pays so much over a side. */
function decider(course: Course): (at: Side, tokens: number) => boolean {
  const { config: { limits } } = configOf(JSON.stringify({
    secret: generatedSecret,
    lightningNodes: [{ type: "lnd", socket: "a:1", certPath: "c", macaroonPath: "m" }],
    limits: {
      maxNetOutflowTotal: course.totalSat,
      baseSettings: { minTransactionSize: 1_000, ...course.base },
      idSettings: course.entries.map((one) => ({ id: idOf(one), ...one.settings })),
    },
  }));
  const wallMs = startWallMs + course.nowMinutes * 60_000;
  const ledger = foldLedger(recordsOf(course), { atMs: 0, wallMs });
  return ({ own, peer, point, ids }, tokens) => {
    const target = { alias: aliases.get(own)!, channelPoint: point, channelIds: ids };
    const decision = decidePayment({
      tokensSat: sat(tokens),
      invoice: {
        ...{ destination: peer, paymentHash: hash(999), amountMsat: satToMsat(sat(tokens)), memo: "" },
        ...{ createdAtWallMs: wallMs, expiresAtWallMs: wallMs + 60_000, finalCltvBlocks: 80 },
        ...{ routeHintCount: 0, blindedPathCount: 0, amp: false },
      },
      ...{ memoTag: "tag", expectedTag: "tag" },
      channel: {
        ...{ ...sample, channelPoint: point, shortChannelId: ids[0]!, aliasIds: ids.slice(1), remotePubkey: peer },
        ...{ localSat: sat(90_000_000), remoteSat: sat(1_000_000), maxInFlightSat: sat(90_000_000) },
      },
      node: own,
      settings: settingsFor(limits, target),
      limits: limitsFor(limits, target),
      ...{ peerProven: true, peerListed: true, ownPeer: aliases.has(peer), hashKnown: false },
      ...{ requestOpen: false, paymentOpen: false, lastAttemptAtMs: undefined },
      payments: ledger.payments.values(),
      positionSat: ledger.positions.get(peer) ?? sat(0),
      channelPositionSat: channelPositionSat(ledger, own, peer, point),
      totalOutflowSat: totalOutflowSat(ledger, (key) => aliases.has(key)),
      ...{ atMs: 0, wallMs, evenWallMs: wallMs },
    });
    return decision.kind === "pay";
  };
}

Deno.test("limits over the scope of their id: exactly what is left may be paid, and not a satoshi more", () => {
  let exact = 0;
  const agrees = (course: Course) => {
    const pays = decider(course);
    for (const at of sides) {
      const most = mostSat(course, at);
      for (const tokens of [most, most + 1].filter((tokens) => tokens >= 1_000)) {
        assert.equal(pays(at, tokens), tokens <= most, `${tokens} of ${most} sat over channel ${at.ids[0]}`);
        exact++;
      }
    }
  };
  fc.assert(fc.property(course, agrees), { seed: 5, numRuns: 1_000 });
  assert.ok(exact > 2_000, `only ${exact} limits were between something and nothing`);
});
