import type { ReceiveBuffer } from "./receive_buffer.ts";
import type { ReceivingHalf } from "./sender.ts";

/** A window smaller than a packet is advertised as none: it would only be filled with crumbs. */
const SMALLEST_WINDOW_BYTES = 1500;

/** What is owed to the other side: acknowledgements, and news of the window. */
export class Acknowledgements implements ReceivingHalf {
  /** Packets that wait for an acknowledgement. */
  owed = 0;
  /** The window that was told last. */
  advertised: number;
  readonly #receive: ReceiveBuffer;

  constructor(receive: ReceiveBuffer) {
    this.#receive = receive;
    this.advertised = receive.maxBytes;
  }

  get next(): number {
    return this.#receive.next;
  }

  /** What we let the other side send. */
  get windowBytes(): number {
    const free = this.#receive.freeBytes;
    return free < SMALLEST_WINDOW_BYTES ? 0 : free;
  }

  advertise(): number {
    this.advertised = this.windowBytes;
    return this.advertised;
  }

  acknowledged(): void {
    if (!this.#receive.hasGaps) this.owed = 0;
  }
}
