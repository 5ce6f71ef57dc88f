import assert from "node:assert/strict";
import { DATA } from "../../lib/udx/packet.ts";
import { EventHeap } from "./event_heap.ts";
import { seededRandom } from "./lossy.ts";
import { Pair, pattern } from "./pair.ts";
import { type LinkOptions, SimulatedLink } from "./simulated_link.ts";
import { SimulatedNetwork } from "./simulated_network.ts";

/** When each of `count` datagrams of 972 bytes (an IP packet of 1,000), one per `everyMs`, comes out of a link. */
function pass(options: LinkOptions, count: number, everyMs = 0): { link: SimulatedLink; arrivals: number[][] } {
  const link = new SimulatedLink(options, 0x5eed);
  const arrivals: number[][] = [];
  for (let i = 0; i < count; i++) {
    const times: number[] = [];
    link.carry(972, i * everyMs, (atMs) => times.push(atMs));
    arrivals.push(times);
  }
  return { link, arrivals };
}

Deno.test("EventHeap gives events by time, and those of one time in the order they came", () => {
  const heap = new EventHeap<{ atMs: number; order: number }>();
  const random = seededRandom(1);
  const events = Array.from({ length: 500 }, (_, order) => ({ atMs: Math.floor(random() * 50), order }));
  for (const event of events) heap.push(event);
  const out = events.map(() => heap.pop()!);
  assert.deepEqual(out, events.toSorted((a, b) => a.atMs - b.atMs || a.order - b.order));
  assert.deepEqual([heap.pop(), heap.nextAtMs], [undefined, Infinity]);
});

Deno.test("SimulatedLink takes bytes at its rate, and no more than its queue holds", () => {
  const { link, arrivals } = pass({ latencyMs: 5, bytesPerMs: 100, queuePackets: 2 }, 5);
  assert.deepEqual(arrivals, [[15], [25], [35], [], []]);
  assert.deepEqual([link.carried, link.overflowed, link.longestQueueMs], [3, 2, 20]);
  const bytes = pass({ bytesPerMs: 100, queueBytes: 1500 }, 5);
  assert.deepEqual(bytes.arrivals, [[10], [20], [], [], []]);
  assert.deepEqual(pass({ bytesPerMs: 100, queuePackets: 0 }, 3, 10).arrivals, [[10], [20], [30]]);
});

Deno.test("SimulatedLink loses its share, in bursts of the given length if so told", () => {
  const single = pass({ loss: 0.1 }, 20_000).link;
  assert.ok(Math.abs(single.lost / 20_000 - 0.1) < 0.01, `${single.lost}`);
  const { link, arrivals } = pass({ bursts: { enter: 0.01, leave: 0.1 } }, 50_000);
  const bursts = arrivals.filter((times, i) => times.length === 0 && arrivals[i - 1]?.length === 1).length;
  assert.ok(Math.abs(link.lost / bursts - 10) < 1, `${link.lost} in ${bursts} bursts`);
});

Deno.test("SimulatedLink doubles, delays and reorders its share", () => {
  const doubled = pass({ duplicate: 0.2 }, 5000);
  assert.equal(doubled.arrivals.filter((times) => times.length === 2).length, doubled.link.duplicated);
  assert.ok(Math.abs(doubled.link.duplicated / 5000 - 0.2) < 0.02);
  const inOrder = (arrivals: number[][]) => arrivals.every((times, i) => i === 0 || times[0]! >= arrivals[i - 1]![0]!);
  assert.ok(!inOrder(pass({ jitterMs: 50 }, 100, 1).arrivals));
  assert.ok(inOrder(pass({ jitterMs: 50, inOrder: true }, 100, 1).arrivals));
  const late = pass({ reorder: 0.1, reorderMs: 30 }, 5000, 1).arrivals.filter(([atMs], i) => atMs! > i).length;
  assert.ok(Math.abs(late / 5000 - 0.1) < 0.02, `${late}`);
});

