import * as z from "zod";
import { type Sat, sat } from "../domain/amounts.ts";
import { type NodePubkey, parseNodePubkey } from "../domain/ids.ts";
import type { PeriodKind, SettingsId } from "./config.ts";
import { decodeCertificate, type Decoded, decodeMacaroon } from "./credentials.ts";
import { reservedDataNames } from "./data_paths.ts";
import { durationForms, formatDurationMs, parseDurationMs } from "./duration.ts";
import { parseSettingsId } from "./settings_id.ts";

/**
 * Every setting by the name operators write, with its range and default. It reads the plain tree of `toPlain`: scalars are
 * text. Each message continues a sentence that begins with the setting's path: "limits.baseSettings.deadzone must be …".
 */

const maxAmountSat = 2_100_000_000_000_000;

/** Refuses with a message of its own: what a field's transform calls. */
type Context = Parameters<Parameters<z.ZodString["transform"]>[0]>[1];

function refuse(context: Context, message: string): never {
  context.addIssue({ code: "custom", message });
  return z.NEVER;
}

/** What was found, for a message: short, on one line. */
function describe(found: unknown): string {
  if (found === null || found === undefined) return "nothing";
  if (Array.isArray(found)) return "a list";
  if (typeof found === "object") return "a group of settings";
  const text = String(found);
  return JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}…` : text);
}

const expected = (what: string) => (issue: { readonly code?: string; readonly input?: unknown }) =>
  issue.input === undefined ? "is missing" : `must be ${what}, not ${describe(issue.input)}`;

/** A scalar that `read` turns into what it means, or into undefined when it isn't `what`. */
function scalar<T>(what: string, read: (text: string) => T | undefined) {
  return z.string({ error: expected(what) }).transform((text, context): T => {
    const value = read(text);
    return value === undefined ? refuse(context, `must be ${what}, not ${describe(text)}`) : value;
  });
}

/** A scalar whose value no message may repeat. */
function hidden(what: string, decode: (text: string) => Decoded) {
  return z.string({ error: (issue) => issue.input === undefined ? "is missing" : `must be ${what}` })
    .transform((text, context): string => {
      const decoded = decode(text);
      return decoded.ok ? decoded.value : refuse(context, decoded.message);
    });
}

const group = <Shape extends z.ZodRawShape>(shape: Shape) =>
  z.strictObject(shape, { error: expected("a group of settings") });

const listOf = <Item extends z.ZodType>(item: Item, what: string) =>
  z.array(item, { error: expected(`a list of ${what}`) });

const boolean = scalar(
  "true or false",
  (text) => /^true$/i.test(text) ? true : /^false$/i.test(text) ? false : undefined,
);

function parseNumber(text: string): number | undefined {
  if (!/^(\d+(_\d+)*(\.\d+)?|\.\d+)(e\+?\d{1,2})?$/i.test(text)) return undefined;
  const value = Number(text.replaceAll("_", ""));
  return Number.isFinite(value) ? value : undefined;
}

const grouped = (value: number) => value.toString().replace(/\B(?=(\d{3})+$)/g, "_");

function whole(what: string, least: number, most: number) {
  return scalar(`${what} from ${grouped(least)} to ${grouped(most)}`, (text) => {
    const value = parseNumber(text);
    return value !== undefined && Number.isSafeInteger(value) && value >= least && value <= most ? value : undefined;
  });
}

const amountSat = (leastSat: number) =>
  whole("a whole number of satoshis", leastSat, maxAmountSat).transform((value): Sat => sat(value));

const share = scalar("a share of the channel from 0 to 1", (text) => {
  const value = parseNumber(text);
  return value !== undefined && value <= 1 ? value : undefined;
});

function durationMs(leastMs: number, mostMs: number) {
  return z.string({ error: expected(durationForms) }).transform((text, context): number => {
    const value = parseDurationMs(text);
    if (value === undefined) return refuse(context, `must be ${durationForms}, not ${describe(text)}`);
    if (value >= leastMs && value <= mostMs) return value;
    const range = `from ${formatDurationMs(leastMs)} to ${formatDurationMs(mostMs)}`;
    return refuse(context, `must be ${range}, not ${describe(text)}`);
  });
}

const hostPort = z.string({ error: expected("host:port") }).transform((text, context): string => {
  const wrong = hostPortFault(text);
  return wrong === undefined ? text.toLowerCase() : refuse(context, wrong);
});

/** What is wrong with a `host:port`, as the rest of a sentence. */
function hostPortFault(text: string): string | undefined {
  const shown = describe(text);
  if (/^[a-z][a-z0-9+.-]*:\/\//i.test(text)) return `must be host:port without ${describe(text.split("//")[0] + "//")}`;
  const match = /^(\[[0-9a-fA-F:.]+\]|[^:\s/[\]@]+)(?::(\d{1,5}))?$/.exec(text);
  if (match === null) return `must be host:port (an IPv6 address in brackets), not ${shown}`;
  if (match[2] === undefined) return `has no port: must be host:port, such as ${text}:10009, not ${shown}`;
  const port = Number(match[2]);
  return port >= 1 && port <= 65535 ? undefined : `has port ${match[2]}; a port is 1 to 65535`;
}

const filePath = scalar("the path of a file", (text) => text.trim() === "" || text.includes("\0") ? undefined : text)
  .transform((text, context): string =>
    text.startsWith("~") ? refuse(context, "begins with ~, which isn't expanded here; write the whole path") : text
  );

const logName = scalar(
  "a plain name of letters, digits, dots, - and _",
  (text) => /^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/.test(text) ? text : undefined,
).transform((text, context): string =>
  reservedDataNames.includes(text.toLowerCase()) ? refuse(context, `can't be ${describe(text)}, a file of ours`) : text
);

