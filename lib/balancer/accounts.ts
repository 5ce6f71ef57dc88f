import { pairKey, pairTotals } from "../audit/accounts.ts";
import type { LogRecord, StatementRecord } from "../audit/record.ts";
import { addSat, subSat } from "../domain/amounts.ts";
import { invariant } from "../domain/errors.ts";
import type { NodePubkey } from "../domain/ids.ts";
import type { Statement } from "../domain/statement.ts";
import type { NodeReply } from "../lightning/node.ts";
import type { AccountMessage } from "../protocol/messages.ts";
import { accountText, isSigned } from "../protocol/signatures.ts";
import { nameOf, sats } from "./names.ts";
import { countIgnored, hasProven, isIntroduced } from "./peers.ts";
import { type BalancerState, isOwn, nodeByPubkey, type NodeState, type Pair, type PeerSession } from "./state.ts";
import { armReport, backOffMs, call, note, send, type Step, tell, tellOfChannel } from "./step.ts";

/**
 * Statements of account: each side tells the other, signed by its Lightning node, what it has paid and received. They are
 * evidence for a dispute and a warning to the operator when two logs disagree; nothing is ever paid or refused by them.
 */

/** How often at most a statement of one account is signed, unless the configuration says so. */
const spacingMs = 60_000;
/** A payment's reservation and its end are said together. */
const settleMs = 2_000;
/** After a failed signature; longer each time. */
const signRetryMs = 10_000;
const longestSignRetryMs = 600_000;
/** How many statements of one pair are looked into at once, and how soon another is. */
const maxHeard = 4;
const msPerHeard = 15_000;
/** A signer's clock that is off by more says nothing about when. */
const tolerableSkewMs = 86_400_000;
/** Changed statements of one pair that are written at once, and how soon another is: a peer must not fill the disk. */
const maxWritten = 4;
const msPerWritten = 600_000;
/** Two logs that differ for so long, with nothing under way, differ for good. */
const patienceMs = 300_000;

/** Our account with another operator's node has moved: the other side is told, soon. */
export function touchAccount(step: Step, record: LogRecord): void {
  if (!("ownPeer" in record) || record.ownPeer) return;
  const { state, now } = step;
  const pair = pairOf(state, record.node, record.peer);
  pair.changedAtMs = now.atMs;
  pair.differsSinceMs = undefined;
  plan(state, pair, now.atMs + settleMs);
}

/** A session speaks for a node, knows one of ours, or a node of ours answers: whoever lacks our statement gets it. */
export function sayAccounts(step: Step, remote?: NodePubkey): void {
  const { state, now } = step;
  for (const node of state.nodes) {
    if (!node.up || !node.info) continue;
    const own = node.info.pubkey;
    for (const accounts of state.ledger.accounts.pairs.values()) {
      const [account] = accounts.values();
      if (account?.node !== own || (remote !== undefined && account.peer !== remote)) continue;
      if (pairTotals(state.ledger.accounts, own, account.peer) === undefined) continue;
      const pair = pairOf(state, own, account.peer);
      if (sessionsOf(state, pair).length === 0) continue;
      // A new session needn't wait until another may be signed.
      if (pair.said !== undefined) deliver(step, pair);
      plan(state, pair, now.atMs);
    }
  }
}

function plan({ config }: BalancerState, pair: Pair, atMs: number): void {
  const { accountSpacingMs = spacingMs } = config;
  if (accountSpacingMs === Infinity) return;
  pair.dueAtMs = Math.min(pair.dueAtMs ?? Infinity, Math.max(atMs, pair.signedAtMs + accountSpacingMs));
}

const keyOf = ({ node, peer }: Pair) => pairKey(node, peer);

function pairOf({ accountPairs, ledger }: BalancerState, node: NodePubkey, peer: NodePubkey): Pair {
  const key = pairKey(node, peer);
  let pair = accountPairs.get(key);
  if (pair === undefined) {
    pair = {
      ...{ node, peer },
      ...{ said: undefined, signing: false, signedAtMs: -Infinity, dueAtMs: undefined, failures: 0 },
      ...{ changedAtMs: -Infinity, heard: undefined, heardLeft: maxHeard, heardAtMs: -Infinity },
      ...{
        written: ledger.statements.get(key),
        writtenHeardAtMs: -Infinity,
        writesLeft: maxWritten,
        writtenAtMs: 0,
        writeAtMs: undefined,
      },
      ...{ differsSinceMs: undefined, told: "" },
    };
    accountPairs.set(key, pair);
  }
  return pair;
}

/** Only those who have proven the node are told of its account, and only once they know ours: else they take us for a stranger. */
function sessionsOf(state: BalancerState, { node, peer: remote }: Pick<Pair, "node" | "peer">): PeerSession[] {
  if (isOwn(state, remote)) return [];
  return [...state.peers.values()].filter((peer) =>
    peer.via === "swarm" && hasProven(peer, remote) && isIntroduced(peer, node)
  );
}

