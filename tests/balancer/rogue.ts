import assert from "node:assert/strict";
import { bytesToHex } from "@noble/hashes/utils.js";
import { msat } from "../../lib/domain/amounts.ts";
import {
  type ChannelPoint,
  type NodePubkey,
  parseRequestId,
  parseShortChannelId,
  parseSwarmKey,
  type RequestId,
} from "../../lib/domain/ids.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { formatMemo, invoiceTag } from "../../lib/protocol/memo.ts";
import { type Hello, type Message, type PayInvoice, type PaymentResult } from "../../lib/protocol/messages.ts";
import { isOpen, openSession, receiveFrame, sealMessage, type Session } from "../../lib/protocol/session.ts";
import { nodeProofText } from "../../lib/protocol/signatures.ts";
import type { ConnectionId, Transport } from "../../lib/swarm/transport.ts";
import { sat } from "../../lib/domain/amounts.ts";
import { authKey, type Harness } from "./harness.ts";

/** A peer that knows the secret and owns a node, and says whatever the test wants. One session at a time. */
export class Rogue {
  readonly harness: Harness;
  readonly node: NodePubkey;
  readonly received: Message[] = [];
  /** Frames as they arrived, to send them again. */
  readonly sentFrames: Uint8Array[] = [];
  connection: ConnectionId | undefined;
  session: Session | undefined;
  sessionId: Uint8Array | undefined;
  onMessage: (message: Message) => void = () => {};
  readonly #transport: Transport;
  #requests = 0;

  constructor(harness: Harness, node: NodePubkey, key = "f".repeat(64)) {
    this.harness = harness;
    this.node = node;
    this.#transport = harness.swarm.endpoint(parseSwarmKey(key)!, [new Uint8Array(32).fill(1)]);
    this.#transport.start((event) => {
      if (event.kind === "connected") {
        const { initiator, localKey, remoteKey, handshakeHash } = event;
        // Rogues have nothing to say to each other.
        if (!remoteKey.startsWith("0".repeat(32))) return;
        const opened = openSession({
          ...{ authKey, initiator, localKey, remoteKey, handshakeHash },
          nonce: harness.random.bytes(32),
          atMs: harness.atMs,
        });
        this.connection = event.connection;
        this.session = opened.session;
        for (const frame of opened.frames) this.#transport.send(event.connection, frame);
      } else if (event.kind === "frame" && this.session && event.connection === this.connection) {
        for (const output of receiveFrame(this.session, event.frame, harness.atMs)) {
          if (output.kind === "send") this.#transport.send(event.connection, output.frame);
          else if (output.kind === "authenticated") this.sessionId = output.sessionId;
          else if (output.kind === "message") {
            this.received.push(output.message);
            this.onMessage(output.message);
          }
        }
      } else if (event.kind === "disconnected" && event.connection === this.connection) {
        this.session = undefined;
      }
    });
  }

  get isConnected(): boolean {
    return this.session !== undefined && isOpen(this.session);
  }

  send(message: Message): void {
    assert.ok(this.session && this.connection !== undefined);
    const frame = sealMessage(this.session, message);
    this.sentFrames.push(frame);
    this.#transport.send(this.connection, frame);
  }

  sendFrame(frame: Uint8Array): void {
    this.#transport.send(this.connection!, frame);
  }

  /** The honest hello of its node, changed as the test wants. */
  hello(over: Partial<Hello> = {}, signer = this.node): void {
    assert.ok(this.session && this.sessionId);
    const role = this.session.initiator ? "initiator" : "responder";
    const publicKey = over.publicKey ?? this.node;
    const text = new TextEncoder().encode(nodeProofText(publicKey, bytesToHex(this.sessionId), role));
    this.send({
      type: "hello",
      publicKey,
      alias: "mallory",
      network: "regtest",
      proof: this.harness.network.signMessage(signer, text),
      version: "tightrope/2",
      logHead: { length: 0, treeHash: "" },
      ...over,
    });
  }

  requestId(): RequestId {
    return parseRequestId((++this.#requests).toString(16).padStart(32, "0"))!;
  }

  /** An honest request for `tokens` over the channel, of which each part can be changed. */
  request(
    channelPoint: ChannelPoint,
    tokens: number,
    over: {
      requestId?: RequestId;
      memo?: string;
      valueSat?: number;
      expirySec?: number;
      invoice?: string;
      by?: NodePubkey;
      tagFor?: { channelPoint?: ChannelPoint; tokens?: number; requestId?: RequestId };
      message?: Partial<PayInvoice>;
    } = {},
  ): RequestId {
    assert.ok(this.sessionId);
    const requestId = over.requestId ?? this.requestId();
    const tag = invoiceTag({
      sessionId: this.sessionId,
      requestId: over.tagFor?.requestId ?? requestId,
      channelPoint: over.tagFor?.channelPoint ?? channelPoint,
      tokens: sat(over.tagFor?.tokens ?? tokens),
    });
    const channelId = this.harness.network.channel(this.node, channelPoint)?.chanId ?? parseShortChannelId("1x1x1")!;
    this.send({
      type: "payInvoice",
      requestId,
      channelPoint,
      channelId,
      invoice: over.invoice ??
        this.invoice(over.valueSat ?? tokens, over.memo ?? formatMemo(channelId, tag), over.expirySec, over.by),
      tokens: sat(tokens),
      ...over.message,
    });
    return requestId;
  }

  invoice(valueSat: number, memo: string, expirySec = 600, by = this.node): string {
    const made = this.harness.network.run((network) =>
      network.addInvoice(by, { valueMsat: msat(valueSat * 1000), memo, expirySec })
    );
    assert.ok(!isRefusal(made));
    return made.paymentRequest;
  }

  results(requestId: RequestId): PaymentResult[] {
    return this.received.filter((message): message is PaymentResult =>
      message.type === "paymentResult" && message.requestId === requestId
    );
  }

  /** The one answer to a request, in short. */
  async answer(requestId: RequestId, withinMs = 61_000): Promise<string> {
    await this.harness.runUntil(() => this.results(requestId).length > 0, withinMs);
    const [result] = this.results(requestId);
    return result!.confirmed ? "paid" : result!.reason ?? "";
  }
}
