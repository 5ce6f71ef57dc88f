import type { EventRecord, TransactionRecord } from "../audit/record.ts";

/**
 * A line of a log, as it stands on disk, in the form that the formatters take. Values that were masked stay as they are:
 * they print as written.
 */
export function fromStored(json: Readonly<Record<string, unknown>>): EventRecord | TransactionRecord {
  const { v: _version, at, expiresAt, ...rest } = json;
  const record: Record<string, unknown> = { atWallMs: Date.parse(String(at)), ...rest };
  if (typeof expiresAt === "string") record.expiresAtWallMs = Date.parse(expiresAt);
  for (const amount of ["amountSat", "feeMsat"]) {
    const text = record[amount];
    if (typeof text === "string" && /^\d+$/.test(text)) record[amount] = BigInt(text);
  }
  // The decoder has checked the fields that every record of its kind has.
  return record as unknown as EventRecord | TransactionRecord;
}
