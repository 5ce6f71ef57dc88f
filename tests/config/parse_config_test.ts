import assert from "node:assert/strict";
import { formatShortChannelId, parseShortChannelId } from "../../lib/domain/ids.ts";
import { defaultSettings, knownKeys } from "../../lib/config/schema.ts";
import { configOf, generatedSecret, parse, problemsOf, smallConfig } from "./sample_config.ts";

/** A real certificate of a throw-away key. */
const pem = `-----BEGIN CERTIFICATE-----
MIIBfzCCASWgAwIBAgIUYRT7Xk/kmauyD17pEErirmY/Dt0wCgYIKoZIzj0EAwIw
FDESMBAGA1UEAwwJbG9jYWxob3N0MCAXDTI2MTEyMjE3NDIxM1oYDzIxMjYxMDI5
MTc0MjEzWjAUMRIwEAYDVQQDDAlsb2NhbGhvc3QwWTATBgcqhkjOPQIBBggqhkjO
PQMBBwNCAASJkNJGmy9AT+Oda29+7Ufax0hPnP5ESLJ5EPsQxZLFEzIwZb26cN0T
WSiNx1BhiktnNJhgQBkBOQtNMGBFQ3rPo1MwUTAdBgNVHQ4EFgQUxz2UIWiuLnBC
i2KZN6t915Kv4cgwHwYDVR0jBBgwFoAUxz2UIWiuLnBCi2KZN6t915Kv4cgwDwYD
VR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNIADBFAiAH3ormkDx1suMyhalOseBV
7v1tXpX0KzMdaeB0NPn7twIhAI1T01BOJvM948wCOU2EDurZlRqkg2hNnoKqNNOT
NORO
-----END CERTIFICATE-----
`;

const withLimits = (yaml: string) => `${smallConfig}limits:\n${yaml}`;
const withNode = (yaml: string) => `secret: ${generatedSecret}\nlightningNodes:\n  - socket: localhost:10009\n${yaml}`;

Deno.test("parseConfig() applies every default", () => {
  const { config, files } = configOf(smallConfig);
  assert.deepEqual(config, {
    secret: generatedSecret,
    previousSecret: undefined,
    requireNodeProof: true,
    peers: undefined,
    lightningNodes: [{
      type: "lnd",
      socket: "localhost:10009",
      tlsServerName: "localhost",
      cert: { kind: "file", path: "/etc/tightrope/tls.cert" },
      macaroon: { kind: "file", path: "/etc/tightrope/tightrope.macaroon" },
    }],
    swarm: { bootstrap: undefined, port: 0 },
    audit: {
      storagePath: "/etc/tightrope/storage",
      eventLog: "event-log",
      transactionHistory: "transaction-log",
      verboseScreenLogging: false,
      shouldMask: [],
    },
    limits: { baseSettings: defaultSettings, idSettings: [], maxNetOutflowTotalSat: 10_000_000n },
    warnings: [],
  });
  assert.deepEqual(files.map(({ setting, line, column }) => [setting, line, column]), [
    ["lightningNodes[0].certPath", 4, 15],
    ["lightningNodes[0].macaroonPath", 5, 19],
  ]);
  assert.deepEqual(structuredClone(config), config, "it passes a worker's port");
});

