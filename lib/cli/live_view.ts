import { formatSat } from "../domain/amounts.ts";
import { unreachable } from "../domain/errors.ts";
import { type Ink, painter } from "./paint.ts";
import { cut, fit, lineWidth, paintLine, type Segment, segment, spread, type TextLine } from "./text_line.ts";
import {
  firstShare,
  hasPassed,
  isInsideDeadzone,
  isWatched,
  type ViewChannel,
  type ViewMessage,
  type ViewModel,
  type ViewPayment,
} from "./view_model.ts";

export interface FrameOptions {
  readonly columns: number;
  readonly rows: number;
  readonly colour: boolean;
}

const escape = "\u001b";

/** What to write before the first frame: the alternate screen, so that the operator's own comes back, and no cursor. */
export const enterScreen = `${escape}[?1049h${escape}[?25l`;

/** What to write after the last frame, and on every way out. */
export const leaveScreen = `${escape}[?25h${escape}[?1049l`;

// Synchronised output: a terminal that knows it shows the whole frame at once, any other ignores it.
const beginFrame = `${escape}[?2026h${escape}[H`;
const endFrame = `${escape}[J${escape}[?2026l`;
const clearToEndOfLine = `${escape}[K`;

/** One frame for a terminal: from the top left corner, each line cleared to its end, never scrolling. */
export function renderFrame(model: ViewModel, options: FrameOptions): string {
  const lines = renderLines(model, options);
  return `${beginFrame}${lines.map((line) => `${line}${clearToEndOfLine}`).join("\r\n")}${endFrame}`;
}

/** The frame's lines: at most `rows`, each narrower than `columns` (a full line would lose its last character to the clearing). */
export function renderLines(model: ViewModel, options: FrameOptions): string[] {
  const columns = Math.max(options.columns - 1, 20);
  const rows = Math.max(options.rows, 6);
  const head = headLines(model, columns);
  const foot = footLines(model, columns);
  const room = rows - head.length - foot.length;
  const channels = channelLines(model, columns, room);
  const lists = listLines(model, columns, room - channels.length);
  const filler: TextLine[] = Array.from({ length: Math.max(room - channels.length - lists.length, 0) }, () => []);
  const paint = painter(options.colour);
  return [...head, ...channels, ...lists, ...filler, ...foot].slice(0, rows)
    .map((line) => paintLine(cut(line, columns), paint));
}

const operatorInks: readonly Ink[] = ["cyan", "magenta", "yellow", "blue"];

function operatorOf(model: ViewModel, node: string): { readonly name: string; readonly ink: Ink | undefined } {
  const index = model.operators.findIndex((operator) => operator.nodes.includes(node));
  return { name: model.operators[index]?.name ?? "", ink: operatorInks[index] };
}

/** A node, or an operator, in the operator's colour. */
function nodeSegment(model: ViewModel, name: string): Segment {
  const index = model.operators.findIndex((operator) => operator.name === name || operator.nodes.includes(name));
  return segment(name, operatorInks[index]);
}

function headLines(model: ViewModel, columns: number): TextLine[] {
  const number = Math.max(model.acts.findLastIndex((act) => act.atMs <= model.elapsedMs), 0);
  const act = model.acts[number];
  const total = model.totalMs === undefined ? "" : ` / ${clockText(model.totalMs)}`;
  const time = segment(`${clockText(model.elapsedMs)}${total}`, "bold");
  const title = [segment(" Tightrope", "bold"), segment("  two owners, five simulated Lightning nodes", "dim")];
  const story = act === undefined
    ? []
    : [segment(` ${number + 1}/${model.acts.length} `, "bold"), segment(` ${act.title}`, "bold")];
  return [spread(title, [time], columns), progressLine(model, columns), story, operatorsLine(model)];
}

/** The time that has passed, with a notch where each act begins. */
function progressLine(model: ViewModel, columns: number): TextLine {
  const { totalMs } = model;
  const width = columns - 1;
  if (totalMs === undefined) return [segment(` ${"─".repeat(width)}`, "dim")];
  const at = (ms: number) => Math.min(Math.round((ms / totalMs) * width), width);
  const notches = new Set(model.acts.map((act) => at(act.atMs)));
  const passed = at(model.elapsedMs);
  const draw = (from: number, to: number, line: string, notch: string) =>
    Array.from({ length: Math.max(to - from, 0) }, (_, i) => notches.has(from + i) && from + i > 0 ? notch : line)
      .join("");
  return [
    segment(" "),
    segment(draw(0, passed, "━", "┿"), "green"),
    segment(draw(passed, width, "─", "┼"), "dim"),
  ];
}

