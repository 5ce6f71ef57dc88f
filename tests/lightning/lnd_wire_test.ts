import {
  create,
  type DescEnum,
  type DescField,
  type DescMessage,
  type DescMethod,
  type DescService,
  equals,
  fromBinary,
  type Message,
  ScalarType,
  toBinary,
} from "@bufbuild/protobuf";
import { reflect, type ReflectMessage } from "@bufbuild/protobuf/reflect";
import { FieldDescriptorProto_Label, FieldDescriptorProto_Type } from "@bufbuild/protobuf/wkt";
import * as grpc from "@grpc/grpc-js";
import {
  authenticatedLndGrpc,
  cancelHodlInvoice,
  createInvoice,
  decodePaymentRequest,
  getChannels,
  getInvoice,
  getPayments,
  getWalletInfo,
  payViaPaymentRequest,
  signMessage,
} from "lightning";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import type { NodePubkey, PaymentHash, ShortChannelId } from "../../lib/domain/ids.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { file_invoices, Invoices } from "../../lib/lightning/lnd/gen/invoices_pb.ts";
import { file_lightning, Lightning } from "../../lib/lightning/lnd/gen/lightning_pb.ts";
import { file_router, Router } from "../../lib/lightning/lnd/gen/router_pb.ts";
import { file_stateservice, State } from "../../lib/lightning/lnd/gen/stateservice_pb.ts";
import { clientOf, Pair } from "./lnd_harness.ts";
import { officialService, officialType } from "./lnd_official.ts";

const files = [file_lightning, file_router, file_invoices, file_stateservice];
const services: readonly DescService[] = [Lightning, Router, Invoices, State];
const lastName = (typeName: string) => typeName.split(".").at(-1);

function describe(field: DescField) {
  return {
    name: field.name,
    number: field.number,
    label: `LABEL_${FieldDescriptorProto_Label[field.proto.label]}`,
    type: `TYPE_${FieldDescriptorProto_Type[field.proto.type]}`,
    // protobufjs names the entry of a map after the field.
    typeName: field.fieldKind === "map" ? "a map" : lastName(field.proto.typeName),
  };
}

function* messagesOf(messages: readonly DescMessage[]): Generator<DescMessage> {
  for (const message of messages) {
    yield message;
    yield* messagesOf(message.nestedMessages);
  }
}

Deno.test("every field of our protos has the name, number and type that it has in LND's", () => {
  let checked = 0;
  for (const message of files.flatMap((file) => [...messagesOf(file.messages)])) {
    const official = officialType(message.typeName).field ?? [];
    for (const field of message.fields) {
      const other = official.find(({ number }) => number === field.number);
      assert.ok(other, `${message.typeName}.${field.name} = ${field.number}`);
      const typeName = field.fieldKind === "map" ? "a map" : lastName(other.typeName);
      const { name, number, label, type } = other;
      assert.deepEqual(describe(field), { name, number, label, type, typeName }, message.typeName);
      checked++;
    }
  }
  assert.ok(checked > 200);
});

Deno.test("every value of our enums has the name and number that it has in LND's", () => {
  const nested = files.flatMap((file) => [...messagesOf(file.messages)].flatMap((message) => message.nestedEnums));
  const enums: readonly DescEnum[] = [...files.flatMap((file) => file.enums), ...nested];
  for (const one of enums) {
    const official = one.parent === undefined
      ? officialType(one.typeName).value
      : officialType(one.parent.typeName).enumType?.find((nested) => nested.name === one.name)?.value;
    assert.ok(official, one.typeName);
    for (const { name, number } of one.values) {
      assert.deepEqual(official.find((value) => value.number === number)?.name, name, one.typeName);
    }
  }
});

/** A message with something in every field, down to `depth` messages. */
function filled(schema: DescMessage, random: SeededRandom, depth = 3): Message {
  const message = reflect(schema, create(schema));
  const chosen = new Set<string>();
  for (const field of schema.fields) {
    // One of a oneof.
    if (field.oneof !== undefined && chosen.has(field.oneof.name)) continue;
    if (field.oneof !== undefined) chosen.add(field.oneof.name);
    fill(message, field, random, depth);
  }
  return message.message;
}

