import type { EventRecord } from "../audit/record.ts";
import { formatRecordJson } from "./output.ts";
import { firstShare, hasPassed, isInsideDeadzone, isWatched, type ViewModel } from "./view_model.ts";

/**
 * The demo for programs: one JSON object per line. `kind` tells them apart: `act`, `summary`, or an event's own kind.
 * `atMs` counts from the demo's start.
 */

/** The story goes on: `{"atMs", "kind": "act", "title"}` */
export function formatDemoAct(atMs: number, title: string): string {
  return JSON.stringify({ atMs: Math.round(atMs), kind: "act", title });
}

/** An event of one instance: `atMs`, `operator`, then what `tightrope log events --json` prints. */
export function formatDemoRecord(atMs: number, operator: string, record: EventRecord): string {
  const head = JSON.stringify({ atMs: Math.round(atMs), operator });
  return `${head.slice(0, -1)},${formatRecordJson(record).slice(1)}`;
}

/** The end: totals, and how each channel ended. `ok` is what the exit code says. */
export function formatDemoSummary(model: ViewModel): string {
  const { totals } = model;
  return JSON.stringify({
    atMs: Math.round(model.elapsedMs),
    kind: "summary",
    ok: hasPassed(model),
    conserved: totals.conserved,
    rebalances: totals.rebalanceCount,
    rebalancedSat: Number(totals.rebalancedSat),
    feesMsat: Number(totals.feesMsat),
    failures: totals.failureCount,
    medianMs: totals.medianMs,
    trafficPayments: totals.trafficCount,
    trafficSat: Number(totals.trafficSat),
    channels: model.channels.map((channel) => ({
      name: channel.name,
      watched: isWatched(channel),
      insideDeadzone: isInsideDeadzone(channel),
      firstShare: Math.round(firstShare(channel) * 10_000) / 10_000,
      firstSat: Number(channel.firstSat),
      secondSat: Number(channel.secondSat),
      unsettledSat: Number(channel.unsettledSat),
      rebalances: channel.rebalanceCount,
    })),
  });
}
