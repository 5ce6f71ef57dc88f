import type { Clock, Now } from "./clock.ts";

/** A clock that moves only when told to. */
export class VirtualClock implements Clock {
  #atMs: number;
  #wallMs: number;

  constructor(start: Now = { atMs: 0, wallMs: Date.UTC(2026, 0, 1) }) {
    this.#atMs = start.atMs;
    this.#wallMs = start.wallMs;
  }

  now(): Now {
    return { atMs: this.#atMs, wallMs: this.#wallMs };
  }

  advance(ms: number): void {
    this.#atMs += ms;
    this.#wallMs += ms;
  }

  /** Sets the wall clock, as an operator or NTP might. */
  setWall(wallMs: number): void {
    this.#wallMs = wallMs;
  }
}
