import assert from "node:assert/strict";
import type { Fault } from "./actions.ts";
import { type Bounds, courses, explore } from "./explore.ts";
import { fingerprint } from "./fingerprint.ts";
import { RequestLives } from "./life.ts";
import type { World } from "./world.ts";

const readme = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));

function keepsEveryRule(bounds: Bounds): void {
  const { broken, complete } = explore(bounds);
  assert.equal(broken, undefined, JSON.stringify(broken, null, 2));
  assert.ok(complete);
}

Deno.test("two operators keep every rule in each state that a fault can lead to, and the README draws their lives", () => {
  const lives = new RequestLives();
  for (const faults of courses) keepsEveryRule({ faults, observer: lives });
  for (const role of ["payer", "payee"] as const) {
    assert.ok(readme.includes(lives.diagram(role)), `deno task model --diagrams:\n${lives.diagram(role)}`);
  }
});

const mild: readonly Fault[] = ["failed HTLC", "slow look", "traffic", "lie"];

Deno.test("worlds that are taken for the same state go on alike", () => {
  keepsEveryRule({ faults: [mild], proveMerging: true });
});

Deno.test("a look that leaves something out takes worlds for the same that don't go on alike", () => {
  const tell = (world: World) => fingerprint({ ...world, lnd: { ...world.lnd, payments: new Map() } });
  assert.match(explore({ faults: [], proveMerging: true, tell }).broken?.message ?? "", /taken for the same/);
});
