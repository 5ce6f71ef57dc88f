import assert from "node:assert/strict";
import { msat } from "../../lib/domain/amounts.ts";
import type { ChannelPoint, PaymentHash } from "../../lib/domain/ids.ts";
import type { SeededRandom } from "../../lib/env/seeded_random.ts";
import { isRefusal, type SimPayment } from "../../lib/lightning/sim/model.ts";
import { Cluster, type ClusterNode, until } from "../app/cluster.ts";
import { type Deal, Operator } from "./operator.ts";

/** Tight enough to bind while a world lasts. */
const paymentsPerPeriod = 4;
const periodMs = 10_000;
const attemptSpacingMs = 500;
const netOutflowSat = 900_000n;

const limits = `limits:
  baseSettings:
    minTimeBetweenPayments: ${attemptSpacingMs}ms
    maxTransactionsPerPeriod: ${paymentsPerPeriod}
    maxTransactionsPeriod: ${periodMs}ms
    maxNetOutflow: ${netOutflowSat}
    refreshRate: 1s
`;

/** A channel and who is short of it when it is provoked. */
export interface Provocation {
  readonly channelPoint: ChannelPoint;
  readonly payer: ClusterNode;
  readonly payee: ClusterNode;
}

/**
 * Two operators over one simulated Lightning network: one with Alice and Bob, who share a channel, one with Carol, who
 * shares one with Bob. All that they do is held against what the network knows.
 */
export class CrashWorld implements AsyncDisposable {
  readonly cluster: Cluster;
  readonly pair: Operator;
  readonly single: Operator;
  readonly provocations: readonly Provocation[];
  readonly #random: SeededRandom;
  /** How often each invoice was given to LND by a daemon. */
  readonly #sent = new Map<string, number>();
  readonly #late: Promise<void>[] = [];
  #delivering = false;

  private constructor(
    cluster: Cluster,
    pair: Operator,
    single: Operator,
    provocations: readonly Provocation[],
    random: SeededRandom,
  ) {
    this.cluster = cluster;
    this.pair = pair;
    this.single = single;
    this.provocations = provocations;
    this.#random = random;
  }

  static async create(random: SeededRandom): Promise<CrashWorld> {
    const cluster = new Cluster({ paymentMs: 40 });
    await cluster.dht();
    const [alice, bob, carol] = [await cluster.node("alice"), await cluster.node("bob"), await cluster.node("carol")];
    const own = cluster.channel(alice, bob, 0.5);
    const shared = cluster.channel(bob, carol, 0.5);
    return new CrashWorld(
      cluster,
      new Operator(cluster, "pair", [alice, bob], limits),
      new Operator(cluster, "single", [carol], limits),
      [
        { channelPoint: own, payer: alice, payee: bob },
        { channelPoint: own, payer: bob, payee: alice },
        { channelPoint: shared, payer: bob, payee: carol },
        { channelPoint: shared, payer: carol, payee: bob },
      ],
      random,
    );
  }

  get operators(): readonly Operator[] {
    return [this.pair, this.single];
  }

  get nodes(): readonly ClusterNode[] {
    return this.operators.flatMap(({ nodes }) => nodes);
  }

  operatorOf({ pubkey }: ClusterNode): Operator {
    return this.operators.find((operator) => operator.has(pubkey))!;
  }

  /** Counts what daemons send; `around` sees every call of theirs to LND. */
  watchCalls(around?: Cluster["around"]): void {
    this.cluster.around = (method, args, act) => {
      if (method === "sendPayment" && !this.#delivering) {
        const { paymentRequest } = args[1] as { paymentRequest: string };
        this.#sent.set(paymentRequest, (this.#sent.get(paymentRequest) ?? 0) + 1);
      }
      return around === undefined ? act() : around(method, args, act);
    };
  }

  /** Moves money so that the payee has too little: between 10 and 30 %. @returns whether it could */
  provoke({ channelPoint, payer, payee }: Provocation): boolean {
    const wanted = 0.1 + this.#random.below(20) / 100;
    return this.cluster.run((network) => {
      const channel = network.channel(payee.pubkey, channelPoint)!;
      const shareSat = BigInt(Math.round(Number(channel.localSat + channel.remoteSat) * wanted));
      const excessSat = channel.localSat - shareSat;
      const [from, amountSat] = excessSat > 0n ? [payee, excessSat] : [payer, -excessSat];
      return network.shift(channelPoint, from.pubkey, msat(amountSat * 1_000n)) === undefined;
    });
  }

