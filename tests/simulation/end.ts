import { isNote, type TransactionRecord } from "../../lib/audit/record.ts";
import type { NodePubkey } from "../../lib/domain/ids.ts";
import type { SimInstance } from "./instance.ts";
import { Violation } from "./watch.ts";
import type { World, WorldChannel } from "./world.ts";

/** How long a healed world may take until nothing is open and every channel rests. */
const longestHealMs = 6 * 3_600_000;
const lookMs = 120_000;
/** So long it is watched afterwards: nobody must begin again. */
const quietMs = 1_500_000;

/** Lets a healed world come to rest, and judges it. */
export function runToEnd(world: World): void {
  const { watch } = world;
  // HTLCs that were parked for hours are traffic, too.
  world.run(Math.max(world.atMs, watch.trafficUntilMs) + 10_000);
  const quietSinceMs = world.atMs;
  for (let why = whatIsLeft(world); why !== undefined; why = whatIsLeft(world)) {
    if (world.atMs - quietSinceMs > longestHealMs) throw new Violation("a healed world comes to rest", why);
    world.run(world.atMs + lookMs);
  }
  world.run(world.atMs + quietMs);
  const why = whatIsLeft(world);
  // A request may just be under way: those who can't agree go on asking now and then.
  if (why !== undefined) {
    world.run(world.atMs + 11 * 60_000);
    const still = whatIsLeft(world);
    if (still !== undefined) throw new Violation("a healed world stays at rest", still);
  }
  for (const instance of world.instances) checkDisk(instance);
  for (const instance of world.instances) checkLog(world, instance);
  for (const channel of world.channels) checkDuel(world, channel, quietSinceMs);
  world.network.assertConserved();
}

/** What keeps the world from being at rest, in words. */
function whatIsLeft(world: World): string | undefined {
  for (const instance of world.instances) {
    if (!instance.isRunning) return `${instance.name} doesn't run`;
    const open = openOf(instance.log);
    if (open.length > 0) return `${instance.name}: ${open[0]!.kind} of ${open[0]!.paymentHash} has no end`;
    for (const channel of instance.view!.channels) {
      const known = world.channelAt(channel.channelPoint);
      if (known === undefined || !known.nodes.every((node) => world.isHonest(node))) continue;
      const name = `${instance.name}: ${channel.alias}'s side of the channel with ${world.nameOf(channel.peer)}`;
      if (!channel.watched) return `${name} isn't watched`;
      const told = instance.decisions.get(`${channel.node}/${channel.channelPoint}`)?.reason;
      // One that comes and goes is told of now and then.
      const toldMs = world.atMs - (instance.decidedAtMs.get(`${channel.node}/${channel.channelPoint}`) ?? -Infinity);
      if (told !== channel.reason && toldMs > 60_000) {
        return `${name}: nobody was told of ${channel.reason}, but of ${told}`;
      }
      // A share is rounded down to a whole satoshi.
      const held = channel.share * Number(channel.localSat + channel.remoteSat + channel.unsettledSat);
      const least = channel.share === 0 ? 0 : held * (channel.balancePoint - channel.deadzone) / channel.share;
      if (held >= least - 1) continue;
      const why = reasonFor(world, instance, channel.node, known);
      if (why !== undefined) {
        return `${name} holds ${
          channel.share.toFixed(4)
        } and wants ${channel.balancePoint} ± ${channel.deadzone}: ${why}`;
      }
    }
  }
  return undefined;
}

const payeeExcuses = ["peer-limit", "too-small", "no-room"];
const payerExcuses = [
  "too-soon",
  "too-many",
  "too-much",
  "net-outflow",
  "net-outflow-total",
  "below-minimum",
  "above-maximum",
  "not-spendable",
  "below-balance-point",
  "leaves-too-little",
];

/** Whether what speaks against balancing a side is recorded; the complaint if not. */
function reasonFor(world: World, instance: SimInstance, node: string, channel: WorldChannel): string | undefined {
  const decision = instance.decisions.get(`${node}/${channel.point}`);
  const said = decision?.reason ?? "nothing";
  if (payeeExcuses.includes(said)) return undefined;
  // It is on its way, in many small payments.
  const paid = world.watch.settled.findLast((one) => one.channelPoint === channel.point);
  if (paid !== undefined && world.atMs - paid.atMs < 1_000_000) return undefined;
  const payer = world.instanceOf(channel.nodes.find((one) => one !== node)!);
  // Refusals go on as long as the reason does, at least one an hour.
  // Of a request that came from elsewhere, the channel is known and its peer isn't.
  const refused = payer?.refusals.findLast(({ record }) =>
    record.channelPoint === channel.point && record.peer !== undefined
  );
  if (refused && payerExcuses.includes(refused.record.reason ?? "") && world.atMs - refused.atMs < 3_900_000) {
    return undefined;
  }
  // A payer that died with its refusal half told has told the payee, which waits for as long as it was asked to.
  const unpaid = instance.unpaid.get(`${node}/${channel.point}`);
  const told = unpaid?.record.reason;
  if (
    said === "backing-off" && unpaid && (told === "limit" || told === "balance") && world.atMs - unpaid.atMs < 3_900_000
  ) {
    return undefined;
  }
  return `the last decision was ${said}, the last refusal ${refused?.record.reason ?? "none"}`;
}

