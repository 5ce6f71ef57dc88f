import assert from "node:assert/strict";
import type { AuditSink } from "../../lib/audit/audit_sink.ts";
import type { EventRecord, NoteRecord, TransactionRecord } from "../../lib/audit/record.ts";
import { Driver, type Machine } from "../../lib/balancer/driver.ts";
import type { BalancerEvent, Effect } from "../../lib/balancer/io.ts";
import { systemClock } from "../../lib/env/system.ts";
import type { Transport } from "../../lib/swarm/transport.ts";

/** A machine that answers each kind of event with fixed effects, and remembers what it was told. */
function scripted(
  script: (event: BalancerEvent) => readonly Effect[],
  timeouts: number[] = [],
) {
  const events: BalancerEvent[] = [];
  const machine: Machine = {
    step: (event) => {
      events.push(event);
      return script(event);
    },
    nextTimeoutMs: () => timeouts.shift(),
  };
  return { machine, events };
}

const nowhere: Transport = {
  start: () => Promise.resolve(),
  send: () => {},
  markAuthenticated: () => {},
  disconnect: () => {},
  close: () => Promise.resolve(),
};

function parts(machine: Machine, audit: Partial<AuditSink> = {}) {
  return {
    machine,
    nodes: [],
    transport: nowhere,
    audit: {
      appendTransaction: () => Promise.resolve({ length: 1, treeHash: "ab" }),
      appendEvent: () => Promise.resolve(),
      pause: () => Promise.resolve(),
      ...audit,
    },
    clock: systemClock,
    onRecord: () => {},
  };
}

const begin = {
  transactions: [],
  head: { length: 0, treeHash: "" },
  pauses: [],
};
// The driver doesn't look into records.
const record = {} as TransactionRecord;
const note = {} as EventRecord;

Deno.test("Driver hands the log its notes and pauses in their place among the records", async () => {
  const calls: string[] = [];
  const clock: NoteRecord = { kind: "clock", atWallMs: 0, jumpMs: 1_000 };
  const { machine, events } = scripted((event) =>
    event.kind === "started"
      ? [
        { kind: "note", record: clock },
        { kind: "pause", reason: "a fee" },
        { kind: "append", appendId: 7, record },
      ]
      : []
  );
  const driver = new Driver(parts(machine, {
    appendTransaction: (given) => {
      calls.push(given.kind ?? "record");
      return Promise.resolve({ length: calls.length, treeHash: "ab" });
    },
    pause: (reason) => {
      calls.push(`pause: ${reason}`);
      return Promise.resolve();
    },
  }));
  await driver.start(begin);
  await new Promise((resolve) => setTimeout(resolve));
  await driver.close();
  assert.deepEqual(calls, ["clock", "pause: a fee", "record"]);
  assert.equal(events.filter(({ kind }) => kind === "appended").length, 1, "nothing waits for a note");
});

Deno.test("Driver tells the machine that a record is on disk only when it is", async () => {
  const disk = Promise.withResolvers<{ length: number; treeHash: string }>();
  const { machine, events } = scripted((event) =>
    event.kind === "started" ? [{ kind: "append", appendId: 7, record }] : []
  );
  const driver = new Driver(
    parts(machine, { appendTransaction: () => disk.promise }),
  );
  await driver.start(begin);
  assert.deepEqual(events.map((event) => event.kind), ["log-head", "started"]);
  disk.resolve({ length: 1, treeHash: "ab" });
  await driver.close();
  assert.deepEqual(
    events.map((event) => event.kind),
    ["log-head", "started"],
    "after close nothing is delivered",
  );
});

Deno.test("Driver stops for good when an append fails", async () => {
  const { machine, events } = scripted((event) =>
    event.kind === "started" ? [{ kind: "append", appendId: 1, record }] : []
  );
  const driver = new Driver(
    parts(machine, {
      appendTransaction: () => Promise.reject(new Error("disk full")),
    }),
  );
  await driver.start(begin);
  await assert.rejects(driver.failed, /disk full/);
  driver.setPauses([], true);
  assert.equal(events.at(-1)!.kind, "started");
  await driver.close();
});

Deno.test("Driver stops for good when an event can't be recorded", async () => {
  const { machine } = scripted((event) => event.kind === "started" ? [{ kind: "event", record: note }] : []);
  const driver = new Driver(
    parts(machine, {
      appendEvent: () => Promise.reject(new Error("disk full")),
    }),
  );
  await driver.start(begin);
  await assert.rejects(driver.failed, /disk full/);
  await driver.close();
});

Deno.test("Driver wakes the machine at the time it named", async () => {
  const woken = Promise.withResolvers<void>();
  const { machine } = scripted((event) => {
    if (event.kind === "timeout") woken.resolve();
    return [];
  }, [systemClock.now().atMs + 5, systemClock.now().atMs + 5]);
  const driver = new Driver(parts(machine));
  await driver.start(begin);
  await woken.promise;
  await driver.close();
});

Deno.test("Driver ends a drain when the machine says so", async () => {
  const { machine } = scripted((event) => event.kind === "drain" ? [{ kind: "drained" }] : []);
  const driver = new Driver(parts(machine));
  await driver.start(begin);
  driver.drain();
  await driver.drained;
  await driver.close();
});
