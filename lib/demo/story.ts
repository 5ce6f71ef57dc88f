/** One turn of the demo's story. */
export interface Act {
  /** From the start. */
  readonly atMs: number;
  readonly kind: "begin" | "bob-joins" | "bob-opens" | "traffic-stops" | "end";
  /** What the audience is told. */
  readonly title: string;
}

/** The shortest time in which every act has room to be seen. */
export const leastSeconds = 20;

const defaultSeconds = 60;
/** Between the last traffic and the end: time for the last payments. */
const settleMs = 5_000;

/**
 * The seed's own example as a schedule, scaled to its length.
 * @param seconds at least 20; undefined: the story of a minute, then traffic without end
 */
export function storyOf(seconds: number | undefined): readonly Act[] {
  const totalMs = (seconds ?? defaultSeconds) * 1_000;
  const acts: Act[] = [
    { atMs: 0, kind: "begin", title: "Alice balances A-B, Bob balances C-D; A-C is nobody's" },
    {
      atMs: totalMs * 0.3,
      kind: "bob-joins",
      title: "Bob changes his secret to Alice's and restarts: A-C is shared now",
    },
    { atMs: totalMs * 0.55, kind: "bob-opens", title: "Bob opens a channel E-B: it is found without a restart" },
  ];
  if (seconds === undefined) return acts;
  return [
    ...acts,
    {
      atMs: totalMs - settleMs,
      kind: "traffic-stops",
      title: "Traffic stops: every channel comes to rest in its deadzone",
    },
    { atMs: totalMs, kind: "end", title: "The end" },
  ];
}
