import assert from "node:assert/strict";
import { bytesToHex } from "@noble/hashes/utils.js";
import fc from "fast-check";
import { InvariantError } from "../../lib/domain/errors.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import type { Message } from "../../lib/protocol/messages.ts";
import {
  authenticationTimeoutMs,
  expireSession,
  isOpen,
  openSession,
  receiveFrame,
  sealMessage,
  type Session,
  type SessionOpening,
  type SessionOutput,
} from "../../lib/protocol/session.ts";
import { maxFrameBytes } from "../../lib/swarm/transport.ts";
import { hex, nodePubkey, swarmKey, vectors } from "./vectors.ts";

const seed = 0x5eed;
const bye = (digit: string): Message => ({
  type: "bye",
  publicKey: nodePubkey("02" + digit.repeat(64)),
});
const keyOf = (name: number) => new Uint8Array(32).fill(name);
const random = new SeededRandom(seed);
const vector = vectors.session;

type End = { readonly session: Session; readonly outputs: SessionOutput[] };

const facts = (
  initiator: boolean,
  handshakeHash: Uint8Array = new Uint8Array(64).fill(9),
) => ({
  initiator,
  localKey: swarmKey(initiator ? vector.initiatorKey : vector.responderKey),
  remoteKey: swarmKey(initiator ? vector.responderKey : vector.initiatorKey),
  handshakeHash,
  nonce: random.bytes(32),
  atMs: 1_000,
});

/** Opens both ends and carries frames until nothing moves. */
function connect(
  initiatorKeys: Pick<SessionOpening, "authKey" | "previousAuthKey">,
  responderKeys: Pick<SessionOpening, "authKey" | "previousAuthKey">,
  handshakeHash?: Uint8Array,
): { readonly initiator: End; readonly responder: End } {
  const a = openSession({ ...initiatorKeys, ...facts(true, handshakeHash) });
  const b = openSession({ ...responderKeys, ...facts(false, handshakeHash) });
  const initiator: End = { session: a.session, outputs: [] };
  const responder: End = { session: b.session, outputs: [] };
  const wires: [End, End, Uint8Array][] = [
    ...a.frames.map((
      frame,
    ): [End, End, Uint8Array] => [initiator, responder, frame]),
    ...b.frames.map((
      frame,
    ): [End, End, Uint8Array] => [responder, initiator, frame]),
  ];
  for (let next = wires.shift(); next !== undefined; next = wires.shift()) {
    const [from, to, frame] = next;
    for (const output of receiveFrame(to.session, frame, 1_001)) {
      to.outputs.push(output);
      if (output.kind === "send") wires.push([to, from, output.frame]);
    }
  }
  return { initiator, responder };
}

const open = () => connect({ authKey: keyOf(1) }, { authKey: keyOf(1) });
const failed = (why: string): SessionOutput[] => [{ kind: "failed", why }];
const received = (
  message: Message,
): SessionOutput[] => [{ kind: "message", message, sentAtWallMs: undefined }];
const lastOf = (end: End) => end.outputs[end.outputs.length - 1];

Deno.test("session: both ends match the fixed vectors, byte for byte", () => {
  const end = (initiator: boolean) =>
    openSession({
      ...facts(initiator),
      authKey: hex(vector.authKey),
      handshakeHash: hex(vector.handshakeHash),
      nonce: hex(initiator ? vector.initiatorNonce : vector.responderNonce),
    });
  const [initiator, responder] = [end(true), end(false)];
  assert.deepEqual(initiator.frames.map(bytesToHex), [vector.initiatorAuth]);
  assert.deepEqual(responder.frames.map(bytesToHex), [vector.responderAuth]);
  const sent = (outputs: SessionOutput[]) => outputs.map((o) => o.kind === "send" ? bytesToHex(o.frame) : o.kind);
  assert.deepEqual(
    sent(receiveFrame(initiator.session, hex(vector.responderAuth), 0)),
    [vector.initiatorConfirm],
  );
  assert.deepEqual(
    sent(receiveFrame(responder.session, hex(vector.initiatorAuth), 0)),
    [vector.responderConfirm],
  );
  const authenticated = [{
    kind: "authenticated",
    sessionId: hex(vector.sessionId),
    secret: "current",
  }];
  assert.deepEqual(
    receiveFrame(initiator.session, hex(vector.responderConfirm), 0),
    authenticated,
  );
  assert.deepEqual(
    receiveFrame(responder.session, hex(vector.initiatorConfirm), 0),
    authenticated,
  );
  for (const i of [0, 1]) {
    const message = vector.message as Message;
    assert.equal(
      bytesToHex(sealMessage(initiator.session, message)),
      vector.initiatorFrames[i],
    );
    assert.equal(
      bytesToHex(sealMessage(responder.session, message)),
      vector.responderFrames[i],
    );
    assert.deepEqual(
      receiveFrame(initiator.session, hex(vector.responderFrames[i]!), 0),
      received(message),
    );
    assert.deepEqual(
      receiveFrame(responder.session, hex(vector.initiatorFrames[i]!), 0),
      received(message),
    );
  }
});

