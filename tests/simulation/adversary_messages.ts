import type { Dice } from "./plan.ts";

/** A message as plain JSON. */
export type Plain = { readonly [name: string]: unknown };

const fieldNames = [
  ...["type", "publicKey", "alias", "network", "proof", "version", "logHead", "paused", "pausedChannels", "requestId"],
  ...["channelPoint", "channelId", "invoice", "tokens", "paymentId", "confirmed", "confirmedAt", "reason"],
  ...["retryAfterMs", "maxTokens", "sentAt", "__proto__", "constructor", "toString", "node", "peer", "signature", ""],
] as const;

const types = [
  "hello",
  "bye",
  "payInvoice",
  "paymentResult",
  "account",
  "ping",
  "HELLO",
  "",
  "__proto__",
  "auth",
] as const;

/** Values that a careless reader stumbles over, as JSON. */
const nasty: readonly string[] = [
  ...["null", "true", "false", "0", "-1", "1", "1.5", "1e400", "-1e400", "9007199254740993", "1e21", "[]", "{}", '""'],
  ...['"0"', '"-1"', '"-0"', '"00010000"', '"1e5"', '"0x10"', '" 10000"', '"10000.0"', '"2100000000000001"'],
  ...['"18446744073709551616"', `"${"9".repeat(400)}"`, '"NaN"', '"Infinity"', '"\\u0661\\u0660\\u0660\\u0660\\u0660"'],
  ...[
    '"\\u0000"',
    '"\\u001b[2J\\u001b[31mPAID"',
    '"\\u202egpj.exe"',
    '"\\ud800"',
    '"line\\nPaid 1 sat\\r"',
    '"a\\u200bb"',
  ],
  ...[`"${"A".repeat(5_000)}"`, `"${"\\u00df".repeat(400)}"`, '"constructor"', '"regtest"', '"bitcoin"', '"mainnet"'],
  ...[
    '"tightrope/2"',
    '"tightrope/3"',
    '"1970-01-01T00:00:00Z"',
    '"+275760-09-13T00:00:00.000Z"',
    '"9999-12-31T23:59:59Z"',
  ],
  ...[
    '"lnbc1"',
    '"lnbcrt1pvjluezpp5"',
    '"unknown"',
    '"failed"',
    '"balance"',
    '"not-shared"',
    "3600001",
    "-3600000",
    "5e15",
  ],
  ...[`${"[".repeat(2_000)}${"]".repeat(2_000)}`, `${'{"a":'.repeat(500)}1${"}".repeat(500)}`, '{"length":-1}'],
  ...['{"length":1,"treeHash":"zz"}', '{"__proto__":{"type":"hello"}}', '{"toString":null}', "[null]"],
];

/** The message with one to three things wrong, as the text that goes over the wire; the grammar is the honest code's own. */
export function mutate(dice: Dice, message: Plain, others: readonly Plain[]): string {
  let entries = Object.entries(message).map(([name, value]) => [name, JSON.stringify(value) ?? "null"] as const);
  for (let count = dice.between(1, 3); count > 0; count--) entries = mutateOnce(dice, entries, others);
  const text = `{${entries.map(([name, value]) => `${JSON.stringify(name)}:${value}`).join(",")}}`;
  if (dice.chance(3)) return text.slice(0, dice.below(text.length));
  if (dice.chance(3)) return `${text}${text}`;
  if (dice.chance(3)) return `\ufeff${text}`;
  return dice.chance(5) ? text.replaceAll(",", ` ,\n${" ".repeat(dice.below(2_000))}`) : text;
}

type Entries = readonly (readonly [string, string])[];

function mutateOnce(dice: Dice, entries: Entries, others: readonly Plain[]): (readonly [string, string])[] {
  const at = dice.below(Math.max(1, entries.length));
  const [name, value] = entries[at] ?? ["type", '""'];
  const replaced = (now: string) => entries.toSpliced(at, 1, [name, now]);
  const other = others.length > 0 ? dice.pick(others) : {};
  switch (dice.below(12)) {
    case 0:
      return entries.toSpliced(at, 1);
    case 1:
      return [...entries, [name, dice.pick(nasty)]];
    case 2:
      return [...entries, [dice.pick(fieldNames), dice.pick(nasty)]];
    case 3:
    case 4:
      return replaced(dice.pick(nasty));
    case 5:
      return entries.map(([key, now]) => [key, key === "type" ? JSON.stringify(dice.pick(types)) : now] as const);
    case 6:
    case 7:
      // The same field of another message: another session's proof, another channel's invoice.
      return Object.hasOwn(other, name) ? replaced(JSON.stringify(other[name])) : replaced(value);
    case 8: {
      const [key, its] = dice.pick([...Object.entries(other), ["type", "hello"] as const]);
      return [...entries, [key, JSON.stringify(its) ?? "null"]];
    }
    case 9:
      return replaced(changeOneCharacter(dice, value));
    case 10:
      return replaced(nudge(dice, value));
    default:
      return entries.toReversed();
  }
}

function changeOneCharacter(dice: Dice, value: string): string {
  if (value.length < 4) return value;
  const at = dice.between(1, value.length - 2);
  return value.slice(0, at) + dice.pick(["0", "a", "f", "1", "", "A", " "]) + value.slice(at + 1);
}

/** One more, one less, twice as much. */
function nudge(dice: Dice, value: string): string {
  const digits = /^("?)([0-9]{1,15})("?)$/.exec(value);
  if (digits === null) return value;
  const now = Number(digits[2]);
  return digits[1]! + String(dice.pick([now + 1, now - 1, now * 2, -now, Math.floor(now / 2)])) + digits[3]!;
}

/** The body of a frame that is no message at all. */
export function garbage(dice: Dice): Uint8Array {
  const utf8 = (text: string) => new TextEncoder().encode(text);
  switch (dice.below(7)) {
    case 0:
      return new Uint8Array(dice.below(40)).fill(dice.below(256));
    case 1:
      return utf8("[".repeat(dice.spread(10, 60_000)));
    case 2:
      return utf8('{"a":'.repeat(dice.spread(10, 12_000)));
    case 3:
      return utf8(`{"type":"hello","alias":"${"x".repeat(dice.spread(10, 60_000))}"}`);
    case 4:
      return new Uint8Array([0x7b, 0xff, 0xfe, 0xc0, 0x80, 0x7d]);
    case 5:
      return utf8(`{"type":"hello","pausedChannels":[${Array(2_000).fill('"a:0"').join(",")}]}`);
    default:
      return utf8(dice.pick(nasty));
  }
}
