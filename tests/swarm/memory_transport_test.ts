import assert from "node:assert/strict";
import { parseSwarmKey } from "../../lib/domain/ids.ts";
import { invariant } from "../../lib/domain/errors.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { CombinedTransport } from "../../lib/swarm/combined_transport.ts";
import { maxQueuedEvents } from "../../lib/swarm/link.ts";
import { memoryInitiator, memoryResponder, MemoryTransport } from "../../lib/swarm/memory_transport.ts";
import { SimulatedSwarm } from "../../lib/swarm/simulated_swarm.ts";
import { maxFrameBytes, type Transport, type TransportEvent } from "../../lib/swarm/transport.ts";

function keyOf(digits: string) {
  const key = parseSwarmKey(digits.repeat(32));
  invariant(key, "a literal of this test is malformed");
  return key;
}

/** Tasks run when told to, those of the least delay first, else in order. */
class Tasks {
  readonly #waiting: { readonly task: () => void; readonly at: number }[] = [];
  #now = 0;

  readonly schedule = (task: () => void, delayMs = 0) => {
    this.#waiting.push({ task, at: this.#now + delayMs });
  };

  run(): void {
    while (this.#waiting.length > 0) {
      const at = Math.min(...this.#waiting.map((waiting) => waiting.at));
      const [next] = this.#waiting.splice(this.#waiting.findIndex((waiting) => waiting.at === at), 1);
      this.#now = at;
      next?.task();
    }
  }
}

/** Starts a transport and says what it reported in short: `+1` connected, `1:x` frame, `-1` disconnected. */
async function listen(transport: Transport): Promise<{ log: string[]; events: TransportEvent[]; ids: number[] }> {
  const seen = { log: [] as string[], events: [] as TransportEvent[], ids: [] as number[] };
  await transport.start((event) => {
    seen.events.push(event);
    if (event.kind === "connected") seen.log.push(`+${event.connection}`) && seen.ids.push(event.connection);
    if (event.kind === "frame") seen.log.push(`${event.connection}:${new TextDecoder().decode(event.frame)}`);
    if (event.kind === "disconnected") seen.log.push(`-${event.connection} ${event.reason}`);
  });
  return seen;
}

const frame = (text: string) => new TextEncoder().encode(text);

function memory(tasks: Tasks) {
  return new MemoryTransport({
    localKey: keyOf("ab"),
    random: new SeededRandom(0x5eed),
    schedule: tasks.schedule,
  });
}

Deno.test("MemoryTransport connects one instance to itself: two roles, one handshake hash, negative ids", async () => {
  const tasks = new Tasks();
  const transport = memory(tasks);
  const { events } = await listen(transport);
  assert.equal(events.length, 0, "nothing happens within start()");
  tasks.run();
  const [a, b] = events;
  assert.ok(a?.kind === "connected" && b?.kind === "connected");
  assert.deepEqual([a.connection, b.connection], [memoryInitiator, memoryResponder]);
  assert.deepEqual([a.initiator, b.initiator, a.via, b.via], [true, false, "memory", "memory"]);
  assert.deepEqual([a.localKey, a.remoteKey], [keyOf("ab"), keyOf("ab")]);
  assert.equal(a.handshakeHash.length, 64);
  assert.deepEqual(a.handshakeHash, b.handshakeHash);
  await transport.close();
});

Deno.test("MemoryTransport delivers whole frames in order, never from within send()", async () => {
  const tasks = new Tasks();
  const transport = memory(tasks);
  const { log } = await listen(transport);
  tasks.run();
  const reused = frame("one");
  transport.send(memoryInitiator, reused);
  reused.fill(0);
  transport.send(memoryInitiator, frame("two"));
  transport.send(memoryResponder, frame("back"));
  transport.send(77, frame("nobody"));
  assert.equal(log.length, 2);
  tasks.run();
  assert.deepEqual(log.slice(2), ["-2:one", "-2:two", "-1:back"]);
  await transport.close();
});

Deno.test("MemoryTransport: a closed end hears no more frames, the other still gets those under way", async () => {
  const tasks = new Tasks();
  const transport = memory(tasks);
  const { log } = await listen(transport);
  tasks.run();
  transport.send(memoryInitiator, frame("to responder"));
  transport.send(memoryResponder, frame("to initiator"));
  transport.disconnect(memoryInitiator);
  transport.disconnect(memoryInitiator);
  transport.send(memoryResponder, frame("late"));
  tasks.run();
  assert.deepEqual(log.slice(2).sort(), ["--1 closed by this side", "--2 closed by this side", "-2:to responder"]);
  assert.ok(log.indexOf("-2:to responder") < log.indexOf("--2 closed by this side"));
});

Deno.test("MemoryTransport breaks the link when an end doesn't read or a frame is too long", async () => {
  for (
    const [flood, reason] of [
      [(t: Transport) => {
        for (let i = 0; i <= maxQueuedEvents; i++) t.send(memoryInitiator, frame("x"));
      }, "peer does not read"],
      [
        (t: Transport) => t.send(memoryInitiator, new Uint8Array(maxFrameBytes + 1)),
        "frame of 65537 bytes; at most 65536 pass",
      ],
    ] as const
  ) {
    const tasks = new Tasks();
    const transport = memory(tasks);
    const { log } = await listen(transport);
    tasks.run();
    flood(transport);
    tasks.run();
    assert.ok(log.includes(`--1 ${reason}`) && log.includes(`--2 ${reason}`), log.at(-1));
  }
});

Deno.test("MemoryTransport passes the longest frame whole", async () => {
  const tasks = new Tasks();
  const transport = memory(tasks);
  const { events } = await listen(transport);
  tasks.run();
  const longest = new SeededRandom(1).bytes(maxFrameBytes);
  transport.send(memoryResponder, longest);
  tasks.run();
  assert.deepEqual(events[2], { kind: "frame", connection: memoryInitiator, frame: longest });
});

Deno.test("SimulatedSwarm connects instances on a common topic, each pair once, in either order", async () => {
  const tasks = new Tasks();
  const swarm = new SimulatedSwarm({ random: new SeededRandom(1), schedule: tasks.schedule });
  const topics = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
  const a = await listen(swarm.endpoint(keyOf("0a"), topics));
  const b = await listen(swarm.endpoint(keyOf("0b"), topics));
  const stranger = await listen(swarm.endpoint(keyOf("0c"), [new Uint8Array(32).fill(3)]));
  tasks.run();
  assert.deepEqual([a.ids.length, b.ids.length, stranger.ids.length], [1, 1, 0]);
  const [left, right] = [a.events[0], b.events[0]];
  assert.ok(left?.kind === "connected" && right?.kind === "connected");
  assert.deepEqual([left.remoteKey, right.remoteKey], [keyOf("0b"), keyOf("0a")]);
  assert.deepEqual([left.initiator, right.initiator], [false, true]);
});

Deno.test("SimulatedSwarm keeps the order of a connection under any delay", async () => {
  const tasks = new Tasks();
  const random = new SeededRandom(2);
  const swarm = new SimulatedSwarm({ random, schedule: tasks.schedule, delayMs: () => random.below(500) });
  const topics = [new Uint8Array(32)];
  const sender = swarm.endpoint(keyOf("0a"), topics);
  const a = await listen(sender);
  const b = await listen(swarm.endpoint(keyOf("0b"), topics));
  tasks.run();
  for (let i = 0; i < 50; i++) sender.send(a.ids[0]!, frame(String(i)));
  tasks.run();
  assert.deepEqual(b.log.slice(1), Array.from({ length: 50 }, (_, i) => `${b.ids[0]}:${i}`));
});

Deno.test("SimulatedSwarm: severed pairs stay apart until mended, a restarted instance is found under its key", async () => {
  const tasks = new Tasks();
  const swarm = new SimulatedSwarm({ random: new SeededRandom(3), schedule: tasks.schedule });
  const topics = [new Uint8Array(32)];
  const first = swarm.endpoint(keyOf("0a"), topics);
  const a = await listen(first);
  const b = await listen(swarm.endpoint(keyOf("0b"), topics));
  swarm.sever(keyOf("0a"), keyOf("0b"));
  tasks.run();
  assert.deepEqual(b.log, [`+${b.ids[0]}`, `-${b.ids[0]} connection lost`]);
  swarm.mend(keyOf("0a"), keyOf("0b"));
  tasks.run();
  assert.equal(b.ids.length, 2);
  await first.close();
  first.send(a.ids[1]!, frame("from the grave"));
  const again = await listen(swarm.endpoint(keyOf("0a"), topics));
  tasks.run();
  assert.equal(again.ids.length, 1);
  assert.deepEqual(b.log.slice(-2), [`-${b.ids[1]} closing`, `+${b.ids[2]}`]);
  assert.equal(new Set([...a.ids, ...b.ids, ...again.ids]).size, 6, "a connection id is never used again");
});

Deno.test("CombinedTransport carries each connection by the transport that made it", async () => {
  const tasks = new Tasks();
  const swarm = new SimulatedSwarm({ random: new SeededRandom(4), schedule: tasks.schedule });
  const topics = [new Uint8Array(32)];
  const combined = new CombinedTransport([memory(tasks), swarm.endpoint(keyOf("ab"), topics)]);
  const here = await listen(combined);
  const there = await listen(swarm.endpoint(keyOf("cd"), topics));
  tasks.run();
  const remote = here.ids.find((id) => id > 0);
  assert.ok(remote !== undefined);
  combined.send(memoryInitiator, frame("near"));
  combined.send(remote, frame("far"));
  combined.markAuthenticated(remote);
  tasks.run();
  assert.ok(here.log.includes("-2:near"));
  assert.deepEqual(there.log.slice(1), [`${there.ids[0]}:far`]);
  combined.disconnect(remote);
  await combined.close();
  tasks.run();
  assert.equal(here.log.filter((line) => line.startsWith("-") && line.includes(" ")).length, 3);
});
