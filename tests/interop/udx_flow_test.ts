import assert from "node:assert/strict";
import { DATA, HEARTBEAT, type Packet } from "../../lib/udx/packet.ts";
import { assertSameBytes, conform, connect, type Direction, End, filteredListener, LOOPBACK } from "./udx_ends.ts";

const WINDOW_BYTES = 4 * 1024 * 1024;

const has = (packet: Packet, bits: number) => (packet.type & bits) !== 0;

/** An end of ours with something to see or lose what passes, and one of udx-native. */
async function withOurs(
  lose: (packet: Packet, direction: Direction) => boolean,
  play: (ours: End, original: End) => Promise<void>,
): Promise<void> {
  await using ours = End.ours({
    listenDatagram: filteredListener((packet, direction) => packet !== null && lose(packet, direction)),
  });
  await using original = End.native("original");
  await play(ours, original);
}

conform("a keepalive is answered for as long as nothing else is said", async (scene) => {
  const { a, b } = await connect(scene);
  await a.call("setKeepalive", 5);
  while (await a.get("packetsReceived") < 3) await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(await b.get("packetsTransmitted") >= 3);
  assert.deepEqual([await a.get("inflight"), await a.get("retransmits")], [0, 0]);
  await b.read();
  await a.write("still usable");
  assert.equal((await b.received(12)).text, "still usable");
});

conform("a change of remote begins the search for the MTU again", async (scene) => {
  const { a, b, sockets: [, there] } = await connect(scene, { b: { firewall: "accept" } });
  await b.read();
  const search = async () => {
    while (await a.get("mtu") < 1500) {
      await a.pour(50_000);
      await a.call("flush");
    }
  };
  await search();
  const moved = await scene.a.socket();
  await a.changeRemote(moved, b.id, await there.port());
  await b.changeRemote(there, a.id, await moved.port());
  assert.equal(await a.get("mtu"), 1200);
  await search();
});