const nodePubkey = scalar(
  "a Lightning node's public key (66 hex digits, without @host)",
  (text): NodePubkey | undefined => parseNodePubkey(text.toLowerCase()),
);

const settingsId = z.string({ error: expected("a node alias, a channel id, or alias:channelId") })
  .transform((text, context): SettingsId => {
    const result = parseSettingsId(text);
    return result.ok ? result.id : refuse(context, result.message);
  });

const secondMs = 1_000;
const dayMs = 86_400_000;

/** `limits.baseSettings`, and what an entry of `limits.idSettings` may replace. */
export const settingFields = {
  enabled: boolean,
  minTransactionSize: amountSat(1_000),
  maxTransactionSize: amountSat(1_000),
  minTimeBetweenPayments: durationMs(0, 30 * dayMs),
  maxTransactionsPerPeriod: whole("a whole number", 0, 1_000_000),
  maxTransactionsPeriod: durationMs(secondMs, 366 * dayMs),
  maxAmountPerPeriod: amountSat(0),
  maxAmountPeriod: durationMs(secondMs, 366 * dayMs),
  periodKind: scalar(
    "rolling or fixed",
    (text): PeriodKind | undefined => text === "rolling" || text === "fixed" ? text : undefined,
  ),
  balancePoint: share,
  deadzone: share,
  refreshRate: durationMs(100, dayMs),
  maxNetOutflow: amountSat(0),
};

export const defaultSettings = {
  enabled: true,
  minTransactionSizeSat: sat(10_000),
  maxTransactionSizeSat: sat(1_000_000),
  minTimeBetweenPaymentsMs: 60 * secondMs,
  maxTransactionsPerPeriod: 20,
  maxTransactionsPeriodMs: 4 * 60 * 60 * secondMs,
  maxAmountPerPeriodSat: sat(100_000_000),
  maxAmountPeriodMs: 4 * 60 * 60 * secondMs,
  periodKind: "rolling" as PeriodKind,
  balancePoint: 0.5,
  deadzone: 0.1,
  refreshRateMs: 10 * secondMs,
  maxNetOutflowSat: sat(10_000_000),
};

