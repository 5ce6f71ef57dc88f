/** A line of results. */
export interface Row {
  readonly name: string;
  readonly cells: readonly string[];
}

/** The value that a share of `p` of the values doesn't exceed (nearest rank). */
export function percentile(values: readonly number[], p: number): number {
  if (values.length === 0) throw new RangeError("there is no percentile of nothing");
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)]!;
}

/** p50 and p99 of milliseconds, to a tenth. */
export function spread(valuesMs: readonly number[]): readonly [string, string] {
  return [percentile(valuesMs, 0.5).toFixed(1), percentile(valuesMs, 0.99).toFixed(1)];
}

/** Columns side by side: the first to the left, the others to the right. */
export function renderTable(header: Row, rows: readonly Row[]): string {
  const lines = [header, ...rows].map((row) => [row.name, ...row.cells]);
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => line[column]?.length ?? 0)));
  return lines.map((line) =>
    line.map((cell, column) => column === 0 ? cell.padEnd(widths[0]!) : cell.padStart(widths[column]!)).join("  ")
  ).join("\n");
}
