import type { BalancerEvent } from "../../lib/balancer/io.ts";
import type { BalancerState } from "../../lib/balancer/balancer.ts";
import type { PaymentHash, RequestId } from "../../lib/domain/ids.ts";
import type { Owner } from "./lnd.ts";
import type { Observer } from "./world.ts";

/**
 * The life of a request at the payer's and at the payee's, as observed: every change of phase that the explorer made the
 * real balancer go through, and what made it change.
 */
export class RequestLives implements Observer {
  readonly #changes = [new Map<string, Set<string>>(), new Map<string, Set<string>>()] as const;

  step(owner: Owner, before: BalancerState, event: BalancerEvent): (after: BalancerState) => void {
    const label = labelOf(event, before);
    const known = new Map(requestsOf(owner, before).map((id) => [id, standingOf(owner, before, id)!]));
    return (after) => {
      for (const id of new Set([...known.keys(), ...requestsOf(owner, after)])) {
        const from = known.get(id);
        const to = standingOf(owner, after, id)?.phase ?? endOf(owner, from!, after);
        // What is settled still counts against the limits for a while: no news.
        if (from?.phase !== to && from?.phase !== "settled") this.#note(owner, from?.phase ?? "[*]", to, label);
      }
    };
  }

  #note(owner: Owner, from: string, to: string, label: string): void {
    const change = `${from} --> ${to}`;
    const changes = this.#changes[owner];
    if (!changes.has(change)) changes.set(change, new Set());
    changes.get(change)!.add(label);
  }

  /** Every phase that was seen, of either role. */
  diagram(owner: Owner): string {
    const lines = [...this.#changes[owner]].map(([change, labels]) => `  ${change}: ${[...labels].sort().join(", ")}`);
    return ["stateDiagram-v2", ...lines.sort()].join("\n");
  }
}

interface Standing {
  readonly phase: string;
  readonly hash: PaymentHash | undefined;
}

function requestsOf(owner: Owner, state: BalancerState): RequestId[] {
  if (owner === 1) return [...state.asks.keys()];
  const paid = [...state.ledger.payments.values()].map(({ requestId }) => requestId!);
  return [...[...state.requests.values()].map(({ message }) => message.requestId), ...paid];
}

/** Undefined for a request that isn't known, any more or yet. */
function standingOf(owner: Owner, state: BalancerState, requestId: RequestId): Standing | undefined {
  if (owner === 1) {
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
    const { phase } = state.payments.get(hash)!;
    return { phase: phase === "tracking" && paid === "unknown" ? "unknown" : phase, hash };
  }
  return undefined;
}

/** What became of a request that is known no more: what the log says, if it ever got there. */
function endOf(owner: Owner, { phase, hash }: Standing, { ledger }: BalancerState): string {
  const recorded = hash && (owner === 0 ? ledger.paidHashes : ledger.invoiceHashes).get(hash);
  return recorded ?? (phase === "checking" ? "refused" : "forgotten");
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
    case "reply": {
      const { reply } = event;
      const purpose = before.calls.get(event.callId)?.kind ?? "";
      if (!reply.ok) return `${reply.method} unanswered`;
      const value = reply.value as { kind?: string; state?: string } | undefined;
      const said = purpose === "poll" || purpose === "request-channels" ? "" : value?.kind ?? value?.state ?? "";
      return said === "" ? reply.method : `${reply.method} ${said}`;
    }
    case "transport":
      return event.event.kind === "frame" ? "message" : event.event.kind;
    case "node":
      return "HTLC moved";
    default:
      return event.kind;
  }
}
