import type { TransactionRecord } from "../../lib/audit/record.ts";
import type { BalancerEvent, Effect } from "../../lib/balancer/io.ts";
import { sessionFor } from "../../lib/balancer/state.ts";
import type { BalanceSettings } from "../../lib/config/config.ts";
import { type Msat, sat } from "../../lib/domain/amounts.ts";
import type { PaymentHash } from "../../lib/domain/ids.ts";
import type { NodeReply } from "../../lib/lightning/node.ts";
import type { SimInstance } from "./instance.ts";
import type { FaultKind } from "./plan.ts";
import { type Rudeness, RudePeer } from "./rude_peer.ts";
import type { Bug, WorldOptions } from "./world.ts";

/** A deliberate mistake, and what brings it to light. */
export interface KnownBug {
  readonly name: string;
  /** What the program would be doing. */
  readonly what: string;
  readonly bug: Bug;
  /** The only kinds of fault that its worlds have. */
  readonly faults: readonly FaultKind[];
  /** A peer beside the honest ones. */
  readonly peer?: Rudeness;
  /** It is caught within so many seeds, whichever they are. */
  readonly within: number;
  /** One that catches it. */
  readonly seed: number;
}

/** The world's options with a mistake switched in; none without a name. */
export function bugNamed(name: string | undefined): WorldOptions {
  const known = bugs.find((bug) => bug.name === name);
  if (known === undefined) return {};
  return { bug: known.bug, participants: known.peer === undefined ? [] : [new RudePeer(known.peer)] };
}

type Append = Extract<Effect, { kind: "append" }>;
type Reply = Extract<BalancerEvent, { kind: "reply" }>;

/** The machine goes on as if these records were on disk, while they are still being written. */
function toldEarly(...kinds: TransactionRecord["kind"][]): NonNullable<Bug["effects"]> {
  return (instance, effects) =>
    effects.map((effect) => {
      if (effect.kind !== "append" || !kinds.includes(effect.record.kind)) return effect;
      const state = instance.state!;
      const later: Append = { ...effect, appendId: state.nextId++ };
      state.appends.set(later.appendId, { kind: "noted" });
      instance.world.after(0, () => {
        if (instance.state === state) instance.take({ kind: "appended", appendId: effect.appendId });
      });
      return later;
    });
}

/** The machine hears another answer than its node gave. */
function replied(
  change: (reply: NodeReply, event: Reply, instance: SimInstance) => NodeReply,
): NonNullable<Bug["event"]> {
  return (instance, event) => {
    if (event.kind !== "reply") return event;
    return { ...event, reply: change(event.reply, event, instance) };
  };
}

/** Something is done to the machine's own state before each step. */
function before(change: (instance: SimInstance) => void): NonNullable<Bug["event"]> {
  return (instance, event) => {
    if (instance.state?.started) change(instance);
    return event;
  };
}

/** Everywhere other settings than those that the operator wrote. */
function settings(change: (settings: BalanceSettings) => Partial<BalanceSettings>): NonNullable<Bug["config"]> {
  return (config) => {
    const { baseSettings, idSettings } = config.limits;
    const changed = change(baseSettings);
    const narrower = idSettings.map(({ id, settings }) => ({
      id,
      settings: Object.fromEntries(Object.entries(settings).filter(([key]) => !(key in changed))),
    }));
    return {
      ...config,
      limits: { ...config.limits, baseSettings: { ...baseSettings, ...changed }, idSettings: narrower },
    };
  };
}

/** Remembers, over all lives of a process, the calls that paid. */
function payAgain(): Bug {
  const calls = new WeakMap<SimInstance, Map<PaymentHash, Extract<Effect, { kind: "call" }>>>();
  return {
    name: "pay-again-after-restart",
    effects: (instance, effects, event) => {
      const known = calls.get(instance) ?? new Map();
      calls.set(instance, known);
      for (const effect of effects) {
        if (effect.kind === "call" && effect.call.method === "pay") known.set(effect.call.args[0].paymentHash, effect);
      }
      if (event.kind !== "reply" || event.reply.method !== "trackPayment") return effects;
      const state = instance.state!;
      const again = [...state.payments.values()].flatMap(({ paymentHash, phase, invoice }) => {
        const call = known.get(paymentHash);
        if (call === undefined || phase !== "tracking" || invoice !== "") return [];
        known.delete(paymentHash);
        const callId = state.nextId++;
        state.calls.set(callId, { kind: "pay", paymentHash });
        return [{ ...call, callId }];
      });
      return [...effects, ...again];
    },
  };
}

