import type { PauseScope } from "../../lib/audit/pause.ts";
import { applyRecord, createLedger } from "../../lib/audit/ledger.ts";
import type { LogRecord } from "../../lib/audit/record.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import { InvariantError, unreachable } from "../../lib/domain/errors.ts";
import type { NodePubkey } from "../../lib/domain/ids.ts";
import { isRefusal, recordedTiming } from "../../lib/lightning/sim/model.ts";
import type { LndTrouble } from "./lnd_link.ts";
import type { Step } from "./plan.ts";
import { formatTime, type World } from "./world.ts";

/** Makes the steps of a plan happen in a world, and takes all that lasts back when it heals. */
export class Faults {
  readonly #world: World;
  /** What undoes the faults that last, by their order. */
  readonly #lasting = new Set<() => void>();

  constructor(world: World) {
    this.#world = world;
    world.hang = (node, forMs) => this.#hang(node, forMs);
    for (const step of world.plan.steps) {
      const happen = () => this.#happen(step);
      world.after(step.atMs, () => {
        if (step.at === undefined) return happen();
        const { moment, plusMs } = step.at;
        world.atNext(moment, () => world.after(plusMs, happen));
      });
    }
  }

  /** Ends every fault that is still there. */
  heal(): void {
    const world = this.#world;
    // First: what hangs ends once it is taken back, and nobody would resume after a contradiction that came of that.
    for (const node of world.nodes) {
      world.troubleOf(node).contradicts = undefined;
      world.network.failNextAttempts(node, 0);
    }
    for (const undo of [...this.#lasting]) undo();
    world.healed = true;
    world.tell("world", () => "the faults are over");
    world.network.run((network) => network.setTiming(recordedTiming));
    for (const instance of world.instances) {
      instance.liveOn();
      world.watch.clockJumped(instance);
      instance.setWallRight();
      if (instance.pauses.length > 0) instance.resume();
      instance.start();
    }
    for (const participant of world.participants) participant.heal?.();
  }

  /** Does something now and takes it back later, or when the world heals. */
  #while(forMs: number, begin: () => void, end: () => void): void {
    begin();
    const undo = () => {
      if (this.#lasting.delete(undo)) end();
    };
    this.#lasting.add(undo);
    this.#world.after(forMs, undo);
  }

  #hang(node: NodePubkey, forMs: number): void {
    const { network } = this.#world;
    const freeze = () => network.run(() => network.freezeNode(node));
    this.#while(forMs, freeze, () => network.run(() => network.thawNode(node)));
  }

  #trouble<K extends keyof LndTrouble>(
    step: Extract<Step, { node: number; forMs: number }>,
    key: K,
    value: LndTrouble[K],
    none: LndTrouble[K],
  ): void {
    const trouble = this.#world.troubleOf(this.#world.nodes[step.node]!);
    this.#while(step.forMs, () => trouble[key] = value, () => trouble[key] = none);
  }

