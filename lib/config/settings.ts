import type { BalanceSettings, LimitsConfig, LimitScope, ScopedLimits, SettingsId, SettingsTarget } from "./config.ts";

type Layer = Partial<BalanceSettings>;

/** The settings of one side of a channel: base < alias < channel < alias:channel, each value by itself. */
export function settingsFor(limits: LimitsConfig, target: SettingsTarget): BalanceSettings {
  return merge(limits.baseSettings, [...nodeLayers(limits, target.alias), ...channelLayers(limits, target)]);
}

/** The settings of a node, as far as they don't depend on a channel. */
export function nodeSettingsFor(limits: LimitsConfig, alias: string): BalanceSettings {
  return merge(limits.baseSettings, nodeLayers(limits, alias));
}

/**
 * The limits of one side of a channel, each with its scope. Within a scope the more specific replaces the other; a
 * channel's own limit stands beside its node's. Of count, period and its kind, what isn't given is
 * taken from the settings above it.
 */
export function limitsFor(limits: LimitsConfig, target: SettingsTarget): ScopedLimits {
  const node = nodeSettingsFor(limits, target.alias);
  const channel = settingsFor(limits, target);
  const layers = channelLayers(limits, target);
  const sets = (...keys: (keyof BalanceSettings)[]) =>
    layers.some((layer) => keys.some((key) => layer[key] !== undefined));
  const scoped: { scope: LimitScope; settings: BalanceSettings }[] = [{ scope: "node", settings: node }];
  const withChannel = (...keys: (keyof BalanceSettings)[]) =>
    sets(...keys) ? [...scoped, { scope: "channel" as const, settings: channel }] : scoped;
  return {
    counts: withChannel("maxTransactionsPerPeriod", "maxTransactionsPeriodMs", "periodKind").map((
      { scope, settings },
    ) => ({
      scope,
      max: settings.maxTransactionsPerPeriod,
      periodMs: settings.maxTransactionsPeriodMs,
      periodKind: settings.periodKind,
    })),
    amounts: withChannel("maxAmountPerPeriodSat", "maxAmountPeriodMs", "periodKind").map(({ scope, settings }) => ({
      scope,
      maxSat: settings.maxAmountPerPeriodSat,
      periodMs: settings.maxAmountPeriodMs,
      periodKind: settings.periodKind,
    })),
    netOutflows: withChannel("maxNetOutflowSat").map(({ scope, settings }) => ({
      scope,
      maxSat: settings.maxNetOutflowSat,
    })),
    netOutflowTotalSat: limits.maxNetOutflowTotalSat,
  };
}

/** The longest period that any limit counts over: how long a settled payment must be remembered. */
export function longestPeriodMs(limits: LimitsConfig): number {
  return [limits.baseSettings, ...limits.idSettings.map(({ settings }) => settings)].reduce(
    (longest, settings) => Math.max(longest, settings.maxTransactionsPeriodMs ?? 0, settings.maxAmountPeriodMs ?? 0),
    0,
  );
}

function nodeLayers(limits: LimitsConfig, alias: string): Layer[] {
  return layersOf(limits, (id) => id.kind === "alias" && id.alias === alias);
}

/** Channel ids first, then `alias:channelId`: later ones win. */
function channelLayers(limits: LimitsConfig, { alias, channelIds }: SettingsTarget): Layer[] {
  return [
    ...layersOf(limits, (id) => id.kind === "channel" && channelIds.includes(id.channelId)),
    ...layersOf(
      limits,
      (id) => id.kind === "alias-channel" && id.alias === alias && channelIds.includes(id.channelId),
    ),
  ];
}

function layersOf(limits: LimitsConfig, applies: (id: SettingsId) => boolean): Layer[] {
  return limits.idSettings.filter(({ id }) => applies(id)).map(({ settings }) => settings);
}

function merge(base: BalanceSettings, layers: readonly Layer[]): BalanceSettings {
  return Object.assign({}, base, ...layers);
}
