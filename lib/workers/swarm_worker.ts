/** Entry of the swarm worker: everything that strangers' packets reach. It holds the topic, and nothing worth stealing. */
import { InvariantError } from "../domain/errors.ts";
import { HyperswarmTransport } from "../swarm/hyperswarm_transport.ts";
import { shedFlood } from "../swarm/shed_flood.ts";
import type { ConnectionId, TransportEvent } from "../swarm/transport.ts";
import { servePort } from "./serve_port.ts";
import type { SwarmOptions } from "./swarm_remote.ts";

let transport: HyperswarmTransport | undefined;

function started(): HyperswarmTransport {
  if (transport === undefined) throw new InvariantError("the swarm isn't started");
  return transport;
}

// Main takes events as fast as it can; when so many wait, whoever sent most of them floods, and is cut.
const maxWaitingEvents = 4_096;

const port = servePort<TransportEvent>({
  async start(options: SwarmOptions) {
    transport = new HyperswarmTransport(options);
    await transport.start((event: TransportEvent) => {
      port.emit(event);
      const flooder = shedFlood(port, maxWaitingEvents);
      if (flooder !== undefined) started().disconnect(flooder);
    });
  },
  send: (connection: ConnectionId, frame: Uint8Array) => started().send(connection, frame),
  markAuthenticated: (connection: ConnectionId) => started().markAuthenticated(connection),
  disconnect: (connection: ConnectionId) => started().disconnect(connection),
  close: () => started().close(),
});
