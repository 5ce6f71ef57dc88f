import assert from "node:assert/strict";
import type { PauseScope } from "../../lib/audit/pause.ts";
import type { ChannelPoint } from "../../lib/domain/ids.ts";
import type { NodeMethod, NodeReply } from "../../lib/lightning/node.ts";
import type { Harness, TestInstance } from "./harness.ts";
import { noPause, type Scene, scene } from "./payer_scene.ts";
import { Rogue } from "./rogue.ts";

// What happens while the payer's own node is asked about a request.

const lookUps = ["listChannels", "decodeInvoice", "trackPayment"] as const;

/** Its node answers so late. */
function slow(harness: Harness, instance: TestInstance, byMs: Partial<Record<NodeMethod, number>>): void {
  instance.tamper = async (_node, { method }, real) => {
    await new Promise<void>((resolve) => harness.after(byMs[method] ?? 0, resolve));
    return await real();
  };
}

Deno.test("in whatever order the look-ups are answered, each is made once and the request is paid", async () => {
  for (const last of lookUps) {
    const { harness, instance, rogue, point } = await scene();
    slow(harness, instance, { [last]: 500 });
    await harness.run(11_000);
    const before = instance.effects.length;
    const id = rogue.request(point, 50_000);
    await harness.runUntil(() => instance.story.length > 0, 2_000);
    const calls = instance.effects.slice(before).flatMap((effect) =>
      effect.kind === "call" ? [effect.call.method] : []
    );
    assert.deepEqual(lookUps.map((method) => calls.filter((call) => call === method).length), [1, 1, 1], last);
    assert.equal(await rogue.answer(id), "paid");
    await harness.end();
  }
});

Deno.test("a look-up that fails or doesn't end is a refusal, and what comes later changes nothing", async () => {
  for (const method of lookUps) {
    for (const lateMs of [0, 70_000]) {
      const { harness, instance, rogue, point } = await scene();
      const atMs = harness.atMs;
      instance.tamper = async (_node, call, real) => {
        if (call.method !== method) return await real();
        if (lateMs === 0) {
          return { ok: false, method, kind: "unavailable", message: "no answer", remedy: "Wait" } as NodeReply;
        }
        await new Promise<void>((resolve) => harness.after(lateMs, resolve));
        return await real();
      };
      assert.equal(await rogue.answer(rogue.request(point, 50_000)), "failed", method);
      assert.ok(harness.atMs - atMs <= 60_100);
      await harness.run(20_000);
      assert.deepEqual(instance.reasons("request-refused"), ["node-failed"], `${method} ${lateMs}`);
      assert.deepEqual(instance.story, []);
      await harness.end();
    }
  }
});

const meanwhile: { what: string; happens: (all: Scene) => unknown; reason: string }[] = [
  { what: "the operator pauses", happens: ({ instance }) => instance.pause(), reason: "paused" },
  { what: "the program is to stop", happens: ({ instance }) => instance.take({ kind: "drain" }), reason: "draining" },
  {
    what: "the node goes down",
    happens: ({ instance }) =>
      instance.take({ kind: "node", node: 0, event: { kind: "down", message: "locked", remedy: "Unlock it" } }),
    reason: "node-down",
  },
  {
    what: "the channel disappears",
    happens: ({ harness, alice, point }) => harness.network.run((network) => network.closeChannel(alice, point)),
    reason: "unknown-channel",
  },
  {
    what: "the session ends",
    happens: ({ rogue }) => rogue.sendFrame(rogue.sentFrames[0]!),
    reason: "not-proven",
  },
];
for (const { what, happens, reason } of meanwhile) {
  Deno.test(`a request reserves nothing if, before it was looked into, ${what}`, async () => {
    const all = await scene();
    const { harness, instance, rogue, point } = all;
    slow(harness, instance, { listChannels: 50, trackPayment: 200 });
    rogue.request(point, 50_000);
    await harness.run(20);
    happens(all);
    await harness.run(1_000);
    assert.deepEqual(instance.reasons("request-refused"), [reason]);
    assert.deepEqual(instance.story, []);
    await harness.end();
  });
}

