/** Entry of the log worker: reads a log beside a running daemon, and can write nothing. */
import { readRecords } from "../audit/log_reader.ts";
import type { AuditConfig } from "../config/config.ts";
import { InvariantError } from "../domain/errors.ts";
import { servePort } from "./serve_port.ts";

type PlainRecord = Readonly<Record<string, unknown>>;

let records: AsyncGenerator<PlainRecord> | undefined;
let upcoming: Promise<IteratorResult<PlainRecord>> | undefined;

servePort({
  open(config: AuditConfig, log: "events" | "transactions", follow: boolean): void {
    records = readRecords(config, log, { follow });
  },
  /** The next records, `most` of them at the most; waits for the first one only. Empty at the end. */
  async next(most: number): Promise<PlainRecord[]> {
    if (records === undefined) throw new InvariantError("no log is open");
    const batch: PlainRecord[] = [];
    while (batch.length < most) {
      upcoming ??= records.next();
      // What is not there yet must not hold back what is, nor what can't be read: a timer's turn tells the two apart.
      const late = new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined)));
      const readable = upcoming.catch(() => undefined);
      const result = batch.length === 0 ? await upcoming : await Promise.race([readable, late]);
      if (result === undefined) break;
      upcoming = undefined;
      if (result.done) break;
      batch.push(result.value);
    }
    return batch;
  },
});