function fill(message: ReflectMessage, field: DescField, random: SeededRandom, depth: number): void {
  const deeper = (schema: DescMessage) => reflect(schema, filled(schema, random, depth - 1));
  switch (field.fieldKind) {
    case "scalar":
      return message.set(field, scalarValue(field.scalar, random, field));
    case "enum":
      return message.set(field, field.enum.values.at(-1)!.number);
    case "message":
      return depth > 0 ? message.set(field, deeper(field.message)) : undefined;
    case "list":
      for (let i = 0; i < 2; i++) {
        if (field.listKind === "scalar") message.get(field).add(scalarValue(field.scalar, random, field));
        else if (field.listKind === "message" && depth > 0) message.get(field).add(deeper(field.message));
      }
      return;
    case "map":
      if (field.mapKind === "message" && depth > 0) message.get(field).set(9, deeper(field.message));
  }
}

function scalarValue(type: ScalarType, random: SeededRandom, field: DescField): unknown {
  switch (type) {
    case ScalarType.STRING:
      return `text ${random.uint32()}`;
    case ScalarType.BYTES:
      return random.bytes(32);
    case ScalarType.BOOL:
      return true;
    case ScalarType.INT64:
      return -(2n ** 62n) + BigInt(random.uint32());
    case ScalarType.UINT64: {
      const large = 2n ** 63n + BigInt(random.uint32());
      const asString = "longAsString" in field && field.longAsString;
      return asString ? String(large) : large;
    }
    default:
      return random.below(2 ** 31);
  }
}

const methods: readonly DescMethod[] = services.flatMap((service) => service.methods);

for (const method of methods) {
  Deno.test(`LND's own protos read and write what we do: ${method.name}`, () => {
    const official = officialService(method.parent.typeName)[method.name]!;
    assert.equal(official.path, `/${method.parent.typeName}/${method.name}`);
    assert.deepEqual(
      [official.requestStream, official.responseStream],
      [false, method.methodKind === "server_streaming"],
    );
    const random = new SeededRandom(0x5eed);
    const request = filled(method.input, random);
    const readRequest = official.requestDeserialize(Buffer.from(toBinary(method.input, request)));
    const writtenRequest = fromBinary(method.input, official.requestSerialize(readRequest));
    assert.ok(equals(method.input, writtenRequest, request));

    const response = filled(method.output, random);
    const readResponse = official.responseDeserialize(Buffer.from(toBinary(method.output, response)));
    const writtenResponse = fromBinary(method.output, official.responseSerialize(readResponse), {
      readUnknownFields: false,
    });
    assert.ok(equals(method.output, writtenResponse, response));
  });
}

Deno.test("another LND client (npm lightning) uses the simulated LND", async () => {
  await using pair = new Pair("0.19.3-beta");
  const [alice, bob] = await Promise.all([pair.alice, pair.bob].map(async (node) => {
    const server = await pair.serve(node);
    return authenticatedLndGrpc({
      // It takes the name for the certificate's.
      socket: server.socket.replace("127.0.0.1", "localhost"),
      cert: Buffer.from(server.certificatePem).toString("base64"),
      macaroon: server.adminMacaroonHex,
    });
  }));
  assert.ok(alice && bob);
  try {
    const info = await getWalletInfo({ lnd: alice.lnd });
    assert.deepEqual([info.public_key, info.alias, info.active_channels_count], [pair.alice, "alice", 1]);
    const { channels: [channel] } = await getChannels({ lnd: alice.lnd });
    assert.deepEqual(
      [channel?.partner_public_key, channel?.capacity, channel?.local_balance, channel?.is_active],
      [pair.bob, 1_000_000, 897_935, true],
    );
    const { request, id } = await createInvoice({ lnd: bob.lnd, tokens: 5_000, description: "from elsewhere" });
    const decoded = await decodePaymentRequest({ lnd: alice.lnd, request });
    assert.deepEqual([decoded.destination, decoded.tokens, decoded.id], [pair.bob, 5_000, id]);
    const paid = await payViaPaymentRequest({ lnd: alice.lnd, request, outgoing_channel: channel!.id, max_fee: 0 });
    assert.deepEqual([paid.id, paid.fee, paid.hops.length], [id, 0, 1]);
    assert.equal((await getInvoice({ lnd: bob.lnd, id })).is_confirmed, true);
    assert.equal((await getPayments({ lnd: alice.lnd })).payments[0]?.id, id);
    assert.match((await signMessage({ lnd: alice.lnd, message: "text" })).signature, /^[a-z0-9]{104}$/);
    const other = await createInvoice({ lnd: bob.lnd, tokens: 1 });
    await cancelHodlInvoice({ lnd: bob.lnd, id: other.id });
    assert.equal((await getInvoice({ lnd: bob.lnd, id: other.id })).is_canceled, true);
  } finally {
    for (const { lnd } of [alice, bob]) {
      for (const client of Object.values(lnd)) (client as unknown as grpc.Client).close();
    }
  }
});

