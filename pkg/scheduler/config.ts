import { readFileSync } from "node:fs";
import { isRecord } from "#pkg/apimachinery/index.ts";
import { errorMessage } from "#pkg/util/index.ts";
import { DEFAULT_SCHEDULER } from "./cache/pod-info.ts";
import type { EnabledPlugin, ExtensionPoint } from "./framework/profile.ts";
import { PLUGIN_SETS, unknownArgs, unknownFields } from "./config-fields.ts";
import { problemOfArgs } from "./plugin-args.ts";
import { DEFAULT_PLUGINS } from "./plugins/registry.ts";
import type { PluginFactory, PluginHandle } from "./plugins/registry.ts";

/** kubescheduler.config.k8s.io/v1 KubeSchedulerConfiguration, as far as this scheduler goes by it. */
export interface SchedulerConfiguration {
  readonly profiles: readonly ProfileConfiguration[];
  /** 0: adaptive. */
  readonly percentageOfNodesToScore: number;
  readonly podInitialBackoffSeconds: number;
  readonly podMaxBackoffSeconds: number;
  readonly extenders: readonly ExtenderConfiguration[];
}

/** A profile of KubeSchedulerConfiguration, checked. */
export interface ProfileConfiguration {
  readonly schedulerName: string;
  readonly percentageOfNodesToScore: number | undefined;
  readonly plugins: Readonly<Partial<Record<PluginSetName, PluginSet>>>;
  /** Arguments by plugin name. */
  readonly pluginConfig: ReadonlyMap<string, unknown>;
}

/** The names under which a profile switches plugins on and off. */
export type PluginSetName = ExtensionPoint | "multiPoint";

/** What a profile switches on and off at one point. */
export interface PluginSet {
  readonly enabled: readonly { readonly name: string; readonly weight: number }[];
  /** "*" is all of them. */
  readonly disabled: ReadonlySet<string>;
}

/** An extender of KubeSchedulerConfiguration, checked; a verb of "" is one that it does not have. */
export interface ExtenderConfiguration {
  readonly urlPrefix: string;
  readonly filterVerb: string;
  readonly prioritizeVerb: string;
  readonly preemptVerb: string;
  readonly bindVerb: string;
  readonly weight: number;
  readonly nodeCacheCapable: boolean;
  readonly ignorable: boolean;
  readonly httpTimeoutMs: number;
  readonly managedResources: readonly string[];
  readonly tls: ExtenderTls | undefined;
}
/** How to know an extender and to be known to it; PEM texts. */
export interface ExtenderTls {
  readonly insecure: boolean;
  /** To verify the certificate against, when it is not the URL's host. */
  readonly serverName: string | undefined;
  readonly ca: string | undefined;
  readonly cert: string | undefined;
  readonly key: string | undefined;
}

/** A configuration that cannot be used; the message names the field. */
export class ConfigurationError extends Error {}

/** One profile, "default-scheduler", with all default plugins. */
export const DEFAULT_CONFIGURATION: SchedulerConfiguration = {
  profiles: [
    { schedulerName: DEFAULT_SCHEDULER, percentageOfNodesToScore: undefined, plugins: {}, pluginConfig: new Map() },
  ],
  percentageOfNodesToScore: 0,
  podInitialBackoffSeconds: 1,
  podMaxBackoffSeconds: 10,
  extenders: [],
};

/** The plugin that compares what pods request with what nodes have. */
const FIT = "NodeResourcesFit";

