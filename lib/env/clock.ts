/** A point in time, in both the clocks that matter. */
export interface Now {
  /** Milliseconds of a clock that never jumps; compare only with others of this process. */
  readonly atMs: number;
  /** Milliseconds since 1970 by the wall clock; may jump. For expiries and records only. */
  readonly wallMs: number;
}

/** Tells the time. Only edges hold one; pure code gets a `Now`. */
export interface Clock {
  now(): Now;
}
