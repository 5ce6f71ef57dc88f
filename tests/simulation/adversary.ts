import { hmac } from "@noble/hashes/hmac.js";
import { sha256 } from "@noble/hashes/sha2.js";
import { bytesToHex, concatBytes } from "@noble/hashes/utils.js";
import { msat, sat } from "../../lib/domain/amounts.ts";
import {
  type ChannelPoint,
  type NodePubkey,
  parseRequestId,
  type PaymentHash,
  type RequestId,
} from "../../lib/domain/ids.ts";
import { isRefusal, type SimEvent } from "../../lib/lightning/sim/model.ts";
import { joinFields, u64 } from "../../lib/protocol/fields.ts";
import { formatMemo, invoiceTag } from "../../lib/protocol/memo.ts";
import { openSession, receiveFrame, type Session } from "../../lib/protocol/session.ts";
import { nodeProofText } from "../../lib/protocol/signatures.ts";
import type { ConnectionId, Transport, TransportEvent } from "../../lib/swarm/transport.ts";
import type { BalancerEvent, Effect } from "../../lib/balancer/io.ts";
import { type MadeInvoice, makeInvoice, type Twist } from "./adversary_invoices.ts";
import { garbage, mutate, type Plain } from "./adversary_messages.ts";
import { type AdversaryPlan, type AttackKind, type Manner } from "./adversary_plan.ts";
import { AdversaryWatch } from "./adversary_watch.ts";
import type { SimInstance } from "./instance.ts";
import { Dice, moments } from "./plan.ts";
import type { Participant, World } from "./world.ts";

interface OwnNode {
  readonly pubkey: NodePubkey;
  readonly channels: ChannelPoint[];
}

/** A key on the swarm. */
interface Identity {
  readonly number: number;
  readonly transport: Transport;
  /** `never` proves that it knows the secret; `member` does. */
  readonly kind: "member" | "never";
}

interface Connection {
  readonly id: ConnectionId;
  readonly identity: Identity;
  readonly victim: SimInstance;
  readonly session: Session;
  sessionId: Uint8Array | undefined;
  /** The last frames both ways, to send them again. */
  readonly frames: Uint8Array[];
}

/** An invoice that it asked a victim to pay. */
interface Made extends MadeInvoice {
  readonly node: NodePubkey;
  readonly victim: NodePubkey;
  readonly memo: string;
}

/** What becomes of an HTLC that pays one of its hold invoices. */
type Fate = "settle" | "settle-late" | "cancel" | "cancel-late" | "keep" | "vanish";
const fates: readonly Fate[] = ["settle", "settle", "settle-late", "cancel", "cancel-late", "keep", "vanish"];

/** What is wrong with a request; several may be. */
const lies = [
  ...["amount-tiny", "amount-zero", "amount-huge", "amount-above-share", "amount-of-invoice", "invoice-without-amount"],
  ...["tag-of-channel", "tag-of-session", "tag-of-request", "tag-of-amount", "no-tag", "channel-of-others"],
  ...["channel-unknown", "other-channel", "own-other-node", "merchant", "victims-shop", "expires-soon", "expires-late"],
  ...["cltv", "known-hash", "reflected", "replayed", "same-request", "twisted", "twisted", "unproven-session"],
] as const;

const maxKept = 48;

/**
 * A peer that knows the secret, owns Lightning nodes and does its worst, as its plan says; and what it sees decides how.
 * It knows all that the world knows, and nothing that it sends is ever damaged: the best that an attacker could hope for.
 */
export class Adversary implements Participant {
  readonly name = "mallory";
  readonly plan: AdversaryPlan;
  readonly nodes: OwnNode[] = [];
  #world!: World;
  #watch!: AdversaryWatch;
  /** For what it does of itself, beyond single attacks. */
  #dice!: Dice;
  #strangers = 0;
  #nonces = 0;
  readonly #identities: Identity[] = [];
  readonly #connections: Connection[] = [];
  readonly #seen: Plain[] = [];
  readonly #proofs: { readonly publicKey: string; readonly proof: string }[] = [];
  readonly #asks: { readonly connection: Connection; readonly message: Plain }[] = [];
  readonly #requests: Plain[] = [];
  readonly #preimages = new Map<PaymentHash, { readonly node: NodePubkey; readonly preimage: string; fate: Fate }>();
  readonly #held = new Set<PaymentHash>();
  readonly #made: Made[] = [];
  readonly #undo = new Set<() => void>();
  #healed = false;

  constructor(plan: AdversaryPlan) {
    this.plan = plan;
  }

