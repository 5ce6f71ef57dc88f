/**
 * How long to wait before the next attempt: doubles from `minMs` to `maxMs`, spread by a fifth either way, so that
 * several nodes that went away together don't come back in step.
 * @param attempt 0 for the first wait
 * @param fraction chance in [0, 1)
 */
export function backoffMs(attempt: number, minMs: number, maxMs: number, fraction: number): number {
  const plainMs = Math.min(maxMs, minMs * 2 ** Math.min(attempt, 30));
  return Math.min(maxMs, plainMs * (0.8 + 0.4 * fraction));
}
