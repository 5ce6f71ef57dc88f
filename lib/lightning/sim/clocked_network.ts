import type { Clock } from "../../env/clock.ts";
import type { SimHost, SimNetworkModel } from "./model.ts";

/** Runs a simulated network on a real clock, with one timer. A broken invariant is thrown from the timer: it ends the process. */
export class ClockedNetwork implements SimHost {
  readonly network: SimNetworkModel;
  readonly #clock: Clock;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #running = false;

  /** @param network must have begun at a time of this clock */
  constructor(network: SimNetworkModel, clock: Clock) {
    this.network = network;
    this.#clock = clock;
  }

  /** Lets time pass. */
  start(): void {
    this.#running = true;
    this.#advance();
  }

  run<T>(command: (network: SimNetworkModel) => T): T {
    this.#advance();
    try {
      return command(this.network);
    } finally {
      this.#advance();
    }
  }

  #advance(): void {
    this.network.advance(this.#clock.now().atMs);
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const dueAtMs = this.network.nextTimeoutMs();
    if (!this.#running || dueAtMs === undefined) return;
    // A timer takes no more than 2^31 ms; one that fires too early is set again.
    const delayMs = Math.min(Math.max(0, dueAtMs - this.#clock.now().atMs), 2 ** 30);
    this.#timer = setTimeout(() => this.#advance(), delayMs);
  }

  /** Stops time for good; the network stays as it is. */
  close(): Promise<void> {
    this.#running = false;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return Promise.resolve();
  }
}
