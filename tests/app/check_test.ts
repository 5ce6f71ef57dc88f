import assert from "node:assert/strict";
import { systemRandom } from "../../lib/env/system.ts";
import { neededRpcs } from "../../lib/lightning/lnd/permissions.ts";
import { generateSecret } from "../../lib/protocol/secret.ts";
import { Cluster } from "./cluster.ts";
import { type Output, runProgram } from "./program.ts";

/** Sentences for an operator: no stack trace, no defect, nothing secret. */
function assertForPeople({ stdout, stderr }: Output, secrets: readonly string[]): void {
  const said = stdout + stderr;
  assert.doesNotMatch(said, /\bat .*:\d+:\d+\b|\.ts\b|bug in Tightrope|undefined|\[object/);
  for (const secret of secrets) assert.ok(!said.includes(secret), `a secret was said:\n${said}`);
}

Deno.test("--check tells what is wrong with a node and what to do, and ends with a code for it", async (t) => {
  await using cluster = new Cluster();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  const locked = await cluster.node("locked", { startState: "LOCKED" });
  const stopped = await cluster.node("stopped");
  const closed = stopped.yaml({ macaroon: "hex" });
  await stopped.server.close();
  const fewRights = alice.bake(neededRpcs.filter((rpc) => !rpc.endsWith("/AddInvoice")));
  using plain = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = plain.addr;
  const talking = (async () => {
    for await (const connection of plain) {
      await connection.write(new TextEncoder().encode("HTTP/1.1 400 Bad Request\r\n\r\n"));
      connection.close();
    }
  })().catch(() => {});
  const inline = alice.yaml({ cert: "base64", macaroon: "hex" });
  const macaroons = [alice.macaroonHex, bob.macaroonHex, stopped.macaroonHex, fewRights];
  const secrets = [
    cluster.secret,
    ...macaroons.flatMap((hex) => [hex, Uint8Array.fromHex(hex).toBase64()]),
  ];
  const table: readonly { name: string; nodes: readonly string[]; code: number; says: readonly RegExp[] }[] = [
    {
      name: "in order",
      nodes: [alice.yaml(), bob.yaml({ cert: "pem", macaroon: "base64" })],
      code: 0,
      says: [/alice 0[23][0-9a-f]{64}, regtest, LND 0\.18\.5/, /2 nodes, everything is in order/],
    },
    { name: "closed port", nodes: [closed], code: 69, says: [/Nothing listens at 127\.0\.0\.1:\d+\n\s+Start LND, or/] },
    {
      name: "not LND",
      nodes: [inline.replace(/socket: .*/, `socket: 127.0.0.1:${port}`)],
      code: 78,
      says: [/does not speak TLS\n\s+Correct `socket`/],
    },
    { name: "locked", nodes: [locked.yaml()], code: 69, says: [/is locked\n\s+Unlock it with `lncli unlock`/] },
    {
      name: "macaroon without a right",
      nodes: [inline.replace(alice.macaroonHex, fewRights)],
      code: 77,
      says: [/does not allow \/lnrpc\.Lightning\/AddInvoice\n\s+Bake one that has uri:\/lnrpc\.Lightning\/AddInvoice/],
    },
    {
      name: "macaroon of another node",
      nodes: [inline.replace(alice.macaroonHex, bob.macaroonHex)],
      code: 77,
      says: [/The macaroon for LND at 127\.0\.0\.1:\d+ .*\n\s+Give a macaroon baked by this very node/],
    },
    {
      name: "certificate of another node",
      nodes: [alice.yaml().replace("alice.cert", "bob.cert")],
      code: 78,
      says: [/is not the configured one\n\s+Give this node's own tls\.cert/],
    },
    {
      name: "one node twice",
      nodes: [alice.yaml(), alice.yaml().replace("127.0.0.1", "localhost")],
      code: 78,
      says: [/are the same node 0[23][0-9a-f]{64}: remove one/],
    },
    {
      name: "several at once: the worst decides, each is told",
      nodes: [closed, inline.replace(alice.macaroonHex, fewRights), bob.yaml()],
      code: 77,
      says: [/Nothing listens/, /AddInvoice/, /bob 0[23].*\n\s+every call is allowed/],
    },
    {
      name: "a file that isn't there",
      nodes: [alice.yaml().replace("alice.macaroon", "none.macaroon")],
      code: 78,
      says: [
        /yaml:6:\d+: lightningNodes\[0\]\.macaroonPath: cannot use the macaroon .*none\.macaroon": it doesn't exist/,
      ],
    },
  ];
  for (const { name, nodes, code, says } of table) {
    await t.step(name, async () => {
      const config = cluster.configFile({ name: "check", nodes });
      const output = await runProgram("--config", config, "--check");
      const said = `${output.stdout}\n${output.stderr}`;
      assert.equal(output.code, code, said);
      for (const pattern of says) assert.match(said, pattern);
      assertForPeople(output, secrets);
    });
  }
  plain.close();
  await talking;
});

Deno.test("five mistakes in a configuration are told at once, each with its place", async () => {
  await using cluster = new Cluster();
  const secret = generateSecret(systemRandom);
  const macaroon = "00".repeat(80);
  const path = `${cluster.folder}/config.yaml`;
  const lines = [
    `secret: ${secret.slice(0, -1)}`,
    "lightningNodes:",
    "  - type: lnd",
    "    socket: localhost",
    "    certPath: ./tls.cert",
    `    macaroon: ${macaroon}!!`,
    "limits:",
    "  baseSettings:",
    '    minTimeBetweenPayments: "60 s"',
    "    deadzon: 0.1",
  ];
  await Deno.writeTextFile(path, lines.join("\n"), { mode: 0o600 });
  for (const args of [["--check"], []]) {
    const output = await runProgram("--config", path, ...args);
    assert.equal(output.code, 78);
    assert.equal(output.stdout, "");
    const places = output.stderr.split("\n").flatMap((line) => /:(\d+):\d+: \S/.exec(line)?.[1] ?? []);
    assert.deepEqual(places, ["1", "4", "6", "9", "10"], output.stderr);
    assert.match(output.stderr, /minTimeBetweenPayments .*"60 s"/);
    assert.match(output.stderr, /deadzon.*deadzone/);
    assert.match(output.stderr, /Correct these 5 places/);
    assertForPeople(output, [secret, secret.slice(0, -1), macaroon]);
  }
});

Deno.test("a configuration that isn't there, and a wrong command line, end with their codes", async () => {
  const missing = await runProgram("--config", "/nowhere/config.yaml");
  assert.equal(missing.code, 78);
  assert.match(missing.stderr, /^Cannot read the configuration "\/nowhere\/config\.yaml": it doesn't exist\n/);
  assertForPeople(missing, []);
  const misspelt = await runProgram("--chek");
  assert.equal(misspelt.code, 64);
  assert.match(misspelt.stderr, /--check/);
  assertForPeople(misspelt, []);
});

Deno.test("a daemon that can't start says why in the form of its log", async () => {
  const { code, stderr } = await runProgram("--config", "/nowhere/config.yaml", "--logformat", "json");
  assert.equal(code, 78);
  const lines = stderr.trim().split("\n").map((line) => JSON.parse(line));
  assert.deepEqual(lines.map(({ level }) => level), ["error"]);
  assert.match(lines[0].message, /Cannot read the configuration "\/nowhere\/config.yaml": it doesn't exist/);
});
