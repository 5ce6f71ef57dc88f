import assert from "node:assert/strict";
import { formatSpan } from "../../lib/domain/span.ts";

Deno.test("formatSpan() rounds up, in the largest units that say enough", () => {
  const table: [number, string][] = [
    [-1, "0 s"],
    [0, "0 s"],
    [1, "1 s"],
    [59_000, "59 s"],
    [59_001, "1 min"],
    [60_001, "2 min"],
    [3_540_001, "1 h"],
    [3_600_001, "1 h 1 min"],
    [14_400_000, "4 h"],
    [172_740_000, "47 h 59 min"],
    [172_800_000, "2 days"],
    [172_800_001, "3 days"],
  ];
  for (const [ms, want] of table) assert.equal(formatSpan(ms), want, String(ms));
});
