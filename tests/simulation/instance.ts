import { decodeLogRecord, encodeTransaction } from "../../lib/audit/record_codec.ts";
import type { Pause, PauseScope } from "../../lib/audit/pause.ts";
import { type EventRecord, isNote, type LogRecord, type TransactionRecord } from "../../lib/audit/record.ts";
import {
  type BalancerConfig,
  type BalancerState,
  createBalancer,
  nextTimeoutMs,
  stepBalancer,
  viewBalancer,
} from "../../lib/balancer/balancer.ts";
import type { BalancerEvent, Effect } from "../../lib/balancer/io.ts";
import type { NodePubkey, SwarmKey } from "../../lib/domain/ids.ts";
import type { Now } from "../../lib/env/clock.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { MemoryTransport } from "../../lib/swarm/memory_transport.ts";
import type { ConnectionId, Transport, TransportEvent } from "../../lib/swarm/transport.ts";
import { LndLink } from "./lnd_link.ts";
import type { World } from "./world.ts";

/** How long the disk takes. */
const writeMs = 1;

interface Write {
  readonly record: LogRecord;
  /** None for a record about the log itself. */
  readonly appendId: number | undefined;
}

/** How a process is to die. */
interface Death {
  readonly lastWrite: "lost" | "torn" | "written";
  readonly downMs: number;
  /** Just after a record was handed to the disk; else just before any effect. */
  readonly whileWriting: boolean;
  /** So many effects (or appends) later. */
  left: number;
}

/** What is wrong with one instance's disk now. */
export interface DiskTrouble {
  slowMs: number;
  full: boolean;
  /** The next append fails, and its record is on disk or not. */
  rejectNext: "written" | "lost" | undefined;
}

/**
 * One honest operator's process, its disk, its clocks and the wires to its nodes. It does what lib/balancer/driver.ts does:
 * hands events to the machine and performs its effects in order; an append that fails ends the process.
 */
export class SimInstance {
  readonly world: World;
  readonly index: number;
  readonly name: string;
  readonly nodes: readonly NodePubkey[];
  readonly swarmKey: SwarmKey;
  /** For its next start. */
  config: BalancerConfig;
  /** The transaction log as it is on disk: it survives a crash. */
  readonly disk: Uint8Array[] = [];
  /** The same, decoded, without what it says about itself. */
  readonly log: TransactionRecord[] = [];
  readonly diskTrouble: DiskTrouble = { slowMs: 0, full: false, rejectNext: undefined };
  /** What is paused, as its file says: it survives a crash. */
  pauses: readonly Pause[] = [];
  state: BalancerState | undefined;
  /** The last thing told of each side of a channel. */
  readonly decisions = new Map<string, EventRecord>();
  readonly decidedAtMs = new Map<string, number>();
  readonly refusals: { readonly atMs: number; readonly record: EventRecord }[] = [];
  /** The last request over each side of a channel that brought nothing. */
  readonly unpaid = new Map<string, { readonly atMs: number; readonly record: EventRecord }>();
  dueAtMs: number | undefined;
  /** The same by the machine's own clock. */
  #timeoutAtMs: number | undefined;
  drained = false;
  #random: SeededRandom;
  #links: LndLink[] = [];
  #memory: Transport | undefined;
  #swarm: Transport | undefined;
  #life = 0;
  #writes: Write[] = [];
  #lateUntilMs = new Map<ConnectionId, number>();
  #held = new Map<ConnectionId, Uint8Array>();
  #crash: Death | undefined;
  /** The oscillator behind both clocks: what they showed when its rate last changed. */
  #clock: { worldMs: number; monotonicMs: number; wallMs: number; rate: number };

  constructor(world: World, index: number, nodes: readonly NodePubkey[], swarmKey: SwarmKey, config: BalancerConfig) {
    this.world = world;
    this.index = index;
    this.name = `operator ${index + 1}`;
    this.nodes = nodes;
    this.swarmKey = swarmKey;
    this.config = config;
    this.#random = new SeededRandom(world.plan.seed * 31 + index * 7919 + 1);
    this.#clock = { worldMs: 0, monotonicMs: 0, wallMs: world.startWallMs, rate: 1 };
  }

  get isRunning(): boolean {
    return this.state !== undefined;
  }

  // Clocks

  now(): Now {
    const { worldMs, monotonicMs, wallMs, rate } = this.#clock;
    const passedMs = (this.world.atMs - worldMs) * rate;
    return { atMs: monotonicMs + passedMs, wallMs: wallMs + passedMs };
  }