Deno.test("SimulatedLink swallows what is larger than its MTU, and everything when it is cut", () => {
  const { link } = pass({ mtuBytes: 1000 }, 3);
  link.carry(973, 0, () => assert.fail("too large"));
  assert.deepEqual([link.carried, link.tooLarge], [3, 1]);
  link.change({ cut: true });
  link.carry(10, 0, () => assert.fail("cut"));
  assert.equal(link.lost, 1);
});

Deno.test("Pair: one seed, one course of events", () => {
  const course = (seed: number) => {
    const pair = new Pair({ seed, loss: 0.1, duplicate: 0.1, jitterMs: 20, bytesPerMs: 100, queuePackets: 20 });
    const sent: string[] = [];
    pair.intercept = (_from, bytes) => {
      sent.push(`${pair.nowMs} ${bytes.subarray(0, 20)}`);
      return false;
    };
    pair.a.machine.write(pattern(50_000));
    pair.run(() => pair.b.receivedBytes === 50_000);
    return sent.join("\n");
  };
  assert.equal(course(7), course(7));
  assert.notEqual(course(7), course(8));
});

Deno.test("Pairs that share a link wait in one queue", () => {
  const network = new SimulatedNetwork(3);
  const shared = network.link({ latencyMs: 10, bytesPerMs: 500, queuePackets: 50 });
  const back = network.link({ latencyMs: 10 });
  const pairs = [1, 2, 3].map(() => new Pair({ network, there: [shared], back: [back] }));
  for (const { a } of pairs) a.machine.write(new Uint8Array(300_000));
  assert.ok(network.run(() => pairs.every(({ b }) => b.receivedBytes === 300_000)));
  assert.ok(network.nowMs > 900_000 / 500, "together they are no faster than the link");
  assert.ok(network.nowMs < 1.5 * 900_000 / 500, `${network.nowMs} ms`);
});

Deno.test("SimulatedNetwork gives a host another address: whoever goes on sending to the old one speaks to nobody", () => {
  const pair = new Pair();
  const sources = new Set<string>();
  pair.network.onArrival = (to, from) => to === pair.b && sources.add(from);
  pair.a.machine.write(pattern(2000));
  pair.run(() => pair.b.receivedBytes === 2000);
  pair.network.rebind(pair.a, "a:2");
  pair.a.machine.write(pattern(10));
  pair.b.machine.write(pattern(10));
  pair.run(undefined, 1000);
  assert.deepEqual([...sources], ["a", "a:2"]);
  assert.deepEqual([pair.a.receivedBytes, pair.b.receivedBytes], [0, 2010]);
  pair.b.machine.changeRemote({ remoteId: 1, ipv6: false, address: "a:2" });
  assert.ok(pair.run(() => pair.a.receivedBytes === 10));
});

Deno.test("SimulatedNetwork heals a partition when told to, at its time", () => {
  const pair = new Pair();
  for (const link of [...pair.there, ...pair.back]) link.change({ cut: true });
  pair.network.at(3000, () => {
    for (const link of [...pair.there, ...pair.back]) link.change({ cut: false });
  });
  pair.a.machine.write(pattern(10));
  assert.ok(pair.run(() => pair.b.receivedBytes === 10));
  assert.ok(pair.nowMs > 3000 && pair.a.machine.sendWindow > 0);
});

Deno.test("SimulatedNetwork wakes a machine only at the multiples of its host's timer", () => {
  const pair = new Pair({ timerStepMs: 15 });
  const times: number[] = [];
  pair.intercept = (from, bytes) => {
    if (from === pair.a && (bytes[2]! & DATA) !== 0) times.push(pair.nowMs);
    return true;
  };
  pair.a.machine.write(pattern(10));
  pair.run(undefined, 4000);
  assert.deepEqual(times, [0, 1005, 3015]);
});
