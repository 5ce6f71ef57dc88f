import { secp256k1 as real } from "@noble/curves/secp256k1.js";
import { hexToBytes } from "@noble/hashes/utils.js";
import assert from "node:assert/strict";
import { publicKeys, secretKeyOf } from "./node_keys.ts";
import { secp256k1 as standIn } from "./stand_in_secp256k1.ts";

const digest = new Uint8Array(32).fill(5);

Deno.test("the nodes' keys are those of the real curve", () => {
  publicKeys.forEach((pubkey, index) => {
    const secretKey = hexToBytes(secretKeyOf(index));
    assert.deepEqual(real.getPublicKey(secretKey), hexToBytes(pubkey));
    assert.deepEqual(standIn.getPublicKey(secretKey), hexToBytes(pubkey));
  });
});

Deno.test("a stand-in's signature names its signer for its own digest alone", () => {
  for (const index of publicKeys.keys()) {
    const pubkey = hexToBytes(publicKeys[index]!);
    const signature = standIn.sign(digest, hexToBytes(secretKeyOf(index)));
    const options = { prehash: false, format: "recovered" } as const;
    assert.equal(signature.length, real.sign(digest, hexToBytes(secretKeyOf(index)), options).length);
    assert.deepEqual(standIn.recoverPublicKey(signature, digest), pubkey);
    assert.ok(standIn.verify(signature.subarray(1), digest, pubkey));
    const other = new Uint8Array(32).fill(6);
    assert.notDeepEqual(standIn.recoverPublicKey(signature, other), pubkey);
    assert.ok(!standIn.verify(signature.subarray(1), other, pubkey));
  }
});

Deno.test("a simulation without the curve uses the other packages in the program's versions", () => {
  const read = (path: string) => JSON.parse(Deno.readTextFileSync(new URL(path, import.meta.url))).imports;
  const [simulation, program] = [read("import_map.json"), read("../deno.json")];
  for (const [name, target] of Object.entries(simulation)) {
    if (name !== "@noble/curves/secp256k1.js") assert.equal(target, program[name], name);
  }
});
