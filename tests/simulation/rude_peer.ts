import { bytesToHex } from "@noble/hashes/utils.js";
import { msat, sat } from "../../lib/domain/amounts.ts";
import { type ChannelPoint, type NodePubkey, parseRequestId, type RequestId } from "../../lib/domain/ids.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { formatMemo, invoiceTag } from "../../lib/protocol/memo.ts";
import type { Hello, Message, PayInvoice } from "../../lib/protocol/messages.ts";
import { isOpen, openSession, receiveFrame, sealMessage, type Session } from "../../lib/protocol/session.ts";
import { nodeProofText } from "../../lib/protocol/signatures.ts";
import type { ConnectionId, Transport, TransportEvent } from "../../lib/swarm/transport.ts";
import type { Participant, World } from "./world.ts";

/**
 * What a rude peer does.
 * `claims-payment`: it says that it has paid, and hasn't. `asks-again`: it sends each request twice, the second time when it
 * was paid. `claims-node`: it introduces somebody else's node and asks in its name, with an invoice which that node made
 * for it (as nodes with a shop do for anybody). `asks`: an honest payee, but without patience.
 */
export type Rudeness = "claims-payment" | "asks-again" | "claims-node" | "asks";

interface Connection {
  readonly id: ConnectionId;
  readonly session: Session;
  sessionId: Uint8Array | undefined;
}

const everyMs = 20_000;
const tokensSat = 30_000;

/** A peer that knows the secret and owns a node with a channel to the first honest one. */
export class RudePeer implements Participant {
  readonly name = "mallory";
  readonly rudeness: Rudeness;
  #world!: World;
  #node!: NodePubkey;
  #victim!: NodePubkey;
  #point!: ChannelPoint;
  #transport!: Transport;
  #connection: Connection | undefined;
  #requests = 0;
  #quiet = false;

  constructor(rudeness: Rudeness) {
    this.rudeness = rudeness;
  }

  start(world: World): void {
    this.#world = world;
    this.#victim = world.nodes[0]!;
    this.#node = world.addNode("mallory");
    // Whoever says that it has paid is asked only by a side that holds too little.
    const victimHolds = this.rudeness === "claims-payment" ? 0.05 : 0.95;
    const capacitySat = 4_000_000;
    this.#point = world.addChannel({
      ...{ from: this.#node, to: this.#victim, capacitySat },
      pushSat: Math.floor(capacitySat * victimHolds),
    });
    const key = world.strangerKey(1);
    this.#transport = world.swarm.endpoint(key, [world.topic]);
    void this.#transport.start((event) => this.#receive(event));
    world.after(everyMs, () => this.#beRude());
  }

  heal(): void {
    this.#quiet = true;
  }

  #receive(event: TransportEvent): void {
    const world = this.#world;
    if (event.kind === "connected") {
      const victim = world.instanceOf(this.#victim);
      if (event.remoteKey !== victim?.swarmKey) return;
      const { initiator, localKey, remoteKey, handshakeHash } = event;
      const { session, frames } = openSession({
        ...{ authKey: world.authKey, initiator, localKey, remoteKey, handshakeHash },
        nonce: new Uint8Array(32).fill(++this.#requests),
        atMs: world.atMs,
      });
      this.#connection = { id: event.connection, session, sessionId: undefined };
      for (const frame of frames) this.#transport.send(event.connection, frame);
    } else if (event.kind === "frame" && event.connection === this.#connection?.id) {
      for (const output of receiveFrame(this.#connection.session, event.frame, world.atMs)) {
        if (output.kind === "send") this.#transport.send(event.connection, output.frame);
        else if (output.kind === "authenticated") {
          this.#connection.sessionId = output.sessionId;
          this.#introduce();
        } else if (output.kind === "message") this.#answer(output.message);
      }
    } else if (event.kind === "disconnected" && event.connection === this.#connection?.id) {
      this.#connection = undefined;
      const victim = world.instanceOf(this.#victim)!;
      world.after(2_000, () => world.swarm.mend(world.strangerKey(1), victim.swarmKey));
    }
  }

  #send(message: Message): void {
    const connection = this.#connection;
    if (connection === undefined || !isOpen(connection.session)) return;
    this.#transport.send(connection.id, sealMessage(connection.session, message));
  }

  /** The node in whose name it speaks: its own, or that of a neighbour of its victim. */
  get #claimed(): NodePubkey {
    if (this.rudeness !== "claims-node") return this.#node;
    return this.#claimedChannel?.nodes.find((node) => node !== this.#victim) ?? this.#node;
  }

  get #claimedChannel() {
    const victim = this.#world.instanceOf(this.#victim);
    return this.#world.channels.find(({ nodes, plan }) =>
      plan !== undefined && nodes.includes(this.#victim) && !nodes.every((node) => victim?.nodes.includes(node))
    );
  }

  #introduce(): void {
    const { sessionId, session } = this.#connection!;
    const text = nodeProofText(this.#claimed, bytesToHex(sessionId!), session.initiator ? "initiator" : "responder");
    const hello: Hello = {
      type: "hello",
      publicKey: this.#claimed,
      alias: "mallory",
      network: "regtest",
      proof: this.#world.network.signMessage(this.#node, new TextEncoder().encode(text)),
      version: "tightrope/2",
      logHead: { length: 0, treeHash: "" },
    };
    this.#send(hello);
  }

  #answer(message: Message): void {
    if (message.type !== "payInvoice" || this.rudeness !== "claims-payment") return;
    this.#world.tell(this.name, () => "says that it has paid");
    this.#send({
      ...{ type: "paymentResult", requestId: message.requestId, channelPoint: message.channelPoint },
      ...{ channelId: message.channelId, paymentId: "", confirmed: true, confirmedAtWallMs: this.#world.startWallMs },
    });
  }

  #beRude(): void {
    if (this.#quiet) return;
    this.#world.after(everyMs, () => this.#beRude());
    if (this.rudeness === "claims-payment" || this.#connection?.sessionId === undefined) return;
    const point = this.rudeness === "claims-node" ? this.#claimedChannel?.point ?? this.#point : this.#point;
    const request = this.#request(point);
    if (request === undefined) return;
    this.#world.tell(this.name, () => `asks for ${request.tokens} sat`);
    this.#send(request);
    if (this.rudeness === "asks-again") this.#world.after(10_000, () => this.#send(request));
  }

  #request(channelPoint: ChannelPoint): PayInvoice | undefined {
    const { network } = this.#world;
    const shown = network.channel(this.#claimed, channelPoint);
    if (shown === undefined) return undefined;
    const requestId: RequestId = parseRequestId((++this.#requests).toString(16).padStart(32, "0"))!;
    const tokens = sat(tokensSat);
    const tag = invoiceTag({ sessionId: this.#connection!.sessionId!, requestId, channelPoint, tokens });
    const memo = formatMemo(shown.chanId, tag);
    const made = network.run(() =>
      network.addInvoice(this.#claimed, { valueMsat: msat(tokensSat * 1000), memo, expirySec: 600 })
    );
    if (isRefusal(made)) return undefined;
    return {
      type: "payInvoice",
      requestId,
      channelPoint,
      channelId: shown.chanId,
      invoice: made.paymentRequest,
      tokens,
    };
  }
}
