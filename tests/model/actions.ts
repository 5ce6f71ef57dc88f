import { parseRequestId } from "../../lib/domain/ids.ts";
import { sat } from "../../lib/domain/amounts.ts";
import type { NodeReply } from "../../lib/lightning/node.ts";
import { formatMemo, invoiceTag } from "../../lib/protocol/memo.ts";
import { isOpen, sealMessage } from "../../lib/protocol/session.ts";
import type { Message } from "../../lib/protocol/messages.ts";
import {
  answer,
  canClaim,
  channelPoint,
  claim,
  makeAnother,
  move,
  otherThan,
  type Owner,
  paymentStatus,
  spendableSat,
  startPayment,
} from "./lnd.ts";
import {
  comeUp,
  connect,
  crash,
  dayMs,
  deliver,
  finishAppend,
  goDown,
  hear,
  linger,
  longMs,
  nameOf,
  passMuchTime,
  passTime,
  type PendingCall,
  reply,
  take,
  tellCut,
  tellToStop,
  unavailable,
  wall,
  type World,
} from "./world.ts";

/** What goes wrong, takes longer than a deadline, or comes from elsewhere. */
export const faults = [
  /** A process dies at any moment, with any part of what it was writing on disk. */
  "crash",
  /** A connection is cut; each end learns of it in its time. For a moment, or for longer than any deadline. */
  "cut",
  /** LND's answer doesn't come, whether or not it got the request; or an HTLC event. */
  "lost answer",
  /** LND goes down, and up again: at once, or after a time that is longer than any deadline. */
  "LND down",
  /** An HTLC fails that could have been taken. */
  "failed HTLC",
  /** The next look at channels or payments takes long, and is an old one when it comes. */
  "slow look",
  /** Time passes although something else is due. */
  "delay",
  /** Other people's payments move the channel, so that it is for the other side to ask. */
  "traffic",
  /** The other side's program says what isn't true, in its own session. */
  "lie",
  /** An operator pauses, and resumes some time. */
  "pause",
  /** An operator stops the program, in order, and starts it again. */
  "stop",
] as const;

export type Fault = typeof faults[number];

export interface Action {
  readonly name: string;
  readonly fault?: Fault;
  /** The one whose program does something; either may where it is left out. */
  readonly of?: Owner;
  /** Returns false where nothing comes of it. */
  readonly run: (world: World) => boolean | void;
}

/** Everything that can happen next. @param kinds the faults among it */
export function actionsOf(world: World, kinds: readonly Fault[]): Action[] {
  const actions: Action[] = [];
  const addOf = (of: Owner | undefined): Add => (name, run, fault) => {
    if (fault !== undefined && (world.faultsLeft === 0 || !kinds.includes(fault))) return;
    actions.push({ name, run, ...(of === undefined ? {} : { of }), ...(fault === undefined ? {} : { fault }) });
  };
  const add = addOf(undefined);
  for (const owner of [0, 1] as const) {
    addWires(world, owner, addOf(owner));
    addCalls(world, owner, addOf(owner));
    addProcess(world, owner, addOf(owner));
  }
  addHtlcs(world, add);
  const isAlone = !world.links.some(({ alive }) => alive) && world.atMs >= world.apartUntilMs;
  if (isAlone) add("they connect again", connect);
  for (const owner of [0, 1] as const) {
    const { up, upAtMs, pauses } = world.parties[owner];
    if (!up && world.atMs >= upAtMs) add(`the ${nameOf(owner)} one's LND is up again`, (next) => comeUp(next, owner));
    if (pauses.length > 0) add(`the ${nameOf(owner)} one's operator resumes`, (next) => pause(next, owner, false));
  }
  // A late request may never come.
  const isQuiet = actions.every(({ fault }) => fault !== undefined);
  for (const [index, { owner, call }] of world.late.entries()) {
    if (!world.parties[owner].up) continue;
    add(`the ${nameOf(owner)} one's LND gets a late ${call.method}`, (next) => {
      next.late.splice(index, 1);
      if (call.method === "pay") startPayment(next.lnd, call.args[0].paymentHash, owner, wall(next));
      else answer(next.lnd, owner, call, wall(next));
    });
  }
  if (world.faultsLeft > 0) {
    for (const owner of [0, 1] as const) {
      addTraffic(world, owner, add);
      addLies(world, owner, addOf(owner));
    }
  }
  add("time passes", (next) => passTime(next), isQuiet ? undefined : "delay");
  if (!isQuiet) add("much time passes", (next) => passMuchTime(next), "delay");
  return actions;
}

type Add = (name: string, run: Action["run"], fault?: Fault) => void;

function addWires(world: World, owner: Owner, add: Add): void {
  const name = `the ${nameOf(owner)} one`;
  for (const [index, { alive, ends, inboxes }] of world.links.entries()) {
    if (!ends[owner]) continue;
    if (inboxes[owner].length > 0) {
      add(`${name} receives a frame`, (next) => deliver(next, next.links[index]!, owner));
    }
    if (!alive) add(`${name} learns that the connection is gone`, (next) => tellCut(next, next.links[index]!, owner));
    if (!alive || owner === 1) continue;
    add("the connection is cut", (next) => void (next.links[index]!.alive = false), "cut");
    add("the connection is cut for long", (next) => {
      next.links[index]!.alive = false;
      next.apartUntilMs = next.atMs + longMs;
    }, "cut");
  }
}

