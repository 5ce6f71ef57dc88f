import { type EventRecord, isNote, type LogRecord, type NoteRecord, type TransactionRecord } from "../audit/record.ts";
import { formatSat } from "../domain/amounts.ts";
import { messageOf, TightropeError } from "../domain/errors.ts";
import { formatShortChannelId, parseShortChannelId } from "../domain/ids.ts";
import type { LogFields, LogLevel } from "../env/logger.ts";
import type { LogFormat } from "./args.ts";
import { type Ink, painter, printable } from "./paint.ts";

export interface OutputOptions {
  /** Only for a terminal, and never with NO_COLOR. */
  readonly colour: boolean;
}

/** A line for stderr. */
export interface LogLine {
  readonly atWallMs: number;
  readonly level: LogLevel;
  /** A whole sentence. */
  readonly message: string;
  readonly fields?: LogFields;
}

const levels: readonly LogLevel[] = ["debug", "info", "warn", "error"];
const levelNames: Readonly<Record<LogLevel, string>> = { debug: "DBG", info: "INF", warn: "WRN", error: "ERR" };
const levelInks: Readonly<Record<LogLevel, Ink>> = { debug: "dim", info: "green", warn: "yellow", error: "boldRed" };

/** Whether a line of this level is shown when `least` is the least that is. */
export function isShown(level: LogLevel, least: LogLevel): boolean {
  return levels.indexOf(level) >= levels.indexOf(least);
}

/** `2026-01-01 12:00:00.000`, in UTC; the form of lnd's logs. */
export function formatTime(wallMs: number): string {
  return new Date(wallMs).toISOString().replace("T", " ").replace("Z", "");
}

/** `02eec7245d…` */
export function shortKey(key: string): string {
  return key.length <= 12 ? key : `${key.slice(0, 10)}…`;
}

/** `800000x1x0`; what isn't an id (it was masked) as it is. */
function channelText(channelId: string): string {
  const id = parseShortChannelId(channelId);
  return id === undefined ? printable(channelId) : formatShortChannelId(id);
}

