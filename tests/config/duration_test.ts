import assert from "node:assert/strict";
import { formatDurationMs, parseDurationMs } from "../../lib/config/duration.ts";

Deno.test("parseDurationMs() reads seconds and units", () => {
  const table: Record<string, number | undefined> = {
    "0": 0,
    "60": 60_000,
    "0.1": 100,
    "1.1s": 1_100,
    "500ms": 500,
    "60s": 60_000,
    "10m": 600_000,
    "4h": 14_400_000,
    "1d": 86_400_000,
    "0.5h": 1_800_000,
    "60 s": undefined,
    "s": undefined,
    "": undefined,
    "-5": undefined,
    "1h30m": undefined,
    "60S": undefined,
    "1w": undefined,
    "1e3": undefined,
    "0.5ms": undefined,
    "Infinity": undefined,
    "999999999999d": undefined,
  };
  for (const [text, want] of Object.entries(table)) assert.equal(parseDurationMs(text), want, JSON.stringify(text));
});

Deno.test("formatDurationMs() writes what parseDurationMs() reads", () => {
  for (const text of ["0s", "1ms", "1500ms", "1s", "90s", "2m", "4h", "1d", "36h"]) {
    assert.equal(formatDurationMs(parseDurationMs(text)!), text);
  }
});
