import { formatDuration } from "#pkg/config/index.ts";
import type { EventLimit, EventLimitType } from "./plugins/event-rate-limit.ts";
import type { NodeSelectors } from "./plugins/pod-node-selector.ts";
import { type Level, LEVELS, type LevelVersion } from "./pod-security/policy.ts";

/** What --admission-control-config-file says of plugins that can be configured. */
export interface AdmissionConfiguration {
  readonly podSecurity?: PodSecurityConfiguration;
  readonly eventRateLimits?: readonly EventLimit[];
  readonly imagePolicy?: ImagePolicyConfiguration;
  readonly podNodeSelectors?: NodeSelectors;
}
export interface PodSecurityConfiguration {
  readonly defaults: Readonly<Record<"enforce" | "audit" | "warn", LevelVersion>>;
  readonly exemptions: PodSecurityExemptions;
}
export interface PodSecurityExemptions {
  readonly usernames: readonly string[];
  readonly namespaces: readonly string[];
  readonly runtimeClasses: readonly string[];
}
export interface ImagePolicyConfiguration {
  readonly kubeConfigFile: string;
  readonly allowTtlMs: number;
  readonly denyTtlMs: number;
  readonly retryBackoffMs: number;
  readonly defaultAllow: boolean;
}

type Json = Readonly<Record<string, unknown>>;
const API_VERSIONS = [
  "apiserver.config.k8s.io/v1",
  "apiserver.config.k8s.io/v1beta1",
  "apiserver.config.k8s.io/v1alpha1",
];
const LIMIT_TYPES: readonly string[] = ["Server", "Namespace", "User", "SourceAndObject"];
const DEFAULT_CACHE_SIZE = 4096;
/** In the unit of the field: bounds, default, and what the field is called in the file. */
const TTL = { scaleMs: 1000, min: 1, max: 1800, standard: 300 };
const RETRY_BACKOFF = { scaleMs: 1, min: 1, max: 300_000, standard: 500 };

/**
 * Checks a parsed AdmissionConfiguration. `read` gives the parsed content of a file that a plugin's `path` names.
 * @throws TypeError naming what is wrong.
 */
export function parseAdmissionConfiguration(value: unknown, read: (path: string) => unknown): AdmissionConfiguration {
  const file = recordOf(value);
  if (file["kind"] !== "AdmissionConfiguration" || !API_VERSIONS.includes(String(file["apiVersion"])))
    throw new TypeError("the file must be an AdmissionConfiguration of apiserver.config.k8s.io/v1");
  const configurations = new Map<string, Json>();
  for (const plugin of listOf(file["plugins"]).map(recordOf)) {
    const { name, path, configuration } = plugin;
    const inline = configuration ?? undefined;
    if (inline !== undefined) configurations.set(String(name), recordOf(inline));
    else if (typeof path === "string" && path !== "") configurations.set(String(name), recordOf(read(path)));
  }
  const parse = <T>(name: string, make: (configuration: Json) => T): T | undefined => {
    const configuration = configurations.get(name);
    return configuration === undefined ? undefined : make(configuration);
  };
  const podSecurity = parse("PodSecurity", podSecurityOf);
  const eventRateLimits = parse("EventRateLimit", eventLimitsOf);
  const imagePolicy = parse("ImagePolicyWebhook", imagePolicyOf);
  const podNodeSelectors = parse("PodNodeSelector", nodeSelectorsOf);
  return {
    ...(podSecurity === undefined ? {} : { podSecurity }),
    ...(eventRateLimits === undefined ? {} : { eventRateLimits }),
    ...(imagePolicy === undefined ? {} : { imagePolicy }),
    ...(podNodeSelectors === undefined ? {} : { podNodeSelectors }),
  };
}

function podSecurityOf({ defaults, exemptions }: Json): PodSecurityConfiguration {
  const given = recordOf(defaults);
  const level = (mode: string): LevelVersion => {
    const name = given[mode] ?? "privileged";
    if (!LEVELS.includes(name as Level))
      throw new TypeError(
        `defaults.${mode}: Invalid value: ${JSON.stringify(name)}: must be one of ${LEVELS.join(", ")}`,
      );
    const text = String(given[`${mode}-version`] ?? "latest");
    const match = /^v1\.(\d+)$/.exec(text);
    if (text !== "latest" && match === null)
      throw new TypeError(
        `defaults.${mode}-version: Invalid value: ${JSON.stringify(text)}: must be "latest" or "v1.x"`,
      );
    return { level: name as Level, version: match === null ? "latest" : Number(match[1]) };
  };
  const exempt = recordOf(exemptions);
  const names = (field: string): string[] => listOf(exempt[field]).map(String);
  return {
    defaults: { enforce: level("enforce"), audit: level("audit"), warn: level("warn") },
    exemptions: {
      usernames: names("usernames"),
      namespaces: names("namespaces"),
      runtimeClasses: names("runtimeClasses"),
    },
  };
}

function eventLimitsOf({ limits }: Json): EventLimit[] {
  const parsed = listOf(limits).map((entry, index) => {
    const { type, qps, burst, cacheSize = DEFAULT_CACHE_SIZE } = recordOf(entry);
    if (!LIMIT_TYPES.includes(String(type)))
      throw new TypeError(`limits[${index}].type: Unsupported value: ${JSON.stringify(type)}`);
    for (const [name, number] of Object.entries({ qps, burst, cacheSize }))
      if (typeof number !== "number" || !Number.isInteger(number) || number <= 0)
        throw new TypeError(`limits[${index}].${name}: Invalid value: ${JSON.stringify(number)}: must be positive`);
    return { type: type as EventLimitType, qps, burst, cacheSize } as EventLimit;
  });
  if (parsed.length === 0) throw new TypeError("limits: Required value: must have at least one limit");
  return parsed;
}

function imagePolicyOf(configuration: Json): ImagePolicyConfiguration {
  const { kubeConfigFile, allowTTL, denyTTL, retryBackoff, defaultAllow } = recordOf(configuration["imagePolicy"]);
  if (typeof kubeConfigFile !== "string" || kubeConfigFile === "")
    throw new TypeError("imagePolicy.kubeConfigFile: Required value");
  return {
    kubeConfigFile,
    allowTtlMs: duration("allowTTL", allowTTL, TTL),
    denyTtlMs: duration("denyTTL", denyTTL, TTL),
    retryBackoffMs: duration("retryBackoff", retryBackoff, RETRY_BACKOFF),
    defaultAllow: defaultAllow === true,
  };
}

/** A number of the file as milliseconds: 0 stands for the default, -1 for none at all. */
function duration(name: string, value: unknown, { scaleMs, min, max, standard }: typeof TTL): number {
  const given = value ?? 0;
  if (given === -1) return 0;
  if (given === 0) return standard * scaleMs;
  if (typeof given !== "number" || given < min || given > max) {
    const range = `${formatDuration(min * scaleMs)} and ${formatDuration(max * scaleMs)}`;
    const got = typeof given === "number" ? formatDuration(given * scaleMs) : JSON.stringify(given);
    throw new TypeError(`imagePolicy.${name}: valid value is between ${range}, got ${got}`);
  }
  return given * scaleMs;
}

function nodeSelectorsOf(configuration: Json): NodeSelectors {
  const entries = Object.entries(recordOf(configuration["podNodeSelectorPluginConfig"]));
  return new Map(entries.map(([name, text]) => [name, String(text ?? "")]));
}

function recordOf(value: unknown): Json {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Json) : {};
}
function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}
