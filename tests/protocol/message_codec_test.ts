import assert from "node:assert/strict";
import fc from "fast-check";
import { cleanText, decodeMessage, encodeMessage } from "../../lib/protocol/message_codec.ts";
import { type Message, protocolVersion } from "../../lib/protocol/messages.ts";
import { channelPoint, nodePubkey, requestId, sats, shortChannelId } from "./vectors.ts";

const seed = 0x5eed;
const publicKey = nodePubkey("02" + "ab".repeat(32));
const request = {
  requestId: requestId("0123456789abcdef".repeat(2)),
  channelPoint: channelPoint(`${"cd".repeat(32)}:1`),
  channelId: shortChannelId("800000x1x0"),
};
const hello: Message = {
  type: "hello",
  publicKey,
  alias: "Alice ⚡",
  network: "regtest",
  proof: "dh515omptcy3",
  version: protocolVersion,
  logHead: { length: 7, treeHash: "ef".repeat(32) },
};
const pausedHello: Message = { ...hello, paused: true };
const pausingHello: Message = { ...hello, pausedChannels: [request.channelPoint] };
const bye: Message = { type: "bye", publicKey };
const payInvoice: Message = {
  type: "payInvoice",
  ...request,
  invoice: "lnbcrt1p0xyz",
  tokens: sats("123456"),
};
const paid: Message = {
  type: "paymentResult",
  ...request,
  paymentId: "12".repeat(32),
  confirmed: true,
  confirmedAtWallMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
};
const refused: Message = {
  ...paid,
  paymentId: "",
  confirmed: false,
  reason: "limit",
  retryAfterMs: 60_000,
  maxTokens: sats("2100000000000000"),
};

const pausedRefusal: Message = { ...paid, paymentId: "", confirmed: false, reason: "busy", paused: true };
const account: Message = {
  type: "account",
  node: publicKey,
  peer: nodePubkey("03" + "ab".repeat(32)),
  paidSat: sats("2100000000000000"),
  receivedSat: sats("0"),
  openSat: sats("7"),
  count: 12,
  logHead: { length: 7, treeHash: "ef".repeat(32) },
  atWallMs: Date.UTC(2026, 0, 2, 3, 4, 5, 678),
  signature: "dh515omptcy3",
};

const bytesOf = (value: unknown) =>
  new TextEncoder().encode(
    typeof value === "string" ? value : JSON.stringify(value),
  );
const fieldsOf = (message: Message): Record<string, unknown> =>
  JSON.parse(new TextDecoder().decode(encodeMessage(message)));
const why = (bytes: Uint8Array) => {
  const decoded = decodeMessage(bytes);
  assert.ok(!decoded.ok, "it was accepted");
  return decoded.why;
};

for (
  const [name, message] of Object.entries({
    hello,
    pausedHello,
    pausingHello,
    pausedRefusal,
    bye,
    payInvoice,
    paid,
    refused,
    account,
  })
) {
  Deno.test(`decodeMessage() reads the ${name} that encodeMessage() wrote`, () => {
    assert.deepEqual(decodeMessage(encodeMessage(message)), {
      ok: true,
      message,
      sentAtWallMs: undefined,
    });
    const sentAtWallMs = Date.UTC(2026, 5, 1);
    assert.deepEqual(decodeMessage(encodeMessage(message, sentAtWallMs)), {
      ok: true,
      message,
      sentAtWallMs,
    });
  });
}

Deno.test("encodeMessage() writes amounts as decimal strings and times as ISO 8601", () => {
  assert.equal(fieldsOf(payInvoice).tokens, "123456");
  assert.equal(fieldsOf(payInvoice).channelId, "879609302220865536");
  assert.equal(fieldsOf(refused).maxTokens, "2100000000000000");
  assert.equal(fieldsOf(refused).confirmedAt, "2026-01-02T03:04:05.678Z");
  assert.equal("confirmedAtWallMs" in fieldsOf(refused), false);
});

