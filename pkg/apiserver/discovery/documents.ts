import { groupOrder, groupVersions } from "#pkg/api/index.ts";
import type { ResourceDefinition } from "#pkg/api/index.ts";
import type { APIGroup, APIResource } from "#pkg/api/types/meta-v1.ts";
import { apiVersionOf } from "#pkg/apimachinery/index.ts";
import type { ResourceRegistry } from "../registry/resource-registry.ts";

/** One group as it is served: versions in order of preference, each with its resources by name. */
export interface ServedGroup {
  readonly name: string;
  readonly versions: readonly { readonly version: string; readonly resources: readonly ResourceDefinition[] }[];
}

/** All groups in the order discovery shows them. The core group, "", comes first. */
export function servedGroups(registry: ResourceRegistry): ServedGroup[] {
  const groups = new Map<string, Map<string, ResourceDefinition[]>>();
  for (const { definition } of registry.all()) {
    let versions = groups.get(definition.group);
    if (versions === undefined) groups.set(definition.group, (versions = new Map()));
    const resources = versions.get(definition.version);
    if (resources === undefined) versions.set(definition.version, [definition]);
    else resources.push(definition);
  }
  const rank = new Map(groupOrder.map((name, index) => [name, index + 1]));
  rank.set("", 0);
  return [...groups]
    .map(([name, versions]) => ({ name, versions: sortVersions(name, versions) }))
    .sort((a, b) => {
      const byRank = (rank.get(a.name) ?? Infinity) - (rank.get(b.name) ?? Infinity);
      return Number.isNaN(byRank) || byRank === 0 ? compare(a.name, b.name) : byRank;
    });
}

function sortVersions(group: string, versions: Map<string, ResourceDefinition[]>): ServedGroup["versions"] {
  const known = groupVersions[group] ?? [];
  const rank = (version: string): number => {
    const index = known.indexOf(version);
    return index < 0 ? known.length : index;
  };
  return [...versions]
    .map(([version, resources]) => ({ version, resources: resources.sort((a, b) => compare(a.plural, b.plural)) }))
    .sort((a, b) => rank(a.version) - rank(b.version) || compareVersions(a.version, b.version));
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const KUBE_VERSION = /^v(\d+)(?:(alpha|beta)(\d+))?$/;
const STABILITY: Readonly<Record<string, number>> = { alpha: 0, beta: 1 };

/** Orders versions best first: v2, v1, v1beta2, v1beta1, v1alpha1, then all others by name. */
export function compareVersions(a: string, b: string): number {
  const left = KUBE_VERSION.exec(a);
  const right = KUBE_VERSION.exec(b);
  if (left === null || right === null) return left === right ? compare(a, b) : left === null ? 1 : -1;
  const stability = (match: RegExpExecArray): number => (match[2] === undefined ? 2 : STABILITY[match[2]]!);
  return (
    stability(right) - stability(left) ||
    Number(right[1]) - Number(left[1]) ||
    Number(right[3] ?? 0) - Number(left[3] ?? 0)
  );
}

/** The entries of /api/v1 or /apis/GROUP/VERSION: each resource followed by its subresources. */
export function apiResources(resources: readonly ResourceDefinition[]): APIResource[] {
  return resources.flatMap((definition) => [
    {
      name: definition.plural,
      singularName: definition.singular,
      namespaced: definition.namespaced,
      kind: definition.kind,
      verbs: [...(definition.shownVerbs ?? definition.verbs)],
      ...(definition.shortNames.length === 0 ? {} : { shortNames: [...definition.shortNames] }),
      ...(definition.categories.length === 0 ? {} : { categories: [...definition.categories] }),
      ...(definition.storageVersionHash === undefined ? {} : { storageVersionHash: definition.storageVersionHash }),
    },
    ...definition.subresources.map(({ name, kind, group, version, verbs }) => ({
      name: `${definition.plural}/${name}`,
      singularName: "",
      namespaced: definition.namespaced,
      ...(group === undefined ? {} : { group }),
      ...(version === undefined ? {} : { version }),
      kind,
      verbs: [...verbs],
    })),
  ]);
}

export function apiGroup({ name, versions }: ServedGroup): APIGroup {
  const all = versions.map(({ version }) => ({ groupVersion: apiVersionOf({ group: name, version }), version }));
  return { name, versions: all, preferredVersion: all[0]! };
}

/** One item of an APIGroupDiscoveryList (apidiscovery.k8s.io/v2). */
export interface GroupDiscovery {
  readonly metadata: { readonly name?: string };
  readonly versions: readonly {
    readonly version: string;
    readonly resources: readonly unknown[];
    readonly freshness: "Current" | "Stale";
  }[];
}

export function groupDiscovery({ name, versions }: ServedGroup): GroupDiscovery {
  return {
    metadata: name === "" ? {} : { name },
    versions: versions.map(({ version, resources }) => ({
      version,
      resources: resources.map((definition) => discoveredResource(definition)),
      freshness: "Current",
    })),
  };
}

/** Built-in kinds name group and version only where these are not those of the document; custom kinds always do. */
function discoveredResource(definition: ResourceDefinition): unknown {
  const { kind, custom } = definition;
  const { group, version } = custom ? definition : { group: "", version: "" };
  const subresources = definition.subresources.map((subresource) => ({
    subresource: subresource.name,
    responseKind: {
      group: subresource.group ?? group,
      version: subresource.version ?? version,
      kind: subresource.kind,
    },
    verbs: subresource.verbs,
  }));
  return {
    resource: definition.plural,
    responseKind: { group, version, kind },
    scope: definition.namespaced ? "Namespaced" : "Cluster",
    singularResource: definition.singular,
    verbs: definition.shownVerbs ?? definition.verbs,
    ...(definition.shortNames.length === 0 ? {} : { shortNames: definition.shortNames }),
    ...(definition.categories.length === 0 ? {} : { categories: definition.categories }),
    ...(subresources.length === 0 ? {} : { subresources }),
  };
}