Deno.test("what stops all paying is refused before the node is asked anything", async () => {
  const stops: [(all: Scene) => Promise<void> | void, string][] = [
    [({ instance }) => instance.pause(), "paused"],
    [
      ({ instance }) =>
        instance.take({ kind: "node", node: 0, event: { kind: "down", message: "locked", remedy: "Unlock it" } }),
      "node-down",
    ],
    [async ({ harness, alice }) => {
      const clone = new Rogue(harness, alice, "e".repeat(64));
      await harness.runUntil(() => clone.isConnected, 100);
      clone.hello();
      await harness.run(100);
    }, "cloned"],
    [async ({ harness, instance, rogue, alice }) => {
      const parallel = harness.channel(alice, rogue.node, 1_003_470, 100_000);
      await harness.run(11_000);
      instance.diskHangs = true;
      rogue.request(parallel, 50_000);
      await harness.run(100);
      instance.take({ kind: "drain" });
    }, "draining"],
  ];
  for (const [stop, reason] of stops) {
    const all = await scene();
    const { harness, instance, rogue, point } = all;
    await stop(all);
    await harness.run(100);
    const before = instance.effects.length;
    assert.equal(await rogue.answer(rogue.request(point, 50_000), 1_000), "busy", reason);
    assert.deepEqual(instance.reasons("request-refused"), [reason]);
    assert.ok(!instance.effects.slice(before).some(({ kind }) => kind === "call"), reason);
    instance.diskHangs = false;
    await harness.run(1_000);
    assert.ok(!instance.effects.some((effect) => effect.kind === "call" && effect.call.method === "pay"), reason);
    await harness.end();
  }
});

Deno.test("requests to two nodes at once are each looked up at the node that they are for", async () => {
  const { harness, instance, rogue, point, alice } = await scene({ settings: noPause });
  const [ann, carol] = [harness.node("ann"), harness.node("carol")];
  const parallel = harness.channel(alice, rogue.node, 1_003_470, 100_000);
  const anns = harness.channel(ann, carol, 1_003_470, 100_000);
  await instance.crash();
  Object.assign(instance.options, { nodes: [alice, ann] });
  instance.start();
  const friend = new Rogue(harness, carol, "d".repeat(64));
  await harness.runUntil(() => rogue.isConnected && friend.isConnected, 20_000);
  rogue.hello();
  friend.hello();
  await harness.run(1_000);
  slow(harness, instance, { listChannels: 50 });
  const ids = [rogue.request(point, 50_000)];
  await harness.run(10);
  ids.push(rogue.request(parallel, 50_000));
  await harness.run(10);
  const theirs = friend.request(anns, 50_000);
  assert.deepEqual([await rogue.answer(ids[0]!), await rogue.answer(ids[1]!), await friend.answer(theirs)], [
    "paid",
    "paid",
    "paid",
  ]);
  await harness.end();
});

Deno.test("what is paused while its intent is written is not sent", async () => {
  const scopes = ({ point, mallory }: Scene): [PauseScope, end: string][] => [
    [{ kind: "all" }, "failed"],
    [{ kind: "node", pubkey: mallory }, "failed"],
    [{ kind: "channel-point", channelPoint: point }, "failed"],
    [{ kind: "channel-point", channelPoint: ("ee".repeat(32) + ":0") as ChannelPoint }, "settled"],
  ];
  for (let i = 0; i < 4; i++) {
    const all = await scene();
    const { harness, alice, instance, rogue, point } = all;
    const [scope, end] = scopes(all)[i]!;
    instance.diskHangs = true;
    rogue.request(point, 50_000);
    await harness.run(100);
    instance.pause(scope);
    instance.diskHangs = false;
    await harness.run(1_000);
    assert.deepEqual(instance.story, ["payer intent 50000", `payer ${end} 50000`]);
    assert.equal(harness.paymentsOf(alice).length, end === "settled" ? 1 : 0);
    await harness.end();
  }
});
