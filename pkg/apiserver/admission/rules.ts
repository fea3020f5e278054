import type { NamedRuleWithOperations } from "#pkg/api/types/admissionregistration-v1.ts";
import type { LabelSelector } from "#pkg/api/types/meta-v1.ts";
import type { Namespace } from "#pkg/api/types/core-v1.ts";
import type { ResourceDefinition } from "#pkg/api/index.ts";
import { type KubeObject, labelSelectorAsSelector, type Selector } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes } from "../contract.ts";
import type { ObjectSource } from "../source/index.ts";

/** The resource a rule matched: the request's own, or an equivalent of it. */
export interface MatchedResource {
  readonly definition: ResourceDefinition;
  readonly subresource: string;
}

function includes(values: readonly string[] | undefined, value: string): boolean {
  return values?.some((own) => own === "*" || own === value) === true;
}

/** Patterns: a resource ("pods"), a subresource ("pods/exec"), and stars on either side of the slash. */
function resourceMatches(patterns: readonly string[] | undefined, resource: string, subresource: string): boolean {
  return (
    patterns?.some((pattern) => {
      const slash = pattern.indexOf("/");
      const wantedResource = slash < 0 ? pattern : pattern.slice(0, slash);
      const wantedSubresource = slash < 0 ? "" : pattern.slice(slash + 1);
      return (
        (wantedResource === "*" || wantedResource === resource) &&
        (wantedSubresource === "*" || wantedSubresource === subresource)
      );
    }) === true
  );
}

/** Does the rule cover this operation on this version of the resource? */
export function ruleMatches(
  rule: NamedRuleWithOperations,
  attributes: AdmissionAttributes,
  definition: ResourceDefinition,
): boolean {
  const { operation, subresource, namespace, name } = attributes;
  if (!includes(rule.operations, operation)) return false;
  if (!includes(rule.apiGroups, definition.group) || !includes(rule.apiVersions, definition.version)) return false;
  if (!resourceMatches(rule.resources, definition.plural, subresource)) return false;
  const namespaces = definition.plural === "namespaces" && definition.group === "";
  const namespacedRequest = namespace !== "" && !namespaces;
  if (rule.scope === "Namespaced" && !namespacedRequest) return false;
  if (rule.scope === "Cluster" && namespacedRequest) return false;
  const names = rule.resourceNames ?? [];
  return names.length === 0 || names.includes(name);
}

/** The first of the request's own resource and (unless Exact) its equivalents that some rule covers. */
export function matchRules(
  rules: readonly NamedRuleWithOperations[],
  exact: boolean,
  attributes: AdmissionAttributes,
  equivalents: () => readonly ResourceDefinition[],
): MatchedResource | undefined {
  const { resource, subresource } = attributes;
  if (rules.some((rule) => ruleMatches(rule, attributes, resource))) return { definition: resource, subresource };
  // Equivalents have the same name; looking for them is only worth it where a rule knows that name.
  const named = rules.some(
    (rule) =>
      includes(rule.operations, attributes.operation) && resourceMatches(rule.resources, resource.plural, subresource),
  );
  if (exact || !named) return undefined;
  for (const definition of equivalents()) {
    if (
      definition === resource ||
      (subresource !== "" && !definition.subresources.some(({ name }) => name === subresource))
    )
      continue;
    if (rules.some((rule) => ruleMatches(rule, attributes, definition))) return { definition, subresource };
  }
  return undefined;
}

/** Namespace and object selectors of a webhook or policy. Nothing given matches everything. */
export class AdmissionSelectors {
  readonly #namespace: Selector | undefined;
  readonly #object: Selector | undefined;
  constructor(namespaceSelector: LabelSelector | undefined, objectSelector: LabelSelector | undefined) {
    this.#namespace = namespaceSelector === undefined ? undefined : labelSelectorAsSelector(namespaceSelector);
    this.#object = objectSelector === undefined ? undefined : labelSelectorAsSelector(objectSelector);
  }

  /** The object selector is satisfied by the new or the old object. */
  matchesObject({ object, oldObject }: AdmissionAttributes): boolean {
    const selector = this.#object;
    if (selector === undefined || selector.empty) return true;
    const matches = (candidate: Readonly<KubeObject> | undefined): boolean =>
      candidate?.metadata !== undefined && selector.matches(candidate.metadata.labels ?? {});
    return matches(object) || matches(oldObject);
  }

  matchesNamespace(attributes: AdmissionAttributes, namespaces: ObjectSource<Namespace>): boolean {
    const selector = this.#namespace;
    if (selector === undefined || selector.empty) return true;
    const { resource, namespace } = attributes;
    if (resource.group === "" && resource.plural === "namespaces" && attributes.subresource === "") {
      // A namespace is judged by the labels it will have, or has.
      const own = attributes.object ?? attributes.oldObject ?? namespaces.get("", attributes.name);
      return selector.matches(own?.metadata.labels ?? {});
    }
    if (namespace === "") return true;
    return selector.matches(namespaces.get("", namespace)?.metadata.labels ?? {});
  }
}

const EXEMPT = new Set([
  "mutatingwebhookconfigurations",
  "validatingwebhookconfigurations",
  "validatingadmissionpolicies",
  "validatingadmissionpolicybindings",
  "mutatingadmissionpolicies",
  "mutatingadmissionpolicybindings",
]);

/** Admission configuration is itself never subject to webhooks and policies: a bad one must remain removable. */
export function isExempt({ resource }: AdmissionAttributes): boolean {
  return resource.group === "admissionregistration.k8s.io" && EXEMPT.has(resource.plural);
}
