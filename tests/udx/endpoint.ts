import { type StreamEvent, StreamMachine } from "../../lib/udx/stream.ts";
import type { Host, SimulatedRoute } from "./simulated_network.ts";

export interface EndpointOptions {
  readonly receiveWindowBytes?: number;
  /** The first sequence number. */
  readonly seq?: number;
}

/** A machine with an application around it that keeps what it was told. */
export class Endpoint implements Host {
  readonly machine: StreamMachine<SimulatedRoute>;
  readonly #chunks: Uint8Array[] = [];
  receivedBytes = 0;
  readonly messages: Uint8Array[] = [];
  readonly events: StreamEvent["kind"][] = [];
  failure: string | null = null;
  /** A reader that doesn't take what arrives: the window closes. */
  paused = false;
  unreadBytes = 0;
  /** Datagrams sent, by the address they went to. */
  readonly sentTo = new Map<string, number>();

  constructor(id: number, options: EndpointOptions = {}) {
    this.machine = new StreamMachine({
      id,
      seq: options.seq ?? 0,
      ...(options.receiveWindowBytes === undefined ? {} : { receiveWindowBytes: options.receiveWindowBytes }),
    });
  }

  get received(): Buffer {
    return Buffer.concat(this.#chunks);
  }

  get ended(): boolean {
    return this.events.includes("end");
  }

  resume(): void {
    this.paused = false;
    this.machine.consumed(this.unreadBytes);
    this.unreadBytes = 0;
  }

  take(event: StreamEvent): void {
    this.events.push(event.kind);
    if (event.kind === "data") {
      this.#chunks.push(event.bytes);
      this.receivedBytes += event.bytes.length;
      if (this.paused) this.unreadBytes += event.bytes.length;
      else this.machine.consumed(event.bytes.length);
    } else if (event.kind === "message") this.messages.push(event.bytes.slice());
    else if (event.kind === "closed") this.failure = event.failure;
  }
}
