import type { Ledger, LedgerPayment } from "../../audit/ledger.ts";
import { isNote, type LogRecord } from "../../audit/record.ts";
import { sayLnd, tellLnd } from "../../audit/by_hand.ts";
import { isResolveWaiting, requestResolve, withdrawResolve } from "../../audit/resolve_file.ts";
import type { Config } from "../../config/config.ts";
import { type DataPaths, dataPaths } from "../../config/data_paths.ts";
import { formatSat, msat } from "../../domain/amounts.ts";
import { TightropeError } from "../../domain/errors.ts";
import { formatShortChannelId, type PaymentHash } from "../../domain/ids.ts";
import { systemClock, systemRandom } from "../../env/system.ts";
import { noFee } from "../../lightning/node.ts";
import { type LndView, type ResolveAs, whyNotResolve } from "../../policy/resolve.ts";
import { resolveInWorker } from "../../workers/audit_remote.ts";
import { LightningWorker } from "../../workers/lightning_remote.ts";
import { readLogInWorker } from "../../workers/log_remote.ts";
import type { Command } from "../args.ts";
import { exitCodes } from "../exit_codes.ts";
import { formatTime } from "../output.ts";
import { printable } from "../paint.ts";
import { loadConfig } from "./load_config.ts";
import { reachNodes, readLedger, tried } from "./read_ledger.ts";
import { print } from "./screen.ts";

/** How long a running daemon may take: it looks twice a second, asks LND, and writes. */
const daemonPatienceMs = 20_000;
const lookMs = 200;

/** `tightrope resolve`: shows an open payment and LND's view, and ends it where `--as` says so. @returns the exit code */
export async function resolve(command: Extract<Command, { kind: "resolve" }>): Promise<number> {
  const { as } = command;
  const config = await loadConfig(command.configPath, { credentials: false });
  const { records, ledger } = await readLedger(config, systemClock.now());
  const paymentHash = wholeHash(records, command.hash);
  const entry = openPayment(ledger, records, paymentHash);
  print(describe(entry));
  const view = await lndView(config, entry);
  print(`  LND           ${printable(sayView(view))}\n`);
  const question = {
    ...{ view, wasMade: entry.index !== undefined },
    ...{ wallMs: systemClock.now().wallMs, expiresAtWallMs: entry.expiresAtWallMs },
  };
  if (as === undefined) {
    for (const end of ["settled", "failed"] as const) {
      const why = whyNotResolve({ ...question, as: end });
      print(`  --as ${end.padEnd(9)}${why === undefined ? consequences[end] : `not possible: ${why}`}\n`);
    }
    return exitCodes.ok;
  }
  const why = whyNotResolve({ ...question, as });
  if (why !== undefined) throw refused(paymentHash, as, why, view);
  await end(config, entry, as, view);
  print(`Resolved: the payment counts as ${as}\n`);
  return exitCodes.ok;
}

const consequences: Readonly<Record<ResolveAs, string>> = {
  settled: "possible: it counts as paid for good",
  failed: "possible: what it reserves is free again",
};

function openPayment(ledger: Ledger, records: readonly LogRecord[], paymentHash: PaymentHash): LedgerPayment {
  const entry = ledger.payments.get(paymentHash);
  if (entry !== undefined && entry.state !== "settled") return entry;
  const ended = ledger.paidHashes.get(paymentHash) ?? ledger.invoiceHashes.get(paymentHash);
  if (!ledger.paidHashes.has(paymentHash) && ledger.invoiceHashes.get(paymentHash) === "open") {
    throw new TightropeError(
      "usage",
      `${paymentHash} is an invoice of yours that is still open, no payment`,
      "It reserves nothing, and a running Tightrope ends it as soon as your node answers: what you received is never " +
        "taken from anybody's word, not even yours",
    );
  }
  if (ended !== undefined) {
    // Between two nodes of one instance the log has the invoice, too.
    const role = ledger.paidHashes.has(paymentHash) ? "payer" : "payee";
    const last = records.findLast((record) =>
      !isNote(record) && record.paymentHash === paymentHash && record.role === role
    )!;
    throw new TightropeError(
      "usage",
      `${paymentHash} isn't open: it is ${last.kind} since ${formatTime(last.atWallMs)}`,
      "There is nothing to resolve",
    );
  }
  throw notKnown(paymentHash);
}

