import type { Msat } from "../../lib/domain/amounts.ts";
import type { NodePubkey } from "../../lib/domain/ids.ts";
import type { PaymentOutcome } from "../../lib/domain/payment.ts";
import { LightningError, type NodeCall, type NodeEvent, type NodeReply } from "../../lib/lightning/node.ts";
import {
  answerCall,
  nodeDown,
  nodeEvent,
  nodeInfo,
  startPayment,
  streamEnded,
} from "../../lib/lightning/sim/node_answers.ts";
import type { World } from "./world.ts";

/** What is wrong with one LND now, apart from what the network itself simulates (stopped, frozen, no chain). */
export interface LndTrouble {
  /** Added to every call. */
  slowMs: number;
  /** Calls that come to nothing; that are done but not answered; that are done so much later, after the caller gave up. In percent. */
  requestsLost: number;
  answersLost: number;
  requestsLate: number;
  /** Only calls that pay or look after a payment. */
  onlyPayments: boolean;
  lateMs: number;
  /** Each payment is submitted twice, and the caller hears the loser's answer. */
  twice: boolean;
  /** Tells wrongly, once, how a payment went. */
  contradicts: "fee" | "hop" | undefined;
  /** Hangs for so long once a payment is on its way to it. */
  stuckMs: number;
}

export function noTrouble(): LndTrouble {
  const calls = { slowMs: 0, requestsLost: 0, answersLost: 0, requestsLate: 0, onlyPayments: false, lateMs: 0 };
  return { ...calls, twice: false, contradicts: undefined, stuckMs: 0 };
}

/** How long a call waits for a node that hangs. */
const deadlineMs = 10_000;
const callMs = 1;

/** The wire between one process and one of its LNDs, without promises: a simulation spends most of its time on those. */
export class LndLink {
  readonly #world: World;
  readonly #pubkey: NodePubkey;
  readonly #onEvent: (event: NodeEvent) => void;
  readonly #streams = new Set<(outcome: PaymentOutcome) => void>();
  readonly #unsubscribe: () => void;
  #watching = false;
  #open = true;