Deno.test("UDX stops its keepalive at 0, where udx-native begins to send without pause", async () => {
  let heartbeats = 0;
  await withOurs((packet) => {
    if (has(packet, HEARTBEAT)) heartbeats++;
    return false;
  }, async (ours, original) => {
    const { a } = await connect({ a: ours, b: original });
    await a.call("setKeepalive", 5);
    while (heartbeats < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    await a.call("setKeepalive", 0);
    const before = heartbeats;
    await new Promise((resolve) => setTimeout(resolve, 30));
    assert.equal(heartbeats, before);
  });
});

Deno.test("UDX keeps to the receive window of udx-native", async () => {
  const windowBytes = 2000;
  let unacked = 0;
  let nextSeq = 0;
  let mostBytes = 0;
  await withOurs((packet, direction) => {
    if (direction === "in") unacked = Math.max(unacked, packet.ack);
    else if (has(packet, DATA)) {
      nextSeq = Math.max(nextSeq, packet.seq + 1);
      mostBytes = Math.max(mostBytes, (nextSeq - unacked) * packet.payload.length);
    }
    return false;
  }, async (ours, original) => {
    const { a, b } = await connect({ a: ours, b: original });
    assert.equal(await b.poke("receiveWindow", windowBytes), WINDOW_BYTES);
    await b.read();
    // Its window travels with an acknowledgement.
    await a.write("!");
    assert.equal(await a.call("flush"), true);
    mostBytes = 0;
    const { bytes } = await a.pour(100_000);
    assert.equal((await b.received(1 + bytes)).bytes, 1 + bytes);
    assert.ok(mostBytes > 0 && mostBytes <= windowBytes, `${mostBytes} bytes at once`);
  });
});

Deno.test("UDX probes a closed window of udx-native, and goes on when it opens", async () => {
  let probes = 0;
  let data = 0;
  await withOurs((packet, direction) => {
    if (direction === "out" && has(packet, HEARTBEAT)) probes++;
    if (direction === "out" && has(packet, DATA)) data++;
    return false;
  }, async (ours, original) => {
    const { a, b } = await connect({ a: ours, b: original });
    await b.read();
    await b.poke("receiveWindow", 0);
    await a.write("last before the window closes.");
    assert.equal(await a.call("flush"), true);
    const before = data;
    await a.write("after");
    // libudx doesn't announce that its window opens: the next probe finds out.
    while (probes < 1) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(data, before);
    await b.poke("receiveWindow", WINDOW_BYTES);
    assert.equal((await b.received(35)).text, "last before the window closes.after");
    assert.equal(await a.get("retransmits"), 0);
  });
});

Deno.test("udx-native stops at our closed window, and goes on when it opens", async () => {
  let probes = 0;
  let closed = false;
  let lastWindow = WINDOW_BYTES;
  await withOurs((packet, direction) => {
    if (direction === "out") {
      lastWindow = packet.receiveWindow;
      closed ||= lastWindow === 0;
    } else if (has(packet, HEARTBEAT)) probes++;
    return false;
  }, async (ours, original) => {
    const { a, b } = await connect({ a: ours, b: original });
    const pouring = b.pour(8_000_000);
    while (!closed || probes === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    assert.equal(lastWindow, 0);
    await a.read();
    const sent = await pouring;
    assertSameBytes(await a.received(sent.bytes), sent);
  });
});

/** Loses every third data packet, but none more than twice. */
function everyThird(): (packet: Packet) => boolean {
  const losses = new Map<number, number>();
  let count = 0;
  return (packet) => {
    if (!has(packet, DATA) || count++ % 3 !== 0) return false;
    const lost = losses.get(packet.seq) ?? 0;
    losses.set(packet.seq, lost + 1);
    return lost < 2;
  };
}

for (const role of ["UDX", "udx-native"] as const) {
  Deno.test(`${role} gets its data through though every third packet is lost`, async () => {
    await withOurs(everyThird(), async (ours, original) => {
      const [a, b] = role === "UDX" ? [ours, original] : [original, ours];
      const pair = await connect({ a, b });
      await pair.b.read();
      const sent = await pair.a.pour(300_000);
      assertSameBytes(await pair.b.received(300_000), sent);
      assert.ok(await pair.a.get("retransmits") > 50 && await pair.a.get("fastRecoveries") > 0);
      assert.equal(await pair.b.get("retransmits"), 0);
    });
  });

  Deno.test(`what ${role} repeats tells the newest acknowledgement`, async () => {
    const acks: number[] = [];
    const outgoing = role === "UDX" ? "out" : "in";
    await withOurs((packet, direction) => {
      if (direction !== outgoing || !has(packet, DATA) || packet.payload.length < 13) return false;
      acks.push(packet.ack);
      return acks.length === 1;
    }, async (ours, original) => {
      const [a, b] = role === "UDX" ? [ours, original] : [original, ours];
      const pair = await connect({ a, b });
      await Promise.all([pair.a.read(), pair.b.read()]);
      if (role === "udx-native") await pair.a.poke("rto", 50);
      else {
        // With a measured round trip ours soon probes.
        await pair.a.write("!");
        await pair.a.call("flush");
      }
      await pair.a.write("lost at first");
      await pair.b.write("meanwhile");
      await pair.a.received(9);
      await pair.a.call("flush");
      assert.match((await pair.b.received(0)).text ?? "", /^!?lost at first$/);
      assert.deepEqual([acks[0], acks.at(-1)], [0, 1]);
    });
  });
}

for (const role of ["UDX", "udx-native"] as const) {
  for (const [host, overhead] of [[LOOPBACK, 28], ["::1", 48]] as const) {
    Deno.test(`${role} probes its way to packets of 1500 bytes to ${host}, which the other side takes`, async () => {
      const outgoing = role === "UDX" ? "out" : "in";
      let largest = 0;
      let probes = 0;
      await withOurs((packet, direction) => {
        if (direction !== outgoing || !has(packet, DATA)) return false;
        if (packet.bytes > largest && packet.payload.length + 20 < packet.bytes) probes++;
        largest = Math.max(largest, packet.bytes);
        return false;
      }, async (ours, original) => {
        const [a, b] = role === "UDX" ? [ours, original] : [original, ours];
        const pair = await connect({ a, b }, { host });
        await pair.b.read();
        let poured = 0;
        while (await pair.a.get("mtu") < 1500) {
          poured += (await pair.a.pour(50_000)).bytes;
          assert.equal(await pair.a.call("flush"), true);
          assert.ok(poured < 5_000_000, `the MTU is ${await pair.a.get("mtu")} after ${poured} bytes`);
        }
        poured += (await pair.a.pour(50_000)).bytes;
        assert.equal((await pair.b.received(poured)).bytes, poured);
        assert.equal(largest + overhead, 1500);
        assert.ok(probes > 0, "packets were padded");
        assert.equal(await pair.b.get("mtu"), 1200, "who only acknowledges has nothing to probe with");
      });
    });
  }

  Deno.test(`${role} stays at 1200 bytes where larger packets get lost`, async () => {
    await withOurs((packet) => packet.bytes + 28 > 1200, async (ours, original) => {
      const [a, b] = role === "UDX" ? [ours, original] : [original, ours];
      const { a: sender, b: receiver } = await connect({ a, b });
      await receiver.read();
      const sent = await sender.pour(1_000_000);
      assertSameBytes(await receiver.received(sent.bytes), sent);
      assert.equal(await sender.get("mtu"), 1200);
    });
  });
}