  #setClock(change: Partial<{ monotonicMs: number; wallMs: number; rate: number }>): void {
    const { atMs, wallMs } = this.now();
    this.#clock = { worldMs: this.world.atMs, monotonicMs: atMs, wallMs, rate: this.#clock.rate, ...change };
    this.#arm();
  }

  jumpWall(byMs: number): void {
    this.#setClock({ wallMs: this.now().wallMs + byMs });
  }

  drift(ppm: number): void {
    this.#setClock({ rate: 1 + ppm / 1e6 });
  }

  setWallRight(): void {
    this.#setClock({ wallMs: this.world.startWallMs + this.world.atMs, rate: 1 });
  }

  #arm(): void {
    this.#timeoutAtMs = this.state && nextTimeoutMs(this.state);
    const at = this.#timeoutAtMs;
    const { worldMs, monotonicMs, rate } = this.#clock;
    this.dueAtMs = at === undefined ? undefined : Math.max(this.world.atMs, worldMs + (at - monotonicMs) / rate);
  }

  /** The time that the machine asked for has come. */
  wake(): void {
    const at = this.#timeoutAtMs;
    if (at === undefined) return;
    // What the rounding of the clocks' rates took away.
    if (this.now().atMs < at) this.#clock.monotonicMs += at - this.now().atMs;
    this.take({ kind: "timeout" });
  }

  // Life

  start(): void {
    if (this.isRunning) return;
    const life = ++this.#life;
    const alive = () => life === this.#life;
    const { world } = this;
    // A monotonic clock begins anew with each process.
    this.#setClock({ monotonicMs: 50 });
    this.state = createBalancer(this.config);
    this.drained = false;
    world.tell(this.name, () => `starts with ${this.disk.length} records`);
    const records = this.records();
    world.watch.started(this);
    this.take({ kind: "log-head", length: this.disk.length, treeHash: "ab".repeat(32) });
    this.take({ kind: "started", transactions: records, pauses: this.pauses });
    // It may have died of its first effects.
    if (!alive()) return;
    this.#links = this.nodes.map((pubkey, node) =>
      new LndLink(world, pubkey, (event) => {
        if (alive()) this.take({ kind: "node", node, event });
      })
    );
    for (const link of this.#links) link.watch();
    if (!alive()) return;
    this.#memory = new MemoryTransport({
      localKey: this.swarmKey,
      random: this.#random,
      schedule: (task) => world.after(0, task),
    });
    this.#swarm = world.swarm.endpoint(this.swarmKey, [world.topic]);
    for (const transport of [this.#memory, this.#swarm]) {
      void transport.start((event) => {
        if (alive()) this.#receive(event);
      });
    }
  }

  /** The process dies before it has done `afterEffects` more effects. */
  dieSoon({ afterEffects, lastWrite, downMs, whileWriting }: Omit<Death, "left"> & { afterEffects: number }): void {
    // Appends are far between.
    const left = whileWriting ? afterEffects % 4 : afterEffects;
    this.#crash ??= { left, lastWrite, downMs, whileWriting };
  }

  /** No death is planned any more. */
  liveOn(): void {
    this.#crash = undefined;
    this.diskTrouble.rejectNext = undefined;
  }

  /** The process is gone at once, with what it had not written. */
  die(lastWrite: "lost" | "torn" | "written"): void {
    if (!this.isRunning) return;
    this.world.count("processes-killed");
    this.world.tell(this.name, () => `dies; ${this.#writes.length} records were being written: ${lastWrite}`);
    // Records reach the disk in their order: what was being written may be there, what waits behind it not.
    const [first] = this.#writes;
    if (first !== undefined && lastWrite === "written") this.#write(first.record);
    if (first !== undefined && lastWrite === "torn") this.world.count("torn-writes");
    this.#stop();
  }

  #dieAs({ lastWrite, downMs }: Death): void {
    this.die(lastWrite);
    this.restartIn(downMs);
  }

  #stop(): void {
    this.#life++;
    this.#crash = undefined;
    this.state = undefined;
    this.dueAtMs = undefined;
    this.#writes = [];
    this.#held.clear();
    this.#lateUntilMs.clear();
    for (const link of this.#links) link.close();
    this.#links = [];
    const transports = [this.#memory, this.#swarm];
    this.#memory = this.#swarm = undefined;
    for (const transport of transports) void transport?.close();
    this.world.watch.stopped(this);
  }

  restartIn(ms: number): void {
    this.world.after(ms, () => this.start());
  }

  /** As a service manager stops it: it drains, then it is gone. */
  stopOrderly(downMs: number): void {
    if (!this.isRunning) return;
    const life = this.#life;
    this.take({ kind: "drain" });
    this.world.after(7_000, () => {
      if (life !== this.#life) return;
      this.world.tell(this.name, () => `stops${this.drained ? ", drained" : ", not drained"}`);
      // An orderly end closes the log: what waits is written first.
      for (const { record } of this.#writes) this.#write(record);
      this.#stop();
      this.restartIn(downMs);
    });
  }

  /** What is on disk, read anew. */
  records(): LogRecord[] {
    return this.disk.map(decodeLogRecord);
  }

  /** Puts other records on the disk, as a restored backup or a repair does. Only while the process is down. */
  replaceLog(records: readonly LogRecord[]): void {
    this.disk.splice(0, this.disk.length, ...records.map(encodeTransaction));
    this.log.splice(0, this.log.length, ...records.filter((record) => !isNote(record)));
    this.world.watch.logRestored(this);
  }

  /** The operator pauses something. */
  pause(scope: PauseScope): void {
    this.#setPauses([...this.pauses, { scope, by: "operator", reason: "", sinceWallMs: this.now().wallMs }], false);
  }

  /** The operator resumes everything. */
  resume(): void {
    this.#setPauses([], true);
  }

  #setPauses(pauses: readonly Pause[], resumed: boolean): void {
    this.pauses = pauses;
    if (this.isRunning) this.take({ kind: "paused", pauses, resumed });
  }

  endStreams(node: NodePubkey): void {
    this.#links[this.nodes.indexOf(node)]?.endStreams();
  }

  // Events in, effects out

  take(event: BalancerEvent): void {
    if (this.state === undefined) return;
    const life = this.#life;
    const { bug } = this.world;
    const seen = bug?.event?.(this, event) ?? event;
    let effects = stepBalancer(this.state, seen, this.now(), this.#random);
    this.world.stats.events++;
    if (bug?.effects) effects = bug.effects(this, effects, seen);
    for (const participant of this.world.participants) participant.effects?.(this, seen, effects);
    for (const effect of effects) {
      if (life !== this.#life) return;
      const crash = this.#crash;
      if (crash?.whileWriting === false && crash.left-- <= 0) return this.#dieAs(crash);
      this.world.watch.effect(this, effect);
      this.perform(effect);
      if (crash?.whileWriting === true && effect.kind === "append" && crash.left-- <= 0) return this.#dieAs(crash);
    }
    if (life !== this.#life) return;
    this.#arm();
    this.world.watch.stepped(this);
  }

  perform(effect: Effect): void {
    const life = this.#life;
    switch (effect.kind) {
      case "call": {
        const purpose = this.state?.calls.get(effect.callId)?.kind;
        const isOfPayment = purpose === "pay" || purpose === "track";
        return this.#links[effect.node]!.call(effect.call, isOfPayment, (reply) => {
          if (life !== this.#life) return;
          this.world.watch.replied(this, effect, reply);
          this.take({ kind: "reply", callId: effect.callId, reply });
        });
      }
      case "append":
        this.#writes.push({ record: effect.record, appendId: effect.appendId });
        if (this.#writes.length === 1) this.#writeNext();
        return;
      case "note":
        this.#writes.push({ record: effect.record, appendId: undefined });
        if (this.#writes.length === 1) this.#writeNext();
        return;
      case "event":
        return this.#note(effect.record);
      case "send":
        return this.#transportOf(effect.connection)?.send(effect.connection, effect.frame);
      case "disconnect":
        return this.#transportOf(effect.connection)?.disconnect(effect.connection);
      case "authenticated":
        return this.#transportOf(effect.connection)?.markAuthenticated(effect.connection);
      case "pause":
        return this.world.after(writeMs, () => {
          if (life !== this.#life) return;
          const pause: Pause = { scope: { kind: "all" }, by: "breaker", reason: effect.reason, sinceWallMs: 0 };
          this.#setPauses([...this.pauses, pause], false);
        });
      case "drained":
        this.drained = true;
        return;
    }
  }

  #note(record: EventRecord): void {
    this.world.tell(this.name, () => record.message);
    if (record.kind === "decision" && record.channelPoint) {
      this.decisions.set(`${record.node}/${record.channelPoint}`, record);
      this.decidedAtMs.set(`${record.node}/${record.channelPoint}`, this.world.atMs);
    }
    if (record.kind === "request-ended" && record.channelPoint) {
      this.unpaid.set(`${record.node}/${record.channelPoint}`, { atMs: this.world.atMs, record });
    }
    if (record.kind === "request-refused") this.refusals.push({ atMs: this.world.atMs, record });
  }

  // The disk

  #writeNext(): void {
    const life = this.#life;
    this.world.after(writeMs + this.diskTrouble.slowMs, () => {
      const write = this.#writes[0];
      if (life !== this.#life || write === undefined) return;
      const { diskTrouble } = this;
      if (diskTrouble.full || diskTrouble.rejectNext !== undefined) {
        this.world.count(diskTrouble.full ? "disk-full" : "append-rejected");
        const written = !diskTrouble.full && diskTrouble.rejectNext === "written";
        diskTrouble.rejectNext = undefined;
        this.die(written ? "written" : "lost");
        return this.restartIn(5_000);
      }
      this.#writes.shift();
      this.#write(write.record);
      if (this.#writes.length > 0) this.#writeNext();
      this.take({ kind: "log-head", length: this.disk.length, treeHash: "ab".repeat(32) });
      if (write.appendId !== undefined) this.take({ kind: "appended", appendId: write.appendId });
    });
  }

  #write(record: LogRecord): void {
    this.disk.push(encodeTransaction(record));
    this.world.watch.written(this, record);
    if (isNote(record)) return this.world.tell(this.name, () => `on disk: ${record.kind}`);
    this.log.push(record);
    const { role, kind, amountSat, paymentHash } = record;
    this.world.tell(this.name, () => `on disk: ${role} ${kind} ${amountSat} sat ${paymentHash.slice(0, 6)}`);
  }

  // The wires

  #transportOf(connection: ConnectionId): Transport | undefined {
    return connection < 0 ? this.#memory : this.#swarm;
  }

  /** What the network does to frames on their way here. Frames of one session keep their order unless that is the fault. */
  #receive(event: TransportEvent): void {
    if (event.kind === "connected") this.world.watch.connected(this, event);
    if (event.kind === "disconnected") this.world.lostConnection(this, event.connection);
    if (event.kind !== "frame" || event.connection < 0) return this.#deliver(event);
    const { connection, frame } = event;
    const { dice } = this.world;
    const fault = (kind: Parameters<World["frameFaults"]>[1]) => {
      const percent = this.world.frameFaults(this, kind, connection);
      if (percent === 0 || !dice.chance(percent)) return false;
      this.world.count(kind);
      return true;
    };
    if (fault("messages-lost")) {
      // A transport that has lost something for good notices, sooner or later, and gives the connection up.
      const swarm = this.#swarm;
      return this.world.after(dice.spread(100, 60_000), () => swarm?.disconnect(connection));
    }
    const bytes = frame.slice();
    if (fault("messages-damaged")) bytes[dice.below(bytes.length)]! ^= 1 << dice.below(8);
    const held = this.#held.get(connection);
    if (held === undefined && fault("messages-swapped")) {
      this.#held.set(connection, bytes);
      // Where nothing follows it is only late.
      return this.world.after(2_000, () => {
        if (this.#held.get(connection) !== bytes) return;
        this.#held.delete(connection);
        this.#deliver({ kind: "frame", connection, frame: bytes });
      });
    }
    this.#held.delete(connection);
    const lateMs = fault("messages-late") ? dice.spread(10, 30_000) : 0;
    const frames = [bytes, ...(held ? [held] : []), ...(fault("messages-repeated") ? [bytes] : [])];
    const atMs = Math.max(this.world.atMs + lateMs, this.#lateUntilMs.get(connection) ?? 0);
    const life = this.#life;
    const deliver = () => {
      for (const one of frames) if (life === this.#life) this.#deliver({ kind: "frame", connection, frame: one });
    };
    if (atMs <= this.world.atMs) return deliver();
    this.#lateUntilMs.set(connection, atMs);
    this.world.after(atMs - this.world.atMs, deliver);
  }

  #deliver(event: TransportEvent): void {
    if (event.kind === "frame") this.world.watch.frame(this, event.connection, event.frame);
    this.take({ kind: "transport", event });
  }

  get view() {
    return this.state && viewBalancer(this.state, this.now().atMs);
  }
}