/** The one hash of the log that begins so. */
function wholeHash(records: readonly LogRecord[], start: string): PaymentHash {
  const hashes = new Set(
    records.flatMap((record) => !isNote(record) && record.paymentHash.startsWith(start) ? [record.paymentHash] : []),
  );
  const [paymentHash] = hashes;
  if (paymentHash === undefined) throw notKnown(start);
  if (hashes.size > 1) {
    throw new TightropeError(
      "usage",
      `${hashes.size} payments of the log begin with ${start}`,
      "Give more digits; `tightrope log transactions --json` prints all of them",
    );
  }
  return paymentHash;
}

const notKnown = (hash: string) =>
  new TightropeError(
    "usage",
    `The log knows no payment ${hash}`,
    "Open payments stand in `tightrope log transactions` as intent or unknown; check the --config too",
  );

function describe(entry: LedgerPayment): string {
  const { node, peer, ownPeer, channelId, channelPoint, amountSat, state, foreign, expiresAtWallMs } = entry;
  const { recordedAtWallMs } = entry;
  const ageMs = Math.max(0, systemClock.now().wallMs - recordedAtWallMs);
  const channel = channelId === undefined ? "not known" : `${formatShortChannelId(channelId)} (${channelPoint})`;
  return [
    `Payment ${entry.paymentHash}`,
    `  amount        ${formatSat(amountSat)} sat`,
    `  from          ${node}`,
    `  to            ${peer}${ownPeer ? " (your own)" : ""}`,
    `  channel       ${channel}`,
    `  state         ${state}${foreign ? ", made by another Tightrope or before the log was lost" : ""}`,
    `  open since    ${formatTime(recordedAtWallMs)} UTC, for ${formatAge(ageMs)}`,
    ...(foreign ? [] : [`  invoice until ${formatTime(expiresAtWallMs)} UTC`]),
    "",
  ].join("\n");
}

function formatAge(ms: number): string {
  const minutes = Math.floor(ms / 60_000);
  if (minutes < 1) return `${Math.floor(ms / 1_000)} s`;
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  return hours < 48 ? `${hours} h ${minutes % 60} min` : `${Math.floor(hours / 24)} days`;
}

/** What the paying node itself says. Only look-ups. */
async function lndView(config: Config, { node, paymentHash }: LedgerPayment): Promise<LndView> {
  const worker = new LightningWorker(config.lightningNodes, systemRandom);
  try {
    const reached = await reachNodes(config, worker.nodes);
    const payer = reached.find(({ info }) => info?.pubkey === node);
    if (payer !== undefined) {
      const status = await tried(() => payer.node.trackPayment(paymentHash));
      return typeof status === "string" ? { kind: "unreachable", why: status } : status;
    }
    const silent = reached.flatMap((one) => one.info === undefined ? [one.why] : []);
    return {
      kind: "unreachable",
      why: silent.length > 0 ? silent.join("; ") : "no node of this configuration is the one that pays",
    };
  } finally {
    await worker.close();
  }
}

function sayView(view: LndView): string {
  switch (view.kind) {
    case "settled":
      return `paid: ${view.amountMsat} msat, fee ${view.feeMsat} msat`;
    case "failed":
      return `failed: ${view.failure}`;
    case "in-flight":
      return "under way";
    case "not-found":
      return "knows no such payment";
    case "unreachable":
      return `can't be asked: ${view.why}`;
  }
}

