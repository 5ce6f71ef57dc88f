import assert from "node:assert/strict";
import { type Route, StreamMachine } from "../../lib/udx/stream.ts";
import { End, LOOPBACK, type Socket } from "./udx_ends.ts";

/** What reached a socket that has no such stream: each time the same first packet. */
async function packetsHeard(silent: Socket, count: number): Promise<string[]> {
  await silent.wait("message", count);
  const packets = await silent.happened<[string]>("message");
  return packets.map(([hex]) => Uint8Array.fromHex(hex).subarray(20).toHex());
}

const WORD = "68656c6c6f";
const TRANSMISSIONS = 7;

Deno.test("udx-native gives up a silent peer of ours after the seventh timeout of one packet", async () => {
  await using ours = End.ours();
  await using original = End.native("original");
  const [here, silent] = [await original.socket(), await ours.socket()];
  const stream = await original.stream(1);
  await stream.connect(here, 2, await silent.port());
  // Before the first measured round trip an RTO is a second, which seven timeouts make thirteen.
  assert.equal(await stream.poke("rto", 10), 1000);
  await stream.write("hello");
  assert.equal(await stream.closed(), "ETIMEDOUT");
  assert.deepEqual(await packetsHeard(silent, TRANSMISSIONS), Array(TRANSMISSIONS).fill(WORD));
  assert.equal(await stream.call("flush"), false);
});

Deno.test("UDX gives up a silent udx-native after the seventh timeout of one packet", async () => {
  await using original = End.native("original");
  const silent = await original.socket();
  const to = { transport: "udp" as const, hostname: LOOPBACK, port: await silent.port() };
  const here = Deno.listenDatagram({ transport: "udp", hostname: LOOPBACK, port: 0 });
  // Our machine in a time of its own, in which the thirteen seconds pass at once; what it sends is sent.
  const machine = new StreamMachine<Route>({ id: 1 });
  let nowMs = 1000;
  machine.connect({ remoteId: 2, ipv6: false }, nowMs);
  machine.write(new TextEncoder().encode("hello"));
  const startedMs = nowMs;
  while (!machine.closed) {
    for (let packet = machine.pollTransmit(nowMs); packet !== null; packet = machine.pollTransmit(nowMs)) {
      await here.send(packet.bytes, to);
    }
    nowMs = machine.pollTimeout();
    machine.handleTimeout(nowMs);
  }
  here.close();
  assert.deepEqual(machine.pollEvent(), { kind: "closed", failure: "timed-out" });
  assert.deepEqual(await packetsHeard(silent, TRANSMISSIONS), Array(TRANSMISSIONS).fill(WORD));
  assert.equal(nowMs - startedMs, 13_000);
});
