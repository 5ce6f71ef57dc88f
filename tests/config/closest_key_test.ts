import assert from "node:assert/strict";
import { closestKey } from "../../lib/config/closest_key.ts";

Deno.test("closestKey() finds what was meant, and nothing when nothing is near", () => {
  const known = ["socket", "certPath", "cert", "macaroon", "macaroonPath", "minTransactionSize", "maxTransactionSize"];
  const table: Record<string, string | undefined> = {
    sokcet: "socket",
    Socket: "socket",
    cert_path: "certPath",
    "max-transaction-size": "maxTransactionSize",
    minTransactonSize: "minTransactionSize",
    macarron: "macaroon",
    colour: undefined,
    "": undefined,
    ["x".repeat(10_000)]: undefined,
  };
  for (const [key, want] of Object.entries(table)) assert.equal(closestKey(key, known), want, key.slice(0, 40));
});
