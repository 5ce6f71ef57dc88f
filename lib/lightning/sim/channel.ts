import { type Msat, msat, msatToSatFloor, type Sat, sat, satToMsat } from "../../domain/amounts.ts";
import { invariant } from "../../domain/errors.ts";
import type { ChannelPoint, NodePubkey, PaymentHash, ShortChannelId } from "../../domain/ids.ts";
import type { LndBehaviour } from "./lnd_version.ts";
import type { SimConstraints, SimPendingHtlc } from "./model.ts";

/** The money in one channel, as two commitments that follow each other at a distance. */

/** 0 opened the channel and pays its fees. */
export type Side = 0 | 1;

export function otherSide(side: Side): Side {
  return side === 0 ? 1 : 0;
}

/** An HTLC on one commitment: not there yet (offered), there, or gone with the money at one end or the other. */
type HtlcState = "offered" | "pending" | "settled" | "failed";

/** An HTLC on its way. What it changed is folded into the balances when both commitments have resolved it. */
export interface Htlc {
  readonly from: Side;
  readonly index: bigint;
  readonly amountMsat: Msat;
  readonly paymentHash: PaymentHash;
  readonly expiryHeight: number;
  /** By the side whose commitment it is. */
  readonly on: [HtlcState, HtlcState];
}

export interface ChannelTerms {
  readonly channelPoint: ChannelPoint;
  readonly nodes: readonly [NodePubkey, NodePubkey];
  readonly capacitySat: Sat;
  readonly pushSat: Sat;
  readonly feePerKwSat: Sat;
  readonly confirmedScid: ShortChannelId;
  /** Each side's own alias for the channel, or none. */
  readonly aliases: readonly [ShortChannelId, ShortChannelId] | undefined;
  readonly private: boolean;
  readonly memo: string;
  readonly customChannelData: string;
  readonly maxAcceptedHtlcs: number;
  readonly openedAtWallMs: number;
}

/** What one side's commitment transaction holds. */
export interface CommitmentView {
  readonly localSat: Sat;
  readonly remoteSat: Sat;
  readonly commitFeeSat: Sat;
  readonly commitWeight: number;
  readonly unsettledSat: Sat;
  readonly pendingHtlcs: readonly SimPendingHtlc[];
  readonly totalSentSat: Sat;
  readonly totalReceivedSat: Sat;
  readonly numUpdates: bigint;
}

const dustLimitSat = sat(354);
const anchorSat = 330n;
const bothAnchorsMsat = msat(2n * anchorSat * 1_000n);
/** Of an anchor commitment with both outputs: for its fee, and as lnrpc.Channel.commit_weight reports it (witness counted apart). */
const feeWeight = 1_124n;
const reportedWeight = 1_116;
const outputWeight = 172;
const htlcWeight = 172n;

/** All amounts that LND would put on a transaction are rounded down to satoshis, each by itself. */
function feeForWeight(feePerKwSat: Sat, weight: bigint): Msat {
  return satToMsat(sat((feePerKwSat * weight) / 1_000n));
}

export class Channel {
  readonly terms: ChannelTerms;
  /** Whether its link works; with the peer's connection up, one channel may still be down. */
  up = true;
  /** Whether each side sees it active. */
  readonly active: [boolean, boolean] = [true, true];
  /** Balances without regard to fees, after all that both commitments have resolved. */
  readonly #balanceMsat: [bigint, bigint];
  readonly #sentMsat: [bigint, bigint] = [0n, 0n];
  readonly #numUpdates: [bigint, bigint] = [0n, 0n];
  readonly #nextIndex: [bigint, bigint] = [0n, 0n];
  readonly #htlcs = new Set<Htlc>();
  /** Nothing has changed since it was last found to conserve. */
  #isChecked = false;

  constructor(terms: ChannelTerms) {
    this.terms = terms;
    this.#balanceMsat = [satToMsat(sat(terms.capacitySat - terms.pushSat)), satToMsat(terms.pushSat)];
  }

  sideOf(node: NodePubkey): Side {
    invariant(this.terms.nodes.includes(node), "a channel is asked about only for its own nodes");
    return this.terms.nodes[0] === node ? 0 : 1;
  }

  /** How one side names the channel. */
  chanId(side: Side): ShortChannelId {
    return this.terms.aliases?.[side] ?? this.terms.confirmedScid;
  }

  isNamed(side: Side, id: ShortChannelId): boolean {
    return id === this.chanId(side) || id === this.terms.confirmedScid;
  }

  get htlcCount(): number {
    return this.#htlcs.size;
  }

  /** 1 % of the capacity, and never below the dust limit. */
  get reserveSat(): Sat {
    const onePercent = this.terms.capacitySat / 100n;
    return onePercent < dustLimitSat ? dustLimitSat : sat(onePercent);
  }

  get maxPendingMsat(): Msat {
    return msat(satToMsat(this.terms.capacitySat) - satToMsat(sat(this.terms.capacitySat / 100n)));
  }

