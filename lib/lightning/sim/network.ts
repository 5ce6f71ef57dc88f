import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, hexToBytes, utf8ToBytes } from "@noble/hashes/utils.js";
import { type Msat, msat, type Sat, sat } from "../../domain/amounts.ts";
import { invariant } from "../../domain/errors.ts";
import {
  type ChannelPoint,
  type NodePubkey,
  parseChannelPoint,
  type PaymentHash,
  type ShortChannelId,
} from "../../domain/ids.ts";
import type { Network } from "../../domain/network.ts";
import type { Now } from "../../env/clock.ts";
import type { Bolt11Decoding } from "../bolt11.ts";
import { Channel, otherSide, type Side } from "./channel.ts";
import { InvoiceBook } from "./invoice_book.ts";
import { lndBehaviour } from "./lnd_version.ts";
import type {
  SimChannel,
  SimClosedChannel,
  SimEvent,
  SimForward,
  SimHost,
  SimInvoice,
  SimInvoiceRequest,
  SimListPayments,
  SimNetworkModel,
  SimNetworkOptions,
  SimNodeInfo,
  SimNodeSpec,
  SimOpenChannel,
  SimPayment,
  SimPaymentRequest,
  SimRefusal,
  SimTiming,
} from "./model.ts";
import { drawSecretKey, pubkeyOf, recoverLndMessageKey, signLndMessage } from "./node_key.ts";
import { PaymentEngine } from "./payment_engine.ts";
import { type Link, refusal, World } from "./world.ts";

/** LND takes 3 confirmations for small channels. */
const confirmations = 3;
/** Weight of a cooperative close with two outputs, as its fee was recorded. */
const closeWeight = 1_098n;
/** BOLT 2's smallest channel at LND. */
const minCapacitySat = 20_000n;
/** LND's aliases begin at this block. */
const aliasBlock = 16_000_000n;

/**
 * A simulated Lightning network; see {@link SimNetworkModel}. Pure: its time is what `advance` says, its chance what it was
 * given. It is its own host for use in virtual time.
 */
export class SimNetwork implements SimNetworkModel, SimHost {
  readonly #world: World;
  readonly #invoices: InvoiceBook;
  readonly #payments: PaymentEngine;
  #block = { height: -1, hash: "" };
  #transactions = 0n;
  #depth = 0;