const [oldKey, newKey, otherKey] = [keyOf(1), keyOf(2), keyOf(3)];
for (
  const { name, initiator, responder, want } of [
    {
      name: "the same secret",
      initiator: [newKey],
      responder: [newKey],
      want: ["current", "current"],
    },
    {
      name: "both rotating",
      initiator: [newKey, oldKey],
      responder: [newKey, oldKey],
      want: ["current", "current"],
    },
    {
      name: "rotating meets old",
      initiator: [newKey, oldKey],
      responder: [oldKey],
      want: ["previous", "current"],
    },
    {
      name: "old meets rotating",
      initiator: [oldKey],
      responder: [newKey, oldKey],
      want: ["current", "previous"],
    },
    {
      name: "rotating meets new",
      initiator: [newKey, oldKey],
      responder: [newKey],
      want: ["current", "current"],
    },
    {
      name: "opposite orders",
      initiator: [newKey, oldKey],
      responder: [oldKey, newKey],
      want: ["current", "previous"],
    },
    {
      name: "only the old in common",
      initiator: [newKey, oldKey],
      responder: [otherKey, oldKey],
      want: ["previous", "previous"],
    },
    {
      name: "a secret given twice",
      initiator: [newKey, newKey],
      responder: [newKey],
      want: ["current", "current"],
    },
  ] as const
) {
  Deno.test(`session: ${name}: both ends settle on the same key and talk`, () => {
    const keys = ([authKey, previousAuthKey]: readonly Uint8Array[]) =>
      previousAuthKey ? { authKey: authKey!, previousAuthKey } : { authKey: authKey! };
    const ends = connect(keys(initiator), keys(responder));
    const [a, b] = [lastOf(ends.initiator), lastOf(ends.responder)];
    assert.ok(a?.kind === "authenticated" && b?.kind === "authenticated");
    assert.deepEqual([a.secret, b.secret], want);
    assert.deepEqual(a.sessionId, b.sessionId);
    const { initiator: i, responder: r } = ends;
    assert.deepEqual(
      receiveFrame(r.session, sealMessage(i.session, bye("1")), 2_000),
      received(bye("1")),
    );
    assert.deepEqual(
      receiveFrame(i.session, sealMessage(r.session, bye("2")), 2_000),
      received(bye("2")),
    );
  });
}

for (
  const [name, a, b] of [
    ["different secrets", { authKey: newKey }, { authKey: otherKey }],
    ["two and two different secrets", {
      authKey: newKey,
      previousAuthKey: oldKey,
    }, { authKey: otherKey, previousAuthKey: keyOf(4) }],
  ] as const
) {
  Deno.test(`session: ${name} fail at both ends at once, and both say so`, () => {
    const ends = connect(a, b);
    for (const end of [ends.initiator, ends.responder]) {
      assert.deepEqual(lastOf(end), {
        kind: "failed",
        why: "peer does not know our secret",
      });
      assert.equal(isOpen(end.session), false);
      assert.equal(end.session.deadlineAtMs, undefined);
    }
  });
}

Deno.test("session: a silent peer has exactly 5 s", () => {
  const { session } = openSession({ authKey: keyOf(1), ...facts(true) });
  assert.equal(session.deadlineAtMs, 1_000 + authenticationTimeoutMs);
  assert.deepEqual(expireSession(session, 5_999), []);
  assert.deepEqual(
    expireSession(session, 6_000),
    failed("peer did not prove the secret within 5 s"),
  );
  assert.deepEqual(expireSession(session, 7_000), []);
});

Deno.test("session: a proof that comes too late doesn't count, whether or not the timer fired", () => {
  const a = openSession({ authKey: keyOf(1), ...facts(true) });
  const b = openSession({ authKey: keyOf(1), ...facts(false) });
  assert.deepEqual(
    receiveFrame(a.session, b.frames[0]!, 6_000),
    failed("peer did not prove the secret within 5 s"),
  );
});

Deno.test("session: once authenticated, no deadline is left", () => {
  const { initiator } = open();
  assert.equal(initiator.session.deadlineAtMs, undefined);
  assert.deepEqual(expireSession(initiator.session, 1e9), []);
});

