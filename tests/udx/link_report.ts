/**
 * What streams make of a shared link, in virtual time: `deno run -c tests/deno.json tests/udx/link_report.ts`.
 * The link takes 20 Mbit/s, its round trip is 50 ms, its queue one bandwidth-delay product, unless a row says otherwise.
 */
import { renderTable, type Row } from "../bench_table.ts";
import { type LinkSetup, type Measured, SharedLink } from "./link.ts";

const SEEDS = [1, 2, 3, 4, 5];
const QUEUES_BDP = [0.25, 1, 4];

/** Time in which two streams find their shares, before these are measured. */
export const CONVERGENCE_MS = 10_000;

export interface Outcome {
  readonly flows: readonly Measured[];
  readonly queueMs: number;
  readonly queueP95Ms: number;
  readonly timeouts: number;
  /** Repetitions of what had arrived or was under way, as a share of all packets. */
  readonly spurious: number;
}

/** One stream, from its first packet on. */
export function alone(setup: LinkSetup, forMs: number): Outcome {
  const link = new SharedLink(setup);
  link.add().start();
  return measure(link, forMs);
}

/** Two streams, the second one `lateMs` after the first, once they have had time to converge. */
export function together(
  setup: LinkSetup,
  { lateMs = 0, rttsMs = [], forMs }: { lateMs?: number; rttsMs?: readonly number[]; forMs: number },
): Outcome {
  const link = new SharedLink(setup);
  link.add(rttsMs[0]).start();
  link.run(lateMs);
  link.add(rttsMs[1]).start();
  link.run(CONVERGENCE_MS);
  return measure(link, forMs);
}

/** The smaller share of two streams. */
export function smallerShare({ flows }: Outcome): number {
  const bytes = flows.map((flow) => flow.bytes);
  return Math.min(...bytes) / bytes.reduce((a, b) => a + b);
}

export function utilisation({ flows }: Outcome): number {
  return flows.reduce((sum, flow) => sum + flow.utilisation, 0);
}

export function retransmitted({ flows }: Outcome): number {
  return flows.reduce((sum, flow) => sum + flow.retransmitted, 0) / flows.length;
}

function measure(link: SharedLink, forMs: number): Outcome {
  const flows = link.measure(forMs);
  return {
    flows,
    queueMs: link.queueMs(0.5),
    queueP95Ms: link.queueMs(0.95),
    timeouts: link.flows.reduce((sum, flow) => sum + flow.sender.machine.timeouts, 0),
    spurious: link.spurious,
  };
}

function percent(share: number): string {
  return (share * 100).toFixed(1);
}

function mean(outcomes: readonly Outcome[], of: (outcome: Outcome) => number): number {
  return outcomes.reduce((sum, outcome) => sum + of(outcome), 0) / outcomes.length;
}

function row(name: string, outcomes: readonly Outcome[], share: string): Row {
  return {
    name,
    cells: [
      percent(mean(outcomes, utilisation)),
      share,
      percent(mean(outcomes, retransmitted)),
      percent(mean(outcomes, (outcome) => outcome.spurious)),
      mean(outcomes, (outcome) => outcome.queueMs).toFixed(0),
      mean(outcomes, (outcome) => outcome.queueP95Ms).toFixed(0),
    ],
  };
}

function aloneRow(name: string, setup: LinkSetup): Row {
  return row(name, SEEDS.map((seed) => alone({ ...setup, seed }, 20_000)), "");
}

function togetherRow(name: string, setup: LinkSetup, options: { lateMs?: number; rttsMs?: readonly number[] }): Row {
  const outcomes = SEEDS.map((seed) => together({ ...setup, seed }, { ...options, forMs: 20_000 }));
  const smallest = Math.min(...outcomes.map(smallerShare));
  return row(name, outcomes, `${Math.round((1 - smallest) * 100)}:${Math.round(smallest * 100)}`);
}

if (import.meta.main) {
  const rows: Row[] = [];
  for (const loss of [0, 0.001, 0.01, 0.03]) rows.push(aloneRow(`one, ${percent(loss)} % lost`, { loss }));
  for (const queueBdp of [0.25, 4]) rows.push(aloneRow(`one, queue of ${queueBdp}`, { queueBdp }));
  for (const reorderMs of [5, 20]) {
    rows.push(aloneRow(`one, 2 % come ${reorderMs} ms late`, { reorder: 0.02, reorderMs }));
  }
  for (const queueBdp of QUEUES_BDP) rows.push(togetherRow(`two, queue of ${queueBdp}`, { queueBdp }, {}));
  for (const queueBdp of QUEUES_BDP) {
    rows.push(togetherRow(`two, one 12 s late, queue of ${queueBdp}`, { queueBdp }, { lateMs: 12_000 }));
  }
  rows.push(togetherRow("two, 1 % lost", { loss: 0.01 }, {}));
  rows.push(togetherRow("two, round trips of 20 and 80 ms", {}, { rttsMs: [20, 80] }));
  const cells = ["% of link", "worst share", "% repeated", "% in vain", "queue ms p50", "p95"];
  console.log(renderTable({ name: "streams", cells }, rows));
}
