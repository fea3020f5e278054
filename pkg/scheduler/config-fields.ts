import { isRecord } from "#pkg/apimachinery/index.ts";

/** What an object may say: a field of any value, an object, or a list of objects. */
type Fields = { readonly [name: string]: true | Fields | readonly [Fields] };

const any = (...names: string[]): Fields => Object.fromEntries(names.map((name) => [name, true] as const));
const NAMED: readonly [Fields] = [any("name", "weight")];
const PLUGIN_SET: Fields = { enabled: NAMED, disabled: NAMED };
/** The members of a profile's `plugins`: the points at which plugins extend a scheduling cycle, and all of them at once. */
export const PLUGIN_SETS = [
  "multiPoint",
  "queueSort",
  "preEnqueue",
  "preFilter",
  "filter",
  "postFilter",
  "preScore",
  "score",
  "reserve",
  "permit",
  "preBind",
  "bind",
  "postBind",
] as const;

/** Arguments of the default plugins; what others take is their own affair. */
const ARGS: Readonly<Record<string, Fields>> = {
  DefaultPreemption: any("minCandidateNodesPercentage", "minCandidateNodesAbsolute"),
  DynamicResources: any("filterTimeout", "bindingTimeout"),
  InterPodAffinity: any("hardPodAffinityWeight", "ignorePreferredTermsOfExistingPods"),
  NodeAffinity: any("addedAffinity"),
  NodeResourcesBalancedAllocation: { resources: NAMED },
  NodeResourcesFit: {
    ...any("ignoredResources", "ignoredResourceGroups"),
    scoringStrategy: {
      type: true,
      resources: NAMED,
      requestedToCapacityRatio: { shape: [any("utilization", "score")] },
    },
  },
  PodTopologySpread: any("defaultConstraints", "defaultingType"),
  VolumeBinding: { bindTimeoutSeconds: true, shape: [any("utilization", "score")] },
};
const TYPED = any("apiVersion", "kind");

const CONFIGURATION: Fields = {
  ...TYPED,
  ...any("parallelism", "enableProfiling", "enableContentionProfiling", "percentageOfNodesToScore"),
  ...any("podInitialBackoffSeconds", "podMaxBackoffSeconds", "delayCacheUntilActive"),
  clientConnection: any("kubeconfig", "acceptContentTypes", "contentType", "qps", "burst"),
  leaderElection: {
    ...any("leaderElect", "leaseDuration", "renewDeadline", "retryPeriod"),
    ...any("resourceLock", "resourceName", "resourceNamespace"),
  },
  profiles: [
    {
      ...any("schedulerName", "percentageOfNodesToScore"),
      plugins: Object.fromEntries(PLUGIN_SETS.map((point) => [point, PLUGIN_SET])),
      pluginConfig: [any("name", "args")],
    },
  ],
  extenders: [
    {
      ...any("urlPrefix", "filterVerb", "preemptVerb", "prioritizeVerb", "bindVerb", "weight"),
      ...any("enableHTTPS", "httpTimeout", "nodeCacheCapable", "ignorable"),
      tlsConfig: any("insecure", "serverName", "certFile", "keyFile", "caFile", "certData", "keyData", "caData"),
      managedResources: [any("name", "ignoredByScheduler")],
    },
  ],
};

/** Paths of all fields in the configuration that mean nothing. */
export function unknownFields(configuration: Readonly<Record<string, unknown>>): string[] {
  const unknown: string[] = [];
  visit(configuration, CONFIGURATION, "", unknown);
  return unknown;
}
/** The same for the arguments of a default plugin. */
export function unknownArgs(plugin: string, args: unknown): string[] {
  const fields = Object.hasOwn(ARGS, plugin) ? ARGS[plugin] : undefined;
  const unknown: string[] = [];
  if (fields !== undefined && isRecord(args)) visit(args, { ...TYPED, ...fields }, "", unknown);
  return unknown;
}

/** What has the wrong shape is for others to refuse. */
function visit(object: Readonly<Record<string, unknown>>, fields: Fields, path: string, unknown: string[]): void {
  for (const [name, value] of Object.entries(object)) {
    const field = Object.hasOwn(fields, name) ? fields[name] : undefined;
    const at = path === "" ? name : `${path}.${name}`;
    if (field === undefined) unknown.push(at);
    else if (field === true) continue;
    else if (!isList(field)) {
      if (isRecord(value)) visit(value, field, at, unknown);
    } else if (Array.isArray(value)) {
      for (const [i, one] of value.entries()) if (isRecord(one)) visit(one, field[0], `${at}[${i}]`, unknown);
    }
  }
}

function isList(field: Fields | readonly [Fields]): field is readonly [Fields] {
  return Array.isArray(field);
}
