/** Entry of the lightning worker: the only part that holds macaroons. */
import type { LndNodeConfig } from "../config/config.ts";
import { InvariantError } from "../domain/errors.ts";
import { systemClock, systemRandom } from "../env/system.ts";
import { checkNode } from "../lightning/lnd/check.ts";
import { LndNode } from "../lightning/lnd/client.ts";
import { callNode, type NodeCall } from "../lightning/node.ts";
import type { RemoteNodeEvent } from "./lightning_remote.ts";
import { servePort } from "./serve_port.ts";

let nodes: readonly LndNode[] = [];

function nodeAt(index: number): LndNode {
  const node = nodes[index];
  if (node === undefined) throw new InvariantError(`there is no node ${index}`);
  return node;
}

const port = servePort({
  open(configs: readonly LndNodeConfig[]) {
    nodes = configs.map((config) => new LndNode(config, { clock: systemClock, random: systemRandom }));
  },
  watch: (index: number) => nodeAt(index).watch((event) => port.emit({ node: index, event } satisfies RemoteNodeEvent)),
  call: (index: number, call: NodeCall) => callNode(nodeAt(index), call),
  check: (config: LndNodeConfig) => checkNode(config, { random: systemRandom }),
  closeNode: (index: number) => nodeAt(index).close(),
  close: () => Promise.all(nodes.map((node) => node.close())).then(() => undefined),
});
