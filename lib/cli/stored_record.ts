import type { EventRecord, LogRecord } from "../audit/record.ts";

/**
 * A line of a log, as it stands on disk, in the form that the formatters take. Values that were masked stay as they are:
 * they print as written.
 */
export function fromStored(json: Readonly<Record<string, unknown>>): EventRecord | LogRecord {
  const { v: _version, at, ...rest } = json;
  const record: Record<string, unknown> = { atWallMs: Date.parse(String(at)), ...rest };
  for (const time of ["expiresAt", "paidAt", "historyFrom", "saidAt"]) {
    const text = record[time];
    if (typeof text !== "string") continue;
    delete record[time];
    record[`${time}WallMs`] = Date.parse(text);
  }
  for (const amount of ["amountSat", "feeMsat", "paidSat", "receivedSat", "openSat"]) {
    const text = record[amount];
    if (typeof text === "string" && /^\d+$/.test(text)) record[amount] = BigInt(text);
  }
  // The decoder has checked the fields that every record of its kind has.
  return record as unknown as EventRecord | LogRecord;
}
