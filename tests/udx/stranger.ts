import { decodePacket, encodePacket, type Header, SACK } from "../../lib/udx/packet.ts";
import { PacketRing } from "../../lib/udx/packet_list.ts";
import { type Route, type StreamEvent, StreamMachine } from "../../lib/udx/stream.ts";

const MY_ID = 1;
const WINDOW_BYTES = 4 * 1024 * 1024;

/** The other side of a stream that follows no rules: writes packets by hand, and counts what they cost. */
export class Stranger {
  readonly victim: StreamMachine<Route>;
  nowMs = 0;
  /** Packets sent to the victim, and by it. */
  sent = 0;
  answered = 0;
  answeredBytes = 0;
  events = 0;
  deliveredBytes = 0;
  failure: string | null = null;
  /** The victim's reader takes nothing. */
  paused = false;
  mostEarlyPackets = 0;
  mostHeldPackets = 0;
  mostHeldBytes = 0;
  /** Of the packets that the victim sent. */
  readonly numbers: number[] = [];

  constructor(options: { receiveWindowBytes?: number } = {}) {
    this.victim = new StreamMachine<Route>({ id: MY_ID, ...options });
    this.victim.connect({ remoteId: 2, ipv6: false }, 0);
  }

  /** Sends a packet, then lets the victim do all it wants to. */
  send(header: Partial<Header>, payload?: Uint8Array, sacks: readonly number[] = []): void {
    const type = (header.type ?? 0) | (sacks.length > 0 ? SACK : 0);
    const full = { streamId: MY_ID, receiveWindow: WINDOW_BYTES, seq: 0, ack: 0, ...header, type };
    this.sent++;
    this.victim.handlePacket(decodePacket(encodePacket(full, payload, sacks))!, this.nowMs);
    this.serve();
  }

  /** Lets time pass, waking the victim whenever it asked for it. */
  wait(ms: number): void {
    const untilMs = this.nowMs + ms;
    this.serve();
    while (this.victim.pollTimeout() <= untilMs) {
      this.nowMs = Math.max(this.nowMs, this.victim.pollTimeout());
      this.victim.handleTimeout(this.nowMs);
      this.serve();
    }
    this.nowMs = untilMs;
    this.serve();
  }

  serve(): void {
    const { victim } = this;
    for (let event = victim.pollEvent(); event !== null; event = victim.pollEvent()) this.#take(event);
    for (let out = victim.pollTransmit(this.nowMs); out !== null; out = victim.pollTransmit(this.nowMs)) {
      this.#count(out.bytes);
    }
    const ack = victim.pollAck();
    if (ack !== null) this.#count(ack.bytes);
    this.mostEarlyPackets = Math.max(this.mostEarlyPackets, victim.earlyPackets);
    this.mostHeldPackets = Math.max(this.mostHeldPackets, victim.heldPackets);
    const unread = this.paused ? this.deliveredBytes : 0;
    this.mostHeldBytes = Math.max(this.mostHeldBytes, victim.earlyBytes + unread);
  }

  /** Acknowledges everything, again and again, until the victim has that many packets under way. */
  draw(packets: number): void {
    for (let round = 0; round < 1000 && this.victim.inFlightPackets < packets; round++) {
      this.send({ ack: this.victim.seq });
      this.wait(40);
    }
  }

  #take(event: StreamEvent): void {
    this.events++;
    if (event.kind === "closed") this.failure = event.failure;
    if (event.kind !== "data") return;
    this.deliveredBytes += event.bytes.length;
    if (!this.paused) this.victim.consumed(event.bytes.length);
  }

  #count(bytes: Uint8Array): void {
    this.answered++;
    this.answeredBytes += bytes.length;
    this.numbers.push(decodePacket(bytes)!.seq);
  }
}

/** How many sent packets were looked up while `work` ran: what acknowledgements cost. */
export function countLookups(work: () => void): number {
  const { get } = PacketRing.prototype;
  let lookups = 0;
  PacketRing.prototype.get = function (seq) {
    lookups++;
    return get.call(this, seq);
  };
  try {
    work();
  } finally {
    PacketRing.prototype.get = get;
  }
  return lookups;
}
