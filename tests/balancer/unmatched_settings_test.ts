import assert from "node:assert/strict";
import type { SettingsId } from "../../lib/config/config.ts";
import { parseShortChannelId } from "../../lib/domain/ids.ts";
import { Harness } from "./harness.ts";

Deno.test("settings for a node or channel that isn't there are told once, and no others", async () => {
  const harness = new Harness();
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  harness.channel(alice, bob, 1_003_470, 500_000);
  const { chanId } = harness.network.listChannels(alice)[0]!;
  const nowhere = parseShortChannelId("800000x1x0")!;
  const ids: SettingsId[] = [
    { kind: "alias", alias: "alice" },
    { kind: "alias", alias: "alise" },
    { kind: "channel", channelId: chanId },
    { kind: "channel", channelId: nowhere },
    { kind: "alias-channel", alias: "alice", channelId: chanId },
    { kind: "alias-channel", alias: "bob", channelId: chanId },
  ];
  const instance = harness.instance({
    nodes: [alice],
    limits: { idSettings: ids.map((id) => ({ id, settings: { enabled: true } })) },
  });
  await harness.run(30_000);
  const told = instance.told("warning").map(({ message }) => /settings for (\S+)/.exec(message)?.[1]);
  assert.deepEqual(told.filter((name) => name !== undefined), ['"alise"', "800000x1x0", '"bob:472x1x0"']);
  await harness.end();
});
