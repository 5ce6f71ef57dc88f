/**
 * The clock and the timers of UDX: an edge.
 */
import { clearTimeout, setImmediate, setTimeout } from "node:timers";
import { type Deadline, Deadlines } from "./deadlines.ts";

/** The longest that timers wait. */
const MAX_TIMER_MS = 2 ** 31 - 1;
/** A timer that is so late tells of a process that stood still. */
const LATE_MS = 5;

/** Milliseconds of a monotonic clock. */
export function monotonicMs(): number {
  return performance.now();
}

/** Calls back once the datagrams that are already waiting have been read. */
export function afterBatch(callback: () => void): void {
  setImmediate(callback);
}

/**
 * A timer that follows a deadline cheaply: moving the deadline back leaves the system's timer alone, which then finds
 * itself early and is set again.
 */
export class DeadlineTimer {
  readonly #onDue: () => void;
  #handle: ReturnType<typeof setTimeout> | null = null;
  #firesAtMs = Infinity;
  #deadlineMs = Infinity;

  constructor(onDue: () => void) {
    this.#onDue = onDue;
  }

  /** Due at `deadlineMs` of `monotonicMs()`; Infinity for never. */
  set(deadlineMs: number): void {
    this.#deadlineMs = deadlineMs;
    if (deadlineMs < this.#firesAtMs) this.#start(deadlineMs);
  }

  clear(): void {
    if (this.#handle !== null) clearTimeout(this.#handle);
    this.#handle = null;
    this.#firesAtMs = this.#deadlineMs = Infinity;
  }

  #start(atMs: number): void {
    if (this.#handle !== null) clearTimeout(this.#handle);
    this.#firesAtMs = atMs;
    const delayMs = Math.min(Math.max(Math.ceil(atMs - monotonicMs()), 0), MAX_TIMER_MS);
    this.#handle = setTimeout(() => this.#fire(), delayMs);
  }

  #fire(): void {
    this.#handle = null;
    this.#firesAtMs = Infinity;
    if (this.#deadlineMs === Infinity) return;
    if (monotonicMs() < this.#deadlineMs) this.#start(this.#deadlineMs);
    else {
      this.#deadlineMs = Infinity;
      this.#onDue();
    }
  }
}

/** Deadlines that are kept: one timer for all of them. */
export class TimedDeadlines {
  readonly #deadlines = new Deadlines();
  readonly #timer = new DeadlineTimer(() => this.#onTime());
  readonly #pause = new DeadlineTimer(() => this.#readFirst());
  readonly #onRead = () => this.#onDue();
  /** The time has come, and what has arrived is being read. */
  #isReading = false;

  /** `dueAtMs` of `monotonicMs()`; Infinity for never. */
  set(deadline: Deadline, dueAtMs: number): void {
    this.#deadlines.set(deadline, dueAtMs);
    this.#timer.set(this.#deadlines.nextMs);
  }

  clear(deadline: Deadline): void {
    this.#deadlines.clear(deadline);
    if (this.#deadlines.nextMs < Infinity) return;
    this.#timer.clear();
    this.#pause.clear();
    this.#isReading = false;
  }

  /**
   * What has arrived is read first: while this process stood still it may have been what was waited for. Only a pause of
   * the event loop lets it look for datagrams.
   */
  #onTime(): void {
    if (this.#isReading) return;
    this.#isReading = true;
    const nowMs = monotonicMs();
    if (nowMs - this.#deadlines.nextMs < LATE_MS) this.#readFirst();
    else this.#pause.set(nowMs + 1);
  }

  #readFirst(): void {
    afterBatch(this.#onRead);
  }

  #onDue(): void {
    this.#isReading = false;
    const nowMs = monotonicMs();
    for (const { waiter } of this.#deadlines.takeDue(nowMs)) {
      try {
        waiter.handleDeadline(nowMs);
      } catch (error) {
        throwLater(error);
      }
    }
    this.#timer.set(this.#deadlines.nextMs);
  }
}

/** A listener threw. That is its owner's bug to see, and no reason to stop for everybody else. */
export function throwLater(error: unknown): void {
  queueMicrotask(() => {
    throw error;
  });
}
