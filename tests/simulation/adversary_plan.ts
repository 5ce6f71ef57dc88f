import { SeededRandom } from "../../lib/env/seeded_random.ts";

/**
 * What an adversary has and does in one simulated world, as plain data drawn from a seed. Each attack carries a seed of its
 * own for what it draws when its time comes, so that leaving one out changes nothing of the others.
 */
export interface AdversaryPlan {
  readonly seed: number;
  /** Its Lightning nodes, each with the shares that its victims hold of their channels with it. */
  readonly nodes: readonly { readonly channels: readonly AdversaryChannel[] }[];
  /** Keys on the swarm that it begins with. */
  readonly identities: number;
  /** Whether its victims' nodes pay its invoices beside the program, in time for what has just been cancelled. */
  readonly withdraws: boolean;
  /** How it answers requests: one of these each time. */
  readonly manners: readonly Manner[];
  readonly attacks: readonly Attack[];
  /** What it goes on with after the faults have ended; none: it leaves. Times are since then. */
  readonly afterwards: readonly Attack[];
}

export interface AdversaryChannel {
  /** A number of an honest node, modulo how many there are. */
  readonly victim: number;
  readonly capacitySat: number;
  readonly victimShare: number;
  readonly aliases: boolean;
}

export interface Attack {
  readonly atMs: number;
  readonly kind: AttackKind;
  readonly seed: number;
}

/** What it may do by itself. Most act on what it has seen so far. */
export const attackKinds = [
  /** A request; each part of it may be true or one of many lies. */
  "ask",
  /** Many small requests in a row. */
  "ask-often",
  /** A message that was seen, with parts replaced, dropped, doubled, or of another message. */
  "mutate",
  /** Frames that no honest session sends: replayed, reflected, cut, too long, not JSON, too deep. */
  "raw-frames",
  /** Hundreds of frames at once. */
  "flood",
  /** A paymentResult that is false, early, late or to nothing. */
  "forge-result",
  "hello",
  /** Speaks for somebody else's node, with a wrong proof, then asks in its name. */
  "claim-node",
  "hello-storm",
  "lie-about-pauses",
  "disconnect",
  /** Up to thousands of sessions, one after the other. */
  "come-and-go",
  "new-identity",
  /** Connections that never finish their proof. */
  "slow-loris",
  "one-satoshi-traffic",
  /** Moves its balance to the victim's side, so that the victim would pay again. */
  "refill",
  "park-htlcs",
  /** Has the victim's node pay an invoice beside the program, as nodes with customers do: any memo, any hash. */
  "withdraw",
  "close-channel",
  "open-channel",
  "peer-offline",
  "freeze-node",
  /** Something of the above at a chosen moment of a payment. */
  "strike",
] as const;

export type AttackKind = typeof attackKinds[number];

/** What still may be done when every intent must come to its end. */
const harmlessKinds: readonly AttackKind[] = [
  "ask",
  "ask-often",
  "mutate",
  "raw-frames",
  "flood",
  "forge-result",
  "hello",
  "claim-node",
  "hello-storm",
  "lie-about-pauses",
  "disconnect",
  "slow-loris",
];

/** What it does with a request of an honest payee. */
export const manners = [
  "pays",
  "pays-silently",
  "pays-and-denies",
  "denies-and-pays",
  "pays-late",
  "pays-over-another-channel",
  "pays-from-another-node",
  "claims-to-have-paid",
  "refuses",
  "says-unknown",
  "is-silent",
  "answers-often",
  "disconnects",
  "leaves",
] as const;

export type Manner = typeof manners[number];

export function drawAdversary(seed: number): AdversaryPlan {
  const random = new SeededRandom(seed ^ 0xadd5a7);
  const below = (n: number) => random.below(n);
  const pick = <T>(list: readonly T[]) => list[below(list.length)]!;
  const spread = (least: number, most: number) => Math.round(least * (most / least) ** (random.uint32() / 2 ** 32));
  const some = <T>(list: readonly T[], percent: number) => {
    const chosen = list.filter(() => below(100) < percent);
    return chosen.length > 0 ? chosen : [pick(list)];
  };
  const nodes = Array.from({ length: pick([1, 1, 1, 2, 3]) }, () => ({
    channels: Array.from({ length: pick([1, 1, 2, 3]) }, () => ({
      victim: below(6),
      capacitySat: spread(200_000, 20_000_000),
      victimShare: pick([0.05, 0.2, 0.5, 0.7, 0.9, 0.95, 0.98]),
      aliases: below(100) < 15,
    })),
  }));
  const kinds = ["ask", "refill", ...some(attackKinds, 35)] as const;
  const withdraws = kinds.some((kind) => kind === "withdraw");
  const draw = (count: number, mostMs: number, from: readonly AttackKind[]): Attack[] =>
    Array.from({ length: count }, () => ({ atMs: 2_000 + below(mostMs), kind: pick(from), seed: random.uint32() }))
      .sort((a, b) => a.atMs - b.atMs);
  const attacks = draw(spread(8, 50), spread(30_000, 3_600_000), kinds);
  const later = some(harmlessKinds, 50);
  return {
    seed,
    // A hash is withdrawn to another node than the one that asked with it.
    nodes: withdraws ? [...nodes, ...nodes.slice(0, 1)] : nodes,
    identities: pick([1, 1, 2, 3]),
    withdraws,
    manners: some(manners, 40),
    attacks,
    afterwards: below(100) < 40 ? draw(spread(3, 12), 900_000, later) : [],
  };
}
