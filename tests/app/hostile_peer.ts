import { bytesToHex } from "@noble/hashes/utils.js";
import { msat, sat } from "../../lib/domain/amounts.ts";
import { type ChannelPoint, parseRequestId } from "../../lib/domain/ids.ts";
import { systemRandom } from "../../lib/env/system.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { deriveAuthKey, deriveTopic } from "../../lib/protocol/keys.ts";
import { formatMemo, invoiceTag } from "../../lib/protocol/memo.ts";
import type { Message, PaymentResult } from "../../lib/protocol/messages.ts";
import { isOpen, openSession, receiveFrame, sealMessage, type Session } from "../../lib/protocol/session.ts";
import { nodeProofText } from "../../lib/protocol/signatures.ts";
import { HyperswarmTransport } from "../../lib/swarm/hyperswarm_transport.ts";
import type { ConnectionId, TransportEvent } from "../../lib/swarm/transport.ts";
import { type Cluster, type ClusterNode, until } from "./cluster.ts";

interface Visit {
  readonly connection: ConnectionId;
  readonly session: Session;
  sessionId: Uint8Array | undefined;
  readonly results: PaymentResult[];
}

/** Somebody on the real swarm who knows the secret and owns a Lightning node, with the best manners until told otherwise. */
export class HostilePeer implements AsyncDisposable {
  readonly #cluster: Cluster;
  readonly #node: ClusterNode;
  readonly #authKey: Uint8Array;
  readonly #transport: HyperswarmTransport;
  readonly #visits = new Map<string, Visit>();

  /** @param master `deriveMaster` of the cluster's secret, which takes its time */
  constructor(cluster: Cluster, node: ClusterNode, bootstrap: readonly string[], master: Uint8Array) {
    this.#cluster = cluster;
    this.#node = node;
    this.#authKey = deriveAuthKey(master);
    const topics = [deriveTopic(master)];
    this.#transport = new HyperswarmTransport({ topics, seed: systemRandom.bytes(32), bootstrap, port: 0 });
  }

  async start(): Promise<void> {
    await this.#transport.start((event) => this.#receive(event));
  }

  #receive(event: TransportEvent): void {
    if (event.kind === "connected") {
      const { initiator, localKey, remoteKey, handshakeHash } = event;
      const opening = { authKey: this.#authKey, initiator, localKey, remoteKey, handshakeHash };
      const { session, frames } = openSession({ ...opening, nonce: systemRandom.bytes(32), atMs: performance.now() });
      const { connection } = event;
      this.#visits.set(remoteKey, { connection, session, sessionId: undefined, results: [] });
      for (const frame of frames) this.#transport.send(connection, frame);
      return;
    }
    if (event.kind !== "frame") return;
    const visit = [...this.#visits.values()].find(({ connection }) => connection === event.connection);
    if (visit === undefined) return;
    for (const output of receiveFrame(visit.session, event.frame, performance.now())) {
      if (output.kind === "send") this.#transport.send(event.connection, output.frame);
      else if (output.kind === "authenticated") {
        this.#transport.markAuthenticated(event.connection);
        visit.sessionId = output.sessionId;
      } else if (output.kind === "message" && output.message.type === "paymentResult") {
        visit.results.push(output.message);
      }
    }
  }

  /** Its session with an instance, by the key of that on the swarm or its first digits. */
  async with(swarmKey: string): Promise<Visit> {
    const find = () =>
      [...this.#visits].find(([key, visit]) => key.startsWith(swarmKey) && visit.sessionId !== undefined)?.[1];
    await until(() => find() !== undefined, "a session with the hostile peer");
    return find()!;
  }

  say({ session, connection }: Visit, message: Message): void {
    if (isOpen(session)) this.#transport.send(connection, sealMessage(session, message));
  }

  hello(visit: Visit, alias: string): void {
    const publicKey = this.#node.pubkey;
    const role = visit.session.initiator ? "initiator" : "responder";
    const text = new TextEncoder().encode(nodeProofText(publicKey, bytesToHex(visit.sessionId!), role));
    const proof = this.#cluster.run((network) => network.signMessage(publicKey, text));
    const logHead = { length: 0, treeHash: "" };
    this.say(visit, { type: "hello", publicKey, alias, network: "regtest", proof, version: "tightrope/2", logHead });
  }

  /** Asks as an honest payee would, under an id of its choice. @returns the answer */
  async ask(visit: Visit, channelPoint: ChannelPoint, tokens: number, id: string): Promise<PaymentResult> {
    const requestId = parseRequestId(id)!;
    const amount = { channelPoint, tokens: sat(tokens) };
    const tag = invoiceTag({ sessionId: visit.sessionId!, requestId, ...amount });
    const channelId = this.#cluster.run((network) => network.channel(this.#node.pubkey, channelPoint))!.chanId;
    const made = this.#cluster.run((network) =>
      network.addInvoice(this.#node.pubkey, {
        valueMsat: msat(tokens * 1_000),
        memo: formatMemo(channelId, tag),
        expirySec: 600,
      })
    );
    if (isRefusal(made)) throw new Error(JSON.stringify(made));
    this.say(visit, { type: "payInvoice", requestId, channelId, invoice: made.paymentRequest, ...amount });
    const find = () => visit.results.find((result) => result.requestId === requestId);
    await until(() => find() !== undefined, "an answer to the hostile peer");
    return find()!;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#transport.close();
  }
}