const operatorStates = {
  starting: ["◌", "yellow"],
  running: ["●", "green"],
  restarting: ["◌", "yellow"],
  stopped: ["○", "dim"],
} as const;

function operatorsLine(model: ViewModel): TextLine {
  return model.operators.flatMap((operator, index) => {
    const [mark, ink] = operatorStates[operator.state];
    const peers = operator.peerCount === 0
      ? "no peers"
      : `${operator.peerCount} peer${operator.peerCount === 1 ? "" : "s"}`;
    const state = operator.state === "running" ? `, ${peers}` : `, ${operator.state}`;
    return [
      segment(index === 0 ? " " : "    "),
      segment(mark, ink),
      segment(` ${operator.name}`, operatorInks[index]),
      segment(`: ${operator.nodes.join(" ")}${state}`, "dim"),
    ];
  });
}

/** `65000` -> `1:05` */
function clockText(ms: number): string {
  const seconds = Math.floor(ms / 1000);
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

const stateColumns = 23;
const mostBarColumns = 121;
/** Lines that the lists below should have at least: a blank, their titles, two entries. */
const leastListRows = 4;
const paymentColumns = 37;
const leastMessageColumns = 40;
const mostMessageColumns = 72;

function channelLines(model: ViewModel, columns: number, room: number): TextLine[] {
  const { channels } = model;
  const roomy = 3 * channels.length + 1 + leastListRows + 2 <= room;
  const tight = 2 * channels.length + 1 > room;
  const most = tight ? Math.max(room - 1, 0) : channels.length;
  const lines: TextLine[] = [[]];
  for (const [index, channel] of channels.slice(0, most).entries()) {
    const [bar, scale] = channelRows(model, channel, columns);
    if (roomy && index > 0) lines.push([]);
    lines.push(bar);
    if (!tight) lines.push(scale);
  }
  if (channels.length > most && most > 0) {
    lines[lines.length - 1] = [segment(` … and ${channels.length - most + 1} more channels`, "dim")];
  }
  return lines;
}

/** A channel: the bar with its state, and below it the amounts, the deadzone and the balance point. */
function channelRows(model: ViewModel, channel: ViewChannel, columns: number): [TextLine, TextLine] {
  const names = model.channels.flatMap(({ first, second }) =>
    [first, second].map((node) => `${operatorOf(model, node).name} ${node}`.trim().length)
  );
  const nameColumns = Math.max(...names, 1);
  const room = Math.min(Math.max(columns - 2 * nameColumns - stateColumns - 4, 11), mostBarColumns);
  // An odd width has a column in its middle, where most balance points are.
  const barColumns = room - 1 + room % 2;
  const left = operatorOf(model, channel.first);
  const right = operatorOf(model, channel.second);
  const leftName = [segment(`${left.name} `.trimStart(), "dim"), segment(channel.first, left.ink)];
  const rightName = [segment(channel.second, right.ink), segment(` ${right.name}`.trimEnd(), "dim")];
  const indent = segment(" ".repeat(nameColumns - lineWidth(leftName) + 1));
  const [state, detail] = stateTexts(channel);
  return [
    [
      indent,
      ...leftName,
      segment(" "),
      ...bar(channel, barColumns, left.ink, right.ink),
      segment(" "),
      ...fit(rightName, nameColumns + 2),
      state,
    ],
    [
      segment(" ".repeat(nameColumns + 2)),
      ...scale(channel, barColumns),
      segment(" ".repeat(nameColumns + 3)),
      detail,
    ],
  ];
}

const eighths = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];

function bar(channel: ViewChannel, width: number, firstInk: Ink | undefined, secondInk: Ink | undefined): TextLine {
  const share = firstShare(channel);
  const total = channel.firstSat + channel.secondSat + channel.unsettledSat;
  const parts = Math.round(share * width * 8);
  if (channel.unsettledSat > 0n) {
    const full = Math.round(parts / 8);
    // However small, what is under way is seen.
    const moving = Math.min(
      Math.max(Math.round(Number(channel.unsettledSat) / Number(total) * width), 1),
      width - full,
    );
    return [
      segment("█".repeat(full), firstInk),
      segment("▒".repeat(moving), "boldGreen"),
      segment("░".repeat(width - full - moving), secondInk),
    ];
  }
  const full = Math.floor(parts / 8);
  const tip = eighths[parts % 8]!;
  return [
    segment("█".repeat(full) + tip, firstInk),
    segment("░".repeat(width - full - [...tip].length), secondInk),
  ];
}