  get constraints(): SimConstraints {
    // LND's 2,016 blocks at the largest channel without wumbo, in proportion, and never below a day.
    const csv = Number((2_016n * this.terms.capacitySat) / 16_777_215n);
    return {
      csvDelayBlocks: Math.max(144, Math.min(2_016, csv)),
      reserveSat: this.reserveSat,
      dustLimitSat,
      maxPendingMsat: this.maxPendingMsat,
      minHtlcMsat: msat(1n),
      maxAcceptedHtlcs: this.terms.maxAcceptedHtlcs,
    };
  }

  /** The first thing that happens to an HTLC: only its sender knows of it. The caller has checked {@link spendableMsat}. */
  offer(from: Side, amountMsat: Msat, paymentHash: PaymentHash, expiryHeight: number): Htlc {
    const index = this.#nextIndex[from]++;
    const htlc: Htlc = { from, index, amountMsat, paymentHash, expiryHeight, on: ["offered", "offered"] };
    this.#htlcs.add(htlc);
    this.#isChecked = false;
    return htlc;
  }

  /** Both sides have committed to it. */
  lockIn(htlc: Htlc): void {
    for (const view of [0, 1] as const) this.#move(htlc, view, "offered", "pending");
  }

  /** One side's commitment resolves it. */
  resolve(htlc: Htlc, view: Side, outcome: "settled" | "failed"): void {
    const other = htlc.on[otherSide(view)];
    invariant(other === "pending" || other === outcome, "both commitments resolve an HTLC alike");
    this.#move(htlc, view, "pending", outcome);
    if (htlc.on[0] !== htlc.on[1]) return;
    this.#htlcs.delete(htlc);
    if (outcome === "settled") this.#fold(htlc.from, htlc.amountMsat);
  }

  /** Money crosses without an HTLC to be seen. The caller has checked {@link spendableMsat}. */
  shift(from: Side, amountMsat: Msat): void {
    this.#fold(from, amountMsat);
    this.#numUpdates[0] += 2n;
    this.#numUpdates[1] += 2n;
  }