/** Reads a KubeSchedulerConfiguration object (decoded YAML or JSON). @throws ConfigurationError */
export function parseSchedulerConfiguration(value: unknown): SchedulerConfiguration {
  const object = record(value, "configuration");
  if (object["kind"] !== "KubeSchedulerConfiguration" || object["apiVersion"] !== "kubescheduler.config.k8s.io/v1") {
    throw new ConfigurationError("expected kind KubeSchedulerConfiguration of kubescheduler.config.k8s.io/v1");
  }
  refuseUnknown(unknownFields(object));
  const parallelism = number(object["parallelism"], "parallelism", 16);
  if (parallelism <= 0)
    throw new ConfigurationError(
      invalidValue("parallelism", parallelism, "should be an integer value greater than zero"),
    );
  const listed = list(object["profiles"], "profiles");
  const profiles = listed.map((one, i) => parseProfile(one, `profiles[${i}]`, listed.length === 1));
  checkTogether(profiles);
  const initial = number(object["podInitialBackoffSeconds"], "podInitialBackoffSeconds", 1);
  const max = number(object["podMaxBackoffSeconds"], "podMaxBackoffSeconds", 10);
  if (initial <= 0)
    throw new ConfigurationError(invalidValue("podInitialBackoffSeconds", initial, "must be greater than 0"));
  if (max < initial) {
    const why = "must be greater than or equal to PodInitialBackoffSeconds";
    throw new ConfigurationError(invalidValue("podMaxBackoffSeconds", max, why));
  }
  const ignored = list(object["extenders"], "extenders").flatMap((one, i) => ignoredResources(one, `extenders[${i}]`));
  const extenders = list(object["extenders"], "extenders").map((one, i) => parseExtender(one, `extenders[${i}]`));
  const binders = extenders.filter(({ bindVerb }) => bindVerb !== "").length;
  if (binders > 1)
    throw new ConfigurationError(
      invalidValue("extenders", `found ${binders} extenders implementing bind`, "only one extender can implement bind"),
    );
  const all = profiles.length === 0 ? DEFAULT_CONFIGURATION.profiles : profiles;
  return {
    profiles: ignored.length === 0 ? all : all.map((profile) => ignoring(profile, ignored)),
    percentageOfNodesToScore: percentage(object["percentageOfNodesToScore"], "percentageOfNodesToScore") ?? 0,
    podInitialBackoffSeconds: initial,
    podMaxBackoffSeconds: max,
    extenders,
  };
}

const invalidValue = (path: string, value: unknown, why: string): string =>
  `${path}: Invalid value: ${JSON.stringify(value)}: ${why}`;

function refuseUnknown(fields: readonly string[]): void {
  if (fields.length === 0) return;
  const named = fields.map((field) => `unknown field ${JSON.stringify(field)}`).join(", ");
  throw new ConfigurationError(`strict decoding error: ${named}`);
}

/** One queue serves all profiles, so they must agree on its order, and a pod must belong to one of them only. */
function checkTogether(profiles: readonly ProfileConfiguration[]): void {
  const seen = new Set<string>();
  const [first] = profiles;
  for (const [i, { schedulerName, plugins }] of profiles.entries()) {
    if (seen.has(schedulerName))
      throw new ConfigurationError(`profiles[${i}].schedulerName: Duplicate value: ${JSON.stringify(schedulerName)}`);
    seen.add(schedulerName);
    const order = ({ enabled = [], disabled = new Set() }: Partial<PluginSet> = {}) =>
      JSON.stringify([enabled.map(({ name }) => name), [...disabled]]);
    if (order(plugins.queueSort) !== order(first!.plugins.queueSort)) {
      const { enabled = [] } = plugins.queueSort ?? {};
      const why = "has to match for all profiles";
      throw new ConfigurationError(invalidValue(`profiles[${i}].plugins.queueSort`, enabled, why));
    }
  }
}

function parseProfile(value: unknown, path: string, isOnly: boolean): ProfileConfiguration {
  const object = record(value, path);
  const sets = object["plugins"] === undefined ? {} : record(object["plugins"], `${path}.plugins`);
  const plugins: Partial<Record<PluginSetName, PluginSet>> = {};
  for (const [name, set] of Object.entries(sets)) {
    const point = PLUGIN_SETS.find((known) => known === name);
    if (point !== undefined) plugins[point] = parsePluginSet(set, `${path}.plugins.${name}`);
  }
  const pluginConfig = new Map<string, unknown>();
  for (const entry of list(object["pluginConfig"], `${path}.pluginConfig`)) {
    const { name, args } = record(entry, `${path}.pluginConfig`);
    const plugin = text(name, `${path}.pluginConfig.name`);
    if (pluginConfig.has(plugin))
      throw new ConfigurationError(`${path}.pluginConfig: Duplicate value: ${JSON.stringify(plugin)}`);
    refuseUnknown(unknownArgs(plugin, args));
    const problem = problemOfArgs(plugin, args);
    if (problem !== undefined) throw new ConfigurationError(`${path}.pluginConfig[${plugin}].args: ${problem}`);
    pluginConfig.set(plugin, args);
  }
  return {
    // Only where there is no other to tell it from may a profile do without a name.
    schedulerName: text(object["schedulerName"] ?? (isOnly ? DEFAULT_SCHEDULER : undefined), `${path}.schedulerName`),
    percentageOfNodesToScore: percentage(object["percentageOfNodesToScore"], `${path}.percentageOfNodesToScore`),
    plugins,
    pluginConfig,
  };
}

