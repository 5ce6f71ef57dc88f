import type { LogRepair } from "../audit/log_repair.ts";
import { wrap } from "./wrap.ts";

const names = { transactions: "transaction log", events: "event log" } as const;

/** What was found, and what was done about it, for people. */
export function formatRepair(found: readonly LogRepair[], dryRun: boolean): string {
  const isDamaged = found.some(({ problem }) => problem !== undefined);
  const isChanged = !dryRun && (isDamaged || found.some(({ ended }) => ended));
  const end = isChanged
    ? "Now start Tightrope as usual"
    : isDamaged
    ? "Nothing was changed. Without --dry-run it is repaired"
    : "There is nothing to repair";
  return [...found.flatMap((log) => logLines(log, dryRun)), end, ""].join("\n");
}

function logLines({ log, problem, records, setAside, ended }: LogRepair, dryRun: boolean): string[] {
  if (problem === undefined) {
    const endedNow = ended ? ". A repair that was cut short is ended" : "";
    return wrap(`The ${names[log]} is whole: ${counted(records)}${endedNow}`, "  ");
  }
  const lines = [...wrap(`The ${names[log]} can't be used. ${problem}`, "  ")];
  if (log === "transactions") {
    lines.push(
      ...wrap(
        `  ${counted(records)} of it can be read${
          dryRun ? "" : " and kept"
        }. What is missing is read from your Lightning ` +
          "nodes at the next start: all that they have paid to rebalance counts as spent before anything is paid. What you " +
          "received meanwhile can't be seen there, so that others may seem to owe you more than they do.",
        "  ",
      ),
    );
  } else {
    lines.push(...wrap("  No limit is counted from it; a new one begins empty.", "  "));
  }
  if (dryRun) return lines;
  const aside = setAside === undefined ? "" : ` The damaged one lies beside it as ${setAside}; nothing was deleted.`;
  return [...lines, ...wrap(`  It was begun anew.${aside}`, "  ")];
}

function counted(records: number): string {
  return `${records} ${records === 1 ? "record" : "records"}`;
}
