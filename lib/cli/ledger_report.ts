import { type Account, netSat, pairKey, pairTotals, signOf } from "../audit/accounts.ts";
import { channelPositionSat, type Ledger, totalOutflowSat } from "../audit/ledger.ts";
import type { LogRecord, StatementRecord, TransactionRecord } from "../audit/record.ts";
import type { LimitsConfig } from "../config/config.ts";
import { limitsFor } from "../config/settings.ts";
import { addSat, maxSat, minSat, type Sat, sat, subSat } from "../domain/amounts.ts";
import type { ChannelPoint, NodePubkey, PaymentHash, ShortChannelId } from "../domain/ids.ts";
import { isDirect, type PaymentSummary } from "../domain/payment.ts";
import { memoPrefix } from "../protocol/memo.ts";
import { accountText, isSigned } from "../protocol/signatures.ts";

/** What `tightrope ledger` prints: who owes whom, by three accounts of it. Plain data. */
export interface LedgerReport {
  readonly atWallMs: number;
  /** Your nodes, and why one can't be asked. */
  readonly nodes: readonly {
    readonly socket: string;
    readonly pubkey?: NodePubkey;
    readonly alias?: string;
    readonly problem?: string;
  }[];
  /** What other operators owe you together (`maxNetOutflowTotal` bounds it), and what you owe them. */
  readonly total: {
    readonly owedToYouSat: Sat;
    readonly limitSat: Sat;
    readonly leftSat: Sat;
    readonly youOweSat: Sat;
  };
  /** Nodes of other operators. */
  readonly peers: readonly PeerReport[];
  /** Pairs of your own nodes: bookkeeping. */
  readonly own: readonly ChannelReport[];
}

/** Sums of an account; `netSat` is what the other owes you, negative: what you owe. */
export interface Amounts {
  readonly paidSat: Sat;
  readonly receivedSat: Sat;
  readonly reservedSat: Sat;
  readonly unknownSat: Sat;
  /** The part of what is paid or reserved that this log's writer didn't pay. */
  readonly foreignSat: Sat;
  readonly netSat: Sat;
  readonly payments: number;
  readonly firstAtWallMs?: number;
  readonly lastAtWallMs?: number;
}

export interface PeerReport extends Amounts {
  readonly peer: NodePubkey;
  /** What it calls itself; may be empty. */
  readonly alias: string;
  /** Since when the one owes the other, or nobody anybody; absent where that hangs on what is open. */
  readonly sinceWallMs?: number;
  /** `maxNetOutflow`: the least of those of your nodes that deal with it. */
  readonly limitSat: Sat;
  readonly leftSat: Sat;
  /** False: a node of yours doesn't answer, and the configuration has a limit for an alias, which may be its own. */
  readonly limitIsKnown: boolean;
  /** By each node of yours. */
  readonly pairs: readonly PairReport[];
}

export interface PairReport extends Amounts {
  readonly node: NodePubkey;
  readonly alias: string;
  readonly lnd: LndReport;
  readonly theirs: TheirReport;
  readonly channels: readonly ChannelReport[];
}

export interface ChannelReport extends Amounts {
  readonly node: NodePubkey;
  readonly peer: NodePubkey;
  readonly channelPoint?: ChannelPoint;
  readonly channelId?: ShortChannelId;
  /** Where the configuration has a limit for this channel alone. */
  readonly limitSat?: Sat;
  readonly leftSat?: Sat;
}

/** `open`: what is under way may explain the difference. */
export type Verdict = "agrees" | "differs" | "open";

/** What your own LND lists of payments and invoices to rebalance. */
export type LndReport =
  | { readonly verdict: "unread"; readonly meaning: string }
  | {
    readonly verdict: Verdict;
    readonly paidSat: Sat;
    readonly receivedSat: Sat;
    readonly openSat: Sat;
    /** LND less log. */
    readonly paidDifferenceSat: Sat;
    readonly receivedDifferenceSat: Sat;
    readonly meaning: string;
  };

/** What the other side has signed. */
export type TheirReport =
  | { readonly verdict: "none"; readonly meaning: string }
  | {
    /** `outdated`: from before the last payment; `forged`: not signed by that node. */
    readonly verdict: Verdict | "outdated" | "forged";
    /** As it sees it: what it has paid to you, and received from you. */
    readonly paidSat: Sat;
    readonly receivedSat: Sat;
    readonly openSat: Sat;
    /** What it has received less what you have paid, and the other way round. */
    readonly paidDifferenceSat: Sat;
    readonly receivedDifferenceSat: Sat;
    readonly saidAtWallMs: number;
    readonly logLength: number;
    readonly logTreeHash: string;
    /** For `lncli verifymessage`. */
    readonly text: string;
    readonly signature: string;
    readonly meaning: string;
  };