/** Resources that the extender alone keeps account of. */
function ignoredResources(extender: unknown, path: string): string[] {
  return list(record(extender, path)["managedResources"], `${path}.managedResources`)
    .map((one) => record(one, `${path}.managedResources`))
    .filter(({ ignoredByScheduler }) => ignoredByScheduler === true)
    .map(({ name }) => text(name, `${path}.managedResources.name`));
}

function ignoring(profile: ProfileConfiguration, resources: readonly string[]): ProfileConfiguration {
  const args = (profile.pluginConfig.get(FIT) ?? {}) as { readonly ignoredResources?: readonly string[] };
  const all = [...(args.ignoredResources ?? []), ...resources];
  return { ...profile, pluginConfig: new Map(profile.pluginConfig).set(FIT, { ...args, ignoredResources: all }) };
}

function parsePluginSet(value: unknown, path: string): PluginSet {
  const object = record(value, path);
  const enabled = list(object["enabled"], `${path}.enabled`).map((one) => {
    const { name, weight } = record(one, `${path}.enabled`);
    return { name: text(name, `${path}.enabled.name`), weight: number(weight, `${path}.enabled.weight`, 0) };
  });
  const disabled = list(object["disabled"], `${path}.disabled`).map((one) =>
    text(record(one, `${path}.disabled`)["name"], `${path}.disabled.name`),
  );
  return { enabled, disabled: new Set(disabled) };
}

function parseExtender(value: unknown, path: string): ExtenderConfiguration {
  const object = record(value, path);
  const verb = (name: string) => (object[name] === undefined ? "" : text(object[name], `${path}.${name}`));
  const weight = number(object["weight"], `${path}.weight`, 1);
  if (verb("prioritizeVerb") !== "" && weight <= 0)
    throw new ConfigurationError(invalidValue(`${path}.weight`, weight, "must have a positive weight applied to it"));
  return {
    urlPrefix: text(object["urlPrefix"], `${path}.urlPrefix`).replace(/\/+$/, ""),
    filterVerb: verb("filterVerb"),
    prioritizeVerb: verb("prioritizeVerb"),
    preemptVerb: verb("preemptVerb"),
    bindVerb: verb("bindVerb"),
    weight,
    nodeCacheCapable: object["nodeCacheCapable"] === true,
    ignorable: object["ignorable"] === true,
    httpTimeoutMs: duration(object["httpTimeout"], `${path}.httpTimeout`) ?? 30_000,
    managedResources: list(object["managedResources"], `${path}.managedResources`).map((one) =>
      text(record(one, `${path}.managedResources`)["name"], `${path}.managedResources.name`),
    ),
    tls: object["tlsConfig"] === undefined ? undefined : parseTls(object["tlsConfig"], `${path}.tlsConfig`),
  };
}

/** Data (in base64) wins over files, which are read once. */
function parseTls(value: unknown, path: string): ExtenderTls {
  const object = record(value, path);
  const pem = (data: string, file: string): string | undefined => {
    if (object[data] !== undefined) return Buffer.from(text(object[data], `${path}.${data}`), "base64").toString();
    if (object[file] === undefined) return undefined;
    try {
      return readFileSync(text(object[file], `${path}.${file}`), "utf8");
    } catch (error) {
      throw new ConfigurationError(`${path}.${file}: ${errorMessage(error)}`);
    }
  };
  const tls: ExtenderTls = {
    insecure: object["insecure"] === true,
    serverName: object["serverName"] === undefined ? undefined : text(object["serverName"], `${path}.serverName`),
    ca: pem("caData", "caFile"),
    cert: pem("certData", "certFile"),
    key: pem("keyData", "keyFile"),
  };
  if (tls.insecure && tls.ca !== undefined)
    throw new ConfigurationError(`${path}: specifying a root certificates file with the insecure flag is not allowed`);
  if ((tls.cert === undefined) !== (tls.key === undefined))
    throw new ConfigurationError(`${path}: a certificate and its key belong together`);
  return tls;
}

const UNITS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000 };