Deno.test("session: our own frames reflected at us prove nothing", () => {
  const a = openSession({ authKey: keyOf(1), ...facts(true) });
  assert.deepEqual(
    receiveFrame(a.session, a.frames[0]!, 1_001),
    failed("peer reflects our own frames"),
  );

  // A peer that draws its own nonce but returns our confirm.
  const b = openSession({ authKey: keyOf(1), ...facts(true) });
  const stranger = openSession({ authKey: keyOf(7), ...facts(false) });
  const [confirm] = receiveFrame(b.session, stranger.frames[0]!, 1_001);
  assert.ok(confirm?.kind === "send");
  assert.deepEqual(
    receiveFrame(b.session, confirm.frame, 1_002),
    failed("peer does not know our secret"),
  );

  const { initiator } = open();
  const sealed = sealMessage(initiator.session, bye("1"));
  assert.deepEqual(
    receiveFrame(initiator.session, sealed, 2_000),
    failed("frame with a wrong MAC"),
  );
});

Deno.test("session: a proof carried over from another connection is refused", () => {
  // A man in the middle relays between two connections of its own: the nonces pass, the handshake hashes differ.
  const a = openSession({
    authKey: keyOf(1),
    ...facts(true, new Uint8Array(64).fill(1)),
  });
  const b = openSession({
    authKey: keyOf(1),
    ...facts(false, new Uint8Array(64).fill(2)),
  });
  const [fromA] = receiveFrame(a.session, b.frames[0]!, 1_001);
  const [fromB] = receiveFrame(b.session, a.frames[0]!, 1_001);
  assert.ok(fromA?.kind === "send" && fromB?.kind === "send");
  assert.deepEqual(
    receiveFrame(b.session, fromA.frame, 1_002),
    failed("peer does not know our secret"),
  );
  assert.deepEqual(
    receiveFrame(a.session, fromB.frame, 1_002),
    failed("peer does not know our secret"),
  );
});

Deno.test("session: frames of another session of the same cluster are refused", () => {
  const [first, second] = [open(), open()];
  const sealed = sealMessage(first.initiator.session, bye("1"));
  assert.deepEqual(
    receiveFrame(second.responder.session, sealed, 2_000),
    failed("frame with a wrong MAC"),
  );
});

Deno.test("session: what meddles with the confirms can't make the ends use different keys and go on", () => {
  const a = openSession({
    authKey: newKey,
    previousAuthKey: oldKey,
    ...facts(true),
  });
  const b = openSession({
    authKey: newKey,
    previousAuthKey: oldKey,
    ...facts(false),
  });
  const [fromA] = receiveFrame(a.session, b.frames[0]!, 1_001);
  const [fromB] = receiveFrame(b.session, a.frames[0]!, 1_001);
  assert.ok(fromA?.kind === "send" && fromB?.kind === "send");
  // The first MAC is cut out on one way only: the responder thinks that the initiator knows the old secret alone.
  const cut = Uint8Array.of(2, ...fromA.frame.subarray(33));
  assert.equal(receiveFrame(b.session, cut, 1_002)[0]?.kind, "authenticated");
  assert.equal(
    receiveFrame(a.session, fromB.frame, 1_002)[0]?.kind,
    "authenticated",
  );
  assert.deepEqual(
    receiveFrame(b.session, sealMessage(a.session, bye("1")), 2_000),
    failed("frame with a wrong MAC"),
  );
});

for (
  const { name, deliver, why } of [
    {
      name: "replayed",
      deliver: [0, 0],
      why: "frame number 0 came again instead of 1",
    },
    {
      name: "replayed later",
      deliver: [0, 1, 2, 0],
      why: "frame number 0 came again instead of 3",
    },
    {
      name: "reordered",
      deliver: [1],
      why: "frames are missing: got number 1 instead of 0",
    },
    {
      name: "skipped",
      deliver: [0, 3],
      why: "frames are missing: got number 3 instead of 1",
    },
    { name: "skipped by many", deliver: [19], why: "frame with a wrong MAC" },
  ]
) {
  Deno.test(`session: a ${name} frame closes it`, () => {
    const { initiator, responder } = open();
    const frames = Array.from(
      { length: 20 },
      () => sealMessage(initiator.session, bye("1")),
    );
    const outputs = deliver.map((i) => receiveFrame(responder.session, frames[i]!, 2_000));
    assert.deepEqual(outputs.pop(), failed(why));
    assert.ok(outputs.every(([output]) => output?.kind === "message"));
    assert.deepEqual(
      receiveFrame(responder.session, frames[deliver.length - 1]!, 2_001),
      [],
    );
    assert.throws(
      () => sealMessage(responder.session, bye("2")),
      InvariantError,
    );
  });
}