  constructor(world: World, pubkey: NodePubkey, onEvent: (event: NodeEvent) => void) {
    this.#world = world;
    this.#pubkey = pubkey;
    this.#onEvent = onEvent;
    this.#unsubscribe = world.network.subscribe(pubkey, (event) => {
      if (!this.#watching) return;
      const told = nodeEvent(world.network, pubkey, event);
      if (told !== undefined) onEvent(told);
    });
  }

  /** Opens the stream of the node's own reports, which begins with whether it runs. */
  watch(): void {
    if (!this.#open) return;
    this.#watching = true;
    const { network } = this.#world;
    const { running } = network.nodeInfo(this.#pubkey);
    this.#onEvent(running ? { kind: "up", info: nodeInfo(network, this.#pubkey) } : nodeDown);
  }

  /** All its streams end without an error, as LND's do when it stops; then they are opened again. */
  endStreams(): void {
    if (!this.#watching) return;
    for (const end of [...this.#streams]) end(streamEnded);
    this.#watching = false;
    if (this.#world.network.nodeInfo(this.#pubkey).running) this.#onEvent(nodeDown);
    this.#world.after(this.#world.dice.spread(10, 2_000), () => this.watch());
  }

  close(): void {
    this.#open = false;
    this.#watching = false;
    this.#unsubscribe();
    this.#streams.clear();
  }

  /** @param isOfPayment whether it is about a payment of ours that has begun */
  call(call: NodeCall, isOfPayment: boolean, done: (reply: NodeReply) => void): void {
    const { dice } = this.#world;
    const trouble = this.#world.troubleOf(this.#pubkey);
    const once = answerOnce(call, (reply) => done(isOfPayment ? this.#contradict(call, reply) : reply));
    this.#world.after(callMs + trouble.slowMs, () => {
      // The process died with the request on its way: it may have left in time.
      if (!this.#open && dice.chance(50)) return;
      const isHit = !trouble.onlyPayments || isOfPayment;
      if (isHit && dice.chance(trouble.requestsLost)) {
        this.#world.count("requests-lost");
        return once.lost("the connection failed");
      }
      if (isHit && dice.chance(trouble.requestsLate)) {
        this.#world.count("requests-late");
        this.#world.after(trouble.lateMs, () => this.#act(call, answerOnce(call, () => {})));
        return once.lost("the connection failed");
      }
      if (isHit && dice.chance(trouble.answersLost)) {
        this.#world.count("answers-lost");
        return this.#act(call, { ...once, give: () => once.lost("the connection failed") });
      }
      this.#act(call, once);
    });
  }

  #act(call: NodeCall, answer: Answer): void {
    const { network } = this.#world;
    const { running, frozen, chainUp } = network.nodeInfo(this.#pubkey);
    if (!running) return answer.refused("No connection established");
    if (frozen) return this.#waitForThaw(call, answer);
    // GetInfo alone hangs without a chain backend.
    if (!chainUp && call.method === "getInfo") return this.#world.after(deadlineMs, () => answer.lost("no answer"));
    if (call.method === "pay") return this.#pay(call, answer);
    try {
      const value = network.run(() => answerCall(network, this.#pubkey, call));
      answer.give({ ok: true, method: call.method, value } as NodeReply);
    } catch (error) {
      if (!(error instanceof LightningError)) throw error;
      answer.give({ ok: false, method: call.method, kind: error.kind, message: error.message, remedy: error.remedy });
    }
  }

  #waitForThaw(call: NodeCall, answer: Answer): void {
    // What a frozen process has in its buffers it may still read after the caller gave up.
    let given = false;
    const stale = this.#world.dice.chance(50);
    const unsubscribe = this.#world.network.subscribe(this.#pubkey, (event) => {
      if (event.kind !== "frozen" && event.kind !== "running") return;
      unsubscribe();
      if (given && !stale) return;
      this.#world.after(0, () => this.#act(call, answer));
    });
    this.#world.after(deadlineMs, () => {
      given = true;
      answer.lost(`no answer within ${deadlineMs} ms`);
    });
  }

  #contradict(call: NodeCall, reply: NodeReply): NodeReply {
    const trouble = this.#world.troubleOf(this.#pubkey);
    const paymentHash = call.method === "pay" ? call.args[0].paymentHash : call.args[0];
    // What the log knows from LND's list alone may be anything that somebody has paid, with a fee or over hops.
    const log = this.#world.instanceOf(this.#pubkey)?.log ?? [];
    if (!log.some((record) => record.kind === "intent" && record.paymentHash === paymentHash)) return reply;
    if (trouble.contradicts === undefined || !reply.ok) return reply;
    if (reply.method !== "pay" && reply.method !== "trackPayment") return reply;
    const { value } = reply;
    if (value.kind !== "settled" || !this.#open) return reply;
    const tracked = call.method === "trackPayment" && this.#world.network.payment(this.#pubkey, call.args[0]);
    if (tracked && this.#world.watch.isWithdrawal(this.#pubkey, tracked)) return reply;
    const wrong = trouble.contradicts === "fee"
      ? { ...value, feeMsat: 1n as Msat }
      : { ...value, routes: value.routes.map((route) => [...route, ...route]) };
    trouble.contradicts = undefined;
    this.#world.count("lnd-contradicts");
    this.#world.watch.contradicted(this.#pubkey);
    return { ...reply, value: wrong } as NodeReply;
  }

  /** The payee that is to keep this payment in flight hangs when its HTLC is on the way. */
  #mayGetStuck(invoice: string): void {
    const decoded = this.#world.network.decodeInvoice(invoice);
    if (decoded.kind === "invalid") return;
    const { payee } = decoded.invoice;
    const { stuckMs } = this.#world.troubleOf(payee);
    if (stuckMs === 0) return;
    this.#world.count("payment-stuck");
    this.#world.after(this.#world.dice.between(0, 120), () => this.#world.hang(payee, stuckMs));
  }

  #pay(call: Extract<NodeCall, { method: "pay" }>, answer: Answer): void {
    const { network } = this.#world;
    this.#mayGetStuck(call.args[0].invoice);
    this.#world.reached("payment-begins");
    network.run(() => {
      let isLoser = false;
      const stream = (outcome: PaymentOutcome) => {
        stop();
        this.#streams.delete(stream);
        if (!isLoser) answer.give({ ok: true, method: "pay", value: outcome });
      };
      let stop = () => {};
      this.#streams.add(stream);
      stop = startPayment(network, this.#pubkey, call.args, stream);
      if (this.#world.troubleOf(this.#pubkey).twice && this.#streams.has(stream)) {
        this.#world.count("payment-made-twice");
        isLoser = true;
        startPayment(network, this.#pubkey, call.args, (value) => answer.give({ ok: true, method: "pay", value }));
      }
    });
  }
}

interface Answer {
  readonly give: (reply: NodeReply) => void;
  /** The answer got lost, or the request did: nobody knows. */
  readonly lost: (why: string) => void;
  /** There was nobody to take the request. */
  readonly refused: (why: string) => void;
}

function answerOnce(call: NodeCall, done: (reply: NodeReply) => void): Answer {
  let answered = false;
  const give = (reply: NodeReply) => {
    if (answered) return;
    answered = true;
    done(reply);
  };
  const fail = (kind: "unknown" | "rejected", detail: string): void =>
    give(
      call.method === "pay"
        ? { ok: true, method: "pay", value: { kind, detail } }
        : { ok: false, method: call.method, kind: "unavailable", message: detail, remedy: "Look at the node" },
    );
  return { give, lost: (why) => fail("unknown", why), refused: (why) => fail("rejected", why) };
}
