import type { ConnectionId, TransportEvent } from "./transport.ts";

/** Events on their way to whoever takes them at its own pace. */
export interface WaitingEvents {
  /** Oldest first. */
  readonly waiting: readonly TransportEvent[];
  /** Takes back those that match. */
  withdraw(matches: (event: TransportEvent) => boolean): void;
}

/** A frame weighs as much as its bytes and this: looking into it costs something, however short it is. */
const frameBytes = 2_048;

/**
 * Where more than `most` events wait, the connection whose frames weigh most is a flood: they are withdrawn, so that the
 * frames of others find room.
 * @returns whom to cut
 */
export function shedFlood(events: WaitingEvents, most: number): ConnectionId | undefined {
  if (events.waiting.length <= most) return undefined;
  const weights = new Map<ConnectionId, number>();
  for (const event of events.waiting) {
    if (event.kind !== "frame") continue;
    weights.set(event.connection, (weights.get(event.connection) ?? 0) + event.frame.length + frameBytes);
  }
  const [heaviest] = [...weights].toSorted(([, a], [, b]) => b - a);
  if (heaviest === undefined) return undefined;
  const [flooder] = heaviest;
  events.withdraw((event) => event.kind === "frame" && event.connection === flooder);
  return flooder;
}
