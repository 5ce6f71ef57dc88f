import assert from "node:assert/strict";
import { readLog } from "../../lib/audit/log_reader.ts";
import type { LogRecord } from "../../lib/audit/record.ts";
import { decodeLogRecord } from "../../lib/audit/record_codec.ts";
import { msat } from "../../lib/domain/amounts.ts";
import type { ChannelPoint } from "../../lib/domain/ids.ts";
import { Cluster, type ClusterNode, until } from "../app/cluster.ts";
import { runProgram } from "../app/program.ts";

/** What can happen to a data directory; `backup` is what it was after the first of its three payments. */
export type Damage = (data: string, backup: string) => void;

const overwrite = (path: string, at: number, bytes: readonly number[]) => {
  using file = Deno.openSync(path, { write: true });
  file.seekSync(at, Deno.SeekMode.Start);
  file.writeSync(new Uint8Array(bytes));
};
const sizeOf = (path: string) => Deno.statSync(path).size;
const cut = (path: string, bytes: number) => Deno.truncateSync(path, Math.max(0, sizeOf(path) - bytes));
const empty = (path: string) => Deno.truncateSync(path, 0);
const remove = (path: string) => Deno.removeSync(path, { recursive: true });
const junk = Array.from({ length: 64 }, (_, i) => (i * 37 + 11) & 0xff);

function copyFolder(from: string, to: string): void {
  Deno.mkdirSync(to, { recursive: true, mode: 0o700 });
  for (const { name, isDirectory } of Deno.readDirSync(from)) {
    if (isDirectory) copyFolder(`${from}/${name}`, `${to}/${name}`);
    else Deno.copyFileSync(`${from}/${name}`, `${to}/${name}`);
  }
}

function restore(backup: string, data: string, names: readonly string[]): void {
  for (const name of names) {
    remove(`${data}/${name}`);
    if (Deno.statSync(`${backup}/${name}`).isDirectory) copyFolder(`${backup}/${name}`, `${data}/${name}`);
    else Deno.copyFileSync(`${backup}/${name}`, `${data}/${name}`);
  }
}

/** What happens to each file of a log. */
const fileDamages: Readonly<Record<string, (path: string) => void>> = {
  "is gone": remove,
  "is empty": empty,
  "lost its end": (path) => cut(path, 10),
  "lost its second half": (path) => cut(path, sizeOf(path) >> 1),
  "has a flipped bit in its middle": (path) => {
    const at = sizeOf(path) >> 1;
    const bytes = Deno.readFileSync(path);
    overwrite(path, at, [bytes[at]! ^ 1]);
  },
  "begins with junk": (path) => overwrite(path, 0, junk),
  "is all zeros": (path) => Deno.writeFileSync(path, new Uint8Array(sizeOf(path))),
  "has junk behind its end": (path) => overwrite(path, sizeOf(path), junk),
};

/** The ways in which a disk, or who copies files about, can damage a log. */
export const damages: Readonly<Record<string, Damage>> = {
  ...Object.fromEntries(
    ["oplog", "tree", "data", "bitfield"].flatMap((file) =>
      Object.entries(fileDamages).map(([what, damage]): [string, Damage] => [
        `the transaction log's ${file} ${what}`,
        (data) => damage(`${data}/transaction-log/${file}`),
      ])
    ),
  ),
  "the oplog's first header is damaged": (data) => overwrite(`${data}/transaction-log/oplog`, 20, [0xde, 0xad]),
  "the oplog's second header is damaged": (data) => overwrite(`${data}/transaction-log/oplog`, 4_116, [0xde, 0xad]),
  "both headers of the oplog are damaged": (data) => {
    for (const at of [20, 4_116]) overwrite(`${data}/transaction-log/oplog`, at, [0xde, 0xad]);
  },
  "the mark is gone": (data) => remove(`${data}/transaction-log.mark`),
  "the mark is empty": (data) => empty(`${data}/transaction-log.mark`),
  "the mark is junk": (data) => Deno.writeFileSync(`${data}/transaction-log.mark`, new Uint8Array(junk)),
  "half of the mark is torn": (data) => overwrite(`${data}/transaction-log.mark`, 0, junk),
  "the transaction log is gone": (data) => remove(`${data}/transaction-log`),
  "the transaction log and its mark are gone": (data) => {
    remove(`${data}/transaction-log`);
    remove(`${data}/transaction-log.mark`);
  },
  "the transaction log is an older backup": (data, backup) => restore(backup, data, ["transaction-log"]),
  "the transaction log and its mark are an older backup": (data, backup) =>
    restore(backup, data, ["transaction-log", "transaction-log.mark"]),
  "all is an older backup": (data, backup) => {
    remove(data);
    copyFolder(backup, data);
  },
  "all is gone": remove,
  "the seed is gone": (data) => remove(`${data}/seed`),
  "the seed is empty": (data) => empty(`${data}/seed`),
  "the event log's oplog is empty": (data) => empty(`${data}/event-log/oplog`),
  "the event log's tree is gone": (data) => remove(`${data}/event-log/tree`),
  "the event log's mark is gone": (data) => remove(`${data}/event-log.mark`),
  "the event log is gone": (data) => remove(`${data}/event-log`),
};

