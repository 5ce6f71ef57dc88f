import assert from "node:assert/strict";
import type { NodeMethod, NodeReply } from "../../lib/lightning/node.ts";
import type { TestInstance } from "./harness.ts";
import { pay, say, type Scene, scene } from "./payee_scene.ts";
import { scene as payerScene } from "./payer_scene.ts";
import { Rogue } from "./rogue.ts";

// How a request that was made, or was about to be, comes to its end.

/** Its node doesn't answer these. */
function refuses(instance: TestInstance, ...methods: NodeMethod[]): void {
  instance.tamper = (_node, { method }, real) =>
    methods.includes(method)
      ? Promise.resolve({ ok: false, method, kind: "unavailable", message: "disk full", remedy: "Wait" } as NodeReply)
      : real();
}

const disconnect = ({ rogue }: Scene) => rogue.sendFrame(rogue.sentFrames[0]!);

Deno.test("a request names its invoice's end on disk, as LND was told it", async () => {
  const { harness, alice, instance } = await scene(() => {});
  const { createdAtWallMs, expirySec } = harness.network.invoices(alice)[0]! as never as Record<string, number>;
  assert.equal(expirySec, 600);
  const record = instance.disk[0]!;
  assert.ok("expiresAtWallMs" in record);
  assert.ok(Math.abs(record.expiresAtWallMs - (createdAtWallMs! + 600_000)) < 1_000);
  await harness.end();
});

Deno.test("a node that makes no invoice is told of, and asked again later and later", async () => {
  const all = await scene(() => {});
  const { harness, instance, requests } = all;
  refuses(instance, "addInvoice");
  await instance.restart();
  await harness.run(1_000);
  all.rogue.hello();
  const before = instance.effects.length;
  await harness.run(600_000);
  const calls = instance.effects.slice(before).filter((effect) =>
    effect.kind === "call" && effect.call.method === "addInvoice"
  );
  assert.ok(calls.length >= 4 && calls.length <= 9, `${calls.length}`);
  assert.match(instance.told("request-ended").at(-1)!.message, /made no invoice: disk full/);
  assert.equal(instance.view.channels[0]!.reason, "backing-off");
  const asked = requests().length;
  refuses(instance);
  await harness.run(700_000);
  assert.ok(requests().length > asked);
  instance.take({ kind: "drain" });
  await harness.run(10_000);
  assert.ok(instance.drained, "nothing is left of what failed");
  await harness.end();
});

Deno.test("nothing is asked for over a channel over which a payment of ours is open", async () => {
  const { harness, alice, point, instance, rogue } = await payerScene();
  harness.network.run((network) => network.freezeNode(rogue.node));
  rogue.request(point, 50_000);
  await harness.run(100);
  harness.shift(point, alice, 700_000);
  const other = harness.channel(rogue.node, alice, 1_003_470, 100_000);
  await harness.run(20_000);
  assert.equal(instance.view.channels[0]!.reason, "payment-open");
  const asked = rogue.received.flatMap((message) => message.type === "payInvoice" ? [message.channelPoint] : []);
  assert.deepEqual(asked, [other]);
  await harness.end();
});

Deno.test("after a payment the next is asked for no sooner than minTimeBetweenPayments", async () => {
  const times: number[] = [];
  const { harness, alice, point, instance } = await scene((rogue, request, { atMs }) => {
    times.push(atMs);
    pay(rogue, request);
  });
  await harness.run(1_000);
  harness.shift(point, alice, 300_000);
  await harness.run(30_000);
  assert.equal(instance.view.channels[0]!.reason, "too-soon");
  await harness.run(60_000);
  assert.equal(times.length, 2);
  assert.ok(times[1]! - times[0]! >= 60_000 && times[1]! - times[0]! < 75_000, `${times}`);
  await harness.end();
});

Deno.test("a node whose numbers never move after a payment is believed again after a minute", async () => {
  const { harness, instance, requests } = await scene((rogue, request) => pay(rogue, request), {
    settings: { minTimeBetweenPaymentsMs: 0 },
  });
  const [listed] = instance.view.channels;
  instance.tamper = async (_node, _call, real) => {
    const reply = await real();
    if (!reply.ok || reply.method !== "listChannels") return reply;
    const { localSat, remoteSat, unsettledSat } = listed!;
    const stuck = { localSat, remoteSat, unsettledSat, pendingHtlcs: [] };
    return { ...reply, value: reply.value.map((channel) => ({ ...channel, ...stuck })) };
  };
  await harness.run(59_000);
  assert.equal(requests().length, 1);
  assert.equal(instance.view.channels[0]!.reason, "resting");
  await harness.run(15_000);
  assert.equal(requests().length, 2);
  await harness.end();
});

