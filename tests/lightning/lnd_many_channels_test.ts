import { create, toBinary } from "@bufbuild/protobuf";
import * as grpc from "@grpc/grpc-js";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { ListChannelsResponseSchema } from "../../lib/lightning/lnd/gen/lightning_pb.ts";
import { clientOf } from "./lnd_harness.ts";

const count = 20_000;

Deno.test("LndNode lists 20,000 channels, more than gRPC's usual 4 MB", async () => {
  const random = new SeededRandom(1);
  const hex = (length: number) =>
    Array.from(random.bytes(length), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const limits = { csvDelay: 144, chanReserveSat: 10_000n, dustLimitSat: 354n, maxPendingAmtMsat: 990_000_000n };
  const channels = Array.from({ length: count }, (_, index) => ({
    active: true,
    remotePubkey: `02${hex(32)}`,
    channelPoint: `${hex(32)}:${index % 65536}`,
    chanId: String(880_000n << 40n | BigInt(index) << 16n),
    capacity: 1_000_000n,
    localBalance: 500_000n,
    remoteBalance: 496_530n,
    chanStatusFlags: "ChanStatusDefault",
    localConstraints: limits,
    remoteConstraints: limits,
  }));
  const answer = Buffer.from(toBinary(ListChannelsResponseSchema, create(ListChannelsResponseSchema, { channels })));
  assert.ok(answer.length > 4 * 1024 * 1024);
  const asIs = (bytes: Buffer) => bytes;
  const server = new grpc.Server();
  server.addService({
    ListChannels: {
      path: "/lnrpc.Lightning/ListChannels",
      requestStream: false,
      responseStream: false,
      requestSerialize: asIs,
      requestDeserialize: asIs,
      responseSerialize: asIs,
      responseDeserialize: asIs,
    },
  }, { ListChannels: (_call: unknown, callback: grpc.sendUnaryData<Buffer>) => callback(null, answer) });
  const node = await clientOf(server, "0201");
  try {
    const listed = await node.listChannels();
    assert.equal(listed.length, count);
    assert.deepEqual(listed.map(({ channelPoint }) => channelPoint), channels.map(({ channelPoint }) => channelPoint));
    assert.equal(listed.at(-1)?.shortChannelId, channels.at(-1)?.chanId);
  } finally {
    await node.close();
    await new Promise<void>((resolve) => server.tryShutdown(() => resolve()));
  }
});