  /** Puts a channel into the middle, so that nobody wants anything of it. */
  calm({ channelPoint, payer }: Provocation): void {
    this.cluster.run((network) => {
      const channel = network.channel(payer.pubkey, channelPoint)!;
      const excessSat = (channel.localSat - channel.remoteSat) / 2n;
      const other = this.nodes.find(({ pubkey }) => pubkey === channel.remotePubkey)!;
      const [from, amountSat] = excessSat > 0n ? [payer, excessSat] : [other, -excessSat];
      if (amountSat > 0n) network.shift(channelPoint, from.pubkey, msat(amountSat * 1_000n));
    });
  }

  /** Intents that LND has heard nothing of: the request may have been lost, or is still under way. */
  unseen(operator: Operator): Deal[] {
    return [...operator.deals().values()].filter(({ opening, end }) =>
      opening.kind === "intent" && end === "open" && this.#payment(opening.node, opening.paymentHash) === undefined
    );
  }

  /** A request that was under way when its sender died reaches LND after all. @returns whether LND took it */
  deliverLate({ opening }: Deal): boolean {
    this.#delivering = true;
    try {
      return this.cluster.run((network) => {
        const invoice = network.invoice(opening.peer, opening.paymentHash);
        assert.ok(invoice, "an intent is for an invoice that there is");
        const { paymentRequest } = invoice;
        const request = { paymentRequest, timeoutSec: 30, outgoingChanIds: [opening.channelId] };
        return !isRefusal(network.sendPayment(opening.node, request));
      });
    } finally {
      this.#delivering = false;
    }
  }

