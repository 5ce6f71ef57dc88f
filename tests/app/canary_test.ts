import assert from "node:assert/strict";
import { Cluster } from "./cluster.ts";
import { type Output, runProgram } from "./program.ts";

/** Every file below a folder, whole. */
function* filesIn(folder: string): Generator<{ readonly path: string; readonly bytes: Uint8Array }> {
  for (const entry of Deno.readDirSync(folder)) {
    const path = `${folder}/${entry.name}`;
    if (entry.isDirectory) yield* filesIn(path);
    else yield { path, bytes: Deno.readFileSync(path) };
  }
}

/** Latin-1 keeps each byte, so that a needle of bytes is a substring. */
const asText = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);

/** The forms in which bytes could have got into a file or a line. */
function formsOf(bytes: Uint8Array): string[] {
  // The first and last characters of base64 depend on what stands around.
  const base64 = [0, 1, 2].map((skip) => bytes.slice(skip).toBase64().slice(0, -4));
  return [bytes.toHex(), bytes.toHex().toUpperCase(), asText(bytes), ...base64, bytes.join(",")];
}

Deno.test("no macaroon, preimage, secret or seed is in any log, on the screen, or in any event", async () => {
  await using cluster = new Cluster();
  await cluster.dht();
  const alice = await cluster.node("alice");
  const bob = await cluster.node("bob");
  const stranger = await cluster.node("stranger");
  const troubled = await cluster.node("troubled");
  cluster.channel(alice, bob, 0.1);
  const more = "  verboseScreenLogging: true\n";
  const configs = [
    cluster.configFile({ name: "A", nodes: [alice], more }),
    // One macaroon is wrong, so that it is spoken of.
    cluster.configFile({
      name: "B",
      nodes: [
        bob.yaml({ cert: "base64", macaroon: "base64" }),
        troubled.yaml({ macaroon: "hex" }).replace(troubled.macaroonHex, stranger.macaroonHex),
      ],
      more,
    }),
  ] as const;
  const programs = configs.map((config) => cluster.start(config, "--debuglevel", "debug"));
  await programs[0]!.event({ kind: "payment-settled" });
  await programs[1]!.event({ kind: "payment-received" });
  await programs[1]!.event({ kind: "node-down", message: /macaroon/ });
  const said: Output[] = [];
  for (const config of configs) {
    said.push(await runProgram("log", "events", "--config", config));
    said.push(await runProgram("log", "events", "--json", "--config", config));
    said.push(await runProgram("log", "transactions", "--json", "--config", config));
  }
  said.push(await runProgram("--check", "--config", configs[1]));
  for (const program of programs) said.push(await program.stop());

  const [payment] = cluster.payments(alice);
  assert.match(payment!.preimage, /^[0-9a-f]*[1-9a-f][0-9a-f]*$/);
  const seeds = ["A", "B"].map((name) => Deno.readTextFileSync(`${cluster.folder}/${name}-data/seed`).trim());
  const canaries: Record<string, readonly string[]> = {
    secret: formsOf(new TextEncoder().encode(cluster.secret)),
    "body of the secret": [cluster.secret.slice("tightrope-".length)],
    preimage: formsOf(Uint8Array.fromHex(payment!.preimage)),
  };
  for (const node of [alice, bob, stranger, troubled]) {
    canaries[`macaroon of ${node.alias}`] = formsOf(Uint8Array.fromHex(node.macaroonHex));
  }
  for (const [index, seed] of seeds.entries()) canaries[`seed ${index}`] = formsOf(Uint8Array.fromHex(seed));

  const places = new Map<string, string>();
  said.forEach((output, index) => places.set(`output ${index}`, output.stdout + output.stderr));
  for (const name of ["A", "B"]) {
    for (const { path, bytes } of filesIn(`${cluster.folder}/${name}-data`)) {
      if (!path.endsWith("-data/seed")) places.set(path, asText(bytes));
    }
  }
  const found: string[] = [];
  for (const [place, text] of places) {
    for (const [name, needles] of Object.entries(canaries)) {
      if (needles.some((needle) => text.includes(needle))) found.push(`${name} in ${place}`);
    }
  }
  assert.deepEqual(found, []);
  // The search itself: it finds what has to be there.
  const files = [...places].filter(([path]) => path.includes("-data/"));
  assert.ok(files.some(([, text]) => text.includes(payment!.paymentHash)), "the logs hold the payment's hash");
  assert.ok(said.at(-1)!.stderr.includes(payment!.paymentHash), "the screen shows the payment's hash");
  assert.ok(
    formsOf(Uint8Array.fromHex(seeds[0]!)).some((form) =>
      asText(Deno.readFileSync(`${cluster.folder}/A-data/seed`)).includes(form)
    ),
  );
});