  constructor(options: SimNetworkOptions) {
    this.#world = new World(options);
    this.#invoices = new InvoiceBook(this.#world);
    this.#payments = new PaymentEngine(this.#world, this.#invoices);
    if (this.#world.timing.blockMs > 0) this.#mineBlocks(this.#world.timing.blockMs);
  }

  get bitcoinNetwork(): Network {
    return this.#world.network;
  }

  get timing(): SimTiming {
    return this.#world.timing;
  }

  /** Itself, as a {@link SimHost}. */
  get network(): SimNetworkModel {
    return this;
  }

  run<T>(command: (network: SimNetworkModel) => T): T {
    const result = command(this);
    this.advance(this.now().atMs);
    return result;
  }

  // Time

  now(): Now {
    return this.#world.now();
  }

  nextTimeoutMs(): number | undefined {
    return this.#world.nextAtMs;
  }

  advance(atMs: number): void {
    // A listener may run a command, which advances: the loop below then goes on with what is due.
    if (this.#depth > 0) return;
    while (this.#change(() => this.#world.doNext(atMs)));
  }

  schedule(delayMs: number, action: () => void): () => void {
    return this.#world.after(delayMs, action);
  }

  setTiming(timing: Partial<SimTiming>): void {
    this.#world.timing = { ...this.#world.timing, ...timing };
  }

  /** Every change goes through here: what it did must conserve, and only then is it told. */
  #change<T>(change: () => T): T {
    this.#depth++;
    try {
      const result = change();
      this.assertConserved();
      if (this.#depth === 1) this.#world.deliver();
      return result;
    } finally {
      this.#depth--;
    }
  }

  assertConserved(): void {
    for (const channel of this.#world.channels.values()) channel.assertConserved();
  }

  #mineBlocks(blockMs: number): void {
    this.#world.after(blockMs, () => {
      this.#world.height++;
      this.#mineBlocks(blockMs);
    });
  }

  // Nodes

  addNode(spec: SimNodeSpec): NodePubkey {
    const secretKey = spec.secretKey === undefined ? drawSecretKey(this.#world.random) : hexToBytes(spec.secretKey);
    const pubkey = pubkeyOf(secretKey);
    invariant(!this.#world.nodes.has(pubkey), "each node has a key of its own");
    const version = spec.version ?? "0.18.5-beta";
    this.#world.nodes.set(pubkey, {
      pubkey,
      secretKey,
      alias: spec.alias,
      color: spec.color ?? "#3399ff",
      version,
      behaviour: lndBehaviour(version),
      running: true,
      frozen: false,
      chainUp: true,
      life: 1,
      invoices: new Map(),
      addIndex: 0n,
      settleIndex: 0n,
      payments: new Map(),
      paymentIndex: 0n,
      attemptId: 0n,
      attemptsToFail: { count: 0, afterMs: 0 },
      closed: [],
      pendingOpen: new Set(),
      listeners: new Set(),
    });
    return pubkey;
  }

  nodes(): readonly NodePubkey[] {
    return [...this.#world.nodes.keys()];
  }

  nodeInfo(pubkey: NodePubkey): SimNodeInfo {
    const node = this.#world.node(pubkey);
    const active = this.#world.channelsOf(pubkey).map((channel) => channel.active[channel.sideOf(pubkey)]);
    const { height, network } = this.#world;
    return {
      pubkey,
      alias: node.alias,
      color: node.color,
      version: node.version,
      network,
      blockHeight: height,
      blockHash: this.#blockHash(height),
      bestHeaderAtWallMs: this.#world.wallMs,
      activeChannels: active.filter((one) => one).length,
      inactiveChannels: active.filter((one) => !one).length,
      pendingChannels: node.pendingOpen.size,
      peers: this.#world.linksOf(pubkey).filter((link) => link.up).map((link) => peerOf(link.nodes, pubkey)),
      chainUp: node.chainUp,
      running: node.running,
      frozen: node.frozen,
    };
  }

  /** Kept: nodes are looked at far more often than blocks are found. */
  #blockHash(height: number): string {
    if (this.#block.height !== height) {
      this.#block = { height, hash: bytesToHex(sha256(utf8ToBytes(`block ${height}`))) };
    }
    return this.#block.hash;
  }

  subscribe(pubkey: NodePubkey, listener: (event: SimEvent) => void): () => void {
    const { listeners } = this.#world.node(pubkey);
    // One function may subscribe twice, and leaves once for each.
    const own = (event: SimEvent) => listener(event);
    listeners.add(own);
    return () => listeners.delete(own);
  }

  // Reachability

  stopNode(pubkey: NodePubkey): void {
    this.#change(() => {
      const node = this.#world.node(pubkey);
      if (!node.running) return;
      node.running = false;
      node.frozen = false;
      this.#world.emit(node, { kind: "running", running: false });
      for (const link of this.#world.linksOf(pubkey)) {
        if (link.up) this.#loseLink(link.nodes, pubkey);
      }
    });
  }

  /** The side that went away sees it at once, the other after a while. */
  #loseLink(nodes: readonly [NodePubkey, NodePubkey], gone: NodePubkey): void {
    const link = this.#world.link(...nodes);
    link.up = false;
    this.#setActive(nodes, gone, false);
    const peer = peerOf(nodes, gone);
    this.#world.after(this.#world.timing.offlineNoticeMs, () => {
      if (link.up || !this.#world.node(peer).running) return;
      this.#setActive(nodes, peer, false);
      this.#world.emit(this.#world.node(peer), { kind: "peer", pubkey: gone, online: false });
    });
  }

  startNode(pubkey: NodePubkey): void {
    this.#change(() => {
      const node = this.#world.node(pubkey);
      if (node.running) return;
      node.running = true;
      node.life++;
      this.#world.emit(node, { kind: "running", running: true });
      for (const link of this.#world.linksOf(pubkey)) this.#reconnect(link.nodes);
      this.#world.wake();
    });
  }

  #reconnect(nodes: readonly [NodePubkey, NodePubkey]): void {
    const [a, b] = nodes;
    const link = this.#world.link(a, b);
    const possible = () => link.wanted && !link.up && this.#world.node(a).running && this.#world.node(b).running;
    if (!possible()) return;
    this.#world.after(this.#world.timing.onlineNoticeMs, () => {
      if (possible()) this.#comeUp(link);
    });
  }

  #comeUp(link: Link): void {
    link.up = true;
    for (const pubkey of link.nodes) {
      this.#world.emit(this.#world.node(pubkey), { kind: "peer", pubkey: peerOf(link.nodes, pubkey), online: true });
      this.#setActive(link.nodes, pubkey, true);
    }
    this.#world.wake();
  }

  #setActive(nodes: readonly [NodePubkey, NodePubkey], seenBy: NodePubkey, active: boolean): void {
    for (const channel of this.#world.channelsBetween(...nodes)) {
      this.#world.setActive(channel, channel.sideOf(seenBy), active && channel.up);
    }
  }

  setChannelUp(channelPoint: ChannelPoint, up: boolean): void {
    this.#change(() => {
      const channel = this.#world.channels.get(channelPoint);
      invariant(channel !== undefined, "only open channels go up and down");
      channel.up = up;
      const active = up && this.#world.link(...channel.terms.nodes).up;
      for (const side of [0, 1] as const) this.#world.setActive(channel, side, active);
      this.#world.wake();
    });
  }

  freezeNode(pubkey: NodePubkey): void {
    this.#setFrozen(pubkey, true);
  }

  thawNode(pubkey: NodePubkey): void {
    this.#setFrozen(pubkey, false);
  }

  #setFrozen(pubkey: NodePubkey, frozen: boolean): void {
    this.#change(() => {
      const node = this.#world.node(pubkey);
      if (node.frozen === frozen || !node.running) return;
      node.frozen = frozen;
      this.#world.emit(node, { kind: "frozen", frozen });
      this.#world.wake();
    });
  }

  setChainUp(pubkey: NodePubkey, up: boolean): void {
    this.#change(() => {
      this.#world.node(pubkey).chainUp = up;
      this.#world.wake();
    });
  }

  setConnected(a: NodePubkey, b: NodePubkey, connected: boolean): void {
    this.#change(() => {
      const link = this.#world.link(a, b);
      link.wanted = connected;
      if (connected) return this.#reconnect(link.nodes);
      if (!link.up) return;
      link.up = false;
      for (const pubkey of link.nodes) {
        this.#setActive(link.nodes, pubkey, false);
        this.#world.emit(this.#world.node(pubkey), { kind: "peer", pubkey: peerOf(link.nodes, pubkey), online: false });
      }
    });
  }

  // Channels

  openChannel(request: SimOpenChannel): ChannelPoint | SimRefusal {
    const { from, to, capacitySat } = request;
    const pushSat = request.pushSat ?? sat(0n);
    if (capacitySat < minCapacitySat) {
      return refusal("bad-request", `channel is too small, the minimum channel size is: ${minCapacitySat} SAT`);
    }
    if (pushSat < 0n || pushSat >= capacitySat) {
      return refusal(
        "bad-request",
        "amount pushed to remote peer for initial state must be below the local funding amount",
      );
    }
    const opener = this.#world.node(from);
    if (from === to) return refusal("bad-request", "cannot open channel to self");
    if (!opener.running || !this.#world.node(to).running) {
      return refusal("channel-inactive", `peer ${to} is not online`);
    }
    return this.#change(() => {
      const channelPoint = parseChannelPoint(`${this.#world.randomHex(32)}:0`);
      invariant(channelPoint !== undefined, "a drawn channel point is well formed");
      const link = this.#world.link(from, to);
      link.wanted = true;
      // Opening connects, and then the channels that the two have are active, too.
      if (!link.up && this.#world.channelsBetween(from, to).length > 0) this.#comeUp(link);
      link.up = true;
      const feePerKwSat = request.feePerKwSat ?? opener.behaviour.feePerKwSat;
      const open = () => this.#addChannel(channelPoint, request, pushSat, feePerKwSat);
      if (request.instant === true) {
        open();
        return channelPoint;
      }
      for (const pubkey of [from, to]) {
        this.#world.node(pubkey).pendingOpen.add(channelPoint);
        this.#world.emitChannel(pubkey, { kind: "pending-open", channelPoint });
      }
      this.#world.after(this.#world.timing.channelOpenMs, () => {
        this.#world.height += confirmations;
        const channel = open();
        for (const side of [0, 1] as const) {
          const pubkey = channel.terms.nodes[side];
          this.#world.node(pubkey).pendingOpen.delete(channelPoint);
          const event = { kind: "open", channelPoint, channel: this.#show(channel, side) } as const;
          this.#world.emitChannel(pubkey, event);
          this.#world.after(this.#world.timing.onlineNoticeMs, () => {
            if (channel.active[side]) this.#world.emitChannel(pubkey, { kind: "active", channelPoint });
          });
        }
      });
      return channelPoint;
    });
  }

  #addChannel(channelPoint: ChannelPoint, request: SimOpenChannel, pushSat: Sat, feePerKwSat: Sat): Channel {
    const { from, to } = request;
    const channel = new Channel({
      channelPoint,
      nodes: [from, to],
      capacitySat: request.capacitySat,
      pushSat,
      feePerKwSat,
      confirmedScid: this.#nextScid(BigInt(this.#world.height)),
      aliases: request.aliases === true ? [this.#nextScid(aliasBlock), this.#nextScid(aliasBlock)] : undefined,
      private: request.private ?? false,
      memo: request.memo ?? "",
      customChannelData: request.customChannelData ?? "",
      maxAcceptedHtlcs: request.maxAcceptedHtlcs ?? 483,
      openedAtWallMs: this.#world.wallMs,
    });
    const { up } = this.#world.link(from, to);
    channel.active[0] = channel.active[1] = up;
    this.#world.channels.set(channelPoint, channel);
    return channel;
  }

  #nextScid(block: bigint): ShortChannelId {
    this.#transactions++;
    return ((block << 40n) | (this.#transactions << 16n)).toString() as ShortChannelId;
  }

  closeChannel(pubkey: NodePubkey, channelPoint: ChannelPoint, force = false): SimRefusal | undefined {
    const channel = this.#world.channels.get(channelPoint);
    if (channel === undefined || !channel.terms.nodes.includes(pubkey)) {
      return refusal("unknown-channel", "channel not found");
    }
    // Claiming HTLCs on the chain is beyond this simulation, so a forced close waits for them as well.
    if (channel.htlcCount > 0) return refusal("htlcs-pending", "cannot co-op close channel with active htlcs");
    const closer = channel.sideOf(pubkey);
    if (!force && !channel.active[closer]) {
      return refusal("channel-inactive", "unable to close channel, peer is offline");
    }
    this.#change(() => {
      for (const side of [0, 1] as const) this.#world.setActive(channel, side, false);
      this.#world.channels.delete(channelPoint);
      this.#world.after(this.#world.timing.channelCloseMs, () => {
        this.#world.height++;
        const closingTxHash = this.#world.randomHex(32);
        for (const side of [0, 1] as const) {
          const summary = this.#closeSummary(channel, side, closer, force, closingTxHash);
          this.#world.node(channel.terms.nodes[side]).closed.push(summary);
          this.#world.emitChannel(channel.terms.nodes[side], { kind: "closed", channelPoint, summary });
          if (!force) this.#world.emitChannel(channel.terms.nodes[side], { kind: "fully-resolved", channelPoint });
        }
      });
    });
    return undefined;
  }

  #closeSummary(channel: Channel, side: Side, closer: Side, force: boolean, closingTxHash: string): SimClosedChannel {
    const { terms } = channel;
    const view = channel.view(side);
    // The opener gets back what it had set aside for the commitment, less what the closing transaction costs.
    const backSat = side === 0 && !force
      ? terms.capacitySat - view.localSat - view.remoteSat - (terms.feePerKwSat * closeWeight) / 1_000n
      : 0n;
    const timeLocked = force && side === closer;
    const ownSat = sat(view.localSat + backSat);
    return {
      channelPoint: terms.channelPoint,
      chanId: channel.chanId(side),
      closingTxHash,
      remotePubkey: terms.nodes[otherSide(side)],
      capacitySat: terms.capacitySat,
      closeHeight: this.#world.height,
      settledSat: timeLocked ? sat(0n) : ownSat,
      timeLockedSat: timeLocked ? ownSat : sat(0n),
      closeType: !force ? "COOPERATIVE_CLOSE" : side === closer ? "LOCAL_FORCE_CLOSE" : "REMOTE_FORCE_CLOSE",
      openInitiator: side === 0 ? "INITIATOR_LOCAL" : "INITIATOR_REMOTE",
      closeInitiator: side === closer ? "INITIATOR_LOCAL" : "INITIATOR_REMOTE",
    };
  }

  listChannels(pubkey: NodePubkey): readonly SimChannel[] {
    return this.#world.channelsOf(pubkey).map((channel) => this.#show(channel, channel.sideOf(pubkey)));
  }

  channel(pubkey: NodePubkey, channelPoint: ChannelPoint): SimChannel | undefined {
    const channel = this.#world.channels.get(channelPoint);
    return channel?.terms.nodes.includes(pubkey) ? this.#show(channel, channel.sideOf(pubkey)) : undefined;
  }

  #show(channel: Channel, side: Side): SimChannel {
    const { terms } = channel;
    const remotePubkey = terms.nodes[otherSide(side)];
    const none = "0" as ShortChannelId;
    return {
      ...channel.view(side),
      channelPoint: terms.channelPoint,
      chanId: channel.chanId(side),
      aliasScids: terms.aliases === undefined ? [] : [terms.aliases[side]],
      peerScidAlias: terms.aliases?.[otherSide(side)] ?? none,
      zeroConf: terms.aliases !== undefined,
      zeroConfConfirmedScid: terms.aliases === undefined ? none : terms.confirmedScid,
      remotePubkey,
      peerAlias: this.#world.node(remotePubkey).alias,
      active: channel.active[side],
      private: terms.private,
      initiator: side === 0,
      capacitySat: terms.capacitySat,
      feePerKwSat: terms.feePerKwSat,
      pushSat: terms.pushSat,
      localConstraints: channel.constraints,
      remoteConstraints: channel.constraints,
      openedAtWallMs: terms.openedAtWallMs,
      memo: terms.memo,
      customChannelData: terms.customChannelData,
    };
  }

  closedChannels(pubkey: NodePubkey): readonly SimClosedChannel[] {
    return [...this.#world.node(pubkey).closed];
  }

  pendingChannels(pubkey: NodePubkey): readonly ChannelPoint[] {
    return [...this.#world.node(pubkey).pendingOpen];
  }

  spendableMsat(pubkey: NodePubkey, channelPoint: ChannelPoint): Msat {
    const channel = this.#world.channels.get(channelPoint);
    invariant(channel !== undefined, "only open channels are asked about");
    const side = channel.sideOf(pubkey);
    return channel.active[side] ? channel.spendableMsat(side, this.#world.node(pubkey).behaviour) : msat(0n);
  }

  // Invoices and payments

  addInvoice(pubkey: NodePubkey, request: SimInvoiceRequest): SimInvoice | SimRefusal {
    return this.#change(() => this.#invoices.add(this.#world.node(pubkey), request));
  }

  invoice(pubkey: NodePubkey, hash: PaymentHash): SimInvoice | undefined {
    return this.#world.node(pubkey).invoices.get(hash);
  }

  invoices(pubkey: NodePubkey): readonly SimInvoice[] {
    return [...this.#world.node(pubkey).invoices.values()];
  }

  settleInvoice(pubkey: NodePubkey, preimage: string): SimRefusal | undefined {
    return this.#change(() => this.#invoices.settle(this.#world.node(pubkey), preimage));
  }

  cancelInvoice(pubkey: NodePubkey, hash: PaymentHash): SimRefusal | undefined {
    return this.#change(() => this.#invoices.cancel(this.#world.node(pubkey), hash));
  }

  sendPayment(pubkey: NodePubkey, request: SimPaymentRequest): SimPayment | SimRefusal {
    return this.#change(() => this.#payments.send(this.#world.node(pubkey), request));
  }

  payment(pubkey: NodePubkey, hash: PaymentHash): SimPayment | undefined {
    return this.#world.node(pubkey).payments.get(hash);
  }

  listPayments(pubkey: NodePubkey, query: SimListPayments): readonly SimPayment[] {
    const { indexOffset, maxPayments, reversed = false, includeIncomplete = true } = query;
    const found = [...this.#world.node(pubkey).payments.values()]
      .sort((a, b) => (a.paymentIndex < b.paymentIndex ? -1 : 1))
      .filter((payment) => includeIncomplete || payment.status === "SUCCEEDED")
      .filter(({ paymentIndex }) =>
        reversed ? indexOffset === 0n || paymentIndex < indexOffset : paymentIndex > indexOffset
      );
    if (maxPayments === 0) return found;
    return reversed ? found.slice(-maxPayments) : found.slice(0, maxPayments);
  }

  decodeInvoice(text: string): Bolt11Decoding {
    return this.#payments.decode(text);
  }

  signMessage(pubkey: NodePubkey, message: Uint8Array): string {
    return signLndMessage(message, this.#world.node(pubkey).secretKey);
  }

  verifyMessage(message: Uint8Array, signature: string): { valid: boolean; pubkey: string } | SimRefusal {
    const recovered = recoverLndMessageKey(message, signature);
    if ("illegalAt" in recovered) {
      return refusal(
        "bad-request",
        `failed to decode signature: illegal z-base-32 data at input byte ${recovered.illegalAt}`,
      );
    }
    const { pubkey } = recovered;
    return { valid: pubkey !== "" && this.#world.nodes.has(pubkey), pubkey };
  }

  // Traffic and faults

  forward(request: SimForward): SimRefusal | undefined {
    return this.#change(() => this.#payments.forward(request));
  }

  shift(channelPoint: ChannelPoint, from: NodePubkey, amountMsat: Msat): SimRefusal | undefined {
    return this.#change(() => this.#payments.shift({ channelPoint, from, amountMsat }));
  }

  failNextAttempts(pubkey: NodePubkey, count: number, afterMs = 0): void {
    Object.assign(this.#world.node(pubkey).attemptsToFail, { count, afterMs });
  }
}

function peerOf(nodes: readonly [NodePubkey, NodePubkey], own: NodePubkey): NodePubkey {
  return nodes[0] === own ? nodes[1] : nodes[0];
}