function refused(paymentHash: PaymentHash, as: ResolveAs, why: string, view: LndView): TightropeError {
  return view.kind === "in-flight" || view.kind === "not-found"
    ? new TightropeError("temporary", `The payment ${paymentHash} can't be resolved as ${as} now: ${why}`, "Wait")
    : new TightropeError(
      "usage",
      `The payment ${paymentHash} can't be resolved as ${as}: ${why}`,
      "A running Tightrope ends it by what LND says",
    );
}

async function end(config: Config, entry: LedgerPayment, as: ResolveAs, view: LndView): Promise<void> {
  const { paymentHash, node, peer, amountSat, channelPoint, channelId } = entry;
  const lndSays = sayLnd(view);
  const feeMsat = view.kind === "settled" ? view.feeMsat : msat(0);
  if (feeMsat !== noFee) {
    throw new TightropeError(
      "temporary",
      `LND says that a fee of ${feeMsat} msat was paid, which must never be`,
      "Start Tightrope: it ends the payment by itself and stops all paying until you have looked",
    );
  }
  const outcome = await resolveInWorker(config.audit, {
    ...{ paymentHash, as, lndSays, feeMsat },
    event: {
      kind: "resolved",
      level: "warn",
      message: `Resolved by the operator's hand while Tightrope didn't run: the payment of ${
        formatSat(amountSat)
      } sat counts as ${as}; ${tellLnd(view)}`,
      role: "payer",
      ...{ node, peer, paymentHash, amountSat },
      ...(channelPoint === undefined ? {} : { channelPoint }),
      ...(channelId === undefined ? {} : { channelId }),
      reason: as,
    },
  }, systemRandom);
  switch (outcome) {
    case "done":
      return;
    case "not-open":
      throw new TightropeError("temporary", `The payment ${paymentHash} has ended meanwhile`, "Look at it again");
    case "in-use":
      return await tellDaemon(config, paymentHash, as);
  }
}

/** The daemon owns the log: it is told, and watched. */
async function tellDaemon(config: Config, paymentHash: PaymentHash, as: ResolveAs): Promise<void> {
  const paths = dataPaths(config.audit);
  if (isResolveWaiting(paths)) withdrawResolve(paths);
  const { atMs, wallMs } = systemClock.now();
  requestResolve(paths, { paymentHash, as });
  const untilMs = atMs + daemonPatienceMs;
  while (systemClock.now().atMs < untilMs) {
    await new Promise((resolve) => setTimeout(resolve, lookMs));
    if (isResolveWaiting(paths)) continue;
    const { ledger } = await readLedger(config, systemClock.now());
    if (!["reserved", "unknown"].includes(ledger.payments.get(paymentHash)?.state ?? "")) return;
    const refusal = await refusalOf(config, paymentHash, wallMs);
    if (refusal !== undefined) throw new TightropeError("temporary", refusal, "Look at it again");
  }
  throw notTaken(paths, paymentHash);
}

/** What the running daemon has said in the event log since our request. */
async function refusalOf(config: Config, paymentHash: PaymentHash, sinceWallMs: number): Promise<string | undefined> {
  let refusal: string | undefined;
  for await (const event of readLogInWorker(config.audit, "events", false, systemRandom)) {
    if (event["paymentHash"] !== paymentHash || Date.parse(String(event["at"])) < sinceWallMs) continue;
    if (event["kind"] === "resolve-refused") refusal = String(event["message"]);
  }
  return refusal;
}

function notTaken(paths: DataPaths, paymentHash: PaymentHash): TightropeError {
  const waiting = isResolveWaiting(paths);
  withdrawResolve(paths);
  return new TightropeError(
    "temporary",
    `The running Tightrope did not end the payment ${paymentHash} within ${daemonPatienceMs / 1_000} s`,
    waiting
      ? "It didn't look: is it stopped?"
      : "It is still starting, or waits for LND: look at the payment again in a minute, and at `tightrope log events`",
  );
}