const meanwhile: [what: string, happens: (scene: Scene) => void, reason: string][] = [
  ["the session ends", disconnect, "the session ended"],
  ["the operator pauses", ({ instance }) => instance.pause(), "not asking any more"],
  ["the channel is paused", ({ instance, point }) => {
    instance.pause({ kind: "channel-point", channelPoint: point });
  }, "not asking any more"],
  ["the program is to stop", ({ instance }) => instance.take({ kind: "drain" }), "not asking any more"],
];
for (const [what, happens, reason] of meanwhile) {
  Deno.test(`an invoice is cancelled and never sent if, before it is on disk, ${what}`, async () => {
    const all = await scene(() => {});
    const { harness, alice, point, instance, rogue, requests } = all;
    // The first request is made in vain; the second is caught while it is written.
    say(rogue, requests()[0]!, { reason: "busy" });
    await harness.run(1_000);
    instance.diskHangs = true;
    await harness.runUntil(() => harness.network.invoices(alice).length === 2, 20_000);
    await harness.run(10);
    happens({ ...all, point });
    await harness.run(10);
    instance.diskHangs = false;
    await harness.run(1_000);
    assert.equal(requests().length, 1);
    assert.equal(harness.network.invoices(alice)[1]!.state, "CANCELED");
    assert.equal(instance.story.at(-1), "payee cancelled 400000");
    assert.equal(instance.reasons("request-ended").at(-1), reason);
    await harness.end();
  });
}

Deno.test("a request outlives its session by five seconds", async () => {
  for (const pays of [true, false]) {
    const all = await scene(() => {});
    const { harness, instance, rogue, requests } = all;
    disconnect(all);
    await harness.run(4_500);
    assert.deepEqual(instance.story, ["payee invoiced 400000"]);
    if (pays) pay(rogue, requests()[0]!);
    await harness.run(1_000);
    assert.equal(instance.story[1], pays ? "payee received 400000" : "payee cancelled 400000");
    await harness.end();
  }
});

Deno.test("a stop waits four seconds for what was asked for, then cancels it", async () => {
  for (const pays of [true, false]) {
    const { harness, instance, rogue, requests } = await scene(() => {});
    instance.take({ kind: "drain" });
    await harness.run(3_500);
    assert.deepEqual([instance.drained, instance.story], [false, ["payee invoiced 400000"]]);
    if (pays) pay(rogue, requests()[0]!);
    await harness.run(1_000);
    assert.deepEqual([instance.drained, instance.story[1]], [
      true,
      pays ? "payee received 400000" : "payee cancelled 400000",
    ]);
    await harness.end();
  }
});

Deno.test("only the first answer counts, and only from the session that was asked", async () => {
  const { harness, instance, rogue, requests } = await scene(() => {});
  const other = new Rogue(harness, harness.node("eve"), "e".repeat(64));
  await harness.runUntil(() => other.isConnected, 1_000);
  say(other, requests()[0]!, { reason: "busy" });
  await harness.run(100);
  say(rogue, requests()[0]!, { reason: "unknown" });
  await harness.run(100);
  say(rogue, requests()[0]!, { reason: "busy" });
  // Another session's end is no end of this one's requests.
  other.sendFrame(other.sentFrames[0]!);
  await harness.run(10_000);
  assert.ok(!other.isConnected);
  assert.deepEqual(instance.story, ["payee invoiced 400000"]);
  await harness.end();
});

Deno.test("an invoice that can't be cancelled is looked at now and then, and ends by itself when it expires", async () => {
  const { harness, instance, rogue, requests } = await scene(() => {});
  refuses(instance, "cancelInvoice");
  say(rogue, requests()[0]!, { reason: "busy" });
  const before = instance.effects.length;
  await harness.run(590_000);
  assert.deepEqual(instance.story, ["payee invoiced 400000"]);
  const calls = instance.effects.slice(before).flatMap((effect) => effect.kind === "call" ? [effect.call.method] : []);
  const cancels = calls.filter((method) => method === "cancelInvoice").length;
  assert.ok(cancels >= 10 && cancels <= 70, `${cancels}`);
  await harness.run(80_000);
  assert.equal(instance.story[1], "payee cancelled 400000");
  assert.equal(instance.reasons("request-ended")[0], "busy");
  await harness.end();
});

