import { fileURLToPath } from "node:url";
import { installNodePeers } from "./node_install.ts";
import { NodePeer } from "./node_peer.ts";

/** Whose UDX: udx-native under Node, ours under Deno, or ours on sockets that can't set a TTL. */
export type Kind = "native" | "ours" | "ours without TTL";

/** Where a program is run: what runs it there. */
export type Launcher = (command: string, ...args: readonly string[]) => [string, ...string[]];

/** Right here. */
export const here: Launcher = (command, ...args) => [command, ...args];

const tests = fileURLToPath(new URL("../", import.meta.url));

// deno-lint-ignore no-explicit-any -- the tests know what the peers print
export type Told = any;

/** A hyperdht peer in a process of its own (node/dht_peer.cjs), with all that it told. */
export class DhtPeer implements AsyncDisposable {
  readonly told: Told[] = [];
  #read = 0;
  #waiting: (() => void)[] = [];
  readonly #process: NodePeer;
  readonly #reading: Promise<void>;

  private constructor(process: NodePeer) {
    this.#process = process;
    this.#reading = this.#readAll();
  }

  static async start(
    launch: Launcher,
    kind: Kind,
    bootstrap: readonly string[],
    more: object = {},
  ): Promise<DhtPeer> {
    const folder = await installNodePeers();
    const script = `require(${JSON.stringify(`${tests}interop/node/dht_peer.cjs`)})({ HyperDHT: require("hyperdht"), ` +
      `blindRelay: require("blind-relay"), options: JSON.parse(process.argv[1]) })`;
    // hyperdht else lets 20 s pass between two connections through a random NAT.
    const json = JSON.stringify({ bootstrap, randomPunchInterval: 1, ...more });
    const [command, ...args] = kind === "native"
      ? launch("node", "--input-type=commonjs", "--eval", script, json)
      : launch(
        Deno.execPath(),
        ...["run", "-A", "--quiet", "--frozen", "--node-modules-dir=manual", "-c", `${tests}deno.json`],
        `${tests}interop/deno_dht_peer.ts`,
        json,
        ...(kind === "ours" ? [] : ["without-ttl"]),
      );
    const peer = new DhtPeer(NodePeer.spawn(command, args, folder));
    await peer.next("ready");
    return peer;
  }

  async #readAll(): Promise<void> {
    try {
      for (;;) {
        this.told.push(await this.#process.next());
        this.#wake();
      }
    } catch {
      this.told.push({ kind: "gone" });
      this.#wake();
    }
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const wake of waiting) wake();
  }

  send(command: string, args: object = {}): Promise<void> {
    return this.#process.send({ command, ...args });
  }

  /** The next thing told that is of one of these kinds. */
  async next(...kinds: readonly string[]): Promise<Told> {
    for (;; this.#read++) {
      while (this.#read >= this.told.length) await new Promise<void>((resolve) => this.#waiting.push(resolve));
      const told = this.told[this.#read];
      if (kinds.includes(told.kind)) {
        this.#read++;
        return told;
      }
      if (told.kind === "gone") throw new Error(`A peer has ended: ${JSON.stringify(this.told)}`);
    }
  }

  async ask(command: string, args: object, ...kinds: readonly string[]): Promise<Told> {
    await this.send(command, args);
    return await this.next(...kinds);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#process.stop();
    await this.#reading;
  }
}

/** A DHT of Node nodes, one at each of these addresses. */
export async function startDht(
  launch: Launcher,
  hosts: readonly string[],
): Promise<{ bootstrap: string[] } & AsyncDisposable> {
  const folder = await installNodePeers();
  const source = await Deno.readTextFile(new URL("./node/dht_nodes.cjs", import.meta.url));
  const [command, ...args] = launch("node", "--input-type=commonjs", "--eval", source, "--", ...hosts);
  const nodes = NodePeer.spawn(command, args, folder);
  const { bootstrap } = await nodes.next();
  return { bootstrap, [Symbol.asyncDispose]: () => nodes.stop().then(() => {}) };
}