/** `2,600,000    ╰────┴────╯    2,400,000`: amounts under their ends, the deadzone with the balance point in it. */
function scale(channel: ViewChannel, width: number): TextLine {
  const column = (index: number) => Math.min(Math.max(index, 0), width - 1);
  const low = column(Math.floor((channel.balancePoint - channel.deadzone) * width));
  const point = column(Math.floor(channel.balancePoint * width));
  const high = column(Math.ceil((channel.balancePoint + channel.deadzone) * width) - 1);
  const zone = Array.from({ length: high - low + 1 }, (_, i) => {
    const at = low + i;
    return at === point ? "┴" : at === low ? "╰" : at === high ? "╯" : "─";
  }).join("");
  const amount = (text: string, room: number) => text.length < room ? text : "";
  const first = amount(formatSat(channel.firstSat), low);
  const second = amount(formatSat(channel.secondSat), width - high - 1);
  const ink = !isWatched(channel) ? "dim" : isInsideDeadzone(channel) ? "green" : "yellow";
  return [
    segment(first.padEnd(low), "dim"),
    segment(zone, ink),
    segment(second.padStart(width - high - 1), "dim"),
  ];
}

function stateTexts(channel: ViewChannel): [Segment, Segment] {
  const { state } = channel;
  const percent = `${Math.round(firstShare(channel) * 100)} %`;
  const count = channel.rebalanceCount;
  const rebalances = count === 0 ? "" : `, ${count} rebalance${count === 1 ? "" : "s"}`;
  const other = (node: string) => node === channel.first ? channel.second : channel.first;
  switch (state.kind) {
    case "alone":
      return [segment("○ not shared", "dim"), segment(`  ${state.reason}`, "dim")];
    case "balanced":
      return [segment("● balanced", "green"), segment(`  ${percent}${rebalances}`, "dim")];
    case "off":
      return [segment("◐ out of balance", "yellow"), segment(`  ${percent}${rebalances}`, "dim")];
    case "asking":
      return [segment(`◆ ${state.by} asks ${other(state.by)}`, "yellow"), satSegment(state.amountSat)];
    case "paying":
      return [segment(`▶ ${state.by} pays ${other(state.by)}`, "boldGreen"), satSegment(state.amountSat)];
    case "resting":
      return [segment("◌ resting", "blue"), segment(`  ${state.reason}`, "dim")];
    default:
      return unreachable(state);
  }
}

function satSegment(amountSat: Parameters<typeof formatSat>[0]): Segment {
  return segment(`  ${formatSat(amountSat)} sat`);
}

/** Messages at the left, payments at the right, the newest on top. Narrow screens have messages only. */
function listLines(model: ViewModel, columns: number, room: number): TextLine[] {
  if (room < leastListRows) return [];
  const entries = room - 2;
  const messages = [...model.messages].reverse().slice(0, entries).map((message) => messageLine(model, message));
  const payments = [...model.payments].reverse().slice(0, entries).map((payment) => paymentLine(model, payment));
  const leftColumns = Math.min(columns - paymentColumns - 1, mostMessageColumns);
  const row = (left: TextLine, right: TextLine): TextLine =>
    leftColumns < leastMessageColumns ? left : [...fit(left, leftColumns), segment(" "), ...right];
  const lines: TextLine[] = [[], row([segment(" Messages", "bold")], [segment(" Payments", "bold")])];
  for (let i = 0; i < Math.max(messages.length, payments.length); i++) {
    lines.push(row(messages[i] ?? [], payments[i] ?? []));
  }
  return lines;
}

/** `0.4 s`, `12 s`, `3 min` */
function ageText(model: ViewModel, atMs: number): string {
  const ms = Math.max(model.elapsedMs - atMs, 0);
  if (ms < 10_000) return `${(Math.floor(ms / 100) / 10).toFixed(1)} s`;
  return ms < 100_000 ? `${Math.floor(ms / 1000)} s` : `${Math.floor(ms / 60_000)} min`;
}

const messageInks = { hello: "blue", bye: "blue", payInvoice: "yellow", paymentResult: "green" } as const;

function messageLine(model: ViewModel, message: ViewMessage): TextLine {
  // An operator's name is longer than a node's: what follows stays in its column.
  const typeColumns = 15 - message.from.length - message.to.length;
  return [
    segment(`${ageText(model, message.atMs).padStart(6)} `, "dim"),
    nodeSegment(model, message.from),
    segment(" ─▶ ", "dim"),
    nodeSegment(model, message.to),
    segment(` ${message.type.padEnd(typeColumns)} `, messageInks[message.type]),
    segment(message.detail, "dim"),
  ];
}

