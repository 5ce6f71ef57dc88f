import assert from "node:assert/strict";
import { bytesToHex } from "@noble/hashes/utils.js";
import { systemClock, systemRandom } from "../../lib/env/system.ts";
import { deriveAuthKey, deriveTopic } from "../../lib/protocol/keys.ts";
import type { Message } from "../../lib/protocol/messages.ts";
import {
  openSession,
  receiveFrame,
  sealMessage,
  type Session,
  type SessionOpening,
  type SessionOutput,
} from "../../lib/protocol/session.ts";
import { nodePubkey } from "../protocol/vectors.ts";
import { Instance, localDht } from "./instance.ts";

const masterOf = (name: number) => new Uint8Array(32).fill(name);
const keyOf = (name: number) => deriveAuthKey(masterOf(name));
const topic = deriveTopic(masterOf(1));
const bye: Message = { type: "bye", publicKey: nodePubkey(`02${"ab".repeat(32)}`) };

type Keys = Pick<SessionOpening, "authKey" | "previousAuthKey">;

/** Runs the session of one instance's first connection, as the balancer would, until it is proven or fails. */
async function authenticate(
  instance: Instance,
  keys: Keys,
): Promise<
  { readonly session: Session; readonly connection: number; readonly last: SessionOutput; readonly next: number }
> {
  const clock = () => systemClock.now().atMs;
  const connected = await instance.until((event) => event.kind === "connected" ? event : undefined);
  const { connection, initiator, localKey, remoteKey, handshakeHash } = connected;
  const opening = { initiator, localKey, remoteKey, handshakeHash, nonce: systemRandom.bytes(32), atMs: clock() };
  const { session, frames } = openSession({ ...keys, ...opening });
  for (const frame of frames) instance.transport.send(connection, frame);
  for (let next = 0;; next++) {
    const frame = await instance.until((event) => {
      if (event.kind === "disconnected" && event.connection === connection) return event;
      return event.kind === "frame" && event.connection === connection ? event : undefined;
    }, next);
    next = instance.events.indexOf(frame);
    assert.ok(frame.kind === "frame", "the connection was lost before the session had an end");
    for (const output of receiveFrame(session, frame.frame, clock())) {
      if (output.kind === "send") instance.transport.send(connection, output.frame);
      else if (output.kind === "authenticated") instance.transport.markAuthenticated(connection);
      else if (output.kind === "failed") instance.transport.disconnect(connection);
      if (output.kind !== "send") return { session, connection, last: output, next: next + 1 };
    }
  }
}

for (
  const { name, a, b, want } of [
    { name: "one secret", a: { authKey: keyOf(1) }, b: { authKey: keyOf(1) }, want: ["current", "current"] },
    {
      name: "a rotating instance and one of the former secret",
      a: { authKey: keyOf(2), previousAuthKey: keyOf(1) },
      b: { authKey: keyOf(1) },
      want: ["previous", "current"],
    },
  ]
) {
  Deno.test(`session over the swarm: ${name}: proven, and messages pass`, async () => {
    await using dht = await localDht(1);
    await using left = await Instance.start(1, dht.bootstrap, { topics: [topic] });
    await using right = await Instance.start(2, dht.bootstrap, { topics: [topic] });
    const [one, two] = await Promise.all([authenticate(left, a), authenticate(right, b)]);
    assert.ok(one.last.kind === "authenticated" && two.last.kind === "authenticated");
    assert.deepEqual([one.last.secret, two.last.secret], want);
    assert.equal(bytesToHex(one.last.sessionId), bytesToHex(two.last.sessionId));
    left.transport.send(one.connection, sealMessage(one.session, bye));
    const frame = await right.until((event) => event.kind === "frame" ? event.frame : undefined, two.next);
    assert.deepEqual(receiveFrame(two.session, frame, 0), [
      { kind: "message", message: bye, sentAtWallMs: undefined },
    ]);
  });
}

Deno.test("session over the swarm: different secrets on one topic fail at once, and both ends say so", async () => {
  await using dht = await localDht(1);
  await using left = await Instance.start(1, dht.bootstrap, { topics: [topic] });
  await using right = await Instance.start(2, dht.bootstrap, { topics: [topic] });
  const ends = await Promise.all([
    authenticate(left, { authKey: keyOf(1) }),
    authenticate(right, { authKey: keyOf(2) }),
  ]);
  for (const end of ends) assert.deepEqual(end.last, { kind: "failed", why: "peer does not know our secret" });
});
