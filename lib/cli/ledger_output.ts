import { formatSat, type Sat, sat } from "../domain/amounts.ts";
import { formatShortChannelId } from "../domain/ids.ts";
import type {
  Amounts,
  ChannelReport,
  LedgerReport,
  LndReport,
  PairReport,
  PeerReport,
  TheirReport,
} from "./ledger_report.ts";
import { formatTime, type OutputOptions, shortKey, toJson } from "./output.ts";
import { type Paint, painter, printable } from "./paint.ts";
import { mostColumns, wrap } from "./wrap.ts";

/** The report as one JSON object on one line: amounts as numbers, times as ISO 8601. */
export function formatLedgerJson(report: LedgerReport): string {
  return toJson(withTimes(report));
}

/** `…AtWallMs` and `sinceWallMs` become `…At` and `since`. */
function withTimes(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withTimes);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, inner]) =>
      name.endsWith("WallMs")
        ? [name.slice(0, -"WallMs".length), new Date(Number(inner)).toISOString()]
        : [name, withTimes(inner)]
    ),
  );
}

/** The first line of the CSV form. Columns are only ever added at the end. */
export const ledgerCsvColumns = [
  "kind",
  "peer",
  "peer_alias",
  "node",
  "node_alias",
  "channel_id",
  "channel_point",
  "net_sat",
  "since",
  "paid_sat",
  "received_sat",
  "reserved_sat",
  "unknown_sat",
  "foreign_sat",
  "limit_sat",
  "left_sat",
  "payments",
  "first_payment",
  "last_payment",
  "lnd_verdict",
  "lnd_paid_sat",
  "lnd_received_sat",
  "theirs_verdict",
  "theirs_paid_sat",
  "theirs_received_sat",
  "theirs_at",
] as const;

type Row = Partial<Record<typeof ledgerCsvColumns[number], string | number | bigint | undefined>>;

/**
 * RFC 4180: a `peer` line for each node of another operator, a `pair` line for each node of yours that deals with it, a `channel`
 * line for each channel between the two, and an `own` line for each channel between nodes of yours.
 */
export function formatLedgerCsv(report: LedgerReport): string {
  const rows: Row[] = [];
  for (const peer of report.peers) {
    const who = { peer: peer.peer, peer_alias: peer.alias };
    rows.push({
      ...{ kind: "peer", ...who, ...amountColumns(peer) },
      ...{ since: isoOf(peer.sinceWallMs) },
      ...(peer.limitIsKnown ? { limit_sat: peer.limitSat, left_sat: peer.leftSat } : {}),
    });
    for (const pair of peer.pairs) {
      const { lnd, theirs } = pair;
      const ours = { node: pair.node, node_alias: pair.alias };
      rows.push({
        ...{ kind: "pair", ...who, ...ours, ...amountColumns(pair) },
        ...{ lnd_verdict: lnd.verdict, theirs_verdict: theirs.verdict },
        ...(lnd.verdict === "unread" ? {} : { lnd_paid_sat: lnd.paidSat, lnd_received_sat: lnd.receivedSat }),
        ...(theirs.verdict === "none" ? {} : {
          theirs_paid_sat: theirs.paidSat,
          theirs_received_sat: theirs.receivedSat,
          theirs_at: isoOf(theirs.saidAtWallMs),
        }),
      });
      for (const channel of pair.channels) rows.push({ kind: "channel", ...who, ...ours, ...channelColumns(channel) });
    }
  }
  for (const channel of report.own) {
    const { node, peer } = channel;
    const aliases = { peer_alias: aliasOf(report, peer), node_alias: aliasOf(report, node) };
    rows.push({ kind: "own", peer, node, ...aliases, ...channelColumns(channel) });
  }
  const lines = rows.map((row) => ledgerCsvColumns.map((column) => csvField(row[column])).join(","));
  return [ledgerCsvColumns.join(","), ...lines, ""].join("\r\n");
}

function amountColumns(amounts: Amounts): Row {
  return {
    net_sat: amounts.netSat,
    paid_sat: amounts.paidSat,
    received_sat: amounts.receivedSat,
    reserved_sat: amounts.reservedSat,
    unknown_sat: amounts.unknownSat,
    foreign_sat: amounts.foreignSat,
    payments: amounts.payments,
    first_payment: isoOf(amounts.firstAtWallMs),
    last_payment: isoOf(amounts.lastAtWallMs),
  };
}

