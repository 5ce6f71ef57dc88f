import assert from "node:assert/strict";
import { evenWallMsAtStart, foldLedger } from "../../lib/audit/ledger.ts";
import type { StatementRecord } from "../../lib/audit/record.ts";
import { evenWallMsOf } from "../../lib/balancer/clocks.ts";
import { sat } from "../../lib/domain/amounts.ts";
import type { AccountMessage } from "../../lib/protocol/messages.ts";
import { accountText, isSigned } from "../../lib/protocol/signatures.ts";
import { Harness, type TestInstance } from "./harness.ts";
import { Rogue } from "./rogue.ts";

/** Alice has paid Bob once, each in an instance of its own; both are connected. */
async function lender(seed?: number) {
  const harness = new Harness(seed);
  const alice = harness.node("alice");
  const bob = harness.node("bob");
  const point = harness.channel(alice, bob, 2_000_000, 200_000);
  const settings = { maxTransactionsPerPeriod: 1_000 };
  const a = harness.instance({ nodes: [alice], settings });
  const b = harness.instance({ nodes: [bob], settings });
  await harness.runUntil(() => b.told("payment-received").length === 1, 60_000);
  return { harness, alice, bob, point, a, b };
}

const statementsOn = ({ log }: TestInstance): StatementRecord[] => log.filter((record) => record.kind === "statement");
const signCalls = ({ effects }: TestInstance) =>
  effects.filter((effect) =>
    effect.kind === "call" && effect.call.method === "signMessage" &&
    effect.call.args[0].startsWith("tightrope/2 account")
  ).length;

Deno.test("after a payment each side says how the account stands, signed by its node, and keeps the other's word", async () => {
  const { harness, alice, bob, a, b } = await lender();
  await harness.run(5_000);
  const [fromBob] = statementsOn(a);
  const [fromAlice] = statementsOn(b);
  assert.deepEqual(
    [fromAlice!.node, fromAlice!.peer, fromAlice!.alias, fromAlice!.paidSat, fromAlice!.receivedSat, fromAlice!.count],
    [alice, bob, "alice", 798_265n, 0n, 1],
  );
  assert.deepEqual([fromBob!.paidSat, fromBob!.receivedSat, fromBob!.openSat], [0n, 798_265n, 0n]);
  for (const record of [fromAlice!, fromBob!]) {
    const { logLength: length, logTreeHash: treeHash, saidAtWallMs: atWallMs, ...rest } = record;
    assert.ok(isSigned({ ...rest, logHead: { length, treeHash }, atWallMs }));
  }
  assert.deepEqual([a, b].map((one) => one.told("account-differs")), [[], []]);
  await harness.end();
});

Deno.test("numbers that don't change are said once; a new session hears them again, unsigned anew", async () => {
  const { harness, a, b } = await lender();
  await harness.run(3_600_000);
  assert.deepEqual([signCalls(a), signCalls(b)], [1, 1]);
  assert.equal(statementsOn(a).length, 1);
  await b.restart();
  await harness.run(10_000);
  assert.equal(signCalls(a), 1);
  assert.equal(signCalls(b), 2);
  // What is known already isn't written again.
  assert.deepEqual([statementsOn(a).length, statementsOn(b).length], [1, 1]);
  assert.equal(a.told("account-differs").length, 0);
  await harness.end();
});

Deno.test("a statement comes after the hello of the node that signed it, however slowly that node signs", async () => {
  const { harness, a, b } = await lender();
  await harness.run(5_000);
  a.tamper = async (_node, call, real) => {
    if (call.method === "signMessage") await new Promise<void>((resolve) => harness.after(500, resolve));
    return await real();
  };
  await b.crash();
  b.disk.length = 0;
  b.notes.length = 0;
  b.events.length = 0;
  b.start();
  await harness.run(120_000);
  assert.equal(statementsOn(b).length, 1);
  assert.deepEqual(b.told("requests-ignored"), []);
  await harness.end();
});

Deno.test("however often the numbers change, a statement a minute is signed, and after four one in ten minutes written", async () => {
  const { harness, alice, bob, point, a, b } = await lender();
  const startMs = harness.atMs;
  let turns = 0;
  while (harness.atMs - startMs < 3_600_000) {
    const from = turns++ % 2 === 0 ? bob : alice;
    harness.shift(point, from, harness.localSat(from, point) - 200_000);
    await harness.run(30_000);
  }
  assert.ok(a.disk.filter(({ kind }) => kind === "settled" || kind === "received").length > 40);
  assert.ok(signCalls(a) > 10 && signCalls(a) <= 62, `${signCalls(a)} signatures`);
  const written = statementsOn(b).length;
  assert.ok(written >= 8 && written <= 11, `${written} statements`);
  assert.deepEqual([...a.told("account-differs"), ...b.told("account-differs")], []);
  await harness.end();
});