Deno.test("parseConfig() reads every setting", () => {
  const { config } = configOf(`
secret: "${generatedSecret}"
previousSecret: old
allowWeakSecret: true
requireNodeProof: false
peers: [02EEC7245D6B7D2CCB30380BFBE2A3648CD7A942653F5AA340EDCEA1F283686619]
lightningNodes:
  - {type: lnd, socket: "[::1]:10009", tlsServerName: node.example, certPath: /a/tls.cert, macaroon: 0201FF}
  - {socket: LND.example:10010, certPath: b, macaroon: AgH/}
swarm: {bootstrap: ["127.0.0.1:49737"], port: 5000}
audit: {storage: {path: ../data}, eventLog: e, transactionHistory: t, verboseScreenLogging: true, shouldMask: [peer]}
limits:
  maxNetOutflowTotal: 7
  baseSettings:
    enabled: false
    minTransactionSize: 20_000
    maxTransactionSize: 3e6
    minTimeBetweenPayments: 1.5
    maxTransactionsPerPeriod: 3
    maxTransactionsPeriod: 1d
    maxAmountPerPeriod: 5000000
    maxAmountPeriod: 90m
    periodKind: fixed
    balancePoint: 0.4
    deadzone: .05
    refreshRate: 500ms
    maxNetOutflow: 40000
`);
  assert.equal(config.previousSecret, "old");
  assert.match(config.warnings.join(), /^previousSecret wasn't generated/);
  assert.deepEqual(config.peers, ["02eec7245d6b7d2ccb30380bfbe2a3648cd7a942653f5aa340edcea1f283686619"]);
  assert.equal(config.lightningNodes[0]?.socket, "[::1]:10009");
  assert.equal(config.lightningNodes[1]?.socket, "lnd.example:10010");
  for (const node of config.lightningNodes) {
    assert.deepEqual(node.macaroon, { kind: "inline", value: "0201ff" }, "hex and base64 are the same bytes");
  }
  assert.deepEqual(config.swarm, { bootstrap: ["127.0.0.1:49737"], port: 5000 });
  assert.deepEqual(config.audit, {
    storagePath: "/etc/data",
    eventLog: "e",
    transactionHistory: "t",
    verboseScreenLogging: true,
    shouldMask: ["peer"],
  });
  assert.deepEqual(config.limits, {
    maxNetOutflowTotalSat: 7n,
    idSettings: [],
    baseSettings: {
      enabled: false,
      minTransactionSizeSat: 20_000n,
      maxTransactionSizeSat: 3_000_000n,
      minTimeBetweenPaymentsMs: 1500,
      maxTransactionsPerPeriod: 3,
      maxTransactionsPeriodMs: 86_400_000,
      maxAmountPerPeriodSat: 5_000_000n,
      maxAmountPeriodMs: 5_400_000,
      periodKind: "fixed",
      balancePoint: 0.4,
      deadzone: 0.05,
      refreshRateMs: 500,
      maxNetOutflowSat: 40_000n,
    },
  });
});

Deno.test("parseConfig() reports five mistakes in one run, each with its place", () => {
  const text = `secret: tightrope-uau16bqnybpqdaan33wy57t3f5xsdex8eybkmx
lightningNodes:
  - socket: localhost
    certPath: tls.cert
    macaroonpath: tightrope.macaroon
limits:
  baseSettings:
    minTimeBetweenPayments: "60 s"
    deadzone: wide
`;
  assert.deepEqual(problemsOf(text), [
    "config.yaml:1:9: secret is mistyped: the secret looks generated but has a wrong letter: its checksum doesn't fit",
    'config.yaml:3:13: lightningNodes[0].socket has no port: must be host:port, such as localhost:10009, not "localhost"',
    'config.yaml:5:5: unknown key "macaroonpath" in lightningNodes[0]; did you mean "macaroonPath"?',
    "config.yaml:8:29: limits.baseSettings.minTimeBetweenPayments must be a time such as 30 (seconds), 500ms, 60s, " +
    '10m, 4h or 1d, not "60 s"',
    'config.yaml:9:15: limits.baseSettings.deadzone must be a share of the channel from 0 to 1, not "wide"',
  ]);
});

const mistakes: readonly { readonly name: string; readonly text: string; readonly want: RegExp }[] = [
  { name: "an empty file", text: "", want: /^config.yaml:1:1: the file is empty$/ },
  { name: "comments only", text: "# nothing\n", want: /:1:1: the file is empty$/ },
  { name: "a list", text: "- a\n", want: /the file must consist of settings/ },
  { name: "no keys", text: "{}", want: /:1:1: secret is missing\n.*:1:1: lightningNodes is missing$/ },
  {
    name: "an empty secret",
    text: smallConfig.replace(/secret: .*/, "secret:"),
    want: /^[^\n]*:1:1: secret is missing$/,
  },
  {
    name: "a quoted empty secret",
    text: smallConfig.replace(/secret: .*/, 'secret: ""'),
    want: /:1:9: secret is empty$/,
  },
  {
    name: "a secret chosen by a person",
    text: smallConfig.replace(/secret: .*/, "secret: correcthorsebatterystaple"),
    want: /:1:9: secret wasn't generated \(.*\); use one that `tightrope secret` prints, or set allowWeakSecret: true$/,
  },
  {
    name: "the same secret as before",
    text: `${smallConfig}previousSecret: ${generatedSecret}\n`,
    want: /:6:17: previousSecret is the same as secret/,
  },
  {
    name: "no nodes",
    text: `secret: ${generatedSecret}\nlightningNodes: []\n`,
    want: /:2:17: lightningNodes is empty: name at least one Lightning node$/,
  },
  {
    name: "a node twice",
    text: `${smallConfig}  - {socket: LOCALHOST:10009, certPath: a, macaroonPath: b}\n`,
    want: /:6:14: lightningNodes\[1\]\.socket is the same node as lightningNodes\[0\]: localhost:10009$/,
  },
  {
    name: "another kind of node",
    text: `${smallConfig}    type: cln\n`,
    want: /:6:11: lightningNodes\[0\]\.type must be lnd, not "cln"$/,
  },
  {
    name: "a URL for a socket",
    text: smallConfig.replace("localhost:10009", "https://localhost:10009"),
    want: /socket must be host:port without "https:\/\/"$/,
  },
  {
    name: "a port out of range",
    text: smallConfig.replace(":10009", ":70000"),
    want: /socket has port 70000; a port is 1 to 65535$/,
  },
  {
    name: "neither certificate nor macaroon",
    text: withNode(""),
    want:
      /:3:5: lightningNodes\[0\] has no TLS certificate: give certPath .*\n.*:3:5: .* has no macaroon: give macaroonPath /,
  },
  {
    name: "a macaroon twice",
    text: `${smallConfig}    macaroon: "00"\n`,
    want: /:5:19: lightningNodes\[0\]\.macaroonPath stands beside macaroon: give the macaroon once$/,
  },
  {
    name: "a macaroon of odd hex",
    text: withNode("    certPath: c\n    macaroon: '020'\n"),
    want: /macaroon is neither hex nor base64$/,
  },
  {
    name: "a certificate that isn't one",
    text: withNode("    cert: aGVsbG8=\n    macaroonPath: m\n"),
    want: /:4:11: lightningNodes\[0\]\.cert isn't a certificate$/,
  },
  {
    name: "a key for a certificate",
    text: withNode('    cert: "-----BEGIN EC PRIVATE KEY-----"\n    macaroonPath: m\n'),
    want: /cert is a private key \(tls\.key\)/,
  },
  {
    name: "a home path",
    text: smallConfig.replace("tls.cert", "~/tls.cert"),
    want: /:4:15: .* begins with ~, which isn't expanded here/,
  },
  {
    name: "a key of another group",
    text: withLimits("  maxNetOutflow: 5\n"),
    want: /:7:3: unknown key "maxNetOutflow" in limits; it belongs under limits\.baseSettings$/,
  },
  {
    name: "a misspelt key without value",
    text: `${smallConfig}limts:\n`,
    want: /:6:1: unknown key "limts"; did you mean "limits"\?$/,
  },
  { name: "a missing blank", text: "{secret:abc}", want: /a blank is missing after "secret:"/ },
  { name: "a key twice", text: `${smallConfig}secret: x\n`, want: /:6:1: the key "secret" stands here twice$/ },
  { name: "an unclosed quote", text: 'secret: "abc\n', want: /something is missing here/ },
  { name: "a tab", text: "limits:\n\tbaseSettings:\n", want: /:2:\d+: / },
  {
    name: "an unknown alias",
    text: smallConfig.replace(/secret: .*/, "secret: *hunter2"),
    want: /:1:9: a value that begins with \* refers to an anchor/,
  },
  { name: "two documents", text: `${smallConfig}---\na: b\n`, want: /only one document is read/ },
  {
    name: "no group",
    text: `${smallConfig}audit: here\n`,
    want: /:6:8: audit must be a group of settings, not "here"$/,
  },
  {
    name: "a bad log name",
    text: `${smallConfig}audit: {eventLog: ../up, transactionHistory: seed}\n`,
    want: /eventLog must be a plain name.*\n.*transactionHistory can't be "seed", a file of ours$/,
  },
  {
    name: "both logs in one place",
    text: `${smallConfig}audit: {eventLog: Transaction-Log}\n`,
    want: /audit\.transactionHistory must be another name than eventLog/,
  },
  ...["mark", "new", "ready", "damaged-1"].map((ending) => ({
    name: `one log where the other one's .${ending} lies`,
    text: `${smallConfig}audit: {eventLog: log, transactionHistory: Log.${ending}}\n`,
    want: /audit\.transactionHistory must be another name than eventLog, nor one of them the other with an ending/,
  })),
  {
    name: "a switch that is neither",
    text: `${smallConfig}requireNodeProof: yes\n`,
    want: /must be true or false, not "yes"$/,
  },
  {
    name: "a peer with a host",
    text: `${smallConfig}peers: ["02ee@host"]\n`,
    want: /:6:9: peers\[0\] must be a Lightning node's public key/,
  },
  { name: "no bootstrap node", text: `${smallConfig}swarm: {bootstrap: []}\n`, want: /swarm\.bootstrap is empty/ },
  {
    name: "a negative amount",
    text: withLimits("  maxNetOutflowTotal: -1\n"),
    want: /must be a whole number of satoshis from 0 to 2_100_000_000_000_000, not "-1"$/,
  },
  { name: "a fraction of a satoshi", text: withLimits("  maxNetOutflowTotal: 1.5\n"), want: /not "1.5"$/ },
  {
    name: "no refresh",
    text: withLimits("  baseSettings: {refreshRate: 0}\n"),
    want: /refreshRate must be from 100ms to 1d, not "0"$/,
  },
  {
    name: "sizes the wrong way round",
    text: withLimits("  baseSettings: {minTransactionSize: 50000, maxTransactionSize: 40000}\n"),
    want:
      /baseSettings\.m\w+TransactionSize leaves no size that a payment could have: minTransactionSize 50,000 is more than maxTransactionSize 40,000$/,
  },
  {
    name: "an exception below the default",
    text: withLimits("  idSettings:\n    - {id: alice, maxTransactionSize: 5000}\n"),
    want:
      /:8:39: limits\.idSettings\[0\]\.maxTransactionSize leaves no size .* minTransactionSize 10,000 \(the default\) is more/,
  },
  {
    name: "two exceptions that meet",
    text: withLimits(
      "  idSettings:\n    - {id: alice, minTransactionSize: 60000}\n    - {id: 800x1x0, maxTransactionSize: 50000}\n",
    ),
    want: /^[^\n]*:9:41: limits\.idSettings\[1\]\.maxTransactionSize leaves no size[^\n]*$/,
  },
  {
    name: "an exception twice",
    text: withLimits(
      "  idSettings:\n    - {id: 800x1x0, enabled: false}\n    - {id: 879609302286336, deadzone: 0.2}\n",
    ),
    want: /:9:12: limits\.idSettings\[1\]\.id is the same id as on line 8/,
  },
  {
    name: "an exception without id",
    text: withLimits("  idSettings:\n    - enabled: false\n"),
    want: /:8:7: limits\.idSettings\[0\]\.id is missing$/,
  },
  {
    name: "half a channel id",
    text: withLimits("  idSettings:\n    - {id: 'alice:800x1', enabled: false}\n"),
    want: /names "800x1", which is no channel id/,
  },
];

for (const { name, text, want } of mistakes) {
  Deno.test(`parseConfig() explains ${name}`, () => assert.match(problemsOf(text).join("\n"), want));
}

Deno.test("parseConfig() never repeats a secret, a macaroon or a certificate", () => {
  const canary = "hunter2hunter2";
  const texts = [
    `secret: ${canary}\nlightningNodes: [{socket: a:1, cert: ${canary}!, macaroon: ${canary}!}]\n`,
    `secret: *${canary}\n`,
    `secret: "${canary}\n`,
    `secret: [${canary}]\n`,
    `secret: \`${canary}\n`,
    `secret: %${canary}: a: b\n`,
    `secret:${canary}\nlightningNodes: []\n`,
    `{secret:${canary}}`,
    `secret: tightrope-${canary}\npreviousSecret: ${canary}\n`,
    `secret: !${canary} x\n`,
    `secret: |\n ${canary}\n`,
  ];
  for (const text of texts) assert.ok(!problemsOf(text).join("\n").includes(canary), text);
});

Deno.test("parseConfig() takes a certificate in every form as the same", () => {
  const flat = pem.replace(/-----[^-]*-----|\s/g, "");
  const forms = {
    pem: JSON.stringify(pem),
    "base64 of PEM": btoa(pem),
    "base64 of DER": flat,
    "base64url": flat.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, ""),
    block: `|\n${pem.replace(/^/gm, "      ")}`,
  };
  for (const [name, cert] of Object.entries(forms)) {
    const { config } = configOf(withNode(`    macaroonPath: m\n    cert: ${cert}\n`));
    assert.deepEqual(config.lightningNodes[0]?.cert, { kind: "inline", value: pem }, name);
  }
  const cut = problemsOf(withNode(`    macaroonPath: m\n    cert: ${flat.slice(0, 200)}\n`));
  assert.match(cut.join(), /cert is cut short: 150 of \d+ bytes$/);
});

