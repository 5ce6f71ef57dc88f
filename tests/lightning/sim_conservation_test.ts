import assert from "node:assert/strict";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import fc from "fast-check";
import { msat, sat } from "../../lib/domain/amounts.ts";
import { type ChannelPoint, type NodePubkey, parsePaymentHash, type PaymentHash } from "../../lib/domain/ids.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { isRefusal, type SimOpenChannel } from "../../lib/lightning/sim/model.ts";
import { SimNetwork } from "../../lib/lightning/sim/network.ts";

const hashOf = (preimage: string) => parsePaymentHash(bytesToHex(sha256(hexToBytes(preimage))))!;

/** Three nodes of three versions, all that can happen to them, and a book of who should own what. */
class Trial {
  readonly #random: SeededRandom;
  readonly network: SimNetwork;
  readonly nodes: readonly [NodePubkey, NodePubkey, NodePubkey];
  /** What each node put in, and what traffic brought or took. */
  readonly #owned = new Map<NodePubkey, bigint>();
  readonly #channels: { point: ChannelPoint; ends: readonly [NodePubkey, NodePubkey] }[] = [];
  readonly #held: { by: NodePubkey; preimage: string }[] = [];

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
    const network = new SimNetwork({ random: this.#random, start: { atMs: 0, wallMs: Date.UTC(2026, 0, 1) } });
    const add = (version: string) => network.addNode({ alias: version, version });
    this.network = network;
    this.nodes = [add("0.17.5-beta"), add("0.18.5-beta"), add("0.19.3-beta")];
    const [a, b, c] = this.nodes;
    for (const [from, to] of [[a, b], [a, b], [b, c], [c, a]] as const) {
      this.#open({ from, to, capacitySat: sat(1_000_000), pushSat: sat(400_000), instant: true });
    }
  }

  #open(request: SimOpenChannel): void {
    const point = this.network.openChannel(request);
    if (isRefusal(point)) return;
    this.#channels.push({ point, ends: [request.from, request.to] });
    this.#book(request.from, request.capacitySat - (request.pushSat ?? 0n));
    this.#book(request.to, request.pushSat ?? 0n);
  }

