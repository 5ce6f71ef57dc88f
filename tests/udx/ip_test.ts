import assert from "node:assert/strict";
import net from "node:net";
import fc from "fast-check";
import { isIP, mapIPv4, unmapIPv4 } from "../../lib/udx/ip.ts";

fc.configureGlobal({ seed: 0x5eed });

Deno.test("isIP() agrees with Node's", () => {
  const near = fc.string({ unit: fc.constantFrom(..."0123456789abcdefF:.%"), maxLength: 20 });
  const groups = fc.array(fc.constantFrom("0", "ffff", "1a", "", "127.0.0.1", "12345"), { maxLength: 9 });
  const addresses = fc.oneof(fc.ipV4(), fc.ipV6(), near, groups.map((list) => list.join(":")));
  fc.assert(fc.property(addresses, (host) => assert.equal(isIP(host), net.isIP(host), host)), { numRuns: 2000 });
});

Deno.test("unmapIPv4() finds the IPv4 address in a mapped one and leaves others alone", () => {
  assert.equal(unmapIPv4(mapIPv4("10.0.0.1")), "10.0.0.1");
  for (const host of ["10.0.0.1", "::1", "::ffff:1", "fe80::1"]) assert.equal(unmapIPv4(host), host);
});