Deno.test("an orderly stop writes what the other side last said", async () => {
  const { harness, a, say } = await borrower();
  for (let i = 0; i < 6; i++) {
    say();
    await harness.run(20_000);
  }
  assert.equal(statementsOn(a).at(-1)!.paidSat, 4n);
  a.take({ kind: "drain" });
  await harness.run(1_000);
  assert.equal(statementsOn(a).at(-1)!.paidSat, 6n);
  assert.ok(a.drained);
  await harness.end();
});

Deno.test("a difference that lasts is told once, with both numbers, and decides nothing", async () => {
  const { harness, bob, point, a, b } = await lender();
  await harness.run(5_000);
  // Alice's log forgets: a backup of before, and LND lists no payment any more.
  await a.crash();
  a.disk.length = 0;
  a.notes.length = 0;
  a.tamper = async (_node, call, real) =>
    call.method === "listPayments" ? { ok: true, method: "listPayments", value: [] } : await real();
  a.start();
  await harness.run(240_000);
  assert.deepEqual(b.told("account-differs"), []);
  harness.shift(point, bob, harness.localSat(bob, point) - 200_000);
  await harness.runUntil(() => b.told("payment-received").length === 2, 120_000);
  await harness.run(290_000);
  assert.deepEqual(b.told("account-differs"), []);
  await harness.run(3_600_000);
  const [first, ...more] = b.told("account-differs");
  assert.deepEqual(more, []);
  assert.match(
    first!.message,
    /bob .* with alice .* isn't the same on both sides: our log: paid 0 sat, received 1,596,530 sat; theirs, signed: received 0 sat, paid 798,265 sat; the net positions differ by -798,265 sat/,
  );
  assert.equal(a.told("account-differs").length, 1);
  // They still pay each other.
  harness.shift(point, bob, harness.localSat(bob, point) - 200_000);
  await harness.runUntil(() => b.told("payment-received").length === 3, 120_000);
  await harness.end();
});

Deno.test("who says the same again after another payment denies it, and that is kept", async () => {
  const { harness, alice, bob, point, a, b } = await lender();
  await harness.run(5_000);
  const [before] = statementsOn(a);
  harness.shift(point, bob, harness.localSat(bob, point) - 200_000);
  await harness.runUntil(() => b.told("payment-received").length === 2, 120_000);
  await b.crash();
  await harness.run(5_000);
  const rogue = new Rogue(harness, bob);
  await harness.runUntil(() => rogue.isConnected, 60_000);
  rogue.hello();
  await harness.run(100);
  const statement = {
    ...{ node: bob, peer: alice, paidSat: sat(0), receivedSat: before!.receivedSat, openSat: sat(0), count: 1 },
    ...{ logHead: { length: 9, treeHash: "" }, atWallMs: a.now.wallMs },
  };
  const signature = harness.network.signMessage(bob, new TextEncoder().encode(accountText(statement)));
  for (let i = 0; i < 3; i++) rogue.send({ type: "account", ...statement, signature });
  await harness.run(100);
  assert.deepEqual(statementsOn(a).map(({ receivedSat, logLength }) => [receivedSat, logLength]), [
    [before!.receivedSat, before!.logLength],
    [before!.receivedSat, 9],
  ]);
  await harness.run(400_000);
  assert.equal(a.told("account-differs").length, 1);
  await harness.end();
});

Deno.test("a payment under way is no difference", async () => {
  const { harness, bob, point, a, b } = await lender();
  await harness.run(120_000);
  a.tamper = async (_node, call, real) => {
    const reply = await real();
    if (call.method === "pay") return await new Promise(() => {});
    return call.method === "trackPayment" && a.state.payments.has(call.args[0])
      ? { ok: true, method: "trackPayment", value: { kind: "in-flight", index: 1n, routes: [] } }
      : reply;
  };
  harness.shift(point, bob, harness.localSat(bob, point) - 200_000);
  await harness.runUntil(() => b.told("payment-received").length === 2, 120_000);
  await harness.run(1_200_000);
  assert.equal(a.state.payments.size, 1);
  assert.deepEqual([...a.told("account-differs"), ...b.told("account-differs")], []);
  await harness.end();
});

/** Alice, and somebody with a channel to her who says what the test wants. */
async function borrower() {
  const harness = new Harness();
  const alice = harness.node("alice");
  const mallory = harness.node("mallory");
  harness.channel(alice, mallory, 2_000_000, 1_000_000);
  const a = harness.instance({ nodes: [alice] });
  const rogue = new Rogue(harness, mallory);
  await harness.runUntil(() => rogue.isConnected, 5_000);
  rogue.hello();
  await harness.run(100);
  let minutes = 0;
  const say = (over: Partial<AccountMessage> = {}, signer = mallory) => {
    const statement = {
      ...{ node: mallory, peer: alice, paidSat: sat(++minutes), receivedSat: sat(0), openSat: sat(0), count: 1 },
      logHead: { length: 0, treeHash: "" },
      atWallMs: a.now.wallMs,
      ...over,
    };
    const text = new TextEncoder().encode(accountText(statement));
    rogue.send({ type: "account", ...statement, signature: harness.network.signMessage(signer, text), ...over });
  };
  return { harness, alice, mallory, a, rogue, say };
}