/** What was read from one of your LNDs about one other node. */
export interface LndPair {
  readonly paidSat: Sat;
  readonly receivedSat: Sat;
  readonly openSat: Sat;
}

/** What was read from one of your LNDs. */
export interface LndNodeReading {
  readonly socket: string;
  readonly pubkey: NodePubkey | undefined;
  readonly alias: string;
  /** Why it couldn't be read, or not wholly. */
  readonly problem: string | undefined;
  /** By the other node; a node that isn't here has nothing. */
  readonly pairs: ReadonlyMap<NodePubkey, LndPair>;
  /** Every id of its open channels. */
  readonly channelIds: ReadonlyMap<ChannelPoint, readonly ShortChannelId[]>;
}

/** The payments that the log counts. */
export function countedPayments(records: readonly LogRecord[]): Set<PaymentHash> {
  const counted = new Set<PaymentHash>();
  for (const record of records) {
    if (record.kind === "intent" || (record.kind === "foreign" && record.amountSat > 0n)) {
      counted.add(record.paymentHash);
    } else if (record.kind === "foreign") counted.delete(record.paymentHash);
  }
  return counted;
}

/** Whether LND lists it as a rebalance. Anybody may write our memo into an invoice, for a withdrawal say; what counts, counts. */
export function isRebalance({ memo, paymentHash, status }: PaymentSummary, counted: ReadonlySet<PaymentHash>): boolean {
  return memo.startsWith(memoPrefix) &&
    (counted.has(paymentHash) || status.kind !== "settled" || isDirect(status));
}

export function reportLedger(
  records: readonly LogRecord[],
  ledger: Ledger,
  limits: LimitsConfig,
  readings: readonly LndNodeReading[],
  atWallMs: number,
): LedgerReport {
  const readingOf = (node: NodePubkey) => readings.find(({ pubkey }) => pubkey === node);
  const aliasOf = (node: NodePubkey) => readingOf(node)?.alias ?? "";
  const accounts = [...ledger.accounts.pairs.values()].flatMap((sides) => [...sides.values()]);
  // A node may have changed hands: what is yours now owes you nothing, whatever it was then.
  const isLent = ({ ownPeer, peer }: Account) => !ownPeer && readingOf(peer) === undefined;
  const lent = accounts.filter(isLent);
  const channel = (sides: readonly [Account, ...Account[]]): ChannelReport => {
    const [{ node, peer, channelPoint, channelId }] = sides;
    const channelIds = channelPoint === undefined || channelId === undefined
      ? []
      : readingOf(node)?.channelIds.get(channelPoint) ?? [channelId];
    const target = { alias: aliasOf(node), channelPoint: channelPoint ?? ("" as ChannelPoint), channelIds };
    const limit = isLent(sides[0])
      ? limitsFor(limits, target).netOutflows.find(({ scope }) => scope === "channel")?.maxSat
      : undefined;
    return {
      ...{ node, peer },
      ...(channelPoint === undefined ? {} : { channelPoint }),
      ...(channelId === undefined ? {} : { channelId }),
      ...amountsOf(sides),
      ...(limit === undefined || channelPoint === undefined ? {} : {
        limitSat: limit,
        leftSat: leftOf(limit, channelPositionSat(ledger, node, peer, channelPoint)),
      }),
    };
  };
  const outdated = outdatedStatements(records);
  const hasAliasLimit = limits.idSettings.some(({ id, settings }) =>
    id.kind === "alias" && settings.maxNetOutflowSat !== undefined
  );
  const pair = (peer: NodePubkey, node: NodePubkey): PairReport => {
    const sides = lent.filter((account) => account.peer === peer && account.node === node);
    const invoices = [...ledger.invoices.values()].filter((invoice) => invoice.node === node && invoice.peer === peer);
    const invoicedSat = addSat(...invoices.map(({ amountSat }) => amountSat));
    const ours = { ...pairTotals(ledger.accounts, node, peer)!, invoicedSat };
    const asOwn = accounts.filter((account) => account.ownPeer && account.peer === peer && account.node === node);
    return {
      ...{ node, alias: aliasOf(node) },
      ...amountsOf(sides),
      lnd: compareLnd(ours, readingOf(node), peer, amountsOf(asOwn)),
      theirs: compareTheirs(ours, ledger.statements.get(pairKey(node, peer)), outdated.has(pairKey(node, peer))),
      channels: sides.map((side) => channel([side])),
    };
  };
  const peers = unique(lent.map(({ peer }) => peer)).map((peer): PeerReport => {
    const nodes = unique(lent.filter((account) => account.peer === peer).map(({ node }) => node));
    const [firstLimit, ...otherLimits] = nodes.map((node) => nodeLimitSat(limits, aliasOf(node)));
    const limitSat = minSat(firstLimit!, ...otherLimits);
    const statements = nodes.flatMap((node) => ledger.statements.get(pairKey(node, peer)) ?? []);
    const standing = ledger.accounts.standings.get(peer);
    const amounts = amountsOf(lent.filter((account) => account.peer === peer));
    // What is open may turn who owes whom round; since when that would be, nobody can say.
    const isSettled = standing !== undefined && signOf(standing.settledSat) === signOf(amounts.netSat);
    return {
      peer,
      alias: statements.at(-1)?.alias ?? "",
      ...amounts,
      ...(isSettled ? { sinceWallMs: standing.sinceWallMs } : {}),
      limitSat,
      leftSat: leftOf(limitSat, ledger.positions.get(peer) ?? sat(0)),
      limitIsKnown: !hasAliasLimit || nodes.every((node) => readingOf(node) !== undefined),
      pairs: nodes.map((node) => pair(peer, node)),
    };
  });
  const owedToYouSat = totalOutflowSat(ledger, (key) => readingOf(key) !== undefined);
  return {
    atWallMs,
    nodes: readings.map(({ socket, pubkey, alias, problem }) => ({
      socket,
      ...(pubkey === undefined ? {} : { pubkey, alias }),
      ...(problem === undefined ? {} : { problem }),
    })),
    total: {
      owedToYouSat,
      limitSat: limits.maxNetOutflowTotalSat,
      leftSat: leftOf(limits.maxNetOutflowTotalSat, owedToYouSat),
      youOweSat: addSat(...peers.map(({ netSat }) => maxSat(sat(0), sat(-netSat)))),
    },
    peers,
    own: byChannel(accounts.filter((account) => !isLent(account))).map(channel),
  };
}

