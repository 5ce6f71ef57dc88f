import type { AuditSink, LogHead } from "../audit/audit_sink.ts";
import type { Pause } from "../audit/pause.ts";
import type { EventRecord, LogRecord } from "../audit/record.ts";
import { TightropeError } from "../domain/errors.ts";
import type { PaymentHash } from "../domain/ids.ts";
import type { Clock, Now } from "../env/clock.ts";
import { callNode, type LightningNode } from "../lightning/node.ts";
import type { Transport } from "../swarm/transport.ts";
import type { BalancerEvent, Effect } from "./io.ts";

/** The pure machine behind the driver. */
export interface Machine {
  step(event: BalancerEvent, now: Now): readonly Effect[];
  /** When the machine wants a `timeout`, on the monotonic clock. */
  nextTimeoutMs(): number | undefined;
}

export interface DriverParts {
  readonly machine: Machine;
  /** In the order of the configuration. */
  readonly nodes: readonly LightningNode[];
  readonly transport: Transport;
  readonly audit: AuditSink;
  readonly clock: Clock;
  /** Sees each event record as it is logged: the screen, the demo. */
  readonly onRecord: (record: EventRecord) => void;
}

/** What the log held at start, and what was paused. */
export interface DriverStart {
  readonly transactions: readonly LogRecord[];
  readonly head: LogHead;
  readonly pauses: readonly Pause[];
}

// The event log may lag behind by this many records; beyond it the disk is too slow to go on unseen.
const maxUnwrittenEvents = 10_000;
// setTimeout takes a signed 32-bit number of milliseconds.
const longestTimerMs = 2 ** 31 - 1;

/**
 * Performs the balancer's effects and feeds their outcomes back as events, one at a time and in order of arrival.
 * It decides nothing. Whatever it can't perform (an append, above all) ends it: `failed` rejects.
 */
export class Driver {
  /** Never resolves; rejects with the reason why this driver had to stop. */
  readonly failed: Promise<never>;
  /** Resolves once a drain has left nothing under way. */
  readonly drained: Promise<void>;
  readonly #parts: DriverParts;
  readonly #queue: BalancerEvent[] = [];
  readonly #running = new Set<Promise<void>>();
  #fail: (error: unknown) => void = () => {};
  #becomeDrained: () => void = () => {};
  #timer: ReturnType<typeof setTimeout> | undefined;
  #pumping = false;
  #stopped = false;
  #unwrittenEvents = 0;

  constructor(parts: DriverParts) {
    this.#parts = parts;
    const failed = Promise.withResolvers<never>();
    this.failed = failed.promise;
    // Read by whoever runs the driver; without a reader a failure must still not end the process from here.
    this.failed.catch(() => {});
    this.#fail = (error) => {
      this.#stop();
      failed.reject(error);
    };
    const drained = Promise.withResolvers<void>();
    this.drained = drained.promise;
    this.#becomeDrained = drained.resolve;
  }

  /** Hands the machine its history, then starts nodes and transport. */
  async start(start: DriverStart): Promise<void> {
    this.#take({ kind: "log-head", ...start.head });
    this.#take({ kind: "started", transactions: start.transactions, pauses: start.pauses });
    this.#parts.nodes.forEach((node, index) => {
      this.#run(node.watch((event) => this.#take({ kind: "node", node: index, event })));
    });
    await this.#parts.transport.start((event) => this.#take({ kind: "transport", event }));
  }

  /** The operator paused or resumed something; `resumed`: everything. */
  setPauses(pauses: readonly Pause[], resumed: boolean): void {
    this.#take({ kind: "paused", pauses, resumed });
  }

  /** The operator says how an open payment ended. */
  resolve(paymentHash: PaymentHash, as: "settled" | "failed"): void {
    this.#take({ kind: "resolve", paymentHash, as });
  }

  /** Starts nothing new from now on; await `drained` for the end of what runs. */
  drain(): void {
    this.#take({ kind: "drain" });
  }

  /** Stops at once; resolves when no call is under way any more, so close the nodes and the transport meanwhile. */
  async close(): Promise<void> {
    this.#stop();
    await Promise.all(this.#running);
  }

  #stop(): void {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #take(event: BalancerEvent): void {
    if (this.#stopped) return;
    this.#queue.push(event);
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      for (let next = this.#queue.shift(); next !== undefined && !this.#stopped; next = this.#queue.shift()) {
        for (const effect of this.#parts.machine.step(next, this.#parts.clock.now())) this.#perform(effect);
      }
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#pumping = false;
    }
    this.#arm();
  }

  #arm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#stopped) return;
    const at = this.#parts.machine.nextTimeoutMs();
    if (at === undefined) return;
    const waitMs = Math.ceil(Math.max(0, at - this.#parts.clock.now().atMs));
    this.#timer = setTimeout(() => this.#take({ kind: "timeout" }), Math.min(waitMs, longestTimerMs));
  }

  #perform(effect: Effect): void {
    switch (effect.kind) {
      case "call": {
        const node = this.#parts.nodes[effect.node];
        if (node === undefined) throw new RangeError(`there is no node ${effect.node}`);
        this.#run(
          callNode(node, effect.call).then((reply) => this.#take({ kind: "reply", callId: effect.callId, reply })),
        );
        break;
      }
      case "append":
        this.#run(
          this.#parts.audit.appendTransaction(effect.record).then((head) => {
            this.#take({ kind: "log-head", ...head });
            this.#take({ kind: "appended", appendId: effect.appendId });
          }),
        );
        break;
      case "note":
        this.#run(
          this.#parts.audit.appendTransaction(effect.record).then((head) => this.#take({ kind: "log-head", ...head })),
        );
        break;
      case "event":
        this.#record(effect.record);
        break;
      case "send":
        this.#parts.transport.send(effect.connection, effect.frame);
        break;
      case "disconnect":
        this.#parts.transport.disconnect(effect.connection);
        break;
      case "authenticated":
        this.#parts.transport.markAuthenticated(effect.connection);
        break;
      case "pause":
        this.#run(this.#parts.audit.pause(effect.reason));
        break;
      case "drained":
        this.#becomeDrained();
        break;
    }
  }

  #record(record: EventRecord): void {
    this.#parts.onRecord(record);
    if (++this.#unwrittenEvents > maxUnwrittenEvents) {
      throw new TightropeError(
        "temporary",
        `The event log is ${maxUnwrittenEvents} records behind: the disk doesn't keep up`,
        "Check the disk that holds the data directory, then start again",
      );
    }
    this.#run(this.#parts.audit.appendEvent(record).then(() => void this.#unwrittenEvents--));
  }

  #run(task: Promise<void>): void {
    const tracked = task.catch((error) => {
      if (!this.#stopped) this.#fail(error);
    }).finally(() => this.#running.delete(tracked));
    this.#running.add(tracked);
  }
}
