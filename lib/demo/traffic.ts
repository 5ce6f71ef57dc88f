import { type Sat, sat } from "../domain/amounts.ts";
import { type Random, randomFraction } from "../env/random.ts";

/** A channel as traffic sees it: its two sides, and what each could send now. */
export interface TrafficChannel {
  readonly name: string;
  readonly capacitySat: Sat;
  readonly spendableSat: readonly [first: Sat, second: Sat];
}

/** Somebody's payment that passes a channel. */
export interface TrafficPayment {
  readonly channel: string;
  /** Which side sends: 0 the first, 1 the second. */
  readonly from: 0 | 1;
  readonly amountSat: Sat;
}

const leastShare = 0.015;
const mostShare = 0.05;
const turnProbability = 0.12;

/** Simulated routing traffic: each channel drifts one way for a while, then the other. */
export class Traffic {
  readonly #random: Random;
  readonly #directions = new Map<string, 0 | 1>();

  constructor(random: Random) {
    this.#random = random;
  }

  /** One round: at most one payment for each channel. */
  next(channels: readonly TrafficChannel[]): TrafficPayment[] {
    return channels.flatMap((channel) => {
      let from = this.#directions.get(channel.name) ?? 0;
      const share = leastShare + (mostShare - leastShare) * randomFraction(this.#random);
      const amountSat = sat(BigInt(Math.floor(Number(channel.capacitySat) * share)));
      const turns = randomFraction(this.#random) < turnProbability || channel.spendableSat[from] < amountSat * 2n;
      if (turns) from = from === 0 ? 1 : 0;
      this.#directions.set(channel.name, from);
      return channel.spendableSat[from] < amountSat ? [] : [{ channel: channel.name, from, amountSat }];
    });
  }
}