Deno.test("decodeMessage() ignores fields it doesn't know", () => {
  const bytes = bytesOf({
    ...fieldsOf(bye),
    extra: { deep: [1, 2, 3] },
    constructor: "x",
  });
  assert.deepEqual(decodeMessage(bytes), {
    ok: true,
    message: bye,
    sentAtWallMs: undefined,
  });
});

const change = (message: Message, fields: Record<string, unknown>) => ({
  ...fieldsOf(message),
  ...fields,
});
const without = (message: Message, name: string) => {
  const { [name]: _, ...rest } = fieldsOf(message);
  return rest;
};

for (
  const [given, want] of [
    ["", "it isn't JSON"],
    ["{", "it isn't JSON"],
    ["\ufeff{}", "it isn't JSON"],
    ["[".repeat(60_000), "it isn't JSON"],
    ["null", "it isn't an object"],
    ["[]", "it isn't an object"],
    ["7", "it isn't an object"],
    [{}, "type is missing"],
    [{ type: "pay" }, "type is not a known message type"],
    [{ type: "toString" }, "type is not a known message type"],
    ['{"__proto__": {"type": "bye"}}', "type is missing"],
    [without(bye, "publicKey"), "publicKey is missing"],
    [
      change(bye, { publicKey: publicKey.toUpperCase() }),
      "publicKey is not a node's public key",
    ],
    [
      change(hello, { publicKey: `04${"ab".repeat(32)}` }),
      "publicKey is not a node's public key",
    ],
    [change(hello, { paused: "yes" }), "paused is not true or false"],
    [change(hello, { pausedChannels: [request.channelPoint, "x"] }), "pausedChannels is not a list of channel points"],
    [
      change(hello, { pausedChannels: Array(257).fill(request.channelPoint) }),
      "pausedChannels is not a list of channel points",
    ],
    [change(hello, { alias: 7 }), "alias is not text"],
    [change(hello, { network: null }), "network is not text"],
    [
      change(hello, { proof: "y".repeat(129) }),
      "proof is not a z-base-32 signature",
    ],
    [
      change(hello, { proof: "\u001b[2J" }),
      "proof is not a z-base-32 signature",
    ],
    [without(account, "signature"), "signature is missing"],
    [change(account, { paid: 7 }), "paid is not an amount in satoshis"],
    [change(account, { received: "-1" }), "received is not an amount in satoshis"],
    [change(account, { open: "2100000000000001" }), "open is not an amount in satoshis"],
    [change(account, { count: -1 }), "count is not a count"],
    [change(account, { signature: "y".repeat(129) }), "signature is not a z-base-32 signature"],
    [change(account, { at: "yesterday" }), "at is not a time in ISO 8601"],
    [change(account, { logHead: { length: 1, treeHash: "ef" } }), "treeHash is not 64 hex digits or empty"],
    [without(hello, "logHead"), "logHead is missing"],
    [change(hello, { logHead: [] }), "logHead is not an object"],
    [
      change(hello, { logHead: { length: -1, treeHash: "" } }),
      "length is not a count",
    ],
    [
      change(hello, { logHead: { length: 1.5, treeHash: "" } }),
      "length is not a count",
    ],
    [
      change(hello, { logHead: { length: 1, treeHash: "ef" } }),
      "treeHash is not 64 hex digits or empty",
    ],
    [
      change(payInvoice, { requestId: "x".repeat(32) }),
      "requestId is not 32 hex digits",
    ],
    [
      change(payInvoice, { channelPoint: `${"cd".repeat(32)}:65536` }),
      "channelPoint is not txid:index",
    ],
    [
      change(payInvoice, { channelId: 800000 }),
      "channelId is not a channel id",
    ],
    [
      change(payInvoice, { channelId: "18446744073709551616" }),
      "channelId is not a channel id",
    ],
    [
      change(payInvoice, { invoice: "LNBC1" }),
      "invoice is not a BOLT 11 invoice",
    ],
    [
      change(payInvoice, { invoice: "ln1 ignore" }),
      "invoice is not a BOLT 11 invoice",
    ],
    [
      change(payInvoice, { invoice: `ln${"q".repeat(8_191)}` }),
      "invoice is not a BOLT 11 invoice",
    ],
    [
      change(payInvoice, { tokens: 123 }),
      "tokens is not an amount in satoshis",
    ],
    [
      change(payInvoice, { tokens: "-1" }),
      "tokens is not an amount in satoshis",
    ],
    [
      change(payInvoice, { tokens: "1e3" }),
      "tokens is not an amount in satoshis",
    ],
    [
      change(payInvoice, { tokens: "01" }),
      "tokens is not an amount in satoshis",
    ],
    [
      change(payInvoice, { tokens: "2100000000000001" }),
      "tokens is not an amount in satoshis",
    ],
    [
      change(paid, { paymentId: "12" }),
      "paymentId is not a payment hash or empty",
    ],
    [change(paid, { confirmed: "true" }), "confirmed is not true or false"],
    [
      change(paid, { confirmedAt: "2026-01-02" }),
      "confirmedAt is not a time in ISO 8601",
    ],
    [
      change(paid, { confirmedAt: "2026-13-02T00:00:00Z" }),
      "confirmedAt is not a time in ISO 8601",
    ],
    [change(paid, { confirmedAt: 0 }), "confirmedAt is not a time in ISO 8601"],
    [change(paid, { reason: "because" }), "reason is not a known reason"],
    [change(paid, { reason: null }), "reason is not a known reason"],
    [
      change(paid, { retryAfterMs: -1 }),
      "retryAfterMs is not a count of milliseconds",
    ],
    [change(paid, { maxTokens: 5 }), "maxTokens is not an amount in satoshis"],
    [change(bye, { sentAt: "now" }), "sentAt is not a time in ISO 8601"],
  ] as const
) {
  const shown = (typeof given === "string" ? given : JSON.stringify(given))
    .slice(0, 60);
  Deno.test(`decodeMessage() refuses because ${want}: ${shown}`, () => assert.equal(why(bytesOf(given)), want));
}

