import assert from "node:assert/strict";
import { type Effect } from "../../lib/balancer/io.ts";
import { parseSwarmKey } from "../../lib/domain/ids.ts";
import { Harness } from "./harness.ts";

/** Whoever has taken over the swarm worker knows no secret, but carries every frame and says whatever it likes of connections. */

async function ownPair() {
  const harness = new Harness(1);
  const [alice, bob] = [harness.node("alice"), harness.node("bob")];
  const point = harness.channel(alice, bob, 1_003_470, 500_000);
  const instance = harness.instance({ nodes: [alice, bob] });
  await harness.run(2_000);
  return { harness, bob, point, instance };
}

Deno.test("a swarm that connects an instance to itself makes no clone of it", async () => {
  const { harness, bob, point, instance } = await ownPair();
  const [left, right] = ["aa", "bb"].map((key) => parseSwarmKey(key.repeat(32))!);
  const handshakeHash = new Uint8Array(64).fill(5);
  const common = { kind: "connected", via: "swarm", handshakeHash } as const;
  const other = new Map([[101, 102], [102, 101]]);
  let seen = instance.effects.length;
  instance.take({
    kind: "transport",
    event: { ...common, connection: 101, initiator: true, localKey: left!, remoteKey: right! },
  });
  instance.take({
    kind: "transport",
    event: { ...common, connection: 102, initiator: false, localKey: right!, remoteKey: left! },
  });
  for (let turn = 0; turn < 50; turn++) {
    const sent = instance.effects.slice(seen).filter((effect): effect is Extract<Effect, { kind: "send" }> =>
      effect.kind === "send" && other.has(effect.connection)
    );
    seen = instance.effects.length;
    for (const { connection, frame } of sent) {
      const event = { kind: "frame", connection: other.get(connection)!, frame } as const;
      instance.take({ kind: "transport", event });
    }
    await harness.run(10);
  }
  assert.deepEqual(instance.told("paused"), []);
  assert.deepEqual([...instance.state.peers.values()].filter(({ via }) => via === "swarm"), []);
  assert.match(instance.told("warning").at(-1)!.message, /to itself/);
  harness.shift(point, bob, 400_000);
  await harness.run(60_000);
  assert.equal(harness.share(bob, point), 0.5);
  await harness.end();
});

Deno.test("a swarm that talks without end about itself doesn't fill the event log", async () => {
  const { harness, instance } = await ownPair();
  const before = instance.events.length;
  for (let i = 0; i < 20_000; i++) {
    instance.take({ kind: "transport", event: { kind: "status", level: "warn", message: `no DHT node answers ${i}` } });
  }
  await harness.run(120_000);
  assert.ok(instance.events.length - before < 3_000, `${instance.events.length - before} lines`);
  assert.ok(instance.told("requests-ignored").some(({ details }) => Number(details?.["untold"]) > 10_000));
  await harness.end();
});
