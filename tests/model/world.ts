import type { EventRecord, TransactionRecord } from "../../lib/audit/record.ts";
import { type BalancerState, createBalancer, nextTimeoutMs, stepBalancer } from "../../lib/balancer/balancer.ts";
import type { BalancerEvent, Effect } from "../../lib/balancer/io.ts";
import type { BalanceSettings } from "../../lib/config/config.ts";
import { invariant } from "../../lib/domain/errors.ts";
import { parseSwarmKey, type PaymentHash } from "../../lib/domain/ids.ts";
import type { NodeCall, NodeReply } from "../../lib/lightning/node.ts";
import { channelIds } from "../../lib/domain/channel.ts";
import { limits, settings } from "../policy/fixtures.ts";
import {
  answer,
  canClaim,
  claim,
  createLnd,
  type Lnd,
  nodeInfo,
  type Owner,
  paymentStatus,
  pubkeys,
  startPayment,
} from "./lnd.ts";

/**
 * The protocol of two operators as a transition system: the real balancer twice, one channel between their nodes, and
 * everything that can happen next as a list of actions. Plain data, so that an explorer can copy it and try each action.
 *
 * What may come in any order: frames, the answers to calls that move money or stand for it, appends reaching the disk, the
 * HTLC, the end of the connection, a crash of either side, and time. Reads that only look (`listChannels`, `listPayments`,
 * `decodeInvoice`, `signMessage`, `getInfo`) are answered at once: their order changes what is known, not what is owed.
 */
export interface World {
  atMs: number;
  readonly lnd: Lnd;
  readonly parties: readonly [Party, Party];
  /** Payments that LND was asked for and hasn't looked at; nobody waits for the answer any more. */
  late: { readonly owner: Owner; readonly paymentHash: PaymentHash }[];
  /** Of the connection that stands, if one does. */
  connection: number | undefined;
  connections: number;
  /** How many faults may still happen. */
  faultsLeft: number;
  readonly flaw: Flaw | undefined;
  random: number;
}

/** What goes wrong, or takes longer than a deadline. */
export type Fault = "crash" | "cut" | "lost answer" | "failed HTLC" | "delay";

/** What a program with that mistake would have LND or the disk seem to say; a rule must notice. */
export type Flaw =
  | "a lost answer counts as a failure"
  | "not found counts as a failure"
  | "records are on disk before they are";

export interface Party {
  state: BalancerState;
  /** What survives a crash. */
  readonly disk: TransactionRecord[];
  appends: { readonly appendId: number; readonly record: TransactionRecord }[];
  calls: { readonly callId: number; readonly call: NodeCall; sent: boolean }[];
  inbox: Uint8Array[];
  events: EventRecord[];
  /** Hashes that `pay` was called with, in all its lives. */
  readonly paid: PaymentHash[];
}

export interface Action {
  readonly name: string;
  readonly fault?: Fault;
  readonly run: (world: World) => void;
}

/** A rule of the protocol that doesn't hold. */
export class BrokenRule extends Error {
  override readonly name = "BrokenRule";
}

/** What the explorer wants to know of each step of a balancer. */
export interface Observer {
  /** Before the step; what it returns is called after it. The state is the same object unless the process is new. */
  step(party: Owner, before: BalancerState, event: BalancerEvent): (after: BalancerState) => void;
}

const names = ["payer", "payee"] as const;
const dayMs = 86_400_000;
/** Longer than any deadline of one request; the next poll comes after a day. */
const longestWaitMs = 1_200_000;
export const startWallMs = Date.UTC(2026, 0, 1);
const authKey = new Uint8Array(32).fill(7);
const swarmKeys = ["01", "02"].map((digits) => parseSwarmKey(digits.repeat(32))!);
const immediate: readonly NodeCall["method"][] = [
  "getInfo",
  "listChannels",
  "listPayments",
  "decodeInvoice",
  "signMessage",
];

/** Polls only after hints: time passes for the protocol's own deadlines. */
const modelSettings: BalanceSettings = { ...settings, refreshRateMs: dayMs, minTimeBetweenPaymentsMs: 0 };

/** Both are connected and have proven their nodes; the payee's side of the channel is far too small. */
export function createWorld(faults: number, flaw?: Flaw): World {
  const world: World = {
    atMs: 0,
    lnd: createLnd([800_000, 200_000]),
    parties: [createParty(), createParty()],
    late: [],
    connection: undefined,
    connections: 0,
    faultsLeft: faults,
    flaw,
    random: 0,
  };
  for (const owner of [0, 1] as const) start(world, owner);
  connect(world);
  // Until the payee asks.
  while (world.parties[1].calls.length === 0) passTime(world);
  return world;
}

