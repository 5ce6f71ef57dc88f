import type { BalancerEvent, Effect } from "../../lib/balancer/io.ts";
import type { BalancerState } from "../../lib/balancer/balancer.ts";
import { sat } from "../../lib/domain/amounts.ts";
import type { NodeReply } from "../../lib/lightning/node.ts";
import { invoiceTextOf } from "./lnd.ts";

/** What a program with a mistake would hear, do or remember otherwise; a rule must notice. */
export interface Mistake {
  event?(state: BalancerState, event: BalancerEvent): BalancerEvent;
  effects?(state: BalancerState, effects: Effect[], event: BalancerEvent): Effect[];
  /** What it hears at once after its effects. */
  follows?(state: BalancerState, effects: readonly Effect[]): BalancerEvent[];
}

/** It hears another answer than its node gave. */
function hears(change: (reply: NodeReply, state: BalancerState, callId: number) => NodeReply): Mistake {
  return {
    event: (state, event) =>
      event.kind === "reply" ? { ...event, reply: change(event.reply, state, event.callId) } : event,
  };
}

/** Before each step it forgets something. */
function forgets(change: (state: BalancerState) => void): Mistake {
  return {
    event: (state, event) => {
      change(state);
      return event;
    },
  };
}

const failed = { kind: "failed", index: 1n, failure: "error" } as const;

function ofTrack(kind: "not-found" | "in-flight"): Mistake {
  return hears((reply, state, callId) =>
    reply.ok && reply.method === "trackPayment" && reply.value.kind === kind &&
      state.calls.get(callId)?.kind === "track"
      ? { ...reply, value: failed }
      : reply
  );
}

export const flaws = {
  "records are on disk before they are": {
    follows: (state, effects) =>
      effects.flatMap((effect) =>
        effect.kind === "append" && state.appends.has(effect.appendId)
          ? [{ kind: "appended" as const, appendId: effect.appendId }]
          : []
      ),
  },
  "a lost answer counts as a failure": hears((reply) =>
    reply.ok && reply.method === "pay" && reply.value.kind === "unknown" ? { ...reply, value: failed } : reply
  ),
  "not found counts as a failure": ofTrack("not-found"),
  "under way counts as a failure": ofTrack("in-flight"),
  "what is reserved doesn't count": forgets(({ ledger }) => {
    for (const [hash, payment] of ledger.payments) {
      if (payment.state !== "settled") ledger.payments.set(hash, { ...payment, amountSat: sat(0) });
    }
  }),
  "open payments are sent again after a restart": {
    effects: (state, effects, event) => {
      if (event.kind !== "started") return effects;
      const again = [...state.payments.values()].map(({ paymentHash }): Effect => {
        const callId = state.nextId++;
        state.calls.set(callId, { kind: "pay", paymentHash });
        const request = { invoice: invoiceTextOf(paymentHash), paymentHash, outgoingChannelId: "", timeoutSec: 30 };
        const args = [{ ...request, cltvLimitBlocks: 120 }] as never;
        return { kind: "call", callId, node: 0, call: { method: "pay", args } };
      });
      return [...effects, ...again];
    },
  },
  "a known hash is paid again": {
    event: (state, event) => {
      state.ledger.paidHashes.has = () => false;
      const isLook = event.kind === "reply" && state.calls.get(event.callId)?.kind === "request-hash";
      return isLook ? { ...event, reply: { ok: true, method: "trackPayment", value: { kind: "not-found" } } } : event;
    },
  },
  "the payer's word is believed": hears((reply, state, callId) => {
    const purpose = state.calls.get(callId);
    if (!reply.ok || reply.method !== "lookupInvoice" || purpose?.kind !== "ask-lookup") return reply;
    if (reply.value === undefined || state.asks.get(purpose.requestId)?.answer?.confirmed !== true) return reply;
    return { ...reply, value: { ...reply.value, state: "settled", paidOver: [] } };
  }),
  "a cancellation that fails isn't looked up": hears((reply) =>
    !reply.ok && reply.method === "cancelInvoice" ? { ok: true, method: "cancelInvoice", value: undefined } : reply
  ),
  "what nobody pays isn't cancelled": {
    effects: (_state, effects) =>
      effects.filter((effect) => effect.kind !== "call" || effect.call.method !== "cancelInvoice"),
    follows: (state) =>
      [...state.calls].filter(([, { kind }]) => kind === "ask-cancel").map(([callId]) => ({
        ...{ kind: "reply", callId } as const,
        reply: { ok: true, method: "cancelInvoice", value: undefined } as const,
      })),
  },
  "invoices of an earlier run are forgotten": {
    event: (_state, event) =>
      event.kind === "started"
        ? { ...event, transactions: event.transactions.filter((one) => !("role" in one) || one.role === "payer") }
        : event,
  },
  "it asks while a request is open": forgets(({ nodes }) => {
    for (const { sides } of nodes) for (const side of sides.values()) side.ask = undefined;
  }),
} satisfies Record<string, Mistake>;

export type Flaw = keyof typeof flaws;