Deno.test("what isn't signed by the node that it is of, is of strangers, or from another age, is counted and forgotten", async () => {
  const { harness, alice, mallory, a, rogue, say } = await borrower();
  const [carol, dave] = [harness.node("carol"), harness.node("dave")];
  harness.channel(alice, carol, 2_000_000, 1_000_000);
  // Proven, but nobody with whom Alice has anything to do.
  rogue.hello({ publicKey: dave }, dave);
  await harness.run(11_000);
  const bad: [string, () => void][] = [
    ["another's signature", () => say({}, carol)],
    ["a signature of other numbers", () => say({ signature: harness.network.signMessage(mallory, new Uint8Array(3)) })],
    ["somebody else's account", () => say({ node: carol }, carol)],
    ["an account with somebody else", () => say({ peer: carol })],
    ["a node without a channel", () => say({ node: dave }, dave)],
    ["an account of ours", () => say({ node: alice }, alice)],
    ["an account with itself", () => say({ peer: mallory })],
    ["the day after tomorrow", () => say({ atWallMs: a.now.wallMs + 2 * 86_400_000 })],
    ["last week", () => say({ atWallMs: a.now.wallMs - 7 * 86_400_000 })],
  ];
  for (const [, send] of bad) {
    send();
    await harness.run(20_000);
  }
  assert.deepEqual(statementsOn(a), []);
  await harness.run(120_000);
  const counts = a.told("requests-ignored").map(({ details }) => details!);
  const sum = (name: string) => counts.reduce((total, detail) => total + Number(detail[name]), 0);
  assert.deepEqual([sum("forgeries"), sum("requests")], [4, 5]);
  assert.deepEqual(a.told("request-refused"), []);
  // The same peer, honest.
  say();
  await harness.run(100);
  assert.equal(statementsOn(a).length, 1);
  await harness.end();
});

Deno.test("a flood of signed statements costs a look in 15 seconds and a record in ten minutes", async () => {
  const { harness, a, say } = await borrower();
  const before = a.events.length;
  for (let i = 0; i < 500; i++) say();
  await harness.run(1_000);
  assert.equal(a.state.accountPairs.size, 1);
  assert.equal(statementsOn(a).length, 4);
  assert.equal(a.events.length, before);
  assert.equal(a.state.ignored.requests, 496);
  for (let seconds = 0; seconds < 3_600; seconds += 5) {
    say();
    await harness.run(5_000);
  }
  assert.equal(statementsOn(a).length, 10);
  assert.equal(a.state.accountPairs.size, 1);
  await harness.end();
});

Deno.test("a statement that waited to be written moves no period when the clock was set meanwhile", async () => {
  const { harness, a, say } = await borrower();
  for (let i = 0; i < 4; i++) say();
  await harness.run(20_000);
  say();
  await harness.run(1_000);
  assert.equal(statementsOn(a).length, 4);
  a.wallOffsetMs -= 3_600_000;
  await harness.run(1_200_000);
  assert.equal(statementsOn(a).length, 5);
  const evenWallMs = evenWallMsOf(a.state, harness.atMs);
  await a.crash();
  assert.ok(evenWallMsAtStart(foldLedger(a.log, a.now), a.now.wallMs) <= evenWallMs);
  await harness.end();
});

Deno.test("statements go only to the session that has proven the node they are for", async () => {
  const { harness, a } = await lender();
  const mallory = harness.node("mallory");
  const rogue = new Rogue(harness, mallory);
  await harness.runUntil(() => rogue.isConnected, 5_000);
  rogue.hello();
  await harness.run(120_000);
  await a.restart();
  await harness.runUntil(() => rogue.isConnected, 60_000);
  rogue.hello();
  await harness.run(120_000);
  assert.deepEqual(rogue.received.filter(({ type }) => type === "account"), []);
  await harness.end();
});

Deno.test("what was paid while a statement was signed is said in the next", async () => {
  const { harness, bob, point, a, b } = await lender();
  a.tamper = async (_node, call, real) => {
    const isStatement = call.method === "signMessage" && call.args[0].startsWith("tightrope/2 account");
    if (isStatement) await new Promise<void>((resolve) => harness.after(180_000, resolve));
    return await real();
  };
  await harness.run(5_000);
  harness.shift(point, bob, harness.localSat(bob, point) - 200_000);
  await harness.runUntil(() => b.told("payment-received").length === 2, 170_000);
  assert.deepEqual(statementsOn(b), []);
  await harness.run(600_000);
  assert.deepEqual(statementsOn(b).map(({ count }) => count), [1, 2]);
  assert.equal(signCalls(a), 2);
  await harness.end();
});

Deno.test("that two accounts are the same again is told", async () => {
  const { harness, a, say } = await borrower();
  say();
  await harness.run(310_000);
  say({ paidSat: sat(0) });
  await harness.run(1_000);
  assert.deepEqual(a.told("account-differs").map(({ level }) => level), ["warn", "info"]);
  assert.match(a.told("account-differs")[1]!.message, /alice .* with mallory .* is the same on both sides again$/);
  await harness.end();
});
