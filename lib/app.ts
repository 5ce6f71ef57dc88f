import type { EventRecord } from "./audit/record.ts";
import { type BalancerView, createBalancer, nextTimeoutMs, stepBalancer, viewBalancer } from "./balancer/balancer.ts";
import { Driver } from "./balancer/driver.ts";
import type { Config } from "./config/config.ts";
import { TightropeError } from "./domain/errors.ts";
import { systemClock, systemRandom } from "./env/system.ts";
import { deriveAuthKey, deriveMaster, deriveTopic } from "./protocol/keys.ts";
import { deriveSwarmKey } from "./protocol/swarm_key.ts";
import { CombinedTransport } from "./swarm/combined_transport.ts";
import { MemoryTransport } from "./swarm/memory_transport.ts";
import { AuditWorker, type PauseEvent } from "./workers/audit_remote.ts";
import { LightningWorker } from "./workers/lightning_remote.ts";
import { SwarmWorker } from "./workers/swarm_remote.ts";
import type { WorkerHandle } from "./workers/worker_handle.ts";

export interface InstanceOptions {
  /** Decide and tell, but ask nothing and pay nothing. */
  readonly dryRun: boolean;
  /** Sees every event record as it is logged. */
  readonly onRecord: (record: EventRecord) => void;
}

// Payments that LND has under way may take long; their reservations are on disk, so that stopping loses nothing.
const drainMs = 6_000;
const closeMs = 2_500;
// Only a disk that hangs takes longer.
const closeLogsMs = 1_500;

/** One running instance: its workers, its logs and its balancer. */
export class Instance {
  /** Never resolves; rejects when the instance can't go on. Stop it then: the logs are closed by `stop`. */
  readonly failed: Promise<never>;
  readonly #driver: Driver;
  readonly #audit: AuditWorker;
  readonly #lightning: LightningWorker;
  readonly #swarm: SwarmWorker;
  readonly #memory: MemoryTransport;
  readonly #view: () => BalancerView;
  #stopped: Promise<boolean> | undefined;

  private constructor(
    driver: Driver,
    audit: AuditWorker,
    lightning: LightningWorker,
    swarm: SwarmWorker,
    memory: MemoryTransport,
    view: () => BalancerView,
  ) {
    this.#driver = driver;
    this.#audit = audit;
    this.#lightning = lightning;
    this.#swarm = swarm;
    this.#memory = memory;
    this.#view = view;
    this.failed = Promise.race([driver.failed, audit.handle.died, lightning.handle.died, swarm.handle.died]);
    this.failed.catch(() => {});
  }

  /**
   * Starts every worker with its own rights, opens the logs, and sets the balancer going. Once it resolves, this process
   * needs no right any more.
   * @throws TightropeError when the logs can't be opened or a worker can't be started
   */
  static async start(config: Config, options: InstanceOptions): Promise<Instance> {
    const master = deriveMaster(config.secret);
    const previous = config.previousSecret === undefined ? undefined : deriveMaster(config.previousSecret);
    const audit = new AuditWorker(config.audit, systemRandom);
    const started: WorkerHandle[] = [audit.handle];
    let driver: Driver | undefined;
    try {
      let heard: PauseEvent | undefined;
      const opened = await audit.open((event) => {
        if (event.kind === "resolve") return driver?.resolve(event.paymentHash, event.as);
        // The operator may pause while a long log is still being read.
        heard = event;
        driver?.setPauses(event.pauses, event.resumed);
      });
      const transactions = await audit.readTransactions();
      const lightning = new LightningWorker(config.lightningNodes, systemRandom);
      started.push(lightning.handle);
      const swarm = new SwarmWorker({
        topics: [master, ...(previous === undefined ? [] : [previous])].map(deriveTopic),
        seed: opened.swarmSeed,
        bootstrap: config.swarm.bootstrap,
        port: config.swarm.port,
      }, systemRandom);
      started.push(swarm.handle);
      const memory = new MemoryTransport({
        localKey: deriveSwarmKey(opened.swarmSeed),
        random: systemRandom,
        schedule: queueMicrotask,
      });
      const transport = new CombinedTransport([memory, swarm]);
      const state = createBalancer({
        authKey: deriveAuthKey(master),
        ...(previous === undefined ? {} : { previousAuthKey: deriveAuthKey(previous) }),
        limits: config.limits,
        ...(config.peers === undefined ? {} : { peers: config.peers }),
        requireNodeProof: config.requireNodeProof,
        nodeCount: config.lightningNodes.length,
        dryRun: options.dryRun,
      });
      driver = new Driver({
        machine: {
          step: (event, now) => stepBalancer(state, event, now, systemRandom),
          nextTimeoutMs: () => nextTimeoutMs(state),
        },
        nodes: lightning.nodes,
        transport,
        audit,
        clock: systemClock,
        onRecord: options.onRecord,
      });
      const instance = new Instance(driver, audit, lightning, swarm, memory, () => viewBalancer(state));
      await Promise.all(started.map(({ ready }) => ready));
      await driver.start({ transactions, head: opened.head, pauses: (heard ?? opened).pauses });
      return instance;
    } catch (error) {
      const closed = driver?.close();
      for (const handle of started) handle.terminate();
      await closed;
      throw error;
    }
  }

  /** What the balancer knows and thinks now. */
  view(): BalancerView {
    return this.#view();
  }

  /**
   * Starts nothing new, waits (6 s at most) for what runs, closes everything. Within 10 s.
   * @returns whether what ran has ended; if not, the next start looks it up
   * @throws TightropeError if the logs couldn't be closed; what was acknowledged is on the disk all the same
   */
  stop(): Promise<boolean> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<boolean> {
    this.#driver.drain();
    const drained = await within(drainMs, Promise.race([this.#driver.drained, this.failed.catch(() => {})]));
    // First: calls that end with their worker are no failures of ours any more.
    const closed = this.#driver.close();
    await within(closeMs, Promise.allSettled([this.#swarm.close(), this.#memory.close(), this.#lightning.close()]));
    this.#swarm.handle.terminate();
    this.#lightning.handle.terminate();
    if (!await within(closeLogsMs, this.#closeLogs(closed))) {
      throw new TightropeError(
        "temporary",
        "The logs can't be closed: the disk doesn't answer",
        "Check the disk that holds the data directory, then start Tightrope again: it finds out what was written",
      );
    }
    return drained;
  }

  async #closeLogs(closed: Promise<void>): Promise<void> {
    await closed;
    // What a lost worker held is on disk as far as it was acknowledged; there is nobody left to close it.
    if (!this.#audit.handle.ended) await this.#audit.close();
  }
}

/** Waits for `promise`, but no longer than `ms`. @returns whether it came in time */
async function within(ms: number, promise: Promise<unknown>): Promise<boolean> {
  const { promise: late, resolve } = Promise.withResolvers<false>();
  const timer = setTimeout(() => resolve(false), ms);
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Gives up every right of this thread for good; the workers keep theirs. */
export function dropRights(): void {
  for (const name of ["read", "write", "net", "env", "run", "ffi", "sys", "import"] as const) {
    Deno.permissions.revokeSync({ name } as Deno.PermissionDescriptor);
  }
}