function sayDue(step: Step, pair: Pair): void {
  const { state, now } = step;
  pair.dueAtMs = undefined;
  const node = nodeByPubkey(state, pair.node);
  const sessions = sessionsOf(state, pair);
  const totals = pairTotals(state.ledger.accounts, pair.node, pair.peer);
  if (!node?.up || pair.signing || state.draining || sessions.length === 0 || totals === undefined) return;
  if (pair.said && numbersOf(pair.said) === numbersOf({ ...pair.said, ...totals })) return deliver(step, pair);
  pair.signing = true;
  const statement: Statement = {
    ...{ node: pair.node, peer: pair.peer },
    ...totals,
    logHead: { ...state.logHead },
    atWallMs: Math.round(now.wallMs),
  };
  const args = [accountText(statement)] as const;
  call(step, node.ref, { method: "signMessage", args }, { kind: "account", node: node.ref, statement });
}

export function onAccountSigned(step: Step, statement: Statement, reply: NodeReply): void {
  const { state, now } = step;
  const pair = pairOf(state, statement.node, statement.peer);
  pair.signing = false;
  if (reply.ok && reply.method === "signMessage") {
    pair.failures = 0;
    pair.signedAtMs = now.atMs;
    pair.said = { type: "account", ...statement, signature: reply.value };
    deliver(step, pair);
    // What has moved meanwhile is said later.
    const totals = pairTotals(state.ledger.accounts, pair.node, pair.peer);
    if (totals && numbersOf(statement) !== numbersOf({ ...statement, ...totals })) plan(state, pair, now.atMs);
    return;
  }
  pair.failures++;
  pair.dueAtMs = now.atMs + backOffMs(step, pair.failures, signRetryMs, longestSignRetryMs);
  if (pair.failures > 1 || reply.ok || nodeByPubkey(state, pair.node)?.up !== true) return;
  tellOfChannel(step, undefined, {
    kind: "warning",
    level: "warn",
    message: `${nameOf(state, pair.node)} did not sign its statement of account: ${reply.message}. ${reply.remedy}`,
    node: pair.node,
  });
}

function deliver(step: Step, pair: Pair): void {
  const { said } = pair;
  invariant(said, "a statement is sent that nobody signed");
  for (const peer of sessionsOf(step.state, pair)) {
    if (peer.accountsSaid.get(keyOf(pair)) === said) continue;
    peer.accountsSaid.set(keyOf(pair), said);
    send(step, peer, said);
  }
}

/** What another operator's node says of its account with one of ours. Whatever it is, it changes nothing but what we know. */
export function onAccount(step: Step, peer: PeerSession, message: AccountMessage): void {
  const { state, now } = step;
  const node = nodeByPubkey(state, message.peer);
  const isStranger = peer.via !== "swarm" || !hasProven(peer, message.node) || isOwn(state, message.node);
  if (isStranger || node === undefined || !haveDealings(state, node, message.node)) return countIgnored(step);
  const pair = pairOf(state, message.peer, message.node);
  pair.heardLeft = Math.min(maxHeard, pair.heardLeft + (now.atMs - pair.heardAtMs) / msPerHeard);
  pair.heardAtMs = now.atMs;
  if (pair.heardLeft < 1) return countIgnored(step);
  pair.heardLeft--;
  if (Math.abs(message.atWallMs - now.wallMs) > tolerableSkewMs || !isSigned(message)) {
    state.ignored.forgeries++;
    return armReport(step);
  }
  pair.heard = message;
  const alias = peer.nodes.get(message.node)?.alias ?? "";
  // The same numbers after a payment of ours are news: it denies that payment.
  const isNews = pair.written === undefined || numbersOf(pair.written) !== numbersOf(message) ||
    pair.changedAtMs > pair.writtenHeardAtMs;
  if (isNews) {
    pair.writtenHeardAtMs = now.atMs;
    pair.written = toRecord(message, alias, now.wallMs);
    pair.writesLeft = Math.min(maxWritten, pair.writesLeft + (now.atMs - pair.writtenAtMs) / msPerWritten);
    pair.writtenAtMs = now.atMs;
    pair.writeAtMs = now.atMs + Math.max(0, 1 - pair.writesLeft) * msPerWritten;
    writeDue(step, pair);
  }
  compare(step, pair);
}

/** A pair costs memory and disk: there is one for each channel or former deal, and no other. */
function haveDealings({ ledger }: BalancerState, node: NodeState, remote: NodePubkey): boolean {
  if (node.info && pairTotals(ledger.accounts, node.info.pubkey, remote) !== undefined) return true;
  for (const { channel } of node.sides.values()) if (channel.remotePubkey === remote) return true;
  return false;
}

