import assert from "node:assert/strict";
import { Harness } from "./harness.ts";

for (const method of ["listChannels", "signMessage"] as const) {
  Deno.test(`a node that is up and refuses ${method} is told of once, not each time`, async () => {
    const harness = new Harness();
    const [alice, bob] = [harness.node("alice"), harness.node("bob")];
    harness.channel(alice, bob, 1_003_470, 100_000);
    const instance = harness.instance({ nodes: [alice, bob] });
    let refusing = true;
    instance.tamper = async (node, call, real) =>
      refusing && node === bob && call.method === method
        ? { ok: false, method, kind: "permission", message: "permission denied", remedy: "Bake another macaroon" }
        : await real();
    await harness.run(1);
    instance.events.length = 0;
    await instance.restart();
    await harness.run(600_000);
    const warnings = instance.told("warning").filter(({ message }) => message.includes("permission denied"));
    assert.ok(warnings.length >= 1 && warnings.length <= 2, `${warnings.length} warnings`);
    refusing = false;
    await harness.runUntil(() => instance.told("payment-received").length === 1, 1_000_000);
    await harness.end();
  });
}
