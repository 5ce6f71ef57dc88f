/** Entry of the benchmark's world: LNDs, their channels and a DHT. It makes the imbalances, and times what follows on its own clock. */
import { type Sat, sat, satToMsat } from "../../lib/domain/amounts.ts";
import { invariant } from "../../lib/domain/errors.ts";
import type { ChannelPoint, NodePubkey } from "../../lib/domain/ids.ts";
import type { World } from "../../lib/demo/world.ts";
import { systemClock, systemRandom } from "../../lib/env/system.ts";
import { neededRpcs } from "../../lib/lightning/lnd/permissions.ts";
import { ClockedNetwork } from "../../lib/lightning/sim/clocked_network.ts";
import { LndServer } from "../../lib/lightning/sim/lnd_server.ts";
import { uriOps } from "../../lib/lightning/sim/macaroon.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { SimNetwork } from "../../lib/lightning/sim/network.ts";
import { type LocalDht, startLocalDht } from "../../lib/swarm/local_dht.ts";
import { servePort } from "../../lib/workers/serve_port.ts";
import type { Pair, Round } from "./rebalance_bench.ts";

const capacitySat = sat(2_000_000);
const halfSat = sat(capacitySat / 2n);
/** A fifth of the channel, from the middle: twice the deadzone. */
const shiftSat = sat(400_000);
/** Who holds no more than this is out of the deadzone of a tenth. */
const outsideSat = sat(800_000);
const names = ["A", "B", "C"] as const;
const patienceMs = 15_000;
/** Until both sides have written and said what there is to say. */
const restMs = 80;

const network = new SimNetwork({ random: systemRandom, start: systemClock.now() });
const host = new ClockedNetwork(network, systemClock);
const pubkeys = names.map((alias) => network.addNode({ alias }));
const [a, b, c] = pubkeys as [NodePubkey, NodePubkey, NodePubkey];
const servers: LndServer[] = [];
let dht: LocalDht | undefined;

function connect(from: NodePubkey, to: NodePubkey) {
  const opened = network.openChannel({ from, to, capacitySat, pushSat: halfSat, instant: true });
  invariant(!isRefusal(opened), "the channel can be opened");
  return { nodes: [from, to] as const, channelPoint: opened };
}

const pairs: Readonly<Record<Pair, ReturnType<typeof connect>>> = { own: connect(a, b), far: connect(a, c) };

const localSat = (node: NodePubkey, channelPoint: ChannelPoint): Sat =>
  network.channel(node, channelPoint)?.localSat ?? sat(0);
const delay = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms));

servePort({
  async open(): Promise<World> {
    host.start();
    for (const node of pubkeys) servers.push(await LndServer.start({ host, node, random: systemRandom }));
    dht = await startLocalDht();
    const macaroon = { rootKeyId: "7", ops: uriOps(neededRpcs) };
    return {
      bootstrap: dht.bootstrap,
      nodes: servers.map((server, index) => ({
        name: names[index]!,
        pubkey: server.node,
        socket: server.socket,
        certPem: server.certificatePem,
        macaroonHex: server.bakeMacaroon(macaroon),
      })),
    };
  },
  setPaymentMs: (paymentMs: number): void => host.run(() => network.setTiming({ paymentMs })),
  /** Sends a fifth of the channel to the other side, as traffic does, and waits until it was paid back. */
  async round(pair: Pair, fromFirst: boolean): Promise<Round> {
    const { nodes, channelPoint } = pairs[pair];
    const [payee, payer] = fromFirst ? nodes : [nodes[1], nodes[0]];
    const paid = Promise.withResolvers<void>();
    let beganMs: number | undefined;
    let settledMs = 0;
    const unsubscribe = network.subscribe(payer, (event) => {
      if (event.kind !== "payment") return;
      beganMs ??= performance.now();
      if (event.payment.status !== "SUCCEEDED") return;
      settledMs = performance.now();
      paid.resolve();
    });
    const timer = setTimeout(() => paid.reject(new Error(`nobody balanced the ${pair} pair`)), patienceMs);
    try {
      const atMs = performance.now();
      const amountMsat = satToMsat(shiftSat);
      const refused = host.run(() => network.forward({ channelPoint, from: payee, amountMsat, durationMs: 0 }));
      invariant(refused === undefined, "the traffic passes");
      await paid.promise;
      const isBack = () => nodes.every((node) => localSat(node, channelPoint) > outsideSat);
      while (!isBack()) await delay(1);
      const seenMs = performance.now();
      await delay(restMs);
      return { totalMs: settledMs - atMs, paymentMs: settledMs - beganMs!, bothSidesMs: seenMs - atMs };
    } finally {
      clearTimeout(timer);
      unsubscribe();
    }
  },
  async close(): Promise<void> {
    network.assertConserved();
    await Promise.all(servers.map((server) => server.close()));
    await dht?.close();
    await host.close();
  },
});