function channelColumns(channel: ChannelReport): Row {
  return {
    channel_id: channel.channelId && formatShortChannelId(channel.channelId),
    channel_point: channel.channelPoint,
    ...amountColumns(channel),
    limit_sat: channel.limitSat,
    left_sat: channel.leftSat,
  };
}

function isoOf(wallMs: number | undefined): string | undefined {
  return wallMs === undefined ? undefined : new Date(wallMs).toISOString();
}

/** A text that a spreadsheet would take for a formula (an alias is anybody's word) is led by an apostrophe. Numbers may be negative. */
export function csvField(value: string | number | bigint | undefined): string {
  if (value === undefined) return "";
  if (typeof value !== "string") return String(value);
  const text = printable(value);
  const safe = /^[\s'"]*[=+\-@|%\t\r＝＋－＠]/u.test(text) ? `'${text}` : text;
  return /[",\r\n]|^\s|\s$/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** For people, within 80 columns. */
export function formatLedgerText(report: LedgerReport, options: OutputOptions): string {
  const paint = painter(options.colour);
  const lines: string[] = [];
  for (const { socket, problem } of report.nodes) {
    if (problem === undefined) continue;
    lines.push(...wrap(`LND at ${socket} can't be read: ${printable(problem)}`).map((line) => paint("yellow", line)));
  }
  if (report.peers.length === 0) lines.push("No payment to or from another operator's node");
  for (const peer of report.peers) {
    const name = wrap(`${nameOf(peer.alias, peer.peer)}: ${owes(peer)}`);
    lines.push("", ...name.map((line) => paint("bold", line)), `  ${peer.peer}`);
    const unless = peer.limitIsKnown
      ? ""
      : ", if no alias in limits.idSettings is that of your node, which doesn't answer";
    lines.push(...wrap(`  limit ${formatSat(peer.limitSat)} sat, ${formatSat(peer.leftSat)} left${unless}`));
    for (const pair of peer.pairs) lines.push(...pairLines(pair, paint));
  }
  const { owedToYouSat, limitSat, leftSat, youOweSat } = report.total;
  lines.push(
    "",
    ...wrap(`Others owe you ${formatSat(owedToYouSat)} sat (limit ${formatSat(limitSat)}, ${formatSat(leftSat)} left)`),
    `You owe others ${formatSat(youOweSat)} sat`,
  );
  if (report.own.length > 0) lines.push("", "Between your own nodes (bookkeeping)");
  for (const channel of report.own) {
    const { node, peer, payments } = channel;
    lines.push(
      ...wrap(`  ${nameOf(aliasOf(report, node), node)} with ${nameOf(aliasOf(report, peer), peer)}`),
      ...wrap(`    channel ${channelName(channel)}, ${counted(payments)}, ${amountsText(channel)}`),
    );
  }
  return `${lines.join("\n").trim()}\n`;
}

function owes({ netSat, sinceWallMs }: PeerReport): string {
  const since = sinceWallMs === undefined ? "" : ` since ${formatTime(sinceWallMs).slice(0, 16)}`;
  if (netSat > 0n) return `owes you ${formatSat(netSat)} sat${since}`;
  if (netSat < 0n) return `you owe it ${formatSat(sat(-netSat))} sat${since}`;
  return "nobody owes anything";
}