function duration(value: unknown, path: string): number | undefined {
  if (value === undefined) return undefined;
  const parts = [...text(value, path).matchAll(/([0-9.]+)(ms|s|m|h)/g)];
  const total = parts.reduce((sum, [, amount, unit]) => sum + Number(amount) * UNITS_MS[unit!]!, 0);
  if (parts.map(([part]) => part).join("") !== value || Number.isNaN(total))
    throw new ConfigurationError(`${path}: not a duration`);
  return total === 0 ? undefined : total;
}
function record(value: unknown, path: string): Record<string, unknown> {
  if (!isRecord(value)) throw new ConfigurationError(`${path}: must be an object`);
  return value;
}
function list(value: unknown, path: string): readonly unknown[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw new ConfigurationError(`${path}: must be a list`);
  return value;
}
function text(value: unknown, path: string): string {
  if (typeof value !== "string" || value === "") throw new ConfigurationError(`${path}: Required value`);
  return value;
}
function number(value: unknown, path: string, otherwise: number): number {
  if (value === undefined || value === null) return otherwise;
  if (typeof value !== "number" || !Number.isInteger(value))
    throw new ConfigurationError(`${path}: must be a whole number`);
  return value;
}
function percentage(value: unknown, path: string): number | undefined {
  if (value === undefined || value === null) return undefined;
  const share = number(value, path, 0);
  if (share < 0 || share > 100) throw new ConfigurationError(invalidValue(path, share, "not in valid range [0-100]"));
  return share;
}

interface Wanted {
  readonly name: string;
  weight: number;
  readonly disabledAt: Set<ExtensionPoint>;
  /** Points at which it was named; undefined: all it can. */
  readonly onlyAt: Set<ExtensionPoint> | undefined;
}

/** @throws ConfigurationError when a profile switches on a plugin that is neither a default one nor among `extra`. */
export function assertPluginsExist(config: SchedulerConfiguration, extra: ReadonlyMap<string, PluginFactory>): void {
  for (const { schedulerName, plugins } of config.profiles) {
    for (const set of Object.values(plugins)) for (const { name } of set.enabled) factoryOf(name, schedulerName, extra);
  }
}

function factoryOf(name: string, profile: string, extra: ReadonlyMap<string, PluginFactory>): PluginFactory {
  const make = DEFAULT_PLUGINS.find((plugin) => plugin.name === name)?.make ?? extra.get(name);
  if (make === undefined) throw new ConfigurationError(`profile ${profile}: there is no plugin named ${name}`);
  return make;
}

/** The plugins a profile ends up with: the defaults, less what it disables, more what it enables. */
export function pluginsOf(
  profile: ProfileConfiguration,
  extra: ReadonlyMap<string, PluginFactory>,
  handle: PluginHandle,
): EnabledPlugin[] {
  const { multiPoint, ...points } = profile.plugins;
  const wanted = new Map<string, Wanted>();
  const want = (name: string, weight: number, onlyAt?: Set<ExtensionPoint>) =>
    wanted.set(name, { name, weight, disabledAt: new Set(), onlyAt });
  for (const { name, weight = 0 } of DEFAULT_PLUGINS) {
    if (multiPoint?.disabled.has("*") === true || multiPoint?.disabled.has(name) === true) continue;
    want(name, weight);
  }
  for (const { name, weight } of multiPoint?.enabled ?? []) {
    const known = wanted.get(name);
    if (known === undefined) want(name, weight);
    else if (weight > 0) known.weight = weight;
  }
  for (const [point, set] of Object.entries(points) as [ExtensionPoint, PluginSet][]) {
    for (const one of wanted.values())
      if (set.disabled.has("*") || set.disabled.has(one.name)) one.disabledAt.add(point);
    for (const { name, weight } of set.enabled) {
      const known = wanted.get(name);
      if (known === undefined) want(name, weight, new Set([point]));
      else {
        known.disabledAt.delete(point);
        known.onlyAt?.add(point);
        if (point === "score" && weight > 0) known.weight = weight;
      }
    }
  }
  return [...wanted.values()].map(({ name, weight, disabledAt, onlyAt }) => {
    const make = factoryOf(name, profile.schedulerName, extra);
    const off = onlyAt === undefined ? disabledAt : new Set(ALL_POINTS.filter((point) => !onlyAt.has(point)));
    return { plugin: make(handle, profile.pluginConfig.get(name)), weight, disabledAt: off };
  });
}

const ALL_POINTS = PLUGIN_SETS.filter((point): point is ExtensionPoint => point !== "multiPoint");
