import { isNote, type TransactionRecord } from "../../lib/audit/record.ts";
import type { ChannelView } from "../../lib/balancer/balancer.ts";
import type { NodePubkey } from "../../lib/domain/ids.ts";
import { toldReason } from "../../lib/domain/reasons.ts";
import type { SimInstance } from "./instance.ts";
import { Violation } from "./watch.ts";
import { obstacleOf } from "./would_pay.ts";
import type { World, WorldChannel } from "./world.ts";

/** How long a healed world may take until nothing is open and every channel rests. */
const longestHealMs = 6 * 3_600_000;
const lookMs = 120_000;
/** So long it is watched afterwards: nobody must begin again. */
const quietMs = 1_500_000;
/** As long as one request may take, with what comes before it. */
const longestRestlessMs = 11 * 60_000;
/**
 * So long a side may wait for what would be asked for and paid: for an hour a payer's limit is believed, and then one request
 * after the other, each when the wait since the last is over, finds out what can be paid now.
 */
const longestWaitMs = 110 * 60_000;

/** Since when each side has lacked what would be asked for and paid, or a reason that is true. */
type Waits = Map<string, number>;

/** Lets a healed world come to rest, and judges it. */
export function runToEnd(world: World): void {
  const { watch } = world;
  const waits: Waits = new Map();
  // HTLCs that were parked for hours are traffic, too.
  world.run(Math.max(world.atMs, watch.trafficUntilMs) + 10_000);
  const quietSinceMs = world.atMs;
  for (let left = whatIsLeft(world, waits); left !== undefined; left = whatIsLeft(world, waits)) {
    if (world.atMs - quietSinceMs > longestHealMs) throw new Violation("a healed world comes to rest", left.why);
    world.run(world.atMs + lookMs);
  }
  world.run(world.atMs + quietMs);
  // A request may just be under way: those who can't agree go on asking now and then. What becomes payable, as periods
  // go by, is asked for in its time.
  const restlessSinceMs = world.atMs;
  for (let left = whatIsLeft(world, waits); left !== undefined; left = whatIsLeft(world, waits)) {
    if (!left.inTime && world.atMs - restlessSinceMs > longestRestlessMs) {
      throw new Violation("a healed world stays at rest", left.why);
    }
    world.run(world.atMs + lookMs);
  }
  for (const instance of world.instances) checkDisk(instance);
  for (const instance of world.instances) checkLog(world, instance);
  for (const channel of world.channels) checkDuel(world, channel, quietSinceMs);
  world.network.assertConserved();
}

interface Left {
  readonly why: string;
  /** It is put right in its time: what would be paid is asked for, and a reason that isn't true any more is found out. */
  readonly inTime: boolean;
}

/** What keeps the world from being at rest. */
function whatIsLeft(world: World, waits: Waits): Left | undefined {
  const left = world.instances.flatMap((instance) => [...leftOf(world, instance, waits)]);
  return left.find(({ inTime }) => !inTime) ?? left[0];
}