function createParty(): Party {
  return {
    state: createState(),
    disk: [],
    appends: [],
    calls: [],
    inbox: [],
    events: [],
    paid: [],
  };
}

function createState(): BalancerState {
  return createBalancer({
    authKey,
    requireNodeProof: true,
    nodeCount: 1,
    dryRun: false,
    // They move no money, and each would double the states.
    accountSpacingMs: Infinity,
    limits: { ...limits, baseSettings: modelSettings },
  });
}

function start(world: World, owner: Owner): void {
  const party = world.parties[owner];
  const before = party.state;
  party.state = createState();
  take(world, owner, { kind: "started", transactions: structuredClone(party.disk), pauses: [] }, before);
  take(world, owner, { kind: "node", node: 0, event: { kind: "up", info: nodeInfo(owner) } });
}

const wall = (world: World) => startWallMs + world.atMs;

let observer: Observer | undefined;
/** Watches every step that `run` makes. */
export function observed(by: Observer, run: () => void): void {
  observer = by;
  try {
    run();
  } finally {
    observer = undefined;
  }
}

function take(world: World, owner: Owner, event: BalancerEvent, previous = world.parties[owner].state): void {
  const { state } = world.parties[owner];
  const stepped = observer?.step(owner, previous, event);
  // Never the same bytes twice, and no chance in the waiting times.
  const random = {
    bytes: (length: number) => {
      const bytes = new Uint8Array(length);
      if (length > 4) new DataView(bytes.buffer).setUint32(0, ++world.random);
      return bytes;
    },
  };
  const effects = stepBalancer(state, event, { atMs: world.atMs, wallMs: wall(world) }, random);
  stepped?.(state);
  for (const effect of effects) perform(world, owner, effect);
}

function perform(world: World, owner: Owner, effect: Effect): void {
  const party = world.parties[owner];
  switch (effect.kind) {
    case "call": {
      const { callId, call } = effect;
      const isLook = immediate.includes(call.method) || party.state.calls.get(callId)?.kind === "request-hash";
      if (isLook) {
        return take(world, owner, { kind: "reply", callId, reply: answer(world.lnd, owner, call, wall(world)) });
      }
      if (call.method === "pay") onPayCalled(party, call.args[0].paymentHash);
      party.calls.push({ callId, call, sent: false });
      return;
    }
    case "append":
      party.appends.push({ appendId: effect.appendId, record: effect.record });
      if (world.flaw === "records are on disk before they are") {
        take(world, owner, { kind: "appended", appendId: effect.appendId });
      }
      return;
    case "event":
      party.events.push(effect.record);
      return;
    case "send":
      if (effect.connection === world.connection) world.parties[1 - owner]!.inbox.push(effect.frame);
      return;
    case "disconnect":
      if (effect.connection === world.connection) cut(world);
      return;
    case "pause":
      throw new BrokenRule(`the breaker of the ${names[owner]} tripped: ${party.state.breaker}`);
    case "authenticated":
    case "drained":
      return;
  }
}

function onPayCalled(party: Party, paymentHash: PaymentHash): void {
  if (party.paid.includes(paymentHash)) throw new BrokenRule(`${paymentHash} is sent a second time`);
  party.paid.push(paymentHash);
  if (!party.disk.some((record) => record.kind === "intent" && record.paymentHash === paymentHash)) {
    throw new BrokenRule(`${paymentHash} is sent before its intent is on disk`);
  }
}

// What happens.

/** A connection, and the proofs over it; whatever comes after them is still on its way. */
function connect(world: World): void {
  const connection = ++world.connections;
  world.connection = connection;
  const handshakeHash = new Uint8Array(64);
  new DataView(handshakeHash.buffer).setUint32(0, connection);
  for (const owner of [0, 1] as const) {
    const [localKey, remoteKey] = [swarmKeys[owner]!, swarmKeys[1 - owner]!];
    const event = {
      ...{ kind: "connected", via: "swarm" } as const,
      ...{ connection, initiator: owner === 0, localKey, remoteKey, handshakeHash },
    };
    take(world, owner, { kind: "transport", event });
  }
  const introduced = (owner: Owner) =>
    world.parties[owner].state.peers.get(connection)?.nodes.get(pubkeys[1 - owner]!)?.proven === true;
  for (let turns = 0; !introduced(0) || !introduced(1); turns++) {
    invariant(turns < 100, "the two never introduce themselves");
    for (const owner of [0, 1] as const) if (!introduced(owner)) deliver(world, owner);
  }
}