const optionalSettings = {
  enabled: settingFields.enabled.optional(),
  minTransactionSize: settingFields.minTransactionSize.optional(),
  maxTransactionSize: settingFields.maxTransactionSize.optional(),
  minTimeBetweenPayments: settingFields.minTimeBetweenPayments.optional(),
  maxTransactionsPerPeriod: settingFields.maxTransactionsPerPeriod.optional(),
  maxTransactionsPeriod: settingFields.maxTransactionsPeriod.optional(),
  maxAmountPerPeriod: settingFields.maxAmountPerPeriod.optional(),
  maxAmountPeriod: settingFields.maxAmountPeriod.optional(),
  periodKind: settingFields.periodKind.optional(),
  balancePoint: settingFields.balancePoint.optional(),
  deadzone: settingFields.deadzone.optional(),
  refreshRate: settingFields.refreshRate.optional(),
  maxNetOutflow: settingFields.maxNetOutflow.optional(),
};

const settingsSchema = group(optionalSettings);

/** As written, under the operator's names; a setting that isn't there is undefined. */
export type WrittenSettings = z.output<typeof settingsSchema>;

const lndNodeSchema = group({
  type: scalar("lnd", (text) => text === "lnd" ? "lnd" as const : undefined).default("lnd"),
  socket: hostPort,
  tlsServerName: scalar("a host name", (text) => /^[A-Za-z0-9_.:-]{1,253}$/.test(text) ? text : undefined)
    .default("localhost"),
  cert: hidden("PEM or base64 of a certificate", decodeCertificate).optional(),
  certPath: filePath.optional(),
  macaroon: hidden("hex or base64 of a macaroon", decodeMacaroon).optional(),
  macaroonPath: filePath.optional(),
});

const secretText = hidden(
  "text",
  (text) => text.trim() === "" ? { ok: false, message: "is empty" } : { ok: true, value: text },
);

const limitsShape = {
  maxNetOutflowTotal: amountSat(0).default(sat(10_000_000)),
  baseSettings: settingsSchema.prefault({}),
  idSettings: listOf(group({ id: settingsId, ...optionalSettings }), "groups, each with an id").default([]),
};

const auditShape = {
  storage: group({ path: filePath.prefault("./storage") }).prefault({}),
  eventLog: logName.prefault("event-log"),
  transactionHistory: logName.prefault("transaction-log"),
  verboseScreenLogging: boolean.default(false),
  shouldMask: listOf(scalar("a key", (text) => text.trim() === "" ? undefined : text), "keys").default([]),
};

const swarmShape = {
  bootstrap: listOf(hostPort, "host:port").min(1, "is empty: name a DHT node, or leave it out for the public DHT")
    .optional(),
  port: whole("a port number", 0, 65535).default(0),
};

const topShape = {
  secret: secretText,
  previousSecret: secretText.optional(),
  allowWeakSecret: boolean.default(false),
  requireNodeProof: boolean.default(true),
  peers: listOf(nodePubkey, "node public keys").optional(),
  lightningNodes: listOf(lndNodeSchema, "Lightning nodes").min(1, "is empty: name at least one Lightning node"),
  swarm: group(swarmShape).prefault({}),
  audit: group(auditShape).prefault({}),
  limits: group(limitsShape).prefault({}),
};

export const configSchema = group(topShape);

/** What the file says, each value understood, before values are checked against each other. */
export type WrittenConfig = z.output<typeof configSchema>;

/** The keys of every group, by the group's path (`[]` for any entry of a list). For "did you mean" and "belongs under". */
export const knownKeys: Readonly<Record<string, readonly string[]>> = {
  "": Object.keys(topShape),
  "lightningNodes[]": Object.keys(lndNodeSchema.shape),
  swarm: Object.keys(swarmShape),
  audit: Object.keys(auditShape),
  "audit.storage": ["path"],
  limits: Object.keys(limitsShape),
  "limits.baseSettings": Object.keys(optionalSettings),
  "limits.idSettings[]": ["id", ...Object.keys(optionalSettings)],
};

/** The value of one field, or undefined when it is absent or wrong by itself (which is reported by itself). */
export function readField<T>(field: z.ZodType<T, unknown>, text: string | undefined): T | undefined {
  if (text === undefined) return undefined;
  const result = field.safeParse(text);
  return result.success ? result.data : undefined;
}

/** Fields that are compared with others although the rest of the file may be wrong. */
export const fields = { boolean, hostPort, logName, nodePubkey, settingsId, filePath };
