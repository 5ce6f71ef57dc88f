import { isNote, type LogRecord } from "../../lib/audit/record.ts";
import type { Pause } from "../../lib/audit/pause.ts";
import { type BalancerState, createBalancer, nextTimeoutMs, stepBalancer } from "../../lib/balancer/balancer.ts";
import type { BalancerEvent, Effect } from "../../lib/balancer/io.ts";
import type { CallPurpose } from "../../lib/balancer/state.ts";
import type { BalanceSettings } from "../../lib/config/config.ts";
import { invariant } from "../../lib/domain/errors.ts";
import { type NodePubkey, parseSwarmKey, type PaymentHash } from "../../lib/domain/ids.ts";
import type { NodeCall, NodeReply } from "../../lib/lightning/node.ts";
import { channelIds } from "../../lib/domain/channel.ts";
import { limits, settings } from "../policy/fixtures.ts";
import { type Flaw, flaws, type Mistake } from "./flaws.ts";
import { answer, createLnd, type Lnd, nodeInfo, otherThan, type Owner, pubkeys, stateAt } from "./lnd.ts";

/**
 * The protocol of two operators as a transition system: the real balancer twice and one channel between their nodes.
 * Plain data, so that an explorer can copy it and try each action of `actions.ts`.
 *
 * Answered at once is what never changes (`getInfo`, `decodeInvoice`, `signMessage`) and, unless that is the fault, what is
 * only looked at over and over (the poll's `listChannels`, `listPayments`). Everything else may come in any order.
 */
export interface World {
  atMs: number;
  readonly lnd: Lnd;
  readonly parties: readonly [Party, Party];
  /** What LND was asked for and hasn't looked at; nobody waits for the answer any more. */
  late: { readonly owner: Owner; readonly call: NodeCall }[];
  /** Connections that somebody takes for standing, the newest last. */
  links: Link[];
  linkCount: number;
  /** Nobody connects before. */
  apartUntilMs: number;
  /** How many faults may still happen. */
  faultsLeft: number;
  /** How often other people's payments have moved the channel. */
  moves: number;
  readonly flaw: Flaw | undefined;
  random: number;
}

export interface Party {
  state: BalancerState;
  /** What survives a crash. */
  readonly disk: LogRecord[];
  pauses: readonly Pause[];
  appends: { readonly appendId: number | undefined; readonly record: LogRecord }[];
  calls: PendingCall[];
  /** LND has told of an HTLC that moved, and it isn't heard yet. */
  hint: boolean;
  /** When a process that was told to stop ends, whatever still runs. */
  stopsAtMs: number;
  /** LND answers; if not, it does so at the earliest then. */
  up: boolean;
  upAtMs: number;
  /** The next look takes long. */
  slow: boolean;
  /** Hashes that `pay` was called with, in all its lives. */
  readonly paid: PaymentHash[];
  /** Another world has the same state: its program must not do anything. */
  isShared: boolean;
}

export interface PendingCall {
  readonly callId: number;
  readonly call: NodeCall;
  readonly purpose: CallPurpose["kind"];
  /** LND hasn't got it; it works at it (a payment); it has answered, and the answer is on its way. */
  stage: "asked" | "begun" | "answered";
  reply: NodeReply | undefined;
}

