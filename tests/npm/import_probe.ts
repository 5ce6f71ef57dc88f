// Run by no_native_test.ts without any right: importing must ask for nothing.
import Hypercore from "hypercore";
import DHT from "hyperdht";
import Hyperswarm from "hyperswarm";
import sodium from "sodium-universal";

// Hypercore hashes while it is imported, so the sodium stand-in has to work at once.
const hash = new Uint8Array(32);
sodium.crypto_generichash(hash, new Uint8Array(0));
console.log(
  JSON.stringify([typeof Hypercore, typeof DHT, typeof Hyperswarm, hash[0]]),
);
