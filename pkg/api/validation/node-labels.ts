import { isValidLabelValue } from "#pkg/apimachinery/index.ts";
import type { NodeSelectorTerm } from "../types/core-v1.ts";
import type { LabelSelector } from "../types/meta-v1.ts";

/** Node labels that have a successor, or none any more. */
const DEPRECATED: ReadonlyMap<string, string> = new Map([
  ["beta.kubernetes.io/arch", 'deprecated since v1.14; use "kubernetes.io/arch" instead'],
  ["beta.kubernetes.io/os", 'deprecated since v1.14; use "kubernetes.io/os" instead'],
  ["failure-domain.beta.kubernetes.io/region", 'deprecated since v1.17; use "topology.kubernetes.io/region" instead'],
  ["failure-domain.beta.kubernetes.io/zone", 'deprecated since v1.17; use "topology.kubernetes.io/zone" instead'],
  ["beta.kubernetes.io/instance-type", 'deprecated since v1.17; use "node.kubernetes.io/instance-type" instead'],
  ["app.kubernetes.io/created-by", "deprecated since v1.9"],
  ["scheduler.alpha.kubernetes.io/preferAvoidPods", "deprecated since v1.22; use Taints and Tolerations instead"],
  ["node-role.kubernetes.io/master", 'use "node-role.kubernetes.io/control-plane" instead'],
]);

/** What to tell whoever selects nodes, or zones, by a label; nothing of most labels. */
export function nodeLabelWarning(label: string | undefined, path: string): string[] {
  const message = DEPRECATED.get(label ?? "");
  return message === undefined ? [] : [`${path}: ${message}`];
}

/** The same where the path does not say which label it is. */
export function namedNodeLabelWarning(label: string | undefined, path: string): string[] {
  const message = DEPRECATED.get(label ?? "");
  return message === undefined ? [] : [`${path}: ${label} is ${message}`];
}

/** The same of a term of a node selector; `values` asks also for values that no label can have. */
export function nodeTermWarnings(term: NodeSelectorTerm | undefined, path: string, values: boolean): string[] {
  return (term?.matchExpressions ?? []).flatMap(({ key, values: list }, index) => {
    const at = `${path}.matchExpressions[${index}]`;
    const bad = values ? (list ?? []) : [];
    return [
      ...namedNodeLabelWarning(key, `${at}.key`),
      ...bad.flatMap((value, i) =>
        isValidLabelValue(value).map((why) => `${at}.values[${i}]: ${value} is invalid, ${why}`),
      ),
    ];
  });
}

/** The same of a selector of nodes by labels. */
export function nodeSelectorWarnings(selector: LabelSelector | undefined, path: string): string[] {
  return [
    ...(selector?.matchExpressions ?? []).flatMap(({ key }, index) =>
      namedNodeLabelWarning(key, `${path}.matchExpressions[${index}].key`),
    ),
    ...Object.keys(selector?.matchLabels ?? {}).flatMap((label) =>
      nodeLabelWarning(label, `${path}.matchLabels.${label}`),
    ),
  ];
}