function addCalls(world: World, owner: Owner, add: Add): void {
  const { calls, up, hint } = world.parties[owner];
  const lnd = `the ${nameOf(owner)} one's LND`;
  for (const [index, { call: { method }, stage, reply: said }] of calls.entries()) {
    const at = (next: World) => next.parties[owner].calls[index]!;
    const lose = (next: World) => {
      const pending = at(next);
      linger(next, owner, pending);
      reply(next, owner, pending, unavailable(pending.call));
    };
    if (stage === "answered") {
      add(`${lnd} answers ${method}`, (next) => reply(next, owner, at(next), said!));
      add(`${lnd} answers ${method} in vain`, lose, "lost answer");
    } else if (stage === "asked" && !up) {
      add(`${lnd} can't be asked for ${method}`, (next) => reply(next, owner, at(next), unavailable(at(next).call)));
    } else if (stage === "asked") {
      add(`${lnd} gets ${method}`, (next) => execute(next, owner, at(next)));
      add(`${lnd} doesn't answer ${method}`, lose, "lost answer");
    } else {
      const { call } = calls[index]!;
      const status = paymentStatus(
        world.lnd.payments.get(call.method === "pay" ? call.args[0].paymentHash : "" as never)!,
      );
      if (status.kind === "settled" || status.kind === "failed") {
        add(`${lnd} says how the payment ended`, (next) => {
          reply(next, owner, at(next), { ok: true, method: "pay", value: status });
        });
      }
      add(`${lnd} tells no more of the payment`, lose, "lost answer");
    }
  }
  if (hint) {
    add(`${lnd} tells of an HTLC`, (next) => hear(next, owner));
    add(`${lnd} tells of an HTLC in vain`, (next) => void (next.parties[owner].hint = false), "lost answer");
  }
}

/** LND gets a call. What it says for good is heard at once: hearing it later is getting the call later. */
function execute(world: World, owner: Owner, pending: PendingCall): void {
  const { call } = pending;
  if (call.method === "pay") {
    const refusal = startPayment(world.lnd, call.args[0].paymentHash, owner, wall(world));
    if (refusal === undefined) pending.stage = "begun";
    else reply(world, owner, pending, { ok: true, method: "pay", value: { kind: "rejected", detail: refusal } });
    return;
  }
  const said = answer(world.lnd, owner, call, wall(world));
  if (isForGood(said)) return reply(world, owner, pending, said);
  pending.stage = "answered";
  pending.reply = said;
}

function isForGood(said: NodeReply): boolean {
  if (!said.ok) return true;
  switch (said.method) {
    case "addInvoice":
    case "cancelInvoice":
      return true;
    case "lookupInvoice":
      return said.value?.state !== "open";
    case "trackPayment":
      return said.value.kind === "settled" || said.value.kind === "failed";
    default:
      return false;
  }
}

function addProcess(world: World, owner: Owner, add: Add): void {
  const { appends, up, slow, state, pauses, stopsAtMs } = world.parties[owner];
  const name = `the ${nameOf(owner)} one`;
  if (appends.length > 0) {
    add(`${name}'s "${appends[0]!.record.kind}" reaches the disk`, (next) => finishAppend(next, owner));
  }
  for (let kept = 0; kept <= appends.length; kept++) {
    const disk = appends.length === 0 ? "" : `, ${kept} of ${appends.length} records on disk`;
    add(`${name} crashes${disk}`, (next) => crash(next, owner, kept), "crash");
  }
  if (up) {
    add(`${name}'s LND goes down`, (next) => goDown(next, owner, 0), "LND down");
    add(`${name}'s LND goes down for long`, (next) => goDown(next, owner, longMs), "LND down");
  }
  if (up && !slow) add(`${name}'s next look takes long`, (next) => void (next.parties[owner].slow = true), "slow look");
  if (pauses.length === 0) add(`${name}'s operator pauses`, (next) => pause(next, owner, true), "pause");
  // Once nothing runs any more, or it has had its time: an orderly end closes the log.
  if (!state.draining) add(`${name} is told to stop`, (next) => tellToStop(next, owner), "stop");
  else if (state.drained || world.atMs >= stopsAtMs) {
    add(`${name} ends and begins again`, (next) => crash(next, owner, appends.length));
  }
}

function pause(world: World, owner: Owner, paused: boolean): void {
  const party = world.parties[owner];
  party.pauses = paused ? [{ scope: { kind: "all" }, by: "operator", reason: "", sinceWallMs: 0 }] : [];
  take(world, owner, { kind: "paused", pauses: party.pauses, resumed: !paused });
}

