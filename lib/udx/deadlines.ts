/** Whoever waits for a moment. */
export interface Waiter {
  /** The moment has come. */
  handleDeadline(nowMs: number): void;
}

/** The one moment that a waiter waits for, as `Deadlines` keeps it. */
export class Deadline {
  readonly waiter: Waiter;
  /** Infinity: not at all. */
  dueAtMs = Infinity;
  /** Its rank in the heap, never later than `dueAtMs`, and its place there; -1 outside. */
  rankMs = Infinity;
  place = -1;

  constructor(waiter: Waiter) {
    this.waiter = waiter;
  }
}

/**
 * The deadlines of any number of waiters, the next one first: a binary heap. One that moves back, as most do with every
 * packet, costs nothing until its old time has come.
 */
export class Deadlines {
  readonly #heap: Deadline[] = [];

  /** When `takeDue()` wants to be called; Infinity when never. */
  get nextMs(): number {
    return this.#heap.length === 0 ? Infinity : this.#heap[0]!.rankMs;
  }

  set(deadline: Deadline, dueAtMs: number): void {
    deadline.dueAtMs = dueAtMs;
    if (dueAtMs >= deadline.rankMs) return;
    deadline.rankMs = dueAtMs;
    if (deadline.place < 0) deadline.place = this.#heap.push(deadline) - 1;
    this.#moveUp(deadline);
  }

  clear(deadline: Deadline): void {
    deadline.dueAtMs = Infinity;
    if (deadline.place >= 0) this.#remove(deadline);
  }

  /** Takes out those that are due. */
  takeDue(nowMs: number): Deadline[] {
    const due: Deadline[] = [];
    while (this.#heap.length > 0 && this.#heap[0]!.rankMs <= nowMs) {
      const first = this.#heap[0]!;
      const dueAtMs = first.dueAtMs;
      if (dueAtMs > nowMs && dueAtMs < Infinity) {
        first.rankMs = dueAtMs;
        this.#moveDown(first);
        continue;
      }
      this.#remove(first);
      first.dueAtMs = Infinity;
      if (dueAtMs <= nowMs) due.push(first);
    }
    return due;
  }

  #remove(deadline: Deadline): void {
    const last = this.#heap.pop()!;
    if (last !== deadline) {
      last.place = deadline.place;
      this.#heap[last.place] = last;
      this.#moveUp(last);
      this.#moveDown(last);
    }
    deadline.place = -1;
    deadline.rankMs = Infinity;
  }

  #moveUp(deadline: Deadline): void {
    let place = deadline.place;
    while (place > 0) {
      const above = this.#heap[(place - 1) >> 1]!;
      if (above.rankMs <= deadline.rankMs) break;
      this.#put(above, place);
      place = (place - 1) >> 1;
    }
    this.#put(deadline, place);
  }

  #moveDown(deadline: Deadline): void {
    let place = deadline.place;
    while (true) {
      let child = this.#heap[2 * place + 1];
      const right = this.#heap[2 * place + 2];
      if (child !== undefined && right !== undefined && right.rankMs < child.rankMs) child = right;
      if (child === undefined || child.rankMs >= deadline.rankMs) break;
      const below = child.place;
      this.#put(child, place);
      place = below;
    }
    this.#put(deadline, place);
  }

  #put(deadline: Deadline, place: number): void {
    this.#heap[place] = deadline;
    deadline.place = place;
  }
}
