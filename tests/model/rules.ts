import type { TransactionRecord } from "../../lib/audit/record.ts";
import type { PaymentHash } from "../../lib/domain/ids.ts";
import { BrokenRule, startWallMs, type World } from "./world.ts";

/** What holds in every state. @throws BrokenRule */
export function checkState(world: World): void {
  const [payer, payee] = world.parties;
  const { lnd } = world;
  for (const [hash, { state }] of lnd.payments) {
    const kinds = kindsOf(payer.disk, hash);
    require(kinds.includes("intent"), `LND pays ${hash} and the log has no intent`);
    require(kindsOf(payee.disk, hash).includes("invoiced"), `${hash} is paid and its payee's log doesn't know it`);
    const counted = payer.state.ledger.payments.get(hash);
    if (state !== "failed") {
      require(counted !== undefined, `LND pays ${hash} and it doesn't count as spent`);
      require(!kinds.includes("failed"), `the log has ${hash} as failed and LND as ${state}`);
    }
  }
  for (const record of payer.disk) {
    const state = lnd.payments.get(record.paymentHash)?.state;
    if (record.kind === "settled") require(state === "settled", `the log has ${record.paymentHash} as settled`);
  }
  // A call that has left may still be obeyed.
  for (const { call } of payer.calls) {
    if (call.method !== "pay") continue;
    const counted = payer.state.ledger.payments.get(call.args[0].paymentHash);
    require(counted !== undefined, `${call.args[0].paymentHash} is asked of LND and doesn't count as spent`);
  }
  for (const record of payee.disk) {
    const invoice = lnd.invoices.get(record.paymentHash);
    if (record.kind === "received") require(invoice?.state === "settled", `${record.paymentHash} isn't received`);
    if (record.kind === "cancelled") require(invoice?.state !== "settled", `${record.paymentHash} was received`);
  }
}

/** What holds once nothing fails any more and everybody has had time. @throws BrokenRule */
export function checkEnd(world: World): void {
  const [payer, payee] = world.parties;
  for (const { state, appends, calls } of world.parties) {
    require(state.asks.size + state.payments.size + state.requests.size === 0, "something is still under way");
    require(appends.length + calls.length === 0, "something is still unanswered");
  }
  let paidSat = 0;
  for (const [hash, { state, amountSat }] of world.lnd.payments) {
    if (state !== "settled" && state !== "failed") throw new BrokenRule(`${hash} hangs`);
    if (state === "settled") paidSat += amountSat;
    require(kindsOf(payer.disk, hash).includes(state), `the payer's log lacks that ${hash} ${state}`);
    if (state === "settled") {
      require(kindsOf(payee.disk, hash).includes("received"), `the payee's log lacks that ${hash} came`);
    }
  }
  for (const { disk } of world.parties) {
    for (const { kind, paymentHash } of disk) {
      if (kind !== "intent" && kind !== "invoiced") continue;
      const ends = kindsOf(disk, paymentHash).filter((kind) => !["intent", "invoiced", "unknown"].includes(kind));
      require(ends.length === 1, `${paymentHash} has ${ends.length} ends in the log`);
    }
  }
  for (const [hash, invoice] of world.lnd.invoices) {
    const dead = invoice.state !== "open" || world.atMs + startWallMs >= invoice.expiresAtWallMs;
    require(dead, `the invoice ${hash} could still be paid`);
  }
  const owedSat = Number(payer.state.ledger.positions.get(payee.state.nodes[0]!.info!.pubkey) ?? 0n);
  require(owedSat === paidSat, `the payer's position is ${owedSat} and it has paid ${paidSat}`);
  const creditSat = -Number(payee.state.ledger.positions.get(payer.state.nodes[0]!.info!.pubkey) ?? 0n);
  require(creditSat === paidSat, `the payee's position is ${-creditSat} and it has got ${paidSat}`);
  const share = world.lnd.localSat[1] / (world.lnd.localSat[0] + world.lnd.localSat[1]);
  require(Math.abs(share - 0.5) <= 0.1, `the payee is left with ${share}`);
}

function kindsOf(disk: readonly TransactionRecord[], hash: PaymentHash): TransactionRecord["kind"][] {
  return disk.filter((record) => record.paymentHash === hash).map(({ kind }) => kind);
}

function require(holds: boolean, otherwise: string): void {
  if (!holds) throw new BrokenRule(otherwise);
}
