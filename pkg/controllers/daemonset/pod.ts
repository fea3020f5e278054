import { deepCopy } from "#pkg/apimachinery/index.ts";
import { fitsNode, toleratesTaint } from "#pkg/api/rules/index.ts";
import type { Draft } from "#pkg/client/index.ts";
import type { DaemonSet } from "#pkg/api/types/apps-v1.ts";
import type { Node, Pod, PodSpec, Toleration } from "#pkg/api/types/core-v1.ts";
import { REVISION_LABEL } from "../common/history.ts";
import { controllerRef, podFromTemplate } from "../common/pod-template.ts";

const TOLERATED: readonly (readonly [string, string])[] = [
  ["node.kubernetes.io/not-ready", "NoExecute"],
  ["node.kubernetes.io/unreachable", "NoExecute"],
  ["node.kubernetes.io/disk-pressure", "NoSchedule"],
  ["node.kubernetes.io/memory-pressure", "NoSchedule"],
  ["node.kubernetes.io/pid-pressure", "NoSchedule"],
  ["node.kubernetes.io/unschedulable", "NoSchedule"],
];

/** Daemons run where other pods may not: those tolerations every daemon pod gets. */
function daemonTolerations(spec: PodSpec | undefined): Toleration[] {
  const tolerations = [...(spec?.tolerations ?? [])];
  const added =
    spec?.hostNetwork === true
      ? [...TOLERATED, ["node.kubernetes.io/network-unavailable", "NoSchedule"] as const]
      : TOLERATED;
  for (const [key, effect] of added) {
    const index = tolerations.findIndex(
      (toleration) => toleration.key === key && toleration.effect === effect && toleration.operator === "Exists",
    );
    if (index < 0) tolerations.push({ key, operator: "Exists", effect });
    else tolerations[index] = { key, operator: "Exists", effect };
  }
  return tolerations;
}

/** Should a daemon pod be started here; may one that is here stay? */
export function nodeVerdict(daemonSet: DaemonSet, node: Node): { readonly run: boolean; readonly stay: boolean } {
  const { spec } = daemonSet.spec.template;
  const named = spec?.nodeName === undefined || spec.nodeName === "" || spec.nodeName === node.metadata.name;
  if (!named || !fitsNode(spec, node)) return { run: false, stay: false };
  const tolerations = daemonTolerations(spec);
  const untolerated = (effects: readonly string[]) =>
    (node.spec.taints ?? []).some(
      (taint) => effects.includes(taint.effect) && !tolerations.some((toleration) => toleratesTaint(toleration, taint)),
    );
  return { run: !untolerated(["NoSchedule", "NoExecute"]), stay: !untolerated(["NoExecute"]) };
}

/** The pod of one node, pinned to it so that the scheduler can bind it nowhere else. */
export function draftDaemonPod(daemonSet: DaemonSet, nodeName: string, hash: string): Draft<Pod> {
  const draft = podFromTemplate(
    daemonSet.spec.template,
    daemonSet,
    controllerRef(daemonSet, { apiVersion: "apps/v1", kind: "DaemonSet" }),
  );
  const generation = daemonSet.metadata.generation;
  const affinity = deepCopy(draft.spec.affinity) ?? {};
  return {
    ...draft,
    metadata: {
      ...draft.metadata,
      labels: {
        ...draft.metadata.labels,
        ...(generation === undefined ? {} : { "pod-template-generation": String(generation) }),
        [REVISION_LABEL]: hash,
      },
    },
    spec: {
      ...draft.spec,
      tolerations: daemonTolerations(draft.spec),
      affinity: {
        ...affinity,
        nodeAffinity: {
          ...affinity.nodeAffinity,
          requiredDuringSchedulingIgnoredDuringExecution: {
            nodeSelectorTerms: [{ matchFields: [{ key: "metadata.name", operator: "In", values: [nodeName] }] }],
          },
        },
      },
    },
  };
}

/** The node that a daemon pod is pinned to before it is bound. */
export function pinnedNode(spec: PodSpec): string | undefined {
  const terms = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
  for (const { matchFields = [] } of terms)
    for (const { key, operator, values } of matchFields)
      if (key === "metadata.name" && operator === "In" && values?.length === 1) return values[0];
  return undefined;
}
