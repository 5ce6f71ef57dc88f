interface Entry {
  readonly atMs: number;
  readonly order: number;
  readonly action: () => void;
}

/** What is to happen when: by time, and at one time in the order in which it was scheduled. */
export class Schedule {
  readonly #entries: Entry[] = [];
  #order = 0;

  /** @returns the way to take it back */
  add(atMs: number, action: () => void): () => void {
    const entry: Entry = { atMs, order: this.#order++, action };
    // Sorted by insertion: what is added is nearly always among the last.
    let at = this.#entries.length;
    while (at > 0 && this.#entries[at - 1]!.atMs > atMs) at--;
    this.#entries.splice(at, 0, entry);
    return () => {
      const index = this.#entries.indexOf(entry);
      if (index >= 0) this.#entries.splice(index, 1);
    };
  }

  get nextAtMs(): number | undefined {
    return this.#entries[0]?.atMs;
  }

  /** Takes out the next one, unless it is due after `atMs`. */
  takeDue(atMs: number): Entry | undefined {
    const first = this.#entries[0];
    return first !== undefined && first.atMs <= atMs ? this.#entries.shift() : undefined;
  }
}