Deno.test("session: any change of any byte of a frame closes it", () => {
  const { initiator, responder } = open();
  const frame = sealMessage(initiator.session, bye("1"));
  for (let at = 0; at < frame.length; at++) {
    const changed = frame.slice();
    changed[at]! ^= 1 << (at % 8);
    assert.equal(
      receiveFrame(structuredClone(responder.session), changed, 2_000)[0]?.kind,
      "failed",
    );
  }
  for (let length = 0; length < frame.length; length++) {
    assert.equal(
      receiveFrame(
        structuredClone(responder.session),
        frame.slice(0, length),
        2_000,
      )[0]?.kind,
      "failed",
    );
  }
  assert.deepEqual(
    receiveFrame(responder.session, frame, 2_000),
    received(bye("1")),
  );
});

Deno.test("session: an oversize frame closes it, the longest one passes to the MAC", () => {
  const { responder } = open();
  assert.deepEqual(
    receiveFrame(
      structuredClone(responder.session),
      new Uint8Array(maxFrameBytes),
      2_000,
    ),
    failed("frame with a wrong MAC"),
  );
  assert.deepEqual(
    receiveFrame(responder.session, new Uint8Array(maxFrameBytes + 1), 2_000),
    failed("frame of 65537 bytes; at most 65536 pass"),
  );
});

Deno.test("session: an authentic message that can't be read is named, and the session goes on", () => {
  const { initiator, responder } = open();
  const strange = { type: "sing" } as unknown as Message;
  assert.throws(
    () => sealMessage(initiator.session, strange),
    InvariantError,
    "we don't send what we don't know",
  );
  const ours = sealMessage(
    initiator.session,
    { ...bye("1"), publicKey: "nobody" } as unknown as Message,
  );
  assert.deepEqual(receiveFrame(responder.session, ours, 2_000), [
    { kind: "bad-message", why: "publicKey is not a node's public key" },
  ]);
  assert.deepEqual(
    receiveFrame(
      responder.session,
      sealMessage(initiator.session, bye("2")),
      2_000,
    ),
    received(bye("2")),
  );
});

Deno.test("session: messages can't be sealed before the proof", () => {
  const { session } = openSession({ authKey: keyOf(1), ...facts(true) });
  assert.equal(isOpen(session), false);
  assert.throws(() => sealMessage(session, bye("1")), InvariantError);
});

Deno.test("session: a fork by structuredClone goes its own way", () => {
  const { initiator, responder } = open();
  const fork = structuredClone({
    initiator: initiator.session,
    responder: responder.session,
  });
  const frame = sealMessage(initiator.session, bye("1"));
  assert.deepEqual(
    receiveFrame(responder.session, frame, 2_000),
    received(bye("1")),
  );
  assert.deepEqual(sealMessage(fork.initiator, bye("1")), frame);
  assert.deepEqual(
    receiveFrame(fork.responder, frame, 2_000),
    received(bye("1")),
  );
});

Deno.test("session: without the secret, no frames whatever authenticate or bring a message", () => {
  const frames = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 80 }),
      fc.uint8Array({ minLength: 32, maxLength: 32 }).map((nonce) => Uint8Array.of(1, ...nonce)),
      fc.uint8Array({ minLength: 32, maxLength: 32 }).map((mac) => Uint8Array.of(2, ...mac)),
      fc.uint8Array({ minLength: 64, maxLength: 64 }).map((macs) => Uint8Array.of(2, ...macs)),
      fc.constant("echo" as const),
    ),
    { maxLength: 6 },
  );
  fc.assert(
    fc.property(fc.boolean(), frames, (initiator, script) => {
      const opened = openSession({ authKey: keyOf(1), ...facts(initiator) });
      let echo = opened.frames[0]!;
      let ended = false;
      for (const step of script) {
        for (
          const output of receiveFrame(
            opened.session,
            step === "echo" ? echo : step,
            1_001,
          )
        ) {
          assert.ok(
            output.kind === "send" || output.kind === "failed",
            output.kind,
          );
          assert.equal(ended, false, "an output after the end");
          if (output.kind === "send") echo = output.frame;
          else ended = true;
        }
      }
      assert.equal(isOpen(opened.session), false);
    }),
    { seed, numRuns: 300 },
  );
});

Deno.test("session: whatever is sealed in order arrives in order, and any other order ends it", () => {
  fc.assert(
    fc.property(
      fc.shuffledSubarray([0, 1, 2, 3, 4], { minLength: 1 }),
      (order) => {
        const { initiator, responder } = open();
        const frames = ["1", "2", "3", "4", "5"].map((digit) => sealMessage(initiator.session, bye(digit)));
        let expected = 0;
        for (const index of order) {
          const outputs = receiveFrame(
            responder.session,
            frames[index]!,
            2_000,
          );
          if (expected < 0) assert.deepEqual(outputs, []);
          else if (index === expected) {
            assert.deepEqual(outputs, received(bye(String(index + 1))));
            expected += 1;
          } else {
            assert.equal(outputs[0]?.kind, "failed");
            expected = -1;
          }
        }
      },
    ),
    { seed, numRuns: 60 },
  );
});
