import assert from "node:assert/strict";
import { fileURLToPath } from "node:url";
import { installNodePeers } from "../node_install.ts";
import { NodePeer } from "../node_peer.ts";
import { BlackHoleNetwork, hosts, whyNoNamespaces } from "./black_hole_network.ts";

const whyNot = await whyNoNamespaces();
if (whyNot !== null) console.log(`black_hole_test.ts is left out: ${whyNot}`);

/** Our stream to udx-native, with large packets under way when the path shrinks. @returns what the sender told then */
async function shrinkUnderWay(tellsSenders: boolean): Promise<{ mtu: number; retransmits: number; rtoCount: number }> {
  await using network = await BlackHoleNetwork.create(tellsSenders);
  const folder = await installNodePeers();
  const script = await Deno.readTextFile(new URL("../node/mtu_peer.cjs", import.meta.url));
  const node = ["node", "--input-type=commonjs", "--eval", script, "--", hosts.receiver, hosts.sender];
  const config = fileURLToPath(new URL("../../deno.json", import.meta.url));
  const sender = fileURLToPath(new URL("sender.ts", import.meta.url));
  const deno = [Deno.execPath(), "run", "-c", config, "--allow-net", "--ignore-env"];
  const [command, ...args] = network.at("receiver", ...node);
  await using native = NodePeer.spawn(command, args, folder);
  const [ip, ...words] = network.at("sender", ...deno, sender, hosts.sender, hosts.receiver);
  await using ours = NodePeer.spawn(ip, words);
  const ports = [(await ours.next()).port, (await native.next()).port];
  await native.send({ kind: "connect", port: ports[0] });
  await ours.send({ kind: "connect", port: ports[1] });
  assert.deepEqual(await ours.next(), { kind: "grown" });
  await network.shrink(1400);
  const flushed = await ours.next();
  assert.equal(flushed.kind, "flushed", flushed.message);
  const { kind, bytes, sha256 } = await native.next();
  assert.equal(kind, "end");
  assert.ok(bytes >= 2_400_000);
  assert.equal(sha256, flushed.sha256);
  return flushed;
}

Deno.test({
  name: "UDX gets large packets through to udx-native when the path silently stops carrying them (Linux, IPv4)",
  ignore: whyNot !== null,
  fn: async () => {
    const { mtu, retransmits } = await shrinkUnderWay(false);
    assert.ok(mtu <= 1400, `${mtu}`);
    assert.ok(retransmits > 0);
  },
});

Deno.test({
  name: "UDX leaves it to the system to split packets on a path that tells its MTU (Linux, IPv4)",
  ignore: whyNot !== null,
  fn: async () => {
    const { mtu, rtoCount } = await shrinkUnderWay(true);
    // A machine too busy to acknowledge in time makes it look like a black hole.
    assert.ok(mtu === 1500 || rtoCount > 0, `${mtu}`);
  },
});
