import type { BalanceSettings } from "../../lib/config/config.ts";
import type { ChannelPoint, NodePubkey } from "../../lib/domain/ids.ts";
import { Harness, type InstanceOptions, type TestInstance } from "./harness.ts";
import { Rogue } from "./rogue.ts";

export interface Scene {
  harness: Harness;
  alice: NodePubkey;
  mallory: NodePubkey;
  point: ChannelPoint;
  instance: TestInstance;
  rogue: Rogue;
}

/** Alice holds 90 % of a channel of a million with Mallory, who has proven her node in a session with Alice. */
export async function scene(options: Partial<InstanceOptions> = {}, timing = {}): Promise<Scene> {
  const harness = new Harness(0x5eed, timing);
  const [alice, mallory] = [harness.node("alice"), harness.node("mallory")];
  const point = harness.channel(alice, mallory, 1_003_470, 100_000);
  const instance = harness.instance({ nodes: [alice], ...options });
  const rogue = new Rogue(harness, mallory);
  await harness.runUntil(() => rogue.isConnected, 100);
  rogue.hello();
  await harness.run(100);
  return { harness, alice, mallory, point, instance, rogue };
}

export const noPause: Partial<BalanceSettings> = { minTimeBetweenPaymentsMs: 0 };
