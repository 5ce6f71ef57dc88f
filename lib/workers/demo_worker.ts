/** Entry of the demo's world: simulated nodes that speak LND's gRPC, their channels, traffic, and a DHT of its own. */
import { Traffic, type TrafficChannel } from "../demo/traffic.ts";
import { type NodeName, nodeNames, type World, type WorldChannel, type WorldTraffic } from "../demo/world.ts";
import { msatToSatFloor, sat, satToMsat } from "../domain/amounts.ts";
import { invariant } from "../domain/errors.ts";
import type { ChannelPoint, NodePubkey } from "../domain/ids.ts";
import { systemClock, systemRandom } from "../env/system.ts";
import { neededRpcs } from "../lightning/lnd/permissions.ts";
import { ClockedNetwork } from "../lightning/sim/clocked_network.ts";
import { LndServer } from "../lightning/sim/lnd_server.ts";
import { uriOps } from "../lightning/sim/macaroon.ts";
import { isRefusal, type SimOpenChannel } from "../lightning/sim/model.ts";
import { SimNetwork } from "../lightning/sim/network.ts";
import { type LocalDht, startLocalDht } from "../swarm/local_dht.ts";
import { servePort } from "./serve_port.ts";

const capacitySat = sat(5_000_000);
const trafficMs = 600;
const channelOpenMs = 1_000;
/** As baked in the README's recipe: just what Tightrope calls. */
const macaroon = { rootKeyId: "7", ops: uriOps(neededRpcs) };

interface Channel {
  readonly nodes: readonly [NodeName, NodeName];
  readonly channelPoint: ChannelPoint;
}

const network = new SimNetwork({ random: systemRandom, start: systemClock.now(), timing: { channelOpenMs } });
const host = new ClockedNetwork(network, systemClock);
const pubkeys = new Map<NodeName, NodePubkey>();
const servers: LndServer[] = [];
const channels: Channel[] = [];
const traffic = new Traffic(systemRandom);
let passed: WorldTraffic = { count: 0, amountSat: sat(0) };
let dht: LocalDht | undefined;
let trafficTimer: ReturnType<typeof setInterval> | undefined;

function pubkeyOf(name: NodeName): NodePubkey {
  const pubkey = pubkeys.get(name);
  invariant(pubkey !== undefined, `the world has no node ${name}`);
  return pubkey;
}

function connect(nodes: readonly [NodeName, NodeName], options: Partial<SimOpenChannel>): void {
  const [from, to] = [pubkeyOf(nodes[0]), pubkeyOf(nodes[1])];
  const opened = host.run(() => network.openChannel({ from, to, capacitySat, ...options }));
  invariant(!isRefusal(opened), `the channel ${nodes.join("-")} can't be opened`);
  channels.push({ nodes, channelPoint: opened });
}

/** What each side could send over the channel; nothing while it isn't open. */
function trafficChannel({ nodes, channelPoint }: Channel): TrafficChannel | undefined {
  const [first, second] = nodes.map(pubkeyOf) as [NodePubkey, NodePubkey];
  if (network.channel(first, channelPoint) === undefined) return undefined;
  const spendable = (node: NodePubkey) => msatToSatFloor(network.spendableMsat(node, channelPoint));
  return { name: channelPoint, capacitySat, spendableSat: [spendable(first), spendable(second)] };
}

function passTraffic(): void {
  host.run(() => {
    const open = channels.map(trafficChannel).filter((channel) => channel !== undefined);
    for (const { channel: channelPoint, from, amountSat } of traffic.next(open)) {
      const channel = channels.find((candidate) => candidate.channelPoint === channelPoint)!;
      const sender = pubkeyOf(channel.nodes[from]);
      const refused = network.forward({
        channelPoint: channel.channelPoint,
        from: sender,
        amountMsat: satToMsat(amountSat),
      });
      // A channel that is just going inactive carries no traffic.
      if (refused === undefined) passed = { count: passed.count + 1, amountSat: sat(passed.amountSat + amountSat) };
    }
  });
}

servePort({
  async open(): Promise<World> {
    for (const name of nodeNames) pubkeys.set(name, network.addNode({ alias: name }));
    for (const nodes of [["A", "B"], ["C", "D"], ["A", "C"]] as const) {
      connect(nodes, { pushSat: sat(capacitySat / 2n), instant: true });
    }
    host.start();
    for (const name of nodeNames) {
      servers.push(await LndServer.start({ host, node: pubkeyOf(name), random: systemRandom }));
    }
    dht = await startLocalDht();
    return {
      bootstrap: dht.bootstrap,
      nodes: servers.map((server, index) => ({
        name: nodeNames[index]!,
        pubkey: server.node,
        socket: server.socket,
        certPem: server.certificatePem,
        macaroonHex: server.bakeMacaroon(macaroon),
      })),
    };
  },
  setTraffic(on: boolean): void {
    clearInterval(trafficTimer);
    if (on) trafficTimer = setInterval(passTraffic, trafficMs);
  },
  openChannel: (from: NodeName, to: NodeName): void => connect([from, to], { pushSat: sat(capacitySat / 2n) }),
  channels(): readonly WorldChannel[] {
    return host.run(() => {
      network.assertConserved();
      return channels.flatMap(({ nodes, channelPoint }) => {
        const sides = nodes.map((name) => network.channel(pubkeyOf(name), channelPoint));
        const [first, second] = sides;
        if (first === undefined || second === undefined) return [];
        return [{
          name: nodes.join("-"),
          nodes,
          channelPoint,
          capacitySat: first.capacitySat,
          localSat: [first.localSat, second.localSat] as const,
          unsettledSat: first.unsettledSat,
        }];
      });
    });
  },
  traffic: (): WorldTraffic => passed,
  async close(): Promise<void> {
    clearInterval(trafficTimer);
    await Promise.all(servers.map((server) => server.close()));
    await dht?.close();
    await host.close();
  },
});