function deliver(world: World, owner: Owner): void {
  const frame = world.parties[owner].inbox.shift();
  if (frame === undefined || world.connection === undefined) return;
  take(world, owner, { kind: "transport", event: { kind: "frame", connection: world.connection, frame } });
}

function cut(world: World): void {
  const { connection } = world;
  if (connection === undefined) return;
  world.connection = undefined;
  for (const owner of [0, 1] as const) {
    world.parties[owner].inbox = [];
    if (!world.parties[owner].state.peers.has(connection)) continue;
    take(world, owner, { kind: "transport", event: { kind: "disconnected", connection, reason: "cut" } });
  }
}

function finishAppend(world: World, owner: Owner): void {
  const party = world.parties[owner];
  const { appendId, record } = party.appends.shift()!;
  party.disk.push(record);
  if (world.flaw !== "records are on disk before they are") take(world, owner, { kind: "appended", appendId });
}

function reply(world: World, owner: Owner, callId: number, reply: NodeReply): void {
  const party = world.parties[owner];
  party.calls = party.calls.filter((call) => call.callId !== callId);
  take(world, owner, { kind: "reply", callId, reply });
}

function unavailable({ flaw }: World, call: NodeCall): NodeReply {
  if (call.method === "pay" && flaw === "a lost answer counts as a failure") {
    return { ok: true, method: "pay", value: { kind: "failed", index: 1n, failure: "error" } };
  }
  return call.method === "pay"
    ? { ok: true, method: "pay", value: { kind: "unknown", detail: "the answer got lost" } }
    : { ok: false, method: call.method, kind: "unavailable", message: "the answer got lost", remedy: "" };
}

/** LND gets a call: most are answered with it, `pay` only when the HTLC has ended. */
function execute(world: World, owner: Owner, callId: number): void {
  const pending = world.parties[owner].calls.find((call) => call.callId === callId)!;
  const { call } = pending;
  if (call.method !== "pay") {
    const said = answer(world.lnd, owner, call, wall(world));
    const isFlawed = world.flaw === "not found counts as a failure" && said.ok && said.method === "trackPayment" &&
      said.value.kind === "not-found";
    return reply(
      world,
      owner,
      callId,
      isFlawed ? { ...said, value: { kind: "failed", index: 1n, failure: "error" } } : said,
    );
  }
  const refusal = startPayment(world.lnd, call.args[0].paymentHash, owner, wall(world));
  if (refusal === undefined) pending.sent = true;
  else reply(world, owner, callId, { ok: true, method: "pay", value: { kind: "rejected", detail: refusal } });
}

/** LND does what the call says, and nobody hears of it. */
function executeUnheard(world: World, owner: Owner, call: NodeCall): void {
  if (call.method === "pay") startPayment(world.lnd, call.args[0].paymentHash, owner, wall(world));
  else answer(world.lnd, owner, call, wall(world));
}

/** A request that is still on its way when its sender gives up may be obeyed later. */
function linger(world: World, owner: Owner, call: NodeCall): void {
  if (call.method === "pay") world.late.push({ owner, paymentHash: call.args[0].paymentHash });
}

function crash(world: World, owner: Owner, appendsKept: number, executed: boolean): void {
  const party = world.parties[owner];
  for (const { record } of party.appends.slice(0, appendsKept)) party.disk.push(record);
  party.appends = [];
  for (const { call, sent } of party.calls) {
    if (!sent) (executed ? executeUnheard : linger)(world, owner, call);
  }
  party.calls = [];
  const { connection } = world;
  world.connection = undefined;
  for (const { inbox } of world.parties) inbox.length = 0;
  start(world, owner);
  const other = (1 - owner) as Owner;
  if (connection !== undefined && world.parties[other].state.peers.has(connection)) {
    take(world, other, { kind: "transport", event: { kind: "disconnected", connection, reason: "gone" } });
  }
}

/** The next moment at which a balancer acts by itself; goes on until one did more than look at its channels. */
function passTime(world: World, farthestMs = longestWaitMs): void {
  const latestMs = world.atMs + farthestMs;
  for (let turns = 0; turns < 500; turns++) {
    const due = world.parties.map(({ state }) => nextTimeoutMs(state) ?? Infinity);
    const atMs = Math.min(...due);
    if (atMs > latestMs) return;
    world.atMs = Math.max(world.atMs, atMs);
    const before = standing(world);
    for (const owner of [0, 1] as const) if (due[owner]! <= world.atMs) take(world, owner, { kind: "timeout" });
    if (standing(world) !== before) return;
  }
}