/** As many as the limit allows. */
const payments = 3;

/** A daemon's data directory after three payments, the last one cut off by SIGKILL, and the nodes that made them. */
export class UsedData implements AsyncDisposable {
  readonly #cluster: Cluster;
  readonly #nodes: readonly [ClusterNode, ClusterNode];
  readonly #channelPoint: ChannelPoint;
  #copies = 0;

  private constructor(cluster: Cluster, nodes: readonly [ClusterNode, ClusterNode], channelPoint: ChannelPoint) {
    this.#cluster = cluster;
    this.#nodes = nodes;
    this.#channelPoint = channelPoint;
  }

  static async create(): Promise<UsedData> {
    const cluster = new Cluster();
    const alice = await cluster.node("alice");
    const bob = await cluster.node("bob");
    const used = new UsedData(cluster, [alice, bob], cluster.channel(alice, bob, 0.1));
    const config = used.#config("used");
    for (let run = 1; run < payments; run++) {
      const program = cluster.start(config);
      await program.event({ kind: "payment-received" });
      assert.equal((await program.stop()).code, 0);
      if (run === 1) copyFolder(`${cluster.folder}/used-data`, `${cluster.folder}/backup`);
      used.#drain();
    }
    const program = cluster.start(config);
    await cluster.paymentBegins(alice, () => program.kill("SIGKILL"));
    await program.ended();
    await until(() => cluster.payments(alice).at(-1)!.status === "SUCCEEDED", "the last payment");
    await cluster.balanced(bob, used.#channelPoint);
    used.#drain();
    return used;
  }

  #config(name: string): string {
    return this.#cluster.configFile({
      name,
      nodes: this.#nodes,
      more: `limits:\n  baseSettings:\n    maxTransactionsPerPeriod: ${payments}\n    minTimeBetweenPayments: 0\n`,
    });
  }

  /** Bob has a tenth again. */
  #drain(): void {
    this.#cluster.run((network) => {
      const { localSat, remoteSat } = network.channel(this.#nodes[1].pubkey, this.#channelPoint)!;
      const excessSat = localSat - (localSat + remoteSat) / 10n;
      network.shift(this.#channelPoint, this.#nodes[1].pubkey, msat(excessSat * 1_000n));
    });
  }

  /**
   * Starts the program on a damaged copy. It must refuse, and go on after what it told the operator to do; or know all.
   * Either way it counts what its nodes have paid, and pays nothing beyond its limit.
   * @returns what it did at first
   */
  async survives(damage: Damage): Promise<"refused" | "recovered"> {
    const name = `copy${++this.#copies}`;
    const config = this.#config(name);
    const { folder } = this.#cluster;
    const data = `${folder}/${name}-data`;
    copyFolder(`${folder}/used-data`, data);
    damage(data, `${folder}/backup`);

    let program = this.#cluster.start(config);
    const refused = await Promise.race([
      program.ended(),
      program.event({ kind: "started" }).then(() => undefined, () => undefined),
    ]) ?? (program.isRunning ? undefined : await program.ended());
    if (refused !== undefined) {
      const { code, stderr } = refused;
      assert.equal(code, 78, stderr);
      assert.ok(stderr.includes(data), `it names no file:\n${stderr}`);
      assert.match(stderr, /`tightrope repair`/);
      // Who owes whom isn't told by a log that isn't whole.
      if (/"[^"]*transaction-log/.test(stderr) && !/seed/.test(stderr)) {
        const ledger = await runProgram("ledger", "--config", config);
        assert.equal(ledger.code, 78, ledger.stdout);
        assert.match(ledger.stderr, /`tightrope repair`/);
      }
      // What the message says for a seed that can't be had back.
      if (/seed file.*move it away/.test(stderr)) remove(`${data}/seed`);
      const repaired = await runProgram("repair", "--config", config);
      assert.equal(repaired.code, 0, repaired.stderr);
      assert.match(repaired.stdout, /Now start Tightrope as usual$/);
      program = this.#cluster.start(config);
    }
    await program.event({ kind: "request-refused", reason: "too-many" });
    assert.equal((await program.stop()).code, 0);

    const paid = this.#cluster.payments(this.#nodes[0]);
    assert.deepEqual(paid.map(({ status }) => status), Array.from({ length: payments }, () => "SUCCEEDED"));
    const counted = new Map<string, bigint>();
    for await (const block of readLog(`${data}/transaction-log`)) {
      const record: LogRecord = decodeLogRecord(block);
      if (record.kind !== "settled" && record.kind !== "foreign") continue;
      assert.ok(!counted.has(record.paymentHash), `${record.paymentHash} counts twice`);
      counted.set(record.paymentHash, record.amountSat);
    }
    const byLnd = new Map(paid.map(({ paymentHash, valueMsat }) => [paymentHash, valueMsat / 1_000n]));
    assert.deepEqual([...counted].sort(), [...byLnd].sort());
    return refused === undefined ? "recovered" : "refused";
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#cluster[Symbol.asyncDispose]();
  }
}
