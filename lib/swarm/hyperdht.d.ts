// The part of hyperdht 6 (https://github.com/holepunchto/hyperdht), which brings no types, that lib/swarm/ uses.
import { EventEmitter } from "node:events";
import type { SecretStream } from "hyperswarm";
import type { UDX } from "../udx/mod.ts";

export interface KeyPair {
  /** 32 bytes, Ed25519. */
  readonly publicKey: Uint8Array;
  readonly secretKey: Uint8Array;
}

export interface HyperDHTOptions {
  readonly udx: UDX;
  /** `host:port` each; absent: the public nodes. */
  readonly bootstrap?: readonly string[];
  readonly keyPair?: KeyPair;
  /** A UDP port, or a range `[from, before]` to try; a free one where all are taken. */
  readonly port?: number | readonly [number, number];
  readonly host?: string;
  /** false: answer and store for others from the start. */
  readonly ephemeral?: boolean;
  readonly firewalled?: boolean;
}

/** Events: `listening` (bound), `ready` (bootstrapped), `network-change`. */
export default class HyperDHT extends EventEmitter {
  constructor(options: HyperDHTOptions);
  static keyPair(seed: Uint8Array): KeyPair;
  /** A node that others bootstrap from: it knows its own address instead of asking. */
  static bootstrapper(port: number, host: string, options: { readonly udx: UDX }): HyperDHT;
  /** The nodes it knows now. */
  readonly nodes: { readonly length: number };
  address(): { readonly host: string; readonly port: number } | null;
  /** Finds a listening peer by its key and connects to it. */
  connect(publicKey: Uint8Array, options: { readonly keyPair: KeyPair }): SecretStream;
  fullyBootstrapped(): Promise<void>;
  bind(): Promise<void>;
  readonly io: { readonly serverSocket: { address(): { readonly port: number } | null } | null };
  /** Which of this machine's addresses reach it; filled as needed. */
  readonly _validatedLocalAddresses: Map<string, Promise<boolean>>;
  /** What a node that others rely on keeps for them; null while it is not one. */
  readonly _persistent: { readonly bumps: { destroy(): void } } | null;
  /** force: without telling the DHT. */
  destroy(options?: { readonly force?: boolean }): Promise<void>;
}
