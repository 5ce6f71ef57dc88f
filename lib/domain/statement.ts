import type { Sat } from "./amounts.ts";
import type { NodePubkey } from "./ids.ts";

/** How one Lightning node's operator says that its account with another operator's node stands. */
export interface Statement {
  /** Whose account it is, and whose key signs it. */
  readonly node: NodePubkey;
  /** With whom. */
  readonly peer: NodePubkey;
  /** What `node` has paid to `peer` and received from it to rebalance, all told: payments that have ended. */
  readonly paidSat: Sat;
  readonly receivedSat: Sat;
  /** What `node` may yet turn out to have paid: reserved, under way, or unknown. */
  readonly openSat: Sat;
  /** How many payments `paidSat` and `receivedSat` are made of. */
  readonly count: number;
  /** The transaction log of `node`'s instance at that time: it can't tell another past later. `treeHash`: 64 hex digits, or empty. */
  readonly logHead: { readonly length: number; readonly treeHash: string };
  readonly atWallMs: number;
}

/** A statement that anybody can check: `signature` is the node's own over `accountText` (lib/protocol/signatures.ts). */
export interface SignedStatement extends Statement {
  /** z-base-32, as LND's SignMessage gives it and `lncli verifymessage` takes it. */
  readonly signature: string;
}
