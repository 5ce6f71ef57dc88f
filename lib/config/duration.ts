const unitMs = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** What a duration may look like, for messages. */
export const durationForms = "a time such as 30 (seconds), 500ms, 60s, 10m, 4h or 1d";

/**
 * Reads a duration: a plain number is seconds, else a number and one of ms, s, m, h, d with nothing between them.
 * @returns milliseconds, or undefined when the text is anything else (`"60 s"`, `1h30m`, `-5`, less than 1 ms apart)
 */
export function parseDurationMs(text: string): number | undefined {
  const match = /^(\d{1,12}(?:\.\d{1,6})?)(ms|s|m|h|d)?$/.exec(text);
  if (match === null) return undefined;
  const unit = (match[2] ?? "s") as keyof typeof unitMs;
  // Through micro-units: 0.1 s is 100 ms exactly, not 100.00000000000001.
  const ms = Math.round(Number(match[1]) * 1e6) * unitMs[unit] / 1e6;
  return Number.isSafeInteger(ms) ? ms : undefined;
}

/** `14400000` -> `4h`, in the largest unit that divides it. */
export function formatDurationMs(durationMs: number): string {
  for (const unit of ["d", "h", "m", "s"] as const) {
    if (durationMs !== 0 && durationMs % unitMs[unit] === 0) return `${durationMs / unitMs[unit]}${unit}`;
  }
  return durationMs === 0 ? "0s" : `${durationMs}ms`;
}
