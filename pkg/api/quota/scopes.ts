import type {
  PersistentVolumeClaim,
  Pod,
  PodAffinityTerm,
  ResourceQuota,
  ScopedResourceSelectorRequirement,
} from "#pkg/api/types/core-v1.ts";
import type { KubeObject } from "#pkg/apimachinery/index.ts";
import { parseList } from "./resources.ts";

function isBestEffort(pod: Pod): boolean {
  const given = [
    pod.spec?.resources,
    ...[...(pod.spec?.containers ?? []), ...(pod.spec?.initContainers ?? [])].map(({ resources }) => resources),
  ];
  return given.every((resources) =>
    [...parseList(resources?.requests), ...parseList(resources?.limits)].every(
      ([name, quantity]) => (name !== "cpu" && name !== "memory") || quantity.isZero(),
    ),
  );
}

function crossesNamespaces(pod: Pod): boolean {
  const crosses = ({ namespaces, namespaceSelector }: PodAffinityTerm): boolean =>
    (namespaces ?? []).length > 0 || namespaceSelector !== undefined;
  const { podAffinity, podAntiAffinity } = pod.spec?.affinity ?? {};
  return [podAffinity, podAntiAffinity].some(
    (affinity) =>
      affinity?.requiredDuringSchedulingIgnoredDuringExecution?.some(crosses) === true ||
      affinity?.preferredDuringSchedulingIgnoredDuringExecution?.some(({ podAffinityTerm }) =>
        crosses(podAffinityTerm),
      ) === true,
  );
}

function matchesValue(
  { operator, values = [] }: ScopedResourceSelectorRequirement,
  value: string | undefined,
): boolean {
  switch (operator) {
    case "In":
      return value !== undefined && values.includes(value);
    case "NotIn":
      return value === undefined || !values.includes(value);
    case "DoesNotExist":
      return value === undefined;
    default:
      return value !== undefined;
  }
}

function podMatches(requirement: ScopedResourceSelectorRequirement, pod: Pod): boolean {
  switch (requirement.scopeName) {
    case "Terminating":
      return (pod.spec?.activeDeadlineSeconds ?? -1) >= 0;
    case "NotTerminating":
      return (pod.spec?.activeDeadlineSeconds ?? -1) < 0;
    case "BestEffort":
      return isBestEffort(pod);
    case "NotBestEffort":
      return !isBestEffort(pod);
    case "PriorityClass":
      return matchesValue(requirement, pod.spec?.priorityClassName === "" ? undefined : pod.spec?.priorityClassName);
    case "CrossNamespacePodAffinity":
      return crossesNamespaces(pod);
    default:
      return false;
  }
}

/** Is the object inside all scopes of the quota? Kinds without scopes are only covered by quotas without any. */
export function inScope(quota: ResourceQuota, group: string, plural: string, object: KubeObject): boolean {
  const requirements: ScopedResourceSelectorRequirement[] = [
    ...(quota.spec?.scopeSelector?.matchExpressions ?? []),
    ...(quota.spec?.scopes ?? []).map((scopeName) => ({ scopeName, operator: "Exists" as const })),
  ];
  if (requirements.length === 0) return true;
  if (group !== "") return false;
  if (plural === "pods") return requirements.every((requirement) => podMatches(requirement, object as unknown as Pod));
  if (plural === "persistentvolumeclaims") {
    const claim = object as unknown as PersistentVolumeClaim;
    return requirements.every(
      (requirement) =>
        requirement.scopeName === "VolumeAttributesClass" &&
        matchesValue(requirement, claim.spec?.volumeAttributesClassName),
    );
  }
  return false;
}
