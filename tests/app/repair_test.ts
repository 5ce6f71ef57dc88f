import assert from "node:assert/strict";
import { Cluster } from "./cluster.ts";
import type { Line, Program } from "./program.ts";

/** What a daemon has said of one LND. */
const saidOf = (program: Program, socket: string): Line[] =>
  program.events.filter(({ message }) => String(message).includes(socket));

Deno.test("a node that can't be used is told of once, waited for, and used when it was repaired; the others go on", async () => {
  await using cluster = new Cluster();
  await cluster.dht();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  const macaroon = await cluster.node("macaroon");
  const certificate = await cluster.node("certificate");
  const locked = await cluster.node("locked", { startState: "LOCKED" });
  const closed = await cluster.node("closed");
  macaroon.writeFiles(bob.macaroonHex);
  certificate.writeFiles(certificate.macaroonHex, bob.server.certificatePem);
  await closed.server.stop();
  cluster.channel(alice, bob, 0.1);
  const troubled = [macaroon, certificate, locked, closed];
  const nodes = [...troubled, alice, bob];
  const program = cluster.start(cluster.configFile({ name: "repair", nodes }));

  await program.event({ kind: "node-down", message: /macaroon .*Give a macaroon baked by this very node/ });
  await program.event({ kind: "node-down", message: /certificate .*is not the configured one.*tls\.cert/ });
  await program.event({ kind: "node-down", message: /is locked.*lncli unlock/ });
  await program.event({ kind: "node-down", message: /Nothing listens.*Start LND/ });
  await program.event({ kind: "payment-received" });
  for (const { server: { socket } } of troubled) {
    assert.deepEqual(saidOf(program, socket).map(({ kind }) => kind), ["node-down"], program.stderr.join("\n"));
  }

  macaroon.writeFiles();
  certificate.writeFiles();
  locked.server.setWalletState("SERVER_ACTIVE");
  await closed.server.restart();
  for (const { alias, pubkey, server: { socket } } of troubled) {
    await program.event({ kind: "node-up", node: pubkey });
    assert.equal(saidOf(program, socket).length, 1, `${alias}: ${program.stderr.join("\n")}`);
  }
  assert.equal((await program.stop()).code, 0);
});

Deno.test("an LND that restarts, with a renewed certificate too, is found again by itself", async () => {
  await using cluster = new Cluster();
  await cluster.dht();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  cluster.channel(alice, bob, 0.5);
  const program = cluster.start(cluster.configFile({ name: "renewed", nodes: [alice, bob] }));
  await program.event({ kind: "decision", reason: "balanced", node: bob.pubkey });

  const before = program.events.length;
  alice.server.renewCertificate();
  await bob.server.cut();
  await alice.server.stop();
  await program.event({ kind: "node-down", node: alice.pubkey });
  await program.event({ kind: "node-down", node: bob.pubkey });
  alice.writeFiles();
  await alice.server.restart();
  await bob.server.restart();
  await program.event({ kind: "node-up", node: alice.pubkey }, before);
  await program.event({ kind: "node-up", node: bob.pubkey }, before);
  const downs = program.events.filter(({ kind }) => kind === "node-down");
  assert.equal(downs.length, 2, program.stderr.join("\n"));

  // It works, and isn't only connected.
  cluster.channel(alice, bob, 0.1, { instant: false });
  await program.event({ kind: "payment-received" });
  assert.equal((await program.stop()).code, 0);
});
