import type { EventRecord } from "../audit/record.ts";
import { formatSat, msat, type Sat, sat } from "../domain/amounts.ts";
import type { ChannelPoint, NodePubkey } from "../domain/ids.ts";
import {
  isInsideDeadzone,
  type ViewChannel,
  type ViewChannelState,
  type ViewMessage,
  type ViewModel,
  type ViewOperator,
  type ViewPayment,
} from "./view_model.ts";

/** A channel as the simulated network has it now. */
export interface DemoChannel {
  readonly name: string;
  readonly channelPoint: ChannelPoint;
  readonly first: string;
  readonly second: string;
  readonly firstSat: Sat;
  readonly secondSat: Sat;
  readonly unsettledSat: Sat;
}

export interface DemoFoldOptions {
  readonly totalMs: number | undefined;
  readonly acts: readonly { readonly atMs: number; readonly title: string }[];
  readonly operators: readonly { readonly name: string; readonly nodes: readonly string[] }[];
  readonly balancePoint: number;
  readonly deadzone: number;
}

/** Entries that a screen of any height could show. */
const keptEntries = 100;
/** Of so many rebalances, the latest, the median time is taken. */
const keptTimes = 1_000;

interface OperatorState {
  readonly name: string;
  readonly nodes: readonly string[];
  state: ViewOperator["state"];
  peerCount: number;
}

/** What the records say of one channel. */
interface ChannelStory {
  /** `operator node` of every side that watches it. */
  readonly watchers: Set<string>;
  action: Extract<ViewChannelState, { kind: "asking" | "paying" }> | undefined;
  /** By node: why it leaves the channel alone. */
  readonly reasons: Map<string, string>;
  rebalanceCount: number;
}

/** Reasons that say nothing but that the other side should act, or that nobody need. */
const quietReasons: readonly string[] = ["balanced", "other-side"];

/** Makes the live view's model out of what happens: the two instances' event records, and the balances from time to time. */
export class DemoFold {
  readonly #options: DemoFoldOptions;
  readonly #operators: OperatorState[];
  readonly #nodeNames = new Map<NodePubkey, string>();
  readonly #stories = new Map<ChannelPoint, ChannelStory>();
  #channels: readonly DemoChannel[] = [];
  #messages: ViewMessage[] = [];
  #payments: ViewPayment[] = [];
  #tookMs: readonly number[] = [];
  #rebalanceCount = 0;
  #rebalancedSat = 0n;
  #feesMsat = 0n;
  #failureCount = 0;
  #traffic = { count: 0, amountSat: sat(0) };
  #conserved = true;

  constructor(options: DemoFoldOptions) {
    this.#options = options;
    this.#operators = options.operators.map((operator) => ({ ...operator, state: "starting", peerCount: 0 }));
  }

  /** Names a node, once its key is known. */
  nameNode(pubkey: NodePubkey, name: string): void {
    this.#nodeNames.set(pubkey, name);
  }

  /** An instance starts, runs, or stops; with it ends what it watched and did. */
  setOperator(name: string, state: ViewOperator["state"]): void {
    const operator = this.#operator(name);
    if (operator === undefined) return;
    operator.state = state;
    if (state === "running") return;
    operator.peerCount = 0;
    for (const story of this.#stories.values()) {
      for (const watcher of story.watchers) {
        if (watcher.startsWith(`${name} `)) story.watchers.delete(watcher);
      }
      for (const node of operator.nodes) story.reasons.delete(node);
      if (story.action !== undefined && operator.nodes.includes(story.action.by)) story.action = undefined;
    }
  }

  /** The balances, as the nodes report them now. */
  setChannels(channels: readonly DemoChannel[]): void {
    this.#channels = channels;
  }

  /** All simulated traffic so far. */
  setTraffic(count: number, amountSat: Sat): void {
    this.#traffic = { count, amountSat };
  }

  /** Whether every satoshi is where it should be; once it isn't, it stays so. */
  setConserved(conserved: boolean): void {
    this.#conserved &&= conserved;
  }

  /** One event of one instance. */
  record(operatorName: string, record: EventRecord, atMs: number): void {
    const node = this.#name(record.node);
    const peer = this.#name(record.peer);
    const operator = this.#operator(operatorName);
    if (record.kind === "peer-authenticated" && operator) operator.peerCount++;
    if (record.kind === "peer-disconnected" && operator) operator.peerCount = Math.max(operator.peerCount - 1, 0);
    if (record.kind === "node-joined") {
      this.#message({ atMs, from: peer, to: operatorName, type: "hello", detail: "proven" });
    }
    if (record.channelPoint === undefined) return;
    this.#onChannel(this.#story(record.channelPoint), operatorName, record, node, peer, atMs);
  }

