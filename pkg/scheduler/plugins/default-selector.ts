import { controllerOf } from "#pkg/apimachinery/index.ts";
import type { AnyObject } from "#pkg/apimachinery/index.ts";
import type { LabelSelector } from "#pkg/api/types/meta-v1.ts";
import type { ReplicaSet, StatefulSet } from "#pkg/api/types/apps-v1.ts";
import type { Pod, ReplicationController, Service } from "#pkg/api/types/core-v1.ts";
import type { Lister, SharedInformer } from "#pkg/client/index.ts";
import { compileLabelSelector, labelOf, NO_LABELS } from "../cache/selectors.ts";
import type { DefaultSelector } from "./pod-topology-spread.ts";

const BY_SELECTOR = "scheduler/service-selector";

/** Those that may select a pod. */
export interface OwnerListers {
  readonly services: SharedInformer<Service>;
  readonly replicationControllers: Lister<ReplicationController>;
  readonly replicaSets: Lister<ReplicaSet>;
  readonly statefulSets: Lister<StatefulSet>;
}

/** What a pod's services and its controller select, together: the pods it should be spread among. */
export function defaultSelectorOf(listers: OwnerListers): DefaultSelector {
  // A pod finds its services by one label of theirs, not by asking all of them.
  listers.services.addIndex(BY_SELECTOR, ({ metadata, spec }) => {
    const [first] = Object.entries(spec.selector ?? {}).sort();
    return first === undefined ? [] : [`${metadata.namespace}/${first[0]}=${first[1]}`];
  });
  return (pod) => {
    const selector = selectorOf(pod, listers);
    return selector === undefined ? undefined : compileLabelSelector(selector);
  };
}

function selectorOf(pod: Pod, { services, ...listers }: OwnerListers): LabelSelector | undefined {
  const matchLabels: Record<string, string> = {};
  const labels = pod.metadata.labels ?? NO_LABELS;
  for (const key of Object.keys(labels)) {
    for (const { spec } of services.lister.byIndex(BY_SELECTOR, `${pod.metadata.namespace}/${key}=${labels[key]}`)) {
      const wanted = Object.entries(spec.selector ?? {});
      if (wanted.every(([name, value]) => labelOf(labels, name) === value)) Object.assign(matchLabels, spec.selector);
    }
  }
  const own = controllerSelector(pod, listers);
  Object.assign(matchLabels, own?.matchLabels);
  const matchExpressions = own?.matchExpressions ?? [];
  if (Object.keys(matchLabels).length === 0 && matchExpressions.length === 0) return undefined;
  return { matchLabels, matchExpressions };
}

function controllerSelector(pod: Pod, listers: Omit<OwnerListers, "services">): LabelSelector | undefined {
  const owner = controllerOf(pod);
  if (owner === undefined) return undefined;
  const key = { namespace: pod.metadata.namespace ?? "", name: owner.name };
  const find = <T extends AnyObject>(lister: Lister<T>) => lister.get(key);
  switch (owner.kind) {
    case "ReplicationController": {
      const selector = find(listers.replicationControllers)?.spec?.selector;
      return selector === undefined ? undefined : { matchLabels: selector };
    }
    case "ReplicaSet":
      return find(listers.replicaSets)?.spec?.selector;
    case "StatefulSet":
      return find(listers.statefulSets)?.spec?.selector;
    default:
      return undefined;
  }
}
