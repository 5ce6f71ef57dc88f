import { formatSat, type Sat } from "../domain/amounts.ts";
import { type ChannelSnapshot } from "../domain/channel.ts";
import { formatShortChannelId, type NodePubkey } from "../domain/ids.ts";
import type { BalanceSettings } from "../config/config.ts";
import { cleanText } from "../protocol/message_codec.ts";
import { askingSat, formatShare, shareOf, totalSat } from "../policy/share.ts";
import { type BalancerState, nodeByPubkey } from "./state.ts";

/** `bob (03ab12cd…)`: an alias is anybody's word, the key isn't. */
export function nameOf(state: BalancerState, pubkey: NodePubkey): string {
  return nameBy(aliasOf(state, pubkey), pubkey);
}

/** The same by an alias that isn't known yet. */
export function nameBy(alias: string, pubkey: NodePubkey): string {
  const short = `${pubkey.slice(0, 8)}…`;
  const shown = cleanAlias(alias);
  return shown === "" ? short : `${shown} (${short})`;
}

/** What a node calls itself, or last did; may be empty. */
export function aliasOf(state: BalancerState, pubkey: NodePubkey): string {
  const own = nodeByPubkey(state, pubkey)?.info?.alias;
  if (own !== undefined) return own;
  for (const peer of state.peers.values()) {
    const alias = peer.nodes.get(pubkey)?.alias;
    if (alias !== undefined) return alias;
  }
  return state.aliases.get(pubkey) ?? "";
}

/** An alias without control characters, and short. */
export function cleanAlias(alias: string): string {
  return cleanText(alias, 40);
}

export function channelName(channel: ChannelSnapshot): string {
  return formatShortChannelId(channel.shortChannelId);
}

export function sats(amountSat: Sat): string {
  return `${formatSat(amountSat)} sat`;
}

/** `alice (02a1…) holds 10 %, wants 50 % ± 10 %` */
export function standing(name: string, channel: ChannelSnapshot, settings: BalanceSettings): string {
  const share = shareOf(askingSat(channel), totalSat(channel));
  return `${name} holds ${formatShare(share)}, wants ${formatShare(settings.balancePoint)} ± ${
    formatShare(settings.deadzone)
  }`;
}
