import type { SwarmKey } from "../domain/ids.ts";

/** Names one connection for as long as it lasts; never used again. */
export type ConnectionId = number;

/**
 * What a transport reports. Frames arrive whole and in order, at most 64 KiB each.
 * `handshakeHash` is the same 64 bytes on both sides and fresh for each connection (Noise; random in memory).
 */
export type TransportEvent =
  | {
    readonly kind: "connected";
    readonly connection: ConnectionId;
    /** `memory`: both ends are this instance. */
    readonly via: "swarm" | "memory";
    readonly initiator: boolean;
    readonly localKey: SwarmKey;
    readonly remoteKey: SwarmKey;
    readonly handshakeHash: Uint8Array;
  }
  | { readonly kind: "frame"; readonly connection: ConnectionId; readonly frame: Uint8Array }
  | { readonly kind: "disconnected"; readonly connection: ConnectionId; readonly reason: string }
  /** For the operator: bound, bootstrapped, announced, or why not. */
  | { readonly kind: "status"; readonly level: "info" | "warn"; readonly message: string };

/** The longest frame that passes, in bytes (64 KiB). */
export const maxFrameBytes = 65_536;

/**
 * Connections to the other instances of the cluster, whatever carries them. An authenticated session is built on top
 * (lib/protocol/); a transport promises order within a connection and nothing else.
 */
export interface Transport {
  /** Starts finding peers; `onEvent` is called in order. */
  start(onEvent: (event: TransportEvent) => void): Promise<void>;
  /** Queues a frame; a peer that doesn't read is disconnected when its bounded queue is full. Unknown connections are ignored. */
  send(connection: ConnectionId, frame: Uint8Array): void;
  /** The peer knows the secret: its key bypasses the cap on connections of strangers, now and later. */
  markAuthenticated(connection: ConnectionId): void;
  /** Closes one connection; a `disconnected` event follows. */
  disconnect(connection: ConnectionId): void;
  close(): Promise<void>;
}
