// A DHT of nodes with addresses of their own: the arguments are their hosts. Ends with its input.
const HyperDHT = require("hyperdht");

const port = 49737;
const hosts = process.argv.slice(1);

async function main() {
  const first = HyperDHT.bootstrapper(port, hosts[0], { host: hosts[0] });
  await first.fullyBootstrapped();
  const bootstrap = [`${hosts[0]}:${port}`];
  const nodes = [first];
  for (const host of hosts.slice(1)) {
    const node = new HyperDHT({ bootstrap, host, port, anyPort: false, ephemeral: false, firewalled: false });
    await node.fullyBootstrapped();
    nodes.push(node);
  }
  process.stdout.write(JSON.stringify({ kind: "ready", bootstrap }) + "\n");
  for await (const _ of process.stdin);
  process.exit(0);
}

main();
