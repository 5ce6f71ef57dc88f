import { systemRandom } from "../../lib/env/system.ts";
import { generateSecret } from "../../lib/protocol/secret.ts";
import { patienceMs, Program } from "../app/program.ts";
import { NodePeer } from "./node_peer.ts";

export interface ForeignNodeSpec {
  readonly name: string;
  /** The name if not given. */
  readonly alias?: string;
  readonly certificate: { readonly cn: string; readonly dns?: readonly string[]; readonly ip?: readonly string[] };
  /** See `Node` in node/foreign_lnd.cjs. */
  readonly options?: ForeignOptions;
}

export interface ForeignOptions {
  /** Whether HTLC and channel events are sent; the streams stay open all the same. */
  readonly events?: boolean;
  /** Whether `lnrpc.State` is served. */
  readonly state?: boolean;
  /** Whether updates of a payment under way show its attempts. */
  readonly htlcDetails?: boolean;
  /** Whether a payment begins as INITIATED. */
  readonly initiated?: boolean;
  readonly paymentMs?: number;
  readonly answerMs?: number;
  /** gRPC code and words for a macaroon that isn't the node's. */
  readonly badMacaroon?: readonly [number, string];
}

/** Amounts are satoshis; `push` goes to the node that didn't open it. */
export interface ForeignChannelSpec {
  readonly from: string;
  readonly to: string;
  readonly capacity: number;
  readonly push: number;
  readonly isPrivate?: boolean;
}

export interface ForeignChannel {
  readonly point: string;
  readonly chanId: string;
}

export interface ForeignPayment {
  readonly hash: string;
  readonly status: string;
  readonly sat: string;
  readonly chanIds: readonly string[];
}

interface ForeignNode {
  readonly name: string;
  readonly pubkey: string;
  readonly certPem: string;
  readonly macaroon: string;
  readonly port: number;
}

/** LND nodes that share no line with ours (node/foreign_lnd.cjs), a DHT of Node hyperdht nodes, and operators' files. */
export class ForeignWorld implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "tightrope-foreign-" });
  readonly secret = generateSecret(systemRandom);
  readonly channels: readonly ForeignChannel[];
  readonly #lnds: NodePeer;
  readonly #dht: NodePeer;
  readonly #bootstrap: readonly { host: string; port: number }[];
  readonly #nodes: ReadonlyMap<string, ForeignNode>;
  readonly #programs: Program[] = [];
  #asked = 0;

  private constructor(
    lnds: NodePeer,
    dht: NodePeer,
    ready: { nodes: ForeignNode[]; channels: ForeignChannel[] },
    bootstrap: { host: string; port: number }[],
  ) {
    this.#lnds = lnds;
    this.#dht = dht;
    this.#bootstrap = bootstrap;
    this.#nodes = new Map(ready.nodes.map((node) => [node.name, node]));
    this.channels = ready.channels;
    for (const { name, certPem, macaroon } of ready.nodes) {
      Deno.writeTextFileSync(`${this.folder}/${name}.cert`, certPem);
      Deno.writeFileSync(`${this.folder}/${name}.macaroon`, Uint8Array.fromHex(macaroon), { mode: 0o600 });
    }
  }

  static async start(nodes: readonly ForeignNodeSpec[], channels: readonly ForeignChannelSpec[]) {
    const dht = await NodePeer.start("swarm_peer.cjs");
    const lnds = await NodePeer.start("foreign_lnd.cjs", [JSON.stringify({ nodes, channels })]);
    const { bootstrap } = await dht.next();
    return new ForeignWorld(lnds, dht, await lnds.next(), bootstrap);
  }

  node(name: string): ForeignNode {
    return this.#nodes.get(name)!;
  }

  /** A node as an item of `lightningNodes`. */
  yaml(name: string): string {
    return `  - type: lnd\n    socket: 127.0.0.1:${this.node(name).port}\n` +
      `    certPath: ./${name}.cert\n    macaroonPath: ./${name}.macaroon\n`;
  }

  /** The same with everything in place, as the seed of the project has it: base64. */
  inlineYaml(name: string): string {
    const { certPem, macaroon, port } = this.node(name);
    return `  - type: lnd\n    socket: 127.0.0.1:${port}\n    cert: ${btoa(certPem)}\n` +
      `    macaroon: ${Uint8Array.fromHex(macaroon).toBase64()}\n`;
  }

  /** @param nodes items of `lightningNodes` @param more lines of YAML at the top level @returns the file's path */
  config(name: string, nodes: readonly string[], more = ""): string {
    const path = `${this.folder}/${name}.yaml`;
    const bootstrap = this.#bootstrap.map(({ host, port }) => `"${host}:${port}"`).join(", ");
    Deno.writeTextFileSync(
      path,
      `secret: ${this.secret}\nlightningNodes:\n${nodes.join("")}swarm:\n  bootstrap: [${bootstrap}]\n` +
        `audit:\n  storage:\n    path: ./${name}-data\n${more}`,
      { mode: 0o600 },
    );
    return path;
  }

  run(config: string, ...args: readonly string[]): Program {
    const program = new Program(["--config", config, "--logformat", "json", ...args]);
    this.#programs.push(program);
    return program;
  }

  /** An action of node/foreign_lnd.cjs. */
  // deno-lint-ignore no-explicit-any -- the callers know what the action answers
  async ask(action: string, args: Record<string, unknown> = {}): Promise<any> {
    const id = ++this.#asked;
    await this.#lnds.send({ id, action, ...args });
    for (;;) {
      const answer = await this.#lnds.next();
      if (answer.id === id) return answer.result;
    }
  }

  /** Each side's own part of a channel by its own numbers, the opener first. */
  async shares(point: string): Promise<number[]> {
    const { sides } = await this.ask("state", { point });
    return sides.map(({ local, remote }: { local: string; remote: string }) =>
      Number(local) / (Number(local) + Number(remote))
    );
  }

  /** Resolves when both sides' numbers are within a deadzone of a tenth around the middle. */
  async balanced(point: string): Promise<void> {
    for (let left = patienceMs; left > 0; left -= 20) {
      if ((await this.shares(point)).every((share) => Math.abs(share - 0.5) <= 0.1)) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`${point} isn't balanced: ${await this.shares(point)}`);
  }

  /** Resolves when a payment of the node is in flight. */
  async paying(name: string): Promise<void> {
    for (let left = patienceMs; left > 0; left -= 20) {
      if ((await this.payments(name)).some(({ status }) => status === "IN_FLIGHT")) return;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    throw new Error(`${name} pays nobody`);
  }

  async payments(name: string): Promise<readonly ForeignPayment[]> {
    return await this.ask("payments", { name });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of this.#programs) await program[Symbol.asyncDispose]();
    await this.#lnds.stop();
    await this.#dht.stop();
    await Deno.remove(this.folder, { recursive: true });
  }
}
