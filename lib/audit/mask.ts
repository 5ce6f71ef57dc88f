import { formatSat, parseSat } from "../domain/amounts.ts";
import { formatShortChannelId, parseShortChannelId } from "../domain/ids.ts";

/** JSON-like data, as records are before they are written. */
type Json = Record<string, unknown>;

const masked = "***";
const redacted = "[redacted]";

/** Shorter values (a role, an amount) would blot out half of a message that happens to contain them. */
const minMaskedTextLength = 6;

/**
 * Names under which no value is ever written. Our own records have no such field; this is the net below the rope.
 * `paymentHash` is public to the payment's parties; its preimage is the proof of payment and is not.
 */
const secretName = /macaroon|preimage|secret|password|passphrase|private_?key|mnemonic|^seed$/i;

/** Values that give themselves away: LND's macaroons in hex and base64, private keys in PEM, our own cluster secrets. */
const secretValue =
  /0201036c6e64[0-9a-f]{16,}|AgEDbG5k[\w+/=-]{16,}|-----BEGIN [A-Z ]*PRIVATE KEY-----[\s\S]*|tightrope-[0-9a-z]{20,}/gi;

/** Replaces, at any depth, whatever is named or looks like a macaroon, a preimage or a secret. */
export function redactSecrets<T>(value: T): T {
  return mapDeep(value, (name, inner) => {
    if (secretName.test(name)) return redacted;
    return typeof inner === "string" ? inner.replace(secretValue, redacted) : inner;
  });
}

/**
 * Replaces the values of `keys`, at any depth, and what `message` repeats of them.
 * The record's own frame (`v`, `at`, `kind`, `level`) can't be masked: a log that nobody can read back helps nobody.
 */
export function maskKeys(record: Json, keys: readonly string[]): Json {
  if (keys.length === 0) return record;
  const hidden = new Set(keys.filter((key) => !["v", "at", "kind", "level"].includes(key)));
  const hiddenTexts: string[] = [];
  const result = mapDeep(record, (name, inner) => {
    if (!hidden.has(name)) return inner;
    collectTexts(inner, hiddenTexts);
    return masked;
  });
  const message = result["message"];
  if (typeof message !== "string" || message === masked) return result;
  // Longest first: a text that contains another must not be left half visible.
  const texts = hiddenTexts.flatMap(writtenForms).sort((a, b) => b.length - a.length);
  return { ...result, message: texts.reduce((text, hiddenText) => text.replaceAll(hiddenText, masked), message) };
}

/** A value as a message may write it: keys shortened, amounts with commas, channel ids as `800000x1x0`. */
function writtenForms(text: string): string[] {
  if (/^[0-9a-f]{64,66}$/.test(text)) return [text, `${text.slice(0, 8)}…`];
  const amountSat = parseSat(text);
  const channelId = parseShortChannelId(text);
  return [
    text,
    ...(amountSat === undefined ? [] : [formatSat(amountSat)]),
    ...(channelId === undefined ? [] : [formatShortChannelId(channelId)]),
  ];
}

function collectTexts(value: unknown, into: string[]): void {
  if (typeof value === "string" && (value.length >= minMaskedTextLength || /^[0-9]{5}$/.test(value))) into.push(value);
  else if (typeof value === "object" && value !== null) {
    Object.values(value).forEach((inner) => collectTexts(inner, into));
  }
}

/** A copy in which `replace` has seen every value together with its name (that of the list for a list's items). */
function mapDeep<T>(value: T, replace: (name: string, value: unknown) => unknown, name = ""): T {
  const inner = replace(name, value);
  if (typeof inner !== "object" || inner === null) return inner as T;
  if (Array.isArray(inner)) return inner.map((item) => mapDeep(item, replace, name)) as T;
  return Object.fromEntries(Object.entries(inner).map(([key, item]) => [key, mapDeep(item, replace, key)])) as T;
}
