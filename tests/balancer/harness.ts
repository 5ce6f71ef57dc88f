import assert from "node:assert/strict";
import { type Pause, type PauseScope, sameScope } from "../../lib/audit/pause.ts";
import type { EventKind, EventRecord, LogRecord, NoteRecord, TransactionRecord } from "../../lib/audit/record.ts";
import {
  type BalancerConfig,
  type BalancerState,
  createBalancer,
  nextTimeoutMs,
  stepBalancer,
  viewBalancer,
} from "../../lib/balancer/balancer.ts";
import type { BalancerEvent, Effect } from "../../lib/balancer/io.ts";
import type { BalanceSettings, LimitsConfig } from "../../lib/config/config.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import { type ChannelPoint, type NodePubkey, parseSwarmKey } from "../../lib/domain/ids.ts";
import type { Now } from "../../lib/env/clock.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { callNode, type NodeCall, type NodeReply } from "../../lib/lightning/node.ts";
import { recordedTiming, type SimTiming } from "../../lib/lightning/sim/model.ts";
import { SimNetwork } from "../../lib/lightning/sim/network.ts";
import { Schedule } from "../../lib/lightning/sim/schedule.ts";
import { SimNode } from "../../lib/lightning/sim/sim_node.ts";
import { CombinedTransport } from "../../lib/swarm/combined_transport.ts";
import { MemoryTransport } from "../../lib/swarm/memory_transport.ts";
import { SimulatedSwarm } from "../../lib/swarm/simulated_swarm.ts";
import type { Transport } from "../../lib/swarm/transport.ts";
import { limits as defaults } from "../policy/fixtures.ts";

export const authKey = new Uint8Array(32).fill(7);
const topic = new Uint8Array(32).fill(1);
/** From one ListChannels to its answer, and from an append to the disk. */
const callMs = 1;
const appendMs = 1;

export interface InstanceOptions {
  readonly nodes: readonly NodePubkey[];
  readonly config?: Partial<Omit<BalancerConfig, "limits">>;
  readonly limits?: Partial<LimitsConfig>;
  readonly settings?: Partial<BalanceSettings>;
}

/** Several instances over one simulated Lightning network and one simulated swarm, in virtual time, from one seed. */
export class Harness {
  readonly random: SeededRandom;
  readonly network: SimNetwork;
  readonly swarm: SimulatedSwarm;
  readonly schedule = new Schedule();
  readonly instances: TestInstance[] = [];
  atMs = 0;
  readonly startWallMs = Date.UTC(2026, 0, 1);

  constructor(seed = 0x5eed, timing: Partial<SimTiming> = {}) {
    this.random = new SeededRandom(seed);
    const start = { atMs: 0, wallMs: this.startWallMs };
    this.network = new SimNetwork({ random: this.random, start, timing: { ...recordedTiming, ...timing } });
    this.swarm = new SimulatedSwarm({
      random: this.random,
      schedule: (task, delayMs) => this.after(delayMs, task),
      delayMs: () => 1,
    });
  }

  after(delayMs: number, task: () => void): void {
    this.schedule.add(this.atMs + delayMs, task);
  }

  node(alias: string): NodePubkey {
    return this.network.addNode({ alias });
  }

  /** Open at once; `remoteSat` is pushed to the other side. */
  channel(from: NodePubkey, to: NodePubkey, capacitySat: number, remoteSat: number): ChannelPoint {
    const point = this.network.run((network) =>
      network.openChannel({ from, to, capacitySat: sat(capacitySat), pushSat: sat(remoteSat), instant: true })
    );
    assert.equal(typeof point, "string", JSON.stringify(point));
    return point as ChannelPoint;
  }

  /** Traffic that moves the balance at once, without an event. */
  shift(point: ChannelPoint, from: NodePubkey, amountSat: number): void {
    const refusal = this.network.run((network) => network.shift(point, from, msat(amountSat * 1000)));
    assert.equal(refusal, undefined);
  }

  localSat(node: NodePubkey, point: ChannelPoint): number {
    return Number(this.network.channel(node, point)!.localSat);
  }

  /** The node's share of what both sides hold. */
  share(node: NodePubkey, point: ChannelPoint): number {
    const { localSat, remoteSat, unsettledSat } = this.network.channel(node, point)!;
    return Number(localSat) / Number(localSat + remoteSat + unsettledSat);
  }

  paymentsOf(node: NodePubkey) {
    return this.network.listPayments(node, { indexOffset: 0n, maxPayments: 1000 });
  }