/** The sides of each channel together: of a node that changed hands there may be two. */
function byChannel(accounts: readonly Account[]): (readonly [Account, ...Account[]])[] {
  const channels = new Map<string, [Account, ...Account[]]>();
  for (const account of accounts) {
    const key = `${pairKey(account.node, account.peer)} ${account.channelPoint}`;
    const known = channels.get(key);
    if (known) known.push(account);
    else channels.set(key, [account]);
  }
  return [...channels.values()];
}

function amountsOf(accounts: readonly Account[]): Amounts {
  const sum = (name: "paidSat" | "receivedSat" | "reservedSat" | "unknownSat" | "foreignSat") =>
    addSat(...accounts.map((account) => account[name]));
  const times = (name: "firstAtWallMs" | "lastAtWallMs") => accounts.flatMap((account) => account[name] ?? []);
  const [first, last] = [times("firstAtWallMs"), times("lastAtWallMs")];
  return {
    paidSat: sum("paidSat"),
    receivedSat: sum("receivedSat"),
    reservedSat: sum("reservedSat"),
    unknownSat: sum("unknownSat"),
    foreignSat: sum("foreignSat"),
    netSat: addSat(...accounts.map(netSat)),
    payments: accounts.reduce((total, { count }) => total + count, 0),
    ...(first.length === 0 ? {} : { firstAtWallMs: Math.min(...first), lastAtWallMs: Math.max(...last) }),
  };
}

function nodeLimitSat(limits: LimitsConfig, alias: string): Sat {
  const target = { alias, channelPoint: "" as ChannelPoint, channelIds: [] };
  return limitsFor(limits, target).netOutflows.find(({ scope }) => scope === "node")!.maxSat;
}

function leftOf(limitSat: Sat, positionSat: Sat): Sat {
  return maxSat(sat(0), subSat(limitSat, positionSat));
}

/** `invoicedSat`: on invoices that are open, as far as the log knows. */
type Totals = NonNullable<ReturnType<typeof pairTotals>> & { readonly invoicedSat: Sat };

