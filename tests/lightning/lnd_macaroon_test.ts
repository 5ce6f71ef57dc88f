import assert from "node:assert/strict";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { MacaroonOven, standardMacaroons } from "../../lib/lightning/sim/macaroon.ts";

Deno.test("MacaroonOven: a caveat added without the key narrows, and one taken away breaks the signature", () => {
  const oven = new MacaroonOven(new SeededRandom(1));
  const rpc = "/lnrpc.Lightning/GetInfo";
  const toHex = (macaroon: Uint8Array) => Array.from(macaroon, (byte) => byte.toString(16).padStart(2, "0")).join("");
  const baked = toHex(oven.bake({
    rootKeyId: "0",
    ops: standardMacaroons.readonly,
    caveats: ["time-before 2026-01-01T00:00:00Z"],
  }));
  assert.equal(oven.judge([baked], rpc, Date.UTC(2025, 0)).kind, "allowed");
  assert.equal(oven.judge([baked], rpc, Date.UTC(2027, 0)).kind, "refused");
  const caveat = toHex(new TextEncoder().encode("time-before 2026-01-01T00:00:00Z"));
  const stripped = baked.replace(`0220${caveat}00`, "");
  assert.notEqual(stripped, baked);
  assert.deepEqual(oven.judge([stripped], rpc, Date.UTC(2025, 0)), {
    kind: "refused",
    text: "verification failed: signature mismatch after caveat verification",
  });
});
