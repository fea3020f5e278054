import type { PodTemplateSpec } from "../types/core-v1.ts";
import type { LabelSelector } from "../types/meta-v1.ts";
import { NONE } from "./cells.ts";

/** "a=b,c=d" in the order of keys, or <none>. */
export function formatLabels(labels: Readonly<Record<string, string>> | undefined): string {
  const text = Object.keys(labels ?? {})
    .sort()
    .map((key) => `${key}=${labels![key]}`)
    .join(",");
  return text === "" ? NONE : text;
}

/** A label selector as kubectl writes it, <none> when it selects everything. */
export function formatSelector(selector: LabelSelector | undefined): string {
  const terms = Object.entries(selector?.matchLabels ?? {}).map(([key, value]) => [key, `${key}=${value}`] as const);
  const expressions = (selector?.matchExpressions ?? []).map(({ key, operator, values }) => {
    if (operator === "Exists") return [key, key] as const;
    if (operator === "DoesNotExist") return [key, `!${key}`] as const;
    const word = operator === "In" ? "in" : "notin";
    return [key, `${key} ${word} (${[...(values ?? [])].sort().join(",")})`] as const;
  });
  const text = [...terms, ...expressions]
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([, term]) => term)
    .join(",");
  return text === "" ? NONE : text;
}

/** Names and images of a template's containers, each joined with commas: two cells. */
export function containerCells(template: PodTemplateSpec | undefined): [string, string] {
  const containers = template?.spec?.containers ?? [];
  return [containers.map(({ name }) => name).join(","), containers.map(({ image }) => image ?? "").join(",")];
}

/** The first `max` of `items`, with the number of those left out. */
export function firstOf(items: readonly string[], max: number): string {
  const shown = items.slice(0, max).join(",");
  return items.length > max ? `${shown} + ${items.length - max} more...` : shown;
}

/** A pointer to a boolean as Go prints it. */
export function formatBool(value: boolean | undefined, absent = "<unset>"): string {
  if (value === undefined) return absent;
  return value ? "True" : "False";
}

const ACCESS_MODES: readonly (readonly [string, string])[] = [
  ["ReadWriteOnce", "RWO"],
  ["ReadOnlyMany", "ROX"],
  ["ReadWriteMany", "RWX"],
  ["ReadWriteOncePod", "RWOP"],
];

export function formatAccessModes(modes: readonly string[] | undefined): string {
  return ACCESS_MODES.filter(([mode]) => modes?.includes(mode) === true)
    .map(([, short]) => short)
    .join(",");
}