  #happen(step: Step): void {
    const world = this.#world;
    if (world.healed) return;
    const { network } = world;
    if (!countedByHits.has(step.kind)) world.count(step.kind);
    world.tell("world", () => describeStep(world, step));
    switch (step.kind) {
      case "traffic":
      case "stuck-htlc":
        return this.#move(step);
      case "messages-lost":
      case "messages-repeated":
      case "messages-swapped":
      case "messages-damaged":
      case "messages-late": {
        const [a, b] = step.pair.map((index) => world.instances[index]!);
        return this.#while(
          step.forMs,
          () => world.setFrameFault(step.kind, a!, b!, step.percent),
          () => world.setFrameFault(step.kind, a!, b!, 0),
        );
      }
      case "connection-cut": {
        const [a, b] = step.pair.map((index) => world.instances[index]!);
        world.part(a!, b!);
        return world.after(world.dice.spread(10, 5_000), () => world.join(a!, b!));
      }
      case "partition": {
        const [a, b] = step.pair.map((index) => world.instances[index]!);
        return this.#while(step.forMs, () => world.part(a!, b!), () => world.join(a!, b!));
      }
      case "clock-jump":
        world.watch.clockJumped(world.instances[step.instance]!);
        return world.instances[step.instance]!.jumpWall(step.byMs);
      case "clock-drift":
        return world.instances[step.instance]!.drift(step.ppm);
      case "lnd-restart": {
        const node = world.nodes[step.node]!;
        const start = () => network.run(() => network.startNode(node));
        return this.#while(step.forMs, () => network.run(() => network.stopNode(node)), start);
      }
      case "lnd-hang":
        return this.#hang(world.nodes[step.node]!, step.forMs);
      case "lnd-without-chain": {
        const node = world.nodes[step.node]!;
        const set = (up: boolean) => network.run(() => network.setChainUp(node, up));
        return this.#while(step.forMs, () => set(false), () => set(true));
      }
      case "lnd-slow":
        return this.#trouble(step, "slowMs", step.delayMs, 0);
      case "requests-lost":
        world.troubleOf(world.nodes[step.node]!).onlyPayments = step.onlyPayments;
        return this.#trouble(step, "requestsLost", step.percent, 0);
      case "answers-lost":
        world.troubleOf(world.nodes[step.node]!).onlyPayments = step.onlyPayments;
        return this.#trouble(step, "answersLost", step.percent, 0);
      case "requests-late":
        world.troubleOf(world.nodes[step.node]!).lateMs = step.delayMs;
        world.troubleOf(world.nodes[step.node]!).onlyPayments = step.onlyPayments;
        return this.#trouble(step, "requestsLate", step.percent, 0);
      case "streams-end": {
        const node = world.nodes[step.node]!;
        return world.instanceOf(node)?.endStreams(node);
      }
      case "payment-made-twice":
        return this.#trouble(step, "twice", true, false);
      case "payment-stuck":
        return this.#trouble(step, "stuckMs", step.forMs, 0);
      case "lnd-contradicts":
        world.troubleOf(world.nodes[step.node]!).contradicts = step.by;
        return;
      case "attempts-fail":
        return network.failNextAttempts(world.nodes[step.node]!, step.count, world.dice.spread(1, 3_000));
      case "lists-lag":
        return this.#while(
          step.forMs,
          () => network.setTiming({ receiverLagMs: [0, step.lagMs] }),
          () => network.setTiming(recordedTiming),
        );
      case "peer-offline": {
        const [a, b] = step.nodes.map((index) => world.nodes[index]!);
        const set = (connected: boolean) => network.run(() => network.setConnected(a!, b!, connected));
        return this.#while(step.forMs, () => set(false), () => set(true));
      }
      case "channel-down": {
        const { point, nodes } = world.channels[step.channel]!;
        const set = (up: boolean) =>
          network.run(() => {
            if (network.channel(nodes[0], point) !== undefined) network.setChannelUp(point, up);
          });
        return this.#while(step.forMs, () => set(false), () => set(true));
      }
      case "channel-opened": {
        const nodes = [world.nodes[step.from]!, world.nodes[step.to]!] as const;
        const point = network.run(() =>
          network.openChannel({
            ...{ from: nodes[0], to: nodes[1], aliases: step.aliases },
            ...{ capacitySat: sat(step.capacitySat), pushSat: sat(step.pushSat) },
          })
        );
        if (!isRefusal(point)) world.channels.push({ point, nodes, plan: undefined });
        return;
      }
      case "channel-closed":
      case "channel-force-closed": {
        const { point, nodes } = world.channels[step.channel]!;
        const by = nodes[step.byOpener ? 0 : 1];
        network.run(() => network.closeChannel(by, point, step.kind === "channel-force-closed"));
        return;
      }
      case "crash":
        return world.instances[step.instance]!.dieSoon(step);
      case "orderly-stop":
        return world.instances[step.instance]!.stopOrderly(step.downMs);
      case "settings-changed": {
        const instance = world.instances[step.instance]!;
        instance.die("written");
        world.changeSettings(instance, step.plan);
        return instance.restartIn(step.downMs);
      }
      case "backup-restored": {
        const instance = world.instances[step.instance]!;
        instance.die("written");
        instance.replaceLog(instance.records().slice(0, -step.records));
        return instance.restartIn(step.downMs);
      }
      case "log-repaired": {
        const instance = world.instances[step.instance]!;
        instance.die("written");
        instance.replaceLog(repaired(instance.records(), step, instance.now().wallMs));
        return instance.restartIn(step.downMs);
      }
      case "append-rejected":
        world.instances[step.instance]!.diskTrouble.rejectNext = step.written ? "written" : "lost";
        return;
      case "disk-full": {
        const { diskTrouble } = world.instances[step.instance]!;
        return this.#while(step.forMs, () => diskTrouble.full = true, () => diskTrouble.full = false);
      }
      case "disk-slow": {
        const { diskTrouble } = world.instances[step.instance]!;
        return this.#while(step.forMs, () => diskTrouble.slowMs = step.delayMs, () => diskTrouble.slowMs = 0);
      }
      case "paused": {
        const instance = world.instances[step.instance]!;
        const scope = pauseScope(world, step.over);
        return this.#while(step.forMs, () => instance.pause(scope), () => instance.resume());
      }
      default:
        return unreachable(step);
    }
  }

  /** Somebody else's payment over a channel. */
  #move(step: Extract<Step, { kind: "traffic" | "stuck-htlc" }>): void {
    const world = this.#world;
    const { point, nodes } = world.channels[step.channel]!;
    const from = nodes[step.fromOpener ? 0 : 1];
    const most = Number(world.spendableMsat(from, point));
    // A fraction of nothing is the least that there is: one satoshi.
    const amount = Math.max(1_000, Math.floor(most * step.fraction));
    if (amount > most) return;
    const request = { channelPoint: point, from, amountMsat: msat(amount) };
    world.watch.traffic(point, step.kind === "stuck-htlc" ? step.forMs : 1_000);
    world.network.run((network) => {
      if (step.kind === "stuck-htlc") network.forward({ ...request, durationMs: step.forMs });
      else if (step.way === "unseen") network.shift(point, from, request.amountMsat);
      else network.forward({ ...request, fails: step.way === "fails" });
    });
  }
}

