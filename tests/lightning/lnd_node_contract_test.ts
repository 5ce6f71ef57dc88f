import type { LndNodeConfig } from "../../lib/config/config.ts";
import { LndNode } from "../../lib/lightning/lnd/client.ts";
import { recordedTiming } from "../../lib/lightning/sim/model.ts";
import { configOf, Pair, testTimings } from "./lnd_harness.ts";
import { type ContractFixture, nodeContract, type RealLnd, realLndFromEnvironment } from "./node_contract.ts";

async function openSimulated(version: string): Promise<ContractFixture> {
  const pair = new Pair(version, { ...recordedTiming, paymentMs: 5, offlineNoticeMs: 5, onlineNoticeMs: 1 });
  const [payerLnd, payeeLnd] = [await pair.serve(pair.alice), await pair.serve(pair.bob)];
  // A frozen node is noticed by the deadline alone.
  const timings = { callTimeoutMs: 300, listTimeoutMs: 300 };
  const openPayer = () => pair.connect(configOf(payerLnd), { timings });
  const run = (fault: "freezeNode" | "thawNode" | "startNode", node: typeof pair.alice) => () =>
    pair.host.run((network) => network[fault](node));
  let transition: Promise<void> = Promise.resolve();
  return {
    payer: openPayer(),
    payee: pair.connect(configOf(payeeLnd), { timings }),
    channelPoint: pair.channelPoint,
    settle: (promise) => promise,
    reopenPayer: openPayer,
    faults: {
      freezePayee: run("freezeNode", pair.bob),
      thawPayee: run("thawNode", pair.bob),
      freezePayer: run("freezeNode", pair.alice),
      stopPayer: () => transition = payerLnd.cut(),
      startPayer: () => transition = transition.then(() => payerLnd.restart()),
    },
    async close() {
      await transition;
      await pair[Symbol.asyncDispose]();
    },
  };
}

for (const version of ["0.17.5-beta", "0.18.5-beta", "0.19.3-beta"]) {
  nodeContract(`LndNode and the simulated LND ${version}`, () => openSimulated(version));
}

const real = realLndFromEnvironment();

async function openReal(): Promise<ContractFixture> {
  if (real === undefined) throw new Error("the environment names no LND");
  const open = (lnd: RealLnd) => new LndNode(realConfig(lnd), { timings: testTimings });
  const nodes = [open(real.a), open(real.b)] as const;
  const [payer, payee] = nodes;
  const { pubkey } = await payee.getInfo();
  const channels = await payer.listChannels();
  const channel = channels.find((one) => one.remotePubkey === pubkey && one.active);
  if (channel === undefined) throw new Error("the two nodes share no active channel");
  return {
    payer,
    payee,
    channelPoint: channel.channelPoint,
    settle: (promise) => promise,
    reopenPayer: () => open(real.a),
    close: async () => void await Promise.all(nodes.map((node) => node.close())),
  };
}

function realConfig(lnd: RealLnd): LndNodeConfig {
  return {
    type: "lnd",
    socket: lnd.socket,
    tlsServerName: "localhost",
    cert: { kind: "file", path: lnd.certPath },
    macaroon: { kind: "file", path: lnd.macaroonPath },
  };
}

nodeContract("LndNode and the real LND that the environment names", openReal, {
  ignore: real === undefined,
  faults: false,
});
