import { invariant } from "../domain/errors.ts";
import type { SwarmKey } from "../domain/ids.ts";
import type { Random } from "../env/random.ts";
import { Link, type Schedule } from "./link.ts";
import type { ConnectionId, Transport, TransportEvent } from "./transport.ts";

export interface MemoryTransportOptions {
  /** This instance's own key: it stands at both ends. */
  readonly localKey: SwarmKey;
  readonly random: Random;
  /** Runs a task soon, never at once (a microtask in the program, the simulation's queue in tests). */
  readonly schedule: Schedule;
}

/** The connection ids of the two ends. Negative, so that they never meet those of the swarm. */
export const memoryInitiator: ConnectionId = -1;
export const memoryResponder: ConnectionId = -2;

/**
 * One instance talking to itself, so that its own nodes pair without a network: what is sent on one end comes out of the
 * other. It never breaks by itself, and once closed it stays closed.
 */
export class MemoryTransport implements Transport {
  readonly #options: MemoryTransportOptions;
  #link: Link | undefined;

  constructor(options: MemoryTransportOptions) {
    this.#options = options;
  }

  start(onEvent: (event: TransportEvent) => void): Promise<void> {
    invariant(this.#link === undefined, "a memory transport starts once");
    const { localKey, random, schedule } = this.#options;
    const ends = {
      initiator: { connection: memoryInitiator, key: localKey, onEvent },
      responder: { connection: memoryResponder, key: localKey, onEvent },
    };
    this.#link = new Link(ends, "memory", random, schedule);
    return Promise.resolve();
  }

  send(connection: ConnectionId, frame: Uint8Array): void {
    if (this.#owns(connection)) this.#link?.send(connection, frame);
  }

  /** Nobody else can connect here: there is no cap to pass. */
  markAuthenticated(_connection: ConnectionId): void {}

  disconnect(connection: ConnectionId): void {
    if (this.#owns(connection)) this.#link?.close(connection, "closed by this side");
  }

  close(): Promise<void> {
    this.#link?.close(memoryInitiator, "closing");
    return Promise.resolve();
  }

  #owns(connection: ConnectionId): boolean {
    return connection === memoryInitiator || connection === memoryResponder;
  }
}
