import type { BalanceSettings } from "../../lib/config/config.ts";
import { limitsFor } from "../../lib/config/settings.ts";
import { type Sat, sat, satToMsat } from "../../lib/domain/amounts.ts";
import type { ChannelSnapshot } from "../../lib/domain/channel.ts";
import type { LeaveReason, RefuseReason } from "../../lib/domain/reasons.ts";
import { decidePayment, payableSat, type PaymentDecision } from "../../lib/policy/payment.ts";
import { decideRebalance, leastSat, type RebalanceDecision } from "../../lib/policy/rebalance.ts";
import { askingSat, shareToSatFloor, totalSat } from "../../lib/policy/share.ts";
import { receivableSat } from "../../lib/policy/spendable.ts";
import { alice, bob, channel as sample, channelId, hash, limits, point, settings as defaults } from "./fixtures.ts";

export type Side = 0 | 1;

/** A channel as both of its nodes know it, and what each of the two operators wants. */
export interface Pair {
  readonly settings: readonly [BalanceSettings, BalanceSettings];
  readonly capacitySat: number;
  readonly initiator: Side;
  readonly anchors: boolean;
  readonly feePerKwSat: number;
  readonly dustLimitSat: number;
  /** What each must keep, and the most that each may have in flight. */
  readonly reserveSat: readonly [number, number];
  readonly maxInFlightSat: readonly [number, number];
  /** The first side's share of what there is to share. */
  readonly share: number;
}

export function pairOf(
  first: Partial<BalanceSettings>,
  second: Partial<BalanceSettings>,
  over: Partial<Pair> = {},
): Pair {
  const capacitySat = over.capacitySat ?? 1_000_000;
  return {
    settings: [{ ...defaults, ...first }, { ...defaults, ...second }],
    capacitySat,
    initiator: 0,
    anchors: true,
    feePerKwSat: 2_500,
    dustLimitSat: 354,
    reserveSat: [capacitySat / 100, capacitySat / 100],
    maxInFlightSat: [capacitySat, capacitySat],
    share: 0.98,
    ...over,
  };
}

/** The two rules as a program with a mistake would have them: each decides by other settings than the operator's. */
export interface Mistake {
  readonly payer?: (settings: BalanceSettings) => Partial<BalanceSettings>;
  readonly payee?: (settings: BalanceSettings) => Partial<BalanceSettings>;
  /** What the payer says of its limit isn't heard. */
  readonly deaf?: true;
}

export interface Paid {
  readonly from: Side;
  readonly amountSat: number;
}

interface Told {
  readonly maxTokensSat: Sat;
  readonly seen: ChannelSnapshot;
}

const other = (side: Side): Side => side === 0 ? 1 : 0;

/** BOLT 3: the weight of a commitment with both outputs. */
const weight = (anchors: boolean) => anchors ? 1_124 : 724;

/** A promise of the two rules that doesn't hold. */
export class BrokenPromise extends Error {
  override readonly name = "BrokenPromise";
}

/**
 * Two sides of one channel that decide as the program does, with nothing in between: no time, no limits per period, no
 * credit. What is left is the two rules of shares against each other.
 */
export class Duel {
  readonly pair: Pair;
  readonly mistake: Mistake;
  readonly localSat: [number, number];
  readonly paid: Paid[] = [];
  /** Why each side was last refused what it asked for. */
  readonly refused: [RefuseReason | undefined, RefuseReason | undefined] = [undefined, undefined];
  #feePerKwSat: number;
  /** What each payee was told of the payer's limit, and the balances it spoke of. */
  readonly #told: [Told | undefined, Told | undefined] = [undefined, undefined];

  constructor(pair: Pair, mistake: Mistake = {}) {
    this.pair = pair;
    this.mistake = mistake;
    this.#feePerKwSat = pair.feePerKwSat;
    const sharedSat = pair.capacitySat - this.#costSat(pair.feePerKwSat);
    const first = Math.floor(sharedSat * pair.share);
    this.localSat = [first, sharedSat - first];
  }

