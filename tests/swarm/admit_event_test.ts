import assert from "node:assert/strict";
import { InvariantError } from "../../lib/domain/errors.ts";
import { admitSwarmEvent, maxConnections, SwarmGate } from "../../lib/swarm/admit_event.ts";

const connected = {
  kind: "connected",
  connection: 3,
  via: "swarm",
  initiator: true,
  localKey: "aa".repeat(32),
  remoteKey: "bb".repeat(32),
  handshakeHash: new Uint8Array(64),
};

Deno.test("admitSwarmEvent() lets nothing from the swarm pass for our own instance", () => {
  const event = admitSwarmEvent({ ...connected, via: "memory" });
  assert.equal(event.kind === "connected" && event.via, "swarm");
});

Deno.test("admitSwarmEvent() strips what could steer a terminal", () => {
  const event = admitSwarmEvent({
    kind: "status",
    level: "info",
    message: "\x1b[2Jhello\n",
  });
  assert.deepEqual(event, {
    kind: "status",
    level: "info",
    message: " [2Jhello ",
  });
});

Deno.test("admitSwarmEvent() hands on bytes that nobody else can change any more", () => {
  const shared = new Uint8Array(new SharedArrayBuffer(2));
  const event = admitSwarmEvent({ kind: "frame", connection: 3, frame: shared });
  shared.fill(9);
  assert.deepEqual(event, { kind: "frame", connection: 3, frame: new Uint8Array(2) });
});

for (
  const [name, event] of Object.entries({
    "no object": 5,
    "an unknown kind": { kind: "pay" },
    "the id of an in-memory connection": { ...connected, connection: -1 },
    "a short handshake hash": {
      ...connected,
      handshakeHash: new Uint8Array(32),
    },
    "a key that is none": { ...connected, remoteKey: "../etc" },
    "a frame over 64 KiB": {
      kind: "frame",
      connection: 3,
      frame: new Uint8Array(65_537),
    },
    "a frame that isn't bytes": { kind: "frame", connection: 3, frame: [1] },
  })
) {
  Deno.test(`admitSwarmEvent() refuses ${name}`, () => {
    assert.throws(() => admitSwarmEvent(event), InvariantError);
  });
}

Deno.test("SwarmGate lets no connection be reported twice, nor more of them than can be", () => {
  const gate = new SwarmGate();
  gate.admit(connected);
  assert.throws(() => gate.admit(connected), InvariantError);
  gate.admit({ kind: "disconnected", connection: connected.connection, reason: "" });
  for (let connection = 1; connection <= maxConnections; connection++) gate.admit({ ...connected, connection });
  assert.throws(() => gate.admit({ ...connected, connection: maxConnections + 1 }), InvariantError);
});
