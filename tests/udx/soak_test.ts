import assert from "node:assert/strict";
import { judgeMemory } from "./memory_verdict.ts";

const flat = { rss: 100e6, heap: 10e6, external: 5e6 };

Deno.test("judgeMemory() calls memory flat that wavers, and forgives the start", () => {
  const samples = Array.from({ length: 60 }, (_, i) => ({ ...flat, rss: i < 5 ? 300e6 : 100e6 + (i % 7) * 1e6 }));
  assert.equal(judgeMemory(samples).flat, true);
});

Deno.test("judgeMemory() sees each kind of memory grow", () => {
  for (const kind of ["rss", "heap", "external"] as const) {
    const samples = Array.from({ length: 60 }, (_, i) => ({ ...flat, [kind]: flat[kind] * (1 + i / 20) }));
    assert.equal(judgeMemory(samples).flat, false, kind);
  }
  assert.equal(judgeMemory([flat]).flat, false, "nothing is known from one sample");
});
