import assert from "node:assert/strict";
import { shedFlood } from "../../lib/swarm/shed_flood.ts";
import type { TransportEvent } from "../../lib/swarm/transport.ts";

const frame = (connection: number, bytes = 100): TransportEvent => ({
  kind: "frame",
  connection,
  frame: new Uint8Array(bytes),
});

function queue(...events: TransportEvent[]) {
  return {
    waiting: events,
    withdraw(matches: (event: TransportEvent) => boolean) {
      this.waiting = this.waiting.filter((event) => !matches(event));
    },
  };
}

Deno.test("of frames that wait for main, those of whoever has the most of them are shed, whoever sent the last", () => {
  const flood = Array.from({ length: 60 }, () => frame(7));
  const honest = Array.from({ length: 40 }, () => frame(3));
  const gone: TransportEvent = { kind: "disconnected", connection: 7, reason: "" };
  const events = queue(...honest, ...flood, gone);
  assert.equal(shedFlood(events, 101), undefined);
  events.waiting.push(frame(3));
  assert.equal(shedFlood(events, 101), 7);
  assert.deepEqual(events.waiting, [...honest, gone, frame(3)]);
  assert.equal(shedFlood(events, 101), undefined);
});

Deno.test("few long frames are a flood beside many short ones", () => {
  const events = queue(
    ...Array.from({ length: 8 }, () => frame(7, 65_536)),
    ...Array.from({ length: 60 }, () => frame(3)),
  );
  assert.equal(shedFlood(events, 60), 7);
});
