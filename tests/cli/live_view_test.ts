import assert from "node:assert/strict";
import { enterScreen, leaveScreen, renderFrame, renderLines, renderSummary } from "../../lib/cli/live_view.ts";
import { firstShare, hasPassed, isInsideDeadzone } from "../../lib/cli/view_model.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import { sampleChannel, sampleView } from "./sample_view.ts";

const lines = (columns: number, rows: number, model = sampleView) =>
  renderLines(model, { columns, rows, colour: false });

for (const [columns, rows] of [[80, 24], [120, 40], [60, 14]] as const) {
  Deno.test(`renderLines() fills ${columns} x ${rows}`, (t) =>
    t.assertSnapshot(`\n${lines(columns, rows).join("\n")}\n`));
}

Deno.test("renderLines() never needs more room than there is", () => {
  const many = { ...sampleView, channels: Array.from({ length: 30 }, () => sampleChannel()) };
  const empty = { ...sampleView, channels: [], messages: [], payments: [], operators: [], acts: [] };
  for (const model of [sampleView, many, empty, { ...sampleView, totalMs: undefined }]) {
    for (let columns = 21; columns <= 300; columns += 13) {
      for (let rows = 6; rows <= 60; rows += 5) {
        const shown = lines(columns, rows, model);
        assert.equal(shown.length, rows, `${columns} x ${rows}`);
        for (const line of shown) assert.ok([...line].length < columns, `${columns} x ${rows}: ${line}`);
      }
    }
  }
  assert.match(lines(80, 24, many).join("\n"), /… and \d+ more channels/);
});

Deno.test("the totals of a minute fit a terminal of 80 columns", () => {
  const totals = {
    ...sampleView.totals,
    rebalanceCount: 99,
    rebalancedSat: sat(99_999_999),
    failureCount: 0,
    medianMs: 1_234,
  };
  const wanted = / 99 rebalances · 99,999,999 sat moved · no fees · none failed · median 1.23 s/;
  assert.match(lines(80, 24, { ...sampleView, totals }).join("\n"), wanted);
  assert.match(renderSummary({ ...sampleView, totals }, { columns: 80, colour: false }), wanted);
});

Deno.test("renderLines() says the same with and without colours", () => {
  const coloured = renderLines(sampleView, { columns: 80, rows: 24, colour: true }).join("\n");
  const bare = coloured.split("\u001b").map((part, i) => i === 0 ? part : part.replace(/^\[[0-9;]*m/, "")).join("");
  const trimmed = (text: string) => text.split("\n").map((line) => line.trimEnd());
  assert.deepEqual(trimmed(bare), lines(80, 24));
  assert.notEqual(coloured, bare);
});

Deno.test("renderFrame() overwrites the last frame without scrolling or clearing the screen first", () => {
  const frame = renderFrame(sampleView, { columns: 80, rows: 24, colour: false });
  assert.ok(frame.startsWith("\u001b[?2026h\u001b[H Tightrope"));
  assert.equal(frame.split("\r\n").length, 24);
  assert.equal(frame.split("\u001b[K").length, 25);
  assert.ok(frame.endsWith("\u001b[K\u001b[J\u001b[?2026l"));
  assert.ok(!frame.includes("\u001b[2J"));
  assert.ok(enterScreen.includes("\u001b[?25l") && leaveScreen.includes("\u001b[?25h"), "the cursor comes back");
});

Deno.test("a bar shows the share to an eighth of a column, and what is under way however small", () => {
  const bar = (change: Parameters<typeof sampleChannel>[0]) =>
    lines(80, 24, { ...sampleView, channels: [sampleChannel(change)] })[5]!.slice(9, 46);
  assert.equal(bar({ firstSat: sat(0), secondSat: sat(1) }), "░".repeat(37));
  assert.equal(bar({ firstSat: sat(1), secondSat: sat(0) }), "█".repeat(37));
  assert.equal(bar({ firstSat: sat(1), secondSat: sat(1) }), `${"█".repeat(18)}▌${"░".repeat(18)}`);
  assert.equal(bar({ firstSat: sat(0), secondSat: sat(0) }), "░".repeat(37));
  const moving = bar({ firstSat: sat(500_000), secondSat: sat(499_999), unsettledSat: sat(1) });
  assert.equal(moving, `${"█".repeat(19)}▒${"░".repeat(17)}`);
  assert.equal(bar({ firstSat: sat(9), secondSat: sat(0), unsettledSat: sat(1) }).length, 37);
});

Deno.test("the mark below a bar follows balance point and deadzone", () => {
  const scale = (balancePoint: number, deadzone: number) =>
    lines(80, 24, { ...sampleView, channels: [sampleChannel({ balancePoint, deadzone })] })[6]!.slice(9, 46);
  assert.equal(scale(0.5, 0.1), "2,612,000     ╰───┴───╯     2,388,000");
  assert.equal(scale(0.5, 0), "2,612,000         ┴         2,388,000");
  assert.equal(scale(0.2, 0.1), "   ╰───┴───╯                2,388,000");
  assert.equal(scale(0, 0.1), "┴──╯                        2,388,000");
  assert.equal(scale(1, 0.1).trimEnd(), "2,612,000                        ╰──┴");
});

Deno.test("what went wrong is told in words", () => {
  const totals = { ...sampleView.totals, feesMsat: msat(3), conserved: false, failureCount: 2, medianMs: undefined };
  const text = lines(100, 24, { ...sampleView, totals }).join("\n");
  assert.match(text, /3 msat of fees · 2 failed\n.*SATOSHIS LOST OR MADE/);
});

Deno.test("no name or reason can write codes to the terminal", () => {
  const channels = [sampleChannel({ state: { kind: "alone", reason: "\u001b[2J\u009b\nx" } })];
  const shown = renderLines({ ...sampleView, channels }, { columns: 80, rows: 24, colour: true });
  assert.equal(shown.length, 24);
  for (const bad of ["\u001b[2J", "\u009b", "\n"]) assert.ok(shown.every((line) => !line.includes(bad)));
});

Deno.test("renderSummary() says how every channel ended, and whether the promise was kept", async (t) => {
  const options = { columns: 80, colour: false };
  await t.assertSnapshot(`\n${renderSummary(sampleView, options)}`);
  const channels = [
    sampleChannel(),
    sampleChannel({ firstSat: sat(1), state: { kind: "alone", reason: "two secrets" } }),
  ];
  const kept = renderSummary({ ...sampleView, channels }, options);
  assert.match(kept, /ended in balance\n.*not shared, so left alone\n[^]*Every watched channel ended in balance/);
});

Deno.test("hasPassed() wants every watched channel inside its deadzone, one at least, and every satoshi", () => {
  const alone = { kind: "alone", reason: "" } as const;
  const off = sampleChannel({ firstSat: sat(3), secondSat: sat(7) });
  const edge = sampleChannel({ firstSat: sat(6), secondSat: sat(4) });
  assert.equal(firstShare(edge), 0.6);
  assert.ok(isInsideDeadzone(edge) && !isInsideDeadzone(off));
  const passed = (channels: typeof sampleView.channels, conserved = true) =>
    hasPassed({ ...sampleView, channels, totals: { ...sampleView.totals, conserved } });
  assert.deepEqual([
    passed([edge]),
    passed([edge, { ...off, state: alone }]),
    passed([edge, off]),
    passed([{ ...off, state: alone }]),
    passed([edge], false),
  ], [true, true, false, false, false]);
});
