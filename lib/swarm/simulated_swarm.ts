import { bytesToHex } from "@noble/hashes/utils.js";
import { invariant } from "../domain/errors.ts";
import type { SwarmKey } from "../domain/ids.ts";
import type { Random } from "../env/random.ts";
import { Link } from "./link.ts";
import type { ConnectionId, Transport, TransportEvent } from "./transport.ts";

export interface SimulatedSwarmOptions {
  readonly random: Random;
  /** Runs a task after a delay, never at once; a simulation's queue under virtual time. */
  readonly schedule: (task: () => void, delayMs: number) => void;
  /** How long each frame takes; 0 if absent. Frames of one connection stay in order whatever it returns. */
  readonly delayMs?: () => number;
}

interface Endpoint {
  readonly key: SwarmKey;
  readonly topics: readonly string[];
  readonly onEvent: (event: TransportEvent) => void;
}

/**
 * A whole swarm inside one process: endpoints on a common topic are connected as soon as both have started, each pair
 * once. For tests and simulations of several instances.
 */
export class SimulatedSwarm {
  readonly #options: SimulatedSwarmOptions;
  readonly #started: Endpoint[] = [];
  readonly #links = new Map<ConnectionId, Link>();
  readonly #severed = new Set<string>();
  #nextConnection = 1;

  constructor(options: SimulatedSwarmOptions) {
    this.#options = options;
  }

  /** A transport for one instance. A restarted instance takes a new endpoint under its old key. */
  endpoint(key: SwarmKey, topics: readonly Uint8Array[]): Transport {
    let endpoint: Endpoint | undefined;
    const owned = (connection: ConnectionId): Link | undefined => {
      const link = this.#links.get(connection);
      const end = link?.initiator.connection === connection ? link.initiator : link?.responder;
      return end?.onEvent === endpoint?.onEvent ? link : undefined;
    };
    return {
      start: (onEvent) => {
        invariant(endpoint === undefined, "an endpoint starts once");
        endpoint = { key, topics: topics.map(bytesToHex), onEvent: (event) => onEvent(event) };
        this.#started.push(endpoint);
        for (const other of this.#started) this.#connect(endpoint, other);
        return Promise.resolve();
      },
      send: (connection, frame) => owned(connection)?.send(connection, frame),
      markAuthenticated: () => {},
      disconnect: (connection) => this.#drop(owned(connection), connection, "closed by this side"),
      close: () => {
        if (endpoint && this.#started.includes(endpoint)) {
          this.#started.splice(this.#started.indexOf(endpoint), 1);
          for (const [connection, link] of [...this.#links]) {
            if (owned(connection)) this.#drop(link, connection, "closing");
          }
        }
        return Promise.resolve();
      },
    };
  }

  /** Breaks the connection between two keys and keeps them apart until `mend`. */
  sever(a: SwarmKey, b: SwarmKey): void {
    this.#severed.add(pairOf(a, b));
    for (const [connection, link] of [...this.#links]) {
      if (pairOf(link.initiator.key, link.responder.key) === pairOf(a, b)) {
        this.#drop(link, connection, "connection lost");
      }
    }
  }

  /** Lets two keys find each other again. */
  mend(a: SwarmKey, b: SwarmKey): void {
    this.#severed.delete(pairOf(a, b));
    for (const left of this.#started) {
      for (const right of this.#started) {
        if (left.key === a && right.key === b) this.#connect(left, right);
      }
    }
  }

  /** `from` finds `to`: it becomes the initiator. */
  #connect(from: Endpoint, to: Endpoint): void {
    const pair = pairOf(from.key, to.key);
    const linked = [...this.#links.values()].some((link) => pairOf(link.initiator.key, link.responder.key) === pair);
    const common = from.topics.some((topic) => to.topics.includes(topic));
    if (from.key === to.key || !common || linked || this.#severed.has(pair)) return;
    const end = (endpoint: Endpoint) => ({
      connection: this.#nextConnection++,
      key: endpoint.key,
      onEvent: endpoint.onEvent,
    });
    const { random, schedule, delayMs } = this.#options;
    const link = new Link(
      { initiator: end(from), responder: end(to) },
      "swarm",
      random,
      (task) => schedule(task, delayMs?.() ?? 0),
    );
    this.#links.set(link.initiator.connection, link);
    this.#links.set(link.responder.connection, link);
  }

  #drop(link: Link | undefined, from: ConnectionId, reason: string): void {
    if (link === undefined) return;
    link.close(from, reason);
    this.#links.delete(link.initiator.connection);
    this.#links.delete(link.responder.connection);
  }
}

function pairOf(a: SwarmKey, b: SwarmKey): string {
  return a < b ? `${a} ${b}` : `${b} ${a}`;
}