/** @param asOwn what the two have paid each other as nodes of one operator: LND lists it with the rest */
function compareLnd(
  ours: Totals,
  reading: LndNodeReading | undefined,
  peer: NodePubkey,
  asOwn: Pick<Amounts, "paidSat" | "receivedSat">,
): LndReport {
  if (reading === undefined || reading.problem !== undefined) {
    return { verdict: "unread", meaning: reading?.problem ?? "no node of this configuration that answers is this one" };
  }
  const nothing = { paidSat: sat(0), receivedSat: sat(0), openSat: sat(0) };
  const { openSat, ...listed } = reading.pairs.get(peer) ?? nothing;
  const paidSat = subSat(listed.paidSat, asOwn.paidSat);
  const receivedSat = subSat(listed.receivedSat, asOwn.receivedSat);
  const paidDifferenceSat = subSat(paidSat, ours.paidSat);
  const receivedDifferenceSat = subSat(receivedSat, ours.receivedSat);
  const base = { paidSat, receivedSat, openSat, paidDifferenceSat, receivedDifferenceSat };
  if (paidDifferenceSat === 0n && receivedDifferenceSat === 0n) return { verdict: "agrees", ...base, meaning: "" };
  const isUpTo = (differenceSat: Sat, openSat: Sat) => differenceSat >= 0n && differenceSat <= openSat;
  if (isUpTo(paidDifferenceSat, ours.openSat) && isUpTo(receivedDifferenceSat, ours.invoicedSat)) {
    return { verdict: "open", ...base, meaning: "LND has ended what the log still has as open" };
  }
  const why: string[] = [];
  if (paidDifferenceSat > 0n) why.push("LND has paid what this log doesn't know: a second daemon, or a restored log");
  if (paidDifferenceSat < 0n) {
    why.push("LND doesn't list all that the log has paid: deleted there, or LND was restored");
  }
  if (receivedDifferenceSat > 0n) why.push("LND has received more on invoices of the log than the log says");
  if (receivedDifferenceSat < 0n) {
    why.push("LND doesn't know all that the log has received: deleted there, or LND was restored");
  }
  return { verdict: "differs", ...base, meaning: why.join("; ") };
}

function compareTheirs(ours: Totals, record: StatementRecord | undefined, isOutdated: boolean): TheirReport {
  if (record === undefined) return { verdict: "none", meaning: "the other side has said nothing yet" };
  const { node, peer, paidSat, receivedSat, openSat, count, logLength, logTreeHash, saidAtWallMs, signature } = record;
  const statement = {
    ...{ node, peer, paidSat, receivedSat, openSat, count },
    logHead: { length: logLength, treeHash: logTreeHash },
    atWallMs: saidAtWallMs,
  };
  const paidDifferenceSat = subSat(receivedSat, ours.paidSat);
  const receivedDifferenceSat = subSat(paidSat, ours.receivedSat);
  const base = {
    ...{ paidSat, receivedSat, openSat, paidDifferenceSat, receivedDifferenceSat },
    ...{ saidAtWallMs, logLength, logTreeHash },
    text: accountText(statement),
    signature,
  };
  if (!isSigned({ ...statement, signature })) {
    return { verdict: "forged", ...base, meaning: "not signed by that node: this log was changed by hand" };
  }
  if (paidDifferenceSat === 0n && receivedDifferenceSat === 0n) return { verdict: "agrees", ...base, meaning: "" };
  if (isOutdated) {
    return {
      verdict: "outdated",
      ...base,
      meaning: "from before the last payment; an honest side says it anew within minutes, while both are connected",
    };
  }
  if (openSat > 0n || ours.openSat > 0n || ours.invoicedSat > 0n) {
    return { verdict: "open", ...base, meaning: "something is under way, which may explain it" };
  }
  return {
    verdict: "differs",
    ...base,
    meaning: "one of the two logs has lost payments, or somebody doesn't tell the truth: LND's own lists decide",
  };
}

/** The pairs of which a payment ended after the other side's last word. By the order of the log: a clock may have been wrong. */
function outdatedStatements(records: readonly LogRecord[]): Set<string> {
  const outdated = new Set<string>();
  for (const record of records) {
    if (record.kind === "statement") outdated.delete(pairKey(record.peer, record.node));
    else if (movesSums(record)) outdated.add(pairKey(record.node, record.peer));
  }
  return outdated;
}

/** What comes to nothing leaves the sums as they were: the other side says nothing anew then. */
function movesSums(record: LogRecord): record is TransactionRecord {
  if (record.kind === "foreign") return !record.pending && record.amountSat > 0n;
  return record.kind === "settled" || record.kind === "received";
}

function unique<T>(items: readonly T[]): T[] {
  return [...new Set(items)];
}