  #fold(from: Side, amountMsat: Msat): void {
    this.#isChecked = false;
    this.#balanceMsat[from] -= amountMsat;
    this.#balanceMsat[otherSide(from)] += amountMsat;
    this.#sentMsat[from] += amountMsat;
  }

  #move(htlc: Htlc, view: Side, before: HtlcState, after: HtlcState): void {
    invariant(this.#htlcs.has(htlc) && htlc.on[view] === before, `an HTLC goes from ${before} to ${after}`);
    htlc.on[view] = after;
    this.#isChecked = false;
    this.#numUpdates[view]++;
  }

  /** What a side owns on one commitment, fees and anchors not taken off. `offered` HTLCs count where the sender looks ahead. */
  #ownedMsat(side: Side, view: Side, withOffered: boolean): bigint {
    let owned = this.#balanceMsat[side];
    for (const htlc of this.#htlcs) {
      const state = htlc.on[view];
      if (htlc.from === side) {
        if (state === "pending" || state === "settled" || (withOffered && state === "offered")) {
          owned -= htlc.amountMsat;
        }
      } else if (state === "settled") owned += htlc.amountMsat;
    }
    return owned;
  }

  #isDust(htlc: Htlc): boolean {
    return htlc.amountMsat < satToMsat(dustLimitSat);
  }

  view(side: Side): CommitmentView {
    const pending = [...this.#htlcs].filter((htlc) => htlc.on[side] === "pending");
    const outputs = pending.filter((htlc) => !this.#isDust(htlc));
    const feeMsat = feeForWeight(this.terms.feePerKwSat, feeWeight + htlcWeight * BigInt(outputs.length));
    const ownMsat: [bigint, bigint] = [this.#ownedMsat(0, side, false), this.#ownedMsat(1, side, false)];
    ownMsat[0] -= feeMsat + bothAnchorsMsat;
    invariant(ownMsat[0] >= 0n && ownMsat[1] >= 0n, "no side of a channel owes");

    // What is missing from the transaction has gone to the miner: dust, fractions, and the anchor of a side without output.
    const hasOutput = ownMsat.map((own) => own >= satToMsat(dustLimitSat));
    let outputsSat = outputs.reduce((sum, htlc) => sum + msatToSatFloor(htlc.amountMsat), 0n);
    let commitWeight = reportedWeight + outputWeight * outputs.length;
    for (const owner of [0, 1] as const) {
      if (hasOutput[owner]) outputsSat += msatToSatFloor(msat(ownMsat[owner]));
      else commitWeight -= outputWeight;
      if (hasOutput[owner] || outputs.length > 0) outputsSat += anchorSat;
      else commitWeight -= outputWeight;
    }
    return {
      localSat: msatToSatFloor(msat(ownMsat[side])),
      remoteSat: msatToSatFloor(msat(ownMsat[otherSide(side)])),
      commitFeeSat: sat(this.terms.capacitySat - outputsSat),
      commitWeight,
      unsettledSat: sat(pending.reduce((sum, htlc) => sum + msatToSatFloor(htlc.amountMsat), 0n)),
      pendingHtlcs: pending.map((htlc) => ({
        incoming: htlc.from !== side,
        amountSat: msatToSatFloor(htlc.amountMsat),
        amountMsat: htlc.amountMsat,
        paymentHash: htlc.paymentHash,
        expirationHeight: htlc.expiryHeight,
        htlcIndex: htlc.index,
      })),
      totalSentSat: msatToSatFloor(msat(this.#settledMsat(side, side))),
      totalReceivedSat: msatToSatFloor(msat(this.#settledMsat(otherSide(side), side))),
      numUpdates: this.#numUpdates[side],
    };
  }

  /** All that one side ever sent, as one commitment has it. */
  #settledMsat(from: Side, view: Side): bigint {
    let sent = this.#sentMsat[from];
    for (const htlc of this.#htlcs) if (htlc.from === from && htlc.on[view] === "settled") sent += htlc.amountMsat;
    return sent;
  }

  /**
   * The largest amount that LND would send over the channel from one side: the lesser of what both commitments allow
   * (lnwallet AvailableBalance), within the limits on what may be in flight. Being active is the caller's question.
   */
  spendableMsat(side: Side, behaviour: LndBehaviour): Msat {
    const own = [...this.#htlcs].filter((htlc) =>
      htlc.from === side && (htlc.on[side] === "pending" || htlc.on[side] === "offered")
    );
    if (own.length >= this.terms.maxAcceptedHtlcs) return msat(0n);
    const inFlight = own.reduce((sum, htlc) => sum + htlc.amountMsat, 0n);
    const limits = [
      this.#spendableOn(0, side, behaviour),
      this.#spendableOn(1, side, behaviour),
      this.maxPendingMsat - inFlight,
    ];
    const least = limits.reduce((a, b) => (a < b ? a : b));
    return msat(least < 0n ? 0n : least);
  }

  #spendableOn(view: Side, side: Side, behaviour: LndBehaviour): bigint {
    const outputs = [...this.#htlcs].filter((htlc) =>
      (htlc.on[view] === "pending" || htlc.on[view] === "offered") && !this.#isDust(htlc)
    );
    const weight = feeWeight + htlcWeight * BigInt(outputs.length);
    const commitFee = feeForWeight(this.terms.feePerKwSat, weight);
    const oneMoreHtlc = feeForWeight(this.terms.feePerKwSat, htlcWeight);
    const reserve = satToMsat(this.reserveSat);
    const own = this.#ownedMsat(side, view, true) - reserve;
    if (side === 0) {
      switch (behaviour.feeBuffer) {
        case "additional-htlc":
          return own - bothAnchorsMsat - commitFee - oneMoreHtlc;
        case "fee-buffer": {
          const doubled = sat(this.terms.feePerKwSat * 2n);
          return own - bothAnchorsMsat - feeForWeight(doubled, weight + 2n * htlcWeight);
        }
      }
    }
    // The other side pays for one more output; if it can't, only dust passes (LND #7108).
    const theirs = this.#ownedMsat(0, view, true) - bothAnchorsMsat - commitFee - reserve;
    const largestDust = satToMsat(dustLimitSat) - 1n;
    return theirs < oneMoreHtlc && own > largestDust ? largestDust : own;
  }

  /** @throws InvariantError unless each commitment accounts for the whole capacity, to the millisatoshi */
  assertConserved(): void {
    if (this.#isChecked) return;
    const capacityMsat = satToMsat(this.terms.capacitySat);
    const [opener, accepter] = this.#balanceMsat;
    invariant(opener + accepter === capacityMsat, "the balances of a channel sum up to its capacity");
    const pushMsat = satToMsat(this.terms.pushSat);
    invariant(
      accepter === pushMsat + this.#sentMsat[0] - this.#sentMsat[1],
      "a balance is what it began with and what crossed since",
    );
    for (const view of [0, 1] as const) {
      const pending = [...this.#htlcs].filter((htlc) => htlc.on[view] === "pending");
      const pendingMsat = pending.reduce((sum, htlc) => sum + htlc.amountMsat, 0n);
      const owned = this.#ownedMsat(0, view, false) + this.#ownedMsat(1, view, false);
      invariant(owned + pendingMsat === capacityMsat, "a commitment holds the capacity of its channel");
      const shown = this.view(view);
      // Only dust may be neither on an output nor in the fee's own sum.
      const dustSat = pending.filter((htlc) => this.#isDust(htlc)).reduce(
        (sum, htlc) => sum + msatToSatFloor(htlc.amountMsat),
        0n,
      );
      const trimmed = (own: Sat) => (own < dustLimitSat ? own : 0n);
      const anchors = this.terms.capacitySat -
        (shown.localSat + shown.remoteSat + shown.unsettledSat - dustSat + shown.commitFeeSat -
          trimmed(shown.localSat) - trimmed(shown.remoteSat));
      invariant(anchors >= 0n && anchors <= 2n * anchorSat && anchors % anchorSat === 0n, "what is shown adds up");
    }
    this.#isChecked = true;
  }
}