Deno.test("LndNode uses an LND that somebody else wrote with LND's protos", async () => {
  const destination = `02${"ab".repeat(32)}`;
  const hash = "cd".repeat(32);
  let asked: Record<string, unknown> = {};
  const unary =
    (answer: (request: Record<string, unknown>) => unknown): grpc.handleUnaryCall<unknown, unknown> =>
    (call, callback) => {
      assert.deepEqual(call.metadata.get("macaroon"), ["0201beef"]);
      callback(null, answer(call.request as Record<string, unknown>));
    };
  const payment = (status: string) => ({
    payment_hash: hash,
    status,
    value_msat: "7000",
    htlcs: status === "SUCCEEDED"
      ? [{ status, route: { hops: [{ chan_id: "18446744073709551615", pub_key: destination }] } }]
      : [],
  });
  const server = new grpc.Server();
  server.addService(officialService("lnrpc.Lightning"), {
    GetInfo: unary(() => ({
      identity_pubkey: destination,
      alias: "ålice ⚡",
      version: "0.21.0",
      chains: [{ chain: "bitcoin", network: "mainnet" }],
      features: { 9: { name: "tlv-onion", is_known: true } },
    })),
    ListChannels: unary(() => ({
      channels: [{
        active: true,
        remote_pubkey: destination,
        channel_point: `${hash}:7`,
        chan_id: "18446744073709551615",
        capacity: "2099999999999999",
        local_balance: "1099999999999999",
        remote_balance: "999999999990000",
        local_constraints: { chan_reserve_sat: "10000", max_pending_amt_msat: "5000", max_accepted_htlcs: 30 },
      }],
    })),
    SubscribeChannelEvents: () => {},
  });
  server.addService(officialService("routerrpc.Router"), {
    SendPaymentV2: (call: grpc.ServerWritableStream<Record<string, unknown>, unknown>) => {
      asked = call.request;
      for (const status of ["INITIATED", "IN_FLIGHT", "SUCCEEDED"]) call.write(payment(status));
      call.end();
    },
  });
  const node = await clientOf(server, "0201BEEF");
  try {
    assert.deepEqual(await node.getInfo(), {
      pubkey: destination,
      alias: "ålice ⚡",
      network: "mainnet",
      version: "0.21.0",
    });
    const [channel] = await node.listChannels();
    assert.deepEqual(
      [channel?.shortChannelId, channel?.capacitySat, channel?.localReserveSat, channel?.maxInFlightSat],
      ["18446744073709551615", 2_099_999_999_999_999n, 10_000n, 5n],
    );
    const outcome = await node.pay({
      invoice: "lnbc1…",
      paymentHash: hash as PaymentHash,
      outgoingChannelId: "18446744073709551615" as ShortChannelId,
      timeoutSec: 30,
      cltvLimitBlocks: 150,
    });
    assert.deepEqual(outcome, {
      kind: "settled",
      index: 0n,
      amountMsat: 7_000n,
      feeMsat: 0n,
      routes: [[{ channelId: "18446744073709551615" as ShortChannelId, pubkey: destination as NodePubkey }]],
    });
    const { payment_request, outgoing_chan_ids, outgoing_chan_id, timeout_seconds, cltv_limit, max_parts } = asked;
    const { fee_limit_sat, fee_limit_msat, amt, amp, allow_self_payment, no_inflight_updates } = asked;
    assert.deepEqual(
      [payment_request, outgoing_chan_ids, outgoing_chan_id, timeout_seconds, cltv_limit, max_parts],
      ["lnbc1…", ["18446744073709551615"], "0", 30, 150, 1],
    );
    assert.deepEqual([fee_limit_sat, fee_limit_msat, amt], ["0", "0", "0"]);
    assert.deepEqual([amp, allow_self_payment, no_inflight_updates], [false, false, false]);
  } finally {
    await node.close();
    server.forceShutdown();
  }
});