/** One log line, without its line break. JSON: one object with `at`, `level`, `message` and the fields. */
export function formatLogLine(line: LogLine, format: LogFormat, options: OutputOptions): string {
  if (format === "json") {
    const at = new Date(line.atWallMs).toISOString();
    return toJson({ at, level: line.level, message: line.message, ...line.fields });
  }
  const paint = painter(options.colour);
  const fields = Object.entries(line.fields ?? {}).filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${fieldText(value)}`);
  const head = `${paint("dim", formatTime(line.atWallMs))} [${paint(levelInks[line.level], levelNames[line.level])}]`;
  const tail = fields.length === 0 ? "" : ` ${paint("dim", fields.join(" "))}`;
  return `${head} ${printable(line.message)}${tail}`;
}

function fieldText(value: unknown): string {
  const text = printable(String(value));
  return /^[^\s"=]+$/.test(text) ? text : JSON.stringify(text);
}

/** An event as a log line: its sentence, and the ids by which it is found again. */
export function formatEventLine(record: EventRecord, format: LogFormat, options: OutputOptions): string {
  if (format === "json") return formatRecordJson(record);
  const channel = record.channelId && channelText(record.channelId);
  const fields: LogFields = {
    // Most sentences name it.
    channel: channel !== undefined && record.message.split(" ").some((word) => word.replace(/[.:,]$/, "") === channel)
      ? undefined
      : channel,
    hash: record.paymentHash && shortKey(record.paymentHash),
  };
  return formatLogLine(
    { atWallMs: record.atWallMs, level: record.level, message: record.message, fields },
    "text",
    options,
  );
}

/**
 * A record as one JSON object on one line: `at` (ISO 8601, UTC), `kind`, `role`, `channelPoint`, `channelId` (the uint64 as a
 * decimal string), `amountSat`, `feeMsat`, `paymentHash`, `peer`, `reason` where they apply, then what else it holds.
 * Amounts are JSON numbers: every amount of satoshis is exact as one. A `feeMsat` above 2^53 would be a string.
 */
export function formatRecordJson(record: EventRecord | LogRecord): string {
  const first = ["kind", "role", "channelPoint", "channelId", "amountSat", "feeMsat", "paymentHash", "peer", "reason"];
  const out: Record<string, unknown> = { at: new Date(record.atWallMs).toISOString() };
  const source: Readonly<Record<string, unknown>> = { ...record, atWallMs: undefined };
  for (const name of [...first, ...Object.keys(source).filter((name) => !first.includes(name))]) {
    const value = source[name];
    if (value === undefined) continue;
    if (name.endsWith("WallMs")) out[name.slice(0, -"WallMs".length)] = new Date(Number(value)).toISOString();
    else out[name] = value;
  }
  return toJson(out);
}

/** Amounts as JSON numbers as long as they are exact; what is above 2^53 as a decimal string. */
export function toJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) => {
    if (typeof part !== "bigint") return part;
    const number = Number(part);
    return Number.isSafeInteger(number) ? number : part.toString();
  });
}

/** A record of either log as one line for people. */
export function formatRecordText(record: EventRecord | LogRecord, options: OutputOptions): string {
  if ("message" in record) return formatEventText(record, options);
  return isNote(record) ? formatNoteText(record, options) : formatTransactionText(record, options);
}

function formatEventText(record: EventRecord, options: OutputOptions): string {
  const paint = painter(options.colour);
  const ids = [
    record.channelId && channelText(record.channelId),
    record.peer && shortKey(record.peer),
    record.paymentHash && `hash ${shortKey(record.paymentHash)}`,
  ].filter((text) => text !== undefined);
  const tail = ids.length === 0 ? "" : `  ${paint("dim", ids.join("  "))}`;
  const time = paint("dim", formatTime(record.atWallMs));
  return `${time}  ${paint(levelInks[record.level], record.kind.padEnd(18))}  ${printable(record.message)}${tail}`;
}

/** A line about the log itself. */
function formatNoteText(record: NoteRecord, options: OutputOptions): string {
  const paint = painter(options.colour);
  const kind = paint(record.kind === "repaired" ? "boldRed" : "yellow", record.kind.padEnd(9));
  return `${paint("dim", formatTime(record.atWallMs))}  log    ${kind}  ${printable(noteSentence(record))}`;
}

function noteSentence(record: NoteRecord): string {
  switch (record.kind) {
    case "clock": {
      const seconds = Math.round(Math.abs(record.jumpMs) / 1_000);
      return `the clock was set ${seconds} s ${record.jumpMs > 0 ? "forward" : "back"}`;
    }
    case "repaired": {
      const aside = record.setAside === "" ? "" : `; the damaged log lies in ${record.setAside}`;
      return `begun anew; records kept: ${record.keptRecords}${aside}. What was wrong: ${record.reason}`;
    }
    case "rebuilt":
      return `all payments that node ${shortKey(record.node)} lists are in this log`;
    case "acknowledged":
      return `the operator has seen that LND says otherwise of payment ${shortKey(record.paymentHash)}`;
    case "statement":
      return `${shortKey(record.node)} says that it has paid ${shortKey(record.peer)} ${
        formatSat(record.paidSat)
      } sat and received ${formatSat(record.receivedSat)} sat`;
  }
}

const transactionInks: Readonly<Record<TransactionRecord["kind"], Ink>> = {
  intent: "cyan",
  settled: "green",
  failed: "yellow",
  unknown: "boldRed",
  invoiced: "cyan",
  received: "green",
  cancelled: "yellow",
  foreign: "boldRed",
};

function formatTransactionText(record: TransactionRecord, options: OutputOptions): string {
  const paint = painter(options.colour);
  const parts = [
    paint("dim", formatTime(record.atWallMs)),
    record.role,
    paint(transactionInks[record.kind], record.kind.padEnd(9)),
    `${formatSat(record.amountSat)} sat`.padStart(15),
    (record.channelId === undefined ? "channel unknown" : channelText(record.channelId)).padEnd(15),
    // Payments go to the peer, what we receive comes from it.
    `${record.role === "payer" ? "to  " : "from"} ${shortKey(record.peer)}${record.ownPeer ? " (own)" : ""}`.padEnd(22),
    paint("dim", `hash ${shortKey(record.paymentHash)}`),
  ];
  if (record.kind === "settled") {
    parts.push(record.feeMsat === 0n ? paint("dim", "fee 0") : paint("boldRed", `fee ${record.feeMsat} msat`));
  }
  if (record.kind === "foreign") {
    parts.push(paint("boldRed", record.pending ? "pending, not in this log" : "not in this log"));
  }
  if ("reason" in record) parts.push(printable(record.reason));
  return parts.join("  ").trimEnd();
}

/**
 * Anything thrown, for the operator, ending in a line break. A TightropeError is what happened and what to do; anything else
 * is a bug of ours and comes with its stack.
 */
export function formatError(error: unknown, options: OutputOptions): string {
  const paint = painter(options.colour);
  if (error instanceof TightropeError) {
    const lines = error.message.split("\n").map((line) => paint("red", printable(line)));
    return `${lines.join("\n")}\n${printable(error.remedy)}\n`;
  }
  const stack = error instanceof Error && error.stack !== undefined ? error.stack : messageOf(error);
  return `${paint("boldRed", "This is a bug in Tightrope; it stopped so that it can't cost money.")}\n${stack}\n` +
    "Please report it with these lines.\n";
}
