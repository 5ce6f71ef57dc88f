import type { BalancerConfig } from "../../lib/balancer/balancer.ts";
import type { BalancerEvent, Effect } from "../../lib/balancer/io.ts";
import type { BalanceSettings, LimitsConfig } from "../../lib/config/config.ts";
import { type Msat, sat } from "../../lib/domain/amounts.ts";
import { invariant } from "../../lib/domain/errors.ts";
import { type ChannelPoint, type NodePubkey, parseSwarmKey, type SwarmKey } from "../../lib/domain/ids.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { isRefusal, recordedTiming } from "../../lib/lightning/sim/model.ts";
import { SimNetwork } from "../../lib/lightning/sim/network.ts";
import { Schedule } from "../../lib/lightning/sim/schedule.ts";
import { SimulatedSwarm } from "../../lib/swarm/simulated_swarm.ts";
import type { ConnectionId } from "../../lib/swarm/transport.ts";
import { SimInstance } from "./instance.ts";
import { type LndTrouble, noTrouble } from "./lnd_link.ts";
import { secretKeyOf } from "./node_keys.ts";
import { type ChannelPlan, Dice, type InstancePlan, type Moment, type Plan, type SettingsPlan } from "./plan.ts";
import { Watch } from "./watch.ts";

/**
 * A deterministic world: two to four honest operators with the balancer that production runs, one simulated Lightning network,
 * a simulated swarm and simulated disks, in virtual time, all from one plan (`plan.ts`), which is drawn from a seed.
 * Nothing here waits, and nothing is a promise: the same plan gives the same run, to the last event.
 *
 * - `instance.ts`: an operator's process: the machine, its disk, its clocks, its wires.
 * - `lnd_link.ts`: the wire to one LND, and what goes wrong on it.
 * - `faults.ts`: turns the steps of a plan into what happens here, and takes all of it back when the world heals.
 * - `watch.ts`: the rules that hold at every moment, judged by what the network and the disks say, never by the balancer's state.
 * - `end.ts`: the rules that hold once the world has healed.
 *
 * **Participants.** Others than honest operators join as a {@link Participant}: an adversary that knows the secret, say. It is
 * handed to `new World(plan, { participants })`; `start(world)` is called once, before time begins, when the nodes and channels of
 * the plan stand and no operator runs yet. There it
 * - makes nodes of its own by `world.addNode(alias)` and channels by `world.addChannel({ … })`, to honest nodes (`world.nodes`)
 *   or among its own; it may command them as it likes: `world.network.run((network) => network.addInvoice(node, …))`, `freezeNode`,
 *   hold invoices, `cancelInvoice`, `forward`, `sendPayment`;
 * - joins the swarm by `world.swarm.endpoint(key, [world.topic])`, as often as it likes and under any keys from
 *   `world.strangerKey(n)`, and opens sessions with `openSession` and `world.authKey` (see tests/balancer/rogue.ts for the
 *   handshake). It gets every frame of its own connections, and none of those between honest operators;
 * - acts in time by `world.after(delayMs, …)`, with chance from a `Dice` of its own, so that it changes nobody else's draws.
 * `heal()`, if it has one, is called when the faults stop: from then on it may go on, but must not expect patience, since the
 * rules of the end hold for the channels between honest nodes, and every intent towards it must still end (it should let go
 * of what it holds).
 * It needs no care about the rules: `watch.ts` judges the honest operators alone. `world.tell(name, () => …)` writes its line
 * into the trace, `world.count(what)` into the statistics.
 */
export interface Participant {
  readonly name: string;
  start(world: World): void;
  heal?(): void;
  /** Sees what an honest operator's machine wants done after an event, before it is done. */
  effects?(instance: SimInstance, event: BalancerEvent, effects: readonly Effect[]): void;
}

/**
 * A mistake switched into honest operators to prove that the watch notices: what the machine is told (`event`), what it is
 * configured with, or what becomes of its effects.
 */
export interface Bug {
  readonly name: string;
  config?(config: BalancerConfig, plan: InstancePlan): BalancerConfig;
  event?(instance: SimInstance, event: BalancerEvent): BalancerEvent;
  effects?(instance: SimInstance, effects: Effect[], event: BalancerEvent): Effect[];
}

