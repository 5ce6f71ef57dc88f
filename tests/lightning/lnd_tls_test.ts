import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { createHash, X509Certificate } from "node:crypto";
import type { CredentialSource, LndNodeConfig } from "../../lib/config/config.ts";
import { msat } from "../../lib/domain/amounts.ts";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { VirtualClock } from "../../lib/env/virtual_clock.ts";
import type { LndNode } from "../../lib/lightning/lnd/client.ts";
import type { NodeEvent } from "../../lib/lightning/node.ts";
import { type CertificatePair, lndCertificateSpec, makeCertificate } from "../../lib/lightning/sim/certificate.ts";
import { standardMacaroons } from "../../lib/lightning/sim/macaroon.ts";
import { isRefusal } from "../../lib/lightning/sim/model.ts";
import { configOf, Pair } from "./lnd_harness.ts";

/** Made with OpenSSL, for these tests alone: `signed` is `authority`'s, the others are their own. */
const certificates: Record<string, CertificatePair> = JSON.parse(
  Deno.readTextFileSync(new URL("../vectors/lnd/certificates.json", import.meta.url)),
);

const inline = (value: string): CredentialSource => ({ kind: "inline", value });

async function withServer(
  certificate: CertificatePair | undefined,
  test: (connect: (changes?: Partial<LndNodeConfig>) => LndNode, socket: string, pair: Pair) => Promise<void>,
): Promise<void> {
  await using pair = new Pair();
  const server = await pair.serve(pair.alice, certificate === undefined ? {} : { certificate });
  await test((changes) => pair.connect(configOf(server, changes)), server.socket, pair);
}

for (const name of ["rsa", "ip_only", "other_host", "name_only"]) {
  Deno.test(`LndNode trusts the pinned certificate, whatever it names: ${name}`, () =>
    withServer(certificates[name], async (connect) => {
      assert.equal((await connect().getInfo()).alias, "alice");
    }));
}

Deno.test("LndNode takes a certificate that the pinned one signed only under the configured name", () =>
  withServer(certificates.signed, async (connect, socket) => {
    const cert = inline(certificates.authority!.certificatePem);
    assert.equal((await connect({ cert }).getInfo()).alias, "alice");
    await assert.rejects(connect({ cert, tlsServerName: "elsewhere.example" }).getInfo(), {
      kind: "unavailable",
      message: `The certificate of LND at ${socket} is not the configured one`,
    });
  }));

Deno.test("LndNode takes a certificate as PEM, as base64 of PEM, and as base64 of DER", () =>
  withServer(certificates.rsa, async (connect) => {
    const pem = certificates.rsa!.certificatePem;
    const der = pem.replace(/-----[A-Z ]+-----|\s/g, "");
    for (const value of [pem, btoa(pem), der]) {
      assert.equal((await connect({ cert: inline(value) }).getInfo()).alias, "alice");
    }
  }));

Deno.test("LndNode refuses another node's certificate, and says so", () =>
  withServer(undefined, async (connect, socket) => {
    const other = makeCertificate(lndCertificateSpec("alice", Date.now()), new SeededRandom(77));
    for (const { certificatePem } of [other, certificates.rsa!]) {
      await assert.rejects(connect({ cert: inline(certificatePem) }).getInfo(), {
        kind: "unavailable",
        message: `The certificate of LND at ${socket} is not the configured one`,
        remedy: /tls\.cert/,
      });
    }
  }));

Deno.test("LndNode says that an expired certificate has expired", async () => {
  const spec = { ...lndCertificateSpec("alice", Date.UTC(2019, 0, 1)), notAfterWallMs: Date.UTC(2020, 0, 1) };
  await withServer(makeCertificate(spec, new SeededRandom(5)), async (connect, socket) => {
    await assert.rejects(connect().getInfo(), { message: `The certificate of LND at ${socket} has expired` });
  });
});

Deno.test("LndNode says that a port without TLS is the wrong one", async () => {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serving = (async () => {
    for await (const socket of listener) {
      await socket.write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"));
      socket.close();
    }
  })();
  const socket = `127.0.0.1:${listener.addr.port}`;
  try {
    await withServer(undefined, async (connect) => {
      await assert.rejects(connect({ socket }).getInfo(), { message: `What listens at ${socket} does not speak TLS` });
    });
  } finally {
    listener.close();
    await serving;
  }
});

Deno.test("LndNode says that a host name is unknown", () =>
  withServer(undefined, async (connect) => {
    const socket = "no-such-host.invalid:10009";
    await assert.rejects(connect({ socket }).getInfo(), {
      message: `The name in ${socket} is not known to this machine`,
    });
  }));

Deno.test("LndNode reaches a host by its name", () =>
  withServer(undefined, async (connect, socket) => {
    const named = connect({ socket: socket.replace("127.0.0.1", "localhost") });
    assert.equal((await named.getInfo()).alias, "alice");
  }));

Deno.test("LndNode.watch() warns two weeks before the certificate expires, once", async () => {
  await using pair = new Pair();
  const nowWallMs = Date.now();
  const notAfterWallMs = nowWallMs + 10.5 * 86_400_000;
  const certificate = makeCertificate({ ...lndCertificateSpec("alice", nowWallMs), notAfterWallMs }, pair.random);
  const server = await pair.serve(pair.alice, { certificate });
  const clock = new VirtualClock({ atMs: 0, wallMs: nowWallMs });
  const node = pair.connect(configOf(server), { clock, timings: { checkMs: 1 } });
  const events: NodeEvent[] = [];
  const up = Promise.withResolvers<void>();
  node.watch((event) => {
    events.push(event);
    if (event.kind === "up") up.resolve();
  });
  await up.promise;
  for (let i = 0; i < 5; i++) await node.getInfo();
  const warnings = events.filter((event) => event.kind === "warning").map((event) => event.message);
  assert.deepEqual(warnings, [`The certificate of LND at ${server.socket} expires in 10 days`]);
});

