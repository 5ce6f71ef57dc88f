import type { Clock, Now } from "./clock.ts";
import type { Random } from "./random.ts";

/** The machine's clocks. */
export const systemClock: Clock = {
  now(): Now {
    return { atMs: performance.now(), wallMs: Date.now() };
  },
};

/** The machine's source of cryptographic randomness. */
export const systemRandom: Random = {
  bytes(length) {
    return crypto.getRandomValues(new Uint8Array(length));
  },
};