Deno.test("decodeMessage() refuses what isn't UTF-8", () => {
  assert.equal(why(Uint8Array.of(0x7b, 0xff, 0x7d)), "it isn't UTF-8 text");
});

Deno.test("decodeMessage() strips what could steer a terminal and cuts what is too long", () => {
  const decoded = decodeMessage(
    bytesOf(
      change(hello, {
        alias: "\u001b[31mA\u202eB\nC\ud800\u0000 ",
        version: "v".repeat(99),
      }),
    ),
  );
  assert.ok(decoded.ok && decoded.message.type === "hello");
  assert.equal(decoded.message.alias, "[31mABC");
  assert.equal(decoded.message.version, "v".repeat(32));
});

Deno.test("cleanText() cuts between characters, never inside one", () => {
  assert.equal(cleanText("⚡".repeat(9), 3), "⚡⚡⚡");
  assert.equal(cleanText("😀".repeat(9), 2), "😀😀");
});

Deno.test("decodeMessage() is total and its reasons hold none of the peer's text", () => {
  const mutated = fc.tuple(
    fc.constantFrom(hello, bye, payInvoice, paid, refused, account),
    fc.jsonValue(),
    fc.nat(),
  ).map(
    ([message, value, at]) => {
      const fields = fieldsOf(message);
      const names = Object.keys(fields);
      return JSON.stringify({ ...fields, [names[at % names.length]!]: value });
    },
  );
  fc.assert(
    fc.property(
      fc.oneof(fc.json(), mutated, fc.string({ unit: "binary" })),
      (text) => {
        const decoded = decodeMessage(bytesOf(text));
        if (decoded.ok) {
          assert.deepEqual(decodeMessage(encodeMessage(decoded.message)), {
            ...decoded,
            sentAtWallMs: undefined,
          });
        } else assert.match(decoded.why, /^[a-zA-Z0-9:.,' -]{1,80}$/);
      },
    ),
    { seed, numRuns: 1_000 },
  );
  fc.assert(
    fc.property(
      fc.uint8Array({ maxLength: 200 }),
      (bytes) => void decodeMessage(bytes),
    ),
    { seed },
  );
});
