// The part of protomux 3 (https://github.com/holepunchto/protomux), which brings no types, that lib/swarm/ uses.
import type { SecretStream } from "./hyperswarm.d.ts";

export interface MuxMessage {
  /** Queues one message; false while the stream is behind (`ondrain` follows). */
  send(message: Uint8Array): boolean;
}

export interface MuxChannel {
  readonly messages: readonly MuxMessage[];
  open(): void;
  close(): void;
}

export interface MuxChannelOptions {
  readonly protocol: string;
  /** Each message as raw bytes. */
  readonly messages: readonly { readonly onmessage: (message: Uint8Array) => void }[];
  readonly onopen: () => void;
  /** The remote closed it, refused it, or the stream is gone. */
  readonly onclose: () => void;
  readonly ondrain: () => void;
}

export default class Protomux {
  /** The one of this stream, so that several protocols share it. */
  static from(stream: SecretStream): Protomux;
  /** null where the stream is gone or the protocol is open already. */
  createChannel(options: MuxChannelOptions): MuxChannel | null;
}