function* leftOf(world: World, instance: SimInstance, waits: Waits): Generator<Left> {
  const unrest = (why: string): Left => ({ why: `${instance.name}: ${why}`, inTime: false });
  if (!instance.isRunning) return yield unrest("it doesn't run");
  const [open] = openOf(instance.log);
  if (open) yield unrest(`${open.kind} of ${open.paymentHash} has no end`);
  for (const channel of instance.view!.channels) {
    const known = world.channelAt(channel.channelPoint);
    if (known === undefined || !known.nodes.every((node) => world.isHonest(node))) continue;
    const name = `${channel.alias}'s side of the channel with ${world.nameOf(channel.peer)}`;
    const key = `${channel.node}/${channel.channelPoint}`;
    if (!channel.watched) yield unrest(`${name} isn't watched`);
    const told = instance.decisions.get(key)?.reason;
    // One that comes and goes is told of now and then.
    const toldMs = world.atMs - (instance.decidedAtMs.get(key) ?? -Infinity);
    if (told !== channel.reason && toldMs > 60_000) {
      yield unrest(`of ${name} nobody was told ${channel.reason}, but ${told}`);
    }
    const shown = world.network.channel(channel.node, channel.channelPoint);
    if (shown?.localSat !== channel.localSat) yield unrest(`${name} is taken for ${channel.localSat} sat`);
    const lack = whyLacking(world, instance, channel, known);
    const paidAtMs = world.watch.settled.findLast((one) => one.channelPoint === channel.channelPoint)?.atMs ?? 0;
    if (!lack?.inTime || paidAtMs > (waits.get(key) ?? 0)) waits.delete(key);
    if (lack === undefined) continue;
    const wants = `${channel.balancePoint} ± ${channel.deadzone}`;
    const why = `${name} holds ${channel.share.toFixed(4)} and wants ${wants}: ${lack.why}`;
    if (lack.inTime) {
      if (!waits.has(key)) waits.set(key, world.atMs);
      const waitedMs = world.atMs - waits.get(key)!;
      if (waitedMs > longestWaitMs) {
        const minutes = Math.round(waitedMs / 60_000);
        throw new Violation(
          "what would be paid is asked for, and else the reason is true",
          `${instance.name}: ${why} since ${minutes} minutes`,
        );
      }
    }
    yield { why: `${instance.name}: ${why}`, inTime: lack.inTime };
  }
}

/** What a payer tells with how much it would pay at most: the payee need not ask again to know it. */
const channelObstacles = ["above-maximum", "not-spendable", "below-balance-point", "leaves-too-little"];

/** What is wrong with a side that holds too little: that it would be paid, or that the reason why not isn't recorded. */
function whyLacking(
  world: World,
  instance: SimInstance,
  view: ChannelView,
  channel: WorldChannel,
): Left | undefined {
  // A share is rounded down to a whole satoshi.
  const held = view.share * Number(view.localSat + view.remoteSat + view.unsettledSat);
  const least = view.share === 0 ? 0 : held * (view.balancePoint - view.deadzone) / view.share;
  if (held >= least - 1) return undefined;
  const said = instance.decisions.get(`${view.node}/${channel.point}`)?.reason ?? "nothing";
  const payer = world.instanceOf(view.peer);
  // Of a request that came from elsewhere, the channel is known and its peer isn't.
  const refused = payer?.refusals.findLast(({ record }) =>
    record.channelPoint === channel.point && record.peer !== undefined
  );
  const obstacle = obstacleOf(world, view.node, channel);
  const why = `the last decision was ${said}, the last refusal ${refused?.record.reason ?? "none"}, ` +
    (obstacle === undefined ? "and it would be paid" : `what speaks against it ${JSON.stringify(obstacle)}`);
  if (obstacle === undefined) return { why, inTime: true };
  if (obstacle.by === "payee") {
    // One payment after the other: between two of them it may just rest.
    return said === obstacle.reason ? undefined : { why, inTime: obstacle.reason === "too-soon" };
  }
  const { reasons } = obstacle;
  if (said === "peer-limit" && reasons.some((reason) => channelObstacles.includes(reason))) return undefined;
  if (reasons.some((reason) => refused?.record.reason === reason)) return undefined;
  // A payer that died with its refusal half told has told the payee.
  const told = instance.unpaid.get(`${view.node}/${channel.point}`)?.record.reason;
  if (said === "backing-off" && reasons.some((reason) => told === toldReason(reason))) return undefined;
  return { why, inTime: refused !== undefined || told !== undefined };
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
      // A withdrawal under the hash of another node's rebalance: money stands under that hash already.
      const isOther = world.watch.isWithdrawal(node, payment) &&
        instance.nodes.some((other) => ends.has(`${other} payer ${payment.paymentHash}`));
      if (isOther) continue;
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
