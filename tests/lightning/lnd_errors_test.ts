import assert from "node:assert/strict";
import { backoffMs } from "../../lib/lightning/lnd/backoff.ts";
import { causeOf, type FailureCause, lightningError, lostPaymentOutcome } from "../../lib/lightning/lnd/errors.ts";

const context = { socket: "10.0.0.1:10009", rpc: "/lnrpc.Lightning/GetInfo" };
const unknown = 2;

/** Code and words as they were recorded from LND and grpc-js, and what they are about. */
const statuses: [number, string, FailureCause][] = [
  [unknown, "wallet locked, unlock it to enable full RPC access", "locked"],
  [unknown, "the RPC server is in the process of starting up, but not yet ready to accept calls", "starting"],
  [unknown, "waiting to start, RPC services not available", "starting"],
  [unknown, "expected 1 macaroon, got 0", "macaroon"],
  [unknown, "verification failed: signature mismatch after caveat verification", "macaroon"],
  [unknown, "encoding/hex: invalid byte: U+007A 'z'", "macaroon"],
  [unknown, "empty macaroon data", "macaroon"],
  [unknown, "cannot determine data format of binary-encoded macaroon", "macaroon"],
  [
    unknown,
    "cannot retrieve macaroon: cannot get macaroon: root key with id 7 doesn't exist",
    "macaroon",
  ],
  [unknown, 'caveat "time-before 2026-11-22T16:18:52Z" not satisfied: macaroon has expired', "macaroon"],
  // Nobody recorded these: words of a later LND, or of what stands before it.
  [unknown, "invalid macaroon", "macaroon"],
  [3, "Macaroon rejected", "macaroon"],
  [unknown, "permission denied", "right"],
  [14, "No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:21999.", "refused"],
  [14, "No connection established. Last error: Error: self-signed certificate. Resolution note: ", "certificate"],
  [14, "No connection established. Last error: null. Resolution note: ", "connection"],
  [14, "Connection dropped", "connection"],
  [13, "Received RST_STREAM with code 2 triggered by internal client error: write EPIPE", "connection"],
  [8, "Bandwidth exhausted or memory limit exceeded", "connection"],
  [13, "internal server error", "refusal"],
  [4, "Deadline exceeded after 5.006s,remote_addr=127.0.0.1:21009", "deadline"],
  [12, "unknown method GetInfo for service lnrpc.Lightning", "method"],
  [unknown, "invoice is already paid", "refusal"],
];

Deno.test("causeOf() tells what a status is about, by LND's words where the code says nothing", () => {
  for (const [code, details, cause] of statuses) assert.equal(causeOf({ code, details }), cause, details);
});

Deno.test("lightningError() has a sentence and a remedy for every status, and no line breaks", () => {
  for (const [code, details] of statuses) {
    const error = lightningError({ code, details: `${details}\n\u001b[31m` }, context);
    for (const control of ["\n", "\u001b"]) assert.ok(!(error.message + error.remedy).includes(control));
    assert.match(error.remedy, /\.$/);
  }
});

Deno.test("lostPaymentOutcome() is rejected only where LND's words prove that no payment was made", () => {
  const rejected: [number, string][] = [
    [6, "invoice is already paid"],
    [unknown, "invoice is already paid"],
    [6, "payment is in transition"],
    [6, "payment already exists"],
    [unknown, "invoice expired. Valid until 2026-11-22 15:44:54 +0000 UTC"],
    [unknown, "self-payments not allowed"],
    [unknown, "checksum failed. Expected a, got b."],
    [unknown, "permission denied"],
    [unknown, "wallet locked, unlock it to enable full RPC access"],
    [12, "unknown method SendPaymentV2 for service routerrpc.Router"],
    [14, "No connection established. Last error: Error: connect ECONNREFUSED 127.0.0.1:1."],
  ];
  const uncertain: [number, string][] = [
    [0, ""],
    [1, "Call cancelled"],
    [unknown, "routerrpc server shutting down"],
    [unknown, "something that LND never said before"],
    [unknown, "invalid macaroon"],
    [4, "Deadline exceeded"],
    [7, "permission denied"],
    [8, "Bandwidth exhausted"],
    [13, "internal server error"],
    [14, "Connection dropped"],
    [16, "token expired"],
  ];
  for (const [code, details] of rejected) {
    assert.equal(lostPaymentOutcome({ code, details }, false, context).kind, "rejected", details);
    // Once an update was seen there is a payment, whatever comes after it.
    assert.equal(lostPaymentOutcome({ code, details }, true, context).kind, "unknown", details);
  }
  for (const [code, details] of uncertain) {
    assert.equal(lostPaymentOutcome({ code, details }, false, context).kind, "unknown", details);
  }
});

Deno.test("backoffMs() doubles from the least to the most, a fifth more or less", () => {
  const waits = (fraction: number) => [0, 1, 2, 6, 40, 2000].map((n) => backoffMs(n, 1_000, 60_000, fraction));
  assert.deepEqual(waits(0.5), [1_000, 2_000, 4_000, 60_000, 60_000, 60_000]);
  assert.deepEqual(waits(0), [800, 1_600, 3_200, 48_000, 48_000, 48_000]);
});
