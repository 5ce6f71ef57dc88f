import assert from "node:assert/strict";
import type { AuditConfig, LndNodeConfig } from "../../lib/config/config.ts";
import { systemRandom } from "../../lib/env/system.ts";
import {
  auditRights,
  configRights,
  lightningRights,
  logReaderRights,
  swarmRights,
  type WorkerRights,
} from "../../lib/workers/rights.ts";
import { WorkerHandle } from "../../lib/workers/worker_handle.ts";

const entry = new URL("./probe_worker.ts", import.meta.url);

/** What no worker may do, whatever else it may. */
async function triesInVain(handle: WorkerHandle): Promise<void> {
  // Denied, or read as undefined where the environment is ignored.
  assert.notEqual(await handle.call("env", "HOME"), "done");
  assert.equal(await handle.call("run"), "NotCapable");
  assert.equal(await handle.call("ffi"), "NotCapable");
  assert.equal(await handle.call("sys"), "NotCapable");
  assert.notEqual(await handle.call("escalate"), "done");
  assert.equal(await handle.call("read", "/etc/passwd"), "NotCapable");
  assert.equal(await handle.call("write", "/tmp/tightrope-probe"), "NotCapable");
}

/** Runs `probe` in a worker of these rights, with a listening port and a folder of two files to try them on. */
async function inside(
  rights: (folder: string, port: number) => WorkerRights,
  probe: (handle: WorkerHandle, folder: string, port: number) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const accepting = (async () => {
    for await (const connection of listener) connection.close();
  })();
  await Deno.writeTextFile(`${folder}/mine`, "mine");
  await Deno.writeTextFile(`${folder}/other`, "other");
  const port = (listener.addr as Deno.NetAddr).port;
  const handle = new WorkerHandle("probe", entry, rights(folder, port), systemRandom);
  try {
    await triesInVain(handle);
    await probe(handle, folder, port);
  } finally {
    handle.terminate();
    listener.close();
    await accepting;
    await Deno.remove(folder, { recursive: true });
  }
}

const lnd = (socket: string, path: string): LndNodeConfig => ({
  type: "lnd",
  socket,
  tlsServerName: "localhost",
  cert: { kind: "file", path },
  macaroon: { kind: "inline", value: "00" },
});

const audit = (storagePath: string): AuditConfig => ({
  storagePath,
  eventLog: "event-log",
  transactionHistory: "transaction-log",
  verboseScreenLogging: false,
  shouldMask: [],
});

Deno.test("the config worker may do nothing", () =>
  inside(() => configRights, async (handle, folder, port) => {
    assert.equal(await handle.call("read", `${folder}/mine`), "NotCapable");
    assert.equal(await handle.call("connect", "127.0.0.1", port), "NotCapable");
    assert.equal(await handle.call("listen"), "NotCapable");
  }));

Deno.test("the lightning worker reaches its LND and reads its credential files, and nothing else", () =>
  inside(
    (folder, port) => lightningRights([lnd(`127.0.0.1:${port}`, `${folder}/mine`)]),
    async (handle, folder, port) => {
      assert.equal(await handle.call("connect", "127.0.0.1", port), "done");
      assert.equal(await handle.call("connect", "127.0.0.1", port === 65_535 ? port - 1 : port + 1), "NotCapable");
      assert.equal(await handle.call("listen"), "NotCapable");
      assert.equal(await handle.call("read", `${folder}/mine`), "done");
      assert.equal(await handle.call("read", `${folder}/other`), "NotCapable");
      assert.equal(await handle.call("write", `${folder}/mine`), "NotCapable");
      assert.equal(await handle.call("interfaces"), "NotCapable");
    },
  ));

Deno.test("the swarm worker has the network, and no file", () =>
  inside(() => swarmRights, async (handle, folder, port) => {
    assert.equal(await handle.call("connect", "127.0.0.1", port), "done");
    assert.equal(await handle.call("interfaces"), "done");
    assert.equal(await handle.call("read", `${folder}/mine`), "NotCapable");
    assert.equal(await handle.call("write", `${folder}/mine`), "NotCapable");
  }));

Deno.test("the audit worker has its folder, and no network", () =>
  inside((folder) => auditRights(audit(folder)), async (handle, folder, port) => {
    assert.equal(await handle.call("read", `${folder}/mine`), "done");
    assert.equal(await handle.call("write", `${folder}/new`), "done");
    assert.equal(await handle.call("connect", "127.0.0.1", port), "NotCapable");
    assert.equal(await handle.call("listen"), "NotCapable");
    assert.equal(await handle.call("interfaces"), "NotCapable");
  }));

Deno.test("the log reader can't write", () =>
  inside((folder) => logReaderRights(audit(folder)), async (handle, folder) => {
    assert.equal(await handle.call("read", `${folder}/mine`), "done");
    assert.equal(await handle.call("write", `${folder}/mine`), "NotCapable");
  }));
