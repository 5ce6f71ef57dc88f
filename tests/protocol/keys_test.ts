import assert from "node:assert/strict";
import { bytesToHex } from "@noble/hashes/utils.js";
import { joinFields } from "../../lib/protocol/fields.ts";
import {
  deriveAuthKey,
  deriveMaster,
  deriveSessionId,
  deriveSessionKey,
  deriveTopic,
} from "../../lib/protocol/keys.ts";
import { hex, swarmKey, vectors } from "./vectors.ts";

Deno.test("deriveMaster(), deriveTopic() and deriveAuthKey() match the fixed vectors", () => {
  for (const vector of vectors.keys) {
    const master = deriveMaster(vector.secret);
    assert.equal(bytesToHex(master), vector.master, vector.secret);
    assert.equal(bytesToHex(deriveTopic(master)), vector.topic);
    assert.equal(bytesToHex(deriveAuthKey(master)), vector.authKey);
  }
});

Deno.test("deriveSessionId() and deriveSessionKey() match the fixed vectors", () => {
  const vector = vectors.session;
  const sessionId = deriveSessionId({
    handshakeHash: hex(vector.handshakeHash),
    initiatorKey: swarmKey(vector.initiatorKey),
    responderKey: swarmKey(vector.responderKey),
    initiatorNonce: hex(vector.initiatorNonce),
    responderNonce: hex(vector.responderNonce),
  });
  assert.equal(bytesToHex(sessionId), vector.sessionId);
  assert.equal(
    bytesToHex(deriveSessionKey(hex(vector.authKey), sessionId)),
    vector.sessionKey,
  );
});

Deno.test("joinFields() gives different bytes for different lists of fields", () => {
  const lists = [
    [],
    [""],
    ["", ""],
    ["a", "b"],
    ["ab"],
    ["ab", ""],
    ["", "ab"],
    ["a\u0000\u0001b"],
  ];
  assert.equal(
    new Set(lists.map((fields) => bytesToHex(joinFields(...fields)))).size,
    lists.length,
  );
  assert.equal(
    bytesToHex(joinFields("a", Uint8Array.of(1, 2))),
    "000161" + "00020102",
  );
});
