import type { Random } from "./random.ts";

/** A reproducible Random (xoshiro128**) for simulations and tests; never for keys or nonces in the program. */
export class SeededRandom implements Random {
  readonly #state: Uint32Array;

  constructor(seed: number) {
    // SplitMix32 spreads a small seed over the whole state (an all-zero state would stay zero).
    this.#state = new Uint32Array(4);
    let x = seed >>> 0;
    for (let i = 0; i < 4; i++) {
      x = (x + 0x9e3779b9) >>> 0;
      let z = x;
      z = Math.imul(z ^ (z >>> 16), 0x85ebca6b);
      z = Math.imul(z ^ (z >>> 13), 0xc2b2ae35);
      this.#state[i] = (z ^ (z >>> 16)) >>> 0;
    }
  }

  /** A uniform integer in [0, 2^32). */
  uint32(): number {
    const s = this.#state as unknown as [number, number, number, number];
    const rotate = (v: number, by: number) => ((v << by) | (v >>> (32 - by))) >>> 0;
    const result = Math.imul(rotate(Math.imul(s[1], 5) >>> 0, 7), 9) >>> 0;
    const t = (s[1] << 9) >>> 0;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 11);
    return result;
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    const out = new Uint8Array(length);
    for (let i = 0; i < length; i++) out[i] = this.uint32() & 0xff;
    return out;
  }

  /** A uniform integer in [0, below). */
  below(below: number): number {
    return Math.floor((this.uint32() / 2 ** 32) * below);
  }
}