export const bugs: readonly KnownBug[] = [
  {
    name: "reserve-after-paying",
    what: "pays while the intent is still being written",
    bug: { name: "reserve-after-paying", effects: toldEarly("intent") },
    faults: [],
    within: 20,
    seed: 1,
  },
  {
    name: "ask-before-recording",
    what: "sends an invoice that isn't on disk yet",
    bug: { name: "ask-before-recording", effects: toldEarly("invoiced") },
    faults: [],
    within: 20,
    seed: 1,
  },
  {
    name: "confirm-before-recording",
    what: "tells the payee of a payment whose end isn't on disk yet",
    bug: { name: "confirm-before-recording", effects: toldEarly("settled") },
    faults: [],
    within: 20,
    seed: 1,
  },
  {
    name: "believe-payment-result",
    what: "takes the payer's word that it has paid",
    bug: {
      name: "believe-payment-result",
      event: replied((reply, { callId }, { state }) => {
        const purpose = state!.calls.get(callId);
        if (!reply.ok || reply.method !== "lookupInvoice" || purpose?.kind !== "ask-lookup") return reply;
        if (reply.value === undefined || state!.asks.get(purpose.requestId)?.answer?.confirmed !== true) return reply;
        return { ...reply, value: { ...reply.value, state: "settled", paidOver: [] } };
      }),
    },
    faults: [],
    peer: "claims-payment",
    within: 10,
    seed: 1,
  },
  {
    name: "error-is-failure",
    what: "takes a lost answer to SendPaymentV2 for a failed payment",
    bug: {
      name: "error-is-failure",
      event: replied((reply) =>
        reply.ok && reply.method === "pay" && reply.value.kind === "unknown"
          ? { ...reply, value: { kind: "failed", index: 1n, failure: "error" } }
          : reply
      ),
    },
    faults: ["answers-lost", "streams-end", "requests-late"],
    within: 100,
    seed: 2,
  },
  {
    name: "count-only-settled",
    what: "leaves what is reserved or unknown out of the limits per period",
    bug: {
      name: "count-only-settled",
      event: before(({ state }) => {
        const { payments } = state!.ledger;
        payments.values = () =>
          [...Map.prototype.values.call(payments)].filter((one) => one.state === "settled").values();
      }),
    },
    faults: ["lnd-hang", "payment-stuck", "answers-lost", "disk-slow"],
    within: 300,
    seed: 3,
  },
  {
    name: "position-of-settled-only",
    what: "leaves what is reserved or unknown out of the net position",
    bug: {
      name: "position-of-settled-only",
      event: before(({ state }) => {
        const { positions, payments } = state!.ledger;
        positions.get = (peer) => {
          let position = Map.prototype.get.call(positions, peer) ?? 0n;
          for (const one of payments.values()) {
            if (one.peer === peer && one.state !== "settled") position -= one.amountSat;
          }
          return sat(position);
        };
      }),
    },
    faults: ["lnd-hang", "payment-stuck", "answers-lost", "disk-slow"],
    within: 100,
    seed: 1,
  },
  {
    name: "skip-hash-check",
    what: "pays a hash that it knows already",
    bug: {
      name: "skip-hash-check",
      event: (instance, event) => {
        const { state } = instance;
        if (!state?.started) return event;
        for (const peer of state.peers.values()) peer.requestIds.length = 0;
        const { paidHashes } = state.ledger;
        paidHashes.has = () => false;
        const isLook = event.kind === "reply" && state.calls.get(event.callId)?.kind === "request-hash";
        return isLook ? { ...event, reply: { ok: true, method: "trackPayment", value: { kind: "not-found" } } } : event;
      },
    },
    faults: [],
    peer: "asks-again",
    within: 30,
    seed: 6,
  },
  {
    name: "skip-proof",
    what: "takes a node for proven because it was named",
    bug: {
      name: "skip-proof",
      config: (config) => ({ ...config, requireNodeProof: false }),
      event: before(({ state }) => {
        for (const peer of state!.peers.values()) {
          for (const [pubkey, node] of peer.nodes) peer.nodes.set(pubkey, { ...node, proven: true });
        }
      }),
    },
    faults: [],
    peer: "claims-node",
    within: 30,
    seed: 3,
  },
  {
    name: "forget-min-time",
    what: "forgets when it last paid over a channel",
    bug: { name: "forget-min-time", event: before(({ state }) => state!.ledger.lastAttemptAtMs.clear()) },
    faults: [],
    peer: "asks",
    within: 40,
    seed: 3,
  },
  {
    name: "forget-count",
    what: "ignores maxTransactionsPerPeriod",
    bug: { name: "forget-count", config: settings(() => ({ maxTransactionsPerPeriod: 1_000_000 })) },
    faults: [],
    peer: "asks",
    within: 30,
    seed: 2,
  },
  {
    name: "forget-net-outflow",
    what: "ignores maxNetOutflow",
    bug: { name: "forget-net-outflow", config: settings(() => ({ maxNetOutflowSat: sat(1_000_000_000) })) },
    faults: [],
    within: 60,
    seed: 12,
  },
  {
    name: "ignore-share-rule",
    what: "pays below its balance point",
    bug: {
      name: "ignore-share-rule",
      config: settings(({ balancePoint }) => ({ balancePoint: Math.max(0.02, balancePoint - 0.25), deadzone: 0.01 })),
    },
    faults: [],
    within: 40,
    seed: 5,
  },
  {
    name: "ignore-maximum",
    what: "ignores maxTransactionSize",
    bug: { name: "ignore-maximum", config: settings(() => ({ maxTransactionSizeSat: sat(100_000_000) })) },
    faults: [],
    within: 40,
    seed: 2,
  },
  {
    name: "decide-on-old-list",
    what: "decides on the channels as they were before the request",
    bug: {
      name: "decide-on-old-list",
      event: replied((reply, { callId }, { state }) => {
        const purpose = state!.calls.get(callId);
        if (!reply.ok || reply.method !== "listChannels" || purpose?.kind !== "request-channels") return reply;
        return { ...reply, value: [...state!.nodes[purpose.node]!.sides.values()].map(({ channel }) => channel) };
      }),
    },
    faults: ["stuck-htlc"],
    peer: "asks",
    within: 1_000,
    seed: 336,
  },
  {
    name: "wrong-channel",
    what: "pays over another channel than the one that was asked for",
    bug: {
      name: "wrong-channel",
      effects: ({ state }, effects) =>
        effects.map((effect) => {
          if (effect.kind !== "call" || effect.call.method !== "pay") return effect;
          const [request] = effect.call.args;
          const others = [...state!.nodes[effect.node]!.sides.values()].map(({ channel }) => channel.shortChannelId);
          const outgoingChannelId = others.find((id) => id !== request.outgoingChannelId) ?? request.outgoingChannelId;
          return { ...effect, call: { method: "pay", args: [{ ...request, outgoingChannelId }] } };
        }),
    },
    faults: [],
    within: 20,
    seed: 1,
  },
  {
    name: "pay-again-after-restart",
    what: "sends the open payments of an earlier run again",
    bug: payAgain(),
    faults: ["crash", "lnd-hang", "payment-stuck", "lnd-slow"],
    within: 300,
    seed: 35,
  },
  {
    name: "free-on-not-found",
    what: "frees a reservation as soon as LND doesn't know the payment",
    bug: {
      name: "free-on-not-found",
      event: replied((reply, { callId }, { state }) =>
        reply.ok && reply.method === "trackPayment" && reply.value.kind === "not-found" &&
          state!.calls.get(callId)?.kind === "track"
          ? { ...reply, value: { kind: "failed", index: 1n, failure: "error" } }
          : reply
      ),
    },
    faults: ["requests-late"],
    within: 300,
    seed: 19,
  },
  {
    name: "forget-open-invoices",
    what: "doesn't look after the invoices of an earlier run",
    bug: {
      name: "forget-open-invoices",
      event: (_instance, event) =>
        event.kind === "started"
          ? {
            ...event,
            transactions: event.transactions.filter((record) => "role" in record && record.role === "payer"),
          }
          : event,
    },
    faults: ["crash", "append-rejected"],
    within: 30,
    seed: 2,
  },
  {
    name: "ask-twice",
    what: "asks while a request on the channel is open",
    bug: {
      name: "ask-twice",
      event: before(({ state }) => {
        for (const { sides } of state!.nodes) for (const side of sides.values()) side.ask = undefined;
      }),
    },
    faults: ["lnd-slow", "disk-slow"],
    within: 10,
    seed: 1,
  },
  {
    name: "limit-for-ever",
    what: "takes what a payer said it would pay at most for true for ever",
    bug: {
      name: "limit-for-ever",
      event: before(({ state }) => {
        for (const { sides } of state!.nodes) {
          for (const side of sides.values()) {
            if (side.maxTokens === undefined) continue;
            const connection = sessionFor(state!, side.channel.remotePubkey)?.connection;
            side.maxTokens = { ...side.maxTokens, connection, untilMs: Infinity };
          }
        }
      }),
    },
    faults: ["settings-changed"],
    within: 200,
    seed: 5,
  },
  {
    name: "ignore-pause",
    what: "doesn't hear the operator's pause",
    bug: {
      name: "ignore-pause",
      event: (_instance, event) =>
        event.kind === "paused" || event.kind === "started" ? { ...event, pauses: [] } : event,
    },
    faults: ["paused"],
    within: 20,
    seed: 2,
  },
  {
    name: "never-cancel",
    what: "leaves the invoices open that nobody paid",
    bug: {
      name: "never-cancel",
      effects: (_instance, effects) =>
        effects.filter((effect) => effect.kind !== "call" || effect.call.method !== "cancelInvoice"),
    },
    faults: [],
    within: 20,
    seed: 1,
  },
  {
    name: "unbounded-cltv",
    what: "lets LND lock its money for as many blocks as it takes",
    bug: {
      name: "unbounded-cltv",
      effects: (_instance, effects) =>
        effects.map((effect) => {
          if (effect.kind !== "call" || effect.call.method !== "pay") return effect;
          const [request] = effect.call.args;
          return { ...effect, call: { method: "pay", args: [{ ...request, cltvLimitBlocks: 2_016 }] } };
        }),
    },
    faults: [],
    within: 20,
    seed: 1,
  },
  {
    name: "forget-log",
    what: "begins each run as if its log were empty",
    bug: {
      name: "forget-log",
      event: (_instance, event) => event.kind === "started" ? { ...event, transactions: [] } : event,
    },
    faults: ["crash", "orderly-stop"],
    within: 20,
    seed: 8,
  },
  {
    name: "ignore-history",
    what: "doesn't read the node's own list of payments",
    bug: {
      name: "ignore-history",
      event: replied((reply) => reply.ok && reply.method === "listPayments" ? { ...reply, value: [] } : reply),
    },
    faults: ["backup-restored"],
    within: 30,
    seed: 1,
  },
  {
    name: "ignore-fee-and-hops",
    what: "doesn't look at the fee and the route that LND names",
    bug: {
      name: "ignore-fee-and-hops",
      event: replied((reply) => {
        if (!reply.ok || (reply.method !== "pay" && reply.method !== "trackPayment")) return reply;
        if (reply.value.kind !== "settled") return reply;
        return { ...reply, value: { ...reply.value, feeMsat: 0n as Msat, routes: [] } } as NodeReply;
      }),
    },
    faults: ["lnd-contradicts"],
    within: 30,
    seed: 1,
  },
];