  #onChannel(
    story: ChannelStory,
    operatorName: string,
    record: EventRecord,
    node: string,
    peer: string,
    atMs: number,
  ): void {
    const amountSat = record.amountSat ?? sat(0);
    switch (record.kind) {
      case "channel-watched":
        story.watchers.add(`${operatorName} ${node}`);
        return;
      case "channel-unwatched":
        story.watchers.delete(`${operatorName} ${node}`);
        return;
      case "decision":
        if (record.reason === "asking") story.action = { kind: "asking", by: node, amountSat };
        else story.reasons.set(node, record.reason ?? record.message);
        return;
      case "message-sent":
        if (record.details?.message === "payInvoice") {
          this.#message({ atMs, from: node, to: peer, type: "payInvoice", detail: `${formatSat(amountSat)} sat` });
        } else if (record.details?.message === "paymentResult") {
          this.#message({ atMs, from: node, to: peer, type: "paymentResult", detail: record.reason ?? "paid" });
        }
        return;
      case "payment-started":
        story.action = { kind: "paying", by: node, amountSat };
        return;
      case "payment-settled":
        story.action = undefined;
        story.rebalanceCount++;
        this.#rebalanceCount++;
        this.#rebalancedSat += amountSat;
        this.#feesMsat += record.feeMsat ?? 0n;
        return;
      case "payment-received": {
        story.action = undefined;
        const tookMs = typeof record.details?.tookMs === "number" ? record.details.tookMs : undefined;
        if (tookMs !== undefined) this.#tookMs = [...this.#tookMs, tookMs].slice(-keptTimes);
        const payment = { atMs, channel: this.#channelName(record.channelPoint), payer: peer, payee: node, amountSat };
        this.#payment({ ...payment, state: "settled", tookMs });
        return;
      }
      case "payment-failed":
      case "payment-unknown": {
        story.action = undefined;
        this.#failureCount++;
        const payment = { atMs, channel: this.#channelName(record.channelPoint), payer: node, payee: peer, amountSat };
        const state = record.kind === "payment-failed" ? "failed" : "unknown";
        this.#payment({ ...payment, state, tookMs: undefined });
        return;
      }
      case "request-ended":
      case "request-refused":
        story.action = undefined;
        return;
      default:
        // The other kinds change nothing that is shown of a channel.
        return;
    }
  }

  /** The model of this moment. */
  model(elapsedMs: number): ViewModel {
    return {
      elapsedMs,
      totalMs: this.#options.totalMs,
      acts: this.#options.acts,
      operators: this.#operators.map((operator) => ({ ...operator })),
      channels: this.#channels.map((channel) => this.#viewChannel(channel)),
      messages: this.#messages,
      payments: this.#payments,
      totals: {
        rebalanceCount: this.#rebalanceCount,
        rebalancedSat: sat(this.#rebalancedSat),
        feesMsat: msat(this.#feesMsat),
        failureCount: this.#failureCount,
        medianMs: this.#tookMs.toSorted((a, b) => a - b)[this.#tookMs.length >> 1],
        trafficCount: this.#traffic.count,
        trafficSat: this.#traffic.amountSat,
        conserved: this.#conserved,
      },
    };
  }

  #viewChannel(channel: DemoChannel): ViewChannel {
    const { balancePoint, deadzone } = this.#options;
    const story = this.#story(channel.channelPoint);
    const { name, first, second, firstSat, secondSat, unsettledSat } = channel;
    const known = { name, first, second, firstSat, secondSat, unsettledSat, balancePoint, deadzone };
    const idle: ViewChannel = { ...known, rebalanceCount: story.rebalanceCount, state: { kind: "balanced" } };
    return { ...idle, state: this.#stateOf(idle, story) };
  }

  #stateOf(channel: ViewChannel, story: ChannelStory): ViewChannelState {
    if (story.watchers.size === 0) {
      const owners = [channel.first, channel.second].map((node) =>
        this.#operators.find((operator) => operator.nodes.includes(node))
      );
      if (owners.some((owner) => owner?.state !== "running")) return { kind: "alone", reason: "an owner is away" };
      return { kind: "alone", reason: owners[0] === owners[1] ? "not found yet" : "two secrets" };
    }
    if (story.action !== undefined) return story.action;
    if (isInsideDeadzone(channel)) return { kind: "balanced" };
    const poorer = channel.firstSat < channel.secondSat ? channel.first : channel.second;
    const reason = story.reasons.get(poorer);
    return reason === undefined || quietReasons.includes(reason) ? { kind: "off" } : { kind: "resting", reason };
  }

  #story(channelPoint: ChannelPoint): ChannelStory {
    let story = this.#stories.get(channelPoint);
    if (story === undefined) {
      story = { watchers: new Set(), action: undefined, reasons: new Map(), rebalanceCount: 0 };
      this.#stories.set(channelPoint, story);
    }
    return story;
  }

  #operator(name: string): OperatorState | undefined {
    return this.#operators.find((operator) => operator.name === name);
  }

  #name(pubkey: NodePubkey | undefined): string {
    return pubkey === undefined ? "?" : this.#nodeNames.get(pubkey) ?? pubkey.slice(0, 6);
  }

  #channelName(channelPoint: ChannelPoint | undefined): string {
    return this.#channels.find((channel) => channel.channelPoint === channelPoint)?.name ?? "?";
  }

  #message(message: ViewMessage): void {
    this.#messages = [...this.#messages, message].slice(-keptEntries);
  }

  #payment(payment: ViewPayment): void {
    this.#payments = [...this.#payments, payment].slice(-keptEntries);
  }
}