/** Intents and invoices without an end. */
function openOf(log: readonly TransactionRecord[]): TransactionRecord[] {
  const open = new Map<string, TransactionRecord>();
  for (const record of log) {
    const key = `${record.role} ${record.paymentHash}`;
    switch (record.kind) {
      case "intent":
      case "invoiced":
      case "unknown":
        open.set(key, record);
        break;
      case "foreign":
        if (record.pending) open.set(key, record);
        else open.delete(key);
        break;
      default:
        open.delete(key);
    }
  }
  return [...open.values()];
}

/** The next start reads what was written. */
function checkDisk(instance: SimInstance): void {
  const told = ({ kind, node, peer, paymentHash, channelPoint, amountSat, ...rest }: TransactionRecord) =>
    [kind, node, peer, paymentHash, channelPoint, amountSat, "requestId" in rest && rest.requestId].join(" ");
  const read = instance.records().flatMap((record) => isNote(record) ? [] : [told(record)]);
  const differs = instance.log.findIndex((record, index) => told(record) !== read[index]);
  if (read.length === instance.log.length && differs < 0) return;
  throw new Violation("the disk holds what was written", `${instance.name}: record ${differs} of ${read.length}`);
}

/** The log and the node tell the same story. */
function checkLog(world: World, instance: SimInstance): void {
  const ends = new Map<string, TransactionRecord>();
  for (const record of instance.log) ends.set(`${record.node} ${record.role} ${record.paymentHash}`, record);
  const differs = (detail: string): never => {
    throw new Violation("the log says what LND says", `${instance.name}: ${detail}`);
  };
  for (const record of ends.values()) {
    const found = world.network.payment(record.node, record.paymentHash);
    // Of a hash that failed and was then paid for somebody else, LND tells no more.
    if (found && record.kind === "failed" && world.watch.isWithdrawal(record.node, found)) continue;
    const payment = found?.status;
    const invoice = world.network.invoice(record.node, record.paymentHash)?.state;
    const told = `${record.kind} of ${record.paymentHash}, LND: ${record.role === "payer" ? payment : invoice}`;
    switch (record.kind) {
      case "settled":
        if (payment !== "SUCCEEDED") differs(told);
        break;
      case "failed":
        if (payment !== undefined && payment !== "FAILED") differs(told);
        break;
      case "foreign":
        if ((record.amountSat > 0n) !== (payment === "SUCCEEDED")) differs(told);
        break;
      case "received":
        if (invoice !== "SETTLED") differs(told);
        break;
      case "cancelled":
        // One that was paid, but not as it was asked: what came is nobody's rebalance.
        if (record.reason === "settled over another channel" && invoice === "SETTLED") break;
        if (invoice === "SETTLED" || invoice === "ACCEPTED") differs(told);
        break;
    }
  }
  for (const node of instance.nodes) {
    for (const payment of world.network.listPayments(node, { indexOffset: 0n, maxPayments: 0 })) {
      const record = ends.get(`${node} payer ${payment.paymentHash}`);
      if (record === undefined && payment.status !== "FAILED" && isRebalance(world, payment.paymentRequest)) {
        differs(`nothing of ${payment.paymentHash}, LND: ${payment.status}`);
      }
    }
    // An invoice that the log lacks was given to nobody.
    for (const invoice of world.network.invoices(node)) {
      if (invoice.state !== "SETTLED" || ends.has(`${node} payee ${invoice.paymentHash}`)) continue;
      if (!world.watch.books(instance).logWasLost) {
        differs(`nothing of the invoice ${invoice.paymentHash}, LND: SETTLED`);
      }
    }
  }
}

function isRebalance(world: World, paymentRequest: string): boolean {
  const decoded = world.network.decodeInvoice(paymentRequest);
  return decoded.kind === "invoice" && decoded.invoice.description.startsWith("tightrope rebalance ");
}

/** Without traffic a channel is balanced once: in one direction, and in no more payments than its sizes ask for. */
function checkDuel(world: World, channel: WorldChannel, sinceMs: number): void {
  const payments = world.watch.settled.filter((one) => one.channelPoint === channel.point && one.atMs > sinceMs);
  const directions = new Set(payments.map((one) => one.from));
  if (directions.size > 1) {
    throw new Violation("no duel", `${payments.length} payments both ways over ${channel.point} without traffic`);
  }
  const [a, b] = channel.nodes;
  const [first, second] = [world.instanceOf(a), world.instanceOf(b)];
  const shown = world.network.channel(a, channel.point);
  if (first === undefined || second === undefined || shown === undefined) return;
  const most = Math.min(mostAtOnce(world, first, a, channel), mostAtOnce(world, second, b, channel));
  const bound = Math.ceil(Number(shown.capacitySat) / most) + 3;
  if (payments.length > bound) {
    throw new Violation(
      "no duel",
      `${payments.length} payments over ${channel.point} without traffic, at most ${bound}`,
    );
  }
}

/** A size that no limit of either side rules out: what a payer would pay is told to the payee that asks for more. */
function mostAtOnce(world: World, instance: SimInstance, node: NodePubkey, { point }: WorldChannel): number {
  const settings = [world.watch.settingsOf(instance, node), world.watch.settingsOf(instance, node, point)];
  return Math.min(
    world.settings[instance.index]!.maxNetOutflowTotalSat,
    ...settings.flatMap((one) => [one.maxTransactionSize, one.maxAmountPerPeriod, one.maxNetOutflow]),
  );
}
