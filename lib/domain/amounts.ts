/** Amounts of bitcoin as exact integers. Satoshis and millisatoshis are distinct types so that neither can pass for the other. */

declare const brand: unique symbol;

/** An amount in satoshis. Never negative, save where a name says so (a net position). */
export type Sat = bigint & { readonly [brand]: "Sat" };

/** An amount in millisatoshis (1 sat = 1,000 msat). */
export type Msat = bigint & { readonly [brand]: "Msat" };

export function sat(value: bigint | number): Sat {
  return BigInt(value) as Sat;
}

export function msat(value: bigint | number): Msat {
  return BigInt(value) as Msat;
}

export function satToMsat(amountSat: Sat): Msat {
  return (amountSat * 1000n) as Msat;
}

/** Rounds towards zero: 1,999 msat is 1 sat. */
export function msatToSatFloor(amountMsat: Msat): Sat {
  return (amountMsat / 1000n) as Sat;
}

/** Rounds up: 1,001 msat is 2 sat. */
export function msatToSatCeil(amountMsat: Msat): Sat {
  return ((amountMsat + 999n) / 1000n) as Sat;
}

export function addSat(...amounts: readonly Sat[]): Sat {
  return amounts.reduce((sum, amount) => sum + amount, 0n) as Sat;
}

export function subSat(a: Sat, b: Sat): Sat {
  return (a - b) as Sat;
}

export function minSat(first: Sat, ...rest: readonly Sat[]): Sat {
  return rest.reduce((least, amount) => (amount < least ? amount : least), first);
}

export function maxSat(first: Sat, ...rest: readonly Sat[]): Sat {
  return rest.reduce((most, amount) => (amount > most ? amount : most), first);
}

/**
 * Reads a decimal string of satoshis as it stands in messages and logs.
 * @returns undefined unless it is a canonical decimal below 21 million bitcoin (2.1e15 sat)
 */
export function parseSat(text: unknown): Sat | undefined {
  if (typeof text !== "string" || !/^(0|[1-9][0-9]{0,15})$/.test(text)) return undefined;
  const value = BigInt(text);
  return value <= 2_100_000_000_000_000n ? (value as Sat) : undefined;
}

/** `1234567n` -> `1,234,567` */
export function formatSat(amountSat: Sat): string {
  return amountSat.toString().replace(/\B(?=(\d{3})+$)/g, ",");
}
