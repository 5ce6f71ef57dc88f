import assert from "node:assert/strict";
import { parseCertificate, parseMacaroon, tlsServerName } from "../../lib/lightning/lnd/credentials.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { lndCertificateSpec, makeCertificate } from "../../lib/lightning/sim/certificate.ts";

const hex = "0201036c6e6402f801030a10";
const bytes = Uint8Array.from(hex.match(/../g)!, (pair) => Number.parseInt(pair, 16));
const base64 = btoa(String.fromCharCode(...bytes));
const utf8 = (text: string) => new TextEncoder().encode(text);

Deno.test("parseMacaroon() reads hex, base64 and the bytes of a file", () => {
  const urlSafe = base64.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
  const forms = [hex, hex.toUpperCase(), `${hex}\n`, base64, urlSafe, ` ${base64}\n`];
  for (const form of [...forms, bytes, utf8(hex), utf8(`${hex}\n`), utf8(base64)]) {
    assert.equal(parseMacaroon(form, "x"), hex);
  }
});

Deno.test("parseMacaroon() takes text that is all hex digits for hex, though it is base64 too", () => {
  assert.equal(parseMacaroon("abcdef12", "x"), "abcdef12");
});

Deno.test("parseMacaroon() says what is wrong without showing the macaroon", () => {
  const cases: [string | Uint8Array, string][] = [
    ["", "it is empty"],
    [" \n", "it is empty"],
    ["abc", "it has an odd number of hex digits"],
    ["no macaroon!", "it is neither hex nor base64"],
    [new Uint8Array(), "file is empty"],
  ];
  for (const [value, what] of cases) {
    assert.throws(() => parseMacaroon(value, "/x"), { code: "config", message: `Cannot read macaroon "/x": ${what}` });
  }
});

Deno.test("parseCertificate() refuses what is no certificate", () => {
  const { certificatePem, privateKeyPem } = makeCertificate(lndCertificateSpec("a", 0), new SeededRandom(1));
  const cases: [string | Uint8Array, RegExp][] = [
    ["", /it is empty$/],
    ["!!!", /neither PEM nor base64$/],
    [privateKeyPem, /holds no certificate$/],
    [certificatePem.replace(/MII.{20}/, "MIIAAAAAAAAAAAAAAAAAAAA"), /^Cannot read certificate "x": /],
    [btoa("some text"), /holds no certificate$/],
  ];
  for (const [value, message] of cases) assert.throws(() => parseCertificate(value, "x"), { code: "config", message });
});

Deno.test("parseCertificate() keeps every certificate of a chain, and the earliest end", () => {
  const [one, two] = [1, 2].map((seed) =>
    makeCertificate({ ...lndCertificateSpec("a", 0), notAfterWallMs: seed * 1e12 }, new SeededRandom(seed))
      .certificatePem
  );
  const pinned = parseCertificate(`${two}${one}`, "x");
  assert.equal(pinned.fingerprints.length, 2);
  assert.equal(pinned.expiresAtWallMs, 1e12);
});

Deno.test("tlsServerName() asks for the configured name if the certificate has it, else for one that it has", () => {
  const certificate = (dnsNames: string[]) => ({ pem: "", fingerprints: [], dnsNames, expiresAtWallMs: 0 });
  assert.equal(tlsServerName(certificate(["a.example", "localhost"]), "localhost"), "localhost");
  assert.equal(tlsServerName(certificate(["*.example", "a.example"]), "localhost"), "a.example");
  assert.equal(tlsServerName(certificate([]), "localhost"), "localhost");
  // An address can't be asked for (RFC 6066 §3).
  assert.equal(tlsServerName(certificate([]), "127.0.0.1"), "localhost");
});
