import type { Sat } from "../domain/amounts.ts";
import type { ChannelPoint, NodePubkey } from "../domain/ids.ts";

/** The demo's nodes; Alice runs the first two, Bob the others. */
export const nodeNames = ["A", "B", "C", "D", "E"] as const;

export type NodeName = (typeof nodeNames)[number];

export const operators = { Alice: ["A", "B"], Bob: ["C", "D", "E"] } as const satisfies Record<string, NodeName[]>;

export type Operator = keyof typeof operators;

/** What an operator writes into the configuration for one simulated node. */
export interface WorldNode {
  readonly name: NodeName;
  readonly pubkey: NodePubkey;
  /** `host:port` of its gRPC. */
  readonly socket: string;
  readonly certPem: string;
  readonly macaroonHex: string;
}

export interface World {
  readonly nodes: readonly WorldNode[];
  /** Of the local DHT. */
  readonly bootstrap: readonly string[];
}

/** One channel as the simulated network knows it. */
export interface WorldChannel {
  /** `A-B`: the first node opened it. */
  readonly name: string;
  readonly nodes: readonly [NodeName, NodeName];
  readonly channelPoint: ChannelPoint;
  readonly capacitySat: Sat;
  /** Each side's balance as that side reports it. */
  readonly localSat: readonly [Sat, Sat];
  readonly unsettledSat: Sat;
}

/** Simulated traffic so far. */
export interface WorldTraffic {
  readonly count: number;
  readonly amountSat: Sat;
}
