import { InvariantError } from "../domain/errors.ts";
import { parseSwarmKey, type SwarmKey } from "../domain/ids.ts";
import { type ConnectionId, maxFrameBytes, type TransportEvent } from "./transport.ts";

const maxTextLength = 500;

function text(value: unknown): string {
  if (typeof value !== "string") throw new InvariantError("the swarm reported something that is no text");
  // deno-lint-ignore no-control-regex -- what a stranger wrote must not steer the operator's terminal
  return value.slice(0, maxTextLength).replace(/[\u0000-\u001f\u007f-\u009f]/g, " ");
}

function connectionId(value: unknown): ConnectionId {
  // Negative ids are those of the in-memory transport.
  if (!Number.isSafeInteger(value) || (value as number) <= 0) throw new InvariantError("the swarm named no connection");
  return value as number;
}

function bytes(value: unknown, least: number, most: number): Uint8Array {
  if (!(value instanceof Uint8Array) || value.length < least || value.length > most) {
    throw new InvariantError("the swarm reported bytes of a wrong length");
  }
  // A copy: memory that the worker shares with main could change between the check of a MAC and the reading.
  const copy = new Uint8Array(value);
  if (copy.length < least || copy.length > most) throw new InvariantError("the swarm reported bytes that change");
  return copy;
}

function key(value: unknown): SwarmKey {
  const parsed = parseSwarmKey(value);
  if (parsed === undefined) throw new InvariantError("the swarm reported something that is no key");
  return parsed;
}

/** More connections than the worker's own bounds let it have at once. */
export const maxConnections = 16_384;

/** Lets the swarm worker's events pass, one after the other. */
export class SwarmGate {
  readonly #open = new Set<ConnectionId>();

  /** @throws InvariantError when the worker doesn't keep to the interface; it may be hijacked */
  admit(reported: unknown): TransportEvent {
    const event = admitSwarmEvent(reported);
    if (event.kind === "connected") {
      if (this.#open.has(event.connection)) throw new InvariantError("the swarm reported a connection twice");
      if (this.#open.size >= maxConnections) {
        throw new InvariantError("the swarm reported more connections than it may have");
      }
      this.#open.add(event.connection);
    } else if (event.kind === "disconnected") this.#open.delete(event.connection);
    return event;
  }
}

/**
 * Checks an event of the swarm worker, which strangers' packets reach, before main acts on it. Whatever the worker says,
 * the event is one of the swarm: only the in-memory transport may speak for our own instance.
 * @throws InvariantError when the worker doesn't keep to the interface; it may be hijacked
 */
export function admitSwarmEvent(event: unknown): TransportEvent {
  const fields = (typeof event === "object" && event !== null ? event : {}) as Record<string, unknown>;
  switch (fields.kind) {
    case "connected":
      return {
        kind: "connected",
        connection: connectionId(fields.connection),
        via: "swarm",
        initiator: fields.initiator === true,
        localKey: key(fields.localKey),
        remoteKey: key(fields.remoteKey),
        handshakeHash: bytes(fields.handshakeHash, 64, 64),
      };
    case "frame":
      return {
        kind: "frame",
        connection: connectionId(fields.connection),
        frame: bytes(fields.frame, 0, maxFrameBytes),
      };
    case "disconnected":
      return { kind: "disconnected", connection: connectionId(fields.connection), reason: text(fields.reason) };
    case "status":
      return { kind: "status", level: fields.level === "warn" ? "warn" : "info", message: text(fields.message) };
    default:
      throw new InvariantError("the swarm reported an event of no known kind");
  }
}
