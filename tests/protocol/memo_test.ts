import assert from "node:assert/strict";
import { formatMemo, invoiceTag, memoPrefix, memoTag } from "../../lib/protocol/memo.ts";
import { channelPoint, hex, requestId, sats, shortChannelId, vectors } from "./vectors.ts";

const vector = vectors.invoice;
const purpose = {
  sessionId: hex(vector.sessionId),
  requestId: requestId(vector.requestId),
  channelPoint: channelPoint(vector.channelPoint),
  tokens: sats(vector.tokens),
};

Deno.test("invoiceTag() and formatMemo() match the fixed vectors", () => {
  assert.equal(invoiceTag(purpose), vector.tag);
  assert.equal(
    formatMemo(shortChannelId(vector.channelId), vector.tag),
    vector.memo,
  );
});

Deno.test("invoiceTag() changes with everything it binds", () => {
  const others = [
    { ...purpose, sessionId: hex("00".repeat(32)) },
    { ...purpose, requestId: requestId("00".repeat(16)) },
    {
      ...purpose,
      channelPoint: channelPoint(vector.channelPoint.replace(":1", ":2")),
    },
    { ...purpose, tokens: sats("123457") },
  ];
  assert.equal(new Set([purpose, ...others].map(invoiceTag)).size, 5);
});

Deno.test("memoTag() reads what formatMemo() wrote", () => {
  assert.ok(vector.memo.startsWith(memoPrefix));
  assert.equal(memoTag(vector.memo), vector.tag);
});

for (
  const memo of [
    "",
    "tightrope rebalance",
    `tightrope rebalance ${vector.tag}`,
    vector.memo.toUpperCase(),
    `${vector.memo} `,
    `${vector.memo}\n`,
    ` ${vector.memo}`,
    vector.memo.slice(0, -1),
    `${vector.memo}0`,
    vector.memo.replace("800000x1x0", "800000x1x0 1x1x1"),
  ]
) {
  Deno.test(`memoTag() refuses ${JSON.stringify(memo)}`, () => assert.equal(memoTag(memo), undefined));
}