Deno.test("an invoice that its node doesn't know any more has ended", async () => {
  const { harness, instance } = await scene(() => {});
  instance.tamper = (_node, call, real) =>
    call.method === "lookupInvoice" ? Promise.resolve({ ok: true, method: "lookupInvoice", value: undefined }) : real();
  await instance.restart();
  await harness.run(1_000);
  assert.equal(instance.story[1], "payee cancelled 400000");
  assert.equal(instance.reasons("request-ended")[0], "the node knows no such invoice");
  await harness.end();
});

Deno.test("what came counts once its receipt is on disk, so that a crash can't have lent it twice", async () => {
  const { harness, mallory, instance } = await scene((rogue, request) => pay(rogue, request));
  instance.diskHangs = true;
  await harness.run(1_000);
  assert.ok(instance.effects.some((effect) => effect.kind === "append" && effect.record.kind === "received"));
  assert.equal(instance.state.ledger.positions.get(mallory), undefined);
  instance.diskHangs = false;
  await harness.run(1_000);
  assert.equal(instance.state.ledger.positions.get(mallory), -400_000n);
  await harness.end();
});

Deno.test("an invoice that is paid while it is being cancelled is paid", async () => {
  const { harness, instance, rogue, requests } = await scene(() => {});
  const [request] = requests();
  let cancels = 0;
  instance.tamper = async (_node, call, real) => {
    if (call.method === "cancelInvoice" && cancels++ === 0) {
      pay(rogue, request!);
      await new Promise<void>((resolve) => harness.after(500, resolve));
    }
    return await real();
  };
  say(rogue, request!, { reason: "busy" });
  await harness.run(1_000);
  assert.deepEqual([instance.story, cancels], [["payee invoiced 400000", "payee received 400000"], 1]);
  await harness.end();
});

Deno.test("a request ends though its channel was closed meanwhile", async () => {
  for (const pays of [true, false]) {
    const { harness, alice, point, instance, rogue, requests } = await scene(() => {});
    instance.tamper = async (_node, _call, real) => {
      // The invoice is settled, and the list lacks the channel already.
      const reply = await real();
      if (!reply.ok || reply.method !== "listChannels") return reply;
      return { ...reply, value: [] };
    };
    if (pays) pay(rogue, requests()[0]!);
    else harness.network.run((network) => network.closeChannel(alice, point, true));
    instance.diskHangs = true;
    await harness.run(70_000);
    instance.diskHangs = false;
    await harness.run(1_000);
    assert.equal(instance.story[1], pays ? "payee received 400000" : "payee cancelled 400000");
    if (pays) assert.match(instance.told("payment-received")[0]!.message, /over a closed channel/);
    else assert.deepEqual(instance.reasons("request-ended"), ["the payer didn't pay in time"]);
    await harness.end();
  }
});

Deno.test("a payment ends the back-off, and the operator reads that the other side is paused", async () => {
  const times: number[] = [];
  let pays = false;
  const { harness, alice, point, instance } = await scene((rogue, request, { atMs }) => {
    times.push(atMs);
    if (pays) pay(rogue, request);
    else say(rogue, request, { reason: "busy", paused: true });
  }, { settings: { minTimeBetweenPaymentsMs: 0 } });
  await harness.run(40_000);
  assert.equal(instance.reasons("request-ended")[0], "peer-paused");
  assert.match(instance.told("request-ended")[0]!.message, /it is paused on its side, until its operator resumes$/);
  pays = true;
  await harness.runUntil(() => instance.told("payment-received").length === 1, 600_000);
  pays = false;
  await harness.run(5_000);
  harness.shift(point, alice, 300_000);
  const before = times.length;
  await harness.run(25_000);
  assert.ok(before >= 4 && times.length >= before + 2, `${times}`);
  assert.ok(times[before + 1]! - times[before]! < 7_000, `${times}`);
  await harness.end();
});
