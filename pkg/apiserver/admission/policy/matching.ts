import type { MatchResources, ParamKind, ParamRef } from "#pkg/api/types/admissionregistration-v1.ts";
import type { Namespace } from "#pkg/api/types/core-v1.ts";
import type { ResourceDefinition } from "#pkg/api/index.ts";
import { type AnyObject, type KubeObject, labelSelectorAsSelector, parseApiVersion } from "#pkg/apimachinery/index.ts";
import type { AdmissionAttributes } from "../../contract.ts";
import type { ObjectSource } from "../../source/index.ts";
import type { Equivalents } from "../equivalents.ts";
import { AdmissionSelectors, type MatchedResource, matchRules, ruleMatches } from "../rules.ts";
import type { Versioned } from "../webhook/review.ts";

/** matchConstraints of a policy, or matchResources of a binding. */
export class ResourceMatcher {
  readonly #resources: MatchResources;
  readonly #selectors: AdmissionSelectors;
  constructor(resources: MatchResources) {
    this.#resources = resources;
    this.#selectors = new AdmissionSelectors(resources.namespaceSelector, resources.objectSelector);
  }

  /** The resource through which the request is concerned. No rules concern everything. */
  match(
    attributes: AdmissionAttributes,
    namespaces: ObjectSource<Namespace>,
    equivalents: Equivalents,
  ): MatchedResource | undefined {
    if (!this.#selectors.matchesNamespace(attributes, namespaces) || !this.#selectors.matchesObject(attributes))
      return undefined;
    const { resourceRules = [], excludeResourceRules = [], matchPolicy } = this.#resources;
    const exact = matchPolicy === "Exact";
    const others = (): readonly ResourceDefinition[] => (exact ? [] : equivalents.of(attributes.resource));
    if (excludeResourceRules.length > 0) {
      const excluded = (definition: ResourceDefinition): boolean =>
        excludeResourceRules.some((rule) => ruleMatches(rule, attributes, definition));
      if (excluded(attributes.resource) || others().some(excluded)) return undefined;
    }
    if (resourceRules.length === 0) return { definition: attributes.resource, subresource: attributes.subresource };
    return matchRules(resourceRules, exact, attributes, others);
  }
}

/** The request's objects in the version a rule matched. */
export async function versionedFor(
  matched: MatchedResource,
  attributes: AdmissionAttributes,
  equivalents: Equivalents,
): Promise<Versioned> {
  const { object, oldObject, resource } = attributes;
  if (matched.definition === resource) return { matched, object, oldObject };
  return {
    matched,
    object: object === undefined ? undefined : await equivalents.convert(object, resource, matched.definition),
    oldObject: oldObject === undefined ? undefined : await equivalents.convert(oldObject, resource, matched.definition),
  };
}

/** A source that may still be filling. */
export type LoadingSource<T> = ObjectSource<T> & { ready?(): Promise<void> };

export interface ParamDeps {
  source<T extends AnyObject>(group: string, plural: string): LoadingSource<T>;
  installed(): Iterable<{ readonly definition: ResourceDefinition }>;
}

/** Finds the parameter objects that bindings refer to. */
export class ParamFinder {
  readonly #deps: ParamDeps;
  readonly #sources = new Map<string, LoadingSource<AnyObject>>();
  constructor(deps: ParamDeps) {
    this.#deps = deps;
  }

  /** The objects of a binding's paramRef. @throws Error when the kind is unknown or the reference makes no sense. */
  async find(kind: ParamKind, ref: ParamRef, requestNamespace: string): Promise<Readonly<KubeObject>[]> {
    const definition = this.definitionOf(kind);
    if (definition === undefined) throw new Error(`paramKind kind \`${kind.apiVersion}, Kind=${kind.kind}\` not known`);
    const source = await this.#source(definition);
    let namespace = "";
    if (definition.namespaced) {
      namespace = ref.namespace === undefined || ref.namespace === "" ? requestNamespace : ref.namespace;
      if (namespace === "")
        throw new Error("cannot use namespaced paramRef in policy binding that matches cluster-scoped resources");
    } else if (ref.namespace !== undefined && ref.namespace !== "") {
      throw new Error("paramRef.namespace must not be provided for a cluster-scoped `paramKind`");
    }
    const found =
      ref.name !== undefined && ref.name !== ""
        ? [source.get(namespace, ref.name)]
        : this.#selected(source, namespace, ref);
    const asServed = definition.fromStorage;
    return found
      .filter((object) => object !== undefined)
      .map((object) =>
        asServed === undefined ? (object as unknown as KubeObject) : asServed(object as unknown as KubeObject),
      );
  }

  #selected(source: LoadingSource<AnyObject>, namespace: string, { selector }: ParamRef): AnyObject[] {
    const wanted = labelSelectorAsSelector(selector ?? {});
    return source
      .list(namespace)
      .filter(({ metadata }) => wanted.matches(metadata.labels ?? {}))
      .sort((a, b) => ((a.metadata.name ?? "") < (b.metadata.name ?? "") ? -1 : 1));
  }

  /** The resource of that kind, if it is served. */
  definitionOf({ apiVersion = "", kind }: ParamKind): ResourceDefinition | undefined {
    const { group, version } = parseApiVersion(apiVersion);
    for (const { definition } of this.#deps.installed()) {
      if (definition.group === group && definition.version === version && definition.kind === kind) return definition;
    }
    return undefined;
  }

  async #source({ group, plural }: ResourceDefinition): Promise<LoadingSource<AnyObject>> {
    const key = `${group}/${plural}`;
    let source = this.#sources.get(key);
    if (source === undefined) this.#sources.set(key, (source = this.#deps.source(group, plural)));
    await source.ready?.();
    return source;
  }
}