Deno.test("parseConfig() reads the id of an exception in every form, with all its digits", () => {
  const big = "18446744073709551615";
  const ids = ["800000x1x0", big, "879609302286336", `alice:${big}`, "al:ice:800x1x0", "1337", "021", "alice", "true"];
  const { config } = configOf(
    withLimits(`  idSettings:\n${ids.map((id) => `    - {id: ${id}, enabled: false}\n`).join("")}`),
  );
  const shown = config.limits.idSettings.map(({ id, settings }) => {
    assert.deepEqual(settings, { enabled: false });
    return id.kind === "alias" ? id.alias : id.kind === "channel" ? id.channelId : `${id.alias} | ${id.channelId}`;
  });
  const of = (text: string) => parseShortChannelId(text);
  assert.deepEqual(shown, [
    of("800000x1x0"),
    big,
    of("800x1x0"),
    `alice | ${big}`,
    `al:ice | ${of("800x1x0")}`,
    "1337",
    "021",
    "alice",
    "true",
  ]);
  assert.equal(formatShortChannelId(of(big)!), "16777215x16777215x65535");
});

Deno.test("parseConfig() warns about settings that work and shouldn't be so", () => {
  const { config } = configOf(
    `${withLimits("  baseSettings: {deadzone: 0.5, maxNetOutflow: 5000}\n  idSettings: [{id: bob}]\n")}peers: []\n`,
  );
  assert.deepEqual(config.warnings, [
    "peers is empty: no node of another instance is ever paid",
    "limits.idSettings[0] replaces no setting",
    "limits.baseSettings.maxNetOutflow lets nothing be paid: maxNetOutflow 5,000 is less than minTransactionSize 10,000",
    "limits.baseSettings.deadzone means that this side never asks: balancePoint 0.5 minus deadzone 0.5 isn't above 0",
  ]);
});

