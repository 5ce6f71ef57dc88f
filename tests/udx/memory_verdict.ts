/** Sizes in bytes at one moment, the heap's after a full collection. */
export interface MemorySample {
  readonly rss: number;
  readonly heap: number;
  readonly external: number;
}

/** The share of samples at the start in which caches and pools may still fill. */
const WARM_UP_SHARE = 0.1;
/** What the last third may exceed the first one by: a share, and bytes that a small process needs. */
const SLACK = {
  rss: { share: 0.1, bytes: 8e6 },
  heap: { share: 0.05, bytes: 1e6 },
  external: { share: 0.1, bytes: 4e6 },
} as const;

/**
 * Has memory stayed flat? After the first tenth, the median of the last third must not exceed that of the first third by
 * more than 10 % and 8 MB (RSS), 5 % and 1 MB (heap), 10 % and 4 MB (buffers outside of it).
 */
export function judgeMemory(samples: readonly MemorySample[]): { flat: boolean; text: string } {
  const warm = samples.slice(Math.ceil(samples.length * WARM_UP_SHARE));
  const third = Math.floor(warm.length / 3);
  if (third === 0) return { flat: false, text: "too few samples" };
  let flat = true;
  const parts: string[] = [];
  for (const kind of ["rss", "heap", "external"] as const) {
    const first = median(warm.slice(0, third).map((sample) => sample[kind]));
    const last = median(warm.slice(-third).map((sample) => sample[kind]));
    const within = last <= first * (1 + SLACK[kind].share) + SLACK[kind].bytes;
    flat &&= within;
    parts.push(`${kind} ${(first / 1e6).toFixed(1)} -> ${(last / 1e6).toFixed(1)} MB${within ? "" : " (grows)"}`);
  }
  return { flat, text: parts.join(", ") };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[sorted.length >> 1]!;
}
