import type { BalancerEvent } from "../../lib/balancer/io.ts";
import { msat, sat } from "../../lib/domain/amounts.ts";
import type { NodePubkey } from "../../lib/domain/ids.ts";
import type { DecodedInvoice } from "../../lib/domain/invoice.ts";
import type { NodeReply } from "../../lib/lightning/node.ts";
import { formatMemo, invoiceTag } from "../../lib/protocol/memo.ts";
import type { SimInstance } from "./instance.ts";
import type { Bug } from "./world.ts";

/** A weakness of the honest side that nothing but an adversary finds. */
export interface Weakness {
  readonly name: string;
  /** What the program would be doing. */
  readonly what: string;
  /** A new one for each world: some remember. */
  readonly bug: () => Bug;
  /** It is caught within so many seeds of worlds with an adversary and without other faults, whichever they are. */
  readonly within: number;
  /** One that catches it. */
  readonly seed: number;
}

function before(name: string, change: (instance: SimInstance, event: BalancerEvent) => void): () => Bug {
  return () => ({
    name,
    event: (instance, event) => {
      if (instance.state?.started) change(instance, event);
      return event;
    },
  });
}

/** The payer reads another invoice than the one that it was given. */
function decoded(
  name: string,
  change: (invoice: DecodedInvoice, instance: SimInstance, requestId: number) => Partial<DecodedInvoice>,
): () => Bug {
  return () => ({
    name,
    event: (instance, event) => {
      if (event.kind !== "reply") return event;
      const { reply, callId } = event;
      const purpose = instance.state!.calls.get(callId);
      if (!reply.ok || reply.method !== "decodeInvoice" || purpose?.kind !== "request-invoice") return event;
      return { ...event, reply: { ...reply, value: { ...reply.value, ...change(reply.value, instance, purpose.id) } } };
    },
  });
}

