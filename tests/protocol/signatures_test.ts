import assert from "node:assert/strict";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex } from "@noble/hashes/utils.js";
import fc from "fast-check";
import { utf8 } from "../../lib/protocol/fields.ts";
import { sat } from "../../lib/domain/amounts.ts";
import { accountText, isSigned, nodeProofText, recoverNodePubkey } from "../../lib/protocol/signatures.ts";
import { decodeZbase32, encodeZbase32 } from "../../lib/protocol/zbase32.ts";
import { nodePubkey, signatures, vectors } from "./vectors.ts";

const seed = 0x5eed;

for (const vector of signatures.recorded) {
  Deno.test(`recoverNodePubkey() agrees with LND ${vector.lnd}`, () => {
    assert.equal(
      recoverNodePubkey(vector.text, vector.signature),
      vector.pubkey,
    );
    assert.equal(
      recoverNodePubkey(vector.otherText, vector.signature),
      vector.otherPubkey,
    );
    // LND's single_hash option signs another digest.
    assert.notEqual(
      recoverNodePubkey(vector.text, vector.singleHashSignature),
      vector.pubkey,
    );
  });
}

Deno.test("recoverNodePubkey() recovers whoever signed, and nobody from a changed text", () => {
  fc.assert(
    fc.property(
      fc.string({ unit: "grapheme" }),
      fc.uint8Array({ minLength: 32, maxLength: 32 }),
      (text, seed) => {
        const secretKey = sha256(seed);
        const digest = sha256(sha256(utf8(`Lightning Signed Message:${text}`)));
        const signed = secp256k1.sign(digest, secretKey, {
          prehash: false,
          format: "recovered",
        });
        signed[0]! += 31;
        const signature = encodeZbase32(signed);
        assert.equal(
          recoverNodePubkey(text, signature),
          bytesToHex(secp256k1.getPublicKey(secretKey)),
        );
        assert.notEqual(
          recoverNodePubkey(`${text}.`, signature),
          bytesToHex(secp256k1.getPublicKey(secretKey)),
        );
      },
    ),
    { numRuns: 20, seed },
  );
});

const good = signatures.recorded[0]!.signature;
for (
  const [what, signature] of [
    ["nothing", ""],
    ["LND's garbage case", "abc!!"],
    ["LND's short case", "ybndrfg8"],
    ["a cut signature", good.slice(1)],
    ["a longer one", `${good}y`],
    ["upper case", good.toUpperCase()],
    ["letters outside ASCII", "ü".repeat(104)],
    [
      "an uncompressed key's header",
      encodeZbase32(Uint8Array.of(27, ...decodeZbase32(good)!.subarray(1))),
    ],
    [
      "r and s of zero",
      encodeZbase32(Uint8Array.of(31, ...new Uint8Array(64))),
    ],
    [
      "r and s beyond the order",
      encodeZbase32(Uint8Array.of(31, ...new Uint8Array(64).fill(255))),
    ],
  ] as const
) {
  Deno.test(`recoverNodePubkey() finds nobody in ${what}`, () => {
    assert.equal(recoverNodePubkey("hello world", signature), undefined);
  });
}

Deno.test("nodeProofText() binds node, session and role", () => {
  const { publicKey, text } = vectors.nodeProof;
  const sessionId = vectors.session.sessionId;
  assert.equal(
    nodeProofText(nodePubkey(publicKey), sessionId, "initiator"),
    text,
  );
  assert.equal(
    nodeProofText(nodePubkey(publicKey), sessionId, "responder"),
    text.replace("initiator", "responder"),
  );
});

Deno.test("isSigned() holds for the node's own signature over every number of its statement, and for nothing else", () => {
  const secretKey = sha256(utf8("a node"));
  const sign = (text: string) => {
    const signed = secp256k1.sign(sha256(sha256(utf8(`Lightning Signed Message:${text}`))), secretKey, {
      prehash: false,
      format: "recovered",
    });
    signed[0]! += 31;
    return encodeZbase32(signed);
  };
  const statement = {
    node: nodePubkey(bytesToHex(secp256k1.getPublicKey(secretKey))),
    peer: nodePubkey("02" + "ab".repeat(32)),
    paidSat: sat(1_000_000),
    receivedSat: sat(400_000),
    openSat: sat(0),
    count: 3,
    logHead: { length: 0, treeHash: "" },
    atWallMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  };
  assert.equal(
    accountText(statement),
    `tightrope/2 account ${statement.node} with ${statement.peer} paid 1000000 received 400000 open 0 payments 3 ` +
      "log 0 - at 2026-01-02T03:04:05.678Z",
  );
  const signature = sign(accountText(statement));
  assert.ok(isSigned({ ...statement, signature }));
  const changes = [
    { node: statement.peer },
    { peer: statement.node },
    { paidSat: sat(1_000_001) },
    { receivedSat: sat(0) },
    { openSat: sat(1) },
    { count: 4 },
    { logHead: { length: 1, treeHash: "" } },
    { logHead: { length: 0, treeHash: "ab".repeat(32) } },
    { atWallMs: statement.atWallMs + 1 },
  ];
  for (const change of changes) {
    assert.ok(!isSigned({ ...statement, ...change, signature }), Object.keys(change).join());
  }
});

Deno.test("z-base-32: decode undoes encode, and only what encode makes is decoded", () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      assert.deepEqual(decodeZbase32(encodeZbase32(bytes)), bytes);
    }),
    { seed },
  );
  fc.assert(
    fc.property(
      fc.string({
        unit: fc.constantFrom(..."ybndrfg8ejkmcpqxot1uwisza345h769l0"),
        maxLength: 9,
      }),
      (text) => {
        const bytes = decodeZbase32(text);
        if (bytes !== undefined) assert.equal(encodeZbase32(bytes), text);
      },
    ),
  );
});
