import type { Node, NodeSelector, PreferredSchedulingTerm } from "#pkg/api/types/core-v1.ts";
import type { NodeAffinity } from "#pkg/api/types/core-v1.ts";
import type { PodInfo } from "../cache/pod-info.ts";
import { compileNodeSelector, compileNodeSelectorTerm, NO_LABELS } from "../cache/selectors.ts";
import type { NodeMatcher } from "../cache/selectors.ts";
import { defaultNormalize } from "../framework/scoring.ts";
import { unresolvable } from "../framework/status.ts";
import type { Plugin } from "../framework/types.ts";

const REFUSED = unresolvable("node(s) didn't match Pod's node affinity/selector");
const REFUSED_BY_PROFILE = unresolvable("node(s) didn't match scheduler-enforced node affinity");

interface Preference {
  readonly matches: NodeMatcher;
  readonly weight: number;
}

/** Arguments of NodeAffinity. */
export interface NodeAffinityArgs {
  /** Applies to all pods of the profile in addition to their own. */
  readonly addedAffinity?: NodeAffinity;
}

/** spec.nodeSelector and node affinity: required terms refuse, preferred ones score. */
export function nodeAffinity(args: NodeAffinityArgs = {}): Plugin<undefined, readonly Preference[]> {
  const {
    requiredDuringSchedulingIgnoredDuringExecution: addedRequired,
    preferredDuringSchedulingIgnoredDuringExecution: addedTerms,
  } = args.addedAffinity ?? {};
  const enforced = addedRequired === undefined ? undefined : compileNodeSelector(addedRequired);
  const addedPreferences = preferences(addedTerms);
  return {
    name: "NodeAffinity",
    nodeLocal: ({ pod: { spec } }) => [spec.nodeSelector, spec.affinity?.nodeAffinity],
    events: [
      {
        resource: "Node",
        actions: ["Add", "UpdateNodeLabel"],
        hint: (pod, { object, old }) => {
          const matches = pod.nodeMatcher ?? (() => true);
          const fits = (node: Node) => {
            const labels = node.metadata.labels ?? NO_LABELS;
            return matches(labels, node.metadata.name) && enforced?.(labels, node.metadata.name) !== false;
          };
          return fits(object as Node) && (old === undefined || !fits(old as Node));
        },
      },
    ],
    preFilter: (pod) => {
      if (pod.nodeMatcher === undefined && enforced === undefined) return "skip";
      const names = namedNodes(pod);
      return names === undefined ? { state: undefined } : { state: undefined, nodes: names };
    },
    filter: (_state, pod, { labels, name }) => {
      if (enforced !== undefined && !enforced(labels, name)) return REFUSED_BY_PROFILE;
      const matches = pod.nodeMatcher;
      return matches === undefined || matches(labels, name) ? undefined : REFUSED;
    },
    preScore: ({ pod }) => {
      const own = preferences(pod.spec.affinity?.nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution);
      if (own.length === 0 && addedPreferences.length === 0) return "skip";
      return { state: [...addedPreferences, ...own] };
    },
    score: (terms, _pod, { labels, name }) => {
      let sum = 0;
      for (const { matches, weight } of terms) if (matches(labels, name)) sum += weight;
      return sum;
    },
    normalizeScore: (_state, _pod, _nodes, scores) => defaultNormalize(scores, false),
  };
}

function preferences(terms: readonly PreferredSchedulingTerm[] | undefined): Preference[] {
  return (terms ?? [])
    .filter(({ weight }) => weight !== 0)
    .map(({ preference, weight }) => ({ matches: compileNodeSelectorTerm(preference), weight }));
}

/** Where every term names nodes (as DaemonSet pods do), only those need to be looked at. */
function namedNodes({ pod }: PodInfo): Set<string> | undefined {
  const required: NodeSelector | undefined =
    pod.spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  if (required === undefined) return undefined;
  const all = new Set<string>();
  for (const { matchFields = [] } of required.nodeSelectorTerms) {
    let names: Set<string> | undefined;
    for (const { key, operator, values = [] } of matchFields) {
      if (key !== "metadata.name" || operator !== "In") continue;
      const listed = new Set(values);
      names = names === undefined ? listed : names.intersection(listed);
    }
    if (names === undefined) return undefined;
    for (const name of names) all.add(name);
  }
  return all;
}