Deno.test("parseConfig() warns of a maxNetOutflowTotal below every payment, and not of one that lends nothing on purpose", () => {
  const warnings = (limits: object) => {
    const lightningNodes = [{ type: "lnd", socket: "a:1", certPath: "c", macaroonPath: "m" }];
    const parsed = parse(JSON.stringify({ secret: generatedSecret, lightningNodes, limits }));
    assert.ok(parsed.ok);
    return parsed.config.warnings;
  };
  assert.deepEqual(warnings({ maxNetOutflowTotal: 5000 }), [
    "limits.maxNetOutflowTotal lets nothing be paid: maxNetOutflowTotal 5,000 is less than minTransactionSize 10,000",
  ]);
  assert.deepEqual(warnings({ maxNetOutflowTotal: 5000, baseSettings: { minTransactionSize: 5000 } }), []);
  assert.deepEqual(warnings({ maxNetOutflowTotal: 0 }), []);
});

Deno.test("parseConfig() reads JSON and anchors, and stands aliases that multiply", () => {
  assert.ok(
    parse(JSON.stringify({
      secret: generatedSecret,
      lightningNodes: [{ type: "lnd", socket: "a:1", certPath: "c", macaroonPath: "m" }],
      limits: { baseSettings: { maxTransactionSize: 20000, balancePoint: 0.5, enabled: true } },
    })).ok,
  );
  const anchored = withLimits("  idSettings:\n    - {id: a, deadzone: &d 0.2}\n    - {id: b, deadzone: *d}\n");
  assert.equal(configOf(anchored).config.limits.idSettings[1]?.settings.deadzone, 0.2);
  const levels = Array.from({ length: 12 }, (_, i) => `a${i + 1}: &a${i + 1} [${`*a${i},`.repeat(10)}]`);
  assert.match(problemsOf(`a0: &a0 x\n${levels.join("\n")}\n`).join("\n"), /too many values/);
});

