import { messageOf } from "../../lib/domain/errors.ts";
import type { ConnectionId } from "../../lib/swarm/transport.ts";
import { checkEnd, checkState } from "./rules.ts";
import {
  actionsOf,
  after,
  BrokenRule,
  createWorld,
  type Flaw,
  observed,
  type Observer,
  startWallMs,
  stepCalmly,
  type World,
} from "./world.ts";

const maxCalmSteps = 5_000;

export interface Exploration {
  readonly states: number;
  readonly transitions: number;
  /** The longest shortest way to a state. */
  readonly depth: number;
  /** Every state within the bounds was reached. */
  readonly complete: boolean;
  /** The first rule that broke, and what happened until then. */
  readonly broken: { readonly message: string; readonly trace: readonly string[] } | undefined;
}

export interface Bounds {
  /** How many faults one course may have. */
  readonly faults: number;
  readonly flaw?: Flaw;
  readonly maxStates?: number;
  readonly observer?: Observer;
  readonly onProgress?: (states: number, waiting: number, depth: number) => void;
}

interface Visited {
  readonly world: World;
  readonly depth: number;
  readonly trail: Trail | undefined;
}

interface Trail {
  readonly name: string;
  readonly before: Trail | undefined;
}

/**
 * Breadth first through everything that can happen within the bounds; two worlds that differ in names and in the past
 * alone are one state. In each state the rules must hold, and from each the calm that follows must bring everything to
 * its end.
 */
export function explore(bounds: Bounds): Exploration {
  const { maxStates = Infinity, observer } = bounds;
  const first = createWorld(bounds.faults, bounds.flaw);
  const seen = new Set([fingerprint(first)]);
  const calmed = new Set<string>();
  let waiting: Visited[] = [{ world: first, depth: 0, trail: undefined }];
  let transitions = 0;
  let depth = 0;
  let broken: Exploration["broken"];
  const visit = () => {
    while (waiting.length > 0) {
      const following: Visited[] = [];
      for (const { world, trail } of waiting) {
        const fail = (error: unknown, trail: Trail | undefined, last: string) => {
          const name = error instanceof Error && error.name !== "BrokenRule" ? `${error.name}: ` : "";
          broken = { message: name + messageOf(error), trace: [...namesOf(trail), last] };
        };
        try {
          settleAndCheck(world, calmed);
        } catch (error) {
          return fail(error, trail, "nothing fails any more");
        }
        for (const action of actionsOf(world)) {
          transitions++;
          let next: World;
          try {
            next = after(world, action);
            checkState(next);
          } catch (error) {
            return fail(error, trail, action.name);
          }
          const print = fingerprint(next);
          if (seen.has(print)) continue;
          if (seen.size >= maxStates) return;
          seen.add(print);
          following.push({ world: next, depth: depth + 1, trail: { name: action.name, before: trail } });
        }
      }
      if (following.length > 0) depth++;
      waiting = following;
      bounds.onProgress?.(seen.size, waiting.length, depth);
    }
  };
  if (observer) observed(observer, visit);
  else visit();
  return { states: seen.size, transitions, depth, complete: waiting.length === 0, broken };
}

/**
 * Nothing fails any more, and everybody has time: follows one course until it goes in circles, where it has come to rest
 * or never will, or until it meets one that was followed before.
 */
function settleAndCheck(world: World, calmed: Set<string>): void {
  const calm = structuredClone(world);
  const course = new Set<string>();
  for (let print = fingerprint(calm); !course.has(print); print = fingerprint(calm)) {
    if (calmed.has(print)) break;
    course.add(print);
    stepCalmly(calm);
    checkState(calm);
    if (course.size > maxCalmSteps) throw new BrokenRule("it never comes to rest");
  }
  if (course.has(fingerprint(calm))) checkEnd(calm);
  for (const print of course) calmed.add(print);
}

function namesOf(trail: Trail | undefined): string[] {
  const names: string[] = [];
  for (let at = trail; at !== undefined; at = at.before) names.unshift(at.name);
  return names;
}

/**
 * What the future depends on: phases, open calls, what is on disk and on the wire, and how long until each deadline.
 * Not the names of things, nor what was told to the operator.
 */
export function fingerprint(world: World): string {
  const names = new Map<string, number>();
  const named = (name: string | undefined) => {
    if (name === undefined) return -1;
    if (!names.has(name)) names.set(name, names.size);
    return names.get(name)!;
  };
  const until = (atMs: number | undefined) => atMs === undefined ? null : Math.max(-1, Math.round(atMs - world.atMs));
  const session = (connection: ConnectionId | undefined) =>
    connection === undefined ? null : connection === world.connection;
  const parties = world.parties.map(({ state, disk, appends, calls, inbox }) => [
    disk.map(({ kind, paymentHash }) => [kind, named(paymentHash)]),
    appends.map(({ record: { kind, paymentHash } }) => [kind, named(paymentHash)]),
    calls.map(({ callId, call, sent }) => [call.method, sent, state.calls.get(callId)?.kind]),
    inbox.map((frame) => messageIn(frame, named)),
    [...state.asks.values()].map((ask) => [
      ...[named(ask.requestId), named(ask.paymentHash), ask.phase, ask.busy, ask.look, ask.cancelReason, ask.failures],
      ...[session(ask.connection), until(ask.deadlineAtMs), until(ask.retryAtMs), ask.answer?.confirmed],
      ask.answer?.reason,
    ]),
    [...state.payments.values()].map((payment) => [
      ...[named(payment.paymentHash), payment.phase, payment.trackBusy, payment.tracks, until(payment.trackAtMs)],
      ...[until(payment.trackedSinceMs), payment.rejected !== undefined, until(payment.asker?.answerByMs)],
      session(payment.asker?.connection),
    ]),
    [...state.requests.values()].map((request) => [named(request.message.requestId), session(request.connection)]),
    [...state.nodes[0]!.sides.values()].map((side) => [
      ...[side.shared, named(side.ask), until(side.notBeforeMs), side.failures, side.maxTokens?.amountSat.toString()],
      ...[until(side.rest?.untilMs), until(side.evaluatedAtMs && side.evaluatedAtMs + 5_000)],
      [side.channel.localSat.toString(), side.channel.unsettledSat.toString()],
    ]),
    [...state.troubles.values()].map(({ failures, untilMs }) => [failures, until(untilMs)]),
    [...state.peers.values()].map((peer) => peer.requestIds.length),
  ]);
  const { lnd } = world;
  const money = [
    lnd.localSat,
    [...lnd.invoices].map(([hash, invoice]) => [
      named(hash),
      invoice.state,
      until(invoice.expiresAtWallMs - startWallMs),
    ]),
    [...lnd.payments].map(([hash, { state }]) => [named(hash), state]),
    world.late.map(({ paymentHash }) => named(paymentHash)),
  ];
  return JSON.stringify([parties, money, world.connection !== undefined, world.faultsLeft]);
}

/** The frame's JSON follows its MAC of 32 bytes; during the proof there is none. */
function messageIn(frame: Uint8Array, named: (name: string) => number): unknown {
  if (frame[0] !== undefined && frame.length <= 65) return frame[0];
  const { type, requestId, confirmed, reason } = JSON.parse(new TextDecoder().decode(frame.subarray(32)));
  return [type, requestId === undefined ? -1 : named(requestId), confirmed, reason];
}
