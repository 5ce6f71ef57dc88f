import type { BalancerEvent } from "../../lib/balancer/io.ts";
import type { BalancerState } from "../../lib/balancer/balancer.ts";
import type { PaymentHash, RequestId } from "../../lib/domain/ids.ts";
import type { Owner } from "./lnd.ts";
import type { Observer } from "./world.ts";

export type Role = "payer" | "payee";

/**
 * The life of a request at the payer's and at the payee's, as observed: every change of phase that the explorer made the
 * real balancer go through, and what made it change.
 */
export class RequestLives implements Observer {
  readonly #changes = { payer: new Map<string, Set<string>>(), payee: new Map<string, Set<string>>() };

  step(_owner: Owner, before: BalancerState, event: BalancerEvent): (after: BalancerState) => void {
    const label = labelOf(event, before);
    const known = roles.map((role) =>
      new Map(requestsOf(role, before).map((id) => [id, standingOf(role, before, id)!]))
    );
    const heard = heardBy(before);
    return (after) => {
      roles.forEach((role, index) => {
        for (const id of new Set([...known[index]!.keys(), ...requestsOf(role, after)])) {
          const from = known[index]!.get(id);
          const to = standingOf(role, after, id)?.phase ?? endOf(role, from!, after, event);
          // What is settled still counts against the limits for a while: no news.
          if (from?.phase !== to && from?.phase !== "settled") this.#note(role, from?.phase ?? "[*]", to, label);
        }
      });
      for (const id of heardBy(after)) {
        const isRefused = !heard.has(id) && standingOf("payer", after, id) === undefined;
        if (isRefused) this.#note("payer", "[*]", "refused", label);
      }
    };
  }

  #note(role: Role, from: string, to: string, label: string): void {
    const change = `${from} --> ${to}`;
    const changes = this.#changes[role];
    if (!changes.has(change)) changes.set(change, new Set());
    changes.get(change)!.add(label);
  }

  /** Every phase that was seen, of one role. */
  diagram(role: Role): string {
    const lines = [...this.#changes[role]].map(([change, labels]) => `  ${change}: ${[...labels].sort().join(", ")}`);
    return ["stateDiagram-v2", ...lines.sort()].join("\n");
  }
}

const roles: readonly Role[] = ["payer", "payee"];

interface Standing {
  readonly phase: string;
  readonly hash: PaymentHash | undefined;
}

/** The requests that came over the sessions that stand. */
function heardBy({ peers }: BalancerState): Set<RequestId> {
  return new Set([...peers.values()].flatMap(({ requestIds }) => requestIds));
}

function requestsOf(role: Role, state: BalancerState): RequestId[] {
  if (role === "payee") return [...state.asks.keys()];
  const paid = [...state.ledger.payments.values()].map(({ requestId }) => requestId!);
  return [...[...state.requests.values()].map(({ message }) => message.requestId), ...paid];
}

/** Undefined for a request that isn't known, any more or yet. */
function standingOf(role: Role, state: BalancerState, requestId: RequestId): Standing | undefined {
  if (role === "payee") {
    const ask = state.asks.get(requestId);
    if (ask === undefined) return undefined;
    const open = ask.cancelReason !== undefined ? "cancelling" : ask.busy ? "looking" : "open";
    return { phase: ask.phase === "open" ? open : ask.phase, hash: ask.paymentHash };
  }
  for (const { message } of state.requests.values()) {
    if (message.requestId === requestId) return { phase: "checking", hash: undefined };
  }
  for (const { paymentHash: hash, requestId: id, state: paid } of state.ledger.payments.values()) {
    if (id !== requestId) continue;
    if (paid === "settled") return { phase: "settled", hash };
    return { phase: state.payments.get(hash)!.phase, hash };
  }
  return undefined;
}

/** What became of a request that is known no more: what the log says, if it ever got there. */
function endOf(role: Role, { phase, hash }: Standing, { ledger }: BalancerState, event: BalancerEvent): string {
  const recorded = hash && (role === "payer" ? ledger.paidHashes : ledger.invoiceHashes).get(hash);
  return recorded ?? (phase === "checking" && event.kind !== "started" ? "refused" : "forgotten");
}

/** What happened, in the words of the diagram. */
function labelOf(event: BalancerEvent, before: BalancerState): string {
  switch (event.kind) {
    case "started":
      return "restart";
    case "timeout":
      return "time";
    case "appended":
      return "on disk";
    case "drain":
      return "stop";
    case "paused":
      return "pause";
    case "reply": {
      const { reply } = event;
      const purpose = before.calls.get(event.callId)?.kind ?? "";
      if (!reply.ok) return `${reply.method} ${reply.kind === "failed" ? "refused" : "unanswered"}`;
      const value = reply.value as { kind?: string; state?: string } | undefined;
      const said = purpose === "poll" || purpose === "request-channels" ? "" : value?.kind ?? value?.state ?? "";
      return said === "" ? reply.method : `${reply.method} ${said}`;
    }
    case "transport":
      return event.event.kind === "frame" ? "message" : event.event.kind;
    case "node":
      return event.event.kind === "htlc" ? "HTLC moved" : `LND ${event.event.kind}`;
    default:
      return event.kind;
  }
}
