import type { LimitRange, Namespace, Node, ServiceAccount as Account } from "#pkg/api/types/core-v1.ts";
import type { IngressClass } from "#pkg/api/types/networking-v1.ts";
import type { PriorityClass } from "#pkg/api/types/scheduling-v1.ts";
import type { StorageClass } from "#pkg/api/types/storage-v1.ts";
import type { Clock, Logger, Random } from "#pkg/util/index.ts";
import type { AdmissionPlugin, Authorizer } from "../contract.ts";
import type { ObjectSource } from "../source/index.ts";
import { type AdmissionChain, PluginChain } from "./chain.ts";
import { LimitRanger } from "./plugins/limits.ts";
import { NamespaceLifecycle } from "./plugins/namespace-lifecycle.ts";
import {
  AlwaysPullImages,
  DefaultTolerationSeconds,
  PodTopologyLabels,
  TaintNodesByCondition,
} from "./plugins/pod-defaults.ts";
import { Priority } from "./plugins/priority.ts";
import { ServiceAccount } from "./plugins/service-account.ts";
import {
  DefaultIngressClass,
  DefaultStorageClass,
  PersistentVolumeClaimResize,
  StorageObjectInUseProtection,
} from "./plugins/storage.ts";

export interface AdmissionSources {
  readonly namespaces: ObjectSource<Namespace>;
  readonly serviceAccounts: ObjectSource<Account>;
  readonly limitRanges: ObjectSource<LimitRange>;
  readonly priorityClasses: ObjectSource<PriorityClass>;
  readonly storageClasses: ObjectSource<StorageClass>;
  readonly ingressClasses: ObjectSource<IngressClass>;
  readonly nodes: ObjectSource<Node>;
}

export interface AdmissionDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly authorizer: Authorizer;
  readonly sources: AdmissionSources;
  /** Consistent read of a namespace, for one the cache does not know (yet). */
  readonly lookupNamespace?: (name: string) => Promise<Namespace | undefined>;
  /** `--enable-admission-plugins`, `--disable-admission-plugins`: on top of upstream's defaults. */
  readonly enable?: readonly string[];
  readonly disable?: readonly string[];
  /** Run before the quota, after all others (RBAC escalation). */
  readonly extraValidating?: readonly AdmissionPlugin[];
}

/** Plugins that are off unless enabled by name. */
const OFF_BY_DEFAULT: ReadonlySet<string> = new Set([
  "AlwaysPullImages",
  "NodeRestriction",
  "NamespaceAutoProvision",
  "PodNodeSelector",
]);

/** The built-in plugins in upstream's order. @throws Error for a name in `enable` or `disable` that does not exist. */
export function createAdmissionChain(deps: AdmissionDeps): AdmissionChain {
  const { sources, clock, random } = deps;
  const plugins: AdmissionPlugin[] = [
    new NamespaceLifecycle(sources.namespaces, deps.lookupNamespace),
    new LimitRanger(sources.limitRanges),
    new ServiceAccount(sources.serviceAccounts, clock, random),
    new TaintNodesByCondition(),
    new AlwaysPullImages(),
    new Priority(sources.priorityClasses),
    new DefaultTolerationSeconds(),
    new DefaultStorageClass(sources.storageClasses),
    new StorageObjectInUseProtection(),
    new PersistentVolumeClaimResize(sources.storageClasses),
    new DefaultIngressClass(sources.ingressClasses),
    new PodTopologyLabels(sources.nodes),
    ...(deps.extraValidating ?? []),
  ];
  const names = new Set(plugins.map(({ name }) => name));
  for (const name of [...(deps.enable ?? []), ...(deps.disable ?? [])]) {
    if (!names.has(name)) throw new Error(`admission plugin ${JSON.stringify(name)} is unknown`);
  }
  const enabled = plugins.filter(
    ({ name }) =>
      deps.disable?.includes(name) !== true && (!OFF_BY_DEFAULT.has(name) || deps.enable?.includes(name) === true),
  );
  return new PluginChain(enabled);
}
