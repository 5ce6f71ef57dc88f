/** The Bitcoin networks, as LND's GetInfo names them. */
export const networks = ["mainnet", "testnet", "testnet4", "signet", "regtest", "simnet"] as const;

export type Network = (typeof networks)[number];

export function parseNetwork(text: unknown): Network | undefined {
  return networks.find((network) => network === text);
}
