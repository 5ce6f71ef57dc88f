import type { LogRecord } from "../../lib/audit/record.ts";
import type { PaymentHash } from "../../lib/domain/ids.ts";
import { otherThan, type Owner, stateAt } from "./lnd.ts";
import { BrokenRule, dealsOf, nameOf, startWallMs, wall, type World } from "./world.ts";

/** What holds in every state. @throws BrokenRule */
export function checkState(world: World): void {
  for (const owner of [0, 1] as const) {
    checkPayer(world, owner);
    checkPayee(world, owner);
  }
}

function checkPayer(world: World, owner: Owner): void {
  const { lnd, parties } = world;
  const { disk, state, calls } = parties[owner];
  const counts = (hash: PaymentHash) => {
    const { amountSat } = lnd.invoices.get(hash)!;
    return Number(state.ledger.payments.get(hash)?.amountSat ?? 0) === amountSat;
  };
  for (const [hash, payment] of lnd.payments) {
    if (payment.owner !== owner) continue;
    const kinds = kindsOf(disk, hash);
    require(kinds.includes("intent"), `LND pays ${hash} and the log has no intent`);
    require(
      kindsOf(parties[otherThan(owner)].disk, hash).includes("invoiced"),
      `${hash} is paid and its payee's log doesn't know it`,
    );
    if (payment.state === "failed") continue;
    require(counts(hash), `LND pays ${hash} and it doesn't count as spent`);
    require(!kinds.includes("failed"), `the log has ${hash} as failed and LND as ${payment.state}`);
  }
  for (const record of disk) {
    if (record.kind !== "settled") continue;
    require(lnd.payments.get(record.paymentHash)?.state === "settled", `the log has ${record.paymentHash} as settled`);
  }
  // A call that has left may still be obeyed.
  for (const { call } of calls) {
    if (call.method !== "pay") continue;
    const { paymentHash } = call.args[0];
    require(counts(paymentHash), `${paymentHash} is asked of LND and doesn't count as spent`);
  }
}

function checkPayee(world: World, owner: Owner): void {
  const { lnd, parties } = world;
  const { disk, appends } = parties[owner];
  const open = new Set<PaymentHash>();
  for (const record of [...disk, ...appends.map(({ record }) => record)]) {
    if (record.kind === "invoiced") open.add(record.paymentHash);
    if (record.kind === "received" || record.kind === "cancelled") open.delete(record.paymentHash);
  }
  require(open.size <= 1, `the ${nameOf(owner)} one has ${open.size} requests open on one channel`);
  for (const record of disk) {
    if (record.kind !== "received" && record.kind !== "cancelled") continue;
    const invoice = lnd.invoices.get(record.paymentHash);
    const is = invoice && stateAt(invoice, wall(world));
    const should = record.kind === "received" ? "settled" : "cancelled";
    require(is === should, `the log has ${record.paymentHash} as ${record.kind}, and LND its invoice as ${is}`);
  }
}

/** What holds once nothing fails any more and everybody has had time. @throws BrokenRule */
export function checkEnd(world: World): void {
  const { lnd, parties } = world;
  for (const { state, appends, calls } of parties) {
    require(state.asks.size + state.payments.size + state.requests.size === 0, "something is still under way");
    require(appends.length + calls.length === 0, "something is still unanswered");
  }
  const paidSat: [number, number] = [0, 0];
  for (const [hash, { owner, state, amountSat }] of lnd.payments) {
    if (state !== "settled" && state !== "failed") throw new BrokenRule(`${hash} hangs`);
    if (state === "settled") paidSat[owner] += amountSat;
    require(kindsOf(parties[owner].disk, hash).includes(state), `the payer's log lacks that ${hash} ${state}`);
    if (state === "settled") {
      require(
        kindsOf(parties[otherThan(owner)].disk, hash).includes("received"),
        `the payee's log lacks that ${hash} came`,
      );
    }
  }
  for (const { disk } of parties) {
    for (const { kind, paymentHash } of dealsOf(disk)) {
      if (kind !== "intent" && kind !== "invoiced") continue;
      const ends = kindsOf(disk, paymentHash).filter((kind) => !["intent", "invoiced", "unknown"].includes(kind));
      require(ends.length === 1, `${paymentHash} has ${ends.length} ends in the log`);
    }
  }
  for (const [hash, invoice] of lnd.invoices) {
    const dead = invoice.state !== "open" || world.atMs + startWallMs >= invoice.expiresAtWallMs;
    require(dead, `the invoice ${hash} could still be paid`);
  }
  for (const owner of [0, 1] as const) {
    const other = parties[otherThan(owner)].state.nodes[0]!.info!.pubkey;
    const positionSat = Number(parties[owner].state.ledger.positions.get(other) ?? 0n);
    const wantSat = paidSat[owner] - paidSat[otherThan(owner)];
    require(positionSat === wantSat, `the ${nameOf(owner)} one's position is ${positionSat} instead of ${wantSat}`);
  }
  const settled = [...lnd.payments.values()].filter(({ state }) => state === "settled").length;
  require(settled <= 1 + world.moves, `${settled} payments where the channel was moved ${world.moves} times`);
  const share = lnd.localSat[1] / (lnd.localSat[0] + lnd.localSat[1]);
  require(Math.abs(share - 0.5) <= 0.1, `the second one is left with ${share}`);
}

function kindsOf(disk: readonly LogRecord[], hash: PaymentHash): LogRecord["kind"][] {
  return dealsOf(disk).filter((record) => record.paymentHash === hash).map(({ kind }) => kind);
}

function require(holds: boolean, otherwise: string): void {
  if (!holds) throw new BrokenRule(otherwise);
}
