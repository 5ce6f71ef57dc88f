import type { Random } from "../env/random.ts";
import { SwarmGate } from "../swarm/admit_event.ts";
import type { ConnectionId, Transport, TransportEvent } from "../swarm/transport.ts";
import { swarmRights } from "./rights.ts";
import { WorkerHandle } from "./worker_handle.ts";

/** What the swarm worker is given: the topics and its own key, no secret. Plain data. */
export interface SwarmOptions {
  readonly topics: readonly Uint8Array[];
  /** 32 bytes; the stable swarm key pair comes from it. */
  readonly seed: Uint8Array;
  readonly bootstrap: readonly string[] | undefined;
  readonly port: number;
}

/** The transport that lives in the swarm worker. */
export class SwarmWorker implements Transport {
  readonly handle: WorkerHandle;
  readonly #options: SwarmOptions;

  constructor(options: SwarmOptions, random: Random) {
    this.#options = options;
    this.handle = new WorkerHandle(
      "swarm",
      new URL("./swarm_worker.ts", import.meta.url),
      swarmRights,
      random,
    );
  }

  async start(onEvent: (event: TransportEvent) => void): Promise<void> {
    const gate = new SwarmGate();
    this.handle.onEvent((event) => onEvent(gate.admit(event)));
    await this.handle.call("start", this.#options);
  }

  send(connection: ConnectionId, frame: Uint8Array): void {
    this.handle.tell("send", connection, frame);
  }

  markAuthenticated(connection: ConnectionId): void {
    this.handle.tell("markAuthenticated", connection);
  }

  disconnect(connection: ConnectionId): void {
    this.handle.tell("disconnect", connection);
  }

  async close(): Promise<void> {
    await this.handle.call("close");
    this.handle.terminate();
  }
}