export const weaknesses: readonly Weakness[] = [
  {
    name: "credit-per-session",
    what: "gives a peer that comes with a new key new credit",
    bug: before("credit-per-session", ({ state }, event) => {
      if (event.kind === "transport" && event.event.kind === "connected") state!.ledger.positions.clear();
    }),
    within: 150,
    seed: 10,
  },
  {
    name: "held-payments-are-free",
    what: "counts a payment against the net position only once it has settled",
    bug: before("held-payments-are-free", ({ state }) => {
      const { positions, payments } = state!.ledger;
      positions.get = (peer: NodePubkey) => {
        let position = Map.prototype.get.call(positions, peer) ?? 0n;
        for (const one of payments.values()) {
          if (one.peer === peer && one.state !== "settled") position -= one.amountSat;
        }
        return sat(position);
      };
    }),
    within: 60,
    seed: 1,
  },
  {
    name: "total-per-node",
    what: "lets each node of one attacker have the whole of maxNetOutflowTotal",
    bug: () => ({
      name: "total-per-node",
      config: (config) => ({ ...config, limits: { ...config.limits, maxNetOutflowTotalSat: sat(1_000_000_000) } }),
    }),
    within: 60,
    seed: 1,
  },
  {
    name: "unsettled-is-ours",
    what: "counts unsettled HTLCs as its own when it pays",
    bug: () => ({
      name: "unsettled-is-ours",
      event: (instance, event) => {
        if (event.kind !== "reply" || !event.reply.ok || event.reply.method !== "listChannels") return event;
        if (instance.state!.calls.get(event.callId)?.kind !== "request-channels") return event;
        const value = event.reply.value.map((channel) => ({
          ...channel,
          localSat: sat(channel.localSat + channel.unsettledSat),
          unsettledSat: sat(0),
        }));
        return { ...event, reply: { ...event.reply, value } as NodeReply };
      },
    }),
    within: 150,
    seed: 5,
  },
  {
    name: "no-tag-check",
    what: "pays invoices that were made for something else",
    bug: decoded("no-tag-check", (_invoice, { state }, id) => {
      const request = state!.requests.get(id);
      const sessionId = request && state!.peers.get(request.connection)?.sessionIdBytes;
      if (!request || !sessionId) return {};
      const { channelPoint, channelId, requestId, tokens } = request.message;
      return { memo: formatMemo(channelId, invoiceTag({ sessionId, requestId, channelPoint, tokens })) };
    }),
    within: 150,
    seed: 14,
  },
  {
    name: "no-destination-check",
    what: "pays invoices of other nodes than the channel's",
    bug: decoded("no-destination-check", (_invoice, { state }, id) => {
      const destination = state!.requests.get(id)?.peer;
      return destination === undefined ? {} : { destination };
    }),
    within: 250,
    seed: 35,
  },
  {
    name: "no-amount-check",
    what: "takes the amount from the request and not from the invoice",
    bug: decoded("no-amount-check", (_invoice, { state }, id) => {
      const tokens = state!.requests.get(id)?.message.tokens;
      return tokens === undefined ? {} : { amountMsat: msat(tokens * 1_000n) };
    }),
    within: 300,
    seed: 35,
  },
  {
    name: "route-hints-are-fine",
    what: "pays invoices with route hints",
    bug: decoded("route-hints-are-fine", () => ({ routeHintCount: 0 })),
    within: 700,
    seed: 134,
  },
  {
    name: "proof-of-any-session",
    what: "takes a node's proof for another session",
    bug: () => {
      // Every proof that an honest node ever signed, by its signer.
      const signed = new Map<string, NodePubkey>();
      const said = new Map<string, string>();
      return {
        name: "proof-of-any-session",
        config: (config) => ({ ...config, requireNodeProof: false }),
        event: (instance, event) => {
          if (event.kind === "reply" && event.reply.ok && event.reply.method === "signMessage") {
            const purpose = instance.state!.calls.get(event.callId);
            if (purpose?.kind === "proof") signed.set(event.reply.value, purpose.pubkey);
          }
          for (const peer of instance.state!.peers.values()) {
            for (const [pubkey, node] of peer.nodes) {
              const proof = said.get(`${peer.connection}/${pubkey}`);
              if (proof !== undefined && signed.get(proof) === pubkey) {
                peer.nodes.set(pubkey, { ...node, proven: true });
              }
            }
          }
          if (event.kind === "transport" && event.event.kind === "frame") {
            const { frame, connection } = event.event;
            const text = new TextDecoder().decode(frame.subarray(32));
            const hello = /^\{"type":"hello","publicKey":"([0-9a-f]{66})".*"proof":"([a-z0-9]*)"/.exec(text);
            if (hello) said.set(`${connection}/${hello[1]}`, hello[2]!);
          }
          return event;
        },
      };
    },
    within: 300,
    seed: 81,
  },
  {
    name: "no-spacing",
    what: "looks into every request at once",
    bug: before("no-spacing", ({ state }) => {
      for (const { sides } of state!.nodes) for (const side of sides.values()) side.evaluatedAtMs = undefined;
    }),
    within: 120,
    seed: 2,
  },
  {
    name: "peer-trips-breaker",
    what: "stops all paying when a payment is stuck",
    bug: () => ({
      name: "peer-trips-breaker",
      effects: (instance, effects) => {
        const stuck = effects.find((effect) => effect.kind === "event" && effect.record.kind === "payment-unknown");
        if (stuck?.kind !== "event" || instance.state!.breaker !== undefined) return effects;
        instance.state!.breaker = "stuck";
        return [...effects, { kind: "event", record: { ...stuck.record, kind: "breaker" } }];
      },
    }),
    within: 120,
    seed: 10,
  },
  {
    name: "silent-refusals",
    what: "says nothing of what it refused",
    bug: () => ({
      name: "silent-refusals",
      effects: (instance, effects) => {
        instance.state!.ignored.requests = 0;
        return effects.filter((effect) => effect.kind !== "event" || effect.record.kind !== "request-refused");
      },
    }),
    within: 10,
    seed: 1,
  },
];
