import assert from "node:assert/strict";
import { explore } from "./explore.ts";
import { RequestLives } from "./life.ts";
import type { Flaw } from "./world.ts";

const readme = Deno.readTextFileSync(new URL("../../README.md", import.meta.url));

Deno.test("two operators keep every rule in each state that two faults can lead to, and the README draws their lives", () => {
  const lives = new RequestLives();
  const { broken, complete } = explore({ faults: 2, observer: lives });
  assert.equal(broken, undefined, JSON.stringify(broken, null, 2));
  assert.ok(complete);
  for (const owner of [0, 1] as const) {
    assert.ok(readme.includes(lives.diagram(owner)), `deno task model --diagrams:\n${lives.diagram(owner)}`);
  }
});

const flaws: readonly [Flaw, faults: number, rule: RegExp][] = [
  ["a lost answer counts as a failure", 1, /doesn't count as spent/],
  ["not found counts as a failure", 2, /doesn't count as spent|as failed and LND/],
  ["records are on disk before they are", 1, /before its intent is on disk|doesn't know it/],
];
for (const [flaw, faults, rule] of flaws) {
  Deno.test(`the model's rules notice when ${flaw}`, () => {
    assert.match(explore({ faults, flaw, maxStates: 5_000 }).broken?.message ?? "", rule);
  });
}
