import type { Sat } from "../domain/amounts.ts";
import type { ChannelPoint, NodePubkey, ShortChannelId } from "../domain/ids.ts";

/** The whole configuration, checked, defaults applied, times in milliseconds. Plain data: it passes a worker's port. */
export interface Config {
  readonly secret: string;
  /** While a cluster changes its secret: the old topic is joined too. */
  readonly previousSecret: string | undefined;
  readonly requireNodeProof: boolean;
  /** Only these nodes are paid, when given. */
  readonly peers: readonly NodePubkey[] | undefined;
  readonly lightningNodes: readonly LndNodeConfig[];
  readonly swarm: SwarmConfig;
  readonly audit: AuditConfig;
  readonly limits: LimitsConfig;
  /** Things that work and shouldn't be so, each a sentence for the log (a weak secret, say). */
  readonly warnings: readonly string[];
}

export interface LndNodeConfig {
  readonly type: "lnd";
  /** `host:port` */
  readonly socket: string;
  /** What the certificate is checked against, `localhost` unless configured (LND's own certificates name it). */
  readonly tlsServerName: string;
  readonly cert: CredentialSource;
  readonly macaroon: CredentialSource;
}

/** A value from the config itself, or a file that is read again when it changes (absolute path). */
export type CredentialSource =
  | { readonly kind: "inline"; readonly value: string }
  | { readonly kind: "file"; readonly path: string };

export interface SwarmConfig {
  /** `host:port` of DHT nodes; undefined = the public DHT. */
  readonly bootstrap: readonly string[] | undefined;
  /** UDP port; 0 = any. */
  readonly port: number;
}

export interface AuditConfig {
  /** Absolute: the data directory. Both logs, the seed file and the control files live below it. */
  readonly storagePath: string;
  readonly eventLog: string;
  readonly transactionHistory: string;
  readonly verboseScreenLogging: boolean;
  /** Keys whose values are masked in the event log. */
  readonly shouldMask: readonly string[];
}

/**
 * `rolling`: whatever the last period's length saw counts. `fixed`: periods follow each other, aligned to the UTC epoch (4h:
 * at 0, 4, 8 o'clock UTC), and each begins with nothing spent, so that around a boundary twice the limit may pass.
 */
export type PeriodKind = "rolling" | "fixed";

/** The settings that may be given for all, per node alias, per channel, and per `alias:channelId`. */
export interface BalanceSettings {
  readonly enabled: boolean;
  readonly minTransactionSizeSat: Sat;
  readonly maxTransactionSizeSat: Sat;
  readonly minTimeBetweenPaymentsMs: number;
  readonly maxTransactionsPerPeriod: number;
  readonly maxTransactionsPeriodMs: number;
  readonly maxAmountPerPeriodSat: Sat;
  readonly maxAmountPeriodMs: number;
  /** How both periods run. */
  readonly periodKind: PeriodKind;
  /** Share of the channel that this node wants to hold, 0 to 1. */
  readonly balancePoint: number;
  /** How far below `balancePoint` the share may fall before this node asks. */
  readonly deadzone: number;
  readonly refreshRateMs: number;
  readonly maxNetOutflowSat: Sat;
}

/** Whom a group of settings is for. The more specific wins: base < alias < channel < alias:channel. */
export type SettingsId =
  | { readonly kind: "alias"; readonly alias: string }
  | { readonly kind: "channel"; readonly channelId: ShortChannelId }
  | { readonly kind: "alias-channel"; readonly alias: string; readonly channelId: ShortChannelId };

export interface LimitsConfig {
  readonly baseSettings: BalanceSettings;
  readonly idSettings: readonly { readonly id: SettingsId; readonly settings: Partial<BalanceSettings> }[];
  readonly maxNetOutflowTotalSat: Sat;
}

/** The channel to which settings are applied: one side of it. */
export interface SettingsTarget {
  /** Our own node's alias, from its own GetInfo. */
  readonly alias: string;
  readonly channelPoint: ChannelPoint;
  /** All ids of the channel, on our side. */
  readonly channelIds: readonly ShortChannelId[];
}

/**
 * Over what a limit is counted: everything that the paying node pays (set in the base or under its alias), or one channel
 * (set under a channel id or `alias:channelId`).
 */
export type LimitScope = "node" | "channel";

/** What a limit counts over in time. */
export interface Period {
  readonly periodMs: number;
  readonly periodKind: PeriodKind;
}

/** Every limit that applies to payments over one side of a channel. All must hold. */
export interface ScopedLimits {
  readonly counts: readonly (Period & { readonly scope: LimitScope; readonly max: number })[];
  readonly amounts: readonly (Period & { readonly scope: LimitScope; readonly maxSat: Sat })[];
  /** `node`: over all channels with the remote node. */
  readonly netOutflows: readonly { readonly scope: LimitScope; readonly maxSat: Sat }[];
  /** Over all nodes of other instances together. */
  readonly netOutflowTotalSat: Sat;
}
