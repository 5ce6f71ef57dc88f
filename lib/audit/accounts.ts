import { addSat, type Sat, sat, subSat } from "../domain/amounts.ts";
import type { ChannelPoint, NodePubkey, ShortChannelId } from "../domain/ids.ts";

/** What a node of ours and another one have paid each other over one channel, as the log tells. Changed in place by {@link book}. */
export interface Account {
  /** Our node. */
  readonly node: NodePubkey;
  readonly peer: NodePubkey;
  /** Both were nodes of this instance: bookkeeping, no credit. */
  readonly ownPeer: boolean;
  /** Undefined for foreign payments over a channel that can't be named. */
  readonly channelPoint: ChannelPoint | undefined;
  readonly channelId: ShortChannelId | undefined;
  paidSat: Sat;
  receivedSat: Sat;
  /** Under way, or about to be. */
  reservedSat: Sat;
  /** Sent, and nobody knows how it ended. */
  unknownSat: Sat;
  /** How much of what is paid or reserved wasn't made by this log's writer: a restored backup or a second daemon. */
  foreignSat: Sat;
  /** How many payments ended settled, in either direction. */
  count: number;
  /** When the first and the last of them were recorded; undefined before the first. */
  firstAtWallMs: number | undefined;
  lastAtWallMs: number | undefined;
}

/** The amounts of {@link Account} that a record moves. */
export type AccountAmount = "paidSat" | "receivedSat" | "reservedSat" | "unknownSat" | "foreignSat";

/** Every account of a log. Plain data; maps keep the order of the log. */
export interface AccountBook {
  /** By {@link pairKey}, then one for each channel. */
  readonly pairs: Map<string, Map<string, Account>>;
  /** What a node of another instance was paid less what it paid, and since when that has its sign (or is nothing). */
  readonly standings: Map<NodePubkey, { settledSat: Sat; sinceWallMs: number }>;
}

/** A node of ours and another's, as a map key. */
export function pairKey(node: NodePubkey, peer: NodePubkey): string {
  return `${node}/${peer}`;
}

export function createAccountBook(): AccountBook {
  return { pairs: new Map(), standings: new Map() };
}

/** What an entry is about: any record of a payment. */
type Deal = Pick<Account, "node" | "peer" | "ownPeer" | "channelPoint" | "channelId">;

/**
 * Enters what a record changes.
 * @param counts whether it is the end of a payment that settled
 */
export function book(
  { pairs, standings }: AccountBook,
  deal: Deal,
  atWallMs: number,
  changes: Partial<Readonly<Record<AccountAmount, bigint>>>,
  counts = false,
): void {
  const account = accountOf(pairs, deal);
  const before = subSat(account.paidSat, account.receivedSat);
  for (const [amount, change] of Object.entries(changes) as [AccountAmount, bigint][]) {
    account[amount] = addSat(account[amount], sat(change));
  }
  if (counts) {
    account.count++;
    // Foreign payments are found after they were made.
    account.firstAtWallMs = Math.min(atWallMs, account.firstAtWallMs ?? atWallMs);
    account.lastAtWallMs = Math.max(atWallMs, account.lastAtWallMs ?? atWallMs);
  }
  const moved = subSat(subSat(account.paidSat, account.receivedSat), before);
  if (deal.ownPeer || moved === 0n) return;
  const standing = standings.get(deal.peer) ?? { settledSat: sat(0), sinceWallMs: atWallMs };
  const after = addSat(standing.settledSat, moved);
  if (signOf(after) !== signOf(standing.settledSat)) standing.sinceWallMs = atWallMs;
  standing.settledSat = after;
  standings.set(deal.peer, standing);
}

function accountOf(pairs: AccountBook["pairs"], deal: Deal): Account {
  const { node, peer, ownPeer, channelPoint, channelId } = deal;
  const key = pairKey(node, peer);
  const accounts = pairs.get(key) ?? new Map<string, Account>();
  pairs.set(key, accounts);
  const side = `${channelPoint ?? ""}${ownPeer ? " own" : ""}`;
  const known = accounts.get(side);
  if (known !== undefined) return known;
  const account: Account = {
    ...{ node, peer, ownPeer, channelPoint, channelId },
    ...{ paidSat: sat(0), receivedSat: sat(0), reservedSat: sat(0), unknownSat: sat(0), foreignSat: sat(0) },
    ...{ count: 0, firstAtWallMs: undefined, lastAtWallMs: undefined },
  };
  accounts.set(side, account);
  return account;
}

/** Net outflow: what the other node owes us; negative: we owe. */
export function netSat(account: Pick<Account, "paidSat" | "receivedSat" | "reservedSat" | "unknownSat">): Sat {
  const { paidSat, receivedSat, reservedSat, unknownSat } = account;
  return subSat(addSat(paidSat, reservedSat, unknownSat), receivedSat);
}

/** What a {@link Statement} says of a pair of two operators' nodes: sums over all channels. Undefined if they had no dealings. */
export function pairTotals(
  { pairs }: AccountBook,
  node: NodePubkey,
  peer: NodePubkey,
): { paidSat: Sat; receivedSat: Sat; openSat: Sat; count: number } | undefined {
  const accounts = [...pairs.get(pairKey(node, peer))?.values() ?? []].filter(({ ownPeer }) => !ownPeer);
  if (accounts.length === 0) return undefined;
  return {
    paidSat: addSat(...accounts.map(({ paidSat }) => paidSat)),
    receivedSat: addSat(...accounts.map(({ receivedSat }) => receivedSat)),
    openSat: addSat(...accounts.flatMap(({ reservedSat, unknownSat }) => [reservedSat, unknownSat])),
    count: accounts.reduce((sum, { count }) => sum + count, 0),
  };
}

/** 1, 0 or -1: who owes whom. */
export function signOf(value: bigint): number {
  return value > 0n ? 1 : value < 0n ? -1 : 0;
}
