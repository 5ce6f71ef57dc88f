/** A source of chance. Edges use the system's; tests a seeded one. */
export interface Random {
  /** `length` fresh random bytes. */
  bytes(length: number): Uint8Array<ArrayBuffer>;
}

/** A uniform fraction in [0, 1) with 32 bits. */
export function randomFraction(random: Random): number {
  return new DataView(random.bytes(4).buffer).getUint32(0) / 2 ** 32;
}
