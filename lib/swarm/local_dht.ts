// @deno-types="./hyperdht.d.ts"
import HyperDHT from "hyperdht";
import { invariant } from "../domain/errors.ts";
import { UDX } from "../udx/mod.ts";
import { stopDht } from "./stop_dht.ts";

const host = "127.0.0.1";

export interface LocalDht {
  /** For `swarm.bootstrap`. */
  readonly bootstrap: readonly string[];
  close(): Promise<void>;
}

/** Starts a DHT of its own on the loopback interface, for the demo and for tests. */
export async function startLocalDht(options: { readonly nodes?: number } = {}): Promise<LocalDht> {
  const first = HyperDHT.bootstrapper(await freePort(), host, { udx: new UDX() });
  const nodes = [first];
  await first.fullyBootstrapped();
  const bootstrap = [`${host}:${first.address()?.port}`];
  while (nodes.length < (options.nodes ?? 3)) {
    const node = new HyperDHT({
      udx: new UDX(),
      bootstrap,
      ephemeral: false,
      firewalled: false,
      host,
      port: [0, 0],
    });
    nodes.push(node);
    await node.fullyBootstrapped();
  }
  return {
    bootstrap,
    close: async () => {
      // The last first, so that none waits for one that is gone.
      for (const node of nodes.reverse()) await stopDht(node);
    },
  };
}

/** A bootstrapper must know its port beforehand: it takes one that was free a moment ago. */
async function freePort(): Promise<number> {
  const socket = new UDX().createSocket();
  socket.bind(0, host);
  const address = socket.address();
  invariant(address !== null, "a bound socket has an address");
  await socket.close();
  return address.port;
}
