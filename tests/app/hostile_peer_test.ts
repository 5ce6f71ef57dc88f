import assert from "node:assert/strict";
import { deriveMaster } from "../../lib/protocol/keys.ts";
import { Cluster } from "./cluster.ts";
import { HostilePeer } from "./hostile_peer.ts";
import { runProgram } from "./program.ts";

Deno.test("a peer that knows the secret and owns its node can't spoil the log, nor reach what two others do", async () => {
  await using cluster = new Cluster();
  const { bootstrap } = await cluster.dht();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  const mallory = await cluster.node("mallory");
  const friendly = cluster.channel(alice, bob, 0.5);
  const point = cluster.channel(alice, mallory, 0.1);
  const settings = "limits:\n  baseSettings:\n    minTimeBetweenPayments: 0s\n    refreshRate: 1s\n";
  const config = cluster.configFile({ name: "A", nodes: [alice], more: settings });
  const first = cluster.start(config);
  const other = cluster.start(cluster.configFile({ name: "B", nodes: [bob], more: settings }));
  await first.event({ kind: "node-joined" });
  const metBob = await other.event({ kind: "peer-authenticated" });

  const master = deriveMaster(cluster.secret);
  await using crowd = new AsyncDisposableStack();
  const peers = Array.from({ length: 4 }, () => crowd.use(new HostilePeer(cluster, mallory, bootstrap, master)));
  for (const peer of peers) await peer.start();
  const [loudest] = peers;
  const alicesKey = /instance ([0-9a-f]{8})/.exec(String(metBob.message))![1]!;
  const visits = await Promise.all(peers.map((peer) => peer.with(alicesKey)));
  const skip = first.events.length;
  loudest!.hello(visits[0]!, "\u001b[31mbob\u202e\nPaid 1 sat\u0000");
  await first.event({ kind: "node-joined" }, skip);

  // An id that looks like the beginning of a macaroon, in hex.
  const id = "0201036c6e64".padEnd(32, "0");
  const answer = await loudest!.ask(visits[0]!, point, 20_000, id);
  assert.equal(answer.reason, undefined);

  // More than main can take at once, from several sides.
  for (let i = 0; i < 2_000; i++) {
    peers.forEach((peer, index) => peer.say(visits[index]!, { type: "bye", publicKey: bob.pubkey }));
  }
  cluster.run((network) => network.shift(friendly, alice.pubkey, 400_000_000n as never));
  await cluster.balanced(alice, friendly);
  const ended = first.events.filter(({ kind }) => kind === "peer-disconnected").map(({ message }) => String(message));
  const bobsKey = /instance ([0-9a-f]{8})/.exec(
    String((await first.event({ kind: "peer-authenticated" })).message),
  )![1]!;
  assert.deepEqual(ended.filter((message) => message.includes(bobsKey)), []);
  const stopped = await first.stop();
  assert.equal(stopped.code, 0, stopped.stderr);

  // What was paid is read back, and the program goes on from there.
  const again = cluster.start(config);
  await again.event(/^Started: no payment is open$/);
  const { code, stdout, stderr } = await runProgram("ledger", "--json", "--config", config);
  assert.deepEqual([code, stderr], [0, ""]);
  assert.ok(stdout.includes(mallory.pubkey));
  for (const command of [["events"], ["transactions"]]) {
    const { stdout: text } = await runProgram("log", ...command, "--config", config);
    // deno-lint-ignore no-control-regex -- what must not reach a terminal
    assert.doesNotMatch(text.replaceAll("\n", ""), /[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/);
  }
  const stoppedAgain = await again.stop();
  assert.equal(stoppedAgain.code, 0, stoppedAgain.stderr);
});