function pairLines(pair: PairReport, paint: Paint): string[] {
  const { lnd, theirs } = pair;
  const lines = [
    ...wrap(`  by your ${nameOf(pair.alias, pair.node)}: ${counted(pair.payments)}${period(pair)}`),
    `    ${"".padEnd(8)}${"paid".padStart(16)}${"received".padStart(16)}`,
    ...rowLines("log", pair.paidSat, pair.receivedSat, openText(pair)),
  ];
  if (lnd.verdict === "unread") lines.push(...rowLines("LND", undefined, undefined, "not read"));
  else lines.push(...verdictLines("LND", lnd.paidSat, lnd.receivedSat, lnd, paint));
  if (theirs.verdict === "none") {
    lines.push(...rowLines("theirs", undefined, undefined, theirs.meaning));
  } else {
    // Their columns, seen from here: what they have received is what you have paid.
    lines.push(
      ...verdictLines("theirs", theirs.receivedSat, theirs.paidSat, theirs, paint),
      `${rowIndent}signed ${formatTime(theirs.saidAtWallMs).slice(0, 16)} UTC`,
    );
  }
  for (const channel of pair.channels) {
    const limit = channel.limitSat === undefined
      ? ""
      : `  limit ${formatSat(channel.limitSat)}, ${formatSat(channel.leftSat!)} left`;
    lines.push(...wrap(`    channel ${channelName(channel).padEnd(15)} ${amountsText(channel)}${limit}`));
  }
  return lines;
}

const rowIndent = " ".repeat(12);

/** Two amounts and what is to be said of them, beside them or below. */
function rowLines(
  who: string,
  paid: Sat | undefined,
  received: Sat | undefined,
  rest: string,
  colour = (text: string) => text,
): string[] {
  const head = `    ${who.padEnd(8)}${number(paid)}${number(received)}`;
  if (rest === "") return [head];
  if (head.length + 2 + rest.length <= mostColumns) return [`${head}  ${colour(rest)}`];
  return [head.trimEnd(), ...wrap(`${rowIndent}${rest}`, rowIndent).map(colour)];
}

function verdictLines(
  who: string,
  paid: Sat,
  received: Sat,
  report: Exclude<LndReport, { verdict: "unread" }> | Exclude<TheirReport, { verdict: "none" }>,
  paint: Paint,
): string[] {
  const { verdict, paidDifferenceSat, receivedDifferenceSat, meaning } = report;
  if (verdict === "agrees") return rowLines(who, paid, received, "agrees", (text) => paint("green", text));
  const by = `${verdict} by ${signed(paidDifferenceSat)} and ${signed(receivedDifferenceSat)} sat`;
  const ink = verdict === "differs" || verdict === "forged" ? "boldRed" : "yellow";
  const why = meaning === "" ? [] : wrap(`${rowIndent}${printable(meaning)}`, rowIndent);
  return [...rowLines(who, paid, received, by, (text) => paint(ink, text)), ...why];
}

function openText({ reservedSat, unknownSat, foreignSat }: Amounts): string {
  const parts =
    ([["reserved", reservedSat], ["unknown", unknownSat], ["not paid by this log's writer", foreignSat]] as const)
      .filter(([, amountSat]) => amountSat > 0n).map(([what, amountSat]) => `${formatSat(amountSat)} ${what}`);
  return parts.join(", ");
}

function amountsText(amounts: Amounts): string {
  const open = openText(amounts);
  return `paid ${formatSat(amounts.paidSat)}, received ${formatSat(amounts.receivedSat)}${
    open === "" ? "" : `, ${open}`
  }, ` +
    `net ${signed(amounts.netSat)}`;
}

function period({ firstAtWallMs, lastAtWallMs }: Amounts): string {
  if (firstAtWallMs === undefined || lastAtWallMs === undefined) return "";
  return `, ${formatTime(firstAtWallMs).slice(0, 10)} to ${formatTime(lastAtWallMs).slice(0, 10)}`;
}

function channelName({ channelId }: ChannelReport): string {
  return channelId === undefined ? "not known" : formatShortChannelId(channelId);
}

/** Of a node of yours, as far as it answers. */
function aliasOf({ nodes }: LedgerReport, key: string): string {
  return nodes.find(({ pubkey }) => pubkey === key)?.alias ?? "";
}

function counted(payments: number): string {
  return `${payments} ${payments === 1 ? "payment" : "payments"}`;
}

function nameOf(alias: string, key: string): string {
  const shown = printable(alias);
  return shown === "" ? shortKey(key) : `${shown} (${shortKey(key)})`;
}

function number(amountSat: Sat | undefined): string {
  return (amountSat === undefined ? "" : formatSat(amountSat)).padStart(16);
}

function signed(amountSat: Sat): string {
  return amountSat < 0n ? `-${formatSat(sat(-amountSat))}` : formatSat(amountSat);
}
