import type { Operator, WorldNode } from "./world.ts";

export interface OperatorConfig {
  readonly operator: Operator;
  readonly secret: string;
  readonly nodes: readonly WorldNode[];
  readonly bootstrap: readonly string[];
}

/** The configuration file of one operator of the demo; certificates and macaroons lie beside it, one pair for each node. */
export function operatorConfigText({ operator, secret, nodes, bootstrap }: OperatorConfig): string {
  const lines = [
    `# ${operator}'s instance in the demo.`,
    `secret: ${secret}`,
    "lightningNodes:",
    ...nodes.flatMap((node) => [
      "  - type: lnd",
      `    socket: ${node.socket}`,
      `    certPath: ./${certificateFile(node)}`,
      `    macaroonPath: ./${macaroonFile(node)}`,
    ]),
    "swarm:",
    `  bootstrap: [${bootstrap.map((address) => `"${address}"`).join(", ")}]`,
    "limits:",
    "  baseSettings:",
    "    # An hour's traffic in a minute needs an hour's limits.",
    "    minTimeBetweenPayments: 1s",
    "    maxTransactionsPerPeriod: 100000",
    "    maxAmountPerPeriod: 100000000000",
  ];
  return `${lines.join("\n")}\n`;
}

export function certificateFile(node: WorldNode): string {
  return `${node.name}.tls.cert`;
}

export function macaroonFile(node: WorldNode): string {
  return `${node.name}.macaroon`;
}
