import assert from "node:assert/strict";
import { msat, sat, satToMsat } from "../../lib/domain/amounts.ts";
import { type LndView, whyNotResolve } from "../../lib/policy/resolve.ts";

const expiresAtWallMs = 1_000_000;

Deno.test("whyNotResolve() lets nobody overrule what LND knows", () => {
  const settled: LndView = { kind: "settled", index: 1n, amountMsat: satToMsat(sat(1)), feeMsat: msat(0), routes: [] };
  const table: [LndView, afterExpiryMs: number, settled: boolean, failed: boolean][] = [
    [settled, 0, true, false],
    [{ kind: "failed", index: 1n, failure: "timeout" }, 0, false, true],
    [{ kind: "in-flight", index: 1n, routes: [] }, 1e9, false, false],
    [{ kind: "not-found" }, -1, false, false],
    [{ kind: "not-found" }, 59_999, false, false],
    [{ kind: "not-found" }, 60_000, false, true],
    [{ kind: "unreachable", why: "gone" }, -1, true, true],
  ];
  for (const [view, afterMs, ...allowed] of table) {
    const question = { view, wasMade: false, wallMs: expiresAtWallMs + afterMs, expiresAtWallMs };
    const got = (["settled", "failed"] as const).map((as) => whyNotResolve({ ...question, as }) === undefined);
    assert.deepEqual(got, allowed, `${view.kind} ${afterMs}`);
  }
});

Deno.test("whyNotResolve() takes the operator's word for what LND had under way and doesn't know any more", () => {
  const question = { view: { kind: "not-found" }, wasMade: true, expiresAtWallMs } as const;
  for (const [afterMs, failed] of [[-1, false], [60_000, true]] as const) {
    const wallMs = expiresAtWallMs + afterMs;
    assert.equal(whyNotResolve({ ...question, wallMs, as: "settled" }), undefined);
    assert.equal(whyNotResolve({ ...question, wallMs, as: "failed" }) === undefined, failed);
  }
});
