import { create, toBinary } from "@bufbuild/protobuf";
import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createSecureServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { GetInfoResponseSchema } from "../../lib/lightning/lnd/gen/lightning_pb.ts";
import { lndCertificateSpec, makeCertificate } from "../../lib/lightning/sim/certificate.ts";

/** ENHANCE_YOUR_CALM, as a gRPC server says it to too many pings. */
const enhanceYourCalm = 11;
const rounds = 5;

/** A gRPC server of one method, whose sessions the test can send away. */
async function serveGetInfo() {
  const { certificatePem, privateKeyPem } = makeCertificate(lndCertificateSpec("lnd", Date.now()), new SeededRandom(1));
  const sessions = new Set<ServerHttp2Session>();
  const server = createSecureServer({ cert: certificatePem, key: privateKeyPem });
  server.on("session", (session) => {
    sessions.add(session);
    session.on("close", () => sessions.delete(session));
    session.on("error", () => {});
  });
  const body = toBinary(
    GetInfoResponseSchema,
    create(GetInfoResponseSchema, {
      identityPubkey: `02${"00".repeat(32)}`,
      alias: "here",
      chains: [{ network: "regtest" }],
    }),
  );
  const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, body.length]), body]);
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.respond({ ":status": 200, "content-type": "application/grpc+proto" }, { waitForTrailers: true });
    stream.on("wantTrailers", () => stream.sendTrailers({ "grpc-status": "0" }));
    stream.on("error", () => {});
    stream.resume();
    stream.end(frame);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  const close = async () => {
    for (const session of sessions) session.destroy();
    await new Promise<void>((resolve) => server.close(() => resolve()));
  };
  return { close, sessions, certificatePem, socket: `127.0.0.1:${port}` };
}

/** A process of its own with a client in it, and no rights but to that one `host:port`. */
function spawnClient(socket: string, certificatePem: string, env: Record<string, string> = {}) {
  const child = new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--node-modules-dir=manual",
      "--no-prompt",
      `--allow-net=${socket}`,
      "--ignore-env",
      "--config",
      new URL("../deno.json", import.meta.url).pathname,
      new URL("lnd_client_child.ts", import.meta.url).pathname,
      socket,
      certificatePem,
    ],
    env,
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const input = child.stdin.getWriter();
  const output = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
  const errors = new Response(child.stderr).text();
  return {
    /** One call; its answer, or undefined when the process is gone. */
    async call(): Promise<string | undefined> {
      await input.write(new TextEncoder().encode("call\n"));
      return (await output.read()).value;
    },
    /** Lets it end. */
    async end() {
      await input.close();
      while (!(await output.read()).done);
      const { code, signal } = await child.status;
      return { code, signal, errors: await errors };
    },
  };
}

Deno.test("a GOAWAY on an idle connection neither kills the process nor the next call", async () => {
  const server = await serveGetInfo();
  // Memory that was freed reads as garbage: a use after free shows itself (denoland/deno #36788, from 2.9.4 on).
  const child = spawnClient(server.socket, server.certificatePem, { MALLOC_PERTURB_: "165" });
  const answers: (string | undefined)[] = [];
  for (let round = 0; round < rounds; round++) {
    answers.push(await child.call());
    for (const session of server.sessions) {
      session.goaway(enhanceYourCalm, 0, Buffer.from("too_many_pings"));
      session.close();
    }
  }
  const end = await child.end();
  await server.close();
  assert.deepEqual(answers, Array(rounds).fill("here\n"), end.errors);
  assert.deepEqual([end.code, end.signal], [0, null], end.errors);
});

Deno.test("LndNode needs no right but net to the configured host:port, by name as by address", async () => {
  const server = await serveGetInfo();
  for (const host of ["127.0.0.1", "localhost"]) {
    const child = spawnClient(server.socket.replace("127.0.0.1", host), server.certificatePem);
    const answer = await child.call();
    const end = await child.end();
    assert.deepEqual([answer, end.code], ["here\n", 0], end.errors);
  }
  await server.close();
});