export interface WorldOptions {
  readonly participants?: readonly Participant[];
  readonly bug?: Bug;
  /** Keep what happens as lines of text. */
  readonly trace?: boolean;
}

export type FrameFault =
  | "messages-lost"
  | "messages-repeated"
  | "messages-swapped"
  | "messages-damaged"
  | "messages-late";

/** A channel of the plan, or opened later. */
export interface WorldChannel {
  readonly point: ChannelPoint;
  readonly nodes: readonly [NodePubkey, NodePubkey];
  readonly plan: ChannelPlan | undefined;
}

export class World {
  readonly plan: Plan;
  readonly startWallMs = Date.UTC(2026, 0, 1);
  readonly topic = new Uint8Array(32).fill(1);
  readonly authKey = new Uint8Array(32).fill(7);
  /** The chance behind how long things take and whom a fault hits. */
  readonly dice: Dice;
  readonly network: SimNetwork;
  readonly swarm: SimulatedSwarm;
  /** The honest operators' nodes, in the order of the plan. */
  readonly nodes: readonly NodePubkey[];
  readonly channels: WorldChannel[] = [];
  readonly instances: readonly SimInstance[];
  /** What each instance is configured with now. */
  readonly settings: InstancePlan[];
  readonly participants: readonly Participant[];
  readonly bug: Bug | undefined;
  readonly watch: Watch;
  readonly stats: Stats = { events: 0, counted: new Map() };
  readonly trace: string[] | undefined;
  atMs = 0;
  healed = false;
  /** Makes a node hang for a while, at most until the world heals. */
  hang: (node: NodePubkey, forMs: number) => void = () => {};
  readonly #schedule = new Schedule();
  readonly #waiting = new Map<Moment, (() => void)[]>();
  readonly #names = new Map<NodePubkey, string>();
  readonly #troubles = new Map<NodePubkey, LndTrouble>();
  readonly #frameFaults = new Map<FrameFault, Map<string, number>>();
  readonly #apart = new Map<string, number>();

  constructor(plan: Plan, options: WorldOptions = {}) {
    this.plan = plan;
    this.participants = options.participants ?? [];
    this.bug = options.bug;
    this.trace = options.trace === true ? [] : undefined;
    this.dice = new Dice(plan.seed ^ 0x517e);
    this.network = new SimNetwork({
      random: new SeededRandom(plan.seed ^ 0x11e7),
      start: { atMs: 0, wallMs: this.startWallMs },
      timing: recordedTiming,
    });
    this.swarm = new SimulatedSwarm({
      random: new SeededRandom(plan.seed ^ 0x5a4),
      schedule: (task, delayMs) => this.after(delayMs, task),
      delayMs: () => this.dice.spread(1, 100),
    });
    this.nodes = plan.nodes.map(({ alias, version }) => this.addNode(alias, version));
    for (const channel of plan.channels) {
      this.addChannel({ ...channel, from: this.nodes[channel.from]!, to: this.nodes[channel.to]!, plan: channel });
    }
    this.watch = new Watch(this);
    this.settings = [...plan.instances];
    this.instances = plan.instances.map((instance, index) => {
      const nodes = plan.nodes.flatMap((node, at) => node.instance === index ? [this.nodes[at]!] : []);
      const key = parseSwarmKey(String(index + 1).repeat(64))!;
      return new SimInstance(this, index, nodes, key, this.#configOf(instance, nodes.length));
    });
    for (const participant of this.participants) participant.start(this);
    for (const instance of this.instances) this.after(this.dice.below(2_000), () => instance.start());
  }

  #configOf(plan: InstancePlan, nodeCount: number): BalancerConfig {
    const limits: LimitsConfig = {
      baseSettings: { enabled: true, ...settingsOf(plan.base) } as BalanceSettings,
      idSettings: [
        ...Object.entries(plan.byNode).map(([node, settings]) => ({
          id: { kind: "alias" as const, alias: this.plan.nodes[Number(node)]!.alias },
          settings: settingsOf(settings),
        })),
        ...Object.entries(plan.byChannel).flatMap(([channel, settings]) => {
          const point = this.channels[Number(channel)]?.point;
          const shown = point && this.network.channel(this.channels[Number(channel)]!.nodes[0], point);
          if (shown === undefined) return [];
          return [{ id: { kind: "channel" as const, channelId: shown.chanId }, settings: settingsOf(settings) }];
        }),
      ],
      maxNetOutflowTotalSat: sat(plan.maxNetOutflowTotalSat),
    };
    const { authKey } = this;
    const config = { authKey, limits, requireNodeProof: plan.requireNodeProof, nodeCount, dryRun: false };
    return this.bug?.config?.(config, plan) ?? config;
  }