function addHtlcs(world: World, add: Add): void {
  for (const [hash, { state, owner, lagging }] of world.lnd.payments) {
    const payee = otherThan(owner);
    const [payerUp, payeeUp] = [world.parties[owner].up, world.parties[payee].up];
    const at = (next: World) => next.lnd.payments.get(hash)!;
    if (state === "in-flight" && payeeUp) {
      const claimable = canClaim(world.lnd, hash, wall(world));
      if (claimable) {
        add(`the ${nameOf(payee)} one's node takes the HTLC`, (next) => {
          claim(next.lnd, hash);
          next.parties[payee].hint = true;
        });
      }
      const fail = (next: World) => {
        at(next).state = "failed";
        for (const party of next.parties) party.hint = party.up;
      };
      if (payerUp) add("the HTLC fails", fail, claimable ? "failed HTLC" : undefined);
    }
    if (state === "claimed" && payerUp) {
      add(`the ${nameOf(owner)} one's node learns the preimage`, (next) => {
        at(next).state = "settled";
        next.parties[owner].hint = true;
      });
    }
    if (lagging) add(`the ${nameOf(payee)} one's list shows what came`, (next) => void (at(next).lagging = false));
  }
}

function addTraffic(world: World, from: Owner, add: Add): void {
  const amountSat = Math.min(600_000, spendableSat(world.lnd, from) - 100_000);
  if (amountSat < 300_000 || world.parties.some(({ up }) => !up)) return;
  add(`traffic brings ${amountSat} sat from the ${nameOf(from)} one to the other`, (next) => {
    move(next.lnd, from, amountSat);
    next.moves++;
    for (const party of next.parties) party.hint = true;
  }, "traffic");
}

function addLies(world: World, liar: Owner, add: Add): void {
  const victim = otherThan(liar);
  const index = world.links.findIndex(({ alive, ends }) => alive && ends[liar] && ends[victim]);
  const link = world.links[index];
  const session = link && world.parties[liar].state.peers.get(link.id)?.session;
  if (!link || !session || !isOpen(session)) return;
  const say = (next: World, message: Message) => {
    const peer = next.parties[liar].state.peers.get(link.id)!;
    next.links[index]!.inboxes[victim].push(sealMessage(peer.session, message, wall(next)));
  };
  const name = `the ${nameOf(liar)} one`;
  for (const ask of world.parties[victim].state.asks.values()) {
    const isHeard = world.parties[liar].state.peers.get(link.id)!.requestIds.includes(ask.requestId);
    if (ask.connection !== link.id || ask.answer !== undefined || !isHeard) continue;
    const { requestId, channelId } = ask;
    const result = { type: "paymentResult", requestId, channelPoint, channelId, paymentId: "" } as const;
    add(`${name} says that it has paid`, (next) => {
      say(next, { ...result, confirmed: true, confirmedAtWallMs: wall(next) });
    }, "lie");
    add(`${name} says that it failed`, (next) => {
      say(next, { ...result, confirmed: false, confirmedAtWallMs: wall(next), reason: "failed" });
    }, "lie");
  }
  const sessionId = world.parties[liar].state.peers.get(link.id)!.sessionIdBytes!;
  for (const [hash, { owner, amountSat }] of world.lnd.invoices) {
    if (owner !== liar || !world.parties[victim].paid.includes(hash)) continue;
    add(`${name} asks again for what was paid before`, (next) => {
      const requestId = parseRequestId((++next.random).toString(16).padStart(32, "0"))!;
      const [side] = next.parties[liar].state.nodes[0]!.sides.values();
      const channelId = side!.channel.shortChannelId;
      const tokens = sat(amountSat);
      const memo = formatMemo(channelId, invoiceTag({ sessionId, requestId, channelPoint, tokens }));
      const invoice = makeAnother(next.lnd, hash, memo);
      say(next, { type: "payInvoice", requestId, channelPoint, channelId, invoice, tokens });
    }, "lie");
  }
}

/** The same world, in which nothing fails any more. */
export function calmOf(world: World): World {
  const [first, second] = world.parties;
  return { ...world, faultsLeft: 0, late: [], parties: [{ ...first, slow: false }, { ...second, slow: false }] };
}

/** One step of a calm world: whatever can happen does, and time passes when nothing can. @returns false at rest */
export function stepCalmly(world: World): boolean {
  const action = actionsOf(world, []).find(({ name }) => name !== "time passes");
  if (action === undefined) return passTime(world, dayMs);
  action.run(world);
  return true;
}

/** One action on a copy of what it may change; undefined where nothing comes of it. */
export function after(world: World, action: Action): World | undefined {
  const copyOf = (owner: Owner) =>
    action.of === undefined || action.of === owner
      ? structuredClone(world.parties[owner])
      : { ...world.parties[owner], isShared: true };
  const next: World = {
    ...world,
    lnd: structuredClone(world.lnd),
    parties: [copyOf(0), copyOf(1)],
    late: [...world.late],
    links: structuredClone(world.links),
  };
  if (action.fault) next.faultsLeft--;
  const isNews = action.run(next) !== false;
  for (const party of next.parties) party.isShared = false;
  return isNews ? next : undefined;
}
