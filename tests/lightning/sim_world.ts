import assert from "node:assert/strict";
import { sat } from "../../lib/domain/amounts.ts";
import type { ChannelPoint, NodePubkey } from "../../lib/domain/ids.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import {
  isRefusal,
  type SimEvent,
  type SimOpenChannel,
  type SimRefusal,
  type SimTiming,
} from "../../lib/lightning/sim/model.ts";
import { SimNetwork } from "../../lib/lightning/sim/network.ts";

export interface SimWorldOptions {
  readonly version?: string;
  readonly timing?: Partial<SimTiming>;
  readonly channel?: Partial<SimOpenChannel>;
}

/** Alice and Bob with one channel that Alice opened: 1,000,000 sat, 100,000 of them Bob's. */
export interface SimWorld {
  readonly network: SimNetwork;
  readonly alice: NodePubkey;
  readonly bob: NodePubkey;
  readonly channelPoint: ChannelPoint;
  /** What happened at each of them so far, and `at` which millisecond. */
  readonly events: { at: number; node: "alice" | "bob"; event: SimEvent }[];
}

export function simWorld(options: SimWorldOptions = {}): SimWorld {
  const network = new SimNetwork({
    random: new SeededRandom(0x5eed),
    start: { atMs: 0, wallMs: Date.UTC(2026, 10, 22, 16) },
    timing: options.timing ?? {},
  });
  const version = options.version ?? "0.18.5-beta";
  const alice = network.addNode({ alias: "alice", version });
  const bob = network.addNode({ alias: "bob", version });
  const channelPoint = granted(network.openChannel({
    from: alice,
    to: bob,
    capacitySat: sat(1_000_000),
    pushSat: sat(100_000),
    instant: true,
    ...options.channel,
  }));
  const events: SimWorld["events"] = [];
  network.subscribe(alice, (event) => events.push({ at: network.now().atMs, node: "alice", event }));
  network.subscribe(bob, (event) => events.push({ at: network.now().atMs, node: "bob", event }));
  return { network, alice, bob, channelPoint, events };
}

/** What isn't refused. */
export function granted<T>(result: T | SimRefusal): T {
  if (isRefusal(result)) assert.fail(result.text);
  return result;
}
