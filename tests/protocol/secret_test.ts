import assert from "node:assert/strict";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { checkSecret, generateSecret } from "../../lib/protocol/secret.ts";
import { hex, vectors } from "./vectors.ts";

const secret = vectors.generatedSecret.secret;

Deno.test("generateSecret() spells 160 bits with prefix and checksum", () => {
  const asked: number[] = [];
  const random = {
    bytes: (length: number) => {
      asked.push(length);
      return new Uint8Array(hex(vectors.generatedSecret.entropy));
    },
  };
  assert.equal(generateSecret(random), secret);
  assert.deepEqual(asked, [20]);
});

Deno.test("checkSecret() knows every generated secret", () => {
  const random = new SeededRandom(0x5eed);
  for (let i = 0; i < 200; i++) {
    assert.deepEqual(checkSecret(generateSecret(random)), {
      kind: "generated",
    });
  }
});

Deno.test("checkSecret() catches every slip of the pen, and never repeats the secret", () => {
  const slips = [
    ` ${secret}`,
    `${secret}\n`,
    secret.toUpperCase(),
    secret.replace("-", " "),
    secret.slice(10),
  ];
  for (let at = 0; at < secret.length; at++) {
    const [before, after] = [secret.slice(0, at), secret.slice(at + 1)];
    slips.push(before + after, before + secret[at] + secret[at] + after);
    if (after !== "") {
      slips.push(before + after[0] + secret[at] + after.slice(1));
    }
    for (const letter of "ybndrfg8ejkmcpqxot1uwisza345h769") {
      slips.push(before + letter + after);
    }
  }
  for (const slip of slips.filter((text) => text !== secret)) {
    const verdict = checkSecret(slip);
    assert.equal(verdict.kind, "typo", slip);
    assert.ok(
      verdict.kind === "typo" &&
        !verdict.message.includes(slip.trim().slice(-12)),
    );
  }
});

for (
  const [given, hint] of [
    ["", "0 characters, 0 bits"],
    ["secret", "6 characters, 28 bits"],
    ["Tr0ub4dor&3", "11 characters, 72 bits"],
    ["tightropes are thin", "19 characters, 111 bits"],
  ] as const
) {
  Deno.test(`checkSecret() calls ${JSON.stringify(given)} foreign, with a hint of its strength`, () => {
    const verdict = checkSecret(given);
    assert.ok(
      verdict.kind === "foreign" && verdict.strengthHint.startsWith(hint),
      JSON.stringify(verdict),
    );
  });
}
