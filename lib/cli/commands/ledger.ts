import { isNote, type LogRecord } from "../../audit/record.ts";
import { addSat, msatToSatCeil, msatToSatFloor, type Sat, sat } from "../../domain/amounts.ts";
import { channelIds } from "../../domain/channel.ts";
import type { ChannelPoint, NodePubkey, ShortChannelId } from "../../domain/ids.ts";
import { unreachable } from "../../domain/errors.ts";
import { systemClock, systemRandom } from "../../env/system.ts";
import type { LightningNode } from "../../lightning/node.ts";
import { LightningWorker } from "../../workers/lightning_remote.ts";
import type { Command } from "../args.ts";
import { exitCodes } from "../exit_codes.ts";
import { formatLedgerCsv, formatLedgerJson, formatLedgerText } from "../ledger_output.ts";
import { countedPayments, isRebalance, type LndNodeReading, type LndPair, reportLedger } from "../ledger_report.ts";
import { loadConfig } from "./load_config.ts";
import { type ReachedNode, reachNodes, readLedger, tried } from "./read_ledger.ts";
import { print, wantsColour } from "./screen.ts";

/** Payments per page, and look-ups of invoices at once. */
const pageSize = 100;
const lookUpsAtOnce = 16;
/** Payments are read from this long before the log's first record: clocks differ, and an HTLC may hang for two weeks. */
const marginMs = 15 * 86_400_000;

/** `tightrope ledger`: who owes whom, by the log, by LND, and by the other side. @returns the exit code */
export async function ledger(command: Extract<Command, { kind: "ledger" }>): Promise<number> {
  const config = await loadConfig(command.configPath, { credentials: false });
  const now = systemClock.now();
  const worker = new LightningWorker(config.lightningNodes, systemRandom);
  try {
    const { records, ledger } = await readLedger(config, now);
    const reached = await reachNodes(config, worker.nodes);
    const readings = await Promise.all(reached.map((one) => readNode(one, records)));
    const report = reportLedger(records, ledger, config.limits, readings, now.wallMs);
    switch (command.format) {
      case "json":
        print(`${formatLedgerJson(report)}\n`);
        break;
      case "csv":
        print(formatLedgerCsv(report));
        break;
      case "text":
        print(formatLedgerText(report, { colour: wantsColour(Deno.stdout) }));
        break;
      default:
        unreachable(command.format);
    }
  } finally {
    await worker.close();
  }
  return exitCodes.ok;
}

/** What one LND lists of payments to rebalance, and says of the log's invoices. Only look-ups. */
async function readNode(reached: ReachedNode, records: readonly LogRecord[]): Promise<LndNodeReading> {
  const { socket, node } = reached;
  if (reached.info === undefined) {
    return { socket, pubkey: undefined, alias: "", problem: reached.why, pairs: new Map(), channelIds: new Map() };
  }
  const { pubkey, alias } = reached.info;
  const own = records.flatMap((record) => isNote(record) || record.node !== pubkey ? [] : [record]);
  const pairs = new Map<NodePubkey, { -readonly [Name in keyof LndPair]: Sat }>();
  const pairWith = (peer: NodePubkey) => {
    const pair = pairs.get(peer) ?? { paidSat: sat(0), receivedSat: sat(0), openSat: sat(0) };
    pairs.set(peer, pair);
    return pair;
  };
  const ids = new Map<ChannelPoint, readonly ShortChannelId[]>();
  const read = await tried(async () => {
    for (const channel of await node.listChannels()) ids.set(channel.channelPoint, channelIds(channel));
    const [first] = own;
    if (first !== undefined) {
      // The oldest need not come first: what was found of foreign payments is older.
      const sinceWallMs = own.reduce(
        (oldest, record) =>
          Math.min(oldest, record.kind === "foreign" ? record.paidAtWallMs ?? record.atWallMs : record.atWallMs),
        first.atWallMs,
      );
      const counted = countedPayments(own);
      for await (const payment of paymentsSince(node, sinceWallMs - marginMs)) {
        const { status, destination, amountMsat } = payment;
        if (destination === undefined || !isRebalance(payment, counted)) continue;
        const pair = pairWith(destination);
        const amountSat = msatToSatCeil(amountMsat);
        if (status.kind === "settled") pair.paidSat = addSat(pair.paidSat, amountSat);
        else if (status.kind === "in-flight") pair.openSat = addSat(pair.openSat, amountSat);
      }
    }
    const invoices = own.flatMap((record) => record.kind === "invoiced" ? [record] : []);
    // Paid over another channel is no rebalance: the log has it as cancelled.
    const isCancelled = new Set(own.flatMap((record) => record.kind === "cancelled" ? [record.paymentHash] : []));
    const asked = invoices.filter(({ paymentHash }) => !isCancelled.has(paymentHash));
    for (let start = 0; start < asked.length; start += lookUpsAtOnce) {
      await Promise.all(
        asked.slice(start, start + lookUpsAtOnce).map(async ({ paymentHash, peer }) => {
          const invoice = await node.lookupInvoice(paymentHash);
          if (invoice?.state !== "settled") return;
          const pair = pairWith(peer);
          pair.receivedSat = addSat(pair.receivedSat, msatToSatFloor(invoice.amountPaidMsat));
        }),
      );
    }
    return pairs;
  });
  const problem = typeof read === "string" ? read : undefined;
  return { socket, pubkey, alias, problem, pairs, channelIds: ids };
}

/** The node's payments from that time on: a busy node has millions, so the first is found by halving. */
async function* paymentsSince(node: LightningNode, sinceWallMs: number) {
  const isOld = async (index: bigint) => {
    const [payment] = await node.listPayments(index, 1);
    return payment !== undefined && payment.createdAtWallMs < sinceWallMs;
  };
  let low = 0n;
  let high = 1n;
  while (await isOld(high)) [low, high] = [high, high * 2n];
  while (high - low > BigInt(pageSize)) {
    const middle = (low + high) / 2n;
    if (await isOld(middle)) low = middle;
    else high = middle;
  }
  for (let after = low;;) {
    const page = await node.listPayments(after, pageSize);
    yield* page.filter(({ createdAtWallMs }) => createdAtWallMs >= sinceWallMs);
    if (page.length < pageSize) return;
    after = page.at(-1)!.index;
  }
}
