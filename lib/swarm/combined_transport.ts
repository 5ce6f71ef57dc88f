import type { ConnectionId, Transport, TransportEvent } from "./transport.ts";

/** Several transports as one; their connection ids must not meet (memory's are negative, the swarm's positive). */
export class CombinedTransport implements Transport {
  readonly #transports: readonly Transport[];
  readonly #owners = new Map<ConnectionId, Transport>();

  constructor(transports: readonly Transport[]) {
    this.#transports = transports;
  }

  async start(onEvent: (event: TransportEvent) => void): Promise<void> {
    for (const transport of this.#transports) {
      await transport.start((event) => {
        if (event.kind === "connected") this.#owners.set(event.connection, transport);
        if (event.kind === "disconnected") this.#owners.delete(event.connection);
        onEvent(event);
      });
    }
  }

  send(connection: ConnectionId, frame: Uint8Array): void {
    this.#owners.get(connection)?.send(connection, frame);
  }

  disconnect(connection: ConnectionId): void {
    this.#owners.get(connection)?.disconnect(connection);
  }

  markAuthenticated(connection: ConnectionId): void {
    this.#owners.get(connection)?.markAuthenticated(connection);
  }

  async close(): Promise<void> {
    await Promise.all(this.#transports.map((transport) => transport.close()));
  }
}
