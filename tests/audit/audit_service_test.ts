import assert from "node:assert/strict";
import { AuditService } from "../../lib/audit/audit_service.ts";
import { HypercoreLog } from "../../lib/audit/hypercore_log.ts";
import { readRecords } from "../../lib/audit/log_reader.ts";
import { readPauses } from "../../lib/audit/pause_file.ts";
import { deriveKeySeed } from "../../lib/audit/seed_file.ts";
import { dataPaths } from "../../lib/config/data_paths.ts";
import { TightropeError } from "../../lib/domain/errors.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { node, record, startWallMs } from "./records.ts";
import { inTempFolder } from "./temp_folder.ts";

const random = new SeededRandom(0x5eed);

function configIn(folder: string) {
  return {
    storagePath: `${folder}/data`,
    eventLog: "event-log",
    transactionHistory: "transaction-log",
    verboseScreenLogging: false,
    shouldMask: ["alias"],
  };
}

Deno.test("AuditService keeps both logs and the swarm's key over a restart", async () => {
  await inTempFolder(async (folder) => {
    const config = configIn(folder);
    const service = await AuditService.open(config, random);
    assert.deepEqual(await Array.fromAsync(service.readTransactions()), []);
    const records = [record("invoiced", 1), record("intent", 2), record("settled", 2)];
    const heads = await Promise.all(records.map((given) => service.appendTransaction(given)));
    assert.deepEqual(heads.at(-1), service.heads.transactions);
    await service.appendEvent({
      atWallMs: startWallMs,
      kind: "node-joined",
      level: "info",
      message: "bob-the-node joined",
      peer: node("B"),
      details: { alias: "bob-the-node" },
    });
    await service.close();

    const again = await AuditService.open(config, random);
    assert.deepEqual(await Array.fromAsync(again.readTransactions()), records);
    assert.deepEqual(await Array.fromAsync(again.readTransactions(2)), records.slice(2));
    assert.deepEqual(again.heads, service.heads);
    assert.deepEqual(again.publicKeys, service.publicKeys);
    assert.deepEqual(again.swarmSeed, service.swarmSeed);
    assert.notEqual(again.publicKeys.events, again.publicKeys.transactions);
    await again.close();

    const [event] = await Array.fromAsync(readRecords(config, "events"));
    assert.deepEqual(event, {
      v: 1,
      at: "2026-01-01T00:00:00.000Z",
      kind: "node-joined",
      level: "info",
      message: "*** joined",
      peer: node("B"),
      details: { alias: "***" },
    });
  });
});

Deno.test("AuditService: a second one on the same data is refused and harms nothing", async () => {
  await inTempFolder(async (folder) => {
    const config = configIn(folder);
    const service = await AuditService.open(config, random);
    await assert.rejects(AuditService.open(config, random), /in use by another process/);
    await service.appendTransaction(record("intent", 1));
    await service.close();
    // Only the event log is held: the transaction log must be given back by the failed opening.
    const events = await HypercoreLog.open(
      `${config.storagePath}/event-log`,
      deriveKeySeed(Uint8Array.fromHex((await Deno.readTextFile(`${config.storagePath}/seed`)).trim()), "events"),
    );
    await assert.rejects(AuditService.open(config, random), /in use by another process/);
    await events.close();
    await (await AuditService.open(config, random)).close();
  });
});

Deno.test("AuditService: the breaker's pause is on the disk before any record that is appended after it", async () => {
  await inTempFolder(async (folder) => {
    const config = configIn(folder);
    const service = await AuditService.open(config, random);
    service.pause("a payment cost a fee", startWallMs);
    const appended = service.appendTransaction(record("intent", 1));
    assert.deepEqual(readPauses(dataPaths(config)), [
      { scope: { kind: "all" }, by: "breaker", reason: "a payment cost a fee", sinceWallMs: startWallMs },
    ]);
    await appended;
    await service.close();
  });
});

Deno.test("AuditService: where the breaker's pause can't be written, no record follows that a restart would take for the end", async () => {
  await inTempFolder(async (folder) => {
    const config = configIn(folder);
    const service = await AuditService.open(config, random);
    await service.appendTransaction(record("intent", 1));
    // Nothing can be written there.
    Deno.mkdirSync(`${config.storagePath}/paused.new`);
    assert.throws(() => service.pause("a payment cost a fee", startWallMs), TightropeError);
    await assert.rejects(service.appendTransaction(record("settled", 1)), /Cannot pause/);
    await service.close();
    const again = await AuditService.open(config, random);
    assert.deepEqual(await Array.fromAsync(again.readTransactions()), [record("intent", 1)]);
    await again.close();
  });
});

Deno.test("AuditService refuses to read transactions of a newer format", async () => {
  await inTempFolder(async (folder) => {
    const config = configIn(folder);
    const service = await AuditService.open(config, random);
    await service.appendTransaction(record("intent", 1));
    await service.close();
    const seed = Uint8Array.fromHex((await Deno.readTextFile(`${config.storagePath}/seed`)).trim());
    const log = await HypercoreLog.open(`${config.storagePath}/transaction-log`, deriveKeySeed(seed, "transactions"));
    await log.append(new TextEncoder().encode('{"v":2,"kind":"intent"}'));
    await log.close();
    const again = await AuditService.open(config, random);
    await assert.rejects(Array.fromAsync(again.readTransactions()), /written by a newer Tightrope/);
    await again.close();
  });
});

Deno.test("AuditService says which folder it can't create", async () => {
  await inTempFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/data`, "a file");
    await assert.rejects(
      AuditService.open(configIn(folder), random),
      (error) => error instanceof TightropeError && error.message.includes(`${folder}/data`) && error.remedy !== "",
    );
  });
});
