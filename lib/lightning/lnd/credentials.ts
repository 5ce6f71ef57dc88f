import { X509Certificate } from "node:crypto";
import { messageOf, TightropeError } from "../../domain/errors.ts";

/** The certificate (or certificates) that a node's TLS is pinned to. */
export interface PinnedCertificate {
  readonly pem: string;
  /** SHA-256 of each certificate, as `AB:CD:…`: a server that shows one of them is the node, whatever names it carries. */
  readonly fingerprints: readonly string[];
  /** DNS names of the first certificate (its subject alternative names). */
  readonly dnsNames: readonly string[];
  /** The earliest end of validity. */
  readonly expiresAtWallMs: number;
}

/** What a connection to a node needs. */
export interface LndCredentials {
  readonly certificate: PinnedCertificate;
  /** Lower-case hex, as it stands in the request's metadata. Never log it. */
  readonly macaroonHex: string;
}

const certificateRemedy = "Give LND's tls.cert: its path as certPath, or its text (PEM or base64) as cert.";
const macaroonRemedy = "Give the macaroon's path as macaroonPath, or its bytes in hex or base64 as macaroon.";

/**
 * Reads a certificate in any form that operators have it in: PEM text, base64 of PEM, base64 of DER, or DER bytes.
 * @param source what the certificate came from, for the error ("cert of 127.0.0.1:10009", a path)
 * @throws TightropeError (config) unless there is a certificate that can be parsed
 */
export function parseCertificate(value: string | Uint8Array, source: string): PinnedCertificate {
  const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
  const pem = pemOf(bytes, source);
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----/g) ?? [];
  if (blocks.length === 0) {
    throw new TightropeError(
      "config",
      `Cannot read certificate "${source}": it holds no certificate`,
      certificateRemedy,
    );
  }
  let certificates: X509Certificate[];
  try {
    certificates = blocks.map((block) => new X509Certificate(block));
  } catch (error) {
    throw new TightropeError(
      "config",
      `Cannot read certificate "${source}": ${messageOf(error)}`,
      certificateRemedy,
      { cause: error },
    );
  }
  const altNames = certificates[0]!.subjectAltName ?? "";
  return {
    pem: blocks.join("\n") + "\n",
    fingerprints: certificates.map((certificate) => certificate.fingerprint256),
    dnsNames: [...altNames.matchAll(/DNS:([^,\s"]+)/g)].map((match) => match[1]!),
    expiresAtWallMs: Math.min(...certificates.map((certificate) => Date.parse(certificate.validTo))),
  };
}

function pemOf(bytes: Uint8Array, source: string): string {
  if (bytes.length === 0) {
    throw new TightropeError("config", `Cannot read certificate "${source}": it is empty`, certificateRemedy);
  }
  if (bytes[0] === 0x30 && bytes[1]! >= 0x80) return derToPem(bytes);
  const text = new TextDecoder().decode(bytes);
  if (text.includes("-----BEGIN")) return text;
  const decoded = decodeBase64(text);
  if (decoded === undefined || decoded.length === 0) {
    throw new TightropeError(
      "config",
      `Cannot read certificate "${source}": it is neither PEM nor base64`,
      certificateRemedy,
    );
  }
  return decoded[0] === 0x30 && decoded[1]! >= 0x80 ? derToPem(decoded) : new TextDecoder().decode(decoded);
}

function derToPem(der: Uint8Array): string {
  const lines = encodeBase64(der).match(/.{1,64}/g) ?? [];
  return ["-----BEGIN CERTIFICATE-----", ...lines, "-----END CERTIFICATE-----", ""].join("\n");
}

/**
 * The name to ask for in the TLS handshake. The pinned certificate is the trust, not its names; but a server that
 * chooses its certificate by name must be asked for one that it has.
 * @param configured what the configuration says (LND's own certificates name `localhost`)
 */
export function tlsServerName(certificate: PinnedCertificate, configured: string): string {
  if (certificate.dnsNames.includes(configured)) return configured;
  const named = certificate.dnsNames.find((name) => !name.includes("*"));
  // An address is no server name (RFC 6066 §3).
  return named ?? (/^[0-9.]+$|:/.test(configured) ? "localhost" : configured);
}

/**
 * Reads a macaroon: text that is all hex digits is hex, any other text base64; a file may also hold the raw bytes.
 * What the bytes mean is for LND to judge.
 * @returns lower-case hex
 * @throws TightropeError (config); the message never holds the macaroon
 */
export function parseMacaroon(value: string | Uint8Array, source: string): string {
  const fail = (what: string) =>
    new TightropeError("config", `Cannot read macaroon "${source}": ${what}`, macaroonRemedy);
  if (typeof value !== "string") {
    if (value.length === 0) throw fail("file is empty");
    const text = new TextDecoder("latin1").decode(value);
    // A macaroon's first byte is its version (2); text can't begin with that.
    if (value[0] === 2 || !/^[A-Za-z0-9+/_=\s-]+$/.test(text)) return encodeHex(value);
    return parseMacaroon(text, source);
  }
  const text = value.replace(/\s+/g, "");
  if (text === "") throw fail("it is empty");
  if (/^[0-9a-fA-F]+$/.test(text)) {
    if (text.length % 2 === 1) throw fail("it has an odd number of hex digits");
    return text.toLowerCase();
  }
  const bytes = decodeBase64(text);
  if (bytes === undefined) throw fail("it is neither hex nor base64");
  return encodeHex(bytes);
}

export function encodeHex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += byte.toString(16).padStart(2, "0");
  return text;
}

/** @returns undefined unless `text` is an even number of hex digits */
export function decodeHex(text: string): Uint8Array<ArrayBuffer> | undefined {
  if (text.length % 2 === 1 || !/^[0-9a-fA-F]*$/.test(text)) return undefined;
  const bytes = new Uint8Array(text.length / 2);
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(text.slice(2 * i, 2 * i + 2), 16);
  return bytes;
}

/** Standard or URL-safe alphabet, with or without padding and line breaks. */
function decodeBase64(text: string): Uint8Array | undefined {
  const standard = text.replace(/\s+/g, "").replaceAll("-", "+").replaceAll("_", "/");
  if (!/^[A-Za-z0-9+/]+={0,2}$/.test(standard)) return undefined;
  try {
    return Uint8Array.from(atob(standard), (char) => char.charCodeAt(0));
  } catch {
    return undefined;
  }
}

function encodeBase64(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text);
}
