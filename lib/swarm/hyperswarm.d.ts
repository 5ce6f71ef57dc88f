// The part of hyperswarm 4 (https://github.com/holepunchto/hyperswarm), which brings no types, that lib/swarm/ uses.
import { EventEmitter } from "node:events";
import type HyperDHT from "hyperdht";
import type { KeyPair } from "hyperdht";
import type { SecretStream } from "./secret_stream.ts";

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
