import assert from "node:assert/strict";
import { createServer } from "node:net";
import Hypercore from "hypercore";
import { AuditService } from "../../lib/audit/audit_service.ts";
import { decodeEvent, decodeTransaction } from "../../lib/audit/record_codec.ts";
import { CoreStorage } from "../../lib/audit/storage.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { record, startWallMs } from "../audit/records.ts";
import { inTempFolder } from "../audit/temp_folder.ts";
import { runNode } from "./node_install.ts";

/** Node's hypercore 11 (RocksDB, native Sodium) knows the public key only, fetches every block, and verifies as it goes. */
function replicate(port: number, key: string, length: number): string {
  return `
    const Hypercore = require("hypercore");
    const net = require("node:net");
    const os = require("node:os");
    const fs = require("node:fs");
    const path = require("node:path");
    (async () => {
      const folder = fs.mkdtempSync(path.join(os.tmpdir(), "tightrope-replica-"));
      const core = new Hypercore(folder, Buffer.from("${key}", "hex"));
      await core.ready();
      const socket = net.connect(${port}, "127.0.0.1");
      const stream = core.replicate(true);
      socket.pipe(stream).pipe(socket);
      const done = core.findingPeers();
      stream.once("open", done);
      const blocks = [];
      for (let i = 0; i < ${length}; i++) blocks.push((await core.get(i)).toString("hex"));
      const treeHash = (await core.treeHash()).toString("hex");
      console.log(JSON.stringify({ length: core.length, treeHash, blocks }));
      await core.close();
      socket.destroy();
      fs.rmSync(folder, { recursive: true });
      process.exit(0);
    })().catch((error) => {
      console.error(error);
      process.exit(1);
    });`;
}

interface HypercoreReplica {
  ready(): Promise<void>;
  replicate(isInitiator: boolean): import("node:stream").Duplex;
  close(): Promise<void>;
}

async function copyInNode(folder: string, key: string, length: number) {
  // Beside the writer: the files are only read.
  const core = new (Hypercore as unknown as new (...args: unknown[]) => HypercoreReplica)(
    new CoreStorage(folder, "read").file,
    null,
    { compat: true, createIfMissing: false, unlocked: true },
  );
  await core.ready();
  const server = createServer((socket) => {
    const stream = core.replicate(false);
    socket.on("error", () => stream.destroy());
    stream.on("error", () => socket.destroy());
    socket.pipe(stream).pipe(socket);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  try {
    const { port } = server.address() as { port: number };
    return JSON.parse(await runNode(replicate(port, key, length)));
  } finally {
    await core.close();
    await new Promise((resolve) => server.close(resolve));
  }
}

Deno.test("a Node hypercore 11 replicates and verifies both our logs while we hold them", async () => {
  await inTempFolder(async (folder) => {
    const config = {
      storagePath: folder,
      eventLog: "event-log",
      transactionHistory: "transaction-log",
      verboseScreenLogging: false,
      shouldMask: [],
    };
    const service = await AuditService.open(config, new SeededRandom(0x5eed));
    const transactions = Array.from({ length: 40 }, (_, i) => record(i % 2 ? "settled" : "intent", i >> 1));
    await Promise.all(transactions.map((given) => service.appendTransaction(given)));
    for (let n = 0; n < 12; n++) {
      await service.appendEvent({ atWallMs: startWallMs + n, kind: "decision", level: "info", message: `event ${n}` });
    }
    const { heads, publicKeys } = service;

    const copiedTransactions = await copyInNode(`${folder}/transaction-log`, publicKeys.transactions, 40);
    assert.deepEqual({ length: copiedTransactions.length, treeHash: copiedTransactions.treeHash }, heads.transactions);
    assert.deepEqual(
      copiedTransactions.blocks.map((hex: string) => decodeTransaction(Uint8Array.fromHex(hex))),
      transactions,
    );

    const copiedEvents = await copyInNode(`${folder}/event-log`, publicKeys.events, 12);
    assert.deepEqual({ length: copiedEvents.length, treeHash: copiedEvents.treeHash }, heads.events);
    assert.deepEqual(
      copiedEvents.blocks.map((hex: string) => decodeEvent(Uint8Array.fromHex(hex)).message),
      Array.from({ length: 12 }, (_, n) => `event ${n}`),
    );
    await service.close();
  });
});
