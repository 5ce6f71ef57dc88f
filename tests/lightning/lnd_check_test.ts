import assert from "node:assert/strict";
import { SeededRandom } from "../../lib/env/seeded_random.ts";
import { checkNode } from "../../lib/lightning/lnd/check.ts";
import type { CheckReport } from "../../lib/lightning/lnd/check_report.ts";
import { bakeMacaroonCommand, neededRpcs } from "../../lib/lightning/lnd/permissions.ts";
import { lndCertificateSpec, makeCertificate } from "../../lib/lightning/sim/certificate.ts";
import { uriOps } from "../../lib/lightning/sim/macaroon.ts";
import { configOf, Pair } from "./lnd_harness.ts";

const options = { random: new SeededRandom(1), silenceMs: 100, timeoutMs: 5_000 };
const problems = ({ results }: CheckReport) => results.flatMap((one) => one.kind === "ok" ? [] : [one]);

Deno.test("checkNode() finds a node with the smallest macaroon in order, and leaves nothing behind", async () => {
  await using pair = new Pair();
  const server = await pair.serve(pair.alice);
  const smallest = server.bakeMacaroon({ rootKeyId: "7", ops: uriOps(neededRpcs) });
  const report = await checkNode(configOf(server, { macaroon: { kind: "inline", value: smallest } }), options);
  assert.deepEqual(problems(report), []);
  assert.deepEqual(report.info, {
    pubkey: pair.alice,
    alias: "alice",
    network: "regtest",
    version: "0.18.5-beta",
  });
  assert.deepEqual(report.results.map(({ what }) => what).sort(), ["connection", ...neededRpcs].sort());
  assert.equal(pair.network.invoices(pair.alice).length, 0);
  assert.equal(pair.network.listPayments(pair.alice, { indexOffset: 0n, maxPayments: 9 }).length, 0);
});

for (const missing of neededRpcs) {
  Deno.test(`checkNode() names the one right that is missing: ${missing}`, async () => {
    await using pair = new Pair();
    const server = await pair.serve(pair.alice);
    const ops = uriOps(neededRpcs.filter((rpc) => rpc !== missing));
    const macaroon = { kind: "inline", value: server.bakeMacaroon({ rootKeyId: "7", ops }) } as const;
    const [problem, ...others] = problems(await checkNode(configOf(server, { macaroon }), options));
    assert.deepEqual(others, []);
    assert.deepEqual([problem?.kind, problem?.what], ["permission", missing]);
    assert.match(problem!.message, new RegExp(`does not allow ${missing}$`));
    assert.match(problem!.remedy, new RegExp(`uri:${missing} `));
  });
}

Deno.test("checkNode() tells what kind of trouble keeps it from the node", async () => {
  await using pair = new Pair();
  const server = await pair.serve(pair.alice);
  const config = configOf(server);
  const other = makeCertificate(lndCertificateSpec("alice", Date.now()), new SeededRandom(3)).certificatePem;
  const trouble = async (changes: Parameters<typeof configOf>[1]) => {
    const [problem, ...others] = problems(await checkNode({ ...config, ...changes }, options));
    assert.deepEqual(others, []);
    return [problem?.kind, problem?.message];
  };
  assert.deepEqual(await trouble({ cert: { kind: "inline", value: other } }), [
    "config",
    `The certificate of LND at ${server.socket} is not the configured one`,
  ]);
  assert.deepEqual(await trouble({ cert: { kind: "inline", value: "nonsense!" } }), [
    "config",
    `Cannot read certificate "cert of ${server.socket}": it is neither PEM nor base64`,
  ]);
  assert.deepEqual(await trouble({ macaroon: { kind: "inline", value: "00ff" } }), [
    "permission",
    `The macaroon for LND at ${server.socket} is not a macaroon`,
  ]);
  server.setWalletState("LOCKED");
  assert.deepEqual(await trouble({}), ["unavailable", `The wallet of LND at ${server.socket} is locked`]);
  server.setWalletState("UNLOCKED");
  assert.deepEqual(await trouble({}), ["unavailable", `LND at ${server.socket} is still starting`]);
  await server.close();
  assert.deepEqual(await trouble({}), ["unavailable", `Nothing listens at ${server.socket}`]);
});

Deno.test("bakeMacaroonCommand() grants each needed RPC by name and nothing more", () => {
  const words = bakeMacaroonCommand().split(" ");
  assert.deepEqual(words.slice(0, 2), ["lncli", "bakemacaroon"]);
  assert.deepEqual(words.filter((word) => word.startsWith("uri:")), neededRpcs.map((rpc) => `uri:${rpc}`));
});
