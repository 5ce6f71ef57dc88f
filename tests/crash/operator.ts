import assert from "node:assert/strict";
import { readLog } from "../../lib/audit/log_reader.ts";
import { isNote, type LogRecord, type TransactionRecord } from "../../lib/audit/record.ts";
import { decodeEvent, decodeLogRecord } from "../../lib/audit/record_codec.ts";
import { messageOf } from "../../lib/domain/errors.ts";
import type { Cluster, ClusterNode } from "../app/cluster.ts";
import type { Line, Program } from "../app/program.ts";

/** What a daemon's log says of one payment or invoice. */
export interface Deal {
  readonly opening: Extract<TransactionRecord, { kind: "intent" | "invoiced" }>;
  /** Of the last record; `open`: there is none but the opening, and perhaps `unknown`. */
  end: "open" | "settled" | "failed" | "received" | "cancelled";
}

/** One instance: its files, the process that runs on them, and what earlier ones left. */
export class Operator {
  readonly name: string;
  readonly nodes: readonly ClusterNode[];
  readonly config: string;
  readonly dataFolder: string;
  /** Every record of the transaction log when the last process had ended. */
  records: readonly LogRecord[] = [];
  /** The events on the disk then. */
  eventCount = 0;
  readonly #cluster: Cluster;
  #program: Program | undefined;
  #expected = "";
  /** When the last process was started, as its events are dated. */
  startedAt = "";

  constructor(cluster: Cluster, name: string, nodes: readonly ClusterNode[], more: string) {
    this.#cluster = cluster;
    this.name = name;
    this.nodes = nodes;
    this.config = cluster.configFile({ name, nodes, more });
    this.dataFolder = `${cluster.folder}/${name}-data`;
  }

  get transactionLog(): string {
    return `${this.dataFolder}/transaction-log`;
  }

  /** The process that runs, or ran last. */
  get program(): Program {
    assert.ok(this.#program, `${this.name} was started`);
    return this.#program;
  }

  /** The last that it said. */
  get said(): string {
    return this.#program?.stderr.slice(-40).join("\n") ?? "";
  }

  has(node: string): boolean {
    return this.nodes.some(({ pubkey }) => pubkey === node);
  }

  start(): Program {
    this.#expected = this.#explanation();
    this.startedAt = new Date().toISOString();
    return this.#program = this.#cluster.start(this.config, "--debuglevel", "debug");
  }

  /** Resolves when it says what it found. */
  async startWell(): Promise<void> {
    await this.start().event({ kind: "started" });
  }

  /** What a start has to say by the log as it is. */
  #explanation(): string {
    const open = [...this.deals().values()].filter(({ end }) => end === "open").map(({ opening }) => opening.kind);
    if (open.length === 0) return "Started: no payment is open";
    const count = (kind: string, word: string) => {
      const number = open.filter((opening) => opening === kind).length;
      return `${number} ${word}${number === 1 ? "" : "s"}`;
    };
    return `Started: ${count("intent", "payment")} and ${count("invoiced", "invoice")} of an earlier run`;
  }

  /** SIGKILL, and what it left. */
  async kill(): Promise<void> {
    this.program.kill("SIGKILL");
    await this.takeStock("SIGKILL");
  }

  /** SIGTERM, and what it left. */
  async stop(): Promise<void> {
    this.program.kill("SIGTERM");
    await this.takeStock(0);
  }

  /**
   * Waits for the end of the process, which must be by this signal or with this code, and reads its log: nothing that it held before, or that the process told of, may be
   * missing. What the process said at its start must have been what the log held then.
   */
  async takeStock(wanted: Deno.Signal | number): Promise<void> {
    const { code, signal, stderr } = await this.program.ended();
    assert.equal(signal ?? code, wanted, `${this.name} ended in another way:\n${stderr}`);
    const started = this.program.events.find(({ kind }) => kind === "started");
    const message = String(started?.message ?? this.#expected);
    assert.ok(message.startsWith(this.#expected), `"${message}" isn't "${this.#expected}…"`);
    const before = this.records;
    const records: LogRecord[] = [];
    try {
      for await (const block of readLog(this.transactionLog)) records.push(decodeLogRecord(block));
    } catch (error) {
      // Killed before it had begun a log.
      if (started || before.length > 0 || !/There is no log/.test(messageOf(error))) throw error;
    }
    assert.deepEqual(records.slice(0, before.length), before, `${this.name}'s log lost or changed what it held`);
    this.records = records;
    if (isFile(`${this.dataFolder}/event-log/oplog`)) {
      for await (const block of readLog(`${this.dataFolder}/event-log`, { from: this.eventCount })) {
        decodeEvent(block);
        this.eventCount++;
      }
    }
    const deals = this.deals();
    for (const event of this.program.events) this.#assertDurable(event, deals);
  }

  /** What the process said is on the disk. */
  #assertDurable({ kind, role, paymentHash, details, message }: Line, deals: ReadonlyMap<string, Deal>): void {
    const end = deals.get(`${role} ${paymentHash}`)?.end;
    const wanted: Readonly<Record<string, boolean>> = {
      "payment-started": end !== undefined,
      "payment-settled": end === "settled",
      "payment-failed": end === "failed",
      "payment-received": end === "received",
      "request-ended": paymentHash === undefined || end === "cancelled",
      "message-sent": (details as Line | undefined)?.message !== "payInvoice" || end !== undefined,
    };
    assert.ok(wanted[String(kind)] ?? true, `${this.name} said "${message}", and its log has it as ${end}`);
  }

  /** By role and hash, as the log at rest has them. */
  deals(): Map<string, Deal> {
    const deals = new Map<string, Deal>();
    for (const record of this.records) {
      assert.ok(record.kind !== "repaired" && record.kind !== "rebuilt", "a log that was never repaired says so");
      if (isNote(record)) continue;
      const about = `${record.paymentHash}, ${deals.get(`payer ${record.paymentHash}`)?.end ?? "unknown"} in its log`;
      assert.notEqual(record.kind, "foreign", `${this.name} took a payment of its own for a foreign one: ${about}`);
      const key = `${record.role} ${record.paymentHash}`;
      if (record.kind === "intent" || record.kind === "invoiced") {
        assert.ok(!deals.has(key), `${key} was begun twice`);
        deals.set(key, { opening: record, end: "open" });
      } else if (record.kind !== "unknown" && record.kind !== "foreign") {
        const deal = deals.get(key);
        assert.ok(deal, `${key} ended without having begun`);
        assert.ok(deal.end === "open" || deal.end === record.kind, `${key} is ${deal.end} and ${record.kind}`);
        deal.end = record.kind;
      }
    }
    return deals;
  }
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
