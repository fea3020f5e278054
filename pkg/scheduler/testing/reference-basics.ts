/** What the parts of the slow reference have in common: the world they judge, and what selects what. */
import type { Node, NodeSelectorTerm, Pod } from "#pkg/api/types/core-v1.ts";
import type { LabelSelector } from "#pkg/api/types/meta-v1.ts";
import type { PodDisruptionBudget } from "#pkg/api/types/policy-v1.ts";
import type { Storage } from "./random-volumes.ts";

type Labels = Record<string, string>;
export interface World {
  readonly nodes: readonly Node[];
  /** With spec.nodeName. */
  readonly pods: readonly Pod[];
  readonly namespaces: Readonly<Record<string, Labels>>;
  readonly storage: Storage;
  readonly budgets: readonly PodDisruptionBudget[];
}

function expressionHolds(
  labels: Labels,
  { key, operator, values = [] }: { key: string; operator: string; values?: string[] },
): boolean {
  const has = Object.hasOwn(labels, key);
  const value = labels[key] ?? "";
  if (operator === "In") return has && values.includes(value);
  if (operator === "NotIn") return !has || !values.includes(value);
  if (operator === "Exists") return has;
  if (operator === "DoesNotExist") return !has;
  if (operator === "Gt") return has && Number(value) > Number(values[0]);
  return has && Number(value) < Number(values[0]);
}
export function selects(selector: LabelSelector | undefined, labels: Labels = {}): boolean {
  if (selector === undefined) return false;
  const exact = Object.entries(selector.matchLabels ?? {}).every(([key, value]) => labels[key] === value);
  return exact && (selector.matchExpressions ?? []).every((expression) => expressionHolds(labels, expression));
}
export function termHolds({ matchExpressions = [], matchFields = [] }: NodeSelectorTerm, node: Node): boolean {
  if (matchExpressions.length + matchFields.length === 0) return false;
  const fields = { "metadata.name": node.metadata.name };
  return (
    matchExpressions.every((expression) => expressionHolds(node.metadata.labels ?? {}, expression)) &&
    matchFields.every((expression) => expressionHolds(fields, expression))
  );
}

export const on = (world: World, node: Node) => world.pods.filter((pod) => pod.spec.nodeName === node.metadata.name);