export interface Link {
  readonly id: number;
  /** Frames still get through. Those on their way when it was cut may arrive or not. */
  alive: boolean;
  /** Who takes it for standing. */
  readonly ends: [boolean, boolean];
  readonly inboxes: [Uint8Array[], Uint8Array[]];
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

export const dayMs = 86_400_000;
export const startWallMs = Date.UTC(2026, 0, 1);
const authKey = new Uint8Array(32).fill(7);
const swarmKeys = ["01", "02"].map((digits) => parseSwarmKey(digits.repeat(32))!);
const constants: readonly NodeCall["method"][] = ["getInfo", "decodeInvoice", "signMessage"];
const looks: readonly CallPurpose["kind"][] = ["poll", "history"];

/** Polls only after hints: time passes for the protocol's own deadlines. */
const modelSettings: BalanceSettings = { ...settings, refreshRateMs: dayMs, minTimeBetweenPaymentsMs: 0 };

/** Both are connected and have proven their nodes; the second one's side of the channel is far too small, and it has asked. */
export function createWorld(faults: number, flaw?: Flaw): World {
  const world: World = {
    atMs: 0,
    lnd: createLnd([800_000, 200_000]),
    parties: [createParty(), createParty()],
    late: [],
    links: [],
    linkCount: 0,
    apartUntilMs: 0,
    faultsLeft: faults,
    moves: 0,
    flaw,
    random: 0,
  };
  for (const owner of [0, 1] as const) start(world, owner);
  connect(world);
  while (world.parties[1].calls.length === 0) invariant(passTime(world), "the second one never asks");
  return world;
}

function createParty(): Party {
  return {
    state: createState(),
    disk: [],
    pauses: [],
    appends: [],
    calls: [],
    hint: false,
    stopsAtMs: 0,
    up: true,
    upAtMs: 0,
    slow: false,
    paid: [],
    isShared: false,
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

export function start(world: World, owner: Owner): void {
  const party = world.parties[owner];
  const before = party.state;
  party.state = createState();
  take(world, owner, { kind: "started", transactions: structuredClone(party.disk), pauses: party.pauses }, before);
  if (party.up) take(world, owner, { kind: "node", node: 0, event: { kind: "up", info: nodeInfo(owner) } });
}

export const wall = (world: World) => startWallMs + world.atMs;

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

/** Hands an event to a balancer and performs what it wants done; then whatever is answered at once. */
export function take(world: World, owner: Owner, event: BalancerEvent, previous?: BalancerState): void {
  invariant(!world.parties[owner].isShared, `the ${nameOf(owner)} one does something where only the other should`);
  const queue = [event];
  for (let next = queue.shift(); next !== undefined; next = queue.shift()) {
    const { state } = world.parties[owner];
    const mistake: Mistake | undefined = world.flaw && flaws[world.flaw];
    const seen = mistake?.event?.(state, next) ?? next;
    const stepped = observer?.step(owner, previous ?? state, seen);
    previous = undefined;
    let effects = stepBalancer(state, seen, { atMs: world.atMs, wallMs: wall(world) }, randomOf(world, owner));
    stepped?.(state);
    effects = mistake?.effects?.(state, effects, seen) ?? effects;
    for (const effect of effects) {
      const answered = perform(world, owner, effect);
      if (answered !== undefined) queue.push(answered);
    }
    queue.push(...mistake?.follows?.(state, effects) ?? []);
  }
}

/** Never the same bytes twice, but the same in every world for the same connection; and no chance in the waiting times. */
function randomOf(world: World, owner: Owner) {
  return {
    bytes: (length: number) => {
      const bytes = new Uint8Array(length);
      const view = new DataView(bytes.buffer);
      if (length === 32) view.setUint32(0, world.linkCount * 2 + owner);
      else if (length > 4) view.setUint32(0, ++world.random);
      return bytes;
    },
  };
}

/** Returns what happens at once in answer. */
function perform(world: World, owner: Owner, effect: Effect): BalancerEvent | undefined {
  const party = world.parties[owner];
  switch (effect.kind) {
    case "call": {
      const { callId, call } = effect;
      const purpose = party.state.calls.get(callId)!.kind;
      const isLook = looks.includes(purpose);
      if (constants.includes(call.method) || (isLook && !party.slow && party.up)) {
        return { kind: "reply", callId, reply: answer(world.lnd, owner, call, wall(world)) };
      }
      if (call.method === "pay") onPayCalled(party, call.args[0].paymentHash);
      const isAnswered = isLook && party.slow && party.up;
      if (isAnswered) party.slow = false;
      const reply = isAnswered ? answer(world.lnd, owner, call, wall(world)) : undefined;
      party.calls.push({ callId, call, purpose, stage: isAnswered ? "answered" : "asked", reply });
      return;
    }
    case "append":
      party.appends.push({ appendId: effect.appendId, record: effect.record });
      return;
    case "note":
      party.appends.push({ appendId: undefined, record: effect.record });
      return;
    case "send": {
      const link = world.links.find(({ id }) => id === effect.connection);
      onSent(party, effect.frame);
      if (link?.alive) link.inboxes[otherThan(owner)].push(effect.frame);
      return;
    }
    case "disconnect": {
      const link = world.links.find(({ id }) => id === effect.connection);
      if (link === undefined) return;
      link.alive = false;
      closeEnd(world, link, owner);
      return;
    }
    case "pause":
      throw new BrokenRule(`the breaker of the ${nameOf(owner)} one tripped: ${party.state.breaker}`);
    case "event":
    case "authenticated":
    case "drained":
      return;
  }
}

export const nameOf = (owner: Owner) => owner === 0 ? "first" : "second";

function onPayCalled(party: Party, paymentHash: PaymentHash): void {
  if (party.paid.includes(paymentHash)) throw new BrokenRule(`${paymentHash} is sent a second time`);
  party.paid.push(paymentHash);
  if (!party.disk.some((record) => record.kind === "intent" && record.paymentHash === paymentHash)) {
    throw new BrokenRule(`${paymentHash} is sent before its intent is on disk`);
  }
}

/** What may be said only once it is on disk. */
function onSent({ disk }: Party, frame: Uint8Array): void {
  const message = bodyOf(frame);
  const has = (kind: LogRecord["kind"]) =>
    disk.some((record) => record.kind === kind && "requestId" in record && record.requestId === message?.requestId);
  if (message?.type === "payInvoice" && !has("invoiced")) throw new BrokenRule("an invoice is sent that isn't on disk");
  if (message?.type === "paymentResult" && message.confirmed === true && !has("settled")) {
    throw new BrokenRule("a payment is confirmed whose end isn't on disk");
  }
}

/** The message of a frame: its JSON follows the MAC of 32 bytes. During the proof there is none. */
export function bodyOf(frame: Uint8Array): Record<string, unknown> | undefined {
  return frame.length <= 65 ? undefined : JSON.parse(new TextDecoder().decode(frame.subarray(32)));
}

// Connections

/** A connection, and the proofs over it; whatever comes after them is still on its way. */
export function connect(world: World): void {
  const id = ++world.linkCount;
  const link: Link = { id, alive: true, ends: [true, true], inboxes: [[], []] };
  world.links.push(link);
  const handshakeHash = new Uint8Array(64);
  new DataView(handshakeHash.buffer).setUint32(0, id);
  for (const owner of [0, 1] as const) {
    const [localKey, remoteKey] = [swarmKeys[owner]!, swarmKeys[otherThan(owner)]!];
    const event = {
      ...{ kind: "connected", via: "swarm" } as const,
      ...{ connection: id, initiator: owner === 0, localKey, remoteKey, handshakeHash },
    };
    take(world, owner, { kind: "transport", event });
  }
  const isProven = (owner: Owner, pubkey: NodePubkey) =>
    world.parties[owner].state.peers.get(id)?.nodes.get(pubkey)?.proven === true;
  // A node that is down can't sign: it introduces itself later.
  const done = (owner: Owner) => isProven(owner, pubkeys[otherThan(owner)]) || !world.parties[otherThan(owner)].up;
  for (let turns = 0; link.inboxes.some((frames) => frames.length > 0) && !(done(0) && done(1)); turns++) {
    invariant(turns < 100, "the two never introduce themselves");
    for (const owner of [0, 1] as const) deliver(world, link, owner);
  }
}

export function deliver(world: World, link: Link, owner: Owner): void {
  const frame = link.inboxes[owner].shift();
  if (frame === undefined || !link.ends[owner]) return;
  take(world, owner, { kind: "transport", event: { kind: "frame", connection: link.id, frame } });
}

/** One end takes the connection for standing no more, and forgets what it hasn't received. */
function closeEnd(world: World, link: Link, owner: Owner): void {
  link.ends[owner] = false;
  link.inboxes[owner].length = 0;
  if (!link.ends[0] && !link.ends[1]) world.links = world.links.filter((one) => one !== link);
}

/** One end learns that the connection is gone. */
export function tellCut(world: World, link: Link, owner: Owner): void {
  closeEnd(world, link, owner);
  take(world, owner, { kind: "transport", event: { kind: "disconnected", connection: link.id, reason: "gone" } });
}

// The disk and the process

export function finishAppend(world: World, owner: Owner): void {
  const party = world.parties[owner];
  const { appendId, record } = party.appends.shift()!;
  party.disk.push(record);
  if (appendId !== undefined && party.state.appends.has(appendId)) take(world, owner, { kind: "appended", appendId });
}

/** The process dies with the first so many of its records on disk, and begins again. */
export function crash(world: World, owner: Owner, appendsKept: number): void {
  const party = world.parties[owner];
  for (const { record } of party.appends.slice(0, appendsKept)) party.disk.push(record);
  party.appends = [];
  for (const pending of party.calls) linger(world, owner, pending);
  party.calls = [];
  party.hint = false;
  party.stopsAtMs = 0;
  for (const link of [...world.links]) {
    link.alive = false;
    closeEnd(world, link, owner);
  }
  start(world, owner);
}

/** The operator stops it, in order. */
export function tellToStop(world: World, owner: Owner): void {
  world.parties[owner].stopsAtMs = world.atMs + stopMs;
  take(world, owner, { kind: "drain" });
}

// LND

/** A request that is still on its way when its sender gives up may be obeyed later. */
export function linger(world: World, owner: Owner, { call, stage }: PendingCall): void {
  if (stage === "asked" && (call.method === "pay" || call.method === "cancelInvoice")) world.late.push({ owner, call });
}

export function reply(world: World, owner: Owner, pending: PendingCall, reply: NodeReply): void {
  const party = world.parties[owner];
  party.calls = party.calls.filter((one) => one.callId !== pending.callId);
  take(world, owner, { kind: "reply", callId: pending.callId, reply });
}

export function unavailable(call: NodeCall): NodeReply {
  return call.method === "pay"
    ? { ok: true, method: "pay", value: { kind: "unknown", detail: "the answer got lost" } }
    : { ok: false, method: call.method, kind: "unavailable", message: "the answer got lost", remedy: "" };
}

/** A node hears that HTLCs moved. */
export function hear(world: World, owner: Owner): void {
  const party = world.parties[owner];
  party.hint = false;
  const [side] = party.state.nodes[0]!.sides.values();
  const ids = side ? channelIds(side.channel) : [];
  take(world, owner, { kind: "node", node: 0, event: { kind: "htlc", channelIds: ids } });
}

/** An LND goes down; whatever was asked of it gets no answer. */
export function goDown(world: World, owner: Owner, forMs: number): void {
  const party = world.parties[owner];
  party.up = false;
  party.upAtMs = world.atMs + forMs;
  party.hint = false;
  const { calls } = party;
  take(world, owner, { kind: "node", node: 0, event: { kind: "down", message: "gone", remedy: "" } });
  for (const pending of calls) {
    linger(world, owner, pending);
    reply(world, owner, pending, unavailable(pending.call));
  }
}

export function comeUp(world: World, owner: Owner): void {
  world.parties[owner].up = true;
  take(world, owner, { kind: "node", node: 0, event: { kind: "up", info: nodeInfo(owner) } });
}

// Time

/** So long a stop may take. */
const stopMs = 10_000;
/** Longer than any deadline of one request; the next poll comes after a day. */
export const longMs = 1_200_000;

/**
 * The next moment at which something happens by itself: a balancer acts, or an invoice expires; until more has changed than
 * what is looked at. Returns whether anything did.
 */
export function passTime(world: World, farthestMs = longMs): boolean {
  const latestMs = world.atMs + farthestMs;
  const before = standing(world);
  for (let turns = 0; turns < 1_000; turns++) {
    const due = world.parties.map(({ state }) => nextTimeoutMs(state) ?? Infinity);
    const expiries = [...world.lnd.invoices.values()].filter((invoice) => stateAt(invoice, wall(world)) === "open")
      .map(({ expiresAtWallMs }) => expiresAtWallMs - startWallMs);
    const ends = [world.apartUntilMs, ...world.parties.flatMap(({ upAtMs, stopsAtMs }) => [upAtMs, stopsAtMs])];
    const atMs = Math.min(...due, ...expiries, ...ends.filter((endMs) => endMs > world.atMs));
    if (atMs > latestMs) return false;
    world.atMs = Math.max(world.atMs, atMs);
    for (const owner of [0, 1] as const) if (due[owner]! <= world.atMs) take(world, owner, { kind: "timeout" });
    if (standing(world) !== before) return true;
  }
  throw new BrokenRule("time stands still");
}

/** So much that every deadline is over, whatever else is due. */
export function passMuchTime(world: World): void {
  for (const untilMs = world.atMs + longMs; passTime(world, untilMs - world.atMs);) {
    // What one does when its time has come may take as long.
  }
}

/** What the parties are in the middle of, without the times. */
function standing(world: World): string {
  return JSON.stringify([
    world.parties.map(({ state, calls, appends }) => [
      [...state.asks.values()].map((ask) => [ask.phase, ask.busy, ask.cancelReason]),
      [...state.payments.values()].map(({ phase, trackBusy, asker }) => [phase, trackBusy, asker === undefined]),
      [state.requests.size, calls.length, appends.length],
    ]),
    [
      world.atMs >= world.apartUntilMs,
      ...world.parties.map(({ upAtMs, stopsAtMs }) => world.atMs >= Math.max(upAtMs, stopsAtMs)),
    ],
    world.links.map(({ inboxes }) => inboxes.map((frames) => frames.length)),
    [...world.lnd.invoices.values()].map((invoice) => stateAt(invoice, wall(world))),
  ]);
}

/** The transactions of a log. */
export function dealsOf(records: readonly LogRecord[]) {
  return records.filter((record) => !isNote(record));
}
