import assert from "node:assert/strict";
import type { PaymentStatus } from "../../lib/domain/payment.ts";
import { sat, satToMsat } from "../../lib/domain/amounts.ts";
import { type NodeReply, noFee } from "../../lib/lightning/node.ts";
import { noPause, scene } from "./payer_scene.ts";

type Said = PaymentStatus | "nothing";

/** A payment of Alice to Mallory that LND has lost sight of; `said` is what LND answers when it is asked. */
async function lostPayment(said: Said = "nothing") {
  const { harness, alice, mallory, point, instance, rogue } = await scene({ settings: noPause });
  await harness.run(12_000);
  const lnd = { said };
  instance.tamper = (_node, call, real) => {
    if (call.method === "pay") {
      return Promise.resolve({ ok: true, method: "pay", value: { kind: "unknown", detail: "lost" } } as NodeReply);
    }
    if (call.method !== "trackPayment" || !instance.state.payments.has(call.args[0])) return real();
    return Promise.resolve(
      lnd.said === "nothing"
        ? { ok: false, method: "trackPayment", kind: "unavailable", message: "it hangs", remedy: "" }
        : { ok: true, method: "trackPayment", value: lnd.said },
    );
  };
  rogue.request(point, 50_000);
  await harness.runUntil(() => instance.told("payment-unknown").length === 1, 10_000);
  await harness.run(1_000);
  const [paymentHash] = [...instance.state.payments.keys()];
  assert.ok(paymentHash);
  const resolve = async (as: "settled" | "failed") => {
    instance.take({ kind: "resolve", paymentHash, as });
    await harness.run(100);
  };
  return { harness, alice, mallory, point, instance, rogue, lnd, paymentHash, resolve };
}

const settled: PaymentStatus = {
  kind: "settled",
  index: 1n,
  amountMsat: satToMsat(sat(50_000)),
  feeMsat: noFee,
  routes: [],
};

Deno.test("resolve: LND is asked first, and what it knows stands", async () => {
  const cases: [Said, settled: string, failed: string][] = [
    [{ kind: "in-flight", index: 1n, routes: [] }, "LND says that it is under way:", "LND says that it is under way:"],
    [{ kind: "not-found" }, "LND knows no such payment", "LND knows no such payment, but"],
  ];
  for (const [said, ...refusals] of cases) {
    const { harness, instance, resolve } = await lostPayment(said);
    await resolve("settled");
    await resolve("failed");
    assert.deepEqual(instance.reasons("resolve-refused").map((why) => why.slice(0, 30)), refusals);
    assert.ok(instance.story.every((line) => /intent|unknown/.test(line)));
    assert.equal(instance.told("resolved").length, 0);
    await harness.end();
  }
});

for (const as of ["settled", "failed"] as const) {
  Deno.test(`resolve: a payment of which LND says nothing is ${as} by the operator's word, once and for good`, async () => {
    const { harness, mallory, point, instance, rogue, resolve } = await lostPayment();
    await resolve(as);
    assert.deepEqual(instance.story, ["payer intent 50000", "payer unknown 50000", `payer ${as} 50000`]);
    const record = instance.disk.at(-1)!;
    assert.ok("reason" in record && record.reason === "by hand: tightrope resolve; LND: unreachable (it hangs)");
    assert.deepEqual(instance.reasons("resolved"), [as]);
    assert.equal(instance.state.ledger.positions.get(mallory), as === "settled" ? 50_000n : 0n);
    await resolve("settled");
    await resolve("failed");
    assert.deepEqual(instance.reasons("resolve-refused"), ["it isn't open", "it isn't open"]);
    // The node that was stopped because of it is paid again.
    instance.tamper = (_node, _call, real) => real();
    await harness.run(12_000);
    assert.equal(await rogue.answer(rogue.request(point, 20_000)), "paid");
    await harness.end();
  });
}

Deno.test("resolve: what LND has ended is recorded with LND's own numbers, and still checked", async () => {
  const { harness, instance, lnd, resolve } = await lostPayment();
  lnd.said = settled;
  await resolve("failed");
  assert.equal(instance.told("resolved").length, 0);
  await harness.end();

  const other = await lostPayment();
  other.lnd.said = { ...settled, feeMsat: satToMsat(sat(1)) } as PaymentStatus;
  await other.resolve("settled");
  assert.equal(other.instance.disk.at(-1)!.kind, "settled");
  assert.equal(other.instance.told("breaker").length, 1);
  await other.harness.end();
});

Deno.test("resolve: a node that is down can't be asked; an unknown hash and a stopping program are refused", async () => {
  const { harness, instance, paymentHash, resolve } = await lostPayment();
  instance.take({ kind: "resolve", paymentHash: "0".repeat(64) as typeof paymentHash, as: "failed" });
  assert.deepEqual(instance.reasons("resolve-refused"), ["it isn't open"]);
  instance.take({ kind: "node", node: 0, event: { kind: "down", message: "gone", remedy: "" } });
  await resolve("failed");
  assert.equal(instance.disk.at(-1)!.kind, "failed");
  await harness.end();

  const stopping = await lostPayment();
  stopping.instance.take({ kind: "drain" });
  await stopping.resolve("failed");
  assert.deepEqual(stopping.instance.reasons("resolve-refused"), ["Tightrope is stopping"]);
  await stopping.harness.end();
});

Deno.test("resolve: a look-up that was under way and is answered later changes nothing", async () => {
  const { harness, instance, resolve } = await lostPayment();
  const answers = instance.tamper;
  let deliver: (() => void) | undefined;
  instance.tamper = async (node, call, real) => {
    if (call.method !== "trackPayment" || deliver) return await answers(node, call, real);
    await new Promise<void>((resolve) => deliver = resolve);
    return { ok: true, method: "trackPayment", value: settled };
  };
  await harness.runUntil(() => deliver !== undefined, 70_000);
  instance.diskHangs = true;
  await resolve("failed");
  deliver!();
  await harness.run(100);
  instance.diskHangs = false;
  await harness.run(100);
  assert.deepEqual(instance.story, ["payer intent 50000", "payer unknown 50000", "payer failed 50000"]);
  await harness.end();
});

Deno.test("resolve: what is being paid or ended just now is left alone", async () => {
  const { harness, instance, resolve, paymentHash } = await lostPayment();
  // Said twice at once: the second is looked up while the first ends.
  instance.take({ kind: "resolve", paymentHash, as: "settled" });
  await resolve("failed");
  assert.deepEqual(instance.story.slice(2), ["payer settled 50000"]);
  assert.deepEqual(instance.reasons("resolve-refused"), ["it is ending just now"]);
  await harness.end();

  const paying = await lostPayment();
  await paying.resolve("failed");
  paying.lnd.said = { kind: "failed", index: 1n, failure: "no-route" };
  await paying.harness.run(70_000);
  paying.instance.tamper = (_node, call, real) => call.method === "pay" ? new Promise<NodeReply>(() => {}) : real();
  paying.rogue.request(paying.point, 20_000);
  await paying.harness.run(100);
  const [open] = [...paying.instance.state.payments.keys()];
  paying.instance.take({ kind: "resolve", paymentHash: open!, as: "failed" });
  assert.equal(paying.instance.reasons("resolve-refused").at(-1), "it is being paid just now");
  await paying.harness.end();
});
