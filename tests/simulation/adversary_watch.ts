import type { EventRecord } from "../../lib/audit/record.ts";
import type { BalancerState } from "../../lib/balancer/balancer.ts";
import type { BalancerEvent, Effect } from "../../lib/balancer/io.ts";
import { maxIdleSessions } from "../../lib/balancer/peers.ts";
import { maxProofs } from "../../lib/balancer/state.ts";
import type { NodePubkey } from "../../lib/domain/ids.ts";
import type { SimInstance } from "./instance.ts";
import { Violation } from "./watch.ts";
import type { World } from "./world.ts";

/**
 * What an adversary must not be able to do to an honest operator, beside the rules that hold for everybody: take more than the
 * limits allow over all its nodes together, fill its memory, or make it work without bound.
 */
export class AdversaryWatch {
  readonly #world: World;
  readonly #nodes: () => readonly NodePubkey[];
  /** By process: one that starts has its allowances whole. */
  readonly #minutes = new WeakMap<BalancerState, Minute>();
  readonly #limits = new Map<SimInstance, { readonly nodeSat: number; readonly totalSat: number }>();
  #steps = 0;

  constructor(world: World, nodes: () => readonly NodePubkey[]) {
    this.#world = world;
    this.#nodes = nodes;
  }

  heal(): void {
    for (const instance of this.#world.instances) this.#checkLoss(instance);
  }

  /** What a machine wants done after an event; it isn't done yet. */
  effects(instance: SimInstance, event: BalancerEvent, effects: readonly Effect[]): void {
    const { state } = instance;
    if (state === undefined) return;
    this.#checkWork(instance, state, event, effects);
    for (const effect of effects) if (effect.kind === "event") this.#countWhatCame(effect.record);
    if (effects.some((effect) => effect.kind === "call" && effect.call.method === "pay")) this.#checkLoss(instance);
    this.#limitsOf(instance);
    if (this.#steps++ % 64 === 0) this.#checkMemory(instance, state);
  }

  #fail(rule: string, instance: SimInstance, detail: string): never {
    throw new Violation(rule, `${instance.name}: ${detail}`);
  }

  /** By what the nodes themselves say: all that went to its nodes or is on its way, less what came back. */
  #checkLoss(instance: SimInstance): void {
    const { network } = this.#world;
    const limits = this.#limitsOf(instance);
    let totalSat = 0;
    for (const thief of this.#nodes()) {
      let outMsat = 0n;
      for (const node of instance.nodes) {
        for (const payment of network.listPayments(node, { indexOffset: 0n, maxPayments: 0 })) {
          if (payment.status === "FAILED" || this.#world.watch.isWithdrawal(node, payment)) continue;
          const decoded = network.decodeInvoice(payment.paymentRequest);
          if (decoded.kind === "invoice" && decoded.invoice.payee === thief) outMsat += payment.valueMsat;
        }
        for (const payment of network.listPayments(thief, { indexOffset: 0n, maxPayments: 0 })) {
          if (payment.status === "SUCCEEDED" && network.invoice(node, payment.paymentHash)) {
            outMsat -= payment.valueMsat;
          }
        }
      }
      const outSat = Number(outMsat / 1_000n);
      if (outSat > limits.nodeSat) {
        this.#fail("an adversary gets no more than maxNetOutflow", instance, `${outSat} of ${limits.nodeSat} sat`);
      }
      totalSat += Math.max(0, outSat);
    }
    if (totalSat > limits.totalSat) {
      this.#fail(
        "an adversary with several nodes gets no more than maxNetOutflowTotal",
        instance,
        `${totalSat} of ${limits.totalSat} sat`,
      );
    }
  }

