// @deno-types="./protomux.d.ts"
import Protomux, { type MuxChannel } from "protomux";
import { messageOf } from "../domain/errors.ts";
import type { SecretStream } from "./hyperswarm.d.ts";
import { maxFrameBytes } from "./transport.ts";

/** How much may wait for a peer that is slow to read, before it is cut off. */
export const maxQueuedBytes = 1_048_576;

/**
 * The longest message that a stranger may begin: a frame and its wrapping. The secret stream itself would set aside
 * 16 MiB on the word of anybody.
 */
const maxStrangerBytes = 2 * maxFrameBytes;

export interface PeerChannelEvents {
  /** Both sides have opened the protocol. */
  readonly onOpen: () => void;
  readonly onFrame: (frame: Uint8Array) => void;
  /** Once, last. */
  readonly onClose: (reason: string) => void;
}

/**
 * The frames of our protocol on one connection, on a Protomux channel of its own, so that other protocols can share the
 * connection. Holds no timer.
 */
export class PeerChannel {
  /** Whether the peer proved itself: until then it may begin no long message. */
  trusted = false;
  readonly #stream: SecretStream;
  readonly #events: PeerChannelEvents;
  readonly #channel: MuxChannel | null;
  #open = false;
  #closed = false;
  #queuedBytes = 0;
  #error: Error | undefined;

  constructor(stream: SecretStream, protocol: string, events: PeerChannelEvents) {
    this.#stream = stream;
    this.#events = events;
    stream.on("error", (error) => this.#error = error);
    this.#channel = Protomux.from(stream).createChannel({
      protocol,
      messages: [{ onmessage: (frame) => this.#receive(frame) }],
      onopen: () => {
        this.#open = true;
        events.onOpen();
      },
      onclose: () => this.close(this.#reason()),
      ondrain: () => this.#queuedBytes = 0,
    });
    stream.on("close", () => this.#end(this.#reason()));
    this.#limitStranger();
    this.#channel?.open();
  }

  get isOpen(): boolean {
    return this.#open && !this.#closed;
  }

  send(frame: Uint8Array): void {
    if (!this.isOpen) return;
    if (frame.length > maxFrameBytes) {
      return this.close(`frame of ${frame.length} bytes; at most ${maxFrameBytes} pass`);
    }
    const drained = this.#channel?.messages[0]?.send(frame) ?? true;
    this.#queuedBytes = drained ? 0 : this.#queuedBytes + frame.length;
    if (this.#queuedBytes > maxQueuedBytes) this.cut("peer does not read");
  }

  /** Ends the connection after what is queued has been sent; nothing more is reported but `onClose`, at once. */
  close(reason: string): void {
    if (this.#closed) return;
    this.#stream.end();
    this.#end(reason);
  }

  /** Ends the connection now, whatever is queued. */
  cut(reason: string): void {
    this.#end(reason);
    this.#stream.destroy();
  }

  #reason(): string {
    return this.#error ? messageOf(this.#error) : "closed by the peer";
  }

  #receive(frame: Uint8Array): void {
    if (this.#closed) return;
    if (frame.length > maxFrameBytes) return this.cut(`frame of ${frame.length} bytes; at most ${maxFrameBytes} pass`);
    // A copy: the bytes lie in a buffer that the socket uses again.
    this.#events.onFrame(new Uint8Array(frame));
  }

  #end(reason: string): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#events.onClose(reason);
  }

  #limitStranger(): void {
    let read = this.#stream.rawBytesRead;
    let pending = 0;
    this.#stream.rawStream.on("data", (chunk) => {
      pending = read === this.#stream.rawBytesRead ? pending + chunk.length : chunk.length;
      read = this.#stream.rawBytesRead;
      if (!this.trusted && pending > maxStrangerBytes) {
        this.cut("message too long for a peer that hasn't proven itself");
      }
    });
  }
}