  instance(options: InstanceOptions): TestInstance {
    const instance = new TestInstance(this, options, this.instances.length + 1);
    this.instances.push(instance);
    instance.start();
    return instance;
  }

  /** Lets `ms` pass, everything that happens meanwhile included. */
  async run(ms: number): Promise<void> {
    const untilMs = this.atMs + ms;
    for (let idle = 0; idle < 2_000; idle++) {
      await drainMicrotasks();
      const next = Math.min(
        untilMs,
        this.schedule.nextAtMs ?? Infinity,
        this.network.nextTimeoutMs() ?? Infinity,
        ...this.instances.map((instance) => instance.nextTimeoutMs() ?? Infinity),
      );
      if (next > this.atMs) idle = 0;
      this.atMs = Math.max(this.atMs, next);
      this.network.advance(this.atMs);
      const due = this.schedule.takeDue(this.atMs);
      due?.action();
      for (const instance of this.instances) {
        const atMs = instance.nextTimeoutMs();
        if (atMs !== undefined && atMs <= this.atMs) instance.take({ kind: "timeout" });
      }
      await drainMicrotasks();
      const more = (this.schedule.nextAtMs ?? Infinity) <= this.atMs ||
        this.instances.some((instance) => (instance.nextTimeoutMs() ?? Infinity) <= this.atMs);
      if (this.atMs >= untilMs && !more) return;
    }
    assert.fail("time stands still: a balancer asks for a timeout that has passed");
  }

  async runUntil(done: () => boolean, atMostMs: number): Promise<void> {
    const untilMs = this.atMs + atMostMs;
    while (!done()) {
      assert.ok(this.atMs < untilMs, `still not so after ${atMostMs} ms`);
      await this.run(1);
    }
  }

  /** Closes what would keep promises pending. */
  async end(): Promise<void> {
    for (const instance of this.instances) await instance.crash();
  }
}

/** Enough turns for every chain of promises between a call and its reply. */
async function drainMicrotasks(): Promise<void> {
  for (let i = 0; i < 24; i++) await Promise.resolve();
}

/** One instance: a balancer, its disk, and the edges around it. */
export class TestInstance {
  readonly harness: Harness;
  /** What its next start reads. */
  options: InstanceOptions;
  readonly swarmKey;
  /** What is on disk: it survives a crash. */
  readonly disk: TransactionRecord[] = [];
  /** What is on disk of the log itself, each after so many of the others. */
  readonly notes: { after: number; record: NoteRecord }[] = [];
  readonly events: EventRecord[] = [];
  readonly effects: Effect[] = [];
  state: BalancerState;
  drained = false;
  /** What is paused outlives the process. */
  pauses: readonly Pause[] = [];
  wallOffsetMs = 0;
  /** Answers a call in the node's place, or changes what it answered. */
  tamper: (node: NodePubkey, call: NodeCall, real: () => Promise<NodeReply>) => Promise<NodeReply> = (
    _node,
    _call,
    real,
  ) => real();
  /** Called before each effect is performed; true: the process dies here. */
  diesAt: (effect: Effect) => boolean = () => false;
  /** Holds records back from the disk while true. */
  diskHangs = false;
  #random: SeededRandom;
  #nodes: SimNode[] = [];
  #transport: Transport | undefined;
  #life = 0;
  #unwritten = 0;

  constructor(harness: Harness, options: InstanceOptions, number: number) {
    this.harness = harness;
    this.options = options;
    this.swarmKey = parseSwarmKey(number.toString(16).padStart(64, "0"))!;
    this.#random = new SeededRandom(number * 7919);
    this.state = this.#create();
  }

