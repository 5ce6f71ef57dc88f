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
  /** Sends what is queued, then closes. */
  end(): void;
  destroy(error?: Error): void;
  on(event: "error", listener: (error: Error) => void): void;
  on(event: "close", listener: () => void): void;
}
