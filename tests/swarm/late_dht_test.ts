import assert from "node:assert/strict";
// @deno-types="../../lib/swarm/hyperdht.d.ts"
import HyperDHT from "hyperdht";
import { startLocalDht } from "../../lib/swarm/local_dht.ts";
import { stopDht } from "../../lib/swarm/stop_dht.ts";
import { UDX } from "../../lib/udx/mod.ts";
import { Instance } from "./instance.ts";

Deno.test("HyperswarmTransport: says that no DHT node answers, and recovers when one does", async () => {
  const dht = await startLocalDht({ nodes: 1 });
  const port = Number(dht.bootstrap[0]!.split(":")[1]);
  await dht.close();
  await using a = await Instance.start(1, dht.bootstrap);
  assert.match(await a.status(/no DHT node/), /^no DHT node answers \(127\.0\.0\.1:\d+\); trying again$/);
  const late = HyperDHT.bootstrapper(port, "127.0.0.1", { udx: new UDX() });
  await late.fullyBootstrapped();
  await using b = await Instance.start(2, dht.bootstrap);
  await Promise.all([a.connected(2), b.connected(1)]);
  await stopDht(late);
});