  /** What the initiator pays for the commitment and its anchors. */
  #costSat(feePerKwSat: number): number {
    const { anchors } = this.pair;
    return Math.ceil(weight(anchors) * feePerKwSat / 1_000) + (anchors ? 660 : 0);
  }

  /** The channel as one side's node lists it. */
  channel(side: Side): ChannelSnapshot {
    const { pair } = this;
    return {
      ...sample,
      remotePubkey: side === 0 ? bob : alice,
      initiator: side === pair.initiator,
      capacitySat: sat(pair.capacitySat),
      localSat: sat(this.localSat[side]),
      remoteSat: sat(this.localSat[other(side)]),
      commitFeeSat: sat(Math.ceil(weight(pair.anchors) * this.#feePerKwSat / 1_000)),
      feePerKwSat: sat(this.#feePerKwSat),
      localReserveSat: sat(Math.floor(pair.reserveSat[side])),
      remoteReserveSat: sat(Math.floor(pair.reserveSat[other(side)])),
      dustLimitSat: sat(pair.dustLimitSat),
      maxInFlightSat: sat(Math.floor(pair.maxInFlightSat[side])),
    };
  }

  /** Somebody's payment goes through the channel, as far as there is something. Returns how much. */
  move(from: Side, amountSat: number): number {
    const moved = Math.min(amountSat, this.localSat[from]);
    this.localSat[from] -= moved;
    this.localSat[other(from)] += moved;
    return moved;
  }

  /** Traffic brings the first side to a share of what both hold, and a few satoshis more or less. */
  moveTo(share: number, moreSat: number): void {
    const sharedSat = this.localSat[0] + this.localSat[1];
    this.localSat[0] = Math.max(0, Math.min(sharedSat, Math.floor(sharedSat * share) + moreSat));
    this.localSat[1] = sharedSat - this.localSat[0];
  }

  /** The fee rate changes, at the initiator's cost. Returns by how much that moved the balances. */
  changeFee(feePerKwSat: number): number {
    const { initiator } = this.pair;
    const risesSat = this.#costSat(feePerKwSat) - this.#costSat(this.#feePerKwSat);
    if (risesSat > this.localSat[initiator]) return 0;
    this.localSat[initiator] -= risesSat;
    this.#feePerKwSat = feePerKwSat;
    return Math.abs(risesSat);
  }

  /** What a side wants, by a list of its channels that may be an old one. */
  wish(side: Side, seen = this.channel(side)): RebalanceDecision {
    const told = this.#told[side];
    const isOfThen = told?.seen.localSat === seen.localSat && told.seen.remoteSat === seen.remoteSat;
    if (!isOfThen) this.#told[side] = undefined;
    const maxTokensSat = this.#told[side]?.maxTokensSat;
    const settings = this.pair.settings[side];
    return decideRebalance({
      channel: seen,
      settings: { ...settings, ...this.mistake.payee?.(settings) },
      maxTokensSat,
    });
  }

  /** What the other side says to such a request; it always looks at its channels afresh. */
  verdict(payer: Side, tokensSat: Sat, requestOpen = false): PaymentDecision {
    const channel = this.channel(payer);
    const settings = this.pair.settings[payer];
    return decidePayment({
      tokensSat,
      invoice: {
        destination: channel.remotePubkey,
        paymentHash: hash("01"),
        amountMsat: satToMsat(tokensSat),
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
      channel,
      node: payer === 0 ? alice : bob,
      settings: { ...settings, ...this.mistake.payer?.(settings) },
      limits: limitsFor(limits, { alias: "", channelPoint: point, channelIds: [channelId] }),
      ...{ peerProven: true, peerListed: true, ownPeer: true, hashKnown: false, requestOpen, paymentOpen: false },
      ...{ payments: [], lastAttemptAtMs: undefined, atMs: 0, wallMs: 0, evenWallMs: 0 },
      ...{ positionSat: sat(0), channelPositionSat: sat(0), totalOutflowSat: sat(0) },
    });
  }

  /**
   * One side asks, if it wants to, and is answered.
   * @param seen the list that it decides on
   * @param requestOpen the other side asks, too, at that moment
   * @returns whether anything came of it: a payment, or a limit that the payee didn't know
   */
  ask(payee: Side, seen = this.channel(payee), requestOpen = false): boolean {
    const payer = other(payee);
    const wish = this.wish(payee, seen);
    if (wish.kind === "leave") return false;
    const decision = this.verdict(payer, wish.amountSat, requestOpen);
    if (decision.kind === "pay") {
      this.#pay(payer, Number(decision.amountSat));
      return true;
    }
    this.refused[payee] = decision.reason;
    const { maxTokensSat } = decision;
    if (this.mistake.deaf || maxTokensSat === undefined || maxTokensSat === this.#told[payee]?.maxTokensSat) {
      return false;
    }
    this.#told[payee] = { maxTokensSat, seen };
    return true;
  }

  #pay(payer: Side, amountSat: number): void {
    const { balancePoint, deadzone } = this.pair.settings[payer];
    const beforeSat = this.localSat[payer];
    this.move(payer, amountSat);
    this.paid.push({ from: payer, amountSat });
    const channel = this.channel(payer);
    const total = totalSat(channel);
    if (sat(beforeSat) <= shareToSatFloor(balancePoint, total)) {
      throw new BrokenPromise("a payer pays that isn't above its balance point");
    }
    if (askingSat(channel) < shareToSatFloor(balancePoint - deadzone, total)) {
      throw new BrokenPromise("a payment takes the payer out of its own deadzone");
    }
    if (this.wish(payer).kind === "ask") throw new BrokenPromise("a payment makes the payer ask");
  }

  /** How many payments of the largest size may follow each other to bring one side to its balance point. */
  get longestSeries(): number {
    const sizes = this.pair.settings.map((one) => Number(one.maxTransactionSizeSat));
    const most = Math.min(...sizes, ...this.pair.maxInFlightSat);
    return Math.ceil(this.pair.capacitySat / most) + 3;
  }

  /** Both ask in turn until neither gets anything any more. @throws BrokenPromise if that takes too long */
  settle(first: Side = 0): void {
    const before = this.paid.length;
    for (let quiet = 0, side = first; quiet < 2; side = other(side)) {
      quiet = this.ask(side) ? 0 : quiet + 1;
      if (this.paid.length - before > this.longestSeries) throw new BrokenPromise("they don't come to rest");
    }
  }

  /**
   * At rest a side that lacks something has a reason, a real one: there is no amount that it would take and the other
   * side give. Where the other side's settings are the reason, that one has said so, too. @throws BrokenPromise
   */
  checkRest(): void {
    for (const payee of [0, 1] as const) {
      const payer = other(payee);
      const [settings, theirs] = [this.pair.settings[payee], this.pair.settings[payer]];
      const channel = this.channel(payee);
      const total = totalSat(channel);
      if (askingSat(channel) >= shareToSatFloor(settings.balancePoint - settings.deadzone, total)) continue;
      const wish = this.wish(payee);
      const reason: LeaveReason | RefuseReason | undefined = wish.kind === "leave" ? wish.reason : this.refused[payee];
      if (reason === undefined || !restReasons.includes(reason)) {
        throw new BrokenPromise(`a side that lacks is left alone: ${reason}`);
      }
      if (reason === "peer-limit" && this.refused[payee] === undefined) {
        throw new BrokenPromise("only one of the two sides says that they can't both be satisfied");
      }
      const missingSat = shareToSatFloor(settings.balancePoint, total) - askingSat(channel);
      const mostSat = least(
        missingSat,
        settings.maxTransactionSizeSat,
        receivableSat(channel),
        payableSat(this.channel(payer), theirs),
      );
      const fewest = leastSat(channel, settings);
      const fewestTheirs = leastSat(this.channel(payer), theirs);
      const amountSat = fewest > fewestTheirs ? fewest : fewestTheirs;
      if (amountSat <= mostSat) {
        throw new BrokenPromise(`${amountSat} to ${mostSat} sat would be asked for and paid, and aren't: ${reason}`);
      }
    }
  }
}

/** Why a side may be left with too little for good. */
const restReasons: readonly (LeaveReason | RefuseReason)[] = [
  "too-small",
  "no-room",
  "peer-limit",
  "below-minimum",
];

function least(first: bigint, ...rest: readonly bigint[]): bigint {
  return rest.reduce((least, one) => one < least ? one : least, first);
}
