import assert from "node:assert/strict";
import { sat } from "../../lib/domain/amounts.ts";
import type { ChannelPoint, NodePubkey } from "../../lib/domain/ids.ts";
import type { Clock } from "../../lib/env/clock.ts";
import { systemClock, systemRandom } from "../../lib/env/system.ts";
import { neededRpcs } from "../../lib/lightning/lnd/permissions.ts";
import { ClockedNetwork } from "../../lib/lightning/sim/clocked_network.ts";
import { LndServer, type LndServerOptions } from "../../lib/lightning/sim/lnd_server.ts";
import { uriOps } from "../../lib/lightning/sim/macaroon.ts";
import {
  isRefusal,
  type SimHost,
  type SimNetworkModel,
  type SimOpenChannel,
  type SimPayment,
  type SimTiming,
} from "../../lib/lightning/sim/model.ts";
import { SimNetwork } from "../../lib/lightning/sim/network.ts";
import { generateSecret } from "../../lib/protocol/secret.ts";
import { type LocalDht, startLocalDht } from "../../lib/swarm/local_dht.ts";
import { patienceMs, Program } from "./program.ts";

/** What happens when Tightrope makes LND do something: before it is done, or in its place. */
export type Hooks = {
  [M in "sendPayment" | "decodeInvoice"]?: () => ReturnType<SimNetworkModel[M]> | undefined;
};

/** How a node's credentials stand in the configuration. */
export interface CredentialForms {
  readonly cert?: "path" | "pem" | "base64";
  readonly macaroon?: "path" | "hex" | "base64";
}

/** An LND of the cluster and what an operator has of it. */
export class ClusterNode {
  readonly alias: string;
  readonly server: LndServer;
  /** Baked as the README says. */
  readonly macaroonHex: string;
  readonly #folder: string;

  constructor(alias: string, server: LndServer, folder: string) {
    this.alias = alias;
    this.server = server;
    this.#folder = folder;
    this.macaroonHex = this.bake(neededRpcs);
  }

  get pubkey(): NodePubkey {
    return this.server.node;
  }

  get certPath(): string {
    return `${this.#folder}/${this.alias}.cert`;
  }

  get macaroonPath(): string {
    return `${this.#folder}/${this.alias}.macaroon`;
  }

  bake(rpcs: readonly string[]): string {
    return this.server.bakeMacaroon({ rootKeyId: "7", ops: uriOps(rpcs) });
  }

  /** Puts the certificate and macaroon files as they are now where the configuration expects them. */
  writeFiles(macaroonHex = this.macaroonHex, certPem = this.server.certificatePem): void {
    Deno.writeTextFileSync(this.certPath, certPem);
    Deno.writeFileSync(this.macaroonPath, Uint8Array.fromHex(macaroonHex), { mode: 0o600 });
  }

  /** This node as an item of `lightningNodes`. */
  yaml({ cert = "path", macaroon = "path" }: CredentialForms = {}): string {
    const pem = this.server.certificatePem;
    const certLine = cert === "path"
      ? `certPath: ./${this.alias}.cert`
      : cert === "base64"
      ? `cert: ${btoa(pem)}`
      : `cert: |\n      ${pem.trim().replaceAll("\n", "\n      ")}`;
    const macaroonLine = macaroon === "path"
      ? `macaroonPath: ./${this.alias}.macaroon`
      : `macaroon: ${macaroon === "hex" ? this.macaroonHex : Uint8Array.fromHex(this.macaroonHex).toBase64()}`;
    return `  - type: lnd\n    socket: ${this.server.socket}\n    ${certLine}\n    ${macaroonLine}\n`;
  }
}

export interface InstanceSpec {
  /** Of its folder of data. */
  readonly name: string;
  readonly secret?: string;
  readonly nodes: readonly (ClusterNode | string)[];
  /** Lines of YAML at the top level, after the rest. */
  readonly more?: string;
}

/** A simulated Lightning network on the real clock, an LND server for each node, a DHT, and a folder for configurations. */
export class Cluster implements AsyncDisposable {
  readonly folder = Deno.makeTempDirSync({ prefix: "tightrope-app-" });
  readonly secret = generateSecret(systemRandom);
  readonly network: SimNetwork;
  /** What to do in the middle of LND's calls. */
  hooks: Hooks = {};
  /** Sees each call that Tightrope makes of LND; `act` makes it. What it returns is the answer. */
  around: ((method: keyof SimNetworkModel, args: readonly unknown[], act: () => unknown) => unknown) | undefined;
  readonly #host: ClockedNetwork;
  #skippedMs = 0;
  readonly #served: SimHost;
  readonly #servers: LndServer[] = [];
  readonly #programs: Program[] = [];
  #dht: LocalDht | undefined;