  #book(node: NodePubkey, amountSat: bigint): void {
    this.#owned.set(node, (this.#owned.get(node) ?? 0n) + amountSat);
  }

  /** One of many things, chosen by the numbers. */
  act([action, x, amount]: readonly [number, number, number]): void {
    const { network, nodes } = this;
    const node = nodes[x % 3]!;
    const peer = nodes[(x + 1 + (x % 2)) % 3]!;
    const on = (x >> 2) % 2 === 0;
    const amountMsat = msat(BigInt(amount) * 1_000n);
    const { point: channelPoint, ends } = this.#channels[x % this.#channels.length]!;
    const [from, to] = on ? ends : [ends[1], ends[0]];
    const crossed = () => {
      this.#book(from, -BigInt(amount));
      this.#book(to, BigInt(amount));
    };
    switch (action) {
      case 0:
      case 1:
      case 2: {
        const preimage = bytesToHex(this.#random.bytes(32));
        const hold = action === 0;
        if (hold) this.#held.push({ by: peer, preimage });
        const invoice = network.addInvoice(peer, {
          valueMsat: amountMsat,
          ...(hold ? { hash: hashOf(preimage) } : { preimage }),
        });
        assert.ok(!isRefusal(invoice));
        // Now and then everybody pays the same one.
        for (const payer of x % 5 === 0 ? nodes : [node]) {
          network.sendPayment(payer, { paymentRequest: invoice.paymentRequest, timeoutSec: 1 + (x % 60) });
        }
        return;
      }
      case 3: {
        const fails = x % 7 === 0;
        const refused = network.forward({ channelPoint, from, amountMsat, durationMs: x, fails });
        if (refused === undefined && !fails) crossed();
        return;
      }
      case 4:
        if (network.shift(channelPoint, from, amountMsat) === undefined) crossed();
        return;
      case 5: {
        const held = this.#held[x % Math.max(1, this.#held.length)];
        if (held === undefined) return;
        if (on) network.settleInvoice(held.by, held.preimage);
        else network.cancelInvoice(held.by, hashOf(held.preimage));
        return;
      }
      case 6:
        return on ? network.freezeNode(node) : network.thawNode(node);
      case 7:
        return on ? network.stopNode(node) : network.startNode(node);
      case 8:
        return network.setConnected(node, peer, on);
      case 9:
        return network.setChainUp(node, on);
      case 10:
        return network.failNextAttempts(node, x % 3, x);
      case 11:
        return this.#open({ from: node, to: peer, capacitySat: sat(100_000 + amount), pushSat: sat(amount) });
      default:
        return network.advance(network.now().atMs + x);
    }
  }

  /** Everything is well again, and all that was held is let go. */
  comeToRest(): void {
    const { network, nodes } = this;
    for (const node of nodes) {
      network.startNode(node);
      network.thawNode(node);
      network.setChainUp(node, true);
      for (const peer of nodes) if (peer !== node) network.setConnected(node, peer, true);
    }
    network.advance(network.now().atMs + 100_000);
    for (const { by, preimage } of this.#held) network.cancelInvoice(by, hashOf(preimage));
    // Longer than any invoice lives.
    network.advance(network.now().atMs + 100_000_000);
  }

  /** Nothing is under way, and each node owns what its own invoices and payments say. */
  check(): void {
    const { network, nodes } = this;
    for (const node of nodes) {
      const expected = network.invoices(node).reduce((sum, one) => sum + one.amountPaidMsat / 1_000n, 0n) -
        this.#payments(node).reduce(
          (sum, one) => sum + (one.status === "SUCCEEDED" ? one.valueMsat / 1_000n : 0n),
          0n,
        ) +
        this.#owned.get(node)!;
      const owned = network.listChannels(node).reduce((sum, channel) => {
        assert.deepEqual(channel.pendingHtlcs, []);
        // The opener also owns what it set aside for the commitment.
        return sum + (channel.initiator ? channel.capacitySat - channel.remoteSat : channel.localSat);
      }, 0n);
      assert.equal(owned, expected);
    }
  }

  #payments(node: NodePubkey) {
    const payments = this.network.listPayments(node, { indexOffset: 0n, maxPayments: 0 });
    for (const { paymentHash, status } of payments) assert.notEqual(status, "IN_FLIGHT", paymentHash);
    return payments;
  }

  /** No invoice was paid by two. */
  checkPaidOnce(): void {
    const paid = new Map<PaymentHash, number>();
    for (const node of this.nodes) {
      for (const { paymentHash, status } of this.#payments(node)) {
        if (status === "SUCCEEDED") paid.set(paymentHash, (paid.get(paymentHash) ?? 0) + 1);
      }
    }
    for (const node of this.nodes) {
      for (const { paymentHash, state } of this.network.invoices(node)) {
        assert.equal(paid.get(paymentHash) ?? 0, state === "SETTLED" ? 1 : 0);
      }
    }
  }
}

// Each step also runs the network's own check of every channel, to the millisatoshi.
Deno.test("whatever happens to the nodes, no satoshi is made, lost or paid twice", () => {
  const action = fc.tuple(fc.integer({ min: 0, max: 15 }), fc.nat(400), fc.integer({ min: 1, max: 300_000 }));
  fc.assert(
    fc.property(fc.nat(1_000), fc.array(action, { minLength: 5, maxLength: 60 }), (seed, actions) => {
      const trial = new Trial(seed);
      for (const one of actions) trial.act(one);
      trial.comeToRest();
      trial.check();
      trial.checkPaidOnce();
    }),
    { numRuns: 60, seed: 0x5eed },
  );
});