  start(world: World): void {
    this.#world = world;
    this.#watch = new AdversaryWatch(world, () => this.nodes.map(({ pubkey }) => pubkey));
    this.#dice = new Dice(this.plan.seed ^ 0xd1ce);
    for (const { channels } of this.plan.nodes) {
      const node = this.#addNode();
      for (const { victim, capacitySat, victimShare, aliases } of channels) {
        const to = world.nodes[victim % world.nodes.length]!;
        const pushSat = Math.floor(capacitySat * victimShare);
        node.channels.push(world.addChannel({ from: node.pubkey, to, capacitySat, pushSat, aliases }));
      }
    }
    for (let i = 0; i < this.plan.identities; i++) this.#join("member");
    for (const attack of this.plan.attacks) {
      world.after(attack.atMs, () => {
        if (!this.#healed) this.#attack(attack.kind, new Dice(attack.seed));
      });
    }
  }

  effects(instance: SimInstance, event: BalancerEvent, effects: readonly Effect[]): void {
    this.#watch.effects(instance, event, effects);
  }

  /** It lets go of all that it holds, so that every intent can come to its end. */
  heal(): void {
    const world = this.#world;
    this.#healed = true;
    this.#watch.heal();
    for (const undo of [...this.#undo]) undo();
    for (const hash of [...this.#held]) this.#release(hash, this.#dice.chance(50));
    if (this.plan.afterwards.length === 0) {
      world.tell(this.name, () => "leaves");
      for (const { transport } of this.#identities.splice(0)) void transport.close();
      return;
    }
    for (const attack of this.plan.afterwards) {
      world.after(attack.atMs, () => this.#attack(attack.kind, new Dice(attack.seed)));
    }
  }

  // Its nodes and its place on the swarm

  #addNode(): OwnNode {
    const pubkey = this.#world.addNode(`mallory${this.nodes.length + 1}`);
    const node = { pubkey, channels: [] };
    this.nodes.push(node);
    this.#world.network.subscribe(pubkey, (event) => this.#lnd(node, event));
    return node;
  }

  #join(kind: Identity["kind"]): void {
    const world = this.#world;
    const number = 1_000 + this.#strangers++;
    const transport = world.swarm.endpoint(world.strangerKey(number), [world.topic]);
    const identity = { number, transport, kind };
    this.#identities.push(identity);
    void transport.start((event) => this.#receive(identity, event));
  }

  #receive(identity: Identity, event: TransportEvent): void {
    const world = this.#world;
    if (event.kind === "connected") {
      const victim = world.instances.find(({ swarmKey }) => swarmKey === event.remoteKey);
      // Its own keys have nothing to say to each other.
      if (victim === undefined) return;
      if (identity.kind === "never") return this.#dawdle(identity, event.connection);
      const { initiator, localKey, remoteKey, handshakeHash } = event;
      const nonce = sha256(Uint8Array.of(1, ++this.#nonces & 255, this.#nonces >> 8));
      const { session, frames } = openSession({
        ...{ authKey: world.authKey, initiator, localKey, remoteKey, handshakeHash, nonce, atMs: world.atMs },
      });
      this.#connections.push({ id: event.connection, identity, victim, session, sessionId: undefined, frames: [] });
      for (const frame of frames) identity.transport.send(event.connection, frame);
    } else if (event.kind === "frame") {
      const connection = this.#connections.find(({ id }) => id === event.connection);
      if (connection === undefined) return;
      remember(connection.frames, event.frame);
      for (const output of receiveFrame(connection.session, event.frame, world.atMs)) {
        if (output.kind === "send") identity.transport.send(connection.id, output.frame);
        else if (output.kind === "authenticated") {
          connection.sessionId = output.sessionId;
          for (const node of this.nodes) this.#sayHello(connection, node.pubkey);
        } else if (output.kind === "message") {
          this.#read(connection, JSON.parse(new TextDecoder().decode(event.frame.subarray(32))));
        }
      }
    } else if (event.kind === "disconnected") {
      const at = this.#connections.findIndex(({ id }) => id === event.connection);
      const [gone] = at < 0 ? [] : this.#connections.splice(at, 1);
      if (gone === undefined) return;
      this.#comeBack(identity, gone.victim);
      this.#letGo(gone.victim);
    }
  }

  /** A victim that goes away looks at nothing for a while: what it may find then is another payment of the same hash. */
  #letGo(victim: SimInstance): void {
    if (this.#healed || !this.plan.withdraws || !this.#dice.chance(50)) return;
    for (const { paymentHash, victim: payer } of this.#made) {
      if (this.#held.has(paymentHash) && victim.nodes.includes(payer)) this.#release(paymentHash, false);
    }
  }

  #comeBack(identity: Identity, victim: SimInstance): void {
    this.#world.after(this.#dice.spread(100, 20_000), () => {
      if (this.#identities.includes(identity)) {
        this.#world.swarm.mend(this.#world.strangerKey(identity.number), victim.swarmKey);
      }
    });
  }

  /** A connection that never proves anything. */
  #dawdle(identity: Identity, connection: ConnectionId): void {
    const dice = this.#dice;
    const send = (frame: Uint8Array) => identity.transport.send(connection, frame);
    const nonce = Uint8Array.of(1, ...new Uint8Array(32).fill(dice.below(256)));
    switch (dice.below(5)) {
      case 0:
        break;
      case 1:
        send(nonce);
        break;
      case 2:
        send(nonce);
        send(Uint8Array.of(2, ...new Uint8Array(32 * dice.between(0, 3)).fill(7)));
        break;
      case 3:
        // Just below the time that it has.
        this.#world.after(4_900, () => send(nonce));
        break;
      case 4:
        send(new Uint8Array(dice.below(3)));
        break;
    }
    this.#world.after(dice.spread(100, 8_000), () => identity.transport.disconnect(connection));
    if (this.#healed) return;
    const victim = dice.pick(this.#world.instances);
    this.#world.after(dice.spread(200, 10_000), () => {
      if (!this.#healed) this.#world.swarm.mend(this.#world.strangerKey(identity.number), victim.swarmKey);
    });
  }

  // Sending

  #send(connection: Connection, message: Plain): void {
    this.#sendBody(connection, new TextEncoder().encode(JSON.stringify(message)));
    remember(this.#seen, message);
  }

  /** Whatever bytes, as a frame with a MAC that holds; `seqBy` and `asTheirs` are for one that doesn't. */
  #sendBody(connection: Connection, body: Uint8Array, seqBy = 0, asTheirs = false): void {
    const { phase, initiator } = connection.session;
    if (phase.kind !== "open") return;
    const role = Uint8Array.of(initiator === asTheirs ? 0 : 1);
    const mac = hmac(sha256, phase.sessionKey, joinFields("message", role, u64(phase.sent + seqBy), body));
    phase.sent++;
    this.#sendFrame(connection, concatBytes(mac, body));
  }

  #sendFrame(connection: Connection, frame: Uint8Array): void {
    remember(connection.frames, frame);
    connection.identity.transport.send(connection.id, frame);
  }

  #proof(connection: Connection, publicKey: NodePubkey, signer: NodePubkey, wrongRole = false): string {
    const isInitiator = connection.session.initiator !== wrongRole;
    const session = bytesToHex(connection.sessionId!);
    const text = nodeProofText(publicKey, session, isInitiator ? "initiator" : "responder");
    return this.#world.network.signMessage(signer, new TextEncoder().encode(text));
  }

  #sayHello(connection: Connection, publicKey: NodePubkey, over: Plain = {}): void {
    this.#send(connection, {
      ...{ type: "hello", publicKey, alias: "mallory", network: "regtest", version: "tightrope/2" },
      ...("proof" in over ? {} : { proof: this.#proof(connection, publicKey, publicKey) }),
      logHead: { length: 0, treeHash: "" },
      ...over,
    });
  }

  // What it hears

  #read(connection: Connection, message: Plain): void {
    remember(this.#seen, message);
    if (message.type === "hello") {
      remember(this.#proofs, { publicKey: String(message.publicKey), proof: String(message.proof) });
    } else if (message.type === "payInvoice") {
      remember(this.#asks, { connection, message });
      this.#treat(connection, message);
    }
  }

  /** A request of an honest payee. */
  #treat(connection: Connection, message: Plain): void {
    const dice = this.#dice;
    const world = this.#world;
    // Afterwards it must not keep an honest invoice open.
    const manner: Manner = this.#healed ? "refuses" : dice.pick(this.plan.manners);
    world.count(`answers: ${manner}`);
    world.tell(this.name, () => `is asked for ${message.tokens} sat: ${manner}`);
    const answer = (over: Plain) => this.#result(connection, message, over);
    const pay = (way: "asked" | "other-channel" | "other-node" = "asked") => this.#pay(message, way);
    switch (manner) {
      case "pays":
        pay();
        return world.after(2_000, () => answer({ confirmed: true }));
      case "pays-silently":
        return pay();
      case "pays-and-denies":
        pay();
        return answer({ reason: "failed" });
      case "denies-and-pays":
        answer({ reason: dice.pick(["busy", "limit", "balance", "unknown"]) });
        return world.after(dice.spread(1, 5_000), () => pay());
      case "pays-late":
        return world.after(dice.spread(30_000, 300_000), () => pay());
      case "pays-over-another-channel":
        return pay("other-channel");
      case "pays-from-another-node":
        return pay("other-node");
      case "claims-to-have-paid":
        return answer({ confirmed: true, paymentId: "ab".repeat(32) });
      case "refuses":
        return answer({
          reason: dice.pick(["balance", "limit", "busy", "failed", "not-shared", "invalid"]),
          ...(dice.chance(40) ? { maxTokens: dice.pick(["0", "1", "10000", "2100000000000000"]) } : {}),
          ...(dice.chance(40) ? { retryAfterMs: dice.pick([0, 1, 60_000, 3_600_000, Number.MAX_SAFE_INTEGER]) } : {}),
          ...(dice.chance(20) ? { paused: true } : {}),
        });
      case "says-unknown":
        return answer({ reason: "unknown" });
      case "is-silent":
        return;
      case "answers-often":
        for (let i = 0; i < 20; i++) answer({ confirmed: i % 3 === 0, reason: "busy" });
        return;
      case "disconnects":
        return connection.identity.transport.disconnect(connection.id);
      case "leaves":
        for (const { pubkey } of this.nodes) this.#send(connection, { type: "bye", publicKey: pubkey });
        return world.after(dice.spread(1_000, 60_000), () => {
          for (const { pubkey } of this.nodes) this.#sayHelloIfOpen(connection, pubkey);
        });
    }
  }

  #sayHelloIfOpen(connection: Connection, pubkey: NodePubkey): void {
    if (connection.sessionId !== undefined && connection.session.phase.kind === "open") {
      this.#sayHello(connection, pubkey);
    }
  }

  #result(connection: Connection, request: Plain, over: Plain): void {
    const { requestId, channelPoint, channelId } = request;
    this.#send(connection, {
      ...{ type: "paymentResult", requestId, channelPoint, channelId, paymentId: "", confirmed: false },
      confirmedAt: new Date(this.#world.startWallMs + this.#world.atMs).toISOString(),
      ...over,
    });
  }

  #pay({ invoice, channelPoint }: Plain, way: "asked" | "other-channel" | "other-node"): void {
    const { network, watch } = this.#world;
    const decoded = network.decodeInvoice(String(invoice));
    if (decoded.kind === "invalid") return;
    const { payee } = decoded.invoice;
    const asked = this.nodes.find(({ channels }) => channels.includes(channelPoint as ChannelPoint));
    const node = way === "other-node" ? this.nodes.find((one) => one !== asked) ?? asked : asked;
    if (node === undefined) return;
    const shown = network.listChannels(node.pubkey).filter(({ remotePubkey }) => remotePubkey === payee);
    const chosen = way === "asked"
      ? shown.filter((one) => one.channelPoint === channelPoint)
      : shown.filter((one) => one.channelPoint !== channelPoint);
    for (const one of shown) watch.traffic(one.channelPoint, 60_000);
    const outgoingChanIds = chosen.map(({ chanId }) => chanId);
    network.run(() =>
      network.sendPayment(node.pubkey, { paymentRequest: String(invoice), timeoutSec: 30, outgoingChanIds })
    );
  }

  /** Its own nodes tell what happens to its invoices. */
  #lnd({ pubkey }: OwnNode, event: SimEvent): void {
    if (event.kind !== "invoice" || event.invoice.state !== "ACCEPTED") return;
    const { paymentHash } = event.invoice;
    const known = this.#preimages.get(paymentHash);
    if (known === undefined) return;
    this.#held.add(paymentHash);
    const world = this.#world;
    const fate = this.#healed ? "settle" : known.fate;
    world.count(`holds: ${fate}`);
    world.tell(this.name, () => `holds ${paymentHash.slice(0, 6)}: ${fate}`);
    switch (fate) {
      case "settle":
        return world.after(0, () => this.#release(paymentHash, true));
      case "cancel":
        return world.after(this.#dice.spread(1, 2_000), () => this.#release(paymentHash, false));
      case "settle-late":
      case "cancel-late":
        return world.after(
          this.#dice.spread(20_000, 7_200_000),
          () => this.#release(paymentHash, fate === "settle-late"),
        );
      case "vanish":
        return world.after(0, () => this.#while(this.#dice.spread(5_000, 1_800_000), "freeze-node", pubkey));
      case "keep":
        return;
    }
  }

  #release(hash: PaymentHash, settle: boolean): void {
    const known = this.#preimages.get(hash);
    if (known === undefined || !this.#held.delete(hash)) return;
    const { network } = this.#world;
    network.run(() =>
      settle ? network.settleInvoice(known.node, known.preimage) : network.cancelInvoice(known.node, hash)
    );
    const made = this.#made.find(({ paymentHash }) => paymentHash === hash);
    if (settle || made === undefined || this.#healed || !this.plan.withdraws) return;
    // As soon as its victim's node takes the hash again, or a while later.
    this.#world.after(this.#dice.spread(100, 10_000), () => {
      if (!this.#healed) this.#withdraw(this.#dice, made);
    });
  }

  // Attacks

  #attack(kind: AttackKind, dice: Dice): void {
    const world = this.#world;
    world.count(`attack: ${kind}`);
    world.tell(this.name, () => `attacks: ${kind}`);
    const connection = this.#anyConnection(dice);
    switch (kind) {
      case "new-identity":
        if (this.#identities.length < 6) this.#join("member");
        return;
      case "slow-loris":
        if (this.#identities.length < 8) this.#join("never");
        return;
      case "one-satoshi-traffic":
        return this.#oneSatoshiTraffic(dice);
      case "refill":
        return this.#shift(dice, (most) => most * (dice.chance(50) ? 0.95 : dice.fraction()));
      case "park-htlcs":
        return this.#park(dice);
      case "withdraw":
        return this.#withdraw(dice, this.#made.length > 0 && dice.chance(70) ? dice.pick(this.#made) : undefined);
      case "close-channel": {
        const own = this.#anyChannel(dice);
        if (own) world.network.run((network) => network.closeChannel(own.node.pubkey, own.point, dice.chance(50)));
        return;
      }
      case "open-channel":
        return this.#openChannel(dice);
      case "peer-offline":
      case "freeze-node": {
        const own = this.#anyChannel(dice);
        if (own) this.#while(dice.spread(500, 1_800_000), kind, own.node.pubkey, own.victim);
        return;
      }
      case "strike": {
        const act = dice.pick(
          ["disconnect", "close-channel", "freeze-node", "peer-offline", "hello-storm", "refill"] as const,
        );
        const delayMs = dice.chance(50) ? 0 : dice.spread(1, 500);
        return world.atNext(dice.pick(moments), () =>
          world.after(delayMs, () => {
            if (!this.#healed) this.#attack(act, dice);
          }));
      }
    }
    if (connection === undefined) return;
    switch (kind) {
      case "ask":
        return this.#ask(connection, dice);
      case "ask-often":
        for (let count = dice.spread(3, 40), atMs = 0; count > 0; count--) {
          world.after(atMs, () => this.#ask(this.#anyConnection(dice) ?? connection, dice));
          atMs += dice.chance(60) ? 0 : dice.spread(10, 8_000);
        }
        return;
      case "mutate":
        for (let count = dice.spread(1, 20); count > 0; count--) this.#mutate(connection, dice);
        return;
      case "raw-frames":
        return this.#rawFrames(connection, dice);
      case "flood":
        return this.#flood(connection, dice);
      case "forge-result":
        for (let count = dice.spread(1, 10); count > 0; count--) this.#forgeResult(connection, dice);
        return;
      case "hello":
        return this.#sayHello(connection, dice.pick(this.nodes).pubkey, {
          alias: dice.pick(["mallory", "\u001b[31mbob", "x".repeat(500), "", "alice\u202e", "bob\nPaid 1 sat"]),
          ...(dice.chance(20) ? { network: dice.pick(["mainnet", "", "signet"]) } : {}),
          ...(dice.chance(20) ? { version: dice.pick(["tightrope/1", "", "x".repeat(999)]) } : {}),
        });
      case "claim-node":
        return this.#claimNode(connection, dice);
      case "hello-storm":
        for (let count = dice.spread(2, 60); count > 0; count--) {
          const { pubkey } = dice.pick(this.nodes);
          if (dice.chance(50)) this.#send(connection, { type: "bye", publicKey: pubkey });
          else this.#sayHello(connection, pubkey, { alias: `mallory ${count}`, paused: dice.chance(50) });
        }
        return;
      case "lie-about-pauses":
        return this.#sayHello(connection, dice.pick(this.nodes).pubkey, {
          ...(dice.chance(40) ? { paused: true } : {}),
          pausedChannels: world.channels.filter(() => dice.chance(50)).map(({ point }) => point),
        });
      case "disconnect":
        return connection.identity.transport.disconnect(connection.id);
      case "come-and-go":
        // Seldom so often that what may be told of them is used up.
        return this.#comeAndGo(
          connection.identity,
          connection.victim,
          dice.chance(3) ? dice.spread(300, 1_500) : dice.spread(3, 60),
          dice.spread(200, 600),
        );
    }
  }

  #comeAndGo(identity: Identity, victim: SimInstance, visits: number, everyMs: number): void {
    if (this.#healed || visits === 0 || !this.#identities.includes(identity)) return;
    const { swarm } = this.#world;
    const key = this.#world.strangerKey(identity.number);
    swarm.sever(key, victim.swarmKey);
    swarm.mend(key, victim.swarmKey);
    this.#world.count("visits");
    this.#world.after(everyMs, () => this.#comeAndGo(identity, victim, visits - 1, everyMs));
  }

  #anyConnection(dice: Dice): Connection | undefined {
    const open = this.#connections.filter(({ session }) => session.phase.kind === "open");
    return open.length === 0 ? undefined : dice.pick(open);
  }

  #anyChannel(dice: Dice): { node: OwnNode; point: ChannelPoint; victim: NodePubkey } | undefined {
    const all = this.nodes.flatMap((node) =>
      this.#world.network.listChannels(node.pubkey).map((shown) => ({
        node,
        point: shown.channelPoint,
        victim: shown.remotePubkey,
      }))
    );
    return all.length === 0 ? undefined : dice.pick(all);
  }

  #while(forMs: number, what: "freeze-node" | "peer-offline", node: NodePubkey, victim?: NodePubkey): void {
    const { network } = this.#world;
    const set = (wrong: boolean) =>
      network.run(() => {
        if (what === "peer-offline" && victim) network.setConnected(node, victim, !wrong);
        else if (wrong) network.freezeNode(node);
        else network.thawNode(node);
      });
    set(true);
    const undo = () => {
      if (this.#undo.delete(undo)) set(false);
    };
    this.#undo.add(undo);
    this.#world.after(forMs, undo);
  }

  #shift(dice: Dice, amount: (mostMsat: number) => number): void {
    const own = this.#anyChannel(dice);
    if (own === undefined) return;
    const world = this.#world;
    const from = dice.chance(85) ? own.node.pubkey : own.victim;
    const amountMsat = Math.floor(amount(Number(world.spendableMsat(from, own.point))));
    if (amountMsat < 1_000) return;
    world.watch.traffic(own.point, 1_000);
    world.network.run((network) => network.shift(own.point, from, msat(amountMsat)));
  }

  #oneSatoshiTraffic(dice: Dice): void {
    const own = this.#anyChannel(dice);
    if (own === undefined) return;
    const world = this.#world;
    for (let count = dice.spread(2, 30), atMs = 0; count > 0; count--) {
      world.after(atMs, () => {
        const from = dice.chance(50) ? own.node.pubkey : own.victim;
        if (world.spendableMsat(from, own.point) < 1_000n) return;
        world.watch.traffic(own.point, 2_000);
        const request = { channelPoint: own.point, from, amountMsat: msat(1_000) };
        world.network.run((network) => network.forward({ ...request, fails: dice.chance(30) }));
      });
      atMs += dice.spread(1, 5_000);
    }
  }

  #park(dice: Dice): void {
    const own = this.#anyChannel(dice);
    if (own === undefined) return;
    const world = this.#world;
    for (let count = dice.spread(1, 12); count > 0; count--) {
      const from = dice.chance(50) ? own.node.pubkey : own.victim;
      const amountMsat = Math.floor(Number(world.spendableMsat(from, own.point)) * dice.fraction() * 0.6);
      if (amountMsat < 1_000) continue;
      const durationMs = dice.spread(1_000, 1_200_000);
      world.watch.traffic(own.point, durationMs);
      const request = { channelPoint: own.point, from, amountMsat: msat(amountMsat), durationMs };
      world.network.run((network) => network.forward({ ...request, fails: dice.chance(60) }));
    }
  }

  /** The same hash as that of a request, or a fresh one. The node that made the request's invoice takes its hash no second time. */
  #withdraw(dice: Dice, made: Made | undefined): void {
    const world = this.#world;
    const { network } = world;
    const own = this.nodes.filter(({ pubkey }) => pubkey !== made?.node).flatMap((node) =>
      network.listChannels(node.pubkey).filter(({ remotePubkey }) =>
        made === undefined ? world.isHonest(remotePubkey) : remotePubkey === made.victim
      ).map((shown) => ({ node: node.pubkey, shown }))
    );
    if (own.length === 0) return;
    const { node, shown } = dice.pick(own);
    const payer = shown.remotePubkey;
    const most = Number(world.spendableMsat(payer, shown.channelPoint)) / 1_000;
    if (most < 1) return;
    const memo = made !== undefined && dice.chance(60)
      ? made.memo
      : dice.pick(["withdrawal", formatMemo(shown.chanId, "0123456789abcdef"), "tightrope rebalance "]);
    const valueMsat = msat(BigInt(dice.spread(1, most)) * 1_000n);
    const preimage = made === undefined ? {} : { preimage: made.preimage };
    const invoice = network.run(() => network.addInvoice(node, { valueMsat, memo, expirySec: 600, ...preimage }));
    if (isRefusal(invoice)) return;
    const { paymentRequest } = invoice;
    world.watch.withdraws(payer, paymentRequest);
    for (const one of network.listChannels(payer)) world.watch.traffic(one.channelPoint, 60_000);
    const sent = network.run(() => network.sendPayment(payer, { paymentRequest, timeoutSec: 30 }));
    world.count(isRefusal(sent) ? "withdrawals refused" : "withdrawals");
    world.tell(this.name, () => `withdraws ${valueMsat} msat from ${world.nameOf(payer)}: ${memo}`);
  }

  #openChannel(dice: Dice): void {
    const world = this.#world;
    if (this.nodes.length < 5 && dice.chance(30)) this.#addNode();
    const node = dice.pick(this.nodes);
    if (node.channels.length >= 6) return;
    const to = dice.pick(world.nodes);
    const capacitySat = sat(dice.spread(200_000, 10_000_000));
    const pushSat = sat(Math.floor(Number(capacitySat) * dice.pick([0, 0.5, 0.9, 0.97])));
    const point = world.network.run((network) => network.openChannel({ from: node.pubkey, to, capacitySat, pushSat }));
    if (isRefusal(point)) return;
    world.channels.push({ point, nodes: [node.pubkey, to], plan: undefined });
    node.channels.push(point);
    for (const connection of this.#connections) this.#sayHelloIfOpen(connection, node.pubkey);
  }

  /** The most that an honest side would pay over the channel, by its settings. */
  #payable(victim: SimInstance, node: NodePubkey, point: ChannelPoint): { most: number; least: number } {
    const { watch, network } = this.#world;
    const settings = watch.settingsOf(victim, node, point);
    const shown = network.channel(node, point);
    if (shown === undefined) return { most: 0, least: settings.minTransactionSize };
    const total = Number(shown.localSat + shown.remoteSat + shown.unsettledSat);
    const above = Number(shown.localSat) - (settings.balancePoint - settings.deadzone / 2) * total;
    const most = Math.min(settings.maxTransactionSize, above, Number(this.#world.spendableMsat(node, point)) / 1_000);
    return { most: Math.floor(Math.max(0, most)), least: settings.minTransactionSize };
  }

  /** A request for money over one of its channels with the victim. More than half of them are as they should be. */
  #ask(first: Connection, dice: Dice): void {
    const world = this.#world;
    const { network } = world;
    const chosen = new Set(
      dice.chance(55) ? [] : Array.from({ length: dice.chance(75) ? 1 : 2 }, () => dice.pick(lies)),
    );
    const connection = chosen.has("unproven-session") ? this.#anyConnection(dice) ?? first : first;
    const { sessionId, victim } = connection;
    if (sessionId === undefined || connection.session.phase.kind !== "open") return;
    const own = this.nodes.flatMap((node) =>
      network.listChannels(node.pubkey).filter((shown) => victim.nodes.includes(shown.remotePubkey))
        .map((shown) => ({ node, shown }))
    );
    if (own.length === 0) return;
    const { node, shown } = dice.pick(own);
    const other = dice.pick(own);
    const { most, least } = this.#payable(victim, shown.remotePubkey, shown.channelPoint);
    let tokens = dice.chance(50)
      ? most
      : dice.chance(50)
      ? least
      : Math.floor(least + Math.max(0, most - least) * dice.fraction());
    if (tokens < 1) tokens = least;
    if (chosen.has("amount-tiny")) tokens = dice.pick([1, 353, 354, least - 1]);
    if (chosen.has("amount-zero")) tokens = 0;
    if (chosen.has("amount-huge")) tokens = dice.pick([most * 10 + 1, 2_100_000_000_000_000]);
    if (chosen.has("amount-above-share")) tokens = most + dice.spread(1, 100_000);
    tokens = Math.max(0, tokens);
    const replayed = this.#requests.length > 0 ? dice.pick(this.#requests) : undefined;
    const requestId = chosen.has("same-request") && replayed
      ? parseRequestId(replayed.requestId)!
      : drawRequestId(dice);
    let channelPoint = shown.channelPoint;
    if (chosen.has("other-channel")) channelPoint = other.shown.channelPoint;
    if (chosen.has("channel-of-others")) channelPoint = dice.pick(world.channels).point;
    if (chosen.has("channel-unknown")) channelPoint = `${"ab".repeat(32)}:${dice.below(9)}` as ChannelPoint;
    const tag = invoiceTag({
      sessionId: chosen.has("tag-of-session") ? this.#anyConnection(dice)?.sessionId ?? new Uint8Array(32) : sessionId,
      requestId: chosen.has("tag-of-request") ? parseRequestId("0".repeat(32))! : requestId,
      channelPoint: chosen.has("tag-of-channel") ? other.shown.channelPoint : channelPoint,
      tokens: sat(chosen.has("tag-of-amount") ? tokens + 1 : tokens),
    });
    const valueSat = chosen.has("invoice-without-amount")
      ? 0
      : chosen.has("amount-of-invoice")
      ? dice.pick([tokens + 1, tokens * 2, tokens - 1, tokens * 1_000])
      : tokens;
    let by = node.pubkey;
    if (chosen.has("own-other-node")) by = other.node.pubkey;
    if (chosen.has("merchant")) by = dice.pick(world.nodes);
    if (chosen.has("victims-shop")) by = dice.pick(victim.nodes);
    const isOwn = this.nodes.some(({ pubkey }) => pubkey === by);
    const hold = isOwn && dice.chance(35);
    const made = makeInvoice(world, dice, {
      node: by,
      valueMsat: msat(BigInt(Math.max(0, Math.min(valueSat, 2_000_000_000_000))) * 1_000n),
      memo: chosen.has("no-tag")
        ? dice.pick(["", "coffee", formatMemo(shown.chanId, "")])
        : formatMemo(shown.chanId, tag),
      expirySec: chosen.has("expires-soon")
        ? dice.between(1, 8)
        : chosen.has("expires-late")
        ? dice.spread(3_590, 200_000)
        : 600,
      cltvBlocks: chosen.has("cltv") ? dice.pick([143, 144, 145, 1_008, 40_000]) : 80,
      hold,
      twist: chosen.has("twisted")
        ? dice.pick<Twist>(["route-hint", "amp", "other-network", "no-features", "damaged"])
        : "none",
    });
    if (made === undefined) return;
    const memo = network.invoice(by, made.paymentHash)?.memo ?? "";
    remember(this.#made, { ...made, node: by, victim: shown.remotePubkey, memo });
    if (hold) this.#preimages.set(made.paymentHash, { node: by, preimage: made.preimage, fate: dice.pick(fates) });
    else if (isOwn && dice.chance(15)) {
      // Cancelled while it is being looked into or paid.
      world.after(dice.spread(1, 400), () => network.run(() => network.cancelInvoice(by, made.paymentHash)));
    }
    let invoice: unknown = made.text;
    if (chosen.has("known-hash") && replayed) invoice = replayed.invoice;
    if (chosen.has("reflected") && this.#asks.length > 0) invoice = dice.pick(this.#asks).message.invoice;
    const channelId = network.channel(by, channelPoint)?.chanId ?? shown.chanId;
    const request = { type: "payInvoice", requestId, channelPoint, channelId, invoice, tokens: String(tokens) };
    remember(this.#requests, request);
    for (const lie of chosen.size === 0 ? ["as it should"] : chosen) world.count(`asks: ${lie}`);
    world.tell(
      this.name,
      () => `asks ${victim.name} for ${tokens} sat${hold ? " (held)" : ""}: ${[...chosen].join(" ")}`,
    );
    this.#send(connection, chosen.has("replayed") && replayed ? replayed : request);
    if (dice.chance(8)) this.#send(connection, request);
    if (dice.chance(5)) connection.identity.transport.disconnect(connection.id);
  }

  #mutate(connection: Connection, dice: Dice): void {
    if (this.#seen.length === 0) return;
    const text = mutate(dice, dice.pick(this.#seen), this.#seen);
    this.#sendBody(connection, new TextEncoder().encode(text).subarray(0, 65_000));
  }

  #rawFrames(connection: Connection, dice: Dice): void {
    const frame = dice.pick(connection.frames.length > 0 ? connection.frames : [new Uint8Array(33)]);
    const hello = new TextEncoder().encode(JSON.stringify({ type: "bye", publicKey: this.nodes[0]!.pubkey }));
    const sibling = this.#anyConnection(dice);
    switch (dice.below(9)) {
      case 0:
        return this.#sendFrame(connection, frame);
      case 1:
        return this.#sendFrame(connection, frame.slice(0, dice.below(frame.length)));
      case 2:
        return this.#sendFrame(connection, concatBytes(frame, frame));
      case 3:
        return this.#sendFrame(connection, new Uint8Array(dice.pick([0, 1, 31, 32, 65_536])));
      case 4:
        return this.#sendBody(connection, hello, dice.pick([-1, 1, 2, 9]));
      case 5:
        return this.#sendBody(connection, hello, 0, true);
      case 6:
        // A whole frame of another session.
        if (sibling && sibling.frames.length > 0) this.#sendFrame(connection, dice.pick(sibling.frames));
        return;
      default:
        for (let count = dice.spread(1, 30); count > 0; count--) this.#sendBody(connection, garbage(dice));
    }
  }

  #flood(connection: Connection, dice: Dice): void {
    // Seldom more than a session may send.
    const count = dice.chance(6) ? 1_500 : dice.spread(30, 600);
    const what = dice.below(5);
    const { pubkey } = dice.pick(this.nodes);
    const body = garbage(dice).subarray(0, 2_000);
    for (let i = 0; i < count; i++) this.#world.after(Math.floor(i / 500) * 200, () => flood(i));
    const flood = (i: number) => {
      if (what === 0) this.#sendBody(connection, body);
      else if (what === 1) this.#mutate(connection, dice);
      else if (what === 2) this.#send(connection, { type: "bye", publicKey: pubkey });
      else if (what === 3) {
        const requestId = i.toString(16).padStart(32, "e");
        const request = { type: "payInvoice", requestId, channelPoint: `${"cd".repeat(32)}:${i}`, channelId: "1x1x1" };
        this.#send(connection, { ...request, invoice: "lnbcrt1", tokens: "10000" });
      } else if (this.#requests.length > 0) {
        const requestId = (i + count * 1_000).toString(16).padStart(32, "f");
        this.#send(connection, { ...dice.pick(this.#requests), requestId });
      }
    };
  }

  #forgeResult(connection: Connection, dice: Dice): void {
    const ask = this.#asks.length > 0 ? dice.pick(this.#asks).message : undefined;
    const requestId = ask?.requestId ?? "a".repeat(32);
    const channelPoint = dice.chance(20) || !ask ? dice.pick(this.#world.channels).point : ask.channelPoint;
    this.#result(connection, { requestId, channelPoint, channelId: ask?.channelId ?? "1x1x1" }, {
      confirmed: dice.chance(50),
      paymentId: dice.pick(["", "ab".repeat(32)]),
      ...(dice.chance(50) ? { reason: dice.pick(["invalid", "busy", "limit", "balance", "failed", "unknown"]) } : {}),
      ...(dice.chance(30) ? { maxTokens: dice.pick(["0", "1", "2100000000000000"]) } : {}),
      ...(dice.chance(30) ? { retryAfterMs: dice.pick([0, 3_600_000, Number.MAX_SAFE_INTEGER]) } : {}),
    });
  }

  /** Speaks for an honest node; then asks in its name, with an invoice that it made as nodes with a shop do for anybody. */
  #claimNode(connection: Connection, dice: Dice): void {
    const world = this.#world;
    const { network } = world;
    const { victim, sessionId } = connection;
    if (sessionId === undefined) return;
    const claimed = dice.pick(world.nodes);
    const captured = this.#proofs.filter(({ publicKey }) => publicKey === claimed);
    const own = dice.pick(this.nodes).pubkey;
    const proof = [
      () => this.#proof(connection, claimed, own),
      () => this.#proof(connection, claimed, own, true),
      () => captured.length > 0 ? dice.pick(captured).proof : "",
      () => captured.length > 0 ? dice.pick(captured).proof : "",
      () => captured.at(-1)?.proof ?? "",
      () => this.#proofs.length > 0 ? dice.pick(this.#proofs).proof : "",
      () => "",
      () => "y".repeat(104),
    ][dice.below(8)]!();
    const lie = { proof, alias: world.nameOf(claimed), ...(dice.chance(30) ? { paused: true } : {}) };
    this.#sayHello(connection, claimed, lie);
    const channel = world.channels.find(({ nodes }) =>
      nodes.includes(claimed) && nodes.some((node) => node !== claimed && victim.nodes.includes(node))
    );
    if (channel === undefined) return;
    const victimNode = channel.nodes.find((node) => node !== claimed)!;
    const { most, least } = this.#payable(victim, victimNode, channel.point);
    const chanId = network.channel(claimed, channel.point)?.chanId;
    if (chanId === undefined || most < least) return;
    const requestId = drawRequestId(dice);
    const tokens = sat(most);
    const tag = invoiceTag({ sessionId, requestId, channelPoint: channel.point, tokens });
    const made = makeInvoice(world, dice, {
      ...{
        node: claimed,
        valueMsat: msat(most * 1_000),
        memo: formatMemo(chanId, tag),
        expirySec: 600,
        cltvBlocks: 80,
      },
      ...{ hold: false, twist: "none" },
    });
    if (made === undefined) return;
    const request = { type: "payInvoice", requestId, channelPoint: channel.point, channelId: chanId };
    this.#send(connection, { ...request, invoice: made.text, tokens: String(most) });
  }
}

/** Any 32 digits will do; some look like what they aren't: the beginning of a macaroon, nothing, a number. */
function drawRequestId(dice: Dice): RequestId {
  const random = Array.from({ length: 32 }, () => dice.below(16).toString(16)).join("");
  const beginning = dice.chance(80) ? "" : dice.pick(["0201036c6e64", "0".repeat(24), "1e".repeat(12)]);
  return parseRequestId(beginning + random.slice(beginning.length))!;
}

function remember<T>(list: T[], item: T): void {
  list.push(item);
  if (list.length > maxKept) list.shift();
}