/** What `tightrope repair` makes of a log that lost its end, or one record: see lib/audit/repair.ts. */
function repaired(
  records: readonly LogRecord[],
  { lost, records: count }: Extract<Step, { kind: "log-repaired" }>,
  wallMs: number,
): LogRecord[] {
  const left = lost === "end" ? records.slice(0, -count) : records.toSpliced(Math.max(0, records.length - count), 1);
  const ledger = createLedger();
  const kept = left.filter((record) => {
    try {
      applyRecord(ledger, record, 0);
      return true;
    } catch (error) {
      if (error instanceof InvariantError) return false;
      throw error;
    }
  });
  const last = kept.findLast(({ atWallMs }) => atWallMs <= wallMs);
  const isPrefix = lost === "end" && kept.length === left.length && last !== undefined;
  const from = isPrefix ? { historyFromWallMs: last.atWallMs - 86_400_000 } : {};
  const note = {
    kind: "repaired",
    atWallMs: wallMs,
    reason: "damaged",
    keptRecords: kept.length,
    setAside: "",
  } as const;
  return [{ ...note, ...from }, ...kept];
}

function pauseScope(world: World, over: Extract<Step, { kind: "paused" }>["over"]): PauseScope {
  if (over === "all") return { kind: "all" };
  if ("channel" in over) return { kind: "channel-point", channelPoint: world.channels[over.channel]!.point };
  return { kind: "node", pubkey: world.nodes[over.node]! };
}

/** What lasts for a while and hits at random is counted by its hits, where it hits. */
const countedByHits: ReadonlySet<Step["kind"]> = new Set([
  "messages-lost",
  "messages-repeated",
  "messages-swapped",
  "messages-damaged",
  "messages-late",
  "requests-lost",
  "answers-lost",
  "requests-late",
  "payment-made-twice",
  "payment-stuck",
  "lnd-contradicts",
  "append-rejected",
  "disk-full",
]);

/** One step as a line of the trace. */
export function describeStep(world: World, step: Step): string {
  const { kind, atMs: _atMs, at: _at, ...rest } = step;
  const words = Object.entries(rest).map(([key, value]) => {
    switch (key) {
      case "node":
        return world.plan.nodes[value as number]!.alias;
      case "nodes":
        return (value as number[]).map((node) => world.plan.nodes[node]!.alias).join(" and ");
      case "instance":
        return `operator ${value as number + 1}`;
      case "pair":
        return (value as number[]).map((index) => `operator ${index + 1}`).join(" and ");
      case "channel": {
        const { nodes } = world.channels[value as number]!;
        return `channel ${value} of ${nodes.map((node) => world.nameOf(node)).join(" and ")}`;
      }
      case "forMs":
      case "downMs":
        return `${key.slice(0, -2)} ${formatTime(value as number)}`;
      case "plan":
      case "over":
        return JSON.stringify(value);
      default:
        return `${key} ${typeof value === "number" ? Math.round(value * 1000) / 1000 : value}`;
    }
  });
  return `** ${kind}: ${words.join(", ")}`;
}
