import type { Pause } from "../audit/pause.ts";
import type { EventRecord, LogRecord, NoteRecord, TransactionRecord } from "../audit/record.ts";
import type { PaymentHash } from "../domain/ids.ts";
import type { NodeCall, NodeEvent, NodeReply } from "../lightning/node.ts";
import type { ConnectionId, TransportEvent } from "../swarm/transport.ts";

/** A node's place in the configuration's `lightningNodes`; its public key is known only once it was up. */
export type NodeRef = number;

/** Everything that happens to the balancer. Time comes beside it. */
export type BalancerEvent =
  /** Once, first: every record of the transaction log, oldest first, and what was paused before. */
  | {
    readonly kind: "started";
    readonly transactions: readonly LogRecord[];
    readonly pauses: readonly Pause[];
  }
  | { readonly kind: "node"; readonly node: NodeRef; readonly event: NodeEvent }
  /** The answer to a `call`. */
  | { readonly kind: "reply"; readonly callId: number; readonly reply: NodeReply }
  /** The record of an `append` is on disk. */
  | { readonly kind: "appended"; readonly appendId: number }
  | { readonly kind: "transport"; readonly event: TransportEvent }
  /** The time that `nextTimeoutMs` named has come. */
  | { readonly kind: "timeout" }
  /**
   * The operator paused or resumed asking and paying over something: all that is paused now. `resumed`: everything was,
   * which also ends the breaker and the pause of cloned nodes.
   */
  | { readonly kind: "paused"; readonly pauses: readonly Pause[]; readonly resumed: boolean }
  /** The operator says how an open payment ended (`tightrope resolve`). */
  | { readonly kind: "resolve"; readonly paymentHash: PaymentHash; readonly as: "settled" | "failed" }
  /** The log's length and tree hash now, for the next hello. */
  | { readonly kind: "log-head"; readonly length: number; readonly treeHash: string }
  /** Stop for good: start nothing more; `drained` is the effect when nothing is under way. */
  | { readonly kind: "drain" };

/**
 * Everything the balancer wants done, in order.
 * An append that fails has no event: the driver ends the process, since a record that may or may not be on disk can be
 * settled only by reading the log again.
 */
export type Effect =
  | { readonly kind: "call"; readonly callId: number; readonly node: NodeRef; readonly call: NodeCall }
  | { readonly kind: "append"; readonly appendId: number; readonly record: TransactionRecord }
  /** A line of the transaction log about the log itself, in its place among the appends. Nothing waits for it. */
  | { readonly kind: "note"; readonly record: NoteRecord }
  /** Event log and screen. Nothing waits for it. */
  | { readonly kind: "event"; readonly record: EventRecord }
  | { readonly kind: "send"; readonly connection: ConnectionId; readonly frame: Uint8Array }
  | { readonly kind: "disconnect"; readonly connection: ConnectionId }
  /** The peer proved that it knows the secret: its connection no longer counts against the cap on strangers. */
  | { readonly kind: "authenticated"; readonly connection: ConnectionId }
  /** Something contradicts our own rules: stay paused, across restarts too, until the operator resumes. */
  | { readonly kind: "pause"; readonly reason: string }
  | { readonly kind: "drained" };
