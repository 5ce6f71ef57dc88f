import type { DatagramSocket, ListenDatagram } from "../../lib/udx/mod.ts";

/** What happens to packets, each a share between 0 and 1, in both directions. */
export interface Faults {
  readonly drop: number;
  readonly duplicate: number;
  /** Held back until the next one or two packets have passed. */
  readonly reorder: number;
}

export const FIVE_PERCENT: Faults = {
  drop: 0.05,
  duplicate: 0.05,
  reorder: 0.05,
};

/** A seeded generator of numbers in [0, 1) (mulberry32). */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let t = Math.imul(state ^ (state >>> 15), state | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Counts what a lossy network did, so that a test can tell that it did something. */
export interface FaultCounts {
  dropped: number;
  duplicated: number;
  reordered: number;
}

/**
 * Decides per item what leaves now, and in which order. Without timers: a held item leaves behind the next ones, or
 * never, which is one more loss.
 */
class Disorder<T> {
  #held: T[] = [];

  constructor(
    private readonly faults: Faults,
    private readonly random: () => number,
    private readonly counts: FaultCounts,
  ) {}

  pass(item: T): T[] {
    const { drop, duplicate, reorder } = this.faults;
    const roll = this.random();
    if (roll < drop) {
      this.counts.dropped++;
      return [];
    }
    if (roll < drop + reorder && this.#held.length < 4) {
      this.counts.reordered++;
      this.#held.push(item);
      return [];
    }
    const out = [item];
    if (this.random() < duplicate) {
      this.counts.duplicated++;
      out.push(item);
    }
    if (this.#held.length > 0 && this.random() < 0.5) {
      out.push(...this.#held.splice(0));
    }
    return out;
  }
}

/** Opens real loopback sockets whose packets get lost, doubled and reordered, both ways. */
export function lossyListener(
  faults: Faults,
  seed: number,
): { listenDatagram: ListenDatagram; counts: FaultCounts } {
  const random = seededRandom(seed);
  const counts: FaultCounts = { dropped: 0, duplicated: 0, reordered: 0 };
  const listenDatagram: ListenDatagram = ({ hostname, port, reuseAddress }) => {
    const real = Deno.listenDatagram({
      transport: "udp",
      hostname,
      port,
      reuseAddress,
    });
    const outgoing = new Disorder<[Uint8Array, Deno.NetAddr]>(
      faults,
      random,
      counts,
    );
    const incoming = new Disorder<[Uint8Array, Deno.Addr]>(
      faults,
      random,
      counts,
    );
    const arrived: [Uint8Array, Deno.Addr][] = [];
    const lossy: DatagramSocket = {
      addr: real.addr,
      close: () => real.close(),
      async send(bytes, to) {
        await Promise.all(
          outgoing.pass([bytes.slice(), to]).map(([held, address]) => real.send(held, address)),
        );
        return bytes.length;
      },
      async receive(into) {
        while (arrived.length === 0) {
          const [bytes, from] = await real.receive(into);
          arrived.push(...incoming.pass([bytes.slice(), from]));
        }
        const [bytes, from] = arrived.shift()!;
        into.set(bytes);
        return [into.subarray(0, bytes.length), from];
      },
    };
    return lossy;
  };
  return { listenDatagram, counts };
}
