import type { PolicyRule } from "#pkg/api/types/rbac-v1.ts";
import type { Attributes } from "../contract.ts";

/** A PolicyRule prepared for matching: sets instead of lists, wildcards noticed once. */
export interface CompiledRule {
  readonly verbs: ReadonlySet<string> | "*";
  readonly groups: ReadonlySet<string> | "*";
  readonly resources: ReadonlySet<string> | "*";
  /** undefined: any name. */
  readonly names: ReadonlySet<string> | undefined;
  readonly urls: readonly string[];
}

function setOf(values: readonly string[] | undefined): ReadonlySet<string> | "*" {
  return values?.includes("*") === true ? "*" : new Set(values);
}

export function compileRule(rule: PolicyRule): CompiledRule {
  return {
    verbs: setOf(rule.verbs),
    groups: setOf(rule.apiGroups),
    resources: setOf(rule.resources),
    names:
      rule.resourceNames === undefined || rule.resourceNames.length === 0 ? undefined : new Set(rule.resourceNames),
    urls: rule.nonResourceURLs ?? [],
  };
}

function has(set: ReadonlySet<string> | "*", value: string): boolean {
  return set === "*" || set.has(value);
}

/** Does one rule allow this request? A subresource must be named as "pods/log", or covered by "*" or by star-slash-log. */
export function ruleAllows(rule: CompiledRule, attributes: Attributes): boolean {
  if (!has(rule.verbs, attributes.verb)) return false;
  if (!attributes.resourceRequest) return rule.urls.some((url) => urlMatches(url, attributes.path));
  if (!has(rule.groups, attributes.apiGroup)) return false;
  if (rule.names !== undefined && !rule.names.has(attributes.name)) return false;
  if (rule.resources === "*") return true;
  const { resource, subresource } = attributes;
  if (subresource === "") return rule.resources.has(resource);
  return rule.resources.has(`${resource}/${subresource}`) || rule.resources.has(`*/${subresource}`);
}

function urlMatches(pattern: string, path: string): boolean {
  if (pattern === "*" || pattern === path) return true;
  return pattern.endsWith("*") && path.startsWith(pattern.replace(/\*+$/, ""));
}

/** Go's %q of a list of strings: `["a" "b"]`. */
export function quoteList(values: readonly string[]): string {
  return `[${values.map((value) => JSON.stringify(value)).join(" ")}]`;
}

/** One rule in upstream's short form, as error messages show it. */
export function describeRule(rule: PolicyRule): string {
  const parts: string[] = [];
  const add = (name: string, values: readonly string[] | undefined): void => {
    if (values !== undefined && values.length > 0) parts.push(`${name}:${quoteList(values)}`);
  };
  add("APIGroups", rule.apiGroups);
  add("Resources", rule.resources);
  add("NonResourceURLs", rule.nonResourceURLs);
  add("ResourceNames", rule.resourceNames);
  add("Verbs", rule.verbs);
  return `{${parts.join(", ")}}`;
}

/** Splits a rule into rules with one verb, one group, one resource and at most one name each. */
function* breakdown(rule: PolicyRule): Generator<PolicyRule> {
  for (const verb of rule.verbs ?? []) {
    for (const group of rule.apiGroups ?? []) {
      for (const resource of rule.resources ?? []) {
        const single = { apiGroups: [group], resources: [resource], verbs: [verb] };
        if (rule.resourceNames === undefined || rule.resourceNames.length === 0) yield single;
        else for (const name of rule.resourceNames) yield { ...single, resourceNames: [name] };
      }
    }
    for (const url of rule.nonResourceURLs ?? []) yield { nonResourceURLs: [url], verbs: [verb] };
  }
}

function covers(owner: CompiledRule, single: PolicyRule): boolean {
  if (!has(owner.verbs, single.verbs[0]!)) return false;
  const url = single.nonResourceURLs?.[0];
  if (url !== undefined) return owner.urls.some((own) => urlMatches(own, url));
  if (!has(owner.groups, single.apiGroups![0]!)) return false;
  const resource = single.resources![0]!;
  const slash = resource.indexOf("/");
  const anySubresource = slash < 0 ? undefined : `*/${resource.slice(slash + 1)}`;
  const resourceCovered =
    owner.resources === "*" ||
    owner.resources.has(resource) ||
    (anySubresource !== undefined && owner.resources.has(anySubresource));
  if (!resourceCovered) return false;
  if (owner.names === undefined) return true;
  const name = single.resourceNames?.[0];
  return name !== undefined && owner.names.has(name);
}

/** The single rights in `wanted` that `held` does not include; empty when everything is covered. */
export function missingRights(held: readonly CompiledRule[], wanted: readonly PolicyRule[]): PolicyRule[] {
  const missing: PolicyRule[] = [];
  for (const rule of wanted) {
    for (const single of breakdown(rule)) if (!held.some((own) => covers(own, single))) missing.push(single);
  }
  return missing;
}

/** Joins single-resource rules that differ only in their verb, for readable messages. */
export function compactRules(rules: readonly PolicyRule[]): PolicyRule[] {
  const byResource = new Map<string, PolicyRule>();
  for (const rule of rules) {
    const key = JSON.stringify([rule.apiGroups, rule.resources, rule.resourceNames, rule.nonResourceURLs]);
    const known = byResource.get(key);
    if (known === undefined) byResource.set(key, { ...rule, verbs: [...rule.verbs] });
    else known.verbs.push(...rule.verbs);
  }
  return [...byResource.values()];
}
