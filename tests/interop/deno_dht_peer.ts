/**
 * The Deno end of node/dht_peer.cjs: hyperdht over our UDX. The first argument is hyperdht's options as JSON; with a second
 * one the sockets are those that can't set a TTL.
 */
import { createRequire } from "node:module";
import HyperDHT from "hyperdht";
import { UDX } from "../../lib/udx/mod.ts";
import run from "./node/dht_peer.cjs";

// A dependency of hyperdht, not one of ours.
const blindRelay = createRequire(import.meta.resolve("hyperdht"))("blind-relay");
const [options, withoutTtl] = Deno.args;
const udx = withoutTtl === undefined
  ? new UDX()
  : new UDX({ listenDatagram: (options) => Deno.listenDatagram({ transport: "udp", ...options }) });
await run({ HyperDHT, blindRelay, options: { ...JSON.parse(options!), udx } });
