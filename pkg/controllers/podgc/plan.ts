import type { Node, Pod } from "#pkg/api/types/core-v1.ts";
import { isPodTerminal } from "../common/pods.ts";
import { readyCondition } from "../nodelifecycle/health.ts";

const OUT_OF_SERVICE = "node.kubernetes.io/out-of-service";

/** Why a pod is removed; the text goes into its DisruptionTarget condition, where it gets one. */
export interface Removal {
  readonly pod: Pod;
  readonly message: string | undefined;
}

/** Finished pods beyond the threshold, oldest first. */
export function surplusTerminated(pods: readonly Pod[], threshold: number): Removal[] {
  if (threshold <= 0) return [];
  const finished = pods.filter((pod) => isPodTerminal(pod) && pod.metadata.deletionTimestamp === undefined);
  const surplus = finished.length - threshold;
  if (surplus <= 0) return [];
  // Evicted pods tell least: they go first, then the oldest.
  const evicted = (pod: Pod) => (pod.status?.reason === "Evicted" ? 0 : 1);
  finished.sort(
    (a, b) =>
      evicted(a) - evicted(b) ||
      (a.metadata.creationTimestamp < b.metadata.creationTimestamp
        ? -1
        : a.metadata.creationTimestamp > b.metadata.creationTimestamp
          ? 1
          : a.metadata.name < b.metadata.name
            ? -1
            : 1),
  );
  return finished.slice(0, surplus).map((pod) => ({ pod, message: undefined }));
}

/** Pods that were deleted before a node ever had them: no kubelet will confirm. */
export function unscheduledTerminating(pods: readonly Pod[]): Removal[] {
  return pods
    .filter(({ metadata, spec }) => metadata.deletionTimestamp !== undefined && (spec.nodeName ?? "") === "")
    .map((pod) => ({ pod, message: undefined }));
}

/** Pods being deleted on nodes that an administrator has declared out of service. */
export function outOfService(pods: readonly Pod[], nodeOf: (name: string) => Node | undefined): Removal[] {
  return pods.flatMap((pod): Removal[] => {
    if (pod.metadata.deletionTimestamp === undefined || (pod.spec.nodeName ?? "") === "") return [];
    const node = nodeOf(pod.spec.nodeName!);
    if (node === undefined || readyCondition(node)?.status === "True") return [];
    if (!(node.spec.taints ?? []).some(({ key }) => key === OUT_OF_SERVICE)) return [];
    return [{ pod, message: undefined }];
  });
}

/** Names of nodes that pods claim to be on and that do not exist. */
export function missingNodes(pods: readonly Pod[], nodeOf: (name: string) => Node | undefined): Set<string> {
  const missing = new Set<string>();
  for (const { spec } of pods)
    if ((spec.nodeName ?? "") !== "" && nodeOf(spec.nodeName!) === undefined) missing.add(spec.nodeName!);
  return missing;
}