  /** The most that its operator ever allowed: what was out before a limit was lowered stays out. */
  #limitsOf(instance: SimInstance): { readonly nodeSat: number; readonly totalSat: number } {
    const { watch, settings } = this.#world;
    const before = this.#limits.get(instance) ?? { nodeSat: 0, totalSat: 0 };
    const now = {
      nodeSat: Math.max(
        before.nodeSat,
        ...instance.nodes.map((node) => watch.settingsOf(instance, node).maxNetOutflow),
      ),
      totalSat: Math.max(before.totalSat, settings[instance.index]!.maxNetOutflowTotalSat),
    };
    this.#limits.set(instance, now);
    return now;
  }

  /** What a balancer keeps is bounded by its channels and its connections, whatever comes in. */
  #checkMemory(instance: SimInstance, state: BalancerState): void {
    const sides = state.nodes.reduce((sum, { sides }) => sum + sides.size, 0);
    const bound = (what: string, size: number, most: number) => {
      this.#most(`most: ${what}`, size);
      if (size > most) {
        this.#fail("memory is bounded by channels and connections", instance, `${what}: ${size}, at most ${most}`);
      }
    };
    const known = state.ledger.payments.size + state.ledger.invoices.size;
    bound("requests", state.requests.size, sides);
    bound("asks", state.asks.size, sides + known);
    bound("payments", state.payments.size, known);
    bound(
      "calls",
      state.calls.size,
      // Proofs for sessions that have gone are waited for, too, until a node that hangs is given up.
      (8 + maxProofs + 30) * state.nodes.length + 6 * sides + known,
    );
    bound("appends", state.appends.size, 2 * sides + known + 4);
    // Of nodes whose channels are gone, too: those we ever paid, whose positions are kept for ever.
    bound("troubles", state.troubles.size, sides + known + state.ledger.positions.size);
    bound("suspects", state.suspects.size, known + 100);
    bound("sessions", state.peers.size, maxIdleSessions + sides + 64);
    for (const peer of state.peers.values()) {
      bound("nodes of a session", peer.nodes.size, 256);
      bound("hellos of a session", peer.helloAtMs.size, 256);
      bound("waiting hellos of a session", peer.waitingHellos.size, 256);
      bound("told of a session", peer.toldAtMs.size, 64);
      bound("requests of a session", peer.requestIds.length, 256);
      const paused = [...peer.nodes.values()].reduce((sum, { pausedChannels }) => sum + pausedChannels.length, 0);
      bound("paused channels of a session", paused, 1_024);
    }
  }

  #checkWork(instance: SimInstance, state: BalancerState, event: BalancerEvent, effects: readonly Effect[]): void {
    const sides = state.nodes.reduce((sum, { sides }) => sum + sides.size, 0);
    const isFrame = event.kind === "transport" && event.event.kind === "frame";
    if (isFrame) {
      this.#most("most: effects of a frame", effects.length);
      const most = 8 + 4 * state.nodes.length + 5 * sides;
      if (effects.length > most) {
        this.#fail("a frame causes little work", instance, `${effects.length} effects, at most ${most}`);
      }
    }
    let minute = this.#minutes.get(state);
    if (minute === undefined || this.#world.atMs - minute.sinceMs >= 60_000) {
      minute = { sinceMs: this.#world.atMs, payments: 0, counts: new Map() };
      this.#minutes.set(state, minute);
    }
    let refused = 0;
    let told = 0;
    // Or just now: the report of the last minute may be due in the same moment.
    let isCounted = state.ignored.requests > 0 || state.ignored.untold > 0;
    for (const effect of effects) {
      const what = effect.kind === "call" ? `${effect.call.method} calls` : `${effect.kind} effects`;
      const count = (minute.counts.get(what) ?? 0) + 1;
      minute.counts.set(what, count);
      this.#most(`most: ${what} in a minute`, count);
      const paid = effect.kind === "append" && ["intent", "received"].includes(effect.record.kind);
      if (paid) minute.payments++;
      const most = mostPerMinute(what, state.nodes.length, sides, minute.payments);
      if (count > most) this.#fail("work is bounded", instance, `${count} ${what} within a minute, at most ${most}`);
      if (effect.kind === "event" && tellsOfRefusal.has(effect.record.kind)) told++;
      if (effect.kind === "event" && effect.record.kind === "requests-ignored") isCounted = true;
      if (effect.kind === "send" && isRefusal(effect.frame)) refused++;
    }
    if (refused > told && !isCounted) {
      this.#fail("the log tells or counts what was refused", instance, `${refused} refused, ${told} told`);
    }
  }

  /** That an attack was made says little; what the honest side made of it shows how far it got. */
  #countWhatCame({ kind, message, reason }: EventRecord): void {
    const world = this.#world;
    if (kind === "request-refused") world.count(`refused: ${reason ?? message.replace(/^.*: /, "")}`);
    else if (kind === "peer-disconnected") {
      world.count(`session ended: ${message.replace(/^[^:]*: /, "").replace(/[0-9]+/g, "N")}`);
    } else if (kind === "warning" && message.includes("is not taken into the cluster")) {
      world.count(`hello refused: ${message.replace(/^.*cluster: /, "")}`);
    } else if (kind === "request-ended" && reason !== undefined) world.count(`asked in vain: ${reason}`);
    else if (kind === "requests-ignored" || kind === "payment-unknown") world.count(`told: ${kind}`);
  }

  #most(what: string, size: number): void {
    const { counted } = this.#world.stats;
    if (size > (counted.get(what) ?? 0)) counted.set(what, size);
  }
}

interface Minute {
  readonly sinceMs: number;
  /** Both ways. */
  payments: number;
  readonly counts: Map<string, number>;
}

const tellsOfRefusal: ReadonlySet<string> = new Set(["request-refused", "payment-failed", "payment-unknown"]);

/** How often one process may do something in a minute, whatever is done to it. Payments are bounded by the limits of who pays. */
function mostPerMinute(what: string, nodes: number, sides: number, payments: number): number {
  const channels = Math.max(1, sides);
  switch (what) {
    case "signMessage calls":
      // Proofs for sessions that come and go; statements of account once a minute.
      return 225 * nodes + 2 * channels;
    case "listChannels calls":
      return 6_000 * nodes;
    case "decodeInvoice calls":
      // One per channel and 5 s, and one more for each payment that was made.
      return 15 * channels + payments;
    case "addInvoice calls":
      return 60 * channels + payments;
    case "listPayments calls":
      return 70 * nodes;
    case "append effects":
      return 60 * channels + 3 * payments;
    case "event effects":
      return 2_100 + 200 * channels + 20 * payments;
    default:
      return Infinity;
  }
}

function isRefusal(frame: Uint8Array): boolean {
  // `{"type":"paymentResult"…`
  if (frame.length <= 65 || frame[32] !== 0x7b || frame[41] !== 0x70 || frame[44] !== 0x6d) return false;
  return new TextDecoder().decode(frame.subarray(32)).includes('"confirmed":false');
}
