import type { SwarmKey } from "../domain/ids.ts";
import type { Random } from "../env/random.ts";
import { type ConnectionId, maxFrameBytes, type TransportEvent } from "./transport.ts";

/** Runs a task soon, never at once: whoever sends a frame must not be called back from within. */
export type Schedule = (task: () => void) => void;

/** How many events may wait for one end before the link breaks. */
export const maxQueuedEvents = 1_024;

export interface LinkEnd {
  readonly connection: ConnectionId;
  readonly key: SwarmKey;
  readonly onEvent: (event: TransportEvent) => void;
}

/**
 * One connection inside this process: two ends, whole frames, in order, nothing lost.
 * Each end has its own queue, and each scheduled task delivers that queue's head: the order holds whatever the scheduler
 * does.
 */
export class Link {
  readonly initiator: LinkEnd;
  readonly responder: LinkEnd;
  readonly #schedule: Schedule;
  readonly #queues: { readonly initiator: TransportEvent[]; readonly responder: TransportEvent[] } = {
    initiator: [],
    responder: [],
  };
  #open = true;

  constructor(
    ends: { readonly initiator: LinkEnd; readonly responder: LinkEnd },
    via: "memory" | "swarm",
    random: Random,
    schedule: Schedule,
  ) {
    this.initiator = ends.initiator;
    this.responder = ends.responder;
    this.#schedule = schedule;
    const handshakeHash = random.bytes(64);
    for (const side of ["initiator", "responder"] as const) {
      const [local, remote] = side === "initiator"
        ? [ends.initiator, ends.responder]
        : [ends.responder, ends.initiator];
      this.#deliver(side, {
        kind: "connected",
        connection: local.connection,
        via,
        initiator: side === "initiator",
        localKey: local.key,
        remoteKey: remote.key,
        handshakeHash: handshakeHash.slice(),
      });
    }
  }

  get isOpen(): boolean {
    return this.#open;
  }

  /** Sends from the end that this connection id names. */
  send(from: ConnectionId, frame: Uint8Array): void {
    if (!this.#open) return;
    if (frame.length > maxFrameBytes) {
      return this.close(from, `frame of ${frame.length} bytes; at most ${maxFrameBytes} pass`);
    }
    const side = from === this.initiator.connection ? "responder" : "initiator";
    if (this.#queues[side].length >= maxQueuedEvents) return this.close(from, "peer does not read");
    this.#deliver(side, { kind: "frame", connection: this[side].connection, frame: frame.slice() });
  }

  /** Ends the link. The end that closed sees no more frames; the other still gets those under way. */
  close(from: ConnectionId, reason: string): void {
    if (!this.#open) return;
    this.#open = false;
    const near = from === this.initiator.connection ? "initiator" : "responder";
    const waiting = this.#queues[near];
    // Its queue is emptied but for a `connected` not told yet: an end hears of every connection before it hears of its end.
    waiting.splice(0, waiting.length, ...waiting.filter((event) => event.kind === "connected"));
    this.#deliver(near, { kind: "disconnected", connection: this[near].connection, reason });
    const far = near === "initiator" ? "responder" : "initiator";
    this.#deliver(far, { kind: "disconnected", connection: this[far].connection, reason });
  }

  #deliver(side: "initiator" | "responder", event: TransportEvent): void {
    const queue = this.#queues[side];
    queue.push(event);
    this.#schedule(() => {
      const head = queue.shift();
      if (head !== undefined) this[side].onEvent(head);
    });
  }
}