  #create(): BalancerState {
    const { nodes, config, limits, settings } = this.options;
    return createBalancer({
      authKey,
      requireNodeProof: true,
      nodeCount: nodes.length,
      dryRun: false,
      ...config,
      limits: { ...defaults, ...limits, baseSettings: { ...defaults.baseSettings, ...settings } },
    });
  }

  get now(): Now {
    const { atMs, startWallMs } = this.harness;
    return { atMs, wallMs: startWallMs + atMs + this.wallOffsetMs };
  }

  get view() {
    return viewBalancer(this.state, this.harness.atMs);
  }

  start(): void {
    const life = ++this.#life;
    const alive = () => life === this.#life;
    this.state = this.#create();
    this.drained = false;
    this.#unwritten = 0;
    this.take({ kind: "started", transactions: structuredClone(this.log), pauses: this.pauses });
    this.#nodes = this.options.nodes.map((pubkey) =>
      new SimNode({ host: this.harness.network, pubkey, latencyMs: callMs })
    );
    this.#nodes.forEach((node, ref) => {
      node.watch((event) => {
        if (alive()) this.take({ kind: "node", node: ref, event });
      });
    });
    const memory = new MemoryTransport({
      localKey: this.swarmKey,
      random: this.#random,
      schedule: (task) => this.harness.after(0, task),
    });
    this.#transport = new CombinedTransport([memory, this.harness.swarm.endpoint(this.swarmKey, [topic])]);
    this.#transport.start((event) => {
      if (alive()) this.take({ kind: "transport", event });
    });
  }

  /** The process dies at once; what is on disk stays. */
  async crash(): Promise<void> {
    this.#life++;
    const nodes = this.#nodes;
    this.#nodes = [];
    const transport = this.#transport;
    this.#transport = undefined;
    await transport?.close();
    for (const node of nodes) await node.close();
  }

  async restart(): Promise<void> {
    await this.crash();
    this.start();
  }

  /** `tightrope pause`, as the running daemon hears of it. */
  pause(scope: PauseScope = { kind: "all" }): void {
    this.pauses = [...this.pauses, { scope, by: "operator", reason: "", sinceWallMs: this.now.wallMs }];
    this.take({ kind: "paused", pauses: this.pauses, resumed: false });
  }

  /** `tightrope resume` */
  resume(scope: PauseScope = { kind: "all" }): void {
    const all = scope.kind === "all";
    this.pauses = all ? [] : this.pauses.filter((pause) => !sameScope(pause.scope, scope));
    this.take({ kind: "paused", pauses: this.pauses, resumed: all });
  }

  get isDead(): boolean {
    return this.#nodes.length === 0;
  }

  nextTimeoutMs(): number | undefined {
    return this.#nodes.length > 0 ? nextTimeoutMs(this.state) : undefined;
  }

  take(event: BalancerEvent): void {
    const life = this.#life;
    const alive = () => life === this.#life;
    for (const effect of stepBalancer(this.state, event, this.now, this.#random)) {
      if (!alive()) return;
      if (this.diesAt(effect)) {
        void this.crash();
        return;
      }
      this.#perform(effect, alive);
    }
  }

  #perform(effect: Effect, alive: () => boolean): void {
    this.effects.push(effect);
    switch (effect.kind) {
      case "call": {
        const node = this.#nodes[effect.node]!;
        const real = () => callNode(node, effect.call);
        this.tamper(this.options.nodes[effect.node]!, effect.call, real).then((reply) => {
          if (alive()) this.take({ kind: "reply", callId: effect.callId, reply });
        });
        return;
      }
      case "append": {
        this.#unwritten++;
        const done = () => {
          if (!alive()) return;
          if (this.diskHangs) return this.harness.after(10, done);
          this.#unwritten--;
          this.disk.push(effect.record);
          this.take({ kind: "log-head", length: this.disk.length, treeHash: "ab".repeat(32) });
          this.take({ kind: "appended", appendId: effect.appendId });
        };
        return this.harness.after(appendMs, done);
      }
      case "event":
        this.events.push(effect.record);
        return;
      case "note": {
        const after = this.disk.length + this.#unwritten;
        return this.harness.after(appendMs, () => {
          if (alive()) this.notes.push({ after, record: effect.record });
        });
      }
      case "send":
        return this.#transport?.send(effect.connection, effect.frame);
      case "disconnect":
        return this.#transport?.disconnect(effect.connection);
      case "authenticated":
        return this.#transport?.markAuthenticated(effect.connection);
      case "pause":
        this.pauses = [
          ...this.pauses,
          { scope: { kind: "all" }, by: "breaker", reason: effect.reason, sinceWallMs: this.now.wallMs },
        ];
        return;
      case "drained":
        this.drained = true;
        return;
    }
  }

  /** The whole log, as the next start reads it. */
  get log(): LogRecord[] {
    const notesAfter = (count: number) => this.notes.flatMap(({ after, record }) => after === count ? [record] : []);
    return [...notesAfter(0), ...this.disk.flatMap((record, index) => [record, ...notesAfter(index + 1)])];
  }

  /** What the log says, in short: `payer intent 400000`. */
  get story(): string[] {
    return this.disk.map((record) => `${record.role} ${record.kind} ${record.amountSat}`);
  }

  told(kind: EventKind): EventRecord[] {
    return this.events.filter((event) => event.kind === kind);
  }

  reasons(kind: EventKind): string[] {
    return this.told(kind).map((event) => event.reason ?? "");
  }
}
