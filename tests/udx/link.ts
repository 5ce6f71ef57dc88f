/** A bottleneck that bulk transfers share, in virtual time, and what is measured of it. */
import { type StreamEvent, StreamMachine } from "../../lib/udx/stream.ts";
import { IP_OVERHEAD_BYTES, type SimulatedLink } from "./simulated_link.ts";
import { type Host, SimulatedNetwork, type SimulatedRoute } from "./simulated_network.ts";

const CHUNK = new Uint8Array(65_536);
const UDX_HEADER_BYTES = 20;

export interface LinkSetup {
  readonly seed?: number;
  readonly mbitPerS?: number;
  /** Round trip without queues. */
  readonly rttMs?: number;
  readonly loss?: number;
  /** Room for waiting packets, in bandwidth-delay products of `rttMs`. */
  readonly queueBdp?: number;
  /** Share of packets that come `reorderMs` late, and are overtaken. */
  readonly reorder?: number;
  readonly reorderMs?: number;
}

/** One end of a flow: it only counts what arrives. */
class End implements Host {
  readonly machine: StreamMachine<SimulatedRoute>;
  receivedBytes = 0;
  closed = false;
  /** Told when the machine wants more to send. */
  onDrain: () => void = () => {};

  constructor(id: number) {
    this.machine = new StreamMachine({ id });
  }

  take(event: StreamEvent): void {
    if (event.kind === "data") {
      this.receivedBytes += event.bytes.length;
      this.machine.consumed(event.bytes.length);
    } else if (event.kind === "drain") this.onDrain();
    else if (event.kind === "closed") this.closed = true;
  }
}

/** What a flow did between two moments. */
export interface Measured {
  readonly bytes: number;
  /** Share of the link's capacity that it delivered, counted with the headers it needs. */
  readonly utilisation: number;
  /** Share of its packets that were repetitions. */
  readonly retransmitted: number;
}

/** A sender that always has more, or as much as it is given. */
export class Flow {
  readonly sender: End;
  readonly receiver: End;
  #greedy = false;

  constructor(ids: number) {
    this.sender = new End(ids);
    this.receiver = new End(ids + 1);
    this.sender.onDrain = () => this.#fill();
  }

  /** Sends without end. */
  start(): void {
    this.#greedy = true;
    this.#fill();
  }

  stop(): void {
    this.#greedy = false;
  }

  #fill(): void {
    while (this.#greedy && this.sender.machine.write(CHUNK));
  }
}

/** One link of a rate that flows share; the way back is as fast, and its own. */
export class SharedLink {
  readonly network: SimulatedNetwork;
  readonly bottleneck: SimulatedLink;
  readonly bytesPerMs: number;
  readonly flows: Flow[] = [];
  readonly #rttMs: number;
  readonly #loss: number;
  readonly #seed: number;
  #queueSamplesMs: number[] = [];

  constructor(setup: LinkSetup = {}) {
    const { seed = 1, mbitPerS = 20, rttMs = 50, loss = 0, queueBdp = 1, reorder = 0, reorderMs = 0 } = setup;
    this.#seed = seed;
    this.#rttMs = rttMs;
    this.#loss = loss;
    this.bytesPerMs = mbitPerS * 125;
    this.network = new SimulatedNetwork(seed);
    this.bottleneck = this.network.link({
      bytesPerMs: this.bytesPerMs,
      queueBytes: queueBdp * rttMs * this.bytesPerMs,
      loss,
      reorder,
      reorderMs,
    });
  }

  get nowMs(): number {
    return this.network.nowMs;
  }

  /** Adds a flow. @param rttMs its own round trip, if not the link's */
  add(rttMs = this.#rttMs): Flow {
    const at = this.flows.length;
    const flow = new Flow(1 + 2 * at + 1000 * this.#seed);
    const { network } = this;
    const wayMs = { latencyMs: rttMs / 2 };
    const [a, b] = [`a${at}`, `b${at}`];
    network.join(flow.sender, { address: a, path: [this.bottleneck, network.link(wayMs)] });
    network.join(flow.receiver, { address: b, path: [network.link({ ...wayMs, loss: this.#loss })] });
    for (const [end, other, address] of [[flow.sender, flow.receiver, b], [flow.receiver, flow.sender, a]] as const) {
      end.machine.connect({ remoteId: other.machine.id, ipv6: false, address }, this.nowMs);
    }
    this.flows.push(flow);
    return flow;
  }

  run(forMs: number): void {
    this.network.run(undefined, this.nowMs + forMs);
  }

  /** Runs, and tells what each flow did meanwhile. Samples the queue as it goes. */
  measure(forMs: number): Measured[] {
    const before = this.flows.map((flow) => this.#counters(flow));
    this.#queueSamplesMs = [];
    const untilMs = this.nowMs + forMs;
    while (this.nowMs < untilMs) {
      this.run(Math.min(5, untilMs - this.nowMs));
      this.#queueSamplesMs.push(this.bottleneck.queueMs(this.nowMs));
    }
    return this.flows.map((flow, i) => {
      const now = this.#counters(flow);
      const bytes = now.bytes - before[i]!.bytes;
      const payloadBytes = flow.sender.machine.mtuBytes - IP_OVERHEAD_BYTES - UDX_HEADER_BYTES;
      const share = flow.sender.machine.mtuBytes / payloadBytes;
      return {
        bytes,
        utilisation: bytes * share / (forMs * this.bytesPerMs),
        retransmitted: (now.retransmits - before[i]!.retransmits) / Math.max(now.packets - before[i]!.packets, 1),
      };
    });
  }

  /** Share of all packets that were repeated though the first copy wasn't lost; since the beginning. */
  get spurious(): number {
    let retransmits = 0;
    let packets = 0;
    for (const { sender: { machine } } of this.flows) {
      retransmits += machine.retransmits;
      packets += machine.packetsTransmitted;
    }
    return Math.max(retransmits - this.bottleneck.lost - this.bottleneck.overflowed, 0) / packets;
  }

  /** How long packets waited at the bottleneck during the last `measure()`. */
  queueMs(percentile: number): number {
    const sorted = this.#queueSamplesMs.toSorted((a, b) => a - b);
    return sorted[Math.min(Math.floor(sorted.length * percentile), sorted.length - 1)] ?? 0;
  }

  #counters(flow: Flow): { bytes: number; retransmits: number; packets: number } {
    const { machine } = flow.sender;
    return {
      bytes: flow.receiver.receivedBytes,
      retransmits: machine.retransmits,
      packets: machine.packetsTransmitted,
    };
  }
}
