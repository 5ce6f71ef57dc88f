import { invariant } from "../../domain/errors.ts";
import type { ChannelPoint, NodePubkey, PaymentHash } from "../../domain/ids.ts";
import type { Network } from "../../domain/network.ts";
import type { Now } from "../../env/clock.ts";
import { type Random, randomFraction } from "../../env/random.ts";
import { bytesToHex } from "@noble/hashes/utils.js";
import type { Channel, Side } from "./channel.ts";
import type { LndBehaviour } from "./lnd_version.ts";
import type {
  SimChannelEvent,
  SimClosedChannel,
  SimEvent,
  SimHtlcEvent,
  SimInvoice,
  SimNetworkOptions,
  SimPayment,
  SimRefusal,
  SimTiming,
} from "./model.ts";
import { recordedTiming } from "./model.ts";
import { Schedule } from "./schedule.ts";

/** One node's state. */
export interface NodeState {
  readonly pubkey: NodePubkey;
  readonly secretKey: Uint8Array;
  readonly alias: string;
  readonly color: string;
  readonly version: string;
  readonly behaviour: LndBehaviour;
  running: boolean;
  frozen: boolean;
  chainUp: boolean;
  /** How often it was started: what a life began, the next doesn't go on with unless an HTLC is out. */
  life: number;
  readonly invoices: Map<PaymentHash, SimInvoice>;
  addIndex: bigint;
  settleIndex: bigint;
  readonly payments: Map<PaymentHash, SimPayment>;
  paymentIndex: bigint;
  attemptId: bigint;
  readonly attemptsToFail: { count: number; afterMs: number };
  readonly closed: SimClosedChannel[];
  readonly pendingOpen: Set<ChannelPoint>;
  readonly listeners: Set<(event: SimEvent) => void>;
}

/** The connection between two nodes: whether they want one, and whether it stands. */
export interface Link {
  readonly nodes: readonly [NodePubkey, NodePubkey];
  wanted: boolean;
  up: boolean;
}

interface Waiting {
  readonly ready: () => boolean;
  readonly action: () => void;
}

/** What all parts of the simulation share: nodes, channels, links, time and events. */
export class World {
  readonly network: Network;
  readonly random: Random;
  readonly nodes = new Map<NodePubkey, NodeState>();
  /** Open ones only. */
  readonly channels = new Map<ChannelPoint, Channel>();
  readonly #links = new Map<string, Link>();
  readonly #schedule = new Schedule();
  readonly #waiting = new Set<Waiting>();
  readonly #start: Now;
  #atMs: number;
  #outbox: (() => void)[] = [];
  timing: SimTiming;
  height: number;

  constructor(options: SimNetworkOptions) {
    this.network = options.network ?? "regtest";
    this.random = options.random;
    this.#start = options.start;
    this.#atMs = options.start.atMs;
    this.timing = { ...recordedTiming, ...options.timing };
    this.height = options.startHeight ?? 472;
  }

  now(): Now {
    return { atMs: this.#atMs, wallMs: this.wallMs };
  }

  get wallMs(): number {
    return this.#start.wallMs + this.#atMs - this.#start.atMs;
  }

  node(pubkey: NodePubkey): NodeState {
    const node = this.nodes.get(pubkey);
    invariant(node !== undefined, "only nodes of the network are asked about");
    return node;
  }

  randomHex(byteLength: number): string {
    return bytesToHex(this.random.bytes(byteLength));
  }

  randomBetween([least, most]: readonly [number, number]): number {
    return least + (most - least) * randomFraction(this.random);
  }

  // Time

  get nextAtMs(): number | undefined {
    return this.#schedule.nextAtMs;
  }

  after(delayMs: number, action: () => void): () => void {
    return this.#schedule.add(this.#atMs + delayMs, action);
  }

  /** After the delay, and then not before `ready` holds: a message waits until its receiver reads again. */
  step(delayMs: number, ready: () => boolean, action: () => void): void {
    this.after(delayMs, () => {
      if (ready()) action();
      else this.#waiting.add({ ready, action });
    });
  }

  /** To be called after every change that `ready` conditions look at. */
  wake(): void {
    for (const waiting of [...this.#waiting]) {
      if (!waiting.ready()) continue;
      this.#waiting.delete(waiting);
      this.step(0, waiting.ready, waiting.action);
    }
  }

  /** Goes to the next thing due by `atMs` and does it. @returns false when there was none; time is then `atMs` */
  doNext(atMs: number): boolean {
    const due = this.#schedule.takeDue(atMs);
    this.#atMs = Math.max(this.#atMs, due?.atMs ?? atMs);
    due?.action();
    return due !== undefined;
  }

  // Events

  emit(node: NodeState, event: SimEvent): void {
    for (const listener of node.listeners) {
      // A listener that left meanwhile hears nothing more.
      this.#outbox.push(() => node.listeners.has(listener) && listener(event));
    }
  }

  emitChannel(node: NodePubkey, channel: SimChannelEvent): void {
    this.emit(this.node(node), { kind: "channel", channel });
  }

  emitHtlc(node: NodePubkey, htlc: Omit<SimHtlcEvent, "atWallMs">): void {
    this.emit(this.node(node), { kind: "htlc", htlc: { ...htlc, atWallMs: this.wallMs } });
  }

  /** Delivers what has been emitted, and what that causes. */
  deliver(): void {
    while (this.#outbox.length > 0) {
      const events = this.#outbox;
      this.#outbox = [];
      for (const event of events) event();
    }
  }

  // Links

  link(a: NodePubkey, b: NodePubkey): Link {
    const nodes: [NodePubkey, NodePubkey] = a < b ? [a, b] : [b, a];
    const key = nodes.join();
    let link = this.#links.get(key);
    if (link === undefined) this.#links.set(key, link = { nodes, wanted: false, up: false });
    return link;
  }

  linksOf(pubkey: NodePubkey): Link[] {
    return [...this.#links.values()].filter((link) => link.nodes.includes(pubkey));
  }

  channelsOf(pubkey: NodePubkey): Channel[] {
    return [...this.channels.values()].filter((channel) => channel.terms.nodes.includes(pubkey));
  }

  channelsBetween(a: NodePubkey, b: NodePubkey): Channel[] {
    return this.channelsOf(a).filter((channel) => channel.terms.nodes.includes(b));
  }

  /** Both sides of the channel exchange messages. */
  isLive(channel: Channel): boolean {
    const [a, b] = channel.terms.nodes;
    return channel.up && this.link(a, b).up && this.isAwake(a) && this.isAwake(b);
  }

  isAwake(pubkey: NodePubkey): boolean {
    const node = this.node(pubkey);
    return node.running && !node.frozen;
  }

  setActive(channel: Channel, side: Side, active: boolean): void {
    if (channel.active[side] === active) return;
    channel.active[side] = active;
    const { channelPoint, nodes } = channel.terms;
    this.emitChannel(nodes[side], { kind: active ? "active" : "inactive", channelPoint });
  }
}

export function refusal(reason: SimRefusal["reason"], text: string, code: SimRefusal["code"] = 2): SimRefusal {
  return { kind: "refused", reason, code, text };
}