Deno.test("config.yaml.example loads once its secret is filled in, shows every setting, and shows the defaults", () => {
  const example = Deno.readTextFileSync(new URL("../../config.yaml.example", import.meta.url));
  const asItIs = problemsOf(example);
  assert.equal(asItIs.length, 1);
  assert.match(asItIs[0]!, /secret wasn't generated .*; use one that `tightrope secret` prints/);

  const { config } = configOf(example.replace(/^secret: .*$/m, `secret: ${generatedSecret}`));
  assert.deepEqual(config.warnings, []);
  const small = configOf(smallConfig).config;
  assert.deepEqual({ ...config, lightningNodes: [] }, { ...small, lightningNodes: [] });
  for (const key of Object.values(knownKeys).flat()) assert.match(example, new RegExp(`^[\\s#-]*${key}:`, "m"), key);

  const everything = example.replace(/^secret: .*$/m, `secret: ${generatedSecret}`)
    .replace(/^( *)idSettings: \[\]\n/m, "")
    .replace(/^( *)# (?=\w+:$|\w+: \S+$| {2}- | {4}\w+:)/gm, "$1")
    .replace(/^ *(cert|macaroon|previousSecret):.*\n/gm, "");
  const full = configOf(everything).config;
  assert.deepEqual(full.swarm.bootstrap, ["192.0.2.1:49737"]);
  assert.equal(full.peers?.length, 1);
  assert.deepEqual(full.limits.idSettings.map((entry) => entry.id.kind), ["alias", "channel", "alias-channel"]);
});
