/** What the configuration holds in place of a file: decoded, or the clause that says why it can't be. Never quotes it. */
export type Decoded = { readonly ok: true; readonly value: string } | { readonly ok: false; readonly message: string };

/**
 * Reads a TLS certificate given as PEM, base64 of PEM, base64 of DER, or hex of either.
 * @returns PEM of every certificate in it, 64 characters per line
 */
export function decodeCertificate(text: string): Decoded {
  if (text.trim() === "") return { ok: false, message: "is empty" };
  if (text.includes("-----BEGIN")) return normalisePem(text);
  const bytes = decodeBytes(text);
  if (bytes === undefined) return { ok: false, message: "is neither PEM nor base64 of a certificate" };
  const asText = new TextDecoder().decode(bytes);
  if (asText.includes("-----BEGIN")) return normalisePem(asText);
  const wrong = derFault(bytes);
  return wrong === undefined ? { ok: true, value: toPem(bytes) } : { ok: false, message: wrong };
}

function normalisePem(text: string): Decoded {
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) {
    return { ok: false, message: "is a private key (tls.key), where the certificate (tls.cert) belongs" };
  }
  const blocks = [...text.matchAll(/-----BEGIN CERTIFICATE-----([^-]*)-----END CERTIFICATE-----/g)];
  if (blocks.length === 0) return { ok: false, message: "holds no whole PEM block of type CERTIFICATE" };
  let pem = "";
  for (const block of blocks) {
    const der = decodeBase64(block[1]!);
    if (der === undefined) return { ok: false, message: "holds a PEM block that isn't base64" };
    const wrong = derFault(der);
    if (wrong !== undefined) return { ok: false, message: wrong };
    pem += toPem(der);
  }
  return { ok: true, value: pem };
}

/** An X.509 certificate is one DER SEQUENCE (X.690 §8.1.3): its length tells whether the end got lost. */
function derFault(bytes: Uint8Array): string | undefined {
  const first = bytes[1];
  if (bytes[0] !== 0x30 || first === undefined) return "isn't a certificate";
  const lengthBytes = first < 0x80 ? 0 : first & 0x7f;
  if (lengthBytes > 3) return "isn't a certificate";
  let length = lengthBytes === 0 ? first : 0;
  for (const byte of bytes.subarray(2, 2 + lengthBytes)) length = length * 256 + byte;
  const whole = 2 + lengthBytes + length;
  if (bytes.length < whole) return `is cut short: ${bytes.length} of ${whole} bytes`;
  return bytes.length > whole ? `has ${bytes.length - whole} bytes too many` : undefined;
}

function toPem(der: Uint8Array): string {
  const base64 = btoa(Array.from(der, (byte) => String.fromCharCode(byte)).join("")).replace(/.{64}(?=.)/g, "$&\n");
  return `-----BEGIN CERTIFICATE-----\n${base64}\n-----END CERTIFICATE-----\n`;
}

/**
 * Reads a macaroon given as hex (all hex digits) or base64 (anything else).
 * @returns lower-case hex, as gRPC metadata carries it
 */
export function decodeMacaroon(text: string): Decoded {
  if (text.trim() === "") return { ok: false, message: "is empty" };
  const bytes = decodeBytes(text);
  if (bytes === undefined || bytes.length === 0) return { ok: false, message: "is neither hex nor base64" };
  return { ok: true, value: Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("") };
}

function decodeBytes(text: string): Uint8Array | undefined {
  const bare = text.replace(/\s/g, "");
  if (!/^[0-9a-fA-F]+$/.test(bare)) return decodeBase64(bare);
  if (bare.length % 2 !== 0) return undefined;
  return Uint8Array.from(bare.match(/../g)!, (pair) => parseInt(pair, 16));
}

/** Standard or URL alphabet, with or without padding and line breaks. */
function decodeBase64(text: string): Uint8Array | undefined {
  const bare = text.replace(/\s/g, "").replaceAll("-", "+").replaceAll("_", "/");
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(bare) || bare.replace(/=+$/, "").length % 4 === 1) return undefined;
  try {
    return Uint8Array.from(atob(bare.replace(/=+$/, "")), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}