/** What the parties are in the middle of, without the times. */
function standing(world: World): string {
  return JSON.stringify(
    world.parties.map(({ state, calls, appends, inbox }) => [
      [...state.asks.values()].map((ask) => [ask.phase, ask.busy, ask.cancelReason]),
      [...state.payments.values()].map(({ phase, trackBusy, asker }) => [phase, trackBusy, asker === undefined]),
      [state.requests.size, calls.length, appends.length, inbox.length],
    ]),
  );
}

/** Everything that can happen next. */
export function actionsOf(world: World): Action[] {
  const actions: Action[] = [];
  const add = (name: string, run: Action["run"], fault?: Fault) => {
    if (fault === undefined || world.faultsLeft > 0) actions.push({ name, run, ...(fault ? { fault } : {}) });
  };
  if (world.connection === undefined) add("they connect again", connect);
  else add("the connection is cut", cut, "cut");
  for (const owner of [0, 1] as const) {
    const name = names[owner];
    const { inbox, calls, appends } = world.parties[owner];
    if (inbox.length > 0) add(`the ${name} receives a frame`, (next) => deliver(next, owner));
    if (appends.length > 0) {
      add(`the ${name}'s "${appends[0]!.record.kind}" reaches the disk`, (next) => finishAppend(next, owner));
    }
    for (const { callId, call, sent } of calls) {
      if (!sent) {
        add(`the ${name}'s LND gets ${call.method}`, (next) => execute(next, owner, callId));
        add(`the ${name}'s LND doesn't get ${call.method} in time`, (next) => {
          linger(next, owner, call);
          reply(next, owner, callId, unavailable(next, call));
        }, "lost answer");
        add(`the ${name}'s LND gets ${call.method}, its answer is lost`, (next) => {
          executeUnheard(next, owner, call);
          reply(next, owner, callId, unavailable(next, call));
        }, "lost answer");
        continue;
      }
      if (call.method !== "pay") continue;
      const status = paymentStatus(world.lnd.payments.get(call.args[0].paymentHash)!);
      if (status.kind === "settled" || status.kind === "failed") {
        add(`the ${name} hears how the payment ended`, (next) => {
          reply(next, owner, callId, { ok: true, method: "pay", value: status });
        });
      }
      add(`the ${name} loses the payment's updates`, (next) => {
        reply(next, owner, callId, unavailable(next, call));
      }, "lost answer");
    }
    for (let kept = 0; kept <= appends.length; kept++) {
      const disk = appends.length === 0 ? "" : `, ${kept} of ${appends.length} records on disk`;
      add(`the ${name} crashes${disk}`, (next) => crash(next, owner, kept, false), "crash");
      if (!calls.some(({ sent }) => !sent)) continue;
      add(`the ${name} crashes${disk}, LND does what it was asked`, (next) => crash(next, owner, kept, true), "crash");
    }
  }
  for (const [hash, { state, owner }] of world.lnd.payments) {
    if (state === "in-flight") {
      const claimable = canClaim(world.lnd, hash, wall(world));
      if (claimable) add("the payee's node takes the HTLC", (next) => moved(next, () => claim(next.lnd, hash)));
      const fail = (next: World) => moved(next, () => next.lnd.payments.get(hash)!.state = "failed");
      add("the HTLC fails", fail, claimable ? "failed HTLC" : undefined);
    } else if (state === "claimed") {
      add(
        `the ${names[owner]}'s node learns the preimage`,
        (next) => moved(next, () => next.lnd.payments.get(hash)!.state = "settled"),
      );
    }
  }
  for (const [index, { owner, paymentHash }] of world.late.entries()) {
    add(`the ${names[owner]}'s LND gets the late request to pay`, (next) => {
      next.late.splice(index, 1);
      startPayment(next.lnd, paymentHash, owner, wall(next));
    });
  }
  add("time passes", (next) => passTime(next), "delay");
  return actions;
}

/** HTLCs moved, and both nodes say so. */
function moved(world: World, move: () => void): void {
  move();
  for (const owner of [0, 1] as const) {
    const [side] = world.parties[owner].state.nodes[0]!.sides.values();
    const ids = side ? channelIds(side.channel) : [];
    take(world, owner, { kind: "node", node: 0, event: { kind: "htlc", channelIds: ids } });
  }
}

/** One step of the calm after all faults: whatever can happen does, and time passes when nothing can. */
export function stepCalmly(world: World): void {
  world.faultsLeft = 0;
  world.late = [];
  const [action] = actionsOf(world);
  if (action !== undefined) action.run(world);
  else passTime(world, dayMs);
}

/** One action on a copy. */
export function after(world: World, action: Action): World {
  const next = structuredClone(world);
  for (const party of next.parties) party.events = [];
  if (action.fault) next.faultsLeft--;
  action.run(next);
  return next;
}
