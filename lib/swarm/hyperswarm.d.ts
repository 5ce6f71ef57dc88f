// The part of hyperswarm 4 (https://github.com/holepunchto/hyperswarm), which brings no types, that lib/swarm/ uses.
import { EventEmitter } from "node:events";
import type HyperDHT from "hyperdht";
import type { KeyPair } from "hyperdht";

/** The part of @hyperswarm/secret-stream (a Noise connection as a streamx Duplex) that lib/swarm/ uses. */
export interface SecretStream {
  /** Whether this side opened the connection (the Noise initiator). */
  readonly isInitiator: boolean;
  /** 32 bytes each, Ed25519. */
  readonly publicKey: Uint8Array;
  readonly remotePublicKey: Uint8Array;
  /** 64 bytes, the same on both sides. */
  readonly handshakeHash: Uint8Array;
  /** Bytes of whole messages received so far, still encrypted. */
  readonly rawBytesRead: number;
  readonly rawStream: { on(event: "data", listener: (chunk: Uint8Array) => void): void };
  /** Ends the connection when nothing came for this long. */
  setTimeout(timeoutMs: number): void;
  pause(): void;
  /** Sends what is queued, then closes. */
  end(): void;
  destroy(error?: Error): void;
  on(event: "error", listener: (error: Error) => void): void;
  on(event: "close", listener: () => void): void;
}

/** One topic of a swarm. */
export interface Discovery {
  /** Looks up and announces again; false if that failed. */
  refresh(): Promise<boolean>;
  /** Resolves when the look-up and announcement under way are done. */
  flushed(): Promise<boolean>;
}

/** Events: `connection` (a SecretStream, open). */
export default class Hyperswarm extends EventEmitter {
  constructor(options: { readonly dht: HyperDHT; readonly keyPair: KeyPair; readonly maxPeers?: number });
  readonly server: { refresh(): void };
  join(topic: Uint8Array, options?: { readonly server?: boolean; readonly client?: boolean }): Discovery;
  /** Connects to this key now and whenever it is lost, outside of maxPeers. */
  joinPeer(publicKey: Uint8Array): void;
  leavePeer(publicKey: Uint8Array): void;
  destroy(options?: { readonly force?: boolean }): Promise<void>;
  override on(event: "connection", listener: (connection: SecretStream) => void): this;
}