Deno.test("LndNode follows its files when LND renewed the certificate and the macaroon changed", async () => {
  await using pair = new Pair();
  const server = await pair.serve(pair.alice);
  const folder = await Deno.makeTempDir();
  const [certPath, macaroonPath] = [`${folder}/tls.cert`, `${folder}/tightrope.macaroon`];
  const write = async (macaroon: Uint8Array) => {
    await Deno.writeTextFile(`${certPath}.new`, server.certificatePem);
    await Deno.rename(`${certPath}.new`, certPath);
    await Deno.writeFile(macaroonPath, macaroon);
  };
  try {
    await write(Buffer.from(server.adminMacaroonHex, "hex"));
    const node = pair.connect(configOf(server, {
      cert: { kind: "file", path: certPath },
      macaroon: { kind: "file", path: macaroonPath },
    }));
    const events: NodeEvent[] = [];
    let heard = Promise.withResolvers<void>();
    const watching = node.watch((event) => {
      events.push(event);
      heard.resolve();
      heard = Promise.withResolvers();
    });
    const until = async (condition: () => boolean) => {
      while (!condition()) await heard.promise;
    };
    await until(() => events.some(({ kind }) => kind === "up"));
    // While LND runs, only the macaroon changes: no loss, and the old one is not used any more.
    const baked = server.bakeMacaroon({ rootKeyId: "7", ops: [{ entity: "info", action: "read" }] });
    await write(new TextEncoder().encode(`${baked}\n`));
    await until(() => events.some(({ kind }) => kind === "warning"));
    await assert.rejects(node.listChannels(), { kind: "permission" });
    assert.ok(events.every(({ kind }) => kind !== "down"));

    // LND restarts with a new certificate.
    server.renewCertificate();
    await server.stop();
    await until(() => events.some(({ kind }) => kind === "down"));
    await write(Buffer.from(server.adminMacaroonHex, "hex"));
    await server.restart();
    await until(() => events.filter(({ kind }) => kind === "up").length === 2);
    assert.equal((await node.listChannels()).length, 1);
    await node.close();
    await watching;
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
});

Deno.test("LndNode.pay() goes on to its end while the credentials change", async () => {
  await using pair = new Pair();
  const server = await pair.serve(pair.alice);
  const macaroonPath = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(macaroonPath, server.adminMacaroonHex);
    const node = pair.connect(configOf(server, { macaroon: { kind: "file", path: macaroonPath } }));
    const up = Promise.withResolvers<void>();
    const renewed = Promise.withResolvers<void>();
    node.watch((event) => {
      if (event.kind === "up") up.resolve();
      // A subscription anew: the new macaroon is in use.
      if (event.kind === "channel") renewed.resolve();
      assert.notEqual(event.kind, "down");
    });
    await up.promise;
    const [channel] = await node.listChannels();
    const preimage = "33".repeat(32);
    const hash = createHash("sha256").update(preimage, "hex").digest("hex");
    const held = pair.network.addInvoice(pair.bob, { valueMsat: msat(1_000_000n), hash });
    assert.ok(!isRefusal(held));
    const paying = node.pay({
      invoice: held.paymentRequest,
      paymentHash: held.paymentHash,
      outgoingChannelId: channel!.shortChannelId,
      timeoutSec: 5,
      cltvLimitBlocks: 200,
    });
    while (pair.network.invoice(pair.bob, held.paymentHash)?.state !== "ACCEPTED") await node.getInfo();
    await Deno.writeTextFile(macaroonPath, server.bakeMacaroon({ rootKeyId: "7", ops: standardMacaroons.admin }));
    await renewed.promise;
    server.revokeRootKey("0");
    await node.listChannels();
    assert.equal(pair.host.run((network) => network.settleInvoice(pair.bob, preimage)), undefined);
    assert.equal((await paying).kind, "settled");
  } finally {
    await Deno.remove(macaroonPath);
  }
});

Deno.test("LndNode says which file it can't read", async () => {
  await using pair = new Pair();
  const server = await pair.serve(pair.alice);
  const missing = pair.connect(configOf(server, { macaroon: { kind: "file", path: "/nonexistent/x.macaroon" } }));
  await assert.rejects(missing.getInfo(), {
    message: `Cannot read macaroon "/nonexistent/x.macaroon": there is no such file`,
  });
});

Deno.test("makeCertificate() makes what OpenSSL reads as LND's: its own issuer, valid 420 days, for localhost", () => {
  const { certificatePem } = makeCertificate(lndCertificateSpec("alice", Date.UTC(2026, 0, 2)), new SeededRandom(1));
  const certificate = new X509Certificate(certificatePem);
  assert.ok(certificate.ca && certificate.verify(certificate.publicKey));
  assert.equal(certificate.subject, certificate.issuer);
  assert.match(certificate.subjectAltName ?? "", /DNS:localhost.*IP Address:127\.0\.0\.1/);
  assert.deepEqual([certificate.validFrom, certificate.validTo], [
    "Jan  1 23:00:00 2026 GMT",
    "Feb 26 00:00:00 2027 GMT",
  ]);
});
