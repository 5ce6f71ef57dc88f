import type {
  DescMessage,
  DescMethodServerStreaming,
  DescMethodUnary,
  Message,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { msat, type Sat, sat } from "../../lib/domain/amounts.ts";
import type { ChannelPoint, NodePubkey } from "../../lib/domain/ids.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { systemClock } from "../../lib/env/system.ts";
import { LndConnection, RpcFailure } from "../../lib/lightning/lnd/connection.ts";
import { parseCertificate } from "../../lib/lightning/lnd/credentials.ts";
import type { RpcStatus } from "../../lib/lightning/lnd/errors.ts";
import { Invoices } from "../../lib/lightning/lnd/gen/invoices_pb.ts";
import { Lightning } from "../../lib/lightning/lnd/gen/lightning_pb.ts";
import { Router } from "../../lib/lightning/lnd/gen/router_pb.ts";
import { State } from "../../lib/lightning/lnd/gen/stateservice_pb.ts";
import { ClockedNetwork } from "../../lib/lightning/sim/clocked_network.ts";
import { LndServer } from "../../lib/lightning/sim/lnd_server.ts";
import { type MacaroonSpec, standardMacaroons, uriOps } from "../../lib/lightning/sim/macaroon.ts";
import { instantTiming, isRefusal, type SimInvoice, type SimRefusal } from "../../lib/lightning/sim/model.ts";
import { SimNetwork } from "../../lib/lightning/sim/network.ts";
import { type Answer, ourAnswer, readRecordings, recordedAnswer, type Recording, requestOf } from "./lnd_recordings.ts";

/**
 * Replays what was recorded from three real LNDs (Alice, Bob and Carol; 0.17.5, 0.18.5 and 0.19.3) against the simulated
 * ones: the same calls over gRPC, and the same codes, words, fields and order of updates.
 */

type Name = "alice" | "bob" | "carol";
const lightning = Lightning.method;
const router = Router.method;

class World implements AsyncDisposable {
  readonly recordings: ReadonlyMap<string, Recording>;
  readonly host: ClockedNetwork;
  readonly network: SimNetwork;
  readonly servers = new Map<Name, LndServer>();
  readonly keys = new Map<Name, NodePubkey>();
  readonly #connections = new Map<string, LndConnection>();
  readonly #random = new SeededRandom(0x5eed);
  readonly mismatches: string[] = [];
  channelPoint!: ChannelPoint;
  #hashes = 0;

  constructor(readonly version: string) {
    this.recordings = readRecordings(version);
    const start = { atMs: systemClock.now().atMs, wallMs: Date.parse("2026-11-22T17:00:00Z") };
    this.network = new SimNetwork({ random: this.#random, start, timing: instantTiming });
    this.host = new ClockedNetwork(this.network, systemClock);
  }

  static async open(version: string): Promise<World> {
    const world = new World(version);
    for (const alias of ["alice", "bob", "carol"] as const) {
      const node = world.network.addNode({ alias, version: `${version}-beta commit=` });
      world.keys.set(alias, node);
    }
    const channel = (from: Name, to: Name, capacitySat: bigint, pushSat: bigint, isPrivate: boolean) => {
      const point = granted(world.network.openChannel({
        from: world.key(from),
        to: world.key(to),
        capacitySat: sat(capacitySat),
        pushSat: sat(pushSat),
        // 0.19.3 chose another fee rate for its later channels.
        ...(version === "0.19.3" && pushSat === 0n ? { feePerKwSat: sat(1_247n) } : {}),
        private: isPrivate,
        instant: true,
      }));
      return point;
    };
    world.channelPoint = channel("alice", "bob", 1_000_000n, 100_000n, false);
    channel("alice", "carol", 500_000n, 0n, true);
    channel("bob", "carol", 2_000_000n, 0n, false);
    world.host.start();
    for (const [name, node] of world.keys) {
      world.servers.set(
        name,
        await LndServer.start({ host: world.host, node, random: world.#random, shutdownMs: 5 }),
      );
    }
    return world;
  }

  key(name: Name): NodePubkey {
    return this.keys.get(name)!;
  }

  server(name: Name): LndServer {
    return this.servers.get(name)!;
  }

  /** @param macaroon hex; default the admin's */
  connection(name: Name, macaroon?: string): LndConnection {
    const server = this.server(name);
    const id = `${name} ${macaroon ?? ""}`;
    let connection = this.#connections.get(id);
    if (connection === undefined) {
      connection = new LndConnection({
        certificate: parseCertificate(server.certificatePem, "the server"),
        macaroonHex: macaroon ?? server.adminMacaroonHex,
      }, { socket: server.socket, tlsServerName: "localhost", reconnectMs: { min: 5, max: 10 } });
      this.#connections.set(id, connection);
    }
    return connection;
  }

  /** The one channel between Alice and Bob, from one side. */
  channel(name: Name) {
    return this.network.channel(this.key(name), this.channelPoint)!;
  }

  chanIds(from: Name, to: Name): string[] {
    return this.network.listChannels(this.key(from)).filter((one) => one.remotePubkey === this.key(to)).map((one) =>
      one.chanId
    );
  }

  invoice(name: Name, valueSat: bigint, more: { hold?: string; expirySec?: number; memo?: string } = {}): SimInvoice {
    const { hold, ...rest } = more;
    return granted(this.host.run((network) =>
      network.addInvoice(this.key(name), {
        valueMsat: msat(valueSat * 1000n),
        ...rest,
        ...(hold === undefined ? {} : { hash: sha256(hold) }),
      })
    ));
  }

  /** Moves what Alice and Bob hold in their channel to where it stood in a recording. */
  setBobsBalance(bobMsat: bigint): void {
    const movedMsat = bobMsat - this.channel("bob").localSat * 1000n;
    if (movedMsat > 0n) this.shift("alice", "bob", movedMsat);
    else this.shift("bob", "alice", -movedMsat);
  }

  shift(from: Name, to: Name, amountMsat: bigint): void {
    const node = this.key(from);
    const channel = this.network.listChannels(node).find((one) => one.remotePubkey === this.key(to));
    assert.ok(channel);
    const refused = this.host.run((network) => network.shift(channel.channelPoint, node, msat(amountMsat)));
    assert.equal(refused, undefined);
  }

  /** A preimage that nobody has used yet. */
  preimage(): string {
    return (++this.#hashes).toString(16).padStart(64, "0");
  }

  async until(condition: () => boolean): Promise<void> {
    for (let turn = 0; !condition(); turn++) {
      assert.ok(turn < 10_000, `${this.version}: what was recorded does not come`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  /** Compares an answer with the recording of this name; collects what differs. */
  compare(name: string, output: DescMessage, ours: Answer): void {
    const recording = this.recordings.get(name);
    assert.ok(recording, `${this.version} has no recording ${name}`);
    try {
      assert.deepEqual(ours, recordedAnswer(recording, output));
    } catch (error) {
      if (!(error instanceof assert.AssertionError)) throw error;
      this.mismatches.push(`${name}: ${error.message}`);
    }
  }

  /** Makes a unary call, and compares its answer. `request` changes the recorded one. */
  async unary<I extends DescMessage, O extends DescMessage>(
    name: string,
    node: Name,
    method: DescMethodUnary<I, O>,
    request: MessageInitShape<I> | Record<string, never> = {},
    macaroon?: string,
  ): Promise<MessageShape<O> | undefined> {
    const full = { ...requestOf(method.input, this.recordings.get(name)?.request), ...request } as MessageInitShape<I>;
    try {
      const response = await this.connection(node, macaroon).unary(method, full, 10_000);
      this.compare(
        name,
        method.output,
        ourAnswer(method.output, [response], undefined),
      );
      return response;
    } catch (error) {
      if (!(error instanceof RpcFailure)) throw error;
      this.compare(name, method.output, ourAnswer(method.output, [], error.status));
      return undefined;
    }
  }

  /** Starts a stream; `done` compares what it brought. */
  stream<I extends DescMessage, O extends DescMessage>(
    node: Name,
    method: DescMethodServerStreaming<I, O>,
    request: MessageInitShape<I>,
    macaroon?: string,
  ) {
    const messages: MessageShape<O>[] = [];
    let end: RpcStatus | undefined;
    const stream = this.connection(node, macaroon).stream(method, request, {
      onMessage: (message) => messages.push(message),
      onEnd: (status) => end = status,
    });
    return {
      messages,
      ended: stream.ended,
      /** After its end. */
      done: async (name: string) => {
        await stream.ended;
        this.compare(name, method.output, ourAnswer(method.output, messages as Message[], end));
      },
      /** After as many messages as were recorded; then it is left. */
      leave: async (name: string, count = this.recordings.get(name)?.updates?.length ?? 0) => {
        await this.until(() => messages.length >= count || end !== undefined);
        stream.cancel();
        await stream.ended;
        this.compare(name, method.output, ourAnswer(method.output, messages as Message[], end));
      },
    };
  }

  /** Pays as the recording did, with an invoice of ours in place of the recorded one. */
  pay(
    name: string,
    from: Name,
    paymentRequest: string | undefined,
    outgoingChanIds: string[] = this.chanIds(from, from === "alice" ? "bob" : "alice"),
    macaroon?: string,
  ) {
    const recorded = requestOf(router.sendPaymentV2.input, this.recordings.get(name)?.request);
    return this.stream(from, router.sendPaymentV2, {
      timeoutSeconds: this.recordings.has(name) ? 0 : 10,
      ...recorded,
      outgoingChanIds,
      ...(paymentRequest === undefined ? {} : { paymentRequest }),
    }, macaroon);
  }

  /** Replays a payment to its end. */
  async paid(name: string, from: Name, paymentRequest?: string, outgoingChanIds?: string[]): Promise<void> {
    await this.pay(name, from, paymentRequest, outgoingChanIds).done(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const connection of this.#connections.values()) connection.close();
    for (const server of this.servers.values()) await server.close();
    await this.host.close();
    // grpc-js's back-off timer outlives its channel.
    await new Promise((resolve) => setTimeout(resolve, 15));
  }
}

function sha256(hex: string): string {
  return createHash("sha256").update(hex, "hex").digest("hex");
}

function granted<T>(result: T | SimRefusal): T {
  if (isRefusal(result)) assert.fail(result.text);
  return result;
}

type Scenario = (world: World) => Promise<void>;

const scenarios: Readonly<Record<string, Scenario>> = {
  async "what a node says of itself and its channels"(world) {
    await world.unary("getinfo_alice", "alice", lightning.getInfo);
    await world.unary("getstate_alice", "alice", State.method.getState);
    for (const name of ["alice", "bob", "carol"] as const) {
      await world.unary(`listchannels_${name}_initial`, name, lightning.listChannels);
    }
    await world.unary("listchannels_bad_peer", "alice", lightning.listChannels);
    await world.unary("signmessage_alice", "alice", lightning.signMessage);
    await world.unary("signmessage_empty", "alice", lightning.signMessage);
  },

  async "adding invoices"(world) {
    const names = ["basic", "amountless", "msat_preimage", "duplicate_preimage", "bad_preimage_len", "expiry_too_long"];
    const more = ["expiry_zero_default", "memo_640", "memo_too_long", "negative", "negative_expiry", "over_capacity"];
    for (const name of [...names, ...more, "too_large", "value_and_msat"]) {
      await world.unary(`addinvoice_${name}`, "bob", lightning.addInvoice);
    }
  },

  async "looking up and cancelling invoices"(world) {
    const basic = world.invoice("bob", 10_000n, { memo: "hello", expirySec: 3_600 });
    const rHash = bytes(basic.paymentHash);
    await world.unary("lookupinvoice_open", "bob", lightning.lookupInvoice, { rHash });
    await world.unary("lookupinvoice_open_by_str", "bob", lightning.lookupInvoice, { rHashStr: basic.paymentHash });
    await world.unary("lookupinvoice_unknown", "bob", lightning.lookupInvoice);
    await world.unary("lookupinvoice_bad_hash_len", "bob", lightning.lookupInvoice);
    const dropped = world.invoice("bob", 2_000n, { memo: "to be cancelled" });
    const paymentHash = bytes(dropped.paymentHash);
    await world.unary("cancelinvoice", "bob", Invoices.method.cancelInvoice, { paymentHash });
    await world.unary("cancelinvoice_again", "bob", Invoices.method.cancelInvoice, { paymentHash });
    await world.unary("cancelinvoice_unknown", "bob", Invoices.method.cancelInvoice);
    await world.unary("lookupinvoice_cancelled", "bob", lightning.lookupInvoice, { rHash: paymentHash });
    await world.paid("sendpaymentv2_cancelled_invoice", "alice", dropped.paymentRequest);
    await world.paid("sendpaymentv2_retry_failed_hash", "alice", dropped.paymentRequest);
    await world.stream("alice", router.trackPaymentV2, { paymentHash }).done("trackpaymentv2_failed");
    const quiet = "sendpaymentv2_cancelled_invoice_no_inflight";
    const other = world.invoice("bob", recordedAmountSat(world, "cancelled_invoice_no_inflight"));
    world.host.run((network) => network.cancelInvoice(world.key("bob"), other.paymentHash));
    await world.paid(quiet, "alice", other.paymentRequest);
  },

  async "decoding invoices, the recorded ones themselves"(world) {
    const names = ["good", "amountless", "expired", "tampered_sig", "uppercase", "bad_checksum", "empty", "garbage"];
    for (const name of [...names, "lightning_prefix", "wrong_network", "wrong_network_tb"]) {
      await world.unary(`decodepayreq_${name}`, "alice", lightning.decodePayReq);
    }
  },

  async "macaroons"(world) {
    const server = world.server("alice");
    const bake = (spec: Partial<MacaroonSpec>) => server.bakeMacaroon({ rootKeyId: "0", ops: [], ...spec });
    const getInfo = (name: string, macaroon: string) =>
      world.unary(`macaroon_${name}`, "alice", lightning.getInfo, {}, macaroon);
    const admin = server.adminMacaroonHex;
    await getInfo("bad_signature", admin.slice(0, -2) + (admin.endsWith("00") ? "01" : "00"));
    await getInfo("of_other_node", world.server("bob").adminMacaroonHex);
    await getInfo("not_hex", "zz");
    await getInfo("garbage_hex", "deadbeef");
    await getInfo(
      "time_expired",
      bake({ ops: standardMacaroons.admin, caveats: ["time-before 2020-01-01T00:00:00Z"] }),
    );
    const readonly = bake({ ops: standardMacaroons.readonly });
    await getInfo("readonly_getinfo_ok", readonly);
    await world.unary("macaroon_readonly_addinvoice", "alice", lightning.addInvoice, {}, readonly);
    await world.pay("macaroon_readonly_sendpaymentv2", "alice", "lnbcrt", [], readonly).done(
      "macaroon_readonly_sendpaymentv2",
    );
    const invoice = bake({ ops: standardMacaroons.invoice });
    await world.unary("macaroon_invoice_listchannels", "alice", lightning.listChannels, {}, invoice);
    const baked = bake({ rootKeyId: "7", ops: uriOps(["/lnrpc.Lightning/ListChannels"]) });
    await world.unary("macaroon_baked_uri_ok", "alice", lightning.listChannels, {}, baked);
    server.revokeRootKey("7");
    await world.unary("macaroon_revoked_rootkey", "alice", lightning.listChannels, {}, baked);
  },

  async "payments that are refused or fail without an attempt"(world) {
    const to = (amount: bigint) => world.invoice("bob", amount).paymentRequest;
    await world.paid("sendpaymentv2_garbage_invoice", "alice");
    await world.paid("sendpaymentv2_expired", "alice");
    await world.paid("sendpaymentv2_fee_both", "alice", to(5_000n));
    await world.paid("sendpaymentv2_self_not_allowed", "alice", world.invoice("alice", 5_000n).paymentRequest);
    await world.paid("sendpaymentv2_amountless_no_amt", "alice", to(0n));
    await world.paid("sendpaymentv2_amt_equal_with_fixed_invoice", "alice", to(5_000n));
    await world.paid("sendpaymentv2_amt_with_fixed_invoice", "alice", to(5_000n));
    await world.paid("sendpaymentv2_unknown_outgoing_chan", "alice", recordedAmount(world, "unknown_outgoing_chan"), [
      "12345",
    ]);
    world.setBobsBalance((recordedAmountSat(world, "bob_exactly_reserve") + 10_000n) * 1000n);
    for (const name of ["amount_over_local_balance", "amount_equals_local_balance", "amount_dips_into_reserve"]) {
      await world.paid(`sendpaymentv2_${name}`, "alice", recordedAmount(world, name));
    }
    const exactly = "amount_exactly_local_minus_reserve";
    await world.paid(`sendpaymentv2_${exactly}`, "alice", recordedAmount(world, exactly));
    for (const name of ["bob_one_over_reserve", "bob_exactly_reserve"]) {
      await world.paid(`sendpaymentv2_${name}`, "bob", recordedAmount(world, name, "alice"));
    }
    const carols = recordedAmount(world, "multihop_fee0", "carol");
    await world.paid("sendpaymentv2_multihop_fee0", "alice", carols);
    const unknown = { paymentHash: bytes("dd".repeat(32)) };
    await world.stream("alice", router.trackPaymentV2, unknown).done("trackpaymentv2_unknown");
    const short = { paymentHash: bytes("dddd") };
    await world.stream("alice", router.trackPaymentV2, short).done("trackpaymentv2_bad_hash");
  },

  async "payments that settle, what streams tell of them, and paying twice"(world) {
    const invoice = world.invoice("bob", 10_000n, { memo: "hello2", expirySec: 3_600 });
    const hash = bytes(invoice.paymentHash);
    const alices = world.stream("alice", router.subscribeHtlcEvents, {});
    const bobs = world.stream("bob", router.subscribeHtlcEvents, {});
    const single = world.stream("bob", Invoices.method.subscribeSingleInvoice, { rHash: hash });
    await world.until(() => [alices, bobs, single].every(({ messages }) => messages.length === 1));
    await world.paid("sendpaymentv2_success", "alice", invoice.paymentRequest);
    await single.done("subscribesingleinvoice_bob");
    await alices.leave("events_success_htlc_alice");
    await bobs.leave("events_success_htlc_bob");
    await world.unary("lookupinvoice_settled", "bob", lightning.lookupInvoice, { rHash: hash });
    await world.unary("cancelinvoice_settled", "bob", Invoices.method.cancelInvoice, { paymentHash: hash });
    await world.paid("sendpaymentv2_already_paid_same_sender", "alice", invoice.paymentRequest);
    await world.stream("alice", router.trackPaymentV2, { paymentHash: hash }).done("trackpaymentv2_settled");
    const onlyEnd = { paymentHash: hash, noInflightUpdates: true };
    await world.stream("alice", router.trackPaymentV2, onlyEnd).done("trackpaymentv2_settled_no_inflight");

    const quiet = "sendpaymentv2_success_no_inflight";
    await world.paid(quiet, "alice", recordedAmount(world, "success_no_inflight"));
    await world.paid("sendpaymentv2_amountless_with_amt", "alice", world.invoice("bob", 0n).paymentRequest);
    await world.paid("sendpaymentv2_no_timeout", "alice", recordedAmount(world, "no_timeout"));
    const privately = recordedAmount(world, "private_channel_direct", "carol");
    await world.paid("sendpaymentv2_private_channel_direct", "alice", privately, world.chanIds("alice", "carol"));
    const between = recordedAmount(world, "bob_to_carol_direct", "carol");
    await world.paid("sendpaymentv2_bob_to_carol_direct", "bob", between, world.chanIds("bob", "carol"));
  },

  async "an HTLC that fails at the payee, as both see it"(world) {
    const failed = world.recordings.get("events_failed_htlc_bob")!.updates![1]!.msg as {
      link_fail_event: { info: { incoming_amt_msat: string } };
    };
    const amountSat = BigInt(failed.link_fail_event.info.incoming_amt_msat) / 1000n;
    const dropped = world.invoice("bob", amountSat);
    world.host.run((network) => network.cancelInvoice(world.key("bob"), dropped.paymentHash));
    const alices = world.stream("alice", router.subscribeHtlcEvents, {});
    const bobs = world.stream("bob", router.subscribeHtlcEvents, {});
    await world.until(() => [alices, bobs].every(({ messages }) => messages.length === 1));
    await world.paid("sendpaymentv2_cancelled_with_events", "alice", dropped.paymentRequest);
    const later = (world.recordings.get("events_failed_htlc_alice")!.updates![3]!.msg as {
      forward_event: { info: { outgoing_amt_msat: string } };
    }).forward_event.info.outgoing_amt_msat;
    const large = world.invoice("bob", BigInt(later) / 1000n).paymentRequest;
    const largeName = "sendpaymentv2_large_with_events";
    // Recorded on its own from 0.19.3 only.
    const paying = world.pay(largeName, "alice", large);
    await (world.recordings.has(largeName) ? paying.done(largeName) : paying.ended);
    await alices.leave("events_failed_htlc_alice");
    await bobs.leave("events_failed_htlc_bob");
  },

  async "a payment that is held, seen in the channel, and asked for twice"(world) {
    const preimage = world.preimage();
    const amountSat = 25_000n;
    const recorded = world.recordings.get("listchannels_bob_inflight")!.response as {
      channels: { capacity: string; local_balance: string; remote_balance: string }[];
    };
    // The channels stood elsewhere by then, and not on whole satoshis.
    for (const { capacity, local_balance, remote_balance } of recorded.channels) {
      if (capacity === "1000000") world.setBobsBalance(BigInt(local_balance) * 1000n + 500n);
      else world.shift("bob", "carol", BigInt(remote_balance) * 1000n);
    }
    const held = world.invoice("bob", amountSat, { hold: preimage, expirySec: 3_600 });
    const hash = bytes(held.paymentHash);
    const isHeld = () => world.network.invoice(world.key("bob"), held.paymentHash)?.state === "ACCEPTED";
    const paying = world.pay("sendpaymentv2_hold_settle", "alice", held.paymentRequest);
    await world.until(isHeld);
    for (const name of ["alice", "bob"] as const) {
      await world.unary(`listchannels_${name}_inflight`, name, lightning.listChannels);
    }
    await world.unary("lookupinvoice_accepted_hold", "bob", lightning.lookupInvoice, { rHash: hash });
    await world.paid("sendpaymentv2_same_hash_while_inflight", "alice", held.paymentRequest);
    await world.stream("alice", router.trackPaymentV2, { paymentHash: hash }).leave("trackpaymentv2_inflight");
    assert.equal(world.host.run((network) => network.settleInvoice(world.key("bob"), preimage)), undefined);
    await paying.ended;

    const cancelled = world.invoice("bob", 3_000n, { hold: world.preimage() });
    const failing = world.pay("sendpaymentv2_hold_cancel_after_timeout", "alice", cancelled.paymentRequest);
    await world.until(() => world.network.invoice(world.key("bob"), cancelled.paymentHash)?.state === "ACCEPTED");
    world.host.run((network) => network.cancelInvoice(world.key("bob"), cancelled.paymentHash));
    await failing.ended;
    assert.deepEqual(
      failing.messages.map(({ status, htlcs }) => [status, htlcs.map((htlc) => htlc.status)]),
      statusesOf(world, "sendpaymentv2_hold_cancel_after_timeout"),
    );
  },

  async "channels that open, bounce and close"(world) {
    const open = world.stream("alice", lightning.subscribeChannelEvents, {});
    await world.connection("alice").unary(lightning.getInfo, {}, 5_000);
    const point = granted(world.host.run((network) =>
      network.openChannel({
        from: world.key("alice"),
        to: world.key("carol"),
        capacitySat: sat(300_000n),
        pushSat: sat(50_000n),
        ...(world.version === "0.19.3" ? { feePerKwSat: sat(1_247n) } : {}),
      })
    ));
    await world.until(() => open.messages.length === 3);
    assert.equal(world.host.run((network) => network.closeChannel(world.key("alice"), point)), undefined);
    await open.leave("subscribechannelevents_alice_open_close");

    const bounce = world.stream("alice", lightning.subscribeChannelEvents, {});
    await world.connection("alice").unary(lightning.getInfo, {}, 5_000);
    world.host.run((network) => network.setConnected(world.key("alice"), world.key("bob"), false));
    await world.until(() => bounce.messages.length === 1);
    world.host.run((network) => network.setConnected(world.key("alice"), world.key("bob"), true));
    await bounce.leave("subscribechannelevents_alice_peer_bounce");
  },

  async "a peer that is offline, and one that is frozen"(world) {
    const invoice = recordedAmount(world, "peer_offline");
    world.host.run((network) => network.setConnected(world.key("alice"), world.key("bob"), false));
    await world.paid("sendpaymentv2_peer_offline", "alice", invoice);
    world.host.run((network) => network.setConnected(world.key("alice"), world.key("bob"), true));
    await world.until(() => world.channel("alice").active);
    await world.paid("sendpaymentv2_after_peer_back", "alice", invoice);

    const frozen = "sendpaymentv2_peer_frozen_then_resumed";
    const later = recordedAmount(world, "peer_frozen_then_resumed");
    world.host.run((network) => network.freezeNode(world.key("bob")));
    const paying = world.pay(frozen, "alice", later);
    await world.until(() => paying.messages.length === 2);
    world.host.run((network) => network.thawNode(world.key("bob")));
    await paying.done(frozen);
  },

  async "two submits of one invoice at once"(world) {
    const invoice = recordedAmount(world, "double_submit_1");
    const [first, second] = ["sendpaymentv2_double_submit_1", "sendpaymentv2_double_submit_2"] as const;
    // Either may lose.
    const lost = world.recordings.get(first)!.error !== undefined ? first : second;
    const won = lost === first ? second : first;
    // Long enough that the second comes before the first's attempt.
    world.network.setTiming({ paymentMs: 2_000 });
    const winner = world.pay(won, "alice", invoice);
    const loser = world.pay(lost, "alice", invoice);
    await loser.done(lost);
    world.network.setTiming({ paymentMs: 0 });
    await winner.done(won);
  },

  async "the sender restarts with an HTLC out"(world) {
    const preimage = world.preimage();
    const held = world.invoice("bob", recordedAmountSat(world, "sender_restarts_midflight"), { hold: preimage });
    const paymentHash = bytes(held.paymentHash);
    const paying = world.pay("sendpaymentv2_sender_restarts_midflight", "alice", held.paymentRequest);
    const htlcs = world.stream("alice", router.subscribeHtlcEvents, {});
    await world.until(() => world.network.invoice(world.key("bob"), held.paymentHash)?.state === "ACCEPTED");
    await world.until(() => paying.messages.length === 2 && htlcs.messages.length >= 1);
    await world.server("alice").stop();
    await paying.ended;
    const { error } = world.recordings.get("sendpaymentv2_sender_restarts_midflight")!;
    // Both were seen: the last words, and a connection that broke before them.
    assert.ok([2, 14].includes(error!.code));
    await htlcs.ended;
    await world.server("alice").restart();
    await world.until(() => world.channel("alice").active);
    const resend = "sendpaymentv2_resend_after_restart_inflight";
    // The old connection may still be waiting for its next attempt.
    await retried(() => world.connection("alice").unary(lightning.getInfo, {}, 5_000));
    await world.paid(resend, "alice", held.paymentRequest);
    const track = world.stream("alice", router.trackPaymentV2, { paymentHash });
    await world.until(() => track.messages.length === 1);
    assert.equal(world.host.run((network) => network.settleInvoice(world.key("bob"), preimage)), undefined);
    await track.ended;
    assert.deepEqual(
      track.messages.map(({ status, htlcs }) => [status, htlcs.map((htlc) => htlc.status)]),
      statusesOf(world, "trackpaymentv2_after_sender_restart"),
    );
  },

  async "a stop, as streams hear it"(world) {
    const htlcs = world.stream("carol", router.subscribeHtlcEvents, {});
    await world.until(() => htlcs.messages.length === 1);
    await world.server("carol").stop();
    await htlcs.done("stream_at_server_shutdown_htlc");
    await world.server("carol").restart();
  },

  async "a locked wallet"(world) {
    const server = world.server("bob");
    server.setWalletState("LOCKED");
    await world.unary("wallet_locked_getstate", "bob", State.method.getState);
    await world.unary("wallet_locked_getinfo", "bob", lightning.getInfo);
    await world.unary("wallet_locked_getinfo_no_macaroon", "bob", lightning.getInfo, {}, "");
    await world.unary("wallet_locked_listchannels", "bob", lightning.listChannels);
    await world.unary("wallet_locked_addinvoice", "bob", lightning.addInvoice);
    await world.pay("wallet_locked_sendpaymentv2", "bob", "lnbcrt", []).done("wallet_locked_sendpaymentv2");
    server.setWalletState("SERVER_ACTIVE");
  },
};

function bytes(hex: string): Uint8Array {
  return Uint8Array.from(hex.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** What was paid in a recording of SendPaymentV2. */
function recordedAmountSat(world: World, name: string): Sat {
  const recording = world.recordings.get(`sendpaymentv2_${name}`);
  const text = (recording?.request as { payment_request?: string })?.payment_request ?? "";
  const amount = /^lnbcrt(\d+)([munp])1/.exec(text);
  assert.ok(amount, `${name} pays an amount`);
  const perUnit: Record<string, bigint> = { m: 1_000_000_000n, u: 1_000_000n, n: 1_000n, p: 1n };
  // In tenths of a msat.
  return sat(BigInt(amount[1]!) * perUnit[amount[2]!]! / 10_000n);
}

/** An invoice for what was paid in a recording. */
function recordedAmount(world: World, name: string, payee: Name = "bob"): string {
  return world.invoice(payee, recordedAmountSat(world, name)).paymentRequest;
}

function statusesOf(world: World, name: string): unknown[] {
  const output = router.trackPaymentV2.output;
  const statuses = output.field.status.enum!;
  const htlcStatuses = output.field.htlcs.message!.field.status!.enum!;
  const number = (from: typeof statuses, text: unknown) => from.values.find((value) => value.name === text)!.number;
  return world.recordings.get(name)!.updates!.map(({ msg }) => [
    number(statuses, msg["status"]),
    (msg["htlcs"] as { status: string }[]).map((htlc) => number(htlcStatuses, htlc.status)),
  ]);
}

async function retried(call: () => Promise<unknown>): Promise<void> {
  for (let attempt = 0;; attempt++) {
    try {
      await call();
      return;
    } catch (error) {
      if (!(error instanceof RpcFailure) || attempt === 100) throw error;
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  }
}

for (const version of ["0.17.5", "0.18.5", "0.19.3"]) {
  for (const [name, scenario] of Object.entries(scenarios)) {
    Deno.test(`the simulated LND ${version} answers as recorded: ${name}`, async () => {
      await using world = await World.open(version);
      await scenario(world);
      if (world.mismatches.length > 0) assert.fail(world.mismatches.join("\n\n"));
    });
  }
}
