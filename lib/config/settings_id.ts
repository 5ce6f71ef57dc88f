import { parseShortChannelId, type ShortChannelId } from "../domain/ids.ts";
import type { SettingsId } from "./config.ts";

export type SettingsIdResult =
  | { readonly ok: true; readonly id: SettingsId }
  | { readonly ok: false; readonly message: string };

/**
 * Reads the id of a group of settings: a channel id, `alias:channelId` (split at the last colon), or a node alias.
 * A number that no channel can have (block 0) is an alias: nodes may be called `1337`.
 */
export function parseSettingsId(text: string): SettingsIdResult {
  if (text.trim() === "") return { ok: false, message: "is empty" };
  const channelId = parseRealChannelId(text);
  if (channelId !== undefined) return { ok: true, id: { kind: "channel", channelId } };
  const colon = text.lastIndexOf(":");
  if (colon >= 0) {
    const [alias, rest] = [text.slice(0, colon), text.slice(colon + 1)];
    const ofNode = parseRealChannelId(rest);
    if (ofNode !== undefined) {
      if (alias.trim() === "") return { ok: false, message: "has no alias before the colon" };
      return { ok: true, id: { kind: "alias-channel", alias, channelId: ofNode } };
    }
    if (looksLikeChannelId(rest)) return { ok: false, message: notAChannelId(rest) };
  } else if (/^\d+x\d+(x\d*)?$/i.test(text) || /^\d{13,}$/.test(text)) {
    return { ok: false, message: notAChannelId(text) };
  }
  return { ok: true, id: { kind: "alias", alias: text } };
}

/** One text per id, however it was written; two groups of the same are a mistake. */
export function settingsIdKey(id: SettingsId): string {
  switch (id.kind) {
    case "alias":
      return `alias ${id.alias}`;
    case "channel":
      return `channel ${id.channelId}`;
    case "alias-channel":
      return `channel ${id.channelId} of ${id.alias}`;
  }
}

function parseRealChannelId(text: string): ShortChannelId | undefined {
  const channelId = parseShortChannelId(text);
  return channelId === undefined || BigInt(channelId) >> 40n === 0n ? undefined : channelId;
}

const looksLikeChannelId = (text: string) => /^\s*\d[\dx\s]*$/i.test(text);
const notAChannelId = (text: string) =>
  `names ${JSON.stringify(text.slice(0, 40))}, which is no channel id; write it as 800000x1x0 or as LND's number`;
