import assert from "node:assert/strict";
import { maskKeys, redactSecrets } from "../../lib/audit/mask.ts";
import { encodeEvent, encodeTransaction } from "../../lib/audit/record_codec.ts";
import { record, startWallMs } from "./records.ts";

const base = { v: 1, at: "2026-01-01T00:00:00.000Z", kind: "warning", level: "warn" };

Deno.test("maskKeys() masks values at any depth", () => {
  assert.deepEqual(
    maskKeys({ ...base, message: "m", peer: "02abcdef", details: { alias: "bob's node", list: [{ alias: "x" }, 1] } }, [
      "alias",
      "peer",
    ]),
    { ...base, message: "m", peer: "***", details: { alias: "***", list: [{ alias: "***" }, 1] } },
  );
});

Deno.test("maskKeys() masks whole objects and lists under a key", () => {
  assert.deepEqual(maskKeys({ ...base, message: "m", details: { a: 1 } }, ["details"]), {
    ...base,
    message: "m",
    details: "***",
  });
});

Deno.test("maskKeys() masks what the message repeats, the longest first", () => {
  const { message } = maskKeys(
    { ...base, message: "bob-node-long joined, then bob-node", alias: "bob-node", other: "bob-node-long" },
    ["alias", "other"],
  );
  assert.equal(message, "*** joined, then ***");
});

Deno.test("maskKeys() masks what the message writes in another form", () => {
  const peer = "02a1b2c3" + "d".repeat(58);
  const { message } = maskKeys(
    {
      ...base,
      message: "Paying bob (02a1b2c3…) 400,000 sat and 50,000 sat over 800000x1x0",
      ...{ peer, amountSat: "400000", details: { other: "50000" }, channelId: "879609302220865536" },
    },
    ["peer", "amountSat", "other", "channelId"],
  );
  assert.equal(message, "Paying bob (***) *** sat and *** sat over ***");
});

Deno.test("maskKeys() leaves the frame readable", () => {
  const event = { ...base, message: "secret plans" };
  assert.deepEqual(maskKeys(event, ["v", "at", "kind", "level"]), event);
  assert.deepEqual(maskKeys(event, ["message"]), { ...base, message: "***" });
});

Deno.test("maskKeys() without keys changes nothing", () => {
  const event = { ...base, message: "m", details: { a: 1 } };
  assert.equal(maskKeys(event, []), event);
});

const macaroonHex = "0201036c6e6402f801030a10" + "ab".repeat(60);
const macaroonBase64 = "AgEDbG5kAvgBAwoQ" + "q83vASNFZ4mrze8=";
const generatedSecret = "tightrope-ybndrfg8ejkmcpqxot1uwisza345h769ybndrf";
const privateKey = "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEIA==\n-----END EC PRIVATE KEY-----";

Deno.test("redactSecrets() takes out what is named a secret, whatever its value", () => {
  assert.deepEqual(
    redactSecrets({
      paymentPreimage: "00",
      details: {
        macaroonHex: 1,
        clusterSecret: ["x"],
        seed: "y",
        privateKey: null,
        paymentHash: "kept",
        seedless: "kept",
      },
    }),
    {
      paymentPreimage: "[redacted]",
      details: {
        macaroonHex: "[redacted]",
        clusterSecret: "[redacted]",
        seed: "[redacted]",
        privateKey: "[redacted]",
        paymentHash: "kept",
        seedless: "kept",
      },
    },
  );
});

Deno.test("no macaroon, key or secret reaches a log through a text", () => {
  for (const secret of [macaroonHex, macaroonHex.toUpperCase(), macaroonBase64, generatedSecret, privateKey]) {
    const message = `LND said: ${secret}`;
    const event = encodeEvent({
      atWallMs: startWallMs,
      kind: "warning",
      level: "warn",
      message,
      reason: message,
      details: { text: message },
    }, []);
    const failed = record("failed", 1);
    const transaction = encodeTransaction(failed.kind === "failed" ? { ...failed, reason: message } : failed);
    for (const line of [event, transaction].map((bytes) => new TextDecoder().decode(bytes))) {
      assert.ok(line.includes("LND said: [redacted]"), line);
      assert.ok(!line.includes(secret.slice(12, 40)), line);
    }
  }
});
