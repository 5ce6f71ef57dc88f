import {
  type ChannelPoint,
  formatShortChannelId,
  type NodePubkey,
  parseChannelPoint,
  parseNodePubkey,
  parseShortChannelId,
  type ShortChannelId,
} from "../domain/ids.ts";

/** What a pause is over: everything, one node (ours by alias or key, another's by its key), or one channel. */
export type PauseScope =
  | { readonly kind: "all" }
  | { readonly kind: "node"; readonly pubkey: NodePubkey }
  | { readonly kind: "alias"; readonly alias: string }
  | { readonly kind: "channel-id"; readonly channelId: ShortChannelId }
  | { readonly kind: "channel-point"; readonly channelPoint: ChannelPoint };

/**
 * Asking and paying stopped over something until the operator resumes.
 * `breaker`: the daemon itself stopped, since something contradicts its rules. `unreadable`: the pause file is there and
 * can't be understood.
 */
export interface Pause {
  readonly scope: PauseScope;
  readonly by: "operator" | "breaker" | "unreadable";
  /** A sentence without its full stop; empty for the operator's. */
  readonly reason: string;
  /** When, by the wall clock; 0 if nobody knows. */
  readonly sinceWallMs: number;
}

/** The format of the pause file. */
const version = 1;
const about = "Tightrope neither asks nor pays over what is listed here; change it by `tightrope pause` and `resume`";
/** A file that is longer was not written by this program. */
export const maxPauseFileBytes = 4_000_000;

/** The pause file's text. */
export function encodePauses(pauses: readonly Pause[]): string {
  const written = pauses.map(({ scope, by, reason, sinceWallMs }) => ({
    ...fieldsOf(scope),
    by,
    ...(reason === "" ? {} : { reason }),
    since: new Date(sinceWallMs).toISOString(),
  }));
  return `${JSON.stringify({ v: version, about, pauses: written }, undefined, 2)}\n`;
}

function fieldsOf(scope: PauseScope): Record<string, string> {
  switch (scope.kind) {
    case "all":
      return { over: "everything" };
    case "node":
      return { node: scope.pubkey };
    case "alias":
      return { alias: scope.alias };
    case "channel-id":
      return { channelId: scope.channelId };
    case "channel-point":
      return { channelPoint: scope.channelPoint };
  }
}

/** Reads a pause file; total. Whatever isn't understood is a pause of everything. */
export function decodePauses(text: string): readonly Pause[] {
  try {
    const { v, pauses } = JSON.parse(text);
    if (v !== version || !Array.isArray(pauses)) return [unreadablePause("it isn't in a form that is known")];
    return pauses.map(decodePause);
  } catch {
    return [unreadablePause("it isn't in a form that is known")];
  }
}

/** What stands for a pause file that is there and can't be read. */
export function unreadablePause(why: string): Pause {
  return {
    scope: { kind: "all" },
    by: "unreadable",
    reason: `the pause file can't be read (${why})`,
    sinceWallMs: 0,
  };
}

function decodePause(entry: unknown): Pause {
  const { by, reason = "", since, ...scopeFields } = entry as Record<string, unknown>;
  const sinceWallMs = Date.parse(String(since));
  const scope = decodeScope(scopeFields);
  const known = (by === "operator" || by === "breaker") && typeof reason === "string";
  if (!known || scope === undefined || Number.isNaN(sinceWallMs)) throw new SyntaxError("a pause isn't understood");
  return { scope, by, reason, sinceWallMs };
}

function decodeScope(fields: Readonly<Record<string, unknown>>): PauseScope | undefined {
  const [[name, value] = [], ...others] = Object.entries(fields);
  // A field that this version doesn't know may narrow or widen what it stands beside.
  if (others.length > 0) return undefined;
  switch (name) {
    case "over":
      return value === "everything" ? { kind: "all" } : undefined;
    case "node": {
      const pubkey = parseNodePubkey(value);
      return pubkey && { kind: "node", pubkey };
    }
    case "alias":
      return typeof value === "string" && value !== "" ? { kind: "alias", alias: value } : undefined;
    case "channelId": {
      const channelId = parseShortChannelId(value);
      return channelId && { kind: "channel-id", channelId };
    }
    case "channelPoint": {
      const channelPoint = parseChannelPoint(value);
      return channelPoint && { kind: "channel-point", channelPoint };
    }
    default:
      return undefined;
  }
}

/** Reads what an operator writes after `--node`: a public key, else an alias of one of our nodes. */
export function parseNodeScope(text: string): PauseScope | undefined {
  const pubkey = parseNodePubkey(text.toLowerCase());
  if (pubkey !== undefined) return { kind: "node", pubkey };
  return text.trim() === "" ? undefined : { kind: "alias", alias: text };
}

/** Reads what an operator writes after `--channel`: `800000x1x0`, LND's number, or `txid:index`. */
export function parseChannelScope(text: string): PauseScope | undefined {
  const channelPoint = parseChannelPoint(text.toLowerCase());
  if (channelPoint !== undefined) return { kind: "channel-point", channelPoint };
  const channelId = parseShortChannelId(text);
  // A channel id has a block: a small number was meant for something else.
  if (channelId === undefined || BigInt(channelId) >> 40n === 0n) return undefined;
  return { kind: "channel-id", channelId };
}

export function sameScope(a: PauseScope, b: PauseScope): boolean {
  return JSON.stringify(fieldsOf(a)) === JSON.stringify(fieldsOf(b));
}

/** `everything`, `node alice`, `channel 800000x1x0` */
export function scopeName(scope: PauseScope): string {
  switch (scope.kind) {
    case "all":
      return "everything";
    case "node":
      return `node ${scope.pubkey}`;
    case "alias":
      return `node ${scope.alias}`;
    case "channel-id":
      return `channel ${formatShortChannelId(scope.channelId)}`;
    case "channel-point":
      return `channel ${scope.channelPoint}`;
  }
}
