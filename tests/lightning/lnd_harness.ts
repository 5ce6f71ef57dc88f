import * as grpc from "@grpc/grpc-js";
import { Buffer } from "node:buffer";
import type { LndNodeConfig } from "../../lib/config/config.ts";
import { sat } from "../../lib/domain/amounts.ts";
import type { ChannelPoint, NodePubkey } from "../../lib/domain/ids.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { systemClock } from "../../lib/env/system.ts";
import { LndNode, type LndNodeOptions } from "../../lib/lightning/lnd/client.ts";
import type { LndTimings } from "../../lib/lightning/lnd/link.ts";
import { lndCertificateSpec, makeCertificate } from "../../lib/lightning/sim/certificate.ts";
import { ClockedNetwork } from "../../lib/lightning/sim/clocked_network.ts";
import { LndServer, type LndServerOptions } from "../../lib/lightning/sim/lnd_server.ts";
import { instantTiming, type SimTiming } from "../../lib/lightning/sim/model.ts";
import { SimNetwork } from "../../lib/lightning/sim/network.ts";

/** Short enough for tests, long enough for a busy machine. */
export const testTimings: Partial<LndTimings> = {
  callTimeoutMs: 5_000,
  backoffMinMs: 5,
  backoffMaxMs: 10,
  checkMs: 20,
};

/** Alice opened a channel of 1,000,000 sat to Bob and pushed 100,000; both have an LND of their own. */
export class Pair implements AsyncDisposable {
  readonly network: SimNetwork;
  readonly host: ClockedNetwork;
  readonly random: SeededRandom;
  readonly alice: NodePubkey;
  readonly bob: NodePubkey;
  readonly channelPoint: ChannelPoint;
  readonly #closing: (() => Promise<void>)[] = [];

  constructor(version = "0.18.5-beta", timing: Partial<SimTiming> = instantTiming, seed = 1) {
    this.random = new SeededRandom(seed);
    this.network = new SimNetwork({ random: this.random, start: systemClock.now(), timing });
    this.alice = this.network.addNode({ alias: "alice", version });
    this.bob = this.network.addNode({ alias: "bob", version });
    const channelPoint = this.network.openChannel({
      from: this.alice,
      to: this.bob,
      capacitySat: sat(1_000_000n),
      pushSat: sat(100_000n),
      instant: true,
    });
    if (typeof channelPoint !== "string") throw new Error(channelPoint.text);
    this.channelPoint = channelPoint;
    this.host = new ClockedNetwork(this.network, systemClock);
    this.host.start();
    this.#closing.push(() => this.host.close());
  }

  async serve(node: NodePubkey, options: Partial<LndServerOptions> = {}): Promise<LndServer> {
    const server = await LndServer.start({ host: this.host, node, random: this.random, shutdownMs: 5, ...options });
    this.#closing.push(() => server.close());
    return server;
  }

  connect(config: LndNodeConfig, options: LndNodeOptions = {}): LndNode {
    const node = new LndNode(config, { ...options, timings: { ...testTimings, ...options.timings } });
    this.#closing.push(() => node.close());
    return node;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const close of this.#closing.reverse()) await close();
    // A channel of grpc-js that couldn't connect keeps its timer of `backoffMaxMs` (and a fifth) after it was closed.
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}

/** The configuration with which a server's own credentials reach it. */
export function configOf(server: LndServer, changes: Partial<LndNodeConfig> = {}): LndNodeConfig {
  return {
    type: "lnd",
    socket: server.socket,
    tlsServerName: "localhost",
    cert: { kind: "inline", value: server.certificatePem },
    macaroon: { kind: "inline", value: server.adminMacaroonHex },
    ...changes,
  };
}

/** Serves anybody's gRPC server over TLS on the loopback interface, and gives a client of it. */
export async function clientOf(server: grpc.Server, macaroon: string): Promise<LndNode> {
  const certificate = lndCertificateSpec("other", systemClock.now().wallMs);
  const { certificatePem, privateKeyPem } = makeCertificate(certificate, new SeededRandom(9));
  const credentials = grpc.ServerCredentials.createSsl(Buffer.from(certificatePem), [
    { cert_chain: Buffer.from(certificatePem), private_key: Buffer.from(privateKeyPem) },
  ]);
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync("127.0.0.1:0", credentials, (error, bound) => error === null ? resolve(bound) : reject(error))
  );
  return new LndNode({
    type: "lnd",
    socket: `127.0.0.1:${port}`,
    tlsServerName: "localhost",
    cert: { kind: "inline", value: certificatePem },
    macaroon: { kind: "inline", value: macaroon },
  }, { timings: testTimings });
}
