import assert from "node:assert/strict";
import {
  decodePauses,
  encodePauses,
  parseChannelScope,
  parseNodeScope,
  type Pause,
  scopeName,
} from "../../lib/audit/pause.ts";
import { parseShortChannelId } from "../../lib/domain/ids.ts";
import { channel, node } from "./records.ts";

const by = { by: "operator", reason: "", sinceWallMs: Date.UTC(2026, 0, 1) } as const;
const pauses: readonly Pause[] = [
  { scope: { kind: "all" }, by: "breaker", reason: "a payment cost a fee", sinceWallMs: 5 },
  { scope: { kind: "node", pubkey: node("B") }, ...by },
  { scope: { kind: "alias", alias: 'al"ice' }, ...by },
  { scope: { kind: "channel-id", channelId: parseShortChannelId("800000x1x0")! }, ...by },
  { scope: { kind: "channel-point", channelPoint: channel(1) }, ...by },
];

Deno.test("encodePauses() and decodePauses() keep every scope", () => {
  assert.deepEqual(decodePauses(encodePauses(pauses)), pauses);
});

const whole = JSON.parse(encodePauses([pauses[3]!]));
const altered = (change: Record<string, unknown>) =>
  JSON.stringify({ ...whole, pauses: [{ ...whole.pauses[0], ...change }] });
for (
  const [name, text] of Object.entries({
    "an empty file": "",
    "prose": "Tightrope neither asks nor pays while this file exists.\n",
    "a torn file": encodePauses(pauses).slice(0, 150),
    "a newer format": JSON.stringify({ ...whole, v: 2 }),
    "no list": JSON.stringify({ v: 1 }),
    "a channel id that is none": altered({ channelId: "x" }),
    "a channel point that is none": altered({ channelId: undefined, channelPoint: "x:0" }),
    "a node key that is none": altered({ channelId: undefined, node: "02ab" }),
    "an alias that is none": altered({ channelId: undefined, alias: "" }),
    "an alias that is no text": altered({ channelId: undefined, alias: 5 }),
    "a scope that isn't known": altered({ channelId: undefined, region: "north" }),
    "a scope with a field more": altered({ until: "tomorrow" }),
    "somebody else's": altered({ by: "me" }),
    "a reason that is no text": altered({ reason: 5 }),
    "no time": altered({ since: "now" }),
    "null": JSON.stringify({ v: 1, pauses: [null] }),
  })
) {
  Deno.test(`decodePauses() takes ${name} for a pause of everything`, () => {
    assert.deepEqual(decodePauses(text).map(({ scope, by }) => [scope.kind, by]), [["all", "unreadable"]]);
  });
}

Deno.test("parseNodeScope() and parseChannelScope() read what operators write", () => {
  const names = [
    parseNodeScope(node("A").toUpperCase()),
    parseNodeScope("alice"),
    parseNodeScope(" "),
    parseChannelScope("800000x1x0"),
    parseChannelScope("879609302220865536"),
    parseChannelScope(channel(2)),
    parseChannelScope("12"),
    parseChannelScope("alice"),
  ].map((scope) => scope && scopeName(scope));
  assert.deepEqual(names, [
    `node ${node("A")}`,
    "node alice",
    undefined,
    "channel 800000x1x0",
    "channel 800000x1x0",
    `channel ${channel(2)}`,
    undefined,
    undefined,
  ]);
});