const paymentMarks = { settled: ["✓", "green"], failed: ["✗", "red"], unknown: ["?", "boldRed"] } as const;

function paymentLine(model: ViewModel, payment: ViewPayment): TextLine {
  const [mark, ink] = paymentMarks[payment.state];
  return [
    segment(`${ageText(model, payment.atMs).padStart(6)} `, "dim"),
    segment(`${mark} `, ink),
    nodeSegment(model, payment.payer),
    segment(" ▶ ", "dim"),
    nodeSegment(model, payment.payee),
    segment(`${formatSat(payment.amountSat)} sat`.padStart(14)),
    segment(payment.tookMs === undefined ? `  ${payment.state}` : `  ${tookText(payment.tookMs)}`, "dim"),
  ];
}

/** `14 ms`, `1.20 s` */
function tookText(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`;
}

/** Counts: the words carry the number, so that they can be read aloud. */
function totalsTexts(model: ViewModel): [TextLine, TextLine] {
  const { totals } = model;
  const fees = totals.feesMsat;
  const dot = segment(" · ", "dim");
  const median = totals.medianMs === undefined ? [] : [dot, segment(`median ${tookText(totals.medianMs)}`)];
  return [
    [
      segment(` ${totals.rebalanceCount}`, "bold"),
      segment(` rebalance${totals.rebalanceCount === 1 ? "" : "s"}`),
      dot,
      segment(formatSat(totals.rebalancedSat), "bold"),
      segment(" sat moved"),
      dot,
      fees === 0n ? segment("no fees", "green") : segment(`${fees} msat of fees`, "boldRed"),
      dot,
      totals.failureCount === 0 ? segment("none failed", "green") : segment(`${totals.failureCount} failed`, "yellow"),
      ...median,
    ],
    [
      segment(` traffic: ${formatSatCount(totals.trafficCount)} payments, ${formatSat(totals.trafficSat)} sat`, "dim"),
      dot,
      totals.conserved
        ? segment("every satoshi accounted for", "green")
        : segment("SATOSHIS LOST OR MADE: this is a bug", "boldRed"),
    ],
  ];
}

const formatSatCount = (count: number) => count.toString().replace(/\B(?=(\d{3})+$)/g, ",");

function footLines(model: ViewModel, columns: number): TextLine[] {
  const [first, second] = totalsTexts(model);
  return [
    [segment(` ${"─".repeat(columns - 1)}`, "dim")],
    first,
    spread(second, [segment(model.totalMs === undefined ? "Ctrl-C ends it" : "", "dim")], columns),
  ];
}

/** What stays on the screen when the demo is over, ending in a line break. */
export function renderSummary(
  model: ViewModel,
  options: { readonly colour: boolean; readonly columns?: number },
): string {
  const columns = Math.max((options.columns ?? 100) - 1, 20);
  const lines: TextLine[] = [
    [segment(" Tightrope", "bold"), segment(`  the demo ran for ${clockText(model.elapsedMs)}`, "dim")],
    [],
  ];
  for (const channel of model.channels) {
    const [mark, ink, words] = !isWatched(channel)
      ? ["○", "dim" as const, "not shared, so left alone"]
      : isInsideDeadzone(channel)
      ? ["✓", "green" as const, "ended in balance"]
      : ["✗", "boldRed" as const, "ended out of balance"];
    const share = Math.round(firstShare(channel) * 100);
    const percent = `${share.toString().padStart(3)} : ${(100 - share).toString().padEnd(3)}`;
    const count = `${channel.rebalanceCount} rebalance${channel.rebalanceCount === 1 ? "" : "s"}`;
    lines.push([
      segment(` ${mark} `, ink),
      segment(channel.name.padEnd(6), "bold"),
      segment(` ${percent}  ${count.padStart(14)}   `),
      segment(words, ink),
    ]);
  }
  const [first, second] = totalsTexts(model);
  const verdict = hasPassed(model)
    ? segment(" Every watched channel ended in balance, and no satoshi was lost or made.", "boldGreen")
    : segment(" The promise was not kept: see above.", "boldRed");
  lines.push([], first, second, [], [verdict]);
  const paint = painter(options.colour);
  return `${lines.map((line) => paintLine(cut(line, columns), paint)).join("\n")}\n`;
}
