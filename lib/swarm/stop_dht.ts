// @deno-types="./hyperdht.d.ts"
import type HyperDHT from "hyperdht";

/**
 * Ends a DHT node and every timer of it.
 * @param options.force at once, without telling the others
 */
export async function stopDht(dht: HyperDHT, options: { readonly force?: boolean } = {}): Promise<void> {
  await dht.destroy(options);
  // hyperdht 6.34.0 forgets this one of the caches that a persistent node has.
  dht._persistent?.bumps.destroy();
}