  /** The same, some time from now. */
  deliverLater(deal: Deal, ms: number, onTaken: () => void): void {
    this.#late.push(
      new Promise((resolve) => setTimeout(resolve, ms)).then(() => {
        if (this.deliverLate(deal)) onTaken();
      }),
    );
  }

  /** Nothing is under way to LND any more. */
  async delivered(): Promise<void> {
    await Promise.all(this.#late);
  }

  /** Waits until both ends' processes watch the channel of a provocation. */
  async watched({ channelPoint, payer, payee }: Provocation): Promise<void> {
    const ends = [payer, payee].map((node) => ({ node: node.pubkey, operator: this.operatorOf(node) }));
    const newest = ends.map(({ operator }) => operator.startedAt).sort().at(-1)!;
    await until(() =>
      ends.every(({ node, operator }) => {
        const last = operator.program.events.findLast((event) =>
          /^channel-(un)?watched$/.test(String(event.kind)) && event.channelPoint === channelPoint &&
          event.node === node
        );
        // The end that runs longer may not have noticed that the other one was gone.
        return last?.kind === "channel-watched" && (operator.startedAt < newest || String(last.at) >= newest);
      }), "both ends watching a channel");
  }

  /**
   * Waits until the running process of an operator has told the end of whatever its log has as open and LND has ended.
   * Of what LND has heard nothing there must be no end.
   */
  async reconciled(operator: Operator): Promise<void> {
    const { program } = operator;
    for (const { opening, end } of operator.deals().values()) {
      if (end !== "open") continue;
      const { paymentHash, kind } = opening;
      if (kind === "invoiced") {
        await program.event({ paymentHash, role: "payee", kind: /^(payment-received|request-ended)$/ });
        continue;
      }
      if (this.#payment(opening.node, paymentHash) === undefined) {
        const ended = program.events.find((event) => fits(event, paymentHash, /^payment-(settled|failed)$/));
        // LND may have heard of it just now.
        assert.ok(!ended || this.#payment(opening.node, paymentHash), `it ended unseen: ${JSON.stringify(ended)}`);
        continue;
      }
      const status = () => this.#payment(opening.node, paymentHash)!.status;
      await until(() => status() !== "IN_FLIGHT", "the end of a payment");
      const wanted = status() === "SUCCEEDED" ? "payment-settled" : "payment-failed";
      await program.event({ paymentHash, role: "payer", kind: wanted });
    }
  }

  #payment(node: string, hash: PaymentHash): SimPayment | undefined {
    return this.cluster.run((network) => network.payment(node as never, hash));
  }

  /** What must hold at any moment, by the logs at rest and by the network. */
  assertSafe(operator: Operator): void {
    const deals = operator.deals();
    for (const node of operator.nodes) {
      for (const payment of this.cluster.payments(node)) {
        const { paymentHash, status, valueMsat, feeMsat } = payment;
        const deal = deals.get(`payer ${paymentHash}`);
        assert.ok(deal, `${node.alias} paid ${paymentHash}, which nothing on the disk says`);
        assert.equal(valueMsat, deal.opening.amountSat * 1_000n);
        assert.equal(feeMsat, 0n);
        if (deal.end === "settled") assert.equal(status, "SUCCEEDED", paymentHash);
        if (deal.end === "failed") assert.equal(status, "FAILED", paymentHash);
      }
      this.#assertLimits(node, deals);
    }
    for (const { opening, end } of deals.values()) {
      const { paymentHash } = opening;
      if (opening.kind === "intent") {
        const payment = this.#payment(opening.node, paymentHash);
        assert.ok(end !== "settled" || payment?.status === "SUCCEEDED", `settled in the log alone: ${paymentHash}`);
      } else {
        const invoice = this.cluster.run((network) => network.invoice(opening.node, paymentHash));
        assert.ok(invoice, `an invoice in the log alone: ${paymentHash}`);
        assert.ok(end !== "received" || invoice.state === "SETTLED", `received in the log alone: ${paymentHash}`);
        assert.ok(end !== "cancelled" || invoice.state === "CANCELED", `cancelled in the log alone: ${paymentHash}`);
      }
    }
    for (const [invoice, times] of this.#sent) assert.equal(times, 1, `${invoice} was sent ${times} times`);
  }

  #assertLimits(node: ClusterNode, deals: ReadonlyMap<string, Deal>): void {
    const paid = this.cluster.payments(node).filter(({ status }) => status !== "FAILED");
    const at = paid.map(({ createdAtWallMs }) => createdAtWallMs);
    at.slice(paymentsPerPeriod).forEach((later, i) => {
      assert.ok(later - at[i]! >= periodMs, `${paymentsPerPeriod + 1} payments of ${node.alias} in a period`);
    });
    const attempts = new Map<string, number>();
    for (const { opening } of deals.values()) {
      if (opening.kind !== "intent" || opening.node !== node.pubkey) continue;
      const before = attempts.get(opening.channelPoint) ?? -Infinity;
      // A millisecond for the rounding of both.
      assert.ok(opening.atWallMs - before >= attemptSpacingMs - 1, `${node.alias} paid again too soon`);
      attempts.set(opening.channelPoint, opening.atWallMs);
    }
    for (const peer of this.nodes) {
      if (this.operatorOf(peer) === this.operatorOf(node)) continue;
      const between = (from: ClusterNode, to: ClusterNode, count: (payment: SimPayment) => boolean) =>
        this.cluster.payments(from)
          .filter((payment) => count(payment) && payment.htlcs.some(({ hops }) => hops.at(-1)?.pubkey === to.pubkey))
          .reduce((sum, { valueMsat }) => sum + valueMsat / 1_000n, 0n);
      const outflowSat = between(node, peer, ({ status }) => status !== "FAILED") -
        between(peer, node, ({ status }) => status === "SUCCEEDED");
      assert.ok(outflowSat <= netOutflowSat, `${node.alias} has ${outflowSat} sat out with ${peer.alias}`);
    }
  }

  /** The whole truth at the end: nothing open but what LND never heard of, and both sides' sums are LND's. */
  assertReconciled(): void {
    let settledSat = 0n;
    let receivedSat = 0n;
    for (const operator of this.operators) {
      const unseen = new Set(this.unseen(operator));
      for (const [key, deal] of operator.deals()) {
        assert.ok(deal.end !== "open" || unseen.has(deal) || this.#isUnseen(deal), `${operator.name}: ${key} is open`);
        if (deal.end === "settled") settledSat += deal.opening.amountSat;
        if (deal.end === "received") receivedSat += deal.opening.amountSat;
      }
    }
    const paidSat = this.nodes.flatMap((node) => this.cluster.payments(node))
      .filter(({ status }) => status === "SUCCEEDED")
      .reduce((sum, { valueMsat }) => sum + valueMsat / 1_000n, 0n);
    assert.deepEqual({ settledSat, receivedSat }, { settledSat: paidSat, receivedSat: paidSat });
  }

  #isUnseen({ opening, end }: Deal): boolean {
    return opening.kind === "intent" && end === "open" &&
      this.#payment(opening.node, opening.paymentHash) === undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.delivered();
    await this.cluster[Symbol.asyncDispose]();
  }
}

function fits(event: Readonly<Record<string, unknown>>, paymentHash: string, kind: RegExp): boolean {
  return event.paymentHash === paymentHash && event.role === "payer" && kind.test(String(event.kind));
}