  constructor(timing: Partial<SimTiming> = {}) {
    this.network = new SimNetwork({
      random: systemRandom,
      start: systemClock.now(),
      timing: { paymentMs: 20, channelOpenMs: 50, ...timing },
    });
    const clock: Clock = {
      now: () => {
        const { atMs, wallMs } = systemClock.now();
        return { atMs: atMs + this.#skippedMs, wallMs: wallMs + this.#skippedMs };
      },
    };
    this.#host = new ClockedNetwork(this.network, clock);
    this.#host.start();
    const hooked = new Proxy<SimNetworkModel>(this.network, {
      get: (target, name: keyof SimNetworkModel) => {
        const value = target[name];
        if (typeof value !== "function") return value;
        return (...args: never[]) => {
          const act = () =>
            this.hooks[name as keyof Hooks]?.() ?? (value as (...args: never[]) => unknown).apply(target, args);
          return this.around === undefined ? act() : this.around(name, args, act);
        };
      },
    });
    this.#served = { network: hooked, run: (command) => this.#host.run(() => command(hooked)) };
  }

  /** By how much the Lightning network's clock is ahead. */
  get skippedMs(): number {
    return this.#skippedMs;
  }

  /** So much time passes on the Lightning network, all at once. */
  skip(ms: number): void {
    this.#skippedMs += ms;
    this.#host.run(() => {});
  }

  /** Commands of the test itself. */
  run<T>(command: (network: SimNetworkModel) => T): T {
    return this.#host.run(command);
  }

  async node(alias: string, options: Partial<LndServerOptions> & { readonly version?: string } = {}) {
    const { version = "0.18.5-beta", ...rest } = options;
    const pubkey = this.run((network) => network.addNode({ alias, version }));
    const server = await LndServer.start({
      host: this.#served,
      node: pubkey,
      random: systemRandom,
      shutdownMs: 5,
      ...rest,
    });
    this.#servers.push(server);
    const node = new ClusterNode(alias, server, this.folder);
    node.writeFiles();
    return node;
  }

  /** A channel of 1,000,000 sat; `share` of it is on the other side. */
  channel(from: ClusterNode, to: ClusterNode, share: number, options: Partial<SimOpenChannel> = {}): ChannelPoint {
    const capacitySat = sat(1_000_000n);
    const pushSat = sat(BigInt(Math.round(Number(capacitySat) * share)));
    const opened = this.run((network) =>
      network.openChannel({ from: from.pubkey, to: to.pubkey, capacitySat, pushSat, instant: true, ...options })
    );
    assert.ok(!isRefusal(opened), "the channel can't be opened");
    return opened;
  }

  async dht(): Promise<LocalDht> {
    return this.#dht ??= await startLocalDht();
  }

  /** Writes an instance's configuration as its operator would. @returns its path */
  configFile({ name, secret = this.secret, nodes, more = "" }: InstanceSpec): string {
    // Nobody answers there: an instance that has no DHT.
    const bootstrap = this.#dht?.bootstrap ?? ["127.0.0.1:1"];
    const path = `${this.folder}/${name}.yaml`;
    Deno.writeTextFileSync(
      path,
      `secret: ${secret}\nlightningNodes:\n` +
        nodes.map((node) => typeof node === "string" ? node : node.yaml()).join("") +
        `swarm:\n  bootstrap: [${bootstrap.map((address) => JSON.stringify(address)).join(", ")}]\n` +
        `audit:\n  storage:\n    path: ./${name}-data\n${more}`,
      { mode: 0o600 },
    );
    return path;
  }

  /** Starts the daemon; it ends with the cluster at the latest. */
  start(config: string, ...args: readonly string[]): Program {
    return this.#keep(new Program(["--config", config, "--logformat", "json", ...args]));
  }

  /** The daemon, one of whose workers dies of SIGUSR2. */
  startWithMortal(worker: string, config: string): Program {
    const entry = new URL(`./mortal_worker.ts?worker=${worker}`, import.meta.url).href;
    return this.#keep(new Program(["--config", config, "--logformat", "json"], entry));
  }

  /** The daemon, one of whose workers is loaded from another file. */
  startWithSlow(worker: string, path: string, config: string): Program {
    const query = new URLSearchParams({ worker, entry: `file://${path}` });
    const entry = new URL(`./slow_worker.ts?${query}`, import.meta.url).href;
    return this.#keep(new Program(["--config", config, "--logformat", "json"], entry));
  }

  #keep(program: Program): Program {
    this.#programs.push(program);
    return program;
  }

  /** This node's share of a channel, by its own numbers. */
  share(node: ClusterNode, channelPoint: ChannelPoint): number {
    const channel = this.run((network) => network.channel(node.pubkey, channelPoint));
    assert.ok(channel, "the channel is open");
    return Number(channel.localSat) / Number(channel.localSat + channel.remoteSat);
  }

  /** Resolves when this node's own numbers are within a deadzone of a tenth around the middle. */
  async balanced(node: ClusterNode, channelPoint: ChannelPoint): Promise<void> {
    await until(() => Math.abs(this.share(node, channelPoint) - 0.5) <= 0.1, "a balanced channel");
  }

  /** Everything that the node has ever paid. */
  payments(node: ClusterNode): readonly SimPayment[] {
    return this.run((network) => network.listPayments(node.pubkey, { indexOffset: 0n, maxPayments: 1_000 }));
  }

  /** Resolves when a payment of the node has begun. */
  paymentBegins(node: ClusterNode, then: () => void = () => {}): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const stop = this.network.subscribe(node.pubkey, (event) => {
      if (event.kind !== "payment") return;
      stop();
      then();
      resolve();
    });
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const program of this.#programs) await program[Symbol.asyncDispose]();
    for (const server of this.#servers) await server.close();
    await this.#dht?.close();
    await this.#host.close();
    this.network.assertConserved();
    await Deno.remove(this.folder, { recursive: true });
  }
}

/** `channelId` of a channel as the logs name it. */
export function channelIdOf(cluster: Cluster, node: ClusterNode, channelPoint: ChannelPoint): string {
  return cluster.run((network) => network.channel(node.pubkey, channelPoint))!.chanId;
}

/** Looks again and again, as long as a busy machine may need. */
export async function until(condition: () => boolean, what: string): Promise<void> {
  for (let left = patienceMs; !condition(); left -= 10) {
    if (left <= 0) throw new Error(`${what} did not come about`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