function writeDue(step: Step, pair: Pair): void {
  if (pair.writeAtMs === undefined || step.now.atMs < pair.writeAtMs || pair.written === undefined) return;
  pair.writeAtMs = undefined;
  pair.writesLeft = Math.min(maxWritten, pair.writesLeft + (step.now.atMs - pair.writtenAtMs) / msPerWritten) - 1;
  pair.writtenAtMs = step.now.atMs;
  // Dated by the clock as it is now: one that was set while this waited has its own note before it.
  note(step, { ...pair.written, atWallMs: step.now.wallMs });
}

/** The program stops: what waits is written now. */
export function writeStatements(step: Step): void {
  for (const pair of step.state.accountPairs.values()) {
    if (pair.writeAtMs !== undefined) pair.writeAtMs = step.now.atMs;
    writeDue(step, pair);
  }
}

function toRecord(message: AccountMessage, alias: string, wallMs: number): StatementRecord {
  const { node, peer, paidSat, receivedSat, openSat, count, logHead, atWallMs, signature } = message;
  return {
    kind: "statement",
    atWallMs: wallMs,
    ...{ node, alias, peer, paidSat, receivedSat, openSat, count, signature },
    logLength: logHead.length,
    logTreeHash: logHead.treeHash,
    saidAtWallMs: atWallMs,
  };
}

function numbersOf(
  { paidSat, receivedSat, openSat, count }: Pick<Statement, "paidSat" | "receivedSat" | "openSat" | "count">,
): string {
  return [paidSat, receivedSat, openSat, count].join(" ");
}

/** Settled amounts, when nothing of either side is under way; whatever moves begins the wait anew. */
function compare(step: Step, pair: Pair): void {
  const { state, now } = step;
  const difference = differenceOf(state, pair);
  if (difference === undefined) {
    pair.differsSinceMs = undefined;
  } else if (difference === "") {
    pair.differsSinceMs = undefined;
    if (pair.told === "") return;
    pair.told = "";
    tell(step, {
      kind: "account-differs",
      level: "info",
      message: `The account of ${nameOf(state, pair.node)} with ${
        nameOf(state, pair.peer)
      } is the same on both sides again`,
      ...{ node: pair.node, peer: pair.peer },
    });
  } else {
    pair.differsSinceMs ??= now.atMs;
  }
}

/** In words; empty: none. Undefined: it can't be told now. */
function differenceOf({ ledger }: BalancerState, pair: Pair): string | undefined {
  const ours = pairTotals(ledger.accounts, pair.node, pair.peer);
  const theirs = pair.heard;
  if (theirs === undefined) return undefined;
  if (theirs.openSat > 0n || (ours?.openSat ?? 0n) > 0n) return undefined;
  for (const { node, peer } of ledger.invoices.values()) if (node === pair.node && peer === pair.peer) return undefined;
  const paidSat = ours?.paidSat ?? addSat();
  const receivedSat = ours?.receivedSat ?? addSat();
  if (paidSat === theirs.receivedSat && receivedSat === theirs.paidSat) return "";
  const net = subSat(subSat(paidSat, theirs.receivedSat), subSat(receivedSat, theirs.paidSat));
  return `our log: paid ${sats(paidSat)}, received ${sats(receivedSat)}; theirs, signed: received ${
    sats(theirs.receivedSat)
  }, paid ${sats(theirs.paidSat)}; the net positions differ by ${sats(net)}`;
}

function tellDifference(step: Step, pair: Pair): void {
  const { state } = step;
  pair.differsSinceMs = undefined;
  const difference = differenceOf(state, pair);
  if (!difference || pair.told === difference || sessionsOf(state, pair).length === 0) return;
  pair.told = difference;
  tell(step, {
    kind: "account-differs",
    level: "warn",
    message:
      `The account of ${nameOf(state, pair.node)} with ${nameOf(state, pair.peer)} isn't the same on both sides: ` +
      `${difference}. Nothing is decided by it; compare with LND: \`tightrope ledger\``,
    ...{ node: pair.node, peer: pair.peer },
  });
}

export function accountTimers(step: Step): void {
  const { now } = step;
  for (const pair of step.state.accountPairs.values()) {
    if (pair.dueAtMs !== undefined && now.atMs >= pair.dueAtMs) sayDue(step, pair);
    writeDue(step, pair);
    if (pair.differsSinceMs !== undefined && now.atMs >= pair.differsSinceMs + patienceMs) tellDifference(step, pair);
  }
}

export function* accountDeadlines(state: BalancerState): Generator<number | undefined> {
  for (const { dueAtMs, writeAtMs, differsSinceMs } of state.accountPairs.values()) {
    yield dueAtMs;
    yield writeAtMs;
    if (differsSinceMs !== undefined) yield differsSinceMs + patienceMs;
  }
}