  /** Another configuration for an instance's next start. */
  changeSettings(instance: SimInstance, plan: InstancePlan): void {
    this.settings[instance.index] = plan;
    instance.config = this.#configOf(plan, instance.nodes.length);
  }

  // Making

  addNode(alias: string, version = "0.18.5-beta"): NodePubkey {
    const pubkey = this.network.addNode({ alias, version, secretKey: secretKeyOf(this.#names.size) });
    this.#names.set(pubkey, alias);
    this.network.subscribe(pubkey, (event) => this.watch.lnd(pubkey, event));
    return pubkey;
  }

  /** Open at once; `pushSat` is what the other side begins with. */
  addChannel(channel: {
    readonly from: NodePubkey;
    readonly to: NodePubkey;
    readonly capacitySat: number;
    readonly pushSat: number;
    readonly aliases?: boolean;
    readonly plan?: ChannelPlan;
  }): ChannelPoint {
    const point = this.network.run((network) =>
      network.openChannel({
        from: channel.from,
        to: channel.to,
        capacitySat: sat(channel.capacitySat),
        pushSat: sat(channel.pushSat),
        aliases: channel.aliases ?? false,
        instant: true,
      })
    );
    invariant(!isRefusal(point), `a channel of the plan can be opened: ${JSON.stringify(point)}`);
    this.channels.push({ point, nodes: [channel.from, channel.to], plan: channel.plan });
    return point;
  }

  /** A key on the swarm that is no operator's. */
  strangerKey(number: number): SwarmKey {
    return parseSwarmKey("f" + number.toString(16).padStart(63, "0"))!;
  }

  // Looking

  nameOf(node: NodePubkey): string {
    return this.#names.get(node) ?? node.slice(0, 8);
  }

  instanceOf(node: NodePubkey): SimInstance | undefined {
    return this.instances.find((instance) => instance.nodes.includes(node));
  }

  isHonest(node: NodePubkey): boolean {
    return this.nodes.includes(node);
  }

  channelAt(point: ChannelPoint): WorldChannel | undefined {
    return this.channels.find((channel) => channel.point === point);
  }

  /** The largest amount that the node could send over the channel now. */
  spendableMsat(node: NodePubkey, point: ChannelPoint): Msat {
    return this.network.channel(node, point) === undefined ? 0n as Msat : this.network.spendableMsat(node, point);
  }

  // Time

  after(delayMs: number, task: () => void): void {
    this.#schedule.add(this.atMs + delayMs, task);
  }

  /** Lets time go on until `untilMs`, with everything that happens. */
  run(untilMs: number): void {
    for (let still = 0;;) {
      let next = Math.min(this.#schedule.nextAtMs ?? Infinity, this.network.nextTimeoutMs() ?? Infinity);
      for (const { dueAtMs } of this.instances) if (dueAtMs !== undefined && dueAtMs < next) next = dueAtMs;
      if (next > untilMs) break;
      still = next > this.atMs ? 0 : still + 1;
      invariant(still < 10_000, "time stands still: somebody asks for a time that has passed");
      this.atMs = Math.max(this.atMs, next);
      this.network.advance(this.atMs);
      this.#schedule.takeDue(this.atMs)?.action();
      for (const instance of this.instances) {
        if (instance.dueAtMs !== undefined && instance.dueAtMs <= this.atMs) instance.wake();
      }
    }
    this.atMs = Math.max(this.atMs, untilMs);
    this.network.advance(this.atMs);
  }

  /** Waits for what happens next to any honest operator. */
  atNext(moment: Moment, task: () => void): void {
    this.#waiting.set(moment, [...this.#waiting.get(moment) ?? [], task]);
  }

  /** Such a moment is now. */
  reached(moment: Moment): void {
    const tasks = this.#waiting.get(moment);
    this.#waiting.delete(moment);
    // Not from within whoever tells of it.
    for (const task of tasks ?? []) this.after(0, task);
  }

  // Faults; faults.ts moves them

  troubleOf(node: NodePubkey): LndTrouble {
    let trouble = this.#troubles.get(node);
    if (trouble === undefined) this.#troubles.set(node, trouble = noTrouble());
    return trouble;
  }

  /** How many percent of the frames that reach one operator from another are hit. */
  frameFaults(to: SimInstance, kind: FrameFault, connection: ConnectionId): number {
    const pairs = this.#frameFaults.get(kind);
    if (pairs === undefined || pairs.size === 0) return 0;
    const from = this.watch.peerOf(to, connection);
    return from === undefined ? 0 : pairs.get(pairOf(from, to)) ?? 0;
  }

  setFrameFault(kind: FrameFault, a: SimInstance, b: SimInstance, percent: number): void {
    const pairs = this.#frameFaults.get(kind) ?? new Map();
    this.#frameFaults.set(kind, pairs);
    if (percent > 0) pairs.set(pairOf(a, b), percent);
    else pairs.delete(pairOf(a, b));
  }

  /** Keeps two operators apart; calls count. */
  part(a: SimInstance, b: SimInstance): void {
    const pair = pairOf(a, b);
    this.#apart.set(pair, (this.#apart.get(pair) ?? 0) + 1);
    this.swarm.sever(a.swarmKey, b.swarmKey);
  }

  join(a: SimInstance, b: SimInstance): void {
    const pair = pairOf(a, b);
    const left = (this.#apart.get(pair) ?? 0) - 1;
    this.#apart.set(pair, Math.max(0, left));
    if (left <= 0) this.swarm.mend(a.swarmKey, b.swarmKey);
  }

  /** A connection between operators was lost; the swarm finds them again by itself, after a while. */
  lostConnection(instance: SimInstance, connection: ConnectionId): void {
    const peer = this.watch.peerOf(instance, connection);
    if (peer === undefined) return;
    this.after(this.dice.spread(50, 5_000), () => {
      if ((this.#apart.get(pairOf(instance, peer)) ?? 0) > 0) return;
      this.swarm.mend(instance.swarmKey, peer.swarmKey);
    });
  }

  // Telling

  count(what: string): void {
    this.stats.counted.set(what, (this.stats.counted.get(what) ?? 0) + 1);
  }

  tell(who: string, line: () => string): void {
    this.trace?.push(`${formatTime(this.atMs)} ${who}: ${line()}`);
  }
}

export interface Stats {
  /** What the balancers were told. */
  events: number;
  /** Faults that hit, payments, crashes, by name. */
  readonly counted: Map<string, number>;
}

function pairOf(a: SimInstance, b: SimInstance): string {
  return a.index < b.index ? `${a.index} ${b.index}` : `${b.index} ${a.index}`;
}

/** `0:03:02.125` */
export function formatTime(atMs: number): string {
  const seconds = Math.floor(atMs / 1000);
  const two = (value: number) => String(value).padStart(2, "0");
  return `${Math.floor(seconds / 3600)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}.${
    String(Math.floor(atMs % 1000)).padStart(3, "0")
  }`;
}

const amounts = ["minTransactionSize", "maxTransactionSize", "maxAmountPerPeriod", "maxNetOutflow"];

function settingsOf(plan: Partial<SettingsPlan>): Partial<BalanceSettings> {
  return Object.fromEntries(
    Object.entries(plan).map(([key, value]) =>
      amounts.includes(key) ? [`${key}Sat`, sat(Number(value))] : [key, value]
    ),
  );
}
